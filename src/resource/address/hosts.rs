//! `/etc/hosts`, hosts(5): one name that means exactly the service addresses, all else untouched.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// The text in which `name` stands at each of the addresses and nowhere else.
pub fn with_name(text: &str, name: &str, addresses: &BTreeSet<IpAddr>) -> String {
    let mut missing = addresses.clone();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    // An address that has the name on one line needs it on no other.
    let keeps: Vec<bool> = lines
        .iter()
        .map(|line| {
            let line = Line::parse(line);
            line.address
                .is_some_and(|a| line.has(name) && missing.remove(&a))
        })
        .collect();
    let mut out = String::with_capacity(text.len());
    for (line, keep) in lines.iter().zip(keeps) {
        let parsed = Line::parse(line);
        if keep || parsed.address.is_none() {
            out.push_str(line);
        } else if parsed.has(name) {
            out.push_str(&parsed.without(name));
        } else if parsed.address.is_some_and(|a| missing.remove(&a)) {
            out.push_str(&parsed.with_alias(name));
        } else {
            out.push_str(line);
        }
    }
    if !missing.is_empty() && !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    out.extend(missing.iter().map(|address| format!("{address}\t{name}\n")));
    out
}

/// The names of an address, in the order in which they stand.
pub fn names_of(text: &str, address: IpAddr) -> Vec<String> {
    let lines = text.split_inclusive('\n').map(Line::parse);
    let of_address = lines.filter(|line| line.address == Some(address));
    of_address
        .flat_map(|line| line.names().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// A line in parts; together they are the line.
struct Line<'a> {
    /// `None` for a comment, an empty line, or what the resolver does not understand either.
    address: Option<IpAddr>,
    /// Address and names with the space around them.
    entry: &'a str,
    /// The comment with its `#`, and the line ending.
    rest: &'a str,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Self {
        let end = line.find(['#', '\r', '\n']).unwrap_or(line.len());
        let (entry, rest) = line.split_at(end);
        let address = entry.split_whitespace().next();
        // A scope (`fe80::1%lo0`) does not change which address it is.
        let address = address.map(|a| a.split_once('%').map_or(a, |(address, _)| address));
        Self {
            address: address.and_then(|a| a.parse().ok()),
            entry,
            rest,
        }
    }

    fn names(&self) -> impl Iterator<Item = &'a str> {
        self.entry.split_whitespace().skip(1)
    }

    fn has(&self, name: &str) -> bool {
        self.names().any(|n| n.eq_ignore_ascii_case(name))
    }

    fn with_alias(&self, name: &str) -> String {
        let entry = self.entry.trim_end();
        let space = &self.entry[entry.len()..];
        let separator = if self.names().next().is_some() {
            ' '
        } else {
            '\t'
        };
        let end = if self.rest.is_empty() {
            "\n"
        } else {
            self.rest
        };
        format!("{entry}{separator}{name}{space}{end}")
    }

    /// The line without the name; of a line without names only the comment is left.
    fn without(&self, name: &str) -> String {
        let mut entry = String::new();
        let mut left = 0;
        let mut from = 0;
        let mut dropped_first = false;
        for (nth, word) in self.entry.split_whitespace().enumerate() {
            let at = from + self.entry[from..].find(word).unwrap_or(0);
            let space = &self.entry[from..at];
            from = at + word.len();
            if nth > 0 && word.eq_ignore_ascii_case(name) {
                // The space after the address stays as it was.
                if left == 0 && !dropped_first {
                    entry.push_str(space);
                    dropped_first = true;
                }
                continue;
            }
            if !(dropped_first && left == 0 && nth > 0) {
                entry.push_str(space);
            }
            entry.push_str(word);
            left += usize::from(nth > 0);
        }
        match (left, self.rest.starts_with('#')) {
            (0, true) => self.rest.to_owned(),
            (0, false) => String::new(),
            _ => format!("{entry}{}{}", &self.entry[from..], self.rest),
        }
    }
}

#[cfg(test)]
mod tests;
