//! Reads the account files, login.defs, the libcrypt and the shells of the hosts.

use std::collections::BTreeSet;

use super::actual::{Actual, Database, Elsewhere, Group, Presence, Ranges, User};
use super::files::{Files, malformed};
use super::scheme::{Crypt, Scheme, describe};
use super::{group, login_defs, passwd};
use crate::error::Result;
use crate::host::ReadHost;
use crate::names::{GroupName, UserName};
use crate::parallel;
use crate::raw::{HostPath, Raw};
use crate::secret::DigestKey;

const LOGIN_DEFS: &str = "/etc/login.defs";

/// Looks at both hosts. The digests are keyed by the source's secrets, or, when the source is gone,
/// by the target's.
pub fn observe(source: Option<&dyn ReadHost>, target: &dyn ReadHost) -> Result<Actual> {
    let look = |host| Ok((Files::read(host)?, ranges(host)?, crypt(host)?));
    let (old, new) = parallel::both(|| source.map(look), || look(target));
    let (old, (new, new_ranges, crypt)) = (old.transpose()?, new?);
    let key = old.as_ref().map_or(&new, |(files, ..)| files).digest_key();
    let (source, source_crypt) = match old {
        Some((files, ranges, crypt)) => (Some(database(&files, &key, ranges)), crypt),
        None => (None, Crypt::default()),
    };
    let missing_shells = match &source {
        Some(source) => missing_shells(source, target)?,
        None => BTreeSet::new(),
    };
    Ok(Actual {
        source,
        target: database(&new, &key, new_ranges),
        crypt,
        source_crypt,
        missing_shells,
    })
}

fn ranges(host: &dyn ReadHost) -> Result<Ranges> {
    match host.read(&HostPath::from(LOGIN_DEFS))? {
        Some(bytes) => login_defs::parse(&bytes).map_err(|bad| malformed(host, LOGIN_DEFS, &bad)),
        None => Ok(Ranges::default()),
    }
}

fn present<T>(thing: Option<&T>) -> Presence {
    if thing.is_some() {
        Presence::Present
    } else {
        Presence::Absent
    }
}

fn database(files: &Files, key: &DigestKey, ranges: Ranges) -> Database {
    let mut duplicate_users: BTreeSet<UserName> =
        files.passwd().duplicates().map(UserName::from).collect();
    let mut duplicate_groups: BTreeSet<GroupName> =
        files.group().duplicates().map(GroupName::from).collect();
    if let Some(shadow) = files.shadow() {
        duplicate_users.extend(shadow.duplicates().map(UserName::from));
    }
    if let Some(gshadow) = files.gshadow() {
        duplicate_groups.extend(gshadow.duplicates().map(GroupName::from));
    }
    let users = files
        .passwd()
        .records()
        .map(|(name, entry)| {
            let name = UserName::from(name);
            let user = user(files, key, &name, entry);
            (name, user)
        })
        .collect();
    let groups = files
        .group()
        .records()
        .map(|(name, entry)| (GroupName::from(name), group(files, key, name, entry)))
        .collect();
    Database {
        ranges,
        shadow: present(files.shadow()),
        gshadow: present(files.gshadow()),
        elsewhere: if files.passwd().has_nis() {
            Elsewhere::Nis
        } else {
            Elsewhere::Nowhere
        },
        users,
        groups,
        duplicate_users,
        duplicate_groups,
    }
}

fn user(files: &Files, key: &DigestKey, name: &UserName, entry: &passwd::Entry) -> User {
    let line = files
        .shadow()
        .and_then(|shadow| shadow.get(name.as_bytes()));
    User {
        uid: entry.uid,
        gid: entry.gid,
        gecos: entry.gecos.clone(),
        home: entry.home.clone(),
        shell: entry.shell.clone(),
        password: files.password(name).map(|field| describe(key, field)),
        ageing: line.map(|line| line.ageing.clone()).unwrap_or_default(),
        shadow: present(line),
    }
}

fn group(files: &Files, key: &DigestKey, name: &[u8], entry: &group::Entry) -> Group {
    let line = files.gshadow().and_then(|gshadow| gshadow.get(name));
    Group {
        gid: entry.gid,
        members: entry.members.clone(),
        admins: line
            .map(|line| line.admins.names.clone())
            .unwrap_or_default(),
        password: files
            .group_password(name)
            .map(|field| describe(key, field))
            .filter(|password| ![Scheme::NONE, Scheme::EMPTY].contains(&password.scheme.as_str())),
        gshadow: present(line),
        not_in_gshadow: line.map_or_else(BTreeSet::new, |line| {
            entry
                .members
                .difference(&line.members.names)
                .cloned()
                .collect()
        }),
    }
}

/// The longest path that a system call takes.
const PATH_MAX: usize = 4095;

fn missing_shells(source: &Database, target: &dyn ReadHost) -> Result<BTreeSet<Raw>> {
    let shells: BTreeSet<&Raw> = source
        .users
        .values()
        .map(|user| &user.shell)
        .filter(|shell| !shell.is_empty())
        .collect();
    let shells: Vec<&Raw> = shells.into_iter().collect();
    let there = parallel::ask(&shells, |shell| {
        let path = shell.as_bytes();
        Ok(path.starts_with(b"/")
            && path.len() <= PATH_MAX
            && target.stat(&HostPath::from(path))?.is_some())
    });
    let mut missing = BTreeSet::new();
    for (shell, there) in shells.into_iter().zip(there) {
        if !there? {
            missing.insert(shell.clone());
        }
    }
    Ok(missing)
}

/// Directories that hold a libcrypt, and whose `*-linux-*` subdirectories (Debian's multiarch) do.
const LIBRARY_DIRS: [&str; 4] = ["/usr/lib64", "/lib64", "/usr/lib", "/lib"];

/// The best libcrypt that is installed; programs are linked with the newest.
fn crypt(host: &dyn ReadHost) -> Result<Crypt> {
    let mut found = Crypt::Unknown;
    for dir in LIBRARY_DIRS.map(HostPath::from) {
        let names = host.list(&dir)?.unwrap_or_default();
        let mut seen = of_names(&names);
        for name in names.iter().filter(|name| is_multiarch(name.as_bytes())) {
            let sub = dir.join(name.as_bytes());
            if is_dir(host, &sub)? {
                seen.extend(of_names(&host.list(&sub)?.unwrap_or_default()));
            }
        }
        if seen.contains(&Crypt::Libxcrypt) {
            return Ok(Crypt::Libxcrypt);
        }
        if seen.contains(&Crypt::Glibc) {
            found = Crypt::Glibc;
        }
    }
    Ok(found)
}

fn of_names(names: &[Raw]) -> Vec<Crypt> {
    names
        .iter()
        .filter_map(|name| Crypt::of_file(name.as_bytes()))
        .collect()
}

fn is_multiarch(name: &[u8]) -> bool {
    name.windows(7).any(|part| part == b"-linux-")
}

fn is_dir(host: &dyn ReadHost, path: &HostPath) -> Result<bool> {
    let stat = host.stat(path)?;
    Ok(stat.is_some_and(|stat| stat.kind == crate::host::FileKind::Dir))
}
