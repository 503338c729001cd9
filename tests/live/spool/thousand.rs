//! A thousand people with generated mail, half of them in mboxes, half in Maildirs.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{everything, maildirs, served};
use crate::host::Host;
use crate::lab::Lab;

const USERS: u32 = 1000;
const FIRST: u32 = 2000;

/// The group `mail`.
const MAIL: u32 = 8;

fn name(number: u32) -> String {
    format!("u{number:04}")
}

/// What the `nth` user's `message` in a folder says; no two are equally long.
fn message(number: u32, nth: u32) -> String {
    let lines = (number * 7 + nth * 13) % 40;
    format!(
        "From: bob@example.com\nTo: {}@example.org\nSubject: {nth}\nMessage-ID: <{number}.{nth}@example.com>\n\n{}",
        name(number),
        "A line of text.\n".repeat(lines as usize)
    )
}

/// Makes a file that is somebody's.
fn put(path: &Path, uid: u32, text: &str) {
    let directory = path.parent().unwrap();
    fs::create_dir_all(directory).unwrap();
    fs::write(path, text).unwrap();
    chown(path, Some(uid), Some(uid)).unwrap();
}

fn mbox(number: u32, messages: u32) -> String {
    let mut text = String::new();
    for nth in 0..messages {
        let message = message(number, nth);
        write!(
            text,
            "From bob@example.com Tue Nov 24 07:00:00 2026\n{message}\n"
        )
        .unwrap();
    }
    text
}

/// As maildir(5) has it.
fn maildir(at: &Path, number: u32, messages: u32) {
    let uid = FIRST + number;
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(at.join(part)).unwrap();
    }
    for nth in 0..messages {
        let file = match nth % 3 {
            0 => format!("new/1795500{nth:03}.M{number}P1.old"),
            _ => format!("cur/1795500{nth:03}.M{number}P1.old:2,S"),
        };
        put(&at.join(file), uid, &message(number, nth));
    }
    for part in ["", "cur", "new", "tmp"] {
        chown(at.join(part), Some(uid), Some(uid)).unwrap();
    }
}

/// Their accounts and their mail: what lies beneath the root of a host.
fn fill(root: &Path) {
    let [mut passwd, mut shadow, mut group] = [(); 3].map(|()| String::new());
    for number in 0..USERS {
        let (name, uid) = (name(number), FIRST + number);
        writeln!(passwd, "{name}:x:{uid}:{uid}::/home/{name}:/bin/sh").unwrap();
        writeln!(shadow, "{name}:!:20000:0:99999:7:::").unwrap();
        writeln!(group, "{name}:x:{uid}:").unwrap();
        let home = root.join("home").join(&name);
        put(&home.join(".forward"), uid, "");
        if number % 2 == 0 {
            let spool = root.join("var/mail").join(&name);
            put(&spool, uid, &mbox(number, number % 9));
            chown(&spool, Some(uid), Some(MAIL)).unwrap();
            fs::set_permissions(&spool, Permissions::from_mode(0o660)).unwrap();
            put(&home.join("mail/Sent"), uid, &mbox(number, number % 4));
        } else {
            maildir(&home.join("Maildir"), number, number % 9);
            maildir(&home.join("Maildir/.Sent"), number, number % 4);
        }
        for part in ["", "mail"] {
            let part = home.join(part);
            if part.exists() {
                chown(part, Some(uid), Some(uid)).unwrap();
            }
        }
    }
    for (file, text) in [("passwd", passwd), ("shadow", shadow), ("group", group)] {
        put(&root.join("root").join(file), 0, &text);
    }
}

/// Gives them to a host, as if a migration had brought them.
fn bring(lab: &Lab, new: &Host) {
    let made = lab.work("made");
    fill(&made);
    let tar = Command::new("tar")
        .arg("-C")
        .arg(&made)
        .args(["-c", "home", "var", "root"])
        .output();
    new.feed("tar -x -C / --no-overwrite-dir", tar.unwrap().stdout);
    new.run("for file in passwd shadow group; do cat /root/$file >>/etc/$file; done");
    let receipt = "/var/lib/reconcile/live/receipt.json";
    let mut json: Value = serde_json::from_slice(&new.read(receipt)).unwrap();
    let accounts = json["accounts"].as_array_mut().unwrap();
    accounts.extend((0..USERS).map(|number| Value::from(name(number))));
    new.file(receipt, json.to_string());
}

/// What stat and doveadm say of everybody: name, bytes and messages of the INBOX and of the folders.
const ASK: &str = r#"
cd /home
find u????/Maildir u????/mail/Sent /var/mail/u???? -type f -name '[!.]*' ! -name 'dovecot*' -printf '%s %p\n' |
    awk -F '[ /]' '
        { user = $3 == "var" ? $5 : $2; part = /\.Sent|mail\/Sent/ ? "folders" : "inbox" }
        { bytes[user, part] += $1; all[user] = 1 }
        END { for (user in all) print user, bytes[user, "inbox"] + 0, bytes[user, "folders"] + 0 }' |
    sort >/run/bytes
printf '%s\n' u???? >/run/users
doveadm -f tab mailbox status -F /run/users messages '*' | sed 1d |
    awk -F '\t' '{ if ($2 == "INBOX") inbox[$1] = $3; else folders[$1] += $3; all[$1] = 1 }
        END { for (user in all) print user, inbox[user] + 0, folders[user] + 0 }' | sort >/run/messages
join /run/bytes /run/messages
"#;

#[test]
fn the_sizes_of_a_thousand_agree_with_stat_and_doveadm() {
    let Some(lab) = Lab::start(["new=trixie"]) else {
        return;
    };
    let new = lab.host("new");
    served(&lab, new, "spool: { warn: 3kB, limit: 2GB }\n");
    bring(&lab, new);
    let with_maildir = (0..USERS).filter(|number| number % 2 == 1);
    let with_maildir: Vec<_> = with_maildir
        .map(|number| (name(number), FIRST + number))
        .collect();
    maildirs(new, &with_maildir);
    // The indexes of a thousand users need not outlive this machine.
    new.dovecot("mail_fsync = never");
    let before = everything(new);
    let run = lab
        .reconcile(["spool", "--json", "--detailed-exitcode"])
        .exits(2);
    eprintln!("a thousand users are measured in {:?}", run.took);
    assert_eq!(everything(new), before);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["complaints"], Value::Array(Vec::new()));
    assert_eq!(report["unknown"], Value::Array(Vec::new()));
    let said = new.run(ASK);
    assert_eq!(said.lines().count(), USERS as usize);
    let (mut differ, mut above) = (Vec::new(), 0);
    for line in said.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let user = &report["users"][fields[0]];
        let told = [
            &user["inbox"]["bytes"],
            &user["folders"]["bytes"],
            &user["inbox"]["messages"],
            &user["folders"]["messages"],
        ];
        let told = told.map(ToString::to_string);
        above += usize::from(user["above"] == "warn");
        let is_above = fields[1].parse::<u64>().unwrap() > 3000;
        if told != fields[1..] || is_above != (user["above"] == "warn") {
            differ.push(format!("{line}: {user}"));
        }
    }
    assert!(
        differ.is_empty(),
        "{} differ: {:#?}",
        differ.len(),
        &differ[..differ.len().min(5)]
    );
    assert!((1..USERS as usize).contains(&above), "{above}");
    for number in [17, 18] {
        let seen = &report["users"][name(number)]["inbox"]["messages"];
        assert_eq!(*seen, u64::from(number % 9), "{}", name(number));
    }
}
