//! What an IMAP session says (RFC 3501): its words, folder names and dates. The answers to LIST are
//! in [`list`], those to EXAMINE and FETCH in [`examine`].

pub(super) mod examine;
pub(super) mod list;
pub(super) mod name;

/// A word of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Token<'a> {
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// Everything else that stands without quotes: numbers, flags, `NIL`.
    Atom(&'a [u8]),
    /// Between quotes, escapes still inside.
    Quoted(&'a [u8]),
}

/// The words of a line.
#[derive(Clone, Debug)]
pub(super) struct Tokens<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let start = self.0.iter().position(|&byte| byte != b' ')?;
        let line = &self.0[start..];
        let (token, length) = match line[0] {
            b'(' => (Token::Open, 1),
            b')' => (Token::Close, 1),
            b'"' => {
                let length = quoted(&line[1..]);
                (Token::Quoted(&line[1..=length]), length + 2)
            }
            _ => {
                let ends = |byte: &u8| matches!(byte, b' ' | b'(' | b')');
                let length = line.iter().position(ends).unwrap_or(line.len());
                (Token::Atom(&line[..length]), length)
            }
        };
        self.0 = line.get(length..).unwrap_or_default();
        Some(token)
    }
}

/// Length of a quoted string up to its closing quote.
fn quoted(line: &[u8]) -> usize {
    let mut at = 0;
    while at < line.len() {
        match line[at] {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    line.len()
}

/// What a quoted string says.
fn unquote(quoted: &[u8]) -> Vec<u8> {
    let mut bytes = quoted.iter();
    let mut text = Vec::with_capacity(quoted.len());
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => text.extend(bytes.next()),
            byte => text.push(byte),
        }
    }
    text
}

/// A number.
fn number<N: std::str::FromStr>(atom: &[u8]) -> Option<N> {
    std::str::from_utf8(atom).ok()?.parse().ok()
}

/// How a command ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Completion {
    /// `OK`.
    Ok,
    /// `NO` or `BAD`, with what follows.
    Refused(String),
}

/// The end of the command with this tag, if the line is it.
pub(super) fn completion(line: &[u8], tag: &str) -> Option<Completion> {
    let rest = line.strip_prefix(tag.as_bytes())?.strip_prefix(b" ")?;
    Some(if rest.starts_with(b"OK") {
        Completion::Ok
    } else {
        Completion::Refused(crate::raw::escape(&rest[..rest.len().min(300)]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_words() {
        let tokens: Vec<_> = Tokens(br#"FLAGS (\Seen $x) "a \"b\" c" 17"#).collect();
        assert_eq!(
            tokens,
            [
                Token::Atom(b"FLAGS"),
                Token::Open,
                Token::Atom(b"\\Seen"),
                Token::Atom(b"$x"),
                Token::Close,
                Token::Quoted(br#"a \"b\" c"#),
                Token::Atom(b"17"),
            ]
        );
        assert_eq!(unquote(br#"a \"b\" \\c"#), br#"a "b" \c"#);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_keep_it_from_the_end(line: Vec<u8>) {
            proptest::prop_assert!(Tokens(&line).count() <= line.len());
            unquote(&line);
        }
    }
}
