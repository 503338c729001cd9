//! The report for people.

use std::cmp::Reverse;
use std::fmt::Write as _;

use super::{Report, User};
use crate::names::UserName;
use crate::report::{counted, size};
use crate::resource::spool::Threshold;
use crate::resource::spool::measure::Part;
use crate::resource::spool::trend::Forecast;

/// So many users are named unless all are asked for.
const NAMED: usize = 20;

pub(super) fn text(report: &Report, all: bool) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        writeln!(out, "{}", text.trim_end()).expect("writing to a String cannot fail");
    };
    let since = report.since.map_or_else(
        || "no earlier run is on record: growth needs `--record`".to_owned(),
        |since| format!("growth since {since:.0}"),
    );
    line(&format!(
        "{}: mail on the {} at {:.0}; {since}\n",
        report.migration, report.host, report.at
    ));
    line(&row([
        "user", "INBOX", "messages", "oldest", "folders", "messages", "oldest", "growth",
    ]));
    let mut users: Vec<(&UserName, &User)> = report.users.iter().collect();
    users.sort_by_key(|(name, user)| (Reverse(user.usage.inbox.bytes), *name));
    let named = if all { users.len() } else { NAMED };
    for (name, user) in users.iter().take(named) {
        let [inbox, folders] = [user.usage.inbox, user.usage.folders].map(part);
        let growth = growth(user.growth);
        let name = name.to_string();
        let cells = [
            &name,
            &inbox[0],
            &inbox[1],
            &inbox[2],
            &folders[0],
            &folders[1],
            &folders[2],
            &growth,
        ];
        let row = row(cells.map(String::as_str));
        line(&format!("{row}  {}", remark(user)));
    }
    if let Some(more) = users.len().checked_sub(named).filter(|more| *more > 0) {
        line(&format!("and {more} more; --all names them"));
    }
    line("");
    for partition in &report.partitions {
        let changed = partition.growth.map_or(String::new(), |change| {
            format!(", {} free since the last run", signed(change))
        });
        line(&format!(
            "{} ({}): {} of mail, {} free{changed}; {}",
            partition.path,
            partition.kind,
            size(partition.mail),
            size(partition.free),
            partition.full,
        ));
    }
    if !report.unknown.is_empty() {
        let users = counted(report.unknown.len() as u64, "user", "users");
        line(&format!(
            "{users} unknown to Dovecot there: {}",
            report.unknown[0]
        ));
    }
    out
}

/// Those who are above a threshold, a line each.
pub(super) fn above(report: &Report) -> String {
    let mut out = String::new();
    for (name, user) in &report.users {
        if let (Some(threshold), Some(bytes)) = (user.above, user.usage.inbox.bytes) {
            writeln!(
                out,
                "warning: {name}: {} is above spool.{threshold}",
                size(bytes)
            )
            .expect("writing to a String cannot fail");
        }
    }
    out
}

fn row(cells: [&str; 8]) -> String {
    let [
        user,
        inbox,
        messages,
        oldest,
        folders,
        in_folders,
        oldest_there,
        growth,
    ] = cells;
    format!(
        "{user:<16} {inbox:>9} {messages:>8} {oldest:>10}  {folders:>9} {in_folders:>8} \
         {oldest_there:>10} {growth:>10}"
    )
}

/// Size, messages and the day of the oldest; a question mark for what cannot be told.
fn part(part: Part) -> [String; 3] {
    let unknown = || "?".to_owned();
    let oldest = match (part.oldest, part.messages) {
        (Some(oldest), _) => oldest.strftime("%Y-%m-%d").to_string(),
        (None, Some(0)) => "-".to_owned(),
        (None, _) => unknown(),
    };
    [
        part.bytes.map_or_else(unknown, size),
        part.messages
            .map_or_else(unknown, |number| number.to_string()),
        oldest,
    ]
}

fn growth(bytes: Option<i64>) -> String {
    bytes.map_or_else(|| "?".to_owned(), signed)
}

fn signed(bytes: i64) -> String {
    let sign = match bytes {
        0 => "",
        1.. => "+",
        _ => "-",
    };
    format!("{sign}{}", size(bytes.unsigned_abs()))
}

fn remark(user: &User) -> String {
    let above = user.above.map(|threshold| match threshold {
        Threshold::Warn => "above spool.warn".to_owned(),
        Threshold::Limit => "above spool.limit".to_owned(),
    });
    let limit = match user.limit {
        Some(forecast @ Forecast::In { .. }) => Some(format!("spool.limit: {forecast}")),
        _ => None,
    };
    let remarks: Vec<String> = above.into_iter().chain(limit).collect();
    remarks.join("; ")
}
