//! The remedy for each failure: one sentence, with something to paste.

use super::Failure;
use crate::host::ssh::Login;

/// What a person can do about it.
pub(super) fn hint(failure: &Failure, login: &Login) -> String {
    let destination = login.destination();
    match failure {
        Failure::NoClient => "install it: apt-get install openssh-client".to_owned(),
        Failure::OldClient => "leave out `host_key` and put the key into known_hosts".to_owned(),
        Failure::UnknownName(name) => format!(
            "correct `host` in the manifest, or the ssh configuration or name service that should \
             know it: getent hosts {name}"
        ),
        Failure::Refused(_) => {
            format!("see that sshd runs there and on which port: ssh {destination} true")
        }
        Failure::Unreachable(_) => format!(
            "see that the host is up and that no firewall is in the way: ssh {destination} true"
        ),
        Failure::UnknownKey {
            host, fingerprint, ..
        } => unknown_key(host, fingerprint.as_deref(), login),
        Failure::ChangedKey { host, place, .. } => {
            let file = place
                .as_ref()
                .map_or(String::new(), |(file, _)| format!(" -f '{file}'"));
            format!(
                "compare with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on the \
                 host; if the host has a new key, forget the old one: ssh-keygen -R '{host}'{file}"
            )
        }
        Failure::NotPinned { .. } => {
            "compare with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` \
             prints on the host, and correct `host_key` in the manifest if the host has a new key"
                .to_owned()
        }
        Failure::RevokedKey(_) => "give the host a new key".to_owned(),
        Failure::Denied(_) => format!(
            "passwords are never asked for: load a key with ssh-add, or put one on the host: \
             ssh-copy-id {destination}"
        ),
        Failure::NoCommonAlgorithm(said) => old_host(said, login),
        Failure::NoCommands(_) => {
            format!("the login needs a shell; this has to print Linux: ssh {destination} uname")
        }
        Failure::Noise(_) => format!(
            "let ~/.bashrc and its kin there be silent without a terminal; this has to print nothing: \
             ssh {destination} true"
        ),
        Failure::NotLinux(_) => "only Linux hosts can be moved".to_owned(),
        Failure::NotRoot(_) => {
            "log in as root, or let sudo make it root: write `become: sudo` below the \
             host in the manifest"
                .to_owned()
        }
        Failure::SudoRefused(said) => sudo(said, login),
        Failure::NoSftp(_) => {
            "add `Subsystem sftp internal-sftp` to /etc/ssh/sshd_config there, then \
             reload sshd"
                .to_owned()
        }
        Failure::Lost(_) => "run the same command again: it goes on where it stopped".to_owned(),
        Failure::Other(_) => format!("see more with: ssh -v {destination} true"),
    }
}

fn unknown_key(host: &str, fingerprint: Option<&str>, login: &Login) -> String {
    let compare = "compare it with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on \
                   the host itself";
    // A jump host has no place in the manifest.
    let is_the_host = host == login.host || host.starts_with(&format!("[{}]:", login.host));
    match fingerprint {
        Some(fingerprint) if is_the_host => format!(
            "{compare}; if it is the same, pin it in the manifest: `host_key: {fingerprint}`, or let \
             ssh record it: ssh {} true",
            login.destination()
        ),
        _ => format!(
            "let ssh show it, {compare}, and say yes if it is the same: ssh {} true",
            login.destination()
        ),
    }
}

fn old_host(said: &str, login: &Login) -> String {
    let option = if said.contains("host key") {
        "HostKeyAlgorithms +ssh-rsa"
    } else if said.contains("key exchange") {
        "KexAlgorithms +diffie-hellman-group14-sha1"
    } else if said.contains("cipher") {
        "Ciphers +aes128-cbc"
    } else {
        "MACs +hmac-sha1"
    };
    format!(
        "allow it for this one host in ~/.ssh/config, if it is on their offer: `Host {}` with \
         `{option}`",
        login.host
    )
}

fn sudo(said: &str, login: &Login) -> String {
    let user = login.user.as_deref().unwrap_or("USER");
    if said.contains("tty") {
        return format!(
            "exempt the login from requiretty there: `Defaults:{user} !requiretty` in a file in /etc/sudoers.d"
        );
    }
    if said.contains("not found") {
        return "install sudo there, or log in as root".to_owned();
    }
    format!(
        "allow it without a password there: \
         echo '{user} ALL=(root) NOPASSWD: ALL' >/etc/sudoers.d/reconcile"
    )
}
