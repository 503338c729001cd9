//! The target's certificates against the source's, as clients judge them. Pure.

use super::{Certificate, Content, Issued, Key, Program, SOON, Shown, Validity};
use crate::certificate::covers;
use crate::manifest::Sibling;
use crate::names::Side;
use crate::resource::dovecot::compare::{Finding, Pair};
use crate::resource::dovecot::settings::Ssl;

/// What each side shows, for people.
pub(in crate::resource::dovecot) fn notes(side: Side, all: &[Shown]) -> Vec<String> {
    all.iter().map(|shown| describe(side, shown)).collect()
}

fn describe(side: Side, shown: &Shown) -> String {
    let start = format!("{} on the {side} shows {}", shown.by, shown.file);
    let certificate = match &shown.content {
        Content::Absent(_) => return format!("{start}, which is not there"),
        Content::Unreadable(why) => return format!("{start}, which cannot be read: {why}"),
        Content::Certificate(certificate) => certificate,
    };
    let names: Vec<&str> = certificate.names.iter().map(String::as_str).collect();
    let issuer = match certificate.issued {
        Issued::BySelf => "itself".to_owned(),
        Issued::ByAnother => certificate.issuer.clone(),
    };
    let key = match &shown.key {
        Key::Fits => "its key fits".to_owned(),
        Key::Other => "its key is another one's".to_owned(),
        Key::Missing => "its key is missing".to_owned(),
        Key::Unknown(why) => format!("whether its key fits is not known ({why})"),
        Key::NotTried => "its key was not looked at".to_owned(),
    };
    let end = certificate.not_after.strftime("%Y-%m-%d");
    format!(
        "{start}: for {}; {}; issued by {issuer}, with {} more in its chain; valid until {end}; {key}",
        names.join(", "),
        certificate.key_kind,
        certificate.chain
    )
}

/// What clients of the source would notice.
pub(in crate::resource::dovecot) fn compare(pair: &Pair<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let offered = |ssl: Ssl| ssl != Ssl::No;
    // A target without TLS is an obstacle of its own.
    if offered(pair.to.access.ssl) && offered(pair.from.access.ssl) {
        let troubles = troubles(pair, Program::Dovecot);
        if !troubles.is_empty() {
            let (copy, lines) = remedy(pair);
            let what = format!("{}{copy}", troubles.join("; "));
            findings.push(Finding::breaks(Sibling::Tls, what, lines));
        }
    }
    for program in [Program::Postfix, Program::Sendmail] {
        // Only where both have it: another MTA has other settings.
        if of(&pair.source.certificates, program).next().is_some()
            && of(&pair.target.certificates, program).next().is_some()
        {
            let troubles = troubles(pair, program);
            findings.extend(troubles.iter().map(|what| Finding::warning("tls", what)));
        }
    }
    findings
}

fn of(all: &[Shown], program: Program) -> impl Iterator<Item = &Shown> {
    all.iter().filter(move |shown| shown.by == program)
}

fn troubles(pair: &Pair<'_>, program: Program) -> Vec<String> {
    let on_target: Vec<&Shown> = of(&pair.target.certificates, program).collect();
    if on_target.is_empty() {
        return match of(&pair.source.certificates, program).next() {
            Some(_) => vec![format!(
                "{program} on the target has no certificate: clients that use TLS fail"
            )],
            None => Vec::new(),
        };
    }
    let mut troubles: Vec<String> = on_target
        .iter()
        .flat_map(|shown| soundness(shown))
        .collect();
    let good: Vec<&Certificate> = on_target.iter().filter_map(|s| s.certificate()).collect();
    if good.is_empty() {
        return troubles;
    }
    let covered = |name: &str| {
        let mut names = good.iter().flat_map(|certificate| &certificate.names);
        names.any(|pattern| covers(pattern, name))
    };
    if let Some(hostname) = pair.hostname
        && !covered(hostname)
    {
        troubles.push(format!(
            "no certificate of {program} on the target is for {hostname}, the name that clients use"
        ));
    }
    for source in of(&pair.source.certificates, program).filter_map(Shown::certificate) {
        if good.iter().any(|target| target.digest == source.digest) {
            continue;
        }
        let missing: Vec<&str> = source
            .names
            .iter()
            .map(String::as_str)
            .filter(|name| !covered(name))
            .collect();
        if !missing.is_empty() {
            troubles.push(format!(
                "{program} on the source shows a certificate for {}, and none on the target is for \
                 that: clients refuse it, or ask",
                missing.join(", ")
            ));
        }
        if source.issued == Issued::ByAnother {
            troubles.extend(
                good.iter()
                    .filter_map(|target| trust(program, source, target)),
            );
        }
    }
    troubles
}

/// What is wrong with a certificate whatever the source has.
fn soundness(shown: &Shown) -> Vec<String> {
    let (by, file) = (shown.by, &shown.file);
    let certificate = match &shown.content {
        Content::Absent(_) => {
            return vec![format!(
                "{file}, the certificate of {by} on the target, is not there: {by} does not start, \
                 and doveconf does not notice"
            )];
        }
        Content::Unreadable(why) => {
            return vec![format!(
                "{file}, the certificate of {by} on the target: {why}"
            )];
        }
        Content::Certificate(certificate) => certificate,
    };
    let end = certificate.not_after.strftime("%Y-%m-%d");
    let validity = match certificate.validity {
        Validity::Valid => None,
        Validity::EndsSoon => Some(format!(
            "{file}, the certificate of {by} on the target, ends on {end}, in less than {SOON} days"
        )),
        Validity::Ended => Some(format!(
            "{file}, the certificate of {by} on the target, ended on {end}"
        )),
        Validity::NotYet => Some(format!(
            "{file}, the certificate of {by} on the target, is not valid yet"
        )),
    };
    let key = match &shown.key {
        Key::Fits | Key::NotTried | Key::Unknown(_) => None,
        Key::Other => Some("is that of another certificate"),
        Key::Missing => Some("is not there"),
    };
    let key = key.map(|what| {
        let key = shown.key_file.as_ref();
        let key = key.map_or_else(|| "the key".to_owned(), ToString::to_string);
        format!("{key} of {file} on the target {what}: {by} cannot offer TLS")
    });
    validity.into_iter().chain(key).collect()
}

/// A certificate that clients believe without being told, and one that they do not.
fn trust(program: Program, source: &Certificate, target: &Certificate) -> Option<String> {
    if target.issued == Issued::BySelf {
        return Some(format!(
            "the certificate of {program} on the target is issued by itself, the source's by {}: \
             clients refuse it, or ask",
            source.issuer
        ));
    }
    (source.chain > 0 && target.chain == 0).then(|| {
        format!(
            "the certificate of {program} on the target stands alone in its file, the source's is \
             followed by {} more: clients that do not know its issuer refuse it",
            source.chain
        )
    })
}

/// The source's certificate is the one that clients know: what to do with its files, and the lines.
fn remedy(pair: &Pair<'_>) -> (String, Vec<String>) {
    let mut all = of(&pair.source.certificates, Program::Dovecot);
    let good = |shown: &&Shown| {
        let certificate = shown.certificate();
        certificate.is_some_and(|c| matches!(c.validity, Validity::Valid | Validity::EndsSoon))
    };
    let Some(shown) = all.find(good) else {
        return (String::new(), Vec::new());
    };
    let (file, key) = (&shown.file, shown.key_file.as_ref().unwrap_or(&shown.file));
    let lines = if pair.is_new() {
        vec![
            format!("ssl_server_cert_file = {file}"),
            format!("ssl_server_key_file = {key}"),
        ]
    } else {
        vec![format!("ssl_cert = <{file}"), format!("ssl_key = <{key}")]
    };
    let copy = format!(". Copy {file} and {key} (root only) from the source, or get new ones");
    (copy, lines)
}
