//! The keys of mappings: unknown, missing, and not text.

use std::collections::BTreeMap;

use super::path::Path;
use super::{ALIAS, Walk, closest};
use crate::manifest::problem::{Place, Problem};
use crate::manifest::scalar::quote;
use crate::manifest::shape::{Field, Need};
use crate::manifest::tree::{Entry, Key, Kind, Node};

type Fields = BTreeMap<String, Field>;

impl Walk<'_, '_> {
    pub(super) fn mapping(&mut self, fields: &Fields, entries: &[Entry], node: &Node, path: &Path) {
        // A required key that was only misspelt is not missing as well.
        let mut misspelt = Vec::new();
        for Entry { key, value } in entries {
            match fields.get(&key.scalar.text) {
                Some(field) => {
                    let below = path.below(&key.scalar.text, key.place);
                    self.value(&field.shape, value, &below);
                }
                None => misspelt.extend(self.unknown_key(fields, entries, key, path)),
            }
        }
        let missing: Vec<(&String, &Field)> = fields
            .iter()
            .filter(|(_, field)| field.need == Need::Required)
            .filter(|(name, _)| !misspelt.contains(*name))
            .filter(|(name, _)| !has(entries, name))
            .collect();
        if !missing.is_empty() {
            let first_key = entries.first().map(|entry| entry.key.place);
            let at = path.key().or(first_key).unwrap_or(node.place);
            self.missing(&missing, at, node.alias, path);
        }
    }

    /// Reports an unknown key; returns the known one that was probably meant.
    fn unknown_key(
        &mut self,
        fields: &Fields,
        entries: &[Entry],
        key: &Key,
        path: &Path,
    ) -> Option<String> {
        if self.problems.is_full() {
            self.problems.count_only();
            return None;
        }
        let text = &key.scalar.text;
        let free = fields.keys().filter(|name| !has(entries, name));
        let guess = closest(text, free.map(String::as_str));
        let label = match guess {
            Some(guess) => format!("did you mean `{guess}`?"),
            None => format!("not a key of {path}"),
        };
        let homes = match guess {
            Some(_) => Vec::new(),
            None => self.whole.homes_of(text),
        };
        let help = match homes.as_slice() {
            [] => {
                let names: Vec<String> = fields.keys().map(|name| format!("`{name}`")).collect();
                format!("{path} has the keys {}", names.join(", "))
            }
            homes => {
                let homes: Vec<String> = homes.iter().map(|home| format!("`{home}`")).collect();
                format!("it belongs under {}", homes.join(" or "))
            }
        };
        self.problems.push(
            Problem::new(format!("unknown key {}", quote(text)))
                .at(key.place, label)
                .help(help),
        );
        guess.map(str::to_owned)
    }

    fn missing(
        &mut self,
        missing: &[(&String, &Field)],
        at: Place,
        alias: Option<Place>,
        path: &Path,
    ) {
        let names: Vec<String> = missing
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        let lines: Vec<String> = missing
            .iter()
            .map(|(name, field)| format!("add `{name}`: {}", field.doc))
            .collect();
        self.problems.push(
            Problem::new(format!("{path} has no {}", names.join(", no ")))
                .at(
                    at,
                    if path.is_root() {
                        "in this mapping"
                    } else {
                        "in here"
                    },
                )
                .maybe_at(alias, ALIAS)
                .help(lines.join("\n")),
        );
    }

    /// A key that stands for a name has to be text.
    pub(super) fn name(&mut self, key: &Key) {
        if key.scalar.kind() != Kind::Text {
            let text = quote(&key.scalar.text);
            self.problems.push(
                Problem::new(format!("{text} is no name"))
                    .at(key.place, "expected a login name")
                    .help(format!(
                        "quote it if a user has this name: \"{}\"",
                        text.replace('`', "")
                    )),
            );
        }
    }
}

fn has(entries: &[Entry], name: &str) -> bool {
    entries.iter().any(|entry| entry.key.scalar.text == name)
}
