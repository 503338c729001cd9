//! Taking addresses out of interfaces(5).
//!
//! A stanza that says nothing but the address goes. One that says more, such as the gateway, keeps it and
//! gets the address of another stanza of the same interface, which goes instead. An interface that
//! would be left without a stanza is brought up without addresses. Hooks that add the address go, too.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::resource::address::backend::{has_word, without_lines};

/// Lines that run a program when an interface comes up or goes down.
const HOOKS: [&str; 6] = ["pre-up", "up", "post-up", "down", "pre-down", "post-down"];
/// Settings that are of no use without the address.
const OF_ADDRESS: [&str; 10] = [
    "address",
    "netmask",
    "broadcast",
    "network",
    "label",
    "scope",
    "autoconf",
    "dad-attempts",
    "dad-interval",
    "preferred-lifetime",
];
/// Those that say what the address is.
const ADDRESS: [&str; 4] = ["address", "netmask", "broadcast", "network"];

/// A keyword and what belongs to it, by line numbers from 1.
#[derive(Debug)]
struct Block<'a> {
    words: Vec<&'a str>,
    line: usize,
    settings: Vec<Setting<'a>>,
}

/// A setting; a line that ends in a backslash goes on on the next one.
#[derive(Debug)]
struct Setting<'a> {
    key: &'a str,
    value: &'a str,
    lines: (usize, usize),
}

impl Block<'_> {
    fn is_static(&self) -> bool {
        matches!(
            self.words.as_slice(),
            ["iface", _, "inet" | "inet6", "static"]
        )
    }

    fn name(&self) -> &str {
        self.words.get(1).copied().unwrap_or_default()
    }

    fn address(&self) -> Option<IpAddr> {
        let setting = self.settings.iter().find(|s| s.key == "address")?;
        setting.value.split('/').next()?.parse().ok()
    }

    fn is_nothing_else(&self) -> bool {
        self.settings.iter().all(|s| OF_ADDRESS.contains(&s.key))
    }

    fn lines(&self) -> impl Iterator<Item = usize> {
        let settings = self.settings.iter();
        std::iter::once(self.line).chain(settings.flat_map(|s| s.lines.0..=s.lines.1))
    }

    fn lines_of_address(&self) -> BTreeSet<usize> {
        let settings = self.settings.iter().filter(|s| ADDRESS.contains(&s.key));
        settings.flat_map(|s| s.lines.0..=s.lines.1).collect()
    }
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut carried = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if std::mem::replace(&mut carried, line.ends_with('\\')) {
            if let Some(setting) = blocks.last_mut().and_then(|b| b.settings.last_mut()) {
                setting.lines.1 = number;
            }
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            carried = false;
            continue;
        }
        let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let begins = matches!(
            key,
            "iface"
                | "mapping"
                | "template"
                | "source"
                | "source-directory"
                | "auto"
                | "no-auto-down"
                | "no-scripts"
                | "rename"
        ) || key.starts_with("allow-");
        match blocks.last_mut() {
            Some(block) if !begins => block.settings.push(Setting {
                key,
                value: value.trim(),
                lines: (number, number),
            }),
            _ => blocks.push(Block {
                words: line.split_whitespace().collect(),
                line: number,
                settings: Vec::new(),
            }),
        }
    }
    blocks
}

/// How many stanzas each interface has: names, once for each.
pub(super) fn names(text: &str) -> Vec<String> {
    let blocks = blocks(text);
    let stanzas = blocks.iter().filter(|block| block.words[0] == "iface");
    stanzas.map(|block| block.name().to_owned()).collect()
}

/// A hook that still says the address: line and number.
pub(super) fn hook(text: &str, address: IpAddr) -> Option<usize> {
    let blocks = blocks(text);
    let hooks = blocks.iter().flat_map(|block| &block.settings);
    let mut hooks = hooks.filter(|s| HOOKS.contains(&s.key) && has_word(s.value, address));
    hooks.next().map(|setting| setting.lines.0)
}

/// The text without these addresses. `left` has the names of all interfaces' stanzas, once for each,
/// and loses those that go.
pub(super) fn without(text: &str, addresses: &BTreeSet<IpAddr>, left: &mut Vec<String>) -> String {
    let blocks = blocks(text);
    let goes = |block: &Block<'_>| block.address().is_some_and(|a| addresses.contains(&a));
    let mut lines: BTreeSet<usize> = BTreeSet::new();
    let mut instead: Vec<(usize, String)> = Vec::new();
    let mut heirs: BTreeSet<usize> = BTreeSet::new();
    for block in &blocks {
        let hooks = block.settings.iter().filter(|setting| {
            HOOKS.contains(&setting.key)
                && addresses.iter().any(|one| has_word(setting.value, *one))
                && sets_address_only(setting.value)
        });
        lines.extend(hooks.flat_map(|setting| setting.lines.0..=setting.lines.1));
        if !block.is_static() || !goes(block) {
            continue;
        }
        let is_alias = block.name().contains(':');
        let only = left.iter().filter(|name| *name == block.name()).count() == 1;
        if block.is_nothing_else() && (is_alias || !only) {
            lines.extend(block.lines());
            forget(left, block.name());
        } else if block.is_nothing_else() {
            lines.extend(block.lines());
            instead.push((block.line, format!("iface {} inet manual\n", block.name())));
        } else if let Some(heir) = blocks.iter().find(|other| {
            other.is_static()
                && other.words == block.words
                && !goes(other)
                && other.is_nothing_else()
                && !heirs.contains(&other.line)
        }) {
            heirs.insert(heir.line);
            let old = block.lines_of_address();
            let new = heir.lines_of_address();
            let new = (1..)
                .zip(text.split_inclusive('\n'))
                .filter(|(n, _)| new.contains(n));
            let new: String = new.map(|(_, line)| with_feed(line)).collect();
            instead.push((old.first().copied().unwrap_or(block.line), new));
            lines.extend(old);
            lines.extend(heir.lines());
            forget(left, heir.name());
        }
    }
    aliases(&blocks, left, text, &mut lines, &mut instead);
    if instead.is_empty() {
        return without_lines(text, &lines);
    }
    let mut out = String::with_capacity(text.len());
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        for (_, new) in instead.iter().filter(|(at, _)| *at == number) {
            out.push_str(new);
        }
        if !lines.contains(&number) {
            out.push_str(line);
        }
    }
    out
}

/// An alias (`eth0:1`) without a stanza is not brought up any more.
fn aliases(
    blocks: &[Block<'_>],
    left: &[String],
    text: &str,
    lines: &mut BTreeSet<usize>,
    instead: &mut Vec<(usize, String)>,
) {
    for block in blocks {
        let key = block.words[0];
        if key != "auto" && !key.starts_with("allow-") {
            continue;
        }
        let gone = |name: &&str| {
            let had = names(text).iter().any(|one| one == *name);
            name.contains(':') && had && !left.iter().any(|one| one == *name)
        };
        let stay: Vec<&str> = block.words[1..]
            .iter()
            .filter(|n| !gone(n))
            .copied()
            .collect();
        if stay.len() + 1 == block.words.len() {
            continue;
        }
        lines.insert(block.line);
        if !stay.is_empty() {
            instead.push((block.line, format!("{key} {}\n", stay.join(" "))));
        }
    }
}

fn forget(left: &mut Vec<String>, name: &str) {
    if let Some(at) = left.iter().position(|one| one == name) {
        left.remove(at);
    }
}

fn with_feed(line: &str) -> String {
    let feed = if line.ends_with('\n') { "" } else { "\n" };
    format!("{line}{feed}")
}

/// Whether a hook adds or deletes an address and does nothing else.
fn sets_address_only(hook: &str) -> bool {
    let sure = hook
        .trim_end()
        .trim_end_matches("|| true")
        .trim_end_matches("|| :");
    let plain = !sure.contains(['&', '|', ';', '`', '$', '(', '\\']) || sure.contains("$IFACE");
    let words: Vec<&str> = sure.split_whitespace().collect();
    let program = words
        .first()
        .map(|word| word.rsplit('/').next().unwrap_or(word));
    let does = match program {
        Some("ip") => words.iter().any(|w| matches!(*w, "a" | "addr" | "address")),
        Some("ifconfig") => true,
        _ => false,
    };
    plain && does && !sure.contains(['&', '|', ';', '`', '('])
}
