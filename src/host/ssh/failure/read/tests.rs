//! What OpenSSH and sudo really printed, line for line.

use super::*;

/// OpenSSH 9.2p1, Debian 12.
const CHANGED: &str = "\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Someone could be eavesdropping on you right now (man-in-the-middle attack)!
It is also possible that a host key has just been changed.
The fingerprint for the ED25519 key sent by the remote host is
SHA256:Xf/4fFOrsB4xfovlcjfpQveDu5ntwU0ey2r9ZiuWtjk.
Please contact your system administrator.
Add correct host key in /home/op/.ssh/known_hosts to get rid of this message.
Offending ED25519 key in /home/op/.ssh/known_hosts:3
  remove with:
  ssh-keygen -f \"/home/op/.ssh/known_hosts\" -R \"[127.0.0.1]:2222\"
Host key for [127.0.0.1]:2222 has changed and you have requested strict checking.
Host key verification failed.
";

#[test]
fn ssh_is_understood() {
    let table = [
        (
            "ssh: Could not resolve hostname foo.invalid: Name or service not known\r\n",
            Failure::UnknownName("foo.invalid".to_owned()),
        ),
        (
            "ssh: Could not resolve hostname jump.invalid: Name or service not known\r\n\
             kex_exchange_identification: Connection closed by remote host\r\n",
            Failure::UnknownName("jump.invalid".to_owned()),
        ),
        (
            "ssh: connect to host 127.0.0.1 port 22778: Connection refused\r\n",
            Failure::Refused("127.0.0.1 port 22778".to_owned()),
        ),
        (
            "ssh: connect to host 192.0.2.1 port 22: Connection timed out\r\n",
            Failure::Unreachable(
                "connect to host 192.0.2.1 port 22: Connection timed out".to_owned(),
            ),
        ),
        (
            "Connection timed out during banner exchange\r\n",
            Failure::Unreachable("Connection timed out during banner exchange".to_owned()),
        ),
        (
            "No ED25519 host key is known for [127.0.0.1]:22777 and you have requested strict \
             checking.\r\nHost key verification failed.\r\n",
            Failure::UnknownKey {
                host: "[127.0.0.1]:22777".to_owned(),
                kind: "ED25519".to_owned(),
                fingerprint: None,
            },
        ),
        (
            CHANGED,
            Failure::ChangedKey {
                host: "[127.0.0.1]:2222".to_owned(),
                place: Some(("/home/op/.ssh/known_hosts".to_owned(), 3)),
                recorded: None,
                offered: Some("SHA256:Xf/4fFOrsB4xfovlcjfpQveDu5ntwU0ey2r9ZiuWtjk".to_owned()),
            },
        ),
        (
            "root@127.0.0.1: Permission denied (publickey,password,keyboard-interactive).\r\n",
            Failure::Denied(
                "root@127.0.0.1: Permission denied (publickey,password,keyboard-interactive)"
                    .to_owned(),
            ),
        ),
        (
            "Unable to negotiate with 192.0.2.1 port 22: no matching host key type found. Their \
             offer: ssh-rsa,ssh-dss\r\n",
            Failure::NoCommonAlgorithm(
                "no matching host key type found. Their offer: ssh-rsa,ssh-dss".to_owned(),
            ),
        ),
        (
            "command-line: line 0: Bad configuration option: knownhostscommand\r\n",
            Failure::OldClient,
        ),
        (
            "channel 0: open failed: connect failed: Connection refused\r\nstdio forwarding \
             failed\r\nConnection closed by UNKNOWN port 65535\r\n",
            Failure::Refused("the host behind the jump host".to_owned()),
        ),
        (
            "kex_exchange_identification: Connection closed by remote host\r\n\
             Connection closed by 192.0.2.1 port 22\r\n",
            Failure::Other(
                "kex_exchange_identification: Connection closed by remote host; Connection closed \
                 by 192.0.2.1 port 22"
                    .to_owned(),
            ),
        ),
        ("", Failure::Other("ssh ended without a word".to_owned())),
    ];
    for (said, meant) in table {
        assert_eq!(understand(said), meant, "{said}");
    }
}

#[test]
fn sudo_is_understood() {
    for said in [
        "sudo: a password is required\n",
        "sudo: a terminal is required to read the password; either use the -S option to read from \
         standard input or configure an askpass helper\nsudo: a password is required\n",
        "sudo: sorry, you must have a tty to run sudo\n",
        "sudo: no tty present and no askpass program specified\n",
        "op is not in the sudoers file.\n",
        "Sorry, user op is not allowed to execute '/bin/x' as root on host.\n",
        "sh: 1: exec: sudo: not found\n",
        "bash: line 1: sudo: command not found\n",
    ] {
        let failure = refusal_of_sudo(said);
        assert!(matches!(failure, Some(Failure::SudoRefused(_))), "{said}");
    }
    assert_eq!(refusal_of_sudo("tar: /home/x: Cannot stat\n"), None);
    assert_eq!(refusal_of_sudo(""), None);
}
