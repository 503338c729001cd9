use super::*;

/// As Dovecot 2.3.19 answered, with one folder that cannot be opened before it.
const ANSWER: &str = r#"* PREAUTH [CAPABILITY IMAP4rev1] Logged in as alice
E0 NO [SERVERBUG] Internal error occurred. Refer to server log for more information. [2026-11-24 06:31:28]
F0 BAD No mailbox selected
* FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded Wichtig)
* OK [PERMANENTFLAGS ()] Read-only mailbox.
* 2 EXISTS
* 2 RECENT
* OK [UNSEEN 1] First unseen.
* OK [UIDVALIDITY 1795501884] UIDs valid
* OK [UIDNEXT 3] Predicted next UID
E2 OK [READ-ONLY] Examine completed (0.001 + 0.000 secs).
* 1 FETCH (UID 1 FLAGS (\Flagged \Recent $Forwarded Wichtig) INTERNALDATE "01-Feb-2020 01:04:01 +0000" RFC822.SIZE 51)
* 2 FETCH (UID 2 FLAGS (\Recent) INTERNALDATE " 1-Feb-2020 03:34:02 +0230" RFC822.SIZE 52)
F2 OK Fetch completed (0.001 + 0.000 secs).
* BYE Logging out
"#;

fn listed() -> Listed {
    let folder = |name: &str, opens| (FolderName(name.into()), opens);
    Listed {
        folders: vec![
            folder("broken", Opens::Yes),
            folder("branch", Opens::No),
            folder("INBOX", Opens::Yes),
        ],
        subscriptions: BTreeSet::new(),
    }
}

fn read(text: &str) -> Read<Folders> {
    let mut session = Session::new(listed());
    for line in text.lines() {
        session.line(line.as_bytes());
    }
    session.end("")
}

#[test]
fn each_folder_has_its_own_answer() {
    let folders = read(ANSWER).unwrap().folders;
    assert_eq!(folders.len(), 3);
    assert_eq!(folders[&FolderName("branch".into())], Folder::Branch);
    assert!(matches!(
        &folders[&FolderName("broken".into())],
        Folder::Unreadable(Refusal(words)) if words.starts_with("NO [SERVERBUG]")
    ));
    let Folder::Mailbox(inbox) = &folders[&FolderName::inbox()] else {
        panic!("{folders:?}")
    };
    assert_eq!((inbox.uid_validity, inbox.uid_next), (1_795_501_884, 3));
    let [first, second] = &inbox.messages[..] else {
        panic!("{inbox:?}")
    };
    assert_eq!(first.flags.to_string(), "$Forwarded Wichtig \\Flagged");
    // `date -d '2020-02-01 01:04:01 UTC' +%s`
    assert_eq!((first.uid, first.size, first.date), (1, 51, 1_580_519_041));
    assert_eq!(second.flags.to_string(), "none");
    assert_eq!((second.size, second.date), (52, 1_580_519_042));
}

#[test]
fn answers_out_of_order_are_none() {
    let swapped = ANSWER
        .replace("E0", "Ex")
        .replace("E2", "E0")
        .replace("Ex", "E2");
    assert!(read(&swapped).is_err());
    let cut = ANSWER.replace("F2 OK", "* OK");
    assert_eq!(
        read(&cut),
        Err(Refusal("the session ended at folder INBOX".to_owned()))
    );
}

#[test]
fn a_message_that_is_told_and_not_shown_makes_the_folder_unreadable() {
    let told = ANSWER.replace("* 2 EXISTS", "* 3 EXISTS");
    let folders = read(&told).unwrap().folders;
    assert_eq!(
        folders[&FolderName::inbox()],
        Folder::Unreadable(Refusal("3 messages are there and 2 can be read".to_owned()))
    );
    // Another session removed it meanwhile.
    let expunged = told.replace("F2 OK", "* 3 EXPUNGE\nF2 OK");
    let folders = read(&expunged).unwrap().folders;
    assert!(matches!(folders[&FolderName::inbox()], Folder::Mailbox(_)));
}

#[test]
fn flags_that_another_session_sets_meanwhile_are_taken() {
    let changed = ANSWER.replace(
        "F2 OK",
        "* 2 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (7))\nF2 OK",
    );
    let folders = read(&changed).unwrap().folders;
    let Folder::Mailbox(inbox) = &folders[&FolderName::inbox()] else {
        panic!("{folders:?}")
    };
    assert_eq!(inbox.messages[1].flags.to_string(), "\\Seen");
}

#[test]
fn dates_that_are_none_are_refused() {
    for text in [
        "",
        "x",
        "01-Feb-2020 01:04:01",
        "31-Feb-2020 01:04:01 +0000",
        "01-Feb-2020 01:04:01 0000é",
    ] {
        assert_eq!(date_time(text.as_bytes()), None, "{text}");
    }
    assert_eq!(date_time(b"31-Dec-1969 19:00:00 -0500"), Some(0));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_fail(lines: Vec<Vec<u8>>) {
        for opened in ["", "* 1 EXISTS\n* OK [UIDVALIDITY 5] x\nE0 OK x"] {
            let mut session = Session::new(listed());
            for line in opened.lines() {
                session.line(line.as_bytes());
            }
            for line in &lines {
                session.line(line);
                session.line(&[b"* 1 FETCH (", &line[..]].concat());
                session.line(&[b"* OK [", &line[..]].concat());
            }
            session.end("").ok();
        }
    }

    #[test]
    fn a_spoilt_answer_is_never_more_than_the_whole(at in 0..ANSWER.len(), byte: u8) {
        let mut spoilt = ANSWER.as_bytes().to_vec();
        spoilt[at] = byte;
        let mut session = Session::new(listed());
        for line in spoilt.split(|&byte| byte == b'\n') {
            session.line(line);
        }
        if let Ok(folders) = session.end("") {
            proptest::prop_assert_eq!(folders.folders.len(), 3);
        }
    }
}
