//! The plan as text for a terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::group::groups;
use super::{Paint, Row, Sign, summary};
use crate::plan::change::Verb;
use crate::plan::{Action, Blocked, Change, Level, Plan, Resource};

/// Widest column of resource names; longer ones push their title to the right.
const COLUMN: usize = 26;

/// Width of prose without its indent; with it, 96 columns.
const PROSE: usize = 90;

/// The plan as text.
pub fn text(plan: &Plan, paint: Paint) -> String {
    let mut out = String::new();
    let ink = Ink(paint);
    let manifest = &plan.manifest;
    push(
        &mut out,
        &format!(
            "{}: {} -> {}\nserve_from is {}, and the {}'s mail counts now.",
            ink.bold(&manifest.name.to_string()),
            manifest.source.host,
            manifest.target.host,
            manifest.serve_from,
            plan.authority
        ),
    );
    write_limit(&mut out, plan);
    write_renumbered(&mut out, plan, ink);
    for group in groups(plan) {
        push(&mut out, "");
        push(
            &mut out,
            &format!("{}: {}", ink.bold(group.heading), group.because),
        );
        for row in &group.rows {
            write_row(&mut out, row, ink);
        }
    }
    if !plan.blocked.is_empty() {
        push(&mut out, "");
        push(
            &mut out,
            &ink.red("Blocked: nothing is applied while one of these stands."),
        );
        for blocked in &plan.blocked {
            write_blocked(&mut out, blocked, ink);
        }
    }
    if !plan.notes.is_empty() {
        push(&mut out, "");
        push(&mut out, &ink.bold("Notes"));
        for note in &plan.notes {
            let level = match note.level {
                Level::Info => "info".to_owned(),
                Level::Warning => ink.yellow("warning"),
            };
            push(&mut out, &format!("  {level} {}", note.resource));
            wrapped(&mut out, &note.text);
        }
    }
    push(&mut out, "");
    push(&mut out, &ink.bold(&summary(plan)));
    out
}

/// What holds while mail is copied.
fn write_limit(out: &mut String, plan: &Plan) {
    let from = plan.actions.iter().find_map(|action| match &action.change {
        Change::CopyMail(copy) => Some(copy.from),
        Change::Rounds(rounds) => Some(rounds.from),
        _ => None,
    });
    if let (Some(limit), Some(from)) = (plan.manifest.transfer.limit, from) {
        push(
            out,
            &format!("transfer.limit: at most {limit} leave the {from}, except in a freeze."),
        );
    }
}

/// The table of numbers that change, before anything that is done with them.
fn write_renumbered(out: &mut String, plan: &Plan, ink: Ink) {
    let with_owners = |action: &Action| match &action.change {
        Change::MergeAccounts(merge) => merge.users.iter().any(|user| user.verb == Verb::Create),
        Change::CopyMail(_) => true,
        _ => false,
    };
    if plan.renumbered.is_empty() || !plan.actions.iter().any(with_owners) {
        return;
    }
    push(out, "");
    let heading = ink.bold("Other numbers on the target");
    push(
        out,
        &format!("{heading}: the owners of copied files follow"),
    );
    let uids = plan.renumbered.iter().filter_map(|r| match &r.of {
        Resource::Account(name) => Some(format!("{name} {} -> {}", r.from, r.to)),
        _ => None,
    });
    let gids = plan.renumbered.iter().filter_map(|r| match &r.of {
        Resource::Group(name) => Some(format!("{name} {} -> {}", r.from, r.to)),
        _ => None,
    });
    for (kind, changes) in [("uid", uids.collect::<Vec<_>>()), ("gid", gids.collect())] {
        if let Some((last, others)) = changes.split_last() {
            let others = others.iter().map(|change| format!("{change},"));
            let words = [format!("{kind}:")].into_iter().chain(others);
            fill(out, words.chain([last.clone()]));
        }
    }
}

fn write_row(out: &mut String, row: &Row, ink: Ink) {
    let resource = row.resource.to_string();
    push(
        out,
        format!("  {} {resource:<COLUMN$} {}", ink.sign(row.sign), row.title).trim_end(),
    );
    for detail in &row.details {
        push(out, format!("      {}", ink.diff(detail)).trim_end());
    }
}

/// What fits on the line of its resource stands there: most of what is blocked only waits.
fn write_blocked(out: &mut String, blocked: &Blocked, ink: Ink) {
    let (mark, by) = (ink.red("!"), blocked.by.to_string());
    let resource = format!("{:<COLUMN$}", blocked.resource.to_string());
    if resource.chars().count() + by.chars().count() < PROSE {
        push(out, &format!("  {mark} {} {by}", ink.bold(&resource)));
    } else {
        push(out, &format!("  {mark} {}", ink.bold(resource.trim_end())));
        wrapped(out, &by);
    }
    for line in blocked.by.lines() {
        push(out, &format!("          {line}"));
    }
}

fn push(out: &mut String, line: &str) {
    writeln!(out, "{line}").expect("writing to a String cannot fail");
}

/// Prose, indented, in lines that fit a terminal. What stands between backquotes is there to be
/// copied and is never broken.
fn wrapped(out: &mut String, text: &str) {
    let mut quoted = false;
    let words = text.split(|c: char| {
        quoted ^= c == '`';
        c.is_whitespace() && !quoted
    });
    fill(out, words.filter(|word| !word.is_empty()));
}

/// Lines of words; what is longer than a line stands alone.
fn fill<W: AsRef<str>>(out: &mut String, words: impl Iterator<Item = W>) {
    let mut line = String::new();
    for word in words {
        let word = word.as_ref();
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > PROSE {
            push(out, &format!("      {line}"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    push(out, &format!("      {line}"));
}

#[derive(Clone, Copy)]
struct Ink(Paint);

impl Ink {
    fn colour(self, text: &str, colour: AnsiColor) -> String {
        self.style(text, colour.on_default())
    }

    fn style(self, text: &str, style: Style) -> String {
        match self.0 {
            Paint::Plain => text.to_owned(),
            Paint::Colour => format!("{style}{text}{style:#}"),
        }
    }

    fn bold(self, text: &str) -> String {
        self.style(text, Style::new().bold())
    }

    fn red(self, text: &str) -> String {
        self.colour(text, AnsiColor::Red)
    }

    fn yellow(self, text: &str) -> String {
        self.colour(text, AnsiColor::Yellow)
    }

    fn sign(self, sign: Sign) -> String {
        let mark = sign.mark().to_string();
        match sign {
            Sign::Create => self.colour(&mark, AnsiColor::Green),
            Sign::Update => self.yellow(&mark),
            Sign::Remove => self.red(&mark),
            Sign::Run => self.colour(&mark, AnsiColor::Cyan),
        }
    }

    /// Colours the lines of a unified diff; other details stay as they are.
    fn diff(self, line: &str) -> String {
        match line.as_bytes().first() {
            Some(b'+') => self.colour(line, AnsiColor::Green),
            Some(b'-') => self.red(line),
            _ => line.to_owned(),
        }
    }
}
