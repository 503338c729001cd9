//! A UIDL format that some Dovecot accepts.

use super::look::Look;
use crate::manifest::problem::{Problem, Problems};
use crate::uidl;

pub(super) fn check(look: &Look<'_>, problems: &mut Problems) {
    let Some(format) = look.text(&["dovecot", "uidl_format"]) else {
        return;
    };
    if format.text == "source" {
        return;
    }
    if let Err(why) = uidl::check_literal(format.text) {
        let label = if format.text.contains('%') {
            "neither 2.3 nor 2.4 syntax"
        } else {
            "`source`, or a format with variables"
        };
        problems.push(
            Problem::new(why)
                .at(format.place, label)
                .help("write source for what the source serves now, or copy what `doveconf -h pop3_uidl_format` prints there"),
        );
    }
}
