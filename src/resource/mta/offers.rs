//! What senders can do on the host that hands over and could not do on the other: ports, TLS, logins.
//!
//! What is open is seen on the host that serves; what would be open is read from the configuration of
//! the other's MTA, which does not run. Without this the probe after the move would find it, at night.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Auth, Findings, Kind, Listener, Mta, Problem, Tls, Warning};
use crate::exposure::{Loss, Lost};
use crate::manifest::{Manifest, MtaOffer};
use crate::names::Side;

/// Ports of the hosts that hand over and take over, as far as they are not the MTA's own word.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Open {
    /// Ports that other hosts reach on the host that hands over, now.
    pub now: BTreeSet<u16>,
    /// Ports that something else opens on the host that takes over: Dovecot takes submissions, too.
    pub otherwise: BTreeSet<u16>,
}

/// The ports that mail is handed in by.
const PORTS: [u16; 3] = [25, 465, 587];

/// `pair` is the MTA of the host that hands over, if it is known, and the other.
pub(super) fn compare(
    manifest: &Manifest,
    side: Side,
    (there, here): (Option<&Mta>, &Mta),
    open: &Open,
    findings: &mut Findings,
) {
    let mut report = Report {
        manifest,
        side,
        kind: here.kind,
        findings,
    };
    for port in PORTS.into_iter().filter(|port| open.now.contains(port)) {
        let old = there.and_then(|mta| mta.listeners.get(&port));
        match here.listeners.get(&port) {
            Some(new) => report.port(port, old, new),
            None if open.otherwise.contains(&port) => {}
            None => report.not_there(port, old),
        }
    }
}

struct Report<'a> {
    manifest: &'a Manifest,
    side: Side,
    kind: Kind,
    findings: &'a mut Findings,
}

impl Report<'_> {
    /// Nothing listens there.
    fn not_there(&mut self, port: u16, old: Option<&Listener>) {
        let lacks = format!(
            "not listen on port {port} ({}), where the other host is reached now",
            name(port)
        );
        let mend = match self.kind {
            Kind::Postfix => enable(port, old),
            Kind::Sendmail => format!(
                "add `DAEMON_OPTIONS(\\`Name=MTA-{port}, Port={port}')dnl` to /etc/mail/sendmail.mc, \
                 and run `sendmailconfig`"
            ),
        };
        let loss = Loss {
            port,
            of: Lost::Service,
        };
        self.lost(loss, lacks, mend, service(port));
    }

    /// Something does, and offers less.
    fn port(&mut self, port: u16, old: Option<&Listener>, new: &Listener) {
        let moving = self.manifest.cutover.iter().flat_map(|c| &c.address);
        let unheard =
            |address: &IpAddr| !new.at.contains("all") && !new.at.contains(&address.to_string());
        // Of port 25 that is said of all that does not listen where it should.
        let closed = moving.map(|net| net.0.addr()).find(unheard);
        if let Some(address) = closed.filter(|_| port != 25) {
            let at: Vec<&str> = new.at.iter().map(String::as_str).collect();
            let lacks = format!(
                "not listen on port {port} ({}) of {address}, but of {} only",
                name(port),
                at.join(", ")
            );
            let mend = match self.kind {
                Kind::Postfix => {
                    "take the address before its port out of /etc/postfix/master.cf".to_owned()
                }
                Kind::Sendmail => {
                    "take `Addr=` out of DAEMON_OPTIONS in /etc/mail/sendmail.mc, and run \
                     `sendmailconfig`"
                        .to_owned()
                }
            };
            let of = Lost::Service;
            return self.lost(Loss { port, of }, lacks, mend, service(port));
        }
        let Some(old) = old else {
            return;
        };
        self.tls(port, old.tls, new.tls);
        self.auth(port, old.auth, new.auth);
    }

    fn tls(&mut self, port: u16, old: Tls, new: Tls) {
        let offer = Some(MtaOffer::Starttls);
        let shown = name(port);
        match (old, new) {
            (Tls::Offered | Tls::Required, Tls::No) => {
                let lacks = format!("not offer TLS on port {port} ({shown}), as the other does");
                let of = Lost::Tls;
                self.lost(Loss { port, of }, lacks, self.certify(), offer);
            }
            (Tls::Wrapped, Tls::Wrapped) => {}
            (Tls::Wrapped, _) | (_, Tls::Wrapped) => {
                let [word, value] = if new == Tls::Wrapped {
                    ["", "no"]
                } else {
                    ["not ", "yes"]
                };
                let lacks = format!(
                    "{word}begin with TLS on port {port} ({shown}), otherwise than the other"
                );
                let mend = match self.kind {
                    Kind::Postfix => override_(port, "smtpd_tls_wrappermode", value),
                    Kind::Sendmail => "mend `M=s` of its DAEMON_OPTIONS in /etc/mail/sendmail.mc, \
                                       and run `sendmailconfig`"
                        .to_owned(),
                };
                let of = Lost::Service;
                self.lost(Loss { port, of }, lacks, mend, service(port));
            }
            (Tls::No | Tls::Offered, Tls::Required) if port == 25 => {
                let lacks = "take no mail without TLS on port 25, as the other does".to_owned();
                let mend = override_(port, "smtpd_tls_security_level", "may");
                let of = Lost::Service;
                self.lost(Loss { port, of }, lacks, mend, None);
            }
            _ => {}
        }
    }

    fn auth(&mut self, port: u16, old: Option<Auth>, new: Option<Auth>) {
        let shown = name(port);
        let (of, lacks, setting) = match (old, new) {
            (Some(Auth::Offered | Auth::UnderTls), Some(Auth::No)) => (
                Lost::Mechanisms,
                format!("let nobody log in (AUTH) on port {port} ({shown}), as the other does"),
                ["smtpd_sasl_auth_enable", "yes"],
            ),
            (Some(Auth::Offered), Some(Auth::UnderTls)) => (
                Lost::ClearLogin,
                format!(
                    "let nobody log in (AUTH) without TLS on port {port} ({shown}), as the other does"
                ),
                ["smtpd_tls_auth_only", "no"],
            ),
            _ => return,
        };
        let mend = match self.kind {
            Kind::Postfix => format!(
                "{}, and set up smtpd_sasl_type and smtpd_sasl_path",
                override_(port, setting[0], setting[1])
            ),
            Kind::Sendmail => {
                "take `M=A` out of its DAEMON_OPTIONS in /etc/mail/sendmail.mc, and run \
                 `sendmailconfig`"
                    .to_owned()
            }
        };
        self.lost(Loss { port, of }, lacks, mend, Some(MtaOffer::Auth));
    }

    /// What gives an MTA TLS.
    fn certify(&self) -> String {
        match self.kind {
            Kind::Postfix => {
                "`postconf -e 'smtpd_tls_security_level = may' 'smtpd_tls_cert_file = \
                 CERTIFICATE' 'smtpd_tls_key_file = KEY'`"
                    .to_owned()
            }
            Kind::Sendmail => {
                "include `/etc/mail/tls/starttls.m4` in /etc/mail/sendmail.mc, and run \
                 `sendmailconfig`"
                    .to_owned()
            }
        }
    }

    fn lost(&mut self, loss: Loss, lacks: String, mend: String, accept: Option<MtaOffer>) {
        let side = self.side;
        if accept.is_some_and(|offer| self.manifest.services.accept.contains(&offer)) {
            self.findings.losses.insert(loss);
            self.findings
                .warnings
                .push(Warning::Accepted { side, lacks });
            return;
        }
        self.findings.problems.push(Problem::Offer {
            side,
            lacks,
            mend,
            accept,
        });
    }
}

/// A port's name in services(5).
const fn name(port: u16) -> &'static str {
    match port {
        25 => "smtp",
        465 => "submissions",
        _ => "submission",
    }
}

/// What the manifest calls a port; without port 25 no mail comes in.
const fn service(port: u16) -> Option<MtaOffer> {
    match port {
        25 => None,
        465 => Some(MtaOffer::Submissions),
        _ => Some(MtaOffer::Submission),
    }
}

/// A service's name in master.cf: what services(5) calls port 465 differs from system to system.
const fn entry(port: u16) -> &'static str {
    match port {
        25 => "smtp",
        465 => "465",
        _ => "submission",
    }
}

/// The line of master.cf(5), and what it needs to offer what the other does.
fn enable(port: u16, old: Option<&Listener>) -> String {
    let name = entry(port);
    let mut line = format!("`postconf -M '{name}/inet={name} inet n - n - - smtpd'");
    if port == 465 {
        line.push_str(&format!(
            " && postconf -P {name}/inet/smtpd_tls_wrappermode=yes"
        ));
    }
    if matches!(
        old.and_then(|old| old.auth),
        Some(Auth::Offered | Auth::UnderTls)
    ) {
        line.push_str(&format!(
            " && postconf -P {name}/inet/smtpd_sasl_auth_enable=yes"
        ));
    }
    format!("{line}` there writes the line into /etc/postfix/master.cf")
}

/// A parameter of one service only.
fn override_(port: u16, parameter: &str, value: &str) -> String {
    format!("`postconf -P {}/inet/{parameter}={value}`", entry(port))
}
