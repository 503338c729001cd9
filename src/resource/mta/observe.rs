//! Reading how the MTAs are set up.

use std::collections::BTreeSet;

use super::{Actual, Delivery, Kind, Mta, Presence, listener, postfix, sendmail};
use crate::error::Result;
use crate::host::queue::Accepting;
use crate::host::{Probe, ReadHost, real_path};
use crate::manifest::Manifest;
use crate::names::Side;
use crate::parallel;
use crate::raw::HostPath;
use crate::resource::mail::spool_dir;
use crate::resource::queue;

/// Looks at the MTAs; `queues` tells which they are.
pub fn observe(
    manifest: &Manifest,
    source: Option<&dyn ReadHost>,
    target: &dyn ReadHost,
    queues: &queue::Actual,
) -> Result<Actual> {
    let on = |side, host: Option<&dyn ReadHost>| {
        let accepting = queues.of(side).and_then(|seen| seen.accepting.as_ref());
        let (Some(host), Some(accepting)) = (host, accepting) else {
            return Ok(None);
        };
        let spool = spool_dir(manifest, host)?;
        match accepting {
            Accepting::Postfix { .. } => on_postfix(host, spool),
            Accepting::Sendmail { .. } => on_sendmail(host, spool).map(Some),
        }
    };
    let (source, target) = parallel::both(
        || on(Side::Source, source),
        || on(Side::Target, Some(target)),
    );
    Ok(Actual {
        source: source?,
        target: target?,
    })
}

/// `None` where postconf does not answer.
fn on_postfix(host: &dyn ReadHost, spool: HostPath) -> Result<Option<Mta>> {
    let names = postfix::PARAMETERS.map(str::to_owned).to_vec();
    let Some(answer) = host.probe(&Probe::PostfixParameters(names))? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&answer.stdout);
    let values = postfix::parameters(&text);
    let value = |name: &str| values.get(name).copied().unwrap_or_default();
    let maps = value("local_recipient_maps");
    let master_cf = host.read(&HostPath::from("/etc/postfix/master.cf"))?;
    let master_cf = String::from_utf8_lossy(master_cf.as_deref().unwrap_or_default()).into_owned();
    let interfaces = postfix::words(value("inet_interfaces"));
    let mut mta = Mta {
        kind: Kind::Postfix,
        hostname: value("myhostname").to_ascii_lowercase(),
        domains: BTreeSet::new(),
        unlisted: BTreeSet::new(),
        // An empty list takes every name.
        foreign_recipients: (!maps.is_empty() && !maps.contains("passwd.byname"))
            .then(|| maps.to_owned()),
        listeners: listener::postfix(&master_cf, &interfaces, &value),
        interfaces,
        protocols: postfix::words(value("inet_protocols")),
        delivery: postfix_delivery(host, &value)?,
        message_limit: postfix::limit(value("message_size_limit")),
        mailbox_limit: postfix::limit(value("mailbox_size_limit")),
        spool,
    };
    for word in postfix::DOMAINS
        .into_iter()
        .flat_map(|name| postfix::domain_words(value(name)))
    {
        match word {
            postfix::Word::Domain(domain) => {
                mta.domains.insert(domain);
            }
            postfix::Word::File(path) | postfix::Word::Table(path) => {
                match host.read(&HostPath::from(path.as_str()))? {
                    Some(text) => {
                        let text = String::from_utf8_lossy(&text);
                        mta.domains.extend(postfix::keys(&text));
                    }
                    None => {
                        mta.unlisted.insert(path);
                    }
                }
            }
            postfix::Word::Unlisted(table) => {
                mta.unlisted.insert(table);
            }
        }
    }
    Ok(Some(mta))
}

/// The domains that a word of a list of domains stands for; `None` where they cannot be listed.
pub fn listed_domains(host: &dyn ReadHost, word: &str) -> Result<Option<BTreeSet<String>>> {
    let mut domains = BTreeSet::new();
    for word in postfix::domain_words(word) {
        match word {
            postfix::Word::Domain(domain) => {
                domains.insert(domain);
            }
            postfix::Word::File(path) | postfix::Word::Table(path) => {
                let Some(text) = host.read(&HostPath::from(path.as_str()))? else {
                    return Ok(None);
                };
                domains.extend(postfix::keys(&String::from_utf8_lossy(&text)));
            }
            postfix::Word::Unlisted(_) => return Ok(None),
        }
    }
    Ok(Some(domains))
}

/// In the order of local(8): transport, command, home, spool.
fn postfix_delivery<'a>(host: &dyn ReadHost, value: &impl Fn(&str) -> &'a str) -> Result<Delivery> {
    let [transport, command, home] =
        ["mailbox_transport", "mailbox_command", "home_mailbox"].map(value);
    Ok(if !transport.is_empty() {
        Delivery::Transport(transport.to_owned())
    } else if !command.is_empty() {
        program(host, command)?
    } else if !home.is_empty() {
        Delivery::Home(home.to_owned())
    } else {
        let spool = match value("mail_spool_directory") {
            "" => "/var/mail",
            given => given,
        };
        Delivery::Spool(real_path(host, &HostPath::from(spool))?)
    })
}

/// Where a program is that a command line names without a directory.
const PATH: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin"];

fn program(host: &dyn ReadHost, command: &str) -> Result<Delivery> {
    let first = command.split_whitespace().next().unwrap_or_default();
    if first.rsplit('/').next() != Some("procmail") {
        return Ok(Delivery::Command(command.to_owned()));
    }
    let places = if first.starts_with('/') {
        vec![HostPath::from(first)]
    } else {
        PATH.map(|dir| HostPath::from(dir).join(first)).to_vec()
    };
    for place in places {
        if host.stat(&place)?.is_some() {
            return Ok(Delivery::Procmail(Presence::There));
        }
    }
    Ok(Delivery::Procmail(Presence::Missing))
}

fn on_sendmail(host: &dyn ReadHost, spool: HostPath) -> Result<Mta> {
    let read = |path: &str| -> Result<Option<String>> {
        let content = host.read(&HostPath::from(path))?;
        Ok(content.map(|content| String::from_utf8_lossy(&content).into_owned()))
    };
    let cf = read("/etc/mail/sendmail.cf")?.unwrap_or_default();
    let (mut domains, mut unlisted) = (BTreeSet::new(), BTreeSet::new());
    for (names, files) in [sendmail::local_names(&cf), sendmail::relay_names(&cf)] {
        domains.extend(names);
        for file in files {
            match read(&file)? {
                Some(text) => domains.extend(sendmail::names(&text)),
                // Either may be missing (`-o`); what is no path is a map.
                None if file.starts_with('/') => {}
                None => {
                    unlisted.insert(file);
                }
            }
        }
    }
    let hostname = read("/etc/hostname")?.unwrap_or_default();
    let hostname = hostname.trim().to_ascii_lowercase();
    let mailer = sendmail::local_mailer(&cf).unwrap_or_default();
    // Debian's sensible-mda asks procmail if it is there.
    let mailer = match mailer.rsplit('/').next() {
        Some("sensible-mda") => "procmail",
        _ => mailer,
    };
    let delivery = match program(host, mailer)? {
        // mail.local(8), and what sensible-mda does without procmail.
        Delivery::Command(command) if !command.ends_with("mail.local") => {
            Delivery::Command(command)
        }
        Delivery::Procmail(Presence::There) => Delivery::Procmail(Presence::There),
        _ => Delivery::Spool(spool.clone()),
    };
    let listeners = listener::sendmail(&cf);
    Ok(Mta {
        kind: Kind::Sendmail,
        hostname,
        domains,
        unlisted,
        foreign_recipients: None,
        interfaces: listener::sendmail_interfaces(&listeners),
        listeners,
        protocols: ["all".to_owned()].into(),
        delivery,
        message_limit: sendmail::message_limit(&cf),
        mailbox_limit: None,
        spool,
    })
}
