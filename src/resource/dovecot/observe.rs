//! Reading what each side serves. Decides nothing.

use crate::error::Result;
use crate::host::{Answer, Probe, ReadHost};
use crate::raw::HostPath;

use super::config::include::{self, Overlay, Reading};
use super::config::syntax::unquote;
use super::config::{Scope, effective};
use super::version::{self, Installed, VERSION_SETTING};
use super::{Actual, DropIn, Effect, HostDovecot, ReadBy, SETTING, Version, drop_in};
use crate::uidl::Syntax;

/// Where the main configuration file can be: Dovecot 2, then Dovecot 1.
const MAIN: [&str; 2] = ["/etc/dovecot/dovecot.conf", "/etc/dovecot.conf"];

/// Any value: only where it stands matters.
const PLACEHOLDER: &str = "%u";

/// Looks at both hosts.
pub fn observe(source: Option<&dyn ReadHost>, target: &dyn ReadHost) -> Result<Actual> {
    let source = source.map(host).transpose()?;
    let on_target = host(target)?;
    let drop_in = match on_target.version.syntax() {
        Some(syntax) => drop_in_on(target, syntax)?,
        None => DropIn::default(),
    };
    Ok(Actual {
        source,
        target: on_target,
        drop_in,
    })
}

fn main_file(host: &dyn ReadHost) -> Result<Option<HostPath>> {
    for path in MAIN.map(HostPath::from) {
        if host.stat(&path)?.is_some() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// One host's Dovecot.
fn host(host: &dyn ReadHost) -> Result<HostDovecot> {
    let installed = version::installed(host)?;
    let main = main_file(host)?;
    let (Some(main), Installed::Yes(..) | Installed::Unknown) = (main, &installed) else {
        return Ok(HostDovecot::default());
    };
    let reading = include::read(host, &main, None, &[SETTING, VERSION_SETTING])?;
    let (version, evidence) = match installed {
        Installed::Yes(version, evidence) => (version, evidence),
        Installed::No | Installed::Unknown => version::by_configuration(&reading),
    };
    let Some(syntax) = version.syntax() else {
        return Ok(HostDovecot::default());
    };
    let mut doubts = partial_assignments(&reading);
    if version == Version::V2_4 && reading.of(VERSION_SETTING).is_empty() {
        doubts.push(format!(
            "{main} lacks {VERSION_SETTING}: Dovecot 2.4 will not start with it"
        ));
    }
    let own = effective(reading.of(SETTING), syntax)
        .map_or_else(|| default_format(syntax).to_owned(), |a| a.value.clone());
    let (read_by, uidl_format) = match doveconf(host, &mut doubts)? {
        Some(said) => {
            if said != own {
                doubts.push(format!(
                    "doveconf says `{said}`, reconcile's own reader `{own}`: doveconf is believed"
                ));
            }
            (ReadBy::Doveconf, said)
        }
        None => (ReadBy::OwnReader, own),
    };
    Ok(HostDovecot {
        version,
        evidence,
        read_by,
        uidl_format: Some(uidl_format),
        doubts,
    })
}

/// `pop3_uidl_format` where nothing sets it.
fn default_format(syntax: Syntax) -> &'static str {
    match syntax {
        Syntax::V2_3 => "%08Xu%08Xv",
        Syntax::V2_4 => "%{uid | hex(8)}%{uidvalidity | hex(8)}",
    }
}

/// The format by the host's own doveconf, where that can run.
fn doveconf(host: &dyn ReadHost, doubts: &mut Vec<String>) -> Result<Option<String>> {
    Ok(
        match host
            .probe(&Probe::Pop3Setting(SETTING.to_owned()))?
            .as_ref()
            .map(heard)
        {
            None => None,
            Some(Ok(format)) => Some(format),
            Some(Err(complaint)) => {
                doubts.push(format!("doveconf gives no answer: {complaint}"));
                None
            }
        },
    )
}

/// The value that doveconf printed, or its complaint.
fn heard(answer: &Answer) -> std::result::Result<String, String> {
    let said = String::from_utf8_lossy(&answer.stdout);
    let said = said.trim_matches(['\n', '\r']);
    if answer.status == Some(0) && !said.is_empty() {
        // 2.4 quotes what would not be read back otherwise.
        return Ok(unquote(said));
    }
    let complaint = String::from_utf8_lossy(&answer.stderr);
    Err(complaint
        .lines()
        .last()
        .unwrap_or("it says nothing")
        .to_owned())
}

/// Assignments that only some POP3 sessions see.
fn partial_assignments(reading: &Reading) -> Vec<String> {
    reading
        .of(SETTING)
        .iter()
        .filter_map(|assignment| match &assignment.scope {
            Scope::Some(section) => Some(format!(
                "sessions in `{section}` get another format, `{}` ({assignment}): it is not \
                 carried over",
                assignment.value
            )),
            _ => None,
        })
        .collect()
}

/// What our drop-in says, and what a value in it does.
fn drop_in_on(target: &dyn ReadHost, syntax: Syntax) -> Result<DropIn> {
    let path = drop_in::path();
    let content = crate::resource::edit::text(target, &path)?;
    let Some(main) = main_file(target)? else {
        return Ok(DropIn {
            content,
            effect: Effect::default(),
        });
    };
    let would_be = drop_in::render(PLACEHOLDER);
    let overlay = Overlay {
        path: &path,
        content: &would_be,
    };
    let reading = include::read(target, &main, Some(overlay), &[SETTING])?;
    let effect = match effective(reading.of(SETTING), syntax) {
        _ if !reading.files.contains(&path) => Effect::NotIncluded { main },
        Some(winner) if winner.file != path => Effect::Beaten { by: winner.clone() },
        _ => Effect::Effective,
    };
    Ok(DropIn { content, effect })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: i32, stdout: &str, stderr: &str) -> Answer {
        Answer {
            status: Some(status),
            stdout: stdout.into(),
            stderr: stderr.into(),
        }
    }

    #[test]
    fn doveconf_is_heard_through_its_warnings() {
        let warning = "doveconf: Warning: Global setting pop3_uidl_format won't change\n";
        assert_eq!(
            heard(&answer(0, "%v-%u\n", warning)).as_deref(),
            Ok("%v-%u")
        );
        // doveconf 2.4.1 on `pop3_uidl_format = "%{uid}#a"`.
        assert_eq!(
            heard(&answer(0, "\"%{uid}#a\"\n", "")).as_deref(),
            Ok("%{uid}#a")
        );
    }

    #[test]
    fn an_exit_status_or_silence_is_no_answer() {
        let fatal = "doveconf: Fatal: Error in configuration file /etc/dovecot/dovecot.conf line 1: \
                     Unexpected '}'";
        assert_eq!(heard(&answer(89, "", fatal)), Err(fatal.to_owned()));
        assert!(heard(&answer(0, "\n", "")).is_err());
    }
}
