//! Everything that a plan rests on, as one value that can be printed, saved and compared.

use serde::{Deserialize, Serialize};

use super::between::{self, Between};
use crate::error::Result;
use crate::host::{Guard, HostState, Lookup, ReadHost};
use crate::manifest::Manifest;
use crate::names::Side;
use crate::parallel;
use crate::plan::change::{Count, Delta};
use crate::raw::HostPath;
use crate::receipt::Receipt;
use crate::replicate::Oddities;
use crate::resource::{
    accounts, address, backup, beside, dovecot, mail, mta, mx, queue, services, spool,
};

/// Version of the observation's form.
pub const OBSERVATION_VERSION: u32 = 1;

/// The two hosts, for looking only.
#[derive(Clone, Copy)]
pub struct Hosts<'a> {
    /// The old host; `None` when it is gone and need not be there any more.
    pub source: Option<&'a dyn ReadHost>,
    /// The new host.
    pub target: &'a dyn ReadHost,
    /// Whether the source can be frozen: it is live, and this program runs there.
    pub changeable: bool,
    /// A third host that looks at the service through its addresses.
    pub third: Option<&'a dyn ReadHost>,
    /// The backup mail exchanger.
    pub backup: Option<&'a dyn ReadHost>,
    /// Why it is out of reach.
    pub backup_missing: Option<&'a str>,
}

impl<'a> Hosts<'a> {
    /// The two, as far as they are there.
    fn both(&self) -> Vec<&'a dyn ReadHost> {
        self.source.into_iter().chain([self.target]).collect()
    }
}

impl std::fmt::Debug for Hosts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let source = self.source.map(ReadHost::label);
        f.debug_struct("Hosts")
            .field("source", &source)
            .field("target", &self.target.label())
            .finish()
    }
}

/// What was seen on both hosts. Holds no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// [`OBSERVATION_VERSION`].
    pub version: u32,
    /// The migration's record on the target; `None` before the first apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    /// Whether the source runs: then its mail moves all the time.
    #[serde(default, skip_serializing_if = "is_offline")]
    pub source: HostState,
    /// What of the source cannot be seen or kept by the way that it is reached, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// Accounts and groups; `None` when the hosts cannot be looked at by this version.
    #[serde(default)]
    pub accounts: accounts::Actual,
    /// Homes and spool entries.
    #[serde(default)]
    pub mail: mail::Actual,
    /// Dovecot's settings.
    #[serde(default)]
    pub dovecot: dovecot::Actual,
    /// What runs, on hosts that run.
    #[serde(default)]
    pub services: services::Actual,
    /// Interface configuration and `/etc/hosts`.
    #[serde(default)]
    pub address: address::Actual,
    /// What only a hand-over between two live hosts asks about.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub between: Between,
    /// How the MTAs are set up.
    #[serde(default)]
    pub mta: mta::Actual,
    /// The domain's mail exchangers.
    #[serde(default, skip_serializing_if = "asked_nothing")]
    pub mx: mx::Actual,
    /// The backup mail exchanger.
    #[serde(default, skip_serializing_if = "is_no_backup")]
    pub backup: backup::Actual,
    /// What waits in the mail queues.
    #[serde(default)]
    pub queue: queue::Actual,
    /// Sizes of spool files.
    #[serde(default)]
    pub spool: spool::Actual,
    /// What the source has besides and does not move.
    #[serde(default)]
    pub beside: beside::Actual,
}

fn is_no_backup(backup: &backup::Actual) -> bool {
    *backup == backup::Actual::default()
}

fn asked_nothing(mx: &mx::Actual) -> bool {
    *mx == mx::Actual::default()
}

fn is_nothing(between: &Between) -> bool {
    *between == Between::default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_offline(state: &HostState) -> bool {
    *state == HostState::Offline
}

impl Observation {
    /// Of hosts with nothing on them.
    pub fn empty() -> Self {
        Self {
            version: OBSERVATION_VERSION,
            receipt: None,
            source: HostState::Offline,
            limits: Vec::new(),
            accounts: accounts::Actual::default(),
            mail: mail::Actual::default(),
            dovecot: dovecot::Actual::default(),
            services: services::Actual::default(),
            address: address::Actual::default(),
            between: Between::default(),
            mta: mta::Actual::default(),
            mx: mx::Actual::default(),
            backup: backup::Actual::default(),
            queue: queue::Actual::default(),
            spool: spool::Actual::default(),
            beside: beside::Actual::default(),
        }
    }

    /// Digest of all that a plan rests on. What changes all the time is no part of it: free space, and
    /// on a live source the mail.
    pub fn basis(&self) -> String {
        let mut stable = self.clone();
        for volume in &mut stable.mail.volumes {
            volume.free_bytes = 0;
            volume.free_inodes = None;
        }
        if self.source == HostState::Live {
            for tree in stable.mail.users.values_mut().flat_map(|u| &mut u.trees) {
                tree.size = Count::default();
                tree.delta = Delta::default();
                tree.oddities = Oddities::default();
            }
            if let Some(back) = &mut stable.mail.back {
                for volume in &mut back.volumes {
                    volume.free_bytes = 0;
                    volume.free_inodes = None;
                }
                for tree in back.users.values_mut().flat_map(|u| &mut u.trees) {
                    tree.size = Count::default();
                    tree.delta = Delta::default();
                    tree.oddities = Oddities::default();
                }
            }
            stable.spool.sizes.clear();
            stable.beside.queued.clear();
        }
        stable.spool.old = None;
        if let Some(timer) = &mut stable.spool.timer {
            timer.failed = false;
        }
        stable.queue.forget_counts();
        stable.mx.forget_times();
        let json =
            serde_json::to_vec(&stable).expect("an observation is plain data with text keys");
        blake3::hash(&json).to_hex().to_string()
    }
}

/// Looks at both hosts. Changes nothing on either.
pub fn observe(
    manifest: &Manifest,
    hosts: Hosts<'_>,
    look: &mail::Look<'_>,
) -> Result<Observation> {
    let remembered = parallel::ask(&hosts.both(), |host| host.remember(&usual()));
    let _remembered: Vec<Guard> = remembered.into_iter().collect::<Result<_>>()?;
    let (between, accounts) = parallel::both(
        || between::observe(manifest, hosts),
        || accounts::observe(hosts.source, hosts.target),
    );
    let (between, accounts) = (between?, accounts?);
    let receipt = newest(
        Receipt::read(hosts.target, &manifest.name)?,
        between.source_receipt.as_ref(),
    );
    let receipt_ref = receipt.as_ref();
    let authority = receipt_ref.map_or(Side::Source, |receipt| receipt.authority);
    let resolved = accounts::resolve(manifest, &accounts, receipt_ref);
    let serving = match (hosts.source, authority) {
        (Some(source), Side::Source) => source,
        _ => hosts.target,
    };
    // Over a wire most of the time goes to waiting for answers, and none of these waits for another.
    std::thread::scope(|scope| {
        let beside = scope.spawn(|| match (hosts.source, authority) {
            (Some(source), Side::Source) => beside::observe(source, hosts.target, &resolved),
            _ => Ok(beside::Actual::default()),
        });
        let services = scope.spawn(|| {
            let both = (hosts.source, hosts.target);
            services::observe(manifest, both, &accounts, &resolved, receipt_ref)
        });
        let dovecot = scope.spawn(|| observe_dovecot(manifest, hosts, &resolved));
        let address = scope.spawn(|| address::observe(manifest, hosts.source, hosts.target));
        let exchangers = scope.spawn(|| {
            let mx = observe_mx(manifest, hosts)?;
            let backup = observe_backup(manifest, hosts, (serving, &resolved), &mx)?;
            Ok((mx, backup))
        });
        let mtas = scope.spawn(|| {
            let queue = queue::observe(hosts.source, hosts.target)?;
            let mta = mta::observe(manifest, hosts.source, hosts.target, &queue)?;
            Ok((queue, mta))
        });
        let spool = scope.spawn(|| {
            // Nothing moves while a hand-over is under way.
            let quiet = between.switches.is_empty() && !between.pending;
            let users = || resolved.users.keys();
            let now = jiff::Timestamp::now();
            let old = if quiet {
                spool::housekeeping::observe(manifest, hosts.target, receipt_ref, users(), now)?
            } else {
                None
            };
            Ok(spool::Actual {
                old,
                timer: spool::timer::observe(manifest, hosts.target)?,
                ..spool::observe(serving, &mail::spool_dir(manifest, serving)?, users())?
            })
        });
        let mail = match (hosts.source, authority) {
            (Some(source), Side::Source) => {
                mail::observe(manifest, source, hosts.target, &resolved, receipt_ref, look)?
            }
            (Some(source), Side::Target) => mail::Actual {
                back: match receipt_ref.filter(|_| mail::reverses(manifest, receipt_ref)) {
                    Some(receipt) => {
                        way_back(manifest, (source, hosts.target), &accounts, receipt, look)?
                    }
                    None => None,
                },
                ..mail::Actual::default()
            },
            (None, _) => mail::Actual::default(),
        };
        let (mx, backup) = parallel::joined(exchangers)?;
        let (queue, mta) = parallel::joined(mtas)?;
        Ok(Observation {
            version: OBSERVATION_VERSION,
            source: hosts.source.map_or(HostState::Offline, ReadHost::state),
            limits: hosts.source.map_or_else(Vec::new, ReadHost::limits),
            services: parallel::joined(services)?,
            mail,
            beside: parallel::joined(beside)?,
            dovecot: parallel::joined(dovecot)?,
            address: parallel::joined(address)?,
            spool: parallel::joined(spool)?,
            accounts: accounts.clone(),
            receipt: receipt.clone(),
            between: between.clone(),
            backup,
            mx,
            mta,
            queue,
        })
    })
}

/// What an observation is likely to ask of a mail host. What is missing here costs a round trip, what is too
/// much a few bytes.
fn usual() -> Vec<(Lookup, HostPath)> {
    const LINKS: [&str; 8] = [
        "/etc",
        "/home",
        "/usr",
        "/usr/sbin",
        "/usr/sbin/sendmail",
        "/var",
        "/var/mail",
        "/var/spool",
    ];
    const DIRECTORIES: [&str; 13] = [
        "/etc/dovecot/conf.d",
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        "/usr/share/dovecot/protocols.d",
        "/var/lib/reconcile",
        "/var/mail",
        "/var/spool/postfix/active",
        "/var/spool/postfix/deferred",
        "/var/spool/postfix/hold",
        "/var/spool/postfix/incoming",
        "/var/spool/postfix/maildrop",
    ];
    const FILES: [&str; 12] = [
        "/etc/aliases",
        "/etc/dovecot/dovecot.conf",
        "/etc/dovecot/local.conf",
        "/etc/group",
        "/etc/login.defs",
        "/etc/mail/sendmail.cf",
        "/etc/mail/submit.cf",
        "/etc/mailname",
        "/etc/passwd",
        "/etc/postfix/main.cf",
        "/etc/postfix/master.cf",
        "/run/dovecot/master.pid",
    ];
    const OTHERS: [&str; 4] = [
        "/usr/sbin/postconf",
        "/var/spool/mqueue",
        "/var/spool/mqueue-client",
        "/var/spool/postfix",
    ];
    let of = |lookup, paths: &[&str]| -> Vec<(Lookup, HostPath)> {
        let paths = paths.iter().map(|&path| (lookup, HostPath::from(path)));
        paths.collect()
    };
    [
        of(Lookup::ReadLink, &LINKS),
        of(Lookup::Stat, &DIRECTORIES),
        of(Lookup::List, &DIRECTORIES),
        of(Lookup::Stat, &FILES),
        of(Lookup::Read, &FILES),
        of(Lookup::Stat, &OTHERS),
    ]
    .concat()
}

/// The record that holds: the target's, with the authority of the source's where that is newer.
pub fn receipt(manifest: &Manifest, hosts: Hosts<'_>) -> Result<Option<Receipt>> {
    let live = |host: &&dyn ReadHost| host.state() == HostState::Live;
    let source = hosts.source.filter(live);
    let source = source.map(|source| Receipt::read(source, &manifest.name));
    let theirs = source.transpose()?.flatten();
    Ok(newest(
        Receipt::read(hosts.target, &manifest.name)?,
        theirs.as_ref(),
    ))
}

/// The target's record, with the authority of the record that is newer.
pub(super) fn newest(target: Option<Receipt>, source: Option<&Receipt>) -> Option<Receipt> {
    let mut receipt = target?;
    if let Some(source) = source.filter(|source| source.epoch > receipt.epoch) {
        receipt.authority = source.authority;
        receipt.since = source.since;
        receipt.epoch = source.epoch;
    }
    Some(receipt)
}

/// What a reverse would bring back; `None` where owners cannot be told apart.
fn way_back(
    manifest: &Manifest,
    (source, target): (&dyn ReadHost, &dyn ReadHost),
    accounts: &accounts::Actual,
    receipt: &Receipt,
    look: &mail::Look<'_>,
) -> Result<Option<mail::Back>> {
    let resolved = accounts::resolve(manifest, accounts, Some(receipt));
    let Ok(ids) = accounts::ids_back(accounts, &resolved) else {
        // `accounts::diff` says so.
        return Ok(None);
    };
    let theirs = Receipt::read(source, &manifest.name)?;
    let sealed = theirs.and_then(|theirs| theirs.sealed);
    let hosts = (source, target);
    mail::observe_back(manifest, hosts, &resolved, &ids, receipt, sealed, look).map(Some)
}

fn observe_mx(manifest: &Manifest, hosts: Hosts<'_>) -> Result<mx::Actual> {
    let source = hosts.source.map(|source| (source, hosts.changeable));
    let both: Vec<_> = source.into_iter().chain([(hosts.target, true)]).collect();
    mx::observe(manifest, &both)
}

fn observe_backup(
    manifest: &Manifest,
    hosts: Hosts<'_>,
    (serving, resolved): (&dyn ReadHost, &accounts::Resolved),
    mx: &mx::Actual,
) -> Result<backup::Actual> {
    let from = backup::askers(hosts.third, hosts.target);
    let ask = backup::Ask {
        backup: hosts.backup,
        out_of_reach: hosts.backup_missing,
        serving,
        from: &from,
    };
    let users: Vec<_> = resolved.users.keys().cloned().collect();
    backup::observe(manifest, ask, mx, &users)
}

fn observe_dovecot(
    manifest: &Manifest,
    hosts: Hosts<'_>,
    resolved: &accounts::Resolved,
) -> Result<dovecot::Actual> {
    let spool = |host: &dyn ReadHost| mail::spool_dir(manifest, host);
    let around = dovecot::Around {
        source_spool: &spool(hosts.source.unwrap_or(hosts.target))?,
        target_spool: &spool(hosts.target)?,
        users: &resolved.users,
        now: jiff::Timestamp::now(),
    };
    dovecot::observe(hosts.source, hosts.target, &around)
}
