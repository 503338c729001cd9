//! Reading what each side serves. Decides nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::error::Result;
use crate::host::{Answer, HostState, Probe, ReadHost};
use crate::names::{Side, UserName};
use crate::parallel;
use crate::raw::HostPath;
use crate::resource::accounts::Chosen;

use super::config::files::Files;
use super::config::include::{self, Overlay, Reading};
use super::config::syntax::unquote;
use super::config::tree::Tree;
use super::config::{Scope, effective};
use super::settings::{self, Found, Views, namespace};
use super::version::{self, Installed, VERSION_SETTING};
use super::{
    Actual, DropIn, Effect, HostDovecot, ReadBy, Running, SETTING, Version, drop_in, layout, spool,
    tls,
};
use crate::uidl::Syntax;

/// Where the main configuration file can be: Dovecot 2, then Dovecot 1.
const MAIN: [&str; 2] = ["/etc/dovecot/dovecot.conf", "/etc/dovecot.conf"];

/// Any value: only where it stands matters.
const PLACEHOLDER: &str = "%u";

/// What the settings are about, besides Dovecot.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// The directory of the spool files on the source.
    pub source_spool: &'a HostPath,
    /// The same on the target.
    pub target_spool: &'a HostPath,
    /// The accounts that move.
    pub users: &'a BTreeMap<UserName, Chosen>,
    /// When it is looked at: certificates end.
    pub now: Timestamp,
}

/// Looks at both hosts.
pub fn observe(
    source: Option<&dyn ReadHost>,
    target: &dyn ReadHost,
    around: &Around<'_>,
) -> Result<Actual> {
    let on_source = || source.map(|source| host(source, around.source_spool, around));
    let on_target = || {
        let seen = host(target, around.target_spool, around)?;
        let drop_in = match seen.version.syntax() {
            Some(syntax) => drop_in_on(target, syntax)?,
            None => DropIn::default(),
        };
        Ok((seen, drop_in))
    };
    let (source, target) = parallel::both(on_source, on_target);
    let source = source.transpose()?;
    let (target, drop_in) = target?;
    Ok(Actual {
        source,
        target,
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
fn host(host: &dyn ReadHost, spool: &HostPath, around: &Around<'_>) -> Result<HostDovecot> {
    let installed = version::installed(host)?;
    let main = main_file(host)?;
    let (Some(main), Installed::Yes(..) | Installed::Unknown) = (main, &installed) else {
        return Ok(HostDovecot::default());
    };
    let files = &Files::of(host);
    let reading = include::read(files, &main, None, &[SETTING, VERSION_SETTING])?;
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
    let ours = |protocol: &str| Tree::of_reading(&reading, protocol, syntax);
    let theirs = match read_by {
        ReadBy::Doveconf => Some((
            everything(host, "imap", &mut doubts)?,
            everything(host, "pop3", &mut doubts)?,
        )),
        ReadBy::OwnReader => None,
    };
    let (imap, pop3) = theirs.unwrap_or_default();
    let (own_imap, own_pop3) = (ours("imap"), ours("pop3"));
    let views = |doveconf, own| Views { doveconf, own };
    let found = Found {
        version,
        imap: views(imap.as_ref(), &own_imap),
        pop3: views(pop3.as_ref(), &own_pop3),
    };
    let (mut settings, told) = settings::read(&found);
    doubts.extend(told);
    spool::name(host, &mut settings, spool)?;
    let (_, inbox) = namespace::of_inbox(&settings.namespaces);
    let automatic = inbox.location(&settings.location).is_automatic();
    let layouts = if automatic && host.side() == Side::Source {
        layout::observe(host, around.users)?
    } else {
        Vec::new()
    };
    let certificates = tls::observe(host, found.imap, version, &reading.statements, around.now)?;
    Ok(HostDovecot {
        version,
        evidence,
        read_by,
        uidl_format: Some(uidl_format),
        doubts,
        state: host.state(),
        running: running(host)?,
        settings: Some(settings),
        spool: spool::observe(host, spool)?,
        layouts,
        certificates,
        lines_go_to: Some(last_file(host, files, &main)?),
    })
}

/// All settings by the host's own doveconf, as the sessions of `protocol` see them.
fn everything(
    host: &dyn ReadHost,
    protocol: &str,
    doubts: &mut Vec<String>,
) -> Result<Option<Tree>> {
    let Some(answer) = host.probe(&Probe::Doveconf(protocol.to_owned()))? else {
        return Ok(None);
    };
    if answer.status == Some(0) {
        match Tree::from_doveconf(&String::from_utf8_lossy(&answer.stdout)) {
            Ok(tree) => return Ok(Some(tree)),
            Err(unheard) => doubts.push(format!("doveconf for {protocol}: {unheard}")),
        }
    } else {
        doubts.push(format!(
            "doveconf gives no answer for {protocol}: {}",
            last_complaint(&answer)
        ));
    }
    Ok(None)
}

/// Whether Dovecot's master process runs.
fn running(host: &dyn ReadHost) -> Result<Running> {
    if host.state() == HostState::Offline {
        return Ok(Running::No);
    }
    for directory in ["/run/dovecot", "/var/run/dovecot"] {
        let file = HostPath::from(directory).join("master.pid");
        let Some(pid) = host.read(&file)? else {
            continue;
        };
        let pid = String::from_utf8_lossy(&pid).trim().to_owned();
        let process = HostPath::from("/proc").join(&pid).join("comm");
        let name = host.read(&process)?.unwrap_or_default();
        if name.starts_with(b"dovecot") {
            return Ok(Running::Yes);
        }
    }
    Ok(Running::No)
}

/// Debian's `local.conf` is read last, where the main file includes it.
fn last_file(host: &dyn ReadHost, files: &Files<'_>, main: &HostPath) -> Result<HostPath> {
    let local = main.parent().join("local.conf");
    if host.stat(&local)?.is_some() {
        let reading = include::read(files, main, None, &[])?;
        let is_last = reading.files.last() == Some(&local);
        return Ok(if is_last { local } else { main.clone() });
    }
    let overlay = Overlay {
        path: &local,
        content: "",
    };
    let reading = include::read(files, main, Some(overlay), &[])?;
    let is_last = reading.files.last() == Some(&local);
    Ok(if is_last { local } else { main.clone() })
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
    Err(last_complaint(answer))
}

fn last_complaint(answer: &Answer) -> String {
    let complaint = String::from_utf8_lossy(&answer.stderr);
    complaint
        .lines()
        .last()
        .unwrap_or("it says nothing")
        .to_owned()
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
    let files = &Files::of(target);
    let reading = include::read(files, &main, Some(overlay), &[SETTING])?;
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
