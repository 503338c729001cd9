//! The configuration that our ssh runs with: the operator's, between what we insist on and what we
//! assume.
//!
//! ssh takes the first value that it finds. A file, because only a file reaches the ssh that
//! `ProxyJump` starts: what is given by `-o` does not.

use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::host::ssh::Environment;

/// Nobody is asked anything, no key is learnt, no master or forwarding of others is made, and a link
/// that has been dead for a minute is known to be dead. At a lower `LogLevel` ssh keeps some of its
/// reasons to itself. What we send is compressed already where that pays; ssh's own compression would be
/// slower than most links.
const INSISTED: &str = "\
Host *
  BatchMode yes
  StrictHostKeyChecking yes
  UpdateHostKeys no
  VisualHostKey no
  LogLevel INFO
  Compression no
  ControlMaster no
  ControlPersist no
  ServerAliveInterval 15
  ServerAliveCountMax 4
";

/// What the operator's own configuration may say otherwise.
const ASSUMED: &str = "\
Host *
  ConnectTimeout 20
";

/// The keys that ssh tries by itself, in its order (ssh(1), `-i`).
const KEYS: [&str; 6] = [
    "id_rsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
    "id_dsa",
];

/// What only concerns the host itself and none on the way to it.
pub(super) const FOR_THE_HOST: [&str; 7] = [
    "ControlPersist=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
];

/// The text of the configuration. `has` tells which of the files in `~/.ssh` exist.
///
/// ssh itself goes by the home that the account database names; who sets `HOME` means that one.
pub(super) fn text(environment: &Environment, has: impl Fn(&Path) -> bool) -> Result<String> {
    let Some(home) = &environment.home else {
        return Ok(format!(
            "{INSISTED}Include ~/.ssh/config\nInclude /etc/ssh/ssh_config\n{ASSUMED}"
        ));
    };
    let dir = home.join(".ssh");
    let Some(ssh) = dir.to_str().filter(|dir| is_plain(dir)) else {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "a configuration of ssh cannot name HOME, which is {}",
                home.display()
            ),
        )
        .hint("set HOME to a path without quotes, backslashes and wildcards"));
    };
    let mut text = format!(
        "{INSISTED}Include \"{ssh}/config\"\nInclude /etc/ssh/ssh_config\n{ASSUMED}  \
         UserKnownHostsFile \"{ssh}/known_hosts\" \"{ssh}/known_hosts2\"\n"
    );
    for key in KEYS {
        if has(&dir.join(key)) {
            text.push_str(&format!("  IdentityFile \"{ssh}/{key}\"\n"));
        }
    }
    Ok(text)
}

/// Whether ssh takes the path as it stands, in quotes: no token, wildcard or variable in it.
pub(super) fn is_plain(path: &str) -> bool {
    path.starts_with('/') && !path.contains(|c: char| "\"\\%*?[$".contains(c) || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(home: &str) -> Environment {
        Environment {
            home: Some(home.into()),
            ..Environment::default()
        }
    }

    #[test]
    fn the_operators_configuration_stands_between_ours() {
        let text = text(&at("/home/op"), |key| key.ends_with("id_ed25519")).unwrap();
        let order = [
            "StrictHostKeyChecking yes",
            "Include \"/home/op/.ssh/config\"",
            "Include /etc/ssh/ssh_config",
            "ConnectTimeout 20",
            "UserKnownHostsFile \"/home/op/.ssh/known_hosts\"",
            "IdentityFile \"/home/op/.ssh/id_ed25519\"",
        ];
        let places = order.map(|line| text.find(line).expect(line));
        assert!(places.is_sorted(), "{text}");
        assert!(!text.contains("id_rsa"));
    }

    #[test]
    fn a_home_that_ssh_would_expand_is_refused() {
        for home in ["/home/100%", "/home/\"op\"", "/home/a*", "home"] {
            let error = text(&at(home), |_| false).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{home}");
        }
    }
}
