//! The page that a manifest is written on: keys that are set, keys that are commented out, and
//! remarks, each at its place; how they are laid out, not what they say.
//!
//! A key that is commented out has its `#` in the first column and no space after it but its
//! indentation, so that taking the `#` away leaves a manifest. A section none of whose keys is set is
//! commented out itself: YAML would take its bare name for null.

use super::yaml;

/// How much a remark matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Good to know.
    Info,
    /// A risk.
    Warning,
    /// The plan stops at it.
    Blocked,
}

/// Whether a key is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Set,
    /// Commented out: its default, an example or a proposal.
    Off,
}

/// One thing on the page.
#[derive(Debug)]
pub(super) enum Item {
    Blank,
    Remark(Level, String),
    Key {
        key: String,
        /// As YAML.
        value: String,
        state: State,
        why: String,
    },
    Section(Section),
}

/// A key with keys below it.
#[derive(Debug)]
pub(super) struct Section {
    key: String,
    why: String,
    items: Vec<Item>,
}

/// Lines are wrapped here.
const WIDTH: usize = 100;
/// The column of the explanations.
const COLUMN: usize = 36;
/// A remark is no longer than this, in characters, whatever the hosts put into it.
const LONGEST: usize = 700;

impl Section {
    pub(super) fn new(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            why: String::new(),
            items: Vec::new(),
        }
    }

    /// What the section is for.
    pub(super) fn why(mut self, why: &str) -> Self {
        why.clone_into(&mut self.why);
        self
    }

    pub(super) fn info(&mut self, text: impl Into<String>) {
        self.items.push(Item::Remark(Level::Info, text.into()));
    }

    pub(super) fn warning(&mut self, text: impl Into<String>) {
        self.items.push(Item::Remark(Level::Warning, text.into()));
    }

    pub(super) fn blocked(&mut self, text: impl Into<String>) {
        self.items.push(Item::Remark(Level::Blocked, text.into()));
    }

    /// A key with a value, `value` being YAML.
    pub(super) fn set(&mut self, key: &str, value: impl Into<String>, why: impl Into<String>) {
        self.key(key, value, State::Set, why);
    }

    /// A key that is commented out.
    pub(super) fn off(&mut self, key: &str, value: impl Into<String>, why: impl Into<String>) {
        self.key(key, value, State::Off, why);
    }

    pub(super) fn key(
        &mut self,
        key: &str,
        value: impl Into<String>,
        state: State,
        why: impl Into<String>,
    ) {
        self.items.push(Item::Key {
            key: key.to_owned(),
            value: value.into(),
            state,
            why: why.into(),
        });
    }

    pub(super) fn section(&mut self, section: Self) {
        self.items.push(Item::Section(section));
    }

    pub(super) fn blank(&mut self) {
        self.items.push(Item::Blank);
    }

    fn state(&self) -> State {
        let set = self.items.iter().any(|item| match item {
            Item::Key { state, .. } => *state == State::Set,
            Item::Section(section) => section.state() == State::Set,
            Item::Blank | Item::Remark(..) => false,
        });
        if set { State::Set } else { State::Off }
    }

    /// How many remarks of this level there are.
    pub(super) fn count(&self, wanted: Level) -> usize {
        let count = |item: &Item| match item {
            Item::Remark(level, _) => usize::from(*level == wanted),
            Item::Section(section) => section.count(wanted),
            Item::Blank | Item::Key { .. } => 0,
        };
        self.items.iter().map(count).sum()
    }

    /// The items as text, the section being the whole page.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        self.write_items(0, &mut out);
        out
    }

    fn write_items(&self, depth: usize, out: &mut String) {
        for item in &self.items {
            match item {
                Item::Blank => out.push('\n'),
                Item::Remark(level, text) => remark(depth, *level, text, out),
                Item::Key {
                    key,
                    value,
                    state,
                    why,
                } => line(depth, &format!("{key}: {value}"), *state, why, out),
                Item::Section(section) => {
                    line(
                        depth,
                        &format!("{}:", section.key),
                        section.state(),
                        &section.why,
                        out,
                    );
                    section.write_items(depth + 1, out);
                }
            }
        }
    }
}

/// A line of the manifest with its explanation, which stands above if there is no room behind.
fn line(depth: usize, entry: &str, state: State, why: &str, out: &mut String) {
    let mark = match state {
        State::Set => "",
        State::Off => "#",
    };
    let entry = format!("{mark}{}{entry}", "  ".repeat(depth));
    if why.is_empty() {
        out.push_str(&entry);
    } else {
        let why = yaml::comment(why);
        let beside = format!("{entry:<COLUMN$}# {why}");
        let close = format!("{entry}  # {why}");
        let fits = |text: &str| text.chars().count() <= WIDTH;
        if entry.chars().count() < COLUMN && fits(&beside) {
            out.push_str(&beside);
        } else if fits(&close) {
            out.push_str(&close);
        } else {
            remark(depth, Level::Info, &why, out);
            out.push_str(&entry);
        }
    }
    out.push('\n');
}

/// A remark as comment lines, wrapped between words.
fn remark(depth: usize, level: Level, text: &str, out: &mut String) {
    let text = yaml::comment(text);
    let text: String = match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    };
    let (label, hang) = match level {
        Level::Info => ("", ""),
        Level::Warning => ("warning: ", "  "),
        Level::Blocked => ("blocked: ", "  "),
    };
    let start = format!("{}# ", "  ".repeat(depth));
    let mut current = format!("{start}{label}");
    let mut fresh = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = current.chars().count() + word.chars().count() + usize::from(!fresh);
        if !fresh && length > WIDTH {
            out.push_str(current.trim_end());
            out.push('\n');
            current = format!("{start}{hang}");
            fresh = true;
        }
        if !fresh {
            current.push(' ');
        }
        current.push_str(word);
        fresh = false;
    }
    out.push_str(current.trim_end());
    out.push('\n');
}
