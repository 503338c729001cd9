//! A UIDL format that some Dovecot accepts.

use super::look::Look;
use crate::manifest::problem::{Problem, Problems};
use crate::manifest::scalar::quote;

pub(super) fn check(look: &Look<'_>, problems: &mut Problems) {
    let Some(format) = look.text(&["dovecot", "uidl_format"]) else {
        return;
    };
    if format.text == "source" {
        return;
    }
    if let Some(problem) = uidl_literal_problem(format.text) {
        problems.push(
            Problem::new(format!("no Dovecot accepts {}", quote(format.text)))
                .at(format.place, problem)
                .help("write source for what the source serves now, or copy what `doveconf -h pop3_uidl_format` prints there"),
        );
    }
}

/// Why neither Dovecot 2.3 nor 2.4 takes the text as `pop3_uidl_format`.
///
/// Only what is certain: variables that do not exist, or none at all.
fn uidl_literal_problem(text: &str) -> Option<String> {
    let mut variables = 0;
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        if let Some(long) = after.strip_prefix('{') {
            let Some((expression, after)) = long.split_once('}') else {
                return Some("`%{` without `}`".to_owned());
            };
            let variable = expression.split('|').next().unwrap_or_default().trim();
            if !["uid", "uidvalidity", "filename", "guid", "md5"].contains(&variable) {
                return Some(format!("Dovecot 2.4 has no variable {}", quote(variable)));
            }
            variables += 1;
            rest = after;
        } else {
            let letter =
                after.trim_start_matches(|c: char| c.is_ascii_digit() || "-.LUXMNHR".contains(c));
            match letter.chars().next() {
                Some('%') => {}
                Some(c) if "uvfgm".contains(c) => variables += 1,
                Some(c) => {
                    return Some(format!(
                        "Dovecot 2.3 has no variable {}",
                        quote(&format!("%{c}"))
                    ));
                }
                None => return Some("`%` at the end".to_owned()),
            }
            rest = &letter[1..];
        }
    }
    (variables == 0).then(|| "holds no variable, so all messages would look the same".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_of_both_dovecots_are_accepted() {
        for good in [
            "%08Xu%08Xv",
            "%v-%u",
            "%u",
            "%Mf",
            "%5.10f",
            "%{uid | hex(8)}%{uidvalidity | hex(8)}",
            "%{uidvalidity}.%{uid}",
            "%{guid | md5 | hexlify}",
        ] {
            assert_eq!(uidl_literal_problem(good), None, "{good}");
        }
    }

    #[test]
    fn what_neither_dovecot_knows_is_refused() {
        // doveconf 2.4 rejects %{uidl}; 2.3 rejects %08xu.
        for wrong in ["", "sorce", "%{uidl}", "%08xu", "%{uid", "%", "100%%"] {
            assert!(uidl_literal_problem(wrong).is_some(), "{wrong}");
        }
    }
}
