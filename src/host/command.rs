//! The closed list of commands that change a live host, for what cannot be done by writing files.
//!
//! Questions are [`super::probe::Probe`]; which command is right when is decided by the planner, and
//! a plan holds the very commands that will be run.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::raw::HostPath;

/// A command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// `systemctl daemon-reload`.
    ReloadUnits,
    /// `systemctl stop`: units, sockets and timers in one transaction.
    StopUnits(Vec<String>),
    /// `systemctl start`.
    StartUnits(Vec<String>),
    /// `systemctl mask`: outlives a reboot, does not stop anything.
    MaskUnits(Vec<String>),
    /// `systemctl unmask`.
    UnmaskUnits(Vec<String>),
    /// `systemctl enable`: they start at boot.
    EnableUnits(Vec<String>),
    /// `systemctl disable --now`: they do not start at boot, and stop.
    DisableUnits(Vec<String>),
    /// `systemctl restart`: also starts what does not run.
    RestartUnits(Vec<String>),
    /// `systemctl reset-failed`: that they failed once is forgotten. Of what is not loaded there is
    /// nothing to forget.
    ForgetUnits(Vec<String>),
    /// Starts a service that measures the spool and waits for its end. That it ends with 2 says that
    /// somebody is above a threshold, and is no failure.
    TrySpoolService(String),
    /// `doveadm stop`: for a Dovecot that was started by hand, which systemd knows nothing about.
    StopDovecot,
    /// `postfix stop`: likewise.
    StopPostfix,
    /// `/etc/init.d/NAME stop`.
    StopScript(String),
    /// `/etc/init.d/NAME start`.
    StartScript(String),
    /// `update-rc.d NAME disable` (Debian): it does not start at boot.
    UpdateRcDisable(String),
    /// `update-rc.d NAME enable`.
    UpdateRcEnable(String),
    /// `chkconfig NAME off` (Red Hat): it does not start at boot.
    ChkconfigOff(String),
    /// `chkconfig NAME on`.
    ChkconfigOn(String),
    /// `networkctl reload`: systemd-networkd, where it runs, reads its files again. Until then it would
    /// bring back an address that was taken out of them when a link goes down and up.
    ReloadNetworkd,
    /// `netplan generate`, and the same for whom it generates.
    ReloadNetplan,
    /// `nmcli connection reload`: likewise `NetworkManager`; what is connected stays so.
    ReloadNetworkManager,
    /// `doveadm reload`: Dovecot reads its configuration again; sessions go on.
    ReloadDovecot,
    /// `doveadm expunge`: the one message in a user's INBOX whose Message-ID holds a marker. Changes
    /// nothing of what clients know of the others; UIDNEXT stays as the message made it.
    ExpungeLetter {
        /// Whose INBOX.
        user: String,
        /// The marker.
        marker: String,
    },
    /// `doveadm mailbox create -s`: makes a folder and subscribes to it.
    CreateFolder {
        /// Whose.
        user: String,
        /// Its name.
        folder: String,
    },
    /// `doveadm copy`: messages of a user's INBOX, with flags and dates, into a folder.
    CopyMessages {
        /// Whose.
        user: String,
        /// The folder.
        folder: String,
        /// Their UIDs, `1:5,9`.
        uids: String,
    },
    /// `doveadm expunge`: messages of one folder.
    ExpungeMessages {
        /// Whose.
        user: String,
        /// The folder.
        folder: String,
        /// Their UIDs, `1:5,9`.
        uids: String,
    },
    /// `postqueue -f`: Postfix tries again at once what it has put off; does not wait for it.
    FlushPostfix,
    /// Stops the queue manager (SIGSTOP) of each instance of Postfix, and waits until the deliveries that it began have ended, 20
    /// seconds at most: one that is killed half-way has put its message into the mailbox and does not say so,
    /// and the message is delivered again. What arrives meanwhile waits in the queue.
    PausePostfix,
    /// Lets the queue managers go on (SIGCONT).
    ResumePostfix,
    /// `postqueue -s`: Postfix tries again at once what waits for a domain.
    FlushPostfixFor(String),
    /// `postconf -e`: parameters of main.cf and their values; the file is replaced as a whole.
    SetPostfix(BTreeMap<String, String>),
    /// `postconf -X`: these parameters have their defaults again.
    UnsetPostfix(Vec<String>),
    /// `postfix check`: whether Postfix accepts its configuration.
    CheckPostfix,
    /// `postfix reload`.
    ReloadPostfix,
    /// `rmdir`: a directory of ours in /etc/postfix, if it is empty.
    RemovePostfixDirectory(HostPath),
    /// `sendmail -q`: sendmail tries once all that waits, in its queue and in the client's, for a
    /// minute at most; what is not delivered by then waits on.
    FlushSendmail,
}

/// A daemon that a script starts may keep what it inherits; whoever waits for the end of its output
/// waits for ever. Dovecot 2.3 does so.
const WITHOUT_OUTPUT: &str = r#"exec "$0" start </dev/null >/dev/null 2>&1"#;

const FORGET_UNITS: &str = r#"systemctl reset-failed -- "$@" 2>/dev/null || :"#;
const TRY_SPOOL_SERVICE: &str = r#"
systemctl start -- "$0" && exit
status=$?
[ "$(systemctl show --property=ExecMainStatus -- "$0")" = ExecMainStatus=2 ] && exit
systemctl status --no-pager --lines=3 -- "$0" 2>&1 | tail -n 3 >&2
exit "$status"
"#;

/// systemd before version 244 cannot reload networkd.
const RELOAD_NETWORKD: &str = "\
    ! systemctl --quiet is-active systemd-networkd.service || \
    networkctl reload || systemctl restart systemd-networkd.service";
const RELOAD_NETWORK_MANAGER: &str = "\
    ! systemctl --quiet is-active NetworkManager.service || nmcli connection reload";
const WITH_SYSTEMCTL: &str = "command -v systemctl >/dev/null || exit 0";
/// A message whose host hangs holds up the run of a queue for as long as it likes. That it was ended
/// is no failure: sendmail's own runs are ended like that by a shutdown.
const FLUSH_SENDMAIL: &str = "
for queue in '' -Ac; do
    timeout 30 /usr/sbin/sendmail $queue -q </dev/null >/dev/null 2>&1
done
exit 0
";

/// The masters of all instances of Postfix that run, postmulti(1). Those of containers are others.
macro_rules! postfix_masters {
    () => {
        r#"
masters=
for config in "$(/usr/sbin/postconf -h config_directory)" \
    $(/usr/sbin/postconf -h multi_instance_directories | tr , ' '); do
    queue=$(/usr/sbin/postconf -c "$config" -h queue_directory) || continue
    read -r master <"$queue/pid/master.pid" && masters="$masters $master"
done 2>/dev/null
[ -n "$masters" ] || exit 0
"#
    };
}

/// The queue manager is a child of the master. A delivery that was handed out a moment ago may not have
/// begun: an agent may still be on its way from the master, or wait for the processor, longer on a busy
/// host. One that has ended its delivery sleeps, because the queue manager does not hear it.
const PAUSE_POSTFIX: &str = concat!(
    postfix_masters!(),
    r#"
delivers() {
    ps -eo pid=,ppid=,stat=,comm= | awk -v masters=" $masters " '
        { parent[$1] = $2; state[$1] = $3; name[$1] = $4 }
        function of_master(pid) {
            return pid in parent && index(masters, " " parent[pid] " ")
        }
        function agent(pid) {
            return of_master(pid) && name[pid] ~ /^(local|pipe|virtual|lmtp)$/
        }
        END {
            for (pid in parent) {
                if (agent(parent[pid]) || (agent(pid) && state[pid] !~ /^S/)) busy = 1
                if (of_master(pid) && name[pid] == "master") busy = 1
            }
            exit !busy
        }'
}
for master in $masters; do
    for qmgr in $(ps -o pid=,comm= --ppid "$master" | awk '$2 == "qmgr" || $2 == "nqmgr" { print $1 }'); do
        kill -STOP "$qmgr"
    done
done
quiet=0
end=$(($(date +%s) + 20))
while [ "$quiet" -lt 3 ] && [ "$(date +%s)" -lt "$end" ]; do
    sleep 0.2
    if delivers; then quiet=0; else quiet=$((quiet + 1)); fi
done
exit 0
"#
);

const RESUME_POSTFIX: &str = concat!(
    postfix_masters!(),
    r#"
for master in $masters; do
    pkill -CONT -P "$master" -x 'n*qmgr'
done
exit 0
"#
);

/// In `/bin` both before and after the merge of `/bin` and `/usr/bin`.
const SYSTEMCTL: &str = "/bin/systemctl";

/// doveadm(1) with arguments.
fn doveadm(command: &[&str], of: &[&str]) -> Vec<String> {
    let words = ["/usr/bin/doveadm"].iter().chain(command).chain(of);
    words.map(|&word| word.to_owned()).collect()
}

impl Command {
    /// Program (an absolute path) and arguments.
    pub fn argv(&self) -> Vec<String> {
        let (script, steps);
        let (words, units): (&[&str], &[String]) = match self {
            Self::ReloadUnits => (&[SYSTEMCTL, "daemon-reload"], &[]),
            Self::StopUnits(units) => (&[SYSTEMCTL, "stop", "--"], units),
            Self::StartUnits(units) => (&[SYSTEMCTL, "start", "--"], units),
            Self::MaskUnits(units) => (&[SYSTEMCTL, "mask", "--"], units),
            Self::UnmaskUnits(units) => (&[SYSTEMCTL, "unmask", "--"], units),
            Self::EnableUnits(units) => (&[SYSTEMCTL, "enable", "--"], units),
            Self::DisableUnits(units) => (&[SYSTEMCTL, "disable", "--now", "--"], units),
            Self::RestartUnits(units) => (&[SYSTEMCTL, "restart", "--"], units),
            Self::ForgetUnits(units) => (&["/bin/sh", "-c", FORGET_UNITS, "sh"], units),
            Self::TrySpoolService(unit) => (&["/bin/sh", "-c", TRY_SPOOL_SERVICE, unit], &[]),
            Self::StopDovecot => (&["/usr/bin/doveadm", "stop"], &[]),
            Self::StopPostfix => (&["/usr/sbin/postfix", "stop"], &[]),
            Self::StopScript(name) => {
                script = format!("/etc/init.d/{name}");
                (&[script.as_str(), "stop"], &[])
            }
            Self::StartScript(name) => {
                script = format!("/etc/init.d/{name}");
                (&["/bin/sh", "-c", WITHOUT_OUTPUT, &script], &[])
            }
            Self::UpdateRcDisable(name) => (&["/usr/sbin/update-rc.d", name, "disable"], &[]),
            Self::UpdateRcEnable(name) => (&["/usr/sbin/update-rc.d", name, "enable"], &[]),
            Self::ChkconfigOff(name) => (&["/sbin/chkconfig", name, "off"], &[]),
            Self::ChkconfigOn(name) => (&["/sbin/chkconfig", name, "on"], &[]),
            Self::ReloadDovecot => (&["/usr/bin/doveadm", "reload"], &[]),
            Self::ReloadNetworkd => {
                steps = format!("{WITH_SYSTEMCTL}; {RELOAD_NETWORKD}");
                (&["/bin/sh", "-c", &steps], &[])
            }
            Self::ReloadNetworkManager => {
                steps = format!("{WITH_SYSTEMCTL}; {RELOAD_NETWORK_MANAGER}");
                (&["/bin/sh", "-c", &steps], &[])
            }
            Self::ReloadNetplan => {
                steps = format!(
                    "set -e; netplan generate; {WITH_SYSTEMCTL}; {{ {RELOAD_NETWORKD}; }}; \
                     {RELOAD_NETWORK_MANAGER}"
                );
                (&["/bin/sh", "-c", &steps], &[])
            }
            Self::ExpungeLetter { user, marker } => {
                let of = ["INBOX", "HEADER", "Message-ID", marker];
                return doveadm(&["expunge", "-u", user, "mailbox"], &of);
            }
            Self::CreateFolder { user, folder } => {
                return doveadm(&["mailbox", "create", "-u", user, "-s"], &[folder]);
            }
            Self::CopyMessages { user, folder, uids } => {
                let of = ["mailbox", "INBOX", "uid", uids];
                return doveadm(&["copy", "-u", user, folder], &of);
            }
            Self::ExpungeMessages { user, folder, uids } => {
                return doveadm(&["expunge", "-u", user, "mailbox"], &[folder, "uid", uids]);
            }
            Self::FlushPostfix => (&["/usr/sbin/postqueue", "-f"], &[]),
            Self::FlushPostfixFor(domain) => (&["/usr/sbin/postqueue", "-s", domain], &[]),
            Self::SetPostfix(values) => {
                let pairs = values
                    .iter()
                    .map(|(name, value)| format!("{name} = {value}"));
                let words = ["/usr/sbin/postconf", "-e"].map(str::to_owned);
                return words.into_iter().chain(pairs).collect();
            }
            Self::UnsetPostfix(names) => (&["/usr/sbin/postconf", "-X"], names),
            Self::CheckPostfix => (&["/usr/sbin/postfix", "check"], &[]),
            Self::ReloadPostfix => (&["/usr/sbin/postfix", "reload"], &[]),
            Self::RemovePostfixDirectory(directory) => {
                script = directory.to_string();
                (
                    &["/bin/rmdir", "--ignore-fail-on-non-empty", "--", &script],
                    &[],
                )
            }
            Self::PausePostfix => (&["/bin/sh", "-c", PAUSE_POSTFIX], &[]),
            Self::ResumePostfix => (&["/bin/sh", "-c", RESUME_POSTFIX], &[]),
            Self::FlushSendmail => (&["/bin/sh", "-c", FLUSH_SENDMAIL], &[]),
        };
        let words = words.iter().map(|&word| word.to_owned());
        words.chain(units.iter().cloned()).collect()
    }

    /// How long the program may be silent before it counts as hanging. systemd itself gives a unit
    /// 90 seconds to start or to stop, `DefaultTimeoutStartSec=` of systemd-system.conf(5).
    pub fn patience(&self) -> Duration {
        match self {
            Self::ReloadUnits
            | Self::PausePostfix
            | Self::ResumePostfix
            | Self::ReloadNetworkd
            | Self::ReloadNetplan
            | Self::ReloadNetworkManager
            | Self::ReloadDovecot
            | Self::ExpungeLetter { .. }
            | Self::CreateFolder { .. }
            | Self::MaskUnits(_)
            | Self::UnmaskUnits(_)
            | Self::EnableUnits(_)
            | Self::ForgetUnits(_)
            | Self::UpdateRcDisable(_)
            | Self::UpdateRcEnable(_)
            | Self::ChkconfigOff(_)
            | Self::ChkconfigOn(_)
            | Self::FlushPostfix
            | Self::FlushPostfixFor(_)
            | Self::SetPostfix(_)
            | Self::UnsetPostfix(_)
            | Self::CheckPostfix
            | Self::ReloadPostfix
            | Self::RemovePostfixDirectory(_)
            | Self::FlushSendmail => Duration::from_secs(90),
            Self::StopUnits(_)
            | Self::StartUnits(_)
            | Self::DisableUnits(_)
            | Self::RestartUnits(_)
            | Self::StopDovecot
            | Self::StopPostfix
            | Self::StopScript(_)
            | Self::StartScript(_) => Duration::from_mins(5),
            // It says nothing while it copies gigabytes.
            Self::CopyMessages { .. } | Self::ExpungeMessages { .. } | Self::TrySpoolService(_) => {
                Duration::from_hours(1)
            }
        }
    }
}

impl fmt::Display for Command {
    /// As a person would type it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let argv = self.argv();
        match self {
            Self::StartScript(name) => return write!(f, "/etc/init.d/{name} start"),
            Self::FlushSendmail => return f.write_str("sendmail -q"),
            Self::ForgetUnits(units) => {
                return write!(f, "systemctl reset-failed {}", units.join(" "));
            }
            Self::TrySpoolService(unit) => return write!(f, "systemctl start {unit}"),
            Self::PausePostfix => {
                return f.write_str("let Postfix end the deliveries that it began");
            }
            Self::ResumePostfix => return f.write_str("let Postfix deliver again"),
            Self::SetPostfix(values) => {
                f.write_str("postconf -e")?;
                let mut pairs = values.iter();
                return pairs.try_for_each(|(name, value)| write!(f, " \"{name} = {value}\""));
            }
            Self::StopScript(_) => f.write_str(&argv[0])?,
            Self::ReloadNetworkd => return f.write_str("networkctl reload"),
            Self::ReloadNetplan => return f.write_str("netplan generate"),
            Self::ReloadNetworkManager => return f.write_str("nmcli connection reload"),
            _ => f.write_str(argv[0].rsplit('/').next().unwrap_or(&argv[0]))?,
        }
        let words = argv[1..].iter().filter(|word| *word != "--");
        words.into_iter().try_for_each(|word| write!(f, " {word}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_a_person_would_type_it() {
        let units = vec!["dovecot.socket".to_owned(), "dovecot.service".to_owned()];
        assert_eq!(
            Command::MaskUnits(units).to_string(),
            "systemctl mask dovecot.socket dovecot.service"
        );
        assert_eq!(
            Command::StopScript("dovecot".to_owned()).to_string(),
            "/etc/init.d/dovecot stop"
        );
        assert_eq!(
            Command::StartScript("dovecot".to_owned()).to_string(),
            "/etc/init.d/dovecot start"
        );
        assert_eq!(
            Command::ChkconfigOff("sendmail".to_owned()).to_string(),
            "chkconfig sendmail off"
        );
    }
}
