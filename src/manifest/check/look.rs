//! Looking values up in the tree, with their places.

use std::str::FromStr;

use crate::manifest::problem::Place;
use crate::manifest::tree::{Body, Key, Node, Scalar};

/// The tree, to look values up by their path.
pub(super) struct Look<'t> {
    root: &'t Node,
}

/// A value that could be read.
#[derive(Clone, Copy)]
pub(super) struct Found<'t, T> {
    pub(super) value: T,
    /// As it is written.
    pub(super) text: &'t str,
    /// Where it is used: the alias, if it is written elsewhere.
    pub(super) place: Place,
}

impl<'t> Look<'t> {
    pub(super) fn new(root: &'t Node) -> Self {
        Self { root }
    }

    fn node(&self, path: &[&str]) -> Option<&'t Node> {
        path.iter().try_fold(self.root, |node, key| node.get(key))
    }

    /// The scalar at a path; none if it is absent, null or a collection.
    pub(super) fn text(&self, path: &[&str]) -> Option<Found<'t, ()>> {
        self.node(path).and_then(Found::scalar)
    }

    /// The value at a path; none if it is absent or does not follow its grammar, which the walk
    /// reports.
    pub(super) fn value<T: FromStr>(&self, path: &[&str]) -> Option<Found<'t, T>> {
        self.text(path)?.parse()
    }

    /// The scalars of the list at a path.
    pub(super) fn texts(&self, path: &[&str]) -> impl Iterator<Item = Found<'t, ()>> {
        let items = match self.node(path).map(|node| &node.body) {
            Some(Body::List(items)) => items.as_slice(),
            _ => &[],
        };
        items.iter().filter_map(Found::scalar)
    }

    /// The entries of the mapping at a path whose values are scalars.
    pub(super) fn entries(&self, path: &[&str]) -> impl Iterator<Item = (&'t Key, Found<'t, ()>)> {
        let entries = match self.node(path).map(|node| &node.body) {
            Some(Body::Mapping(entries)) => entries.as_slice(),
            _ => &[],
        };
        entries
            .iter()
            .filter_map(|entry| Some((&entry.key, Found::scalar(&entry.value)?)))
    }
}

impl<'t> Found<'t, ()> {
    fn scalar(node: &'t Node) -> Option<Self> {
        let Body::Scalar(Scalar { text, .. }) = &node.body else {
            return None;
        };
        if node.is_null() {
            return None;
        }
        Some(Self {
            value: (),
            text,
            place: node.alias.unwrap_or(node.place),
        })
    }

    /// The value, if the text follows its grammar.
    pub(super) fn parse<T: FromStr>(self) -> Option<Found<'t, T>> {
        Some(Found {
            value: self.text.parse().ok()?,
            text: self.text,
            place: self.place,
        })
    }
}
