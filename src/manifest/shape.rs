//! What a manifest looks like: its JSON schema, and the same as a type that can be walked.
//!
//! Both come from the types by schemars, so there is one description: the types.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Manifest;
use super::scalar::{Grammar, grammar};

/// What may stand at a place.
#[derive(Debug)]
pub(super) enum Shape {
    /// A mapping with these keys and no others.
    Mapping(BTreeMap<String, Field>),
    /// A mapping whose keys are names.
    Table(Box<Shape>),
    /// A list.
    List { item: Box<Shape>, least: u64 },
    /// Text, perhaps with a grammar.
    Text(Option<Grammar>),
    /// One of some words.
    Choice(Vec<Word>),
    /// A whole number that is not negative.
    Number,
    /// This number and no other.
    Constant(u64),
}

/// A key of a mapping.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) shape: Shape,
    pub(super) need: Need,
    /// What it means, for a person who left it out.
    pub(super) doc: String,
}

/// Whether a key has to be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Need {
    Required,
    Optional,
}

/// A word of a choice.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) doc: String,
}

/// The JSON schema of a manifest.
///
/// Nothing may be null: a key that is there has a value, so that a section whose lines are all
/// commented out is not taken for one that was left out.
pub(super) fn manifest_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Manifest>().to_value();
    without_null(&mut schema);
    schema["title"] = "reconcile manifest".into();
    schema
}

/// Removes null from every choice of types.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.retain(|name, value| name != "default" || !value.is_null());
            if let Some(Value::Array(types)) = members.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    members.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    members.remove("anyOf");
                    members.extend(only);
                }
            }
            members.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// The shape of a manifest.
pub(super) fn manifest() -> &'static Shape {
    static SHAPE: LazyLock<Shape> = LazyLock::new(|| {
        let schema = manifest_schema();
        Shape::read(&schema, &schema["$defs"])
            .expect("the types use only what a shape can say; a test holds them to that")
    });
    &SHAPE
}

impl Shape {
    /// The shape that a schema describes; `None` when it says something that a shape cannot.
    fn read(schema: &Value, definitions: &Value) -> Option<Self> {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.strip_prefix("#/$defs/")?;
            let definition = definitions.get(name)?;
            return match (definition["pattern"].is_string(), grammar(name)) {
                (true, Some(grammar)) => Some(Self::Text(Some(grammar))),
                (false, None) => Self::read(definition, definitions),
                // A pattern that nobody explains, or a grammar that editors do not see.
                _ => None,
            };
        }
        if let Some(words) = schema["oneOf"].as_array() {
            return words
                .iter()
                .map(Word::read)
                .collect::<Option<_>>()
                .map(Self::Choice);
        }
        if let Some(constant) = schema["const"].as_u64() {
            return Some(Self::Constant(constant));
        }
        match schema["type"].as_str()? {
            "string" if schema.get("pattern").is_none() => Some(Self::Text(None)),
            "integer" => Some(Self::Number),
            "array" => Some(Self::List {
                item: Box::new(Self::read(&schema["items"], definitions)?),
                least: schema["minItems"].as_u64().unwrap_or(0),
            }),
            "object" => match (&schema["properties"], &schema["additionalProperties"]) {
                (Value::Object(properties), Value::Bool(false)) => {
                    let required = schema["required"].as_array();
                    let field = |(name, schema): (&String, &Value)| {
                        let shape = Self::read(schema, definitions)?;
                        let need = match required {
                            Some(names) if names.iter().any(|n| n == name) => Need::Required,
                            _ => Need::Optional,
                        };
                        let doc = schema["description"].as_str()?.to_owned();
                        Some((name.clone(), Field { shape, need, doc }))
                    };
                    properties
                        .iter()
                        .map(field)
                        .collect::<Option<_>>()
                        .map(Self::Mapping)
                }
                (Value::Null, values @ Value::Object(_)) => {
                    Some(Self::Table(Box::new(Self::read(values, definitions)?)))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// What it is called in messages.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Mapping(_) => "a mapping",
            Self::Table(_) => "a mapping of names to numbers",
            Self::List { .. } => "a list",
            Self::Text(_) => "text",
            Self::Choice(_) => "a word",
            Self::Number => "a whole number",
            Self::Constant(_) => "a number",
        }
    }

    /// Where in here a key is known, other than at the top: the paths of the mappings that have it.
    pub(super) fn homes_of(&self, key: &str) -> Vec<String> {
        let mut homes = Vec::new();
        self.collect_homes(key, "", &mut homes);
        homes
    }

    fn collect_homes(&self, key: &str, path: &str, homes: &mut Vec<String>) {
        let Self::Mapping(fields) = self else { return };
        if fields.contains_key(key) && !path.is_empty() {
            homes.push(path.to_owned());
        }
        for (name, field) in fields {
            let below = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            field.shape.collect_homes(key, &below, homes);
        }
    }
}

impl Word {
    fn read(schema: &Value) -> Option<Self> {
        Some(Self {
            text: schema["const"].as_str()?.to_owned(),
            doc: schema["description"].as_str()?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_use_only_what_a_shape_can_say() {
        let schema = manifest_schema();
        assert!(Shape::read(&schema, &schema["$defs"]).is_some());
    }

    #[test]
    fn nothing_may_be_null() {
        assert!(!manifest_schema().to_string().contains("null"));
    }

    #[test]
    fn the_design_has_these_required_keys() {
        let Shape::Mapping(fields) = manifest() else {
            panic!("a manifest is a mapping");
        };
        let required = fields
            .iter()
            .filter(|(_, field)| field.need == Need::Required);
        let required: Vec<&str> = required.map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            required,
            ["name", "serve_from", "source", "target", "version"]
        );
    }

    /// The definitions that have a grammar, each with its validator.
    static GRAMMARS: LazyLock<Vec<(String, Grammar, jsonschema::Validator)>> =
        LazyLock::new(|| {
            let schema = manifest_schema();
            let definitions = schema["$defs"].as_object().unwrap();
            let with_grammar = definitions.iter().filter_map(|(name, definition)| {
                let grammar = grammar(name)?;
                let validator = jsonschema::validator_for(definition).unwrap();
                Some((name.clone(), grammar, validator))
            });
            with_grammar.collect()
        });

    proptest::proptest! {
        #[test]
        fn no_editor_flags_what_is_accepted(text in proptest::prop_oneof![
            "[ -~ü]{0,12}",
            "[a-z0-9.:/@%*?_+ -]{0,10}",
            "(ssh://|dir:)[a-z@.:0-9\\[\\]]{1,12}/?",
            "[0-9]{1,3}(\\.[0-9])? ?[kKMGT]?i?B?",
            "[0-9]{1,4}(s|m|h|d|\\.\\.[0-9]{3,4})",
            "[0-9]{1,3}\\.[0-9]\\.[0-9]\\.[0-9]/[0-9]{1,2}",
            "[0-9a-f]{1,4}::[0-9a-f]{0,4}/[0-9]{1,3}",
            "20[0-9]{2}-1[0-2]-[0-2][0-9]T1[0-9]:00:00(\\.[0-9]{1,3})?(Z|[+-][01][0-9](:?[0-5][0-9]){0,2})",
        ]) {
            for (name, grammar, validator) in &*GRAMMARS {
                if grammar(&text).is_ok() {
                    let valid = validator.is_valid(&Value::from(text.as_str()));
                    proptest::prop_assert!(valid, "{}: {:?}", name, text);
                }
            }
        }
    }
}
