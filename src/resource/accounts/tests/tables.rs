//! The four parsers on arbitrary bytes and on a corpus of broken files.

use crate::resource::accounts::table::{Record, Table};
use crate::resource::accounts::{group, gshadow, passwd, shadow};

fn problem<R: Record>(bytes: &[u8]) -> (usize, String) {
    let bad = Table::<R>::parse(bytes).unwrap_err();
    (bad.line, bad.problem)
}

#[test]
fn broken_passwd_lines_are_named_by_number_and_field() {
    let good = "root:x:0:0:root:/root:/bin/bash\n";
    for (line, expected) in [
        (
            "bob:x:1000:1000:/home/bob:/bin/sh",
            "it has 6 fields instead of 7",
        ),
        ("bob", "it has 1 fields instead of 7"),
        ("bob:x:abc:1000::/home/bob:", "uid \"abc\" is not a number"),
        ("bob:x:-1:1000::/home/bob:", "uid \"-1\" is not a number"),
        ("bob:x::1000::/home/bob:", "uid \"\" is not a number"),
        (
            "bob:x:4294967296:1000::/home/bob:",
            "uid 4294967296 is larger than 4294967295",
        ),
        ("bob:x:1000:1e3::/home/bob:", "gid \"1e3\" is not a number"),
        (":x:1000:1000::/home/bob:", "the name is empty"),
        ("bob:x:1000:1000::/home\0/bob:", "it holds a NUL byte"),
        (
            "bob:x:1000:1000::/home/bob:/bin/sh\r",
            "it ends in a carriage return, as DOS files do",
        ),
    ] {
        let text = format!("{good}# comment\n{line}\n{good}");
        assert_eq!(
            problem::<passwd::Entry>(text.as_bytes()),
            (3, expected.to_owned()),
            "{line}"
        );
    }
}

#[test]
fn broken_shadow_lines_never_show_what_they_hold() {
    for line in [
        "bob:$6$salt$secret:abc:0:99999:7:::",
        "bob:$6$salt$secret:1",
        "bob:$6$salt$secret:0:0:99999:7:$6$secret::",
        ":$6$salt$secret:0:0:99999:7:::",
    ] {
        let (_, text) = problem::<shadow::Entry>(line.as_bytes());
        assert!(!text.contains("secret") && !text.contains("$6$"), "{text}");
    }
    assert_eq!(
        problem::<shadow::Entry>(b"bob:*:abc:0:99999:7:::").1,
        "field 3 (last change) is not a number"
    );
    assert_eq!(
        problem::<gshadow::Entry>(b"a:!:\n").1,
        "it has 3 fields instead of 4"
    );
    assert_eq!(
        problem::<group::Entry>(b"a:x:y:\n").1,
        "gid \"y\" is not a number"
    );
}

#[test]
fn what_is_not_ours_keeps_its_place_and_new_lines_come_before_nis() {
    let text = b"root:x:0:\n\n# people\nbob:x:1000:al\n+::0:\n-old:::";
    let mut table = Table::<group::Entry>::parse(text).unwrap();
    assert_eq!(table.render(), text);
    table.add(&[b"eve", b"x", b"1001", b""]);
    table.set(b"bob", group::MEMBERS, b"al,eve");
    assert_eq!(
        table.render(),
        b"root:x:0:\n\n# people\nbob:x:1000:al,eve\neve:x:1001:\n+::0:\n-old:::"
    );
}

#[test]
fn a_missing_final_newline_is_kept() {
    let mut table = Table::<group::Entry>::parse(b"root:x:0:").unwrap();
    table.add(&[b"eve", b"x", b"1001", b""]);
    assert_eq!(table.render(), b"root:x:0:\neve:x:1001:");
}

#[test]
fn of_duplicate_lines_the_first_counts() {
    let table = Table::<group::Entry>::parse(b"a:x:1:\nb:x:2:\na:x:3:\n").unwrap();
    assert_eq!(table.get(b"a").unwrap().gid.0, 1);
    assert_eq!(table.duplicates().collect::<Vec<_>>(), [b"a"]);
}

#[test]
fn a_line_of_a_megabyte_and_fourteen_thousand_lines_are_fine() {
    use std::fmt::Write as _;
    let mut text = format!("big:x:1:{}\n", "member,".repeat(150_000));
    for n in 0..14_000 {
        writeln!(text, "user{n}:x:{}:", n + 1000).unwrap();
    }
    let mut table = Table::<group::Entry>::parse(text.as_bytes()).unwrap();
    for n in 0..14_000 {
        table.set(format!("user{n}").as_bytes(), group::MEMBERS, b"a");
        table.add(&[b"new", b"x", b"1", b""]);
    }
    assert_eq!(
        table.render().len(),
        text.len() + 14_000 * (1 + "new:x:1:\n".len())
    );
}

proptest::proptest! {
    #[test]
    fn what_parses_renders_to_the_same_bytes(bytes: Vec<u8>) {
        fn check<R: Record>(bytes: &[u8]) {
            if let Ok(table) = Table::<R>::parse(bytes) {
                assert_eq!(table.render(), bytes);
            }
        }
        check::<passwd::Entry>(&bytes);
        check::<shadow::Entry>(&bytes);
        check::<group::Entry>(&bytes);
        check::<gshadow::Entry>(&bytes);
    }

    #[test]
    fn well_formed_lines_render_to_the_same_bytes(
        text in "([+-]?[a-c#]{0,3}:[^:\n\r\0]{0,3}:[0-9]{1,4}:[0-9]{1,4}:[^:\n\r\0]{0,4}:/[a-z]{0,4}:(/[a-z]{0,3})?\n|#[a-z:]{0,9}\n|\n){0,12}"
    ) {
        match Table::<passwd::Entry>::parse(text.as_bytes()) {
            Ok(table) => proptest::prop_assert_eq!(table.render(), text.as_bytes()),
            Err(bad) => proptest::prop_assert_eq!(bad.problem, "the name is empty"),
        }
    }
}
