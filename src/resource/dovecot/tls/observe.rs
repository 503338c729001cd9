//! Looking at the certificates of one host. Decides nothing.

use jiff::Timestamp;

use super::{Content, Key, Nothing, Shown, files};
use crate::certificate;
use crate::error::Result;
use crate::host::{FileKind, HostState, Probe, ReadHost};
use crate::raw::HostPath;
use crate::resource::dovecot::Version;
use crate::resource::dovecot::config::include::Placed;
use crate::resource::dovecot::settings::Views;

const MAIN_CF: &str = "/etc/postfix/main.cf";
const SENDMAIL_CF: &str = "/etc/mail/sendmail.cf";

/// The certificates that Dovecot and the mail transfer agent show.
pub(in crate::resource::dovecot) fn observe(
    host: &dyn ReadHost,
    views: Views<'_>,
    version: Version,
    statements: &[Placed],
    now: Timestamp,
) -> Result<Vec<Shown>> {
    let mut pairs = files::dovecot(views, version, statements);
    let text = |path: &str| -> Result<Option<String>> {
        let bytes = host.read(&HostPath::from(path))?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    pairs.extend(text(MAIN_CF)?.and_then(|cf| files::postfix(&cf)));
    pairs.extend(text(SENDMAIL_CF)?.and_then(|cf| files::sendmail(&cf)));
    pairs.iter().map(|pair| shown(host, pair, now)).collect()
}

fn shown(host: &dyn ReadHost, pair: &files::Pair, now: Timestamp) -> Result<Shown> {
    let (content, key) = match pem(host, &pair.certificate)? {
        Err(content) => (content, Key::NotTried),
        Ok(pem) => match certificate::read(&pem, now) {
            Err(why) => (Content::Unreadable(why), Key::NotTried),
            Ok((certificate, public)) => {
                let key = key(host, pair.key.as_ref(), &public)?;
                (Content::Certificate(certificate), key)
            }
        },
    };
    Ok(Shown {
        by: pair.by,
        file: pair.certificate.clone(),
        key_file: pair.key.clone(),
        content,
        key,
    })
}

/// The certificates in a file, and nothing else of it: a live host hands out no private key that
/// stands in the same file.
fn pem(host: &dyn ReadHost, path: &HostPath) -> Result<std::result::Result<Vec<u8>, Content>> {
    match host.stat(path)? {
        None => return Ok(Err(Content::Absent(Nothing::NoSuchFile))),
        Some(stat) if stat.kind != FileKind::File => {
            return Ok(Err(Content::Unreadable("it is no regular file".to_owned())));
        }
        Some(_) => {}
    }
    if host.state() == HostState::Offline {
        return Ok(match host.read(path)? {
            Some(bytes) => Ok(bytes),
            None => Err(Content::Absent(Nothing::NoSuchFile)),
        });
    }
    Ok(match host.probe(&Probe::Certificates(path.clone()))? {
        Some(answer) if answer.status == Some(0) => Ok(answer.stdout),
        Some(answer) => Err(Content::Unreadable(last_line(&answer.stderr))),
        None => Err(Content::Unreadable("sed does not run there".to_owned())),
    })
}

fn key(host: &dyn ReadHost, file: Option<&HostPath>, public: &[u8]) -> Result<Key> {
    let Some(file) = file else {
        return Ok(Key::Missing);
    };
    if host.stat(file)?.is_none() {
        return Ok(Key::Missing);
    }
    // In an offline root programs run as nobody, who may not read it.
    if host.state() == HostState::Offline {
        return Ok(Key::NotTried);
    }
    Ok(match host.probe(&Probe::PublicKey(file.clone()))? {
        None => Key::NotTried,
        Some(answer) if answer.status == Some(0) => {
            match certificate::same_key(&answer.stdout, public) {
                Ok(true) => Key::Fits,
                Ok(false) => Key::Other,
                Err(why) => Key::Unknown(why),
            }
        }
        // openssl's first complaint names the cause and never the content.
        Some(_) => Key::Unknown(
            "openssl cannot read it: it has a passphrase, or is no private key".to_owned(),
        ),
    })
}

fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    text.lines().last().unwrap_or("it says nothing").to_owned()
}
