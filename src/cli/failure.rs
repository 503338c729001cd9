//! How a command fails, and how that is shown.

use std::fmt::Write as _;

use miette::{GraphicalReportHandler, GraphicalTheme};

use crate::error::{Error, Exit};
use crate::manifest::Invalid;

/// A failed command.
#[derive(Debug)]
pub enum Failure {
    /// The manifest is wrong; every problem has its place.
    Manifest(Box<Invalid>),
    /// Anything else.
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Wide enough for most manifests, narrow enough for most terminals.
const WIDTH: usize = 100;

impl Failure {
    /// The exit code that goes with the text.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Manifest(_) => Exit::Usage,
            Self::Error(error) => error.kind().exit(),
        }
    }

    /// The text for stderr.
    pub fn render(&self, colour: bool) -> String {
        match self {
            Self::Manifest(invalid) => {
                let theme = if colour {
                    GraphicalTheme::unicode()
                } else {
                    GraphicalTheme::unicode_nocolor()
                };
                let mut out = String::new();
                GraphicalReportHandler::new_themed(theme)
                    .with_width(WIDTH)
                    .with_links(false)
                    .render_report(&mut out, invalid.as_ref())
                    .expect("writing to a String cannot fail");
                out
            }
            Self::Error(error) => render(error),
        }
    }
}

fn render(error: &Error) -> String {
    let mut out = format!("error: {error}\n");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        writeln!(out, "  because: {error}").expect("writing to a String cannot fail");
        cause = error.source();
    }
    if let Some(hint) = error.remedy() {
        writeln!(out, "  hint: {hint}").expect("writing to a String cannot fail");
    }
    out
}
