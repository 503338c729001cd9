//! The tree, from the events of the YAML parser.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::bytes::Bytes;
use super::{Body, Entry, Key, Kind, MAX_DEPTH, MAX_NODES, MAX_TEXT, Node, Scalar, Style, syntax};
use crate::manifest::problem::{Place, Problem, Problems};
use crate::manifest::scalar::quote;

/// Builds the tree of a text; `None` for a text that holds nothing.
///
/// Fails with the one problem that makes the rest of the text unreadable; other problems are added
/// to `problems`, and the parts that have them are left out of the tree.
pub(in crate::manifest) fn build(
    text: &str,
    problems: &mut Problems,
) -> Result<Option<Node>, Problem> {
    Builder {
        text,
        bytes: Bytes::new(text),
        parser: Parser::new_from_str(text),
        anchors: BTreeMap::new(),
        used: Cost::default(),
        flow: Vec::new(),
        problems,
    }
    .document()
}

/// What a tree costs.
#[derive(Clone, Copy, Default)]
struct Cost {
    nodes: usize,
    text: usize,
}

struct Anchored {
    node: Node,
    cost: Cost,
}

struct Builder<'t, 'p> {
    text: &'t str,
    bytes: Bytes,
    parser: Parser<'t, StrInput<'t>>,
    anchors: BTreeMap<usize, Anchored>,
    used: Cost,
    /// The brackets that are open now.
    flow: Vec<Place>,
    problems: &'p mut Problems,
}

/// What stands in front of a value.
struct Properties {
    /// The parser's number for the anchor; 0 for none.
    anchor: usize,
    tagged: bool,
}

/// How a collection is written.
#[derive(Clone, Copy)]
enum Layout {
    /// By indentation.
    Block,
    /// In brackets.
    Flow,
}

impl<'t> Builder<'t, '_> {
    fn document(mut self) -> Result<Option<Node>, Problem> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(Problem::new("more than one YAML document")
                        .at(self.place(span), "a second document begins here")
                        .help("a manifest is one document: make a file for each migration"));
                }
                Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::StreamStart
                | Event::Nothing => {}
                event => root = Some(self.node(event, span, 0)?),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let at = self.bytes.at(error.marker().index());
                let open = self.flow.last().copied();
                Err(syntax::problem(self.text, at, error.info(), open))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Problem> {
        let place = self.place(span);
        if depth > MAX_DEPTH {
            return Err(Problem::new("nested too deeply")
                .at(place, format!("level {depth}"))
                .help(format!(
                    "at most {MAX_DEPTH} levels are read; a manifest needs five"
                )));
        }
        if let Event::Alias(anchor) = event {
            return self.alias(anchor, place);
        }
        let before = self.used;
        let (body, value, properties) = self.body(event, place, depth)?;
        if properties.tagged {
            self.problems.push(
                Problem::new("a tag")
                    .at(self.tag(place, value), "tags are not read")
                    .help("leave it out; quotes are enough to make a value text"),
            );
        }
        let node = Node {
            place: value,
            alias: None,
            body,
        };
        if properties.anchor != 0 {
            let cost = Cost {
                nodes: self.used.nodes - before.nodes,
                text: self.used.text - before.text,
            };
            self.copy(cost, place)?;
            let node = node.clone();
            self.anchors
                .insert(properties.anchor, Anchored { node, cost });
        }
        Ok(node)
    }

    /// The value that begins with this event, and its place without what stands in front of it.
    fn body(
        &mut self,
        event: Event<'t>,
        place: Place,
        depth: usize,
    ) -> Result<(Body, Place, Properties), Problem> {
        Ok(match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tagged = tag.is_some();
                let place = self.without_properties(place, anchor != 0 || tagged);
                self.spend(text.len(), place)?;
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    _ => Style::Text,
                };
                let text = text.into_owned();
                let body = Body::Scalar(Scalar { text, style });
                (body, place, Properties { anchor, tagged })
            }
            Event::SequenceStart(anchor, tag) => {
                let tagged = tag.is_some();
                self.spend(0, place)?;
                let layout = self.open(place);
                let (items, end) = self.items(depth)?;
                let place = self.close(layout, place, end);
                (Body::List(items), place, Properties { anchor, tagged })
            }
            Event::MappingStart(anchor, tag) => {
                let tagged = tag.is_some();
                self.spend(0, place)?;
                let layout = self.open(place);
                let (entries, end) = self.entries(depth)?;
                let place = self.close(layout, place, end);
                (Body::Mapping(entries), place, Properties { anchor, tagged })
            }
            _ => {
                let info = "a value is missing";
                return Err(syntax::problem(self.text, place.start, info, None));
            }
        })
    }

    /// The place of the tag in front of a value, or of the value if the parser leaves it unclear.
    fn tag(&self, whole: Place, value: Place) -> Place {
        let front = &self.text[whole.start..value.start.max(whole.start)];
        match front.find('!') {
            Some(at) => {
                let tag = front[at..].split_whitespace().next().unwrap_or_default();
                let start = whole.start + at;
                Place {
                    start,
                    end: start + tag.len(),
                }
            }
            None => value,
        }
    }

    /// Begins a collection; a flow collection is remembered as open.
    fn open(&mut self, place: Place) -> Layout {
        match self.text[place.start..place.end].find(['[', '{']) {
            Some(at) => {
                let start = place.start + at;
                self.flow.push(Place {
                    start,
                    end: start + 1,
                });
                Layout::Flow
            }
            None => Layout::Block,
        }
    }

    /// Ends a collection and gives its place, from the two that the parser gave for its ends.
    fn close(&mut self, layout: Layout, start: Place, end: Place) -> Place {
        match layout {
            Layout::Flow => {
                let start = self.flow.pop().unwrap_or(start).start;
                // The parser counts in blanks and comments behind the bracket.
                let bracket = self.text[end.start..].starts_with([']', '}']);
                Place {
                    start,
                    end: end.start + usize::from(bracket),
                }
            }
            Layout::Block => {
                let start = self.without_properties(start, true).start;
                Place {
                    start,
                    end: end.end.max(start),
                }
            }
        }
    }

    fn items(&mut self, depth: usize) -> Result<(Vec<Node>, Place), Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, span) => return Ok((items, self.place(span))),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn entries(&mut self, depth: usize) -> Result<(Vec<Entry>, Place), Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut first: BTreeMap<String, Place> = BTreeMap::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok((entries, self.place(span)));
            }
            let key = self.key(event, span, depth)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            let Some(key) = key else { continue };
            if let Some(earlier) = first.get(&key.scalar.text) {
                self.problems.push(
                    Problem::new(format!("key {} given twice", quote(&key.scalar.text)))
                        .at(key.place, "given again here")
                        .at(*earlier, "first given here")
                        .help("keep one of them"),
                );
                continue;
            }
            first.insert(key.scalar.text.clone(), key.place);
            entries.push(Entry { key, value });
        }
    }

    /// A key, or `None` for one that a manifest cannot have.
    fn key(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Option<Key>, Problem> {
        let node = self.node(event, span, depth + 1)?;
        let place = node.alias.unwrap_or(node.place);
        let refused = match node.body {
            Body::Scalar(_) if node.alias.is_some() => {
                Problem::new("an alias as a key").at(place, "write the key out")
            }
            Body::Scalar(scalar)
                if scalar.kind() == Kind::Text
                    && scalar.text == "<<"
                    && scalar.style == Style::Plain =>
            {
                Problem::new("a merge key, `<<`")
                    .at(place, "merge keys are not read")
                    .help("write the keys out, or use an alias for the whole value: `mail: *mail`")
            }
            Body::Scalar(scalar) => return Ok(Some(Key { place, scalar })),
            Body::List(_) | Body::Mapping(_) => Problem::new("a key that is not text")
                .at(place, "a key is a single word")
                .help("quote text that begins with a bracket or a brace"),
        };
        self.problems.push(refused);
        Ok(None)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<Node, Problem> {
        let Some(cost) = self.anchors.get(&anchor).map(|anchored| anchored.cost) else {
            return Err(Problem::new("a value that holds itself")
                .at(place, "this alias is inside the value that it stands for")
                .help("write the value out"));
        };
        self.copy(cost, place)?;
        let mut node = self.anchors[&anchor].node.clone();
        node.came_through(place);
        Ok(node)
    }

    /// Pays for a copy, before it is made: a few lines of aliases can stand for terabytes.
    fn copy(&mut self, cost: Cost, place: Place) -> Result<(), Problem> {
        self.used.nodes = self.used.nodes.saturating_add(cost.nodes);
        self.used.text = self.used.text.saturating_add(cost.text);
        if self.used.nodes > MAX_NODES || self.used.text > MAX_TEXT {
            return Err(Problem::new("aliases make this manifest too large")
                .at(place, "too large from here on")
                .help(format!(
                    "with every alias replaced, a manifest has at most {MAX_NODES} values and \
                     {} MiB of text",
                    MAX_TEXT >> 20
                )));
        }
        Ok(())
    }

    /// Pays for one value with so much text of its own.
    fn spend(&mut self, text: usize, place: Place) -> Result<(), Problem> {
        self.used.nodes += 1;
        self.used.text += text;
        if self.used.nodes > MAX_NODES || self.used.text > MAX_TEXT {
            return Err(Problem::new("too many values")
                .at(place, "too many from here on")
                .help(format!(
                    "at most {MAX_NODES} values are read; choose users by `users.uid` or by globs"
                )));
        }
        Ok(())
    }

    fn place(&self, span: Span) -> Place {
        let start = self.bytes.at(span.start.index());
        Place {
            start,
            end: self.bytes.at(span.end.index()).max(start),
        }
    }

    /// The place without the anchor and tag in front of the value, which the parser counts in.
    fn without_properties(&self, place: Place, any: bool) -> Place {
        let mut start = place.start;
        while any && self.text[start..place.end].starts_with(['&', '!']) {
            let rest = &self.text[start..place.end];
            let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let gap = rest[word..].len() - rest[word..].trim_start().len();
            start += word + gap;
        }
        Place {
            start,
            end: place.end,
        }
    }
}

impl Node {
    /// Enters the alias into this and everything below.
    fn came_through(&mut self, alias: Place) {
        self.alias = Some(alias);
        match &mut self.body {
            Body::Scalar(_) => {}
            Body::List(items) => items.iter_mut().for_each(|item| item.came_through(alias)),
            Body::Mapping(entries) => entries
                .iter_mut()
                .for_each(|entry| entry.value.came_through(alias)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_yaml::Value;

    use super::*;

    fn tree(text: &str) -> Option<Node> {
        let mut problems = Problems::default();
        let root = build(text, &mut problems).ok()?;
        root.filter(|_| problems.is_empty())
    }

    fn text_at<'t>(text: &'t str, path: &[&str]) -> &'t str {
        let root = tree(text).unwrap();
        let node = path.iter().try_fold(&root, |node, key| node.get(key));
        let place = node.unwrap().place;
        &text[place.start..place.end]
    }

    #[test]
    fn places_are_those_of_the_values_in_bytes() {
        for (text, path, place) in [
            ("ä: ö\nk: wert\n", &["k"][..], "wert"),
            ("k: &anchor 'v'\n", &["k"], "'v'"),
            ("k: &anchor [1, 2] # c\n", &["k"], "[1, 2]"),
            ("k: { a: b, c: { d: e } }\n", &["k", "c"], "{ d: e }"),
            ("k: \"a\\tb\"\n", &["k"], "\"a\\tb\""),
            ("k:\nl: 1\n", &["k"], ""),
        ] {
            assert_eq!(text_at(text, path), place, "{text}");
        }
    }

    #[test]
    fn an_alias_remembers_where_it_stands() {
        let text = "a: &x { b: [c] }\nd: *x\n";
        let root = tree(text).unwrap();
        let node = root.get("d").and_then(|d| d.get("b")).unwrap();
        let alias = node.alias.unwrap();
        assert_eq!(&text[alias.start..alias.end], "*x");
        assert_eq!(&text[node.place.start..node.place.end], "[c]");
        assert!(root.get("a").unwrap().alias.is_none());
    }

    /// Whether the parser that makes the types sees the same as the one that gives the places.
    fn agree(node: &Node, value: &Value) -> bool {
        match (&node.body, value) {
            (Body::List(items), Value::Sequence(values)) => {
                items.len() == values.len()
                    && items
                        .iter()
                        .zip(values)
                        .all(|(node, value)| agree(node, value))
            }
            (Body::Mapping(entries), Value::Mapping(values)) => {
                entries.len() == values.len()
                    && entries
                        .iter()
                        .zip(values.values())
                        .all(|(entry, value)| agree(&entry.value, value))
            }
            (Body::Scalar(scalar), value) => match (scalar.kind(), value) {
                // We call more a number, so that a name like it has to be quoted.
                (Kind::Text | Kind::Number, Value::String(text)) => *text == scalar.text,
                (Kind::Null, Value::Null)
                | (Kind::Boolean, Value::Bool(_))
                | (Kind::Number, Value::Number(_)) => true,
                _ => false,
            },
            _ => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn both_parsers_see_the_same_values(
            text in "([a-c]{1,2}: ?([a-c0-9.+~-]{0,4}|'[a-c ]*'|\"[a-c]*\"|\\[[a-c0, ]*\\]|\\{[a-c]: [0-9]\\}|\\|\n  x|>-\n  x\n  y)( #.?)?\n( - [a-c]\n| {1,2}[a-c]: [a-c]\n){0,2}){1,4}"
        ) {
            let value = serde_yaml::from_str::<Value>(&text);
            if let (Some(root), Ok(value)) = (tree(&text), value) {
                proptest::prop_assert!(agree(&root, &value), "{}\n{:?}\n{:?}", text, root, value);
            }
        }

        #[test]
        fn both_parsers_see_the_same_scalars(text in "[-+0-9a-fxob_.eE~]{0,6}") {
            let text = format!("k: {text}\n");
            let value = serde_yaml::from_str::<Value>(&text);
            if let (Some(root), Ok(value)) = (tree(&text), value) {
                proptest::prop_assert!(agree(&root, &value), "{}\n{:?}", text, value);
            }
        }
    }
}
