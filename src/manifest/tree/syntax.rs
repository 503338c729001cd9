//! The YAML parser's errors, in words that help.

use crate::manifest::problem::{Place, Problem};

/// A syntax error at a byte of the text; `open` is the innermost bracket that is not closed yet.
pub(super) fn problem(text: &str, at: usize, info: &str, open: Option<Place>) -> Problem {
    let at = if info.contains("end of stream") || info.contains("EOF") {
        at.min(text.trim_end().len())
    } else if info.contains("tabs disallowed") && text[..at].ends_with('\t') {
        at - 1
    } else {
        at
    };
    let next = text[at..].chars().next();
    let place = Place {
        start: at,
        end: at
            + next
                .filter(|c| !c.is_whitespace())
                .map_or(0, char::len_utf8),
    };
    let word: String = text[at..]
        .chars()
        .take(40)
        .take_while(|c| !c.is_whitespace() && !",]}".contains(*c))
        .collect();
    let (label, help) = explain(info, next, &word);
    let problem = Problem::new("this is not YAML").at(place, label);
    match (help, open) {
        (Some(help), _) => problem.help(help),
        (None, Some(open)) => problem
            .at(open, "in the bracket that is opened here")
            .help("close the bracket, and mind the commas between items"),
        (None, None) => problem,
    }
}

/// What to write at the place, and how to get on.
fn explain(info: &str, next: Option<char>, word: &str) -> (String, Option<String>) {
    let say = |label: &str, help: &str| (label.to_owned(), Some(help.to_owned()));
    let quote_it = |label: &str| {
        let help = format!("quote text that begins with this character: \"{word}\"");
        (label.to_owned(), Some(help))
    };
    if info.contains("tabs disallowed") || next == Some('\t') {
        say("a tab", "YAML indents with spaces only")
    } else if info.contains("unknown anchor") {
        match word {
            "*" => quote_it("an alias without a name"),
            _ => (
                "no anchor has this name".to_owned(),
                Some(format!(
                    "quote a glob that begins with `*`: \"{word}\"; an alias needs its anchor earlier on"
                )),
            ),
        }
    } else if info.contains("alias") && next == Some('*') {
        quote_it("`*` begins an alias")
    } else if info.contains("unexpected character") {
        quote_it("no value can begin with this")
    } else if info.contains("illegal placement of ':'") {
        ("no `:` can be here".to_owned(), None)
    } else if info.contains("mapping values are not allowed") {
        say(
            "no `:` can be here",
            "quote a value that holds `: `; otherwise check the indentation of this line and the one above",
        )
    } else if info.contains("quoted scalar") && info.contains("end of stream") {
        say("this quote is never closed", "close it on the same line")
    } else if info.contains("unknown escape") {
        say(
            "a bad escape in this text",
            "use single quotes, in which a backslash is nothing special",
        )
    } else if info.contains("did not find expected key")
        || info.contains("did not find expected '-'")
    {
        say(
            "this line does not fit the ones above",
            "items of one list, and keys of one mapping, begin in the same column",
        )
    } else {
        (info.to_owned(), None)
    }
}
