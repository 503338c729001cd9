use proptest::prelude::*;

use super::syntax::{Statement, parse, quote};
use super::*;

fn assignments(given: &[(Scope, &str)]) -> Vec<Assignment> {
    let at = |(line, (scope, value)): (usize, &(Scope, &str))| Assignment {
        file: HostPath::from("/etc/dovecot/dovecot.conf"),
        line: line + 1,
        scope: scope.clone(),
        value: (*value).to_owned(),
    };
    given.iter().enumerate().map(at).collect()
}

fn wins(given: &[(Scope, &str)], syntax: Syntax) -> Option<String> {
    effective(&assignments(given), syntax).map(|a| a.value.clone())
}

#[test]
fn pop3_beats_global_and_sections_for_some_count_for_none() {
    let pop3 = || Scope::Pop3("protocol pop3".to_owned());
    let some = Scope::Some("remote 10.0.0.0/8".to_owned());
    for syntax in [Syntax::V2_3, Syntax::V2_4] {
        let given = [
            (pop3(), "a"),
            (Scope::Global, "b"),
            (some.clone(), "c"),
            (Scope::Other, "d"),
        ];
        assert_eq!(wins(&given, syntax).as_deref(), Some("a"));
        assert_eq!(wins(&given[1..], syntax).as_deref(), Some("b"));
        assert_eq!(wins(&given[2..], syntax), None);
        assert_eq!(
            wins(&[(pop3(), "a"), (pop3(), "b")], syntax).as_deref(),
            Some("b")
        );
    }
}

#[test]
fn a_line_is_numbered_where_it_begins() {
    let lines = parse("# c\n\na = \\\n  b\nc = d\n").unwrap();
    let numbers: Vec<usize> = lines.iter().map(|l| l.number).collect();
    assert_eq!(numbers, [3, 5]);
    assert_eq!(
        lines[0].statement,
        Statement::Assign {
            key: "a".to_owned(),
            value: "b".to_owned()
        }
    );
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text: String, noisy in "[ab={}#\"'\\\\!$<\n \t]{0,60}") {
        drop(parse(&text));
        drop(parse(&noisy));
    }

    #[test]
    fn a_quoted_value_is_read_back(value in "[ -~]{0,40}") {
        let lines = parse(&format!("key = {}\n", quote(&value))).unwrap();
        let expected = Statement::Assign { key: "key".to_owned(), value };
        prop_assert_eq!(&lines[0].statement, &expected);
    }
}
