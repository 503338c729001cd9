//! Answers that real Dovecots gave (`tests/identity/record`), and what is made of them.

use std::path::Path;

use super::*;
use crate::identity::compare;
use crate::identity::mailbox::{Access, Folder, FolderName, Refusal};

const USERS: usize = 7;

/// Dovecot 2.3.13, and 2.3.19 with 2.4.1 about a copy of its mailboxes.
const RECORDED: [&str; 3] = ["2.3.13", "2.3.19.1", "2.4.1-4"];

#[expect(
    clippy::disallowed_methods,
    reason = "a file of the repository, not a host's"
)]
fn recorded(version: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/identity/recorded");
    std::fs::read(folder.join(format!("{version}.txt"))).unwrap()
}

/// Alice, bob, carol, dave, erin, frank and a name that the host does not know.
fn all(answer: &[u8]) -> io::Result<Vec<Seen>> {
    let mut frames = Frames::new(answer, "=B=");
    let mut users = Vec::new();
    loop {
        match one(&mut frames, users.len(), Inbox::Select)? {
            Some(One::User(seen, false)) => users.push(*seen),
            Some(One::User(_, true)) => return Err(malformed("a session that was cut")),
            Some(One::Finished) => return Ok(users),
            Some(One::Unable(unable)) => panic!("{unable}"),
            None => return Err(malformed("cut")),
        }
    }
}

#[test]
fn every_version_tells_the_same_of_the_same_mailboxes() {
    for version in RECORDED {
        let users = all(&recorded(version)).unwrap();
        assert_eq!(users.len(), USERS, "{version}");
        let [alice, bob, carol, dave, erin, frank, nobody] = &users[..] else {
            panic!("{version}")
        };
        for (seen, messages) in [
            (alice, 8),
            (bob, 5),
            (carol, 4),
            (dave, 6),
            (erin, 0),
            (frank, 41),
        ] {
            let maildrop = seen.pop3.as_ref().unwrap();
            assert_eq!(maildrop.messages.len(), messages, "{version}");
            assert_eq!(seen.inbox, Some(Ok(Access::ReadWrite)), "{version}");
        }
        let folders = &alice.imap.as_ref().unwrap().folders;
        let names: Vec<_> = folders
            .keys()
            .map(|name| name.0.as_str().unwrap())
            .collect();
        let expected = [
            "Entwürfe",
            "INBOX",
            "Trash",
            "deep",
            "deep/er",
            "deep/er/est",
            "nest",
            "nest/sub",
            "notes",
            "with \"space\"",
        ];
        assert_eq!(names, expected, "{version}");
        assert_eq!(folders[&FolderName("deep".into())], Folder::Branch);
        assert!(matches!(
            folders[&FolderName("notes".into())],
            Folder::Unreadable(_)
        ));
        let Folder::Mailbox(inbox) = &folders[&FolderName::inbox()] else {
            panic!("{version}")
        };
        let flags: Vec<_> = inbox.messages.iter().map(|m| m.flags.to_string()).collect();
        assert_eq!(
            flags,
            [
                "Wichtig \\Seen",
                "Wichtig \\Deleted \\Seen",
                "Wichtig \\Seen",
                "\\Answered",
                "none",
                "none",
                "none",
                "none"
            ],
            "{version}"
        );
        assert!(!inbox.never_opened(alice.asked));
        let Refusal(words) = nobody.imap.as_ref().unwrap_err();
        assert!(words.contains("Unknown user"), "{version}: {words}");
        let Refusal(words) = nobody.pop3.as_ref().unwrap_err();
        assert!(words.contains("Unknown user"), "{version}: {words}");
    }
}

#[test]
fn a_copy_is_the_same_to_clients_of_2_3_and_of_2_4() {
    let [before, after] = ["2.3.19.1", "2.4.1-4"].map(|version| all(&recorded(version)).unwrap());
    for (before, after) in before.iter().zip(&after).take(USERS - 1) {
        let verdict = compare::user(&"somebody".into(), before, after);
        assert_eq!(verdict.differences, []);
        assert_eq!(before.digest(), after.digest());
        assert!(before.digest().is_some());
    }
}

#[test]
fn an_answer_that_is_cut_is_never_taken_for_whole() {
    let answer = recorded("2.4.1-4");
    let end = answer.len() - b"=B= finished\n".len();
    for at in (0..end).step_by(97) {
        // Within the last session of somebody his answers may be whole, but the end is missing.
        assert!(all(&answer[..at]).is_err(), "{at}");
    }
    assert!(all(&answer).is_ok());
}

#[test]
fn a_session_that_ends_without_a_word_is_told_from_one_that_is_refused() {
    let answer = String::from_utf8(recorded("2.4.1-4")).unwrap();
    // Each of the first user's sessions, from its last answer on: POP3, LIST, the folders, SELECT.
    for last in ["\n+OK 8 messages", "\nS OK", "\nF3 OK", "\nI OK"] {
        let from = answer.find(last).unwrap();
        let to = from + answer[from..].find("\n=B= ").unwrap();
        let cut = [&answer[..from], &answer[to..]].concat();
        let told = all(cut.as_bytes()).unwrap_err().to_string();
        assert_eq!(told, "a session that was cut", "{last:?}");
        // With a complaint it is no accident; of a user whom nobody knows there is one each.
        let words = "\n=B= words imap(alice): Panic: so";
        let refused = [&answer[..from], words, &answer[to..]].concat();
        assert!(all(refused.as_bytes()).is_ok(), "{last:?}");
    }
}

#[test]
fn a_user_who_is_left_out_is_missed() {
    let answer = String::from_utf8(recorded("2.4.1-4")).unwrap();
    let (start, end) = (
        answer.find("=B= user 2").unwrap(),
        answer.find("=B= user 3").unwrap(),
    );
    let without = [&answer[..start], &answer[end..]].concat();
    assert_eq!(
        all(without.as_bytes()).unwrap_err().to_string(),
        "an answer about nobody"
    );
}

#[test]
fn why_nobody_can_be_read_is_told_with_the_words_of_the_host() {
    let answer = b"\n=B= words mount: unknown filesystem type\n\n=B= failed cover\n";
    let mut frames = Frames::new(&answer[..], "=B=");
    let Ok(Some(One::Unable(unable))) = one(&mut frames, 0, Inbox::Leave) else {
        panic!()
    };
    assert_eq!(
        unable.to_string(),
        "its mailboxes cannot be read without touching them: mount: unknown filesystem type"
    );
}

#[test]
fn names_that_would_break_the_list_of_users_are_refused() {
    let subject = |home: &str| Subject {
        user: "alice".into(),
        home: home.into(),
        spool: "/var/mail/alice".into(),
    };
    let line = b"0\talice\t/home/alice\t/var/mail/alice\n";
    assert_eq!(lines(&[subject("/home/alice")]).unwrap(), line);
    for home in ["/home/a\tb", "/home/a\nb", ""] {
        assert!(lines(&[subject(home)]).is_err(), "{home:?}");
    }
}

proptest::proptest! {
    #[test]
    fn spoilt_answers_make_it_refuse_and_not_fail(
        version in 0..3_usize, at in 0..20_000_usize, spoilt in proptest::collection::vec(0..=255_u8, 1..40)
    ) {
        let mut answer = recorded(RECORDED[version]);
        for (place, byte) in answer[at..].iter_mut().zip(spoilt) {
            *place = byte;
        }
        match all(&answer) {
            Ok(users) => proptest::prop_assert_eq!(users.len(), USERS),
            Err(error) => proptest::prop_assert!(!error.to_string().is_empty()),
        }
    }
}
