//! Compares the tree with the shape of a manifest, and each value with its grammar.

mod mapping;
mod path;

use super::problem::{Place, Problem, Problems};
use super::scalar::{Grammar, quote};
use super::shape::{Shape, Word};
use super::tree::{Body, Kind, Node, Scalar};
use path::Path;

/// Adds to `problems` everything in the tree that does not have the shape.
pub(super) fn walk(shape: &Shape, root: &Node, problems: &mut Problems) {
    Walk {
        whole: shape,
        problems,
    }
    .value(shape, root, &Path::root());
}

struct Walk<'s, 'p> {
    /// The shape of everything, to say where a misplaced key belongs.
    whole: &'s Shape,
    problems: &'p mut Problems,
}

impl Walk<'_, '_> {
    fn value(&mut self, shape: &Shape, node: &Node, path: &Path) {
        if node.is_null() {
            self.problems.push(
                Problem::new(format!("{path} has no value"))
                    .at(path.key().unwrap_or(node.place), "nothing follows")
                    .maybe_at(node.alias, ALIAS)
                    .help(match shape {
                        Shape::Mapping(_) | Shape::Table(_) => {
                            "remove the key if all below it is commented out, or write `{}`"
                        }
                        _ => "give it a value, or remove it",
                    }),
            );
            return;
        }
        match (shape, &node.body) {
            (Shape::Mapping(fields), Body::Mapping(entries)) => {
                self.mapping(fields, entries, node, path);
            }
            (Shape::Table(values), Body::Mapping(entries)) => {
                for entry in entries {
                    self.name(&entry.key);
                    let below = path.below(&entry.key.scalar.text, entry.key.place);
                    self.value(values, &entry.value, &below);
                }
            }
            (Shape::List { item, least }, Body::List(items)) => {
                if (items.len() as u64) < *least {
                    let label = format!("at least {least} needed");
                    self.problems
                        .push(about(node, format!("{path} is empty"), label));
                }
                for (index, node) in items.iter().enumerate() {
                    self.value(item, node, &path.item(index));
                }
            }
            (Shape::Text(grammar), Body::Scalar(scalar)) => {
                self.text(*grammar, scalar, node, path);
            }
            (Shape::Choice(words), Body::Scalar(scalar)) => {
                self.choice(words, scalar, node, path);
            }
            (Shape::Number, Body::Scalar(scalar)) => self.number(scalar, node, path),
            (Shape::Constant(only), Body::Scalar(scalar)) => {
                self.constant(*only, scalar, node, path);
            }
            _ => {
                let help = how_to_write(shape, node, path);
                self.wrong_type(shape.describe(), node, path, help);
            }
        }
    }

    fn text(&mut self, grammar: Option<Grammar>, scalar: &Scalar, node: &Node, path: &Path) {
        if let Some(Err(error)) = grammar.map(|grammar| grammar(&scalar.text)) {
            self.problems.push(
                about(node, format!("bad value for {path}"), error.problem).help(error.expected),
            );
        } else if scalar.kind() != Kind::Text {
            let quoted = quote(&scalar.text).replace('`', "");
            self.wrong_type("text", node, path, Some(format!("quote it: \"{quoted}\"")));
        }
    }

    fn choice(&mut self, words: &[Word], scalar: &Scalar, node: &Node, path: &Path) {
        if words.iter().any(|word| word.text == scalar.text) {
            return;
        }
        let texts = words.iter().map(|word| word.text.as_str());
        let label = match closest(&scalar.text, texts) {
            Some(guess) => format!("did you mean `{guess}`?"),
            None => "not one of its values".to_owned(),
        };
        let list: Vec<String> = words
            .iter()
            .map(|word| format!("`{}`: {}", word.text, word.doc))
            .collect();
        let what = format!("unknown value {} for {path}", quote(&scalar.text));
        self.problems
            .push(about(node, what, label).help(list.join("\n")));
    }

    fn number(&mut self, scalar: &Scalar, node: &Node, path: &Path) {
        let text = scalar.text.as_str();
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let (label, help) = match scalar.kind() {
            Kind::Number if digits && text.len() > 1 && text.starts_with('0') => (
                "has zeros in front",
                "leave them out: some programs would read the number as octal",
            ),
            Kind::Number if digits && text.parse::<u32>().is_ok() => return,
            Kind::Number => (
                "not a whole number in decimal",
                "write a number from 0 to 4294967295, with digits only",
            ),
            kind => {
                let help = match kind {
                    Kind::Text if digits && !text.is_empty() => "leave out the quotes",
                    _ => "write it in decimal, as in 2001",
                };
                return self.wrong_type("a whole number", node, path, Some(help.to_owned()));
            }
        };
        let what = format!("bad value for {path}");
        self.problems.push(about(node, what, label).help(help));
    }

    fn constant(&mut self, only: u64, scalar: &Scalar, node: &Node, path: &Path) {
        if scalar.kind() == Kind::Number && scalar.text == only.to_string() {
            return;
        }
        if scalar.text == only.to_string() {
            let help = "leave out the quotes".to_owned();
            return self.wrong_type("a number", node, path, Some(help));
        }
        let what = format!("unknown value {} for {path}", quote(&scalar.text));
        let help = format!("write {only}; a later version of this tool may know others");
        self.problems
            .push(about(node, what, format!("only {only} is known")).help(help));
    }

    fn wrong_type(&mut self, expected: &str, node: &Node, path: &Path, help: Option<String>) {
        let label = format!("expected {expected}, found {}", node.describe());
        let problem = about(node, format!("wrong type for {path}"), label);
        self.problems.push(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
    }
}

/// Label of the alias through which a value came.
const ALIAS: &str = "through this alias";

/// A problem with a value.
fn about(node: &Node, what: String, label: impl Into<String>) -> Problem {
    Problem::new(what)
        .at(node.place, label)
        .maybe_at(node.alias, ALIAS)
}

/// A remedy where one collection or scalar stands for another.
fn how_to_write(shape: &Shape, node: &Node, path: &Path) -> Option<String> {
    match (shape, &node.body) {
        (Shape::List { .. }, Body::Scalar(scalar)) => {
            let text = quote(&scalar.text).replace('`', "");
            Some(format!("put it in brackets: [{text}]"))
        }
        (Shape::List { .. }, Body::Mapping(_)) => Some("begin each item with `- `".to_owned()),
        (Shape::Mapping(_), _) if path.is_root() => Some(
            "begin with `version: 1`, not indented; examples/minimal.yaml is the smallest manifest"
                .to_owned(),
        ),
        (Shape::Mapping(fields), _) => {
            let names: Vec<String> = fields.keys().map(|name| format!("`{name}: ...`")).collect();
            Some(format!(
                "write one or more of {} below it",
                names.join(", ")
            ))
        }
        (Shape::Table(_), _) => Some("write NAME: NUMBER, as in { bob: 2001 }".to_owned()),
        (Shape::Text(_) | Shape::Choice(_), Body::List(items)) if items.len() == 1 => {
            Some("leave out the brackets: it takes a single value".to_owned())
        }
        (_, Body::List(_)) => Some("write a single value".to_owned()),
        _ => None,
    }
}

/// The known word that was probably meant.
fn closest<'w>(text: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    // Similarity costs the product of the lengths; nothing we know is nearly as long.
    if text.len() > 64 {
        return None;
    }
    let same = |c: char| {
        if c == '-' {
            '_'
        } else {
            c.to_ascii_lowercase()
        }
    };
    let text: String = text.chars().map(same).collect();
    words
        .map(|word| {
            let known: String = word.chars().map(same).collect();
            (word, strsim::normalized_damerau_levenshtein(&text, &known))
        })
        .filter(|(_, score)| *score >= 0.6)
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(word, _)| word)
}
