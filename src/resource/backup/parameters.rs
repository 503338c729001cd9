//! Postfix's parameters that name our tables: words that are added to a list, and taken out again.

use std::collections::BTreeMap;

/// Tables that are read as they are, without postmap(1): texthash, since Postfix 2.8.
const TABLES: [(&str, &str, &str); 4] = [
    ("relay_domains", "texthash", "domains"),
    ("transport_maps", "texthash", "transport"),
    ("relay_recipient_maps", "texthash", "recipients"),
    ("relay_recipient_maps", "regexp", "patterns"),
];

/// The parameters that are changed.
pub(super) const CHANGED: [&str; 3] = ["relay_domains", "transport_maps", "relay_recipient_maps"];

/// The parameters that say for which domains a Postfix delivers mail itself.
pub(super) const LOCAL: [&str; 3] = [
    "mydestination",
    "virtual_alias_domains",
    "virtual_mailbox_domains",
];

/// The words of a list: separated by commas and white space, except within braces.
pub(super) fn words(value: &str) -> Vec<String> {
    let (mut words, mut word, mut depth) = (Vec::new(), String::new(), 0_u32);
    for letter in value.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && (letter == ',' || letter.is_whitespace()) {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
        } else {
            word.push(letter);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn is_ours(word: &str, directory: &str) -> bool {
    let path = word.split_once(':').map_or(word, |(_, path)| path);
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// The words of a parameter that are not ours.
pub(super) fn others(value: &str, directory: &str) -> Vec<String> {
    let words = words(value).into_iter();
    words.filter(|word| !is_ours(word, directory)).collect()
}

/// Values of the parameters with our tables named. `files` are the tables that there are. Ours come
/// first: a table of somebody else that fits every domain must not hide them.
pub(super) fn with(
    written: &BTreeMap<String, String>,
    defaults: &BTreeMap<String, String>,
    directory: &str,
    files: &[&str],
) -> BTreeMap<String, String> {
    let value = |name: &str| {
        let before = written.get(name).or_else(|| defaults.get(name));
        let before = before.map_or("", String::as_str);
        let ours = TABLES
            .iter()
            .filter(|(of, _, file)| *of == name && files.contains(file))
            .map(|(_, kind, file)| format!("{kind}:{directory}/{file}"));
        let all: Vec<String> = ours.chain(others(before, directory)).collect();
        all.join(", ")
    };
    let all = CHANGED.map(|name| (name.to_owned(), value(name)));
    // What is as it should be stays as it is written.
    let differs = |(name, value): &(String, String)| {
        let now = written.get(name).map_or_else(Vec::new, |now| words(now));
        now != words(value)
    };
    all.into_iter().filter(differs).collect()
}

/// Values of the parameters that name our tables, without them; `None` for what then is the default.
pub(super) fn without(
    written: &BTreeMap<String, String>,
    defaults: &BTreeMap<String, String>,
    directory: &str,
) -> BTreeMap<String, Option<String>> {
    let ours = written.iter().filter(|(name, value)| {
        CHANGED.contains(&name.as_str()) && words(value).iter().any(|word| is_ours(word, directory))
    });
    let left = ours.map(|(name, value)| {
        let left = others(value, directory);
        let default = defaults
            .get(name)
            .map_or_else(Vec::new, |value| words(value));
        let left = (left != default).then(|| left.join(", "));
        (name.clone(), left)
    });
    left.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECTORY: &str = "/etc/postfix/reconcile-office";
    const FILES: [&str; 3] = ["domains", "recipients", "transport"];

    fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn tables_are_named_first_and_what_others_wrote_stays() {
        let written = map([
            ("relay_domains", "other.example, hash:/etc/postfix/relay"),
            ("transport_maps", "inline:{ {a.example = smtp:b} }"),
        ]);
        let defaults = map([("relay_recipient_maps", "")]);
        let after = with(&written, &defaults, DIRECTORY, &FILES);
        let expected = map([
            (
                "relay_domains",
                "texthash:/etc/postfix/reconcile-office/domains, other.example, hash:/etc/postfix/relay",
            ),
            (
                "transport_maps",
                "texthash:/etc/postfix/reconcile-office/transport, inline:{ {a.example = smtp:b} }",
            ),
            (
                "relay_recipient_maps",
                "texthash:/etc/postfix/reconcile-office/recipients",
            ),
        ]);
        assert_eq!(after, expected);
        // Again: nothing.
        let mut now = written.clone();
        now.extend(after);
        assert_eq!(with(&now, &defaults, DIRECTORY, &FILES), BTreeMap::new());
        // And taken out: as it was.
        let back = without(&now, &defaults, DIRECTORY);
        assert_eq!(
            back["relay_domains"].as_deref(),
            Some("other.example, hash:/etc/postfix/relay")
        );
        assert_eq!(back["relay_recipient_maps"], None);
    }

    #[test]
    fn another_migrations_tables_are_not_ours() {
        let value = "texthash:/etc/postfix/reconcile-office2/domains";
        assert_eq!(others(value, DIRECTORY), [value]);
    }
}
