//! The report in Prometheus' text exposition format, for `node_exporter`'s textfile collector.

use std::fmt::{Display, Write as _};

use super::{Report, User};
use crate::manifest::Spool;
use crate::resource::spool::measure::Part;
use crate::resource::spool::trend::Forecast;

/// One sample of a family: labels and value.
type Sample<'a> = (Vec<(&'a str, String)>, String);

pub(super) fn text(report: &Report, limits: &Spool) -> String {
    let mut out = String::new();
    let mut family = |name: &str, help: &str, samples: Vec<Sample<'_>>| {
        if samples.is_empty() {
            return;
        }
        let mut line = |text: &dyn Display| {
            writeln!(out, "{text}").expect("writing to a String cannot fail");
        };
        line(&format_args!("# HELP reconcile_spool_{name} {help}"));
        line(&format_args!("# TYPE reconcile_spool_{name} gauge"));
        for (labels, value) in samples {
            let labels = labels
                .iter()
                .map(|(key, value)| format!("{key}=\"{}\"", escaped(value)));
            let labels: Vec<String> = labels.collect();
            line(&format_args!(
                "reconcile_spool_{name}{{{}}} {value}",
                labels.join(",")
            ));
        }
    };
    family(
        "bytes",
        "Bytes of mail of a user.",
        parts(report, |part| part.bytes.map(|bytes| bytes.to_string())),
    );
    family(
        "messages",
        "Messages of a user.",
        parts(report, |part| {
            part.messages.map(|number| number.to_string())
        }),
    );
    family(
        "oldest_timestamp_seconds",
        "When the oldest message of a user was received.",
        parts(report, |part| {
            part.oldest.map(|at| at.as_second().to_string())
        }),
    );
    let thresholds = [("warn", limits.warn), ("limit", limits.limit)];
    let thresholds = thresholds.into_iter().filter_map(|(name, size)| {
        let labels = vec![("threshold", name.to_owned())];
        Some((labels, size?.bytes.to_string()))
    });
    family(
        "threshold_bytes",
        "spool.warn and spool.limit of the manifest, for the INBOX of each user.",
        thresholds.collect(),
    );
    let full = report.users.iter().filter_map(|(name, user)| {
        let labels = vec![("user", name.to_string())];
        Some((labels, seconds(user.limit?)?))
    });
    family(
        "limit_seconds",
        "In how many seconds the INBOX of a user reaches spool.limit; absent without a forecast.",
        full.collect(),
    );
    let partition = |value: fn(&super::Partition) -> Option<String>| {
        let each = report.partitions.iter().filter_map(move |partition| {
            let labels = vec![("path", partition.path.to_string())];
            Some((labels, value(partition)?))
        });
        each.collect()
    };
    family(
        "partition_mail_bytes",
        "Bytes of mail on a file system.",
        partition(|partition| Some(partition.mail.to_string())),
    );
    family(
        "partition_free_bytes",
        "Bytes that are free on it.",
        partition(|partition| Some(partition.free.to_string())),
    );
    family(
        "partition_full_seconds",
        "In how many seconds it is full; absent without a forecast.",
        partition(|partition| seconds(partition.full)),
    );
    family(
        "measured_timestamp_seconds",
        "When this was measured.",
        vec![(
            vec![
                ("migration", report.migration.to_string()),
                ("host", report.host.to_string()),
            ],
            report.at.as_second().to_string(),
        )],
    );
    out
}

fn parts<'a>(report: &Report, value: fn(Part) -> Option<String>) -> Vec<Sample<'a>> {
    let mut samples = Vec::new();
    for (name, User { usage, .. }) in &report.users {
        for (part, of) in [("inbox", usage.inbox), ("folders", usage.folders)] {
            if let Some(value) = value(of) {
                let labels = vec![("user", name.to_string()), ("part", part.to_owned())];
                samples.push((labels, value));
            }
        }
    }
    samples
}

fn seconds(forecast: Forecast) -> Option<String> {
    match forecast {
        Forecast::In { days } => Some((days * 86_400).to_string()),
        Forecast::Full => Some("0".to_owned()),
        _ => None,
    }
}

/// A label's value: backslash, quote and line end are escaped.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
