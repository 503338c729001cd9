//! From the words of ssh and sudo to a [`Failure`].

use super::Failure;

/// What ssh meant. Where it goes through jump hosts, their ssh speaks first, and what the others say
/// follows from that: the first line that is understood counts.
pub(in super::super) fn understand(said: &str) -> Failure {
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    if said.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        return changed_key(&lines);
    }
    if let Some(failure) = lines.iter().find_map(|line| line_means(line)) {
        return failure;
    }
    Failure::Other(in_one_line(&lines))
}

fn line_means(line: &str) -> Option<Failure> {
    if line.contains("Bad configuration option: knownhostscommand") {
        return Some(Failure::OldClient);
    }
    if let Some(name) = between(line, "Could not resolve hostname ", ": ") {
        return Some(Failure::UnknownName(name.to_owned()));
    }
    if let Some(place) = between(line, "connect to host ", ": Connection refused") {
        return Some(Failure::Refused(place.to_owned()));
    }
    // Through ProxyJump: the jump host could not go on.
    if let Some(said) = after(line, "open failed: connect failed: ") {
        return Some(match said {
            "Connection refused" => Failure::Refused("the host behind the jump host".to_owned()),
            name if name.contains("resolve") || name.contains("not known") => {
                Failure::UnknownName(format!("of the host, to the jump host ({name}),"))
            }
            said => Failure::Unreachable(said.to_owned()),
        });
    }
    let unreachable = [
        "timed out",
        "No route to host",
        "Network is unreachable",
        "Host is down",
    ];
    if unreachable.iter().any(|said| line.contains(said)) {
        return Some(Failure::Unreachable(without_program(line).to_owned()));
    }
    // "No ED25519 host key is known for [127.0.0.1]:2222 and you have requested strict checking."
    if let Some((kind, rest)) =
        after(line, "No ").and_then(|l| l.split_once(" host key is known for "))
    {
        let host = rest
            .split_once(" and you have")
            .map_or(rest, |(host, _)| host);
        return Some(Failure::UnknownKey {
            host: host.to_owned(),
            kind: kind.to_owned(),
            fingerprint: None,
        });
    }
    if line.contains("REVOKED HOST KEY") || line.contains("is marked as revoked") {
        return Some(Failure::RevokedKey(
            line.trim_matches(['@', ' ']).to_owned(),
        ));
    }
    if line.contains("Permission denied (") || line.contains("Too many authentication failures") {
        return Some(Failure::Denied(line.trim_end_matches('.').to_owned()));
    }
    // "Unable to negotiate with 192.0.2.1 port 22: no matching cipher found. Their offer: ..."
    if let Some(said) = between(line, "Unable to negotiate with ", "").and_then(|l| after(l, ": "))
    {
        return Some(Failure::NoCommonAlgorithm(said.to_owned()));
    }
    None
}

fn changed_key(lines: &[&str]) -> Failure {
    let host = lines
        .iter()
        .find_map(|line| between(line, "Host key for ", " has changed"));
    let offered = lines
        .iter()
        .find(|line| line.starts_with("SHA256:"))
        .map(|line| line.trim_end_matches('.').to_owned());
    let place = lines.iter().find_map(|line| {
        let (_, place) = line.strip_prefix("Offending ")?.split_once(" in ")?;
        let (file, number) = place.rsplit_once(':')?;
        Some((file.to_owned(), number.parse().ok()?))
    });
    Failure::ChangedKey {
        host: host.unwrap_or("the host").to_owned(),
        place,
        recorded: None,
        offered,
    }
}

/// sudo's refusal in what a command left on its standard error; `None` if sudo let it run.
pub(in super::super) fn refusal_of_sudo(said: &str) -> Option<Failure> {
    const BY_ITSELF: [&str; 3] = [
        "is not in the sudoers file",
        "is not allowed to execute",
        "may not run sudo",
    ];
    const AFTER_ITS_NAME: [&str; 5] = [
        "a password is required",
        "a terminal is required",
        "you must have a tty",
        "no tty present",
        "not found",
    ];
    let says = |line: &str, refusals: &[&str]| refusals.iter().any(|text| line.contains(text));
    let refused = |line: &&str| {
        says(line, &BY_ITSELF) || (line.contains("sudo: ") && says(line, &AFTER_ITS_NAME))
    };
    let line = said.lines().map(str::trim).find(refused)?;
    Some(Failure::SudoRefused(
        line.strip_prefix("sudo: ").unwrap_or(line).to_owned(),
    ))
}

fn in_one_line(lines: &[&str]) -> String {
    let said: Vec<&str> = lines
        .iter()
        .map(|line| without_program(line).trim_end_matches('.'))
        .filter(|line| !line.is_empty() && !line.starts_with('@'))
        .collect();
    if said.is_empty() {
        return "ssh ended without a word".to_owned();
    }
    said.join("; ")
}

fn without_program(line: &str) -> &str {
    line.strip_prefix("ssh: ").unwrap_or(line)
}

fn after<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    line.split_once(mark).map(|(_, rest)| rest)
}

fn between<'a>(line: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let rest = after(line, from)?;
    match to {
        "" => Some(rest),
        _ => rest.split_once(to).map(|(middle, _)| middle),
    }
}

#[cfg(test)]
mod tests;
