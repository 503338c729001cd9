//! Source, target and backup are different machines, and each is described as what it is.

use super::look::{Found, Look};
use crate::manifest::HostAddress;
use crate::manifest::problem::{Problem, Problems};
use crate::raw::{HostPath, escape};

type Host<'t> = Found<'t, HostAddress>;

pub(super) fn check(look: &Look<'_>, problems: &mut Problems) {
    let source = look.value::<HostAddress>(&["source", "host"]);
    let target = look.value::<HostAddress>(&["target", "host"]);
    if let (Some(source), Some(target)) = (&source, &target) {
        problems.extend(same(source, target));
    }
    for (side, host) in [("source", &source), ("target", &target)] {
        let Some(host) = host else { continue };
        if let HostAddress::Dir(_) = host.value {
            for (key, what) in [
                ("host_key", "has no SSH host key"),
                ("become", "needs no login"),
            ] {
                if let Some(found) = look.text(&[side, key]) {
                    problems.push(
                        Problem::new(format!("`{side}.{key}` means nothing here"))
                            .at(found.place, format!("a directory {what}"))
                            .at(host.place, "this host is a directory")
                            .help(format!("remove `{key}`, or reach the host by ssh://")),
                    );
                }
            }
        }
    }
    if let Some(path) = look.text(&["transfer", "path"])
        && path.text == "direct"
        && let Some(directory) = [&source, &target]
            .into_iter()
            .flatten()
            .find(|host| !host.value.is_live())
    {
        problems.push(
            Problem::new("nothing connects to a directory")
                .at(path.place, "between two hosts that run")
                .at(directory.place, "this host is a directory")
                .help("leave `transfer.path` out, or reach the host by ssh://"),
        );
    }
    let Some(backup) = look.value::<HostAddress>(&["mx", "backup", "host"]) else {
        return;
    };
    for (side, host) in [("source", &source), ("target", &target)] {
        let Some(host) = host else { continue };
        if relation(&host.value, &backup.value) == Some(Relation::Same) {
            problems.push(
                Problem::new(format!("the backup is the {side} itself"))
                    .at(backup.place, "must be a third machine")
                    .at(host.place, format!("the {side}"))
                    .help("a backup queues while source and target stand still; leave `backup` out to only check DNS"),
            );
        }
    }
}

fn same(source: &Host<'_>, target: &Host<'_>) -> Option<Problem> {
    let relation = relation(&source.value, &target.value)?;
    let label = match relation {
        Relation::Same => "the same machine",
        Relation::Inside => "inside the source's tree",
        Relation::Around => "the source is in here",
    };
    Some(
        Problem::new(relation.text())
            .at(target.place, label)
            .at(source.place, "the source")
            .help(TWO_HOSTS),
    )
}

/// Remedy for two addresses that do not stand for two hosts.
pub(crate) const TWO_HOSTS: &str = "mail moves between two hosts, each with a root of its own";

/// Why two addresses do not stand for two hosts, as far as the text alone tells.
pub(crate) fn not_two(source: &HostAddress, target: &HostAddress) -> Option<&'static str> {
    Some(relation(source, target)?.text())
}

/// How the second host lies to the first.
#[derive(PartialEq, Eq)]
enum Relation {
    Same,
    Inside,
    Around,
}

impl Relation {
    fn text(&self) -> &'static str {
        match self {
            Self::Same => "source and target are the same machine",
            Self::Inside => "the target is inside the source",
            Self::Around => "the source is inside the target",
        }
    }
}

fn relation(first: &HostAddress, second: &HostAddress) -> Option<Relation> {
    match (first, second) {
        (HostAddress::Dir(first), HostAddress::Dir(second)) => nesting(first, second),
        (
            HostAddress::Ssh {
                host: first,
                port: first_port,
                ..
            },
            HostAddress::Ssh {
                host: second,
                port: second_port,
                ..
            },
        ) => {
            // Two ports of one name can be two machines behind it; one without a port is on 22
            // unless ssh_config says otherwise.
            let same = first.eq_ignore_ascii_case(second)
                && first_port.unwrap_or(22) == second_port.unwrap_or(22);
            same.then_some(Relation::Same)
        }
        _ => None,
    }
}

fn nesting(first: &HostPath, second: &HostPath) -> Option<Relation> {
    let (first, second) = (normal(first), normal(second));
    // A relative and an absolute path, or one that climbs further, can only be told apart once
    // the directory of the manifest is known.
    if first.kind != second.kind {
        return None;
    }
    let (a, b) = (&first.parts, &second.parts);
    if a == b {
        Some(Relation::Same)
    } else if b.is_empty() {
        // A disk mounted on the very machine that is the target.
        None
    } else if b.starts_with(a) {
        Some(Relation::Inside)
    } else if a.starts_with(b) {
        Some(Relation::Around)
    } else {
        None
    }
}

/// A path without `.`, `..` and double slashes, as far as the text alone tells.
struct Normal {
    kind: Base,
    parts: Vec<String>,
}

/// What the parts count from.
#[derive(PartialEq, Eq)]
enum Base {
    Root,
    /// So many levels above the manifest's directory.
    Manifest(usize),
}

fn normal(path: &HostPath) -> Normal {
    let text = escape(path.as_bytes());
    let mut kind = if text.starts_with('/') {
        Base::Root
    } else {
        Base::Manifest(0)
    };
    let mut parts: Vec<String> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none()
                    && let Base::Manifest(up) = &mut kind
                {
                    *up += 1;
                }
            }
            part => parts.push(part.to_owned()),
        }
    }
    Normal { kind, parts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation_of(first: &str, second: &str) -> Option<Relation> {
        relation(&first.parse().unwrap(), &second.parse().unwrap())
    }

    #[test]
    fn one_machine_under_two_spellings_is_recognised() {
        for (first, second) in [
            ("dir:/mnt/a", "dir:/mnt//b/../a/."),
            ("dir:a", "dir:./a/"),
            ("dir:../a/b", "dir:x/../../a/b"),
            ("dir:/..", "dir:/"),
            ("ssh://root@OLD", "ssh://old:22"),
        ] {
            assert!(
                relation_of(first, second) == Some(Relation::Same),
                "{first} {second}"
            );
        }
    }

    #[test]
    fn a_tree_inside_the_other_is_recognised() {
        assert!(relation_of("dir:/srv", "dir:/srv/new") == Some(Relation::Inside));
        assert!(relation_of("dir:/srv/old", "dir:/srv") == Some(Relation::Around));
        assert!(relation_of("dir:.", "dir:new") == Some(Relation::Inside));
    }

    #[test]
    fn different_machines_are_left_alone() {
        for (first, second) in [
            ("dir:/mnt/a", "dir:/mnt/ab"),
            ("dir:/mnt/a", "dir:mnt/a"),
            ("dir:/mnt/old", "dir:/"),
            ("dir:../a", "dir:a"),
            ("ssh://gate:2201", "ssh://gate:2202"),
            ("ssh://a", "dir:/"),
        ] {
            assert!(relation_of(first, second).is_none(), "{first} {second}");
        }
    }
}
