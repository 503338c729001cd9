//! What servers say they can do, read from their answers: `EHLO` (RFC 5321, 4.1.1.1), `CAPA`
//! (RFC 2449), `CAPABILITY` (RFC 3501, 7.2.1) and the greeting of `ManageSieve` (RFC 5804, 1.7).
//! Lines in, words out.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::raw::escape;

/// Keywords, each with its parameters, all in capitals. IMAP's `AUTH=PLAIN` is `AUTH` with `PLAIN`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offer(pub BTreeMap<String, BTreeSet<String>>);

impl Offer {
    /// Whether a keyword is there.
    pub fn has(&self, keyword: &str) -> bool {
        self.0.contains_key(keyword)
    }

    /// The parameters of a keyword, none if it is not there.
    pub fn parameters(&self, keyword: &str) -> impl Iterator<Item = &str> {
        self.0
            .get(keyword)
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    fn add<'a>(&mut self, keyword: &[u8], parameters: impl Iterator<Item = &'a [u8]>) {
        let set = self.0.entry(word(keyword)).or_default();
        set.extend(parameters.map(word));
    }

    /// The lines of a positive answer to `EHLO`, without code and separator. The first is a greeting.
    pub fn of_ehlo<L: AsRef<[u8]>>(lines: &[L]) -> Self {
        let mut offer = Self::default();
        for line in lines.iter().skip(1) {
            let mut words = words(line.as_ref());
            let Some(first) = words.next() else {
                continue;
            };
            // Servers that have old clients in mind also write `AUTH=LOGIN PLAIN`.
            match split(first, b'=') {
                (keyword, Some(value)) if keyword.eq_ignore_ascii_case(b"AUTH") => {
                    offer.add(keyword, std::iter::once(value).chain(words));
                }
                _ => offer.add(first, words),
            }
        }
        offer
    }

    /// The lines of the list that `CAPA` is answered with.
    pub fn of_capa<L: AsRef<[u8]>>(lines: &[L]) -> Self {
        let mut offer = Self::default();
        for line in lines {
            let mut words = words(line.as_ref());
            if let Some(keyword) = words.next() {
                offer.add(keyword, words);
            }
        }
        offer
    }

    /// The words after `* CAPABILITY`.
    pub fn of_capability(line: &[u8]) -> Self {
        let mut offer = Self::default();
        for atom in words(line) {
            let (keyword, value) = split(atom, b'=');
            offer.add(keyword, value.into_iter());
        }
        offer
    }

    /// The lines of `ManageSieve`'s capabilities: a quoted keyword, and mostly a quoted value.
    pub fn of_sieve<L: AsRef<[u8]>>(lines: &[L]) -> Self {
        let mut offer = Self::default();
        for line in lines {
            let mut quoted = line.as_ref().split(|&byte| byte == b'"').skip(1).step_by(2);
            if let Some(keyword) = quoted.next() {
                offer.add(keyword, words(quoted.next().unwrap_or_default()));
            }
        }
        offer
    }
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty())
}

/// What stands before and after the first such byte.
fn split(word: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match word.iter().position(|&byte| byte == at) {
        Some(at) => (&word[..at], Some(&word[at + 1..])),
        None => (word, None),
    }
}

fn word(bytes: &[u8]) -> String {
    escape(&bytes.to_ascii_uppercase())
}
