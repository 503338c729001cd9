//! What is wrong with a manifest: all of it, each problem at its place.

use std::error::Error as StdError;
use std::fmt;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use super::excerpt::{Source, printable};

/// A part of the manifest's text, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Place {
    /// The first byte.
    pub(crate) start: usize,
    /// The byte after the last.
    pub(crate) end: usize,
}

/// One thing that is wrong. Texts are lowercase fragments.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(super) what: String,
    pub(super) labels: Vec<(Place, String)>,
    pub(super) help: Option<String>,
}

impl Problem {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            labels: Vec::new(),
            help: None,
        }
    }

    /// Points at a place; the first place decides where the problem is listed.
    pub(crate) fn at(mut self, place: Place, label: impl Into<String>) -> Self {
        self.labels.push((place, label.into()));
        self
    }

    /// Points at a place that matters only sometimes.
    pub(crate) fn maybe_at(self, place: Option<Place>, label: &str) -> Self {
        match place {
            Some(place) => self.at(place, label),
            None => self,
        }
    }

    /// Says what to do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Problems as they are found; keeps the first ones and counts the rest, so that a hostile file
/// cannot make an endless report.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    kept: Vec<Problem>,
    omitted: usize,
}

impl Problems {
    /// Most problems that are shown.
    const MOST: usize = 30;

    /// Whether further problems are only counted, so that their texts need not be made.
    pub(crate) fn is_full(&self) -> bool {
        self.kept.len() >= Self::MOST
    }

    /// Counts a problem that need not be shown.
    pub(crate) fn count_only(&mut self) {
        self.omitted += 1;
    }

    pub(crate) fn push(&mut self, problem: Problem) {
        if self.is_full() {
            self.count_only();
        } else {
            self.kept.push(problem);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub(crate) fn extend(&mut self, problem: impl IntoIterator<Item = Problem>) {
        problem.into_iter().for_each(|problem| self.push(problem));
    }

    /// The report, with the problems in the order of the text.
    pub(crate) fn report(mut self, source: &Source<'_>) -> Invalid {
        self.kept
            .sort_by_key(|problem| problem.labels.first().map(|(place, _)| place.start));
        Invalid {
            name: source.name.to_owned(),
            problems: self
                .kept
                .into_iter()
                .map(|problem| Shown::new(problem, source))
                .collect(),
            omitted: self.omitted,
        }
    }
}

/// A manifest that cannot be used, with every problem that was found in it.
///
/// A single problem is the diagnostic itself; several are its `related` ones. Excerpts are part of
/// it and bounded, so it is `'static` and printing it needs no file.
#[derive(Debug)]
pub struct Invalid {
    name: String,
    problems: Vec<Shown>,
    omitted: usize,
}

impl Invalid {
    /// How many problems there are, those left out of the report included. At least one.
    pub fn count(&self) -> usize {
        self.problems.len() + self.omitted
    }

    fn only(&self) -> Option<&Shown> {
        match self.problems.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.only() {
            Some(one) => one.fmt(f),
            None => write!(f, "{} problems in {}", self.count(), self.name),
        }
    }
}

impl StdError for Invalid {}

impl Diagnostic for Invalid {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        match self.only() {
            Some(one) => one.help(),
            None if self.omitted > 0 => Some(Box::new(format!(
                "only the first {} problems are shown",
                self.problems.len()
            ))),
            None => None,
        }
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.only()?.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.only()?.labels()
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        match self.only() {
            Some(_) => None,
            None => Some(Box::new(
                self.problems
                    .iter()
                    .map(|problem| problem as &dyn Diagnostic),
            )),
        }
    }
}

/// A problem with its excerpt.
#[derive(Debug)]
struct Shown {
    what: String,
    labels: Vec<LabeledSpan>,
    help: Option<String>,
    excerpt: Option<NamedSource<String>>,
}

impl Shown {
    fn new(problem: Problem, source: &Source<'_>) -> Self {
        if problem.labels.is_empty() {
            return Self {
                what: clean(&format!("{}: {}", source.name, problem.what)),
                labels: Vec::new(),
                help: problem.help.as_deref().map(clean),
                excerpt: None,
            };
        }
        let places: Vec<Place> = problem.labels.iter().map(|(place, _)| *place).collect();
        let (text, moved) = source.excerpt(&places);
        let labels = moved.into_iter().zip(problem.labels).enumerate();
        Self {
            what: clean(&problem.what),
            labels: labels
                .map(|(at, (place, (_, label)))| {
                    let (span, label) = (place.start..place.end, clean(&label));
                    if at == 0 {
                        LabeledSpan::new_primary_with_span(Some(label), span)
                    } else {
                        LabeledSpan::new_with_span(Some(label), span)
                    }
                })
                .collect(),
            help: problem.help.as_deref().map(clean),
            excerpt: Some(NamedSource::new(source.name, text)),
        }
    }
}

/// Longest text beside an excerpt, in characters.
const LONGEST: usize = 600;

/// A text as it may be shown, whatever of the manifest it repeats: of bounded length, and without
/// characters that steer a terminal.
fn clean(text: &str) -> String {
    let shown = |c| if c == '\n' { c } else { printable(c) };
    let mut clean: String = text.chars().take(LONGEST).map(shown).collect();
    if text.chars().nth(LONGEST).is_some() {
        clean.push('…');
    }
    clean
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Shown {}

impl Diagnostic for Shown {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt.as_ref().map(|text| text as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}
