//! The answers to LIST and LSUB.

use std::collections::BTreeSet;

use super::{Completion, Token, Tokens, completion, name, number, unquote};
use crate::identity::mailbox::{FolderName, Read, Refusal};

/// More folders than anybody has.
const MOST_FOLDERS: usize = 100_000;

/// What LIST and LSUB said, in their order.
#[derive(Debug, Default)]
pub(in crate::identity) struct Listed {
    /// Each name and whether it can be opened. EXAMINE commands are numbered by this order.
    pub(in crate::identity) folders: Vec<(FolderName, Opens)>,
    pub(in crate::identity) subscriptions: BTreeSet<FolderName>,
}

/// Whether a listed name is a mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::identity) enum Opens {
    Yes,
    /// `\Noselect`, `\NonExistent`.
    No,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    List(Opens),
    Lsub,
}

/// So far.
#[derive(Debug, Default)]
pub(in crate::identity) struct Session {
    listed: Listed,
    /// The name comes on the next line, as a literal.
    literal: Option<(Kind, usize)>,
    list: Option<Completion>,
    lsub: Option<Completion>,
    odd: Option<String>,
}

impl Session {
    /// Takes a line without its end.
    pub(in crate::identity) fn line(&mut self, line: &[u8]) {
        if let Some((kind, length)) = self.literal.take() {
            match line.get(..length) {
                Some(name) => self.add(kind, name),
                None => self.odd(line),
            }
            return;
        }
        if let Some(rest) = line.strip_prefix(b"* LIST ") {
            self.response(rest, true, line);
        } else if let Some(rest) = line.strip_prefix(b"* LSUB ") {
            self.response(rest, false, line);
        } else if let Some(end) = completion(line, "L") {
            self.list = Some(end);
        } else if let Some(end) = completion(line, "S") {
            self.lsub = Some(end);
        }
    }

    fn response(&mut self, rest: &[u8], list: bool, line: &[u8]) {
        let mut tokens = Tokens(rest);
        let mut opens = Opens::Yes;
        if tokens.next() != Some(Token::Open) {
            return self.odd(line);
        }
        loop {
            match tokens.next() {
                Some(Token::Close) => break,
                Some(Token::Atom(flag)) => {
                    if flag.eq_ignore_ascii_case(b"\\Noselect")
                        || flag.eq_ignore_ascii_case(b"\\NonExistent")
                    {
                        opens = Opens::No;
                    }
                }
                _ => return self.odd(line),
            }
        }
        let kind = if list { Kind::List(opens) } else { Kind::Lsub };
        // The separator.
        if !matches!(tokens.next(), Some(Token::Quoted(_) | Token::Atom(_))) {
            return self.odd(line);
        }
        // The rest of the line: an atom may hold what ends a word elsewhere.
        let name = tokens.0.trim_ascii_start();
        match (name, Tokens(name).next()) {
            ([b'{', length @ .., b'}'], _) if number::<usize>(length).is_some() => {
                self.literal = number(length).map(|length| (kind, length));
            }
            (_, Some(Token::Quoted(quoted))) => self.add(kind, &unquote(quoted)),
            ([_, ..], _) => self.add(kind, name),
            ([], _) => self.odd(line),
        }
    }

    fn add(&mut self, kind: Kind, name: &[u8]) {
        if self.listed.folders.len() + self.listed.subscriptions.len() >= MOST_FOLDERS {
            self.odd(b"more folders than anybody has");
            return;
        }
        let name = name::decode(name);
        match kind {
            Kind::List(opens) => self.listed.folders.push((name, opens)),
            Kind::Lsub => drop(self.listed.subscriptions.insert(name)),
        }
    }

    fn odd(&mut self, line: &[u8]) {
        self.odd
            .get_or_insert_with(|| crate::raw::escape(&line[..line.len().min(300)]));
    }

    /// The end of the session.
    pub(in crate::identity) fn end(self, words: &str) -> Read<Listed> {
        if let Some(odd) = self.odd {
            return Err(Refusal(format!("not understood: {odd}")));
        }
        for end in [self.list, self.lsub] {
            match end {
                Some(Completion::Ok) => {}
                Some(Completion::Refused(answer)) => return Err(Refusal(answer).because(words)),
                None => return Err(Refusal::silence().because(words)),
            }
        }
        Ok(self.listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Read<Listed> {
        let mut session = Session::default();
        for line in lines {
            session.line(line.as_bytes());
        }
        session.end("")
    }

    #[test]
    fn folders_are_listed_in_order_and_by_every_form_of_a_name() {
        let listed = read(&[
            r#"* LIST (\Noselect \HasChildren) "/" deep"#,
            r#"* LIST (\HasNoChildren) "/" "with \"space\"""#,
            "* LIST () NIL {4}",
            "a\"\\b",
            r#"* LIST (\HasNoChildren) "/" Entw&APw-rfe(1)"#,
            "L OK List completed (0.001 + 0.000 secs).",
            r#"* LSUB () "/" deep/er"#,
            "S OK Lsub completed.",
        ])
        .unwrap();
        let folders: Vec<_> = listed
            .folders
            .iter()
            .map(|(n, o)| (n.0.as_str(), *o))
            .collect();
        assert_eq!(
            folders,
            [
                (Some("deep"), Opens::No),
                (Some("with \"space\""), Opens::Yes),
                (Some("a\"\\b"), Opens::Yes),
                (Some("Entwürfe(1)"), Opens::Yes),
            ]
        );
        assert!(listed.subscriptions.contains(&FolderName("deep/er".into())));
    }

    #[test]
    fn half_an_answer_is_none() {
        assert!(read(&["L OK List completed."]).is_err());
        assert!(read(&["L NO [SERVERBUG] x", "S OK Lsub completed."]).is_err());
        assert!(read(&["* LIST x", "L OK", "S OK"]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_fail(lines: Vec<Vec<u8>>) {
            let mut session = Session::default();
            for line in lines {
                session.line(&line);
                session.line(&[b"* LIST (", &line[..]].concat());
                session.line(&[b"* LIST () \"/\" ", &line[..]].concat());
            }
            session.end("").ok();
        }
    }
}
