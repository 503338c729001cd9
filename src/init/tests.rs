//! Whatever the hosts say, the draft is a manifest; and it knows every key that a manifest has.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::manifest::{self, Cidr, load};
use crate::names::{Gid, GroupName, Side, Uid, UserName};
use crate::plan::change::{Ageing, Password};
use crate::raw::{HostPath, Raw};
use crate::resource::accounts::{Database, Group, Presence, User};
use crate::resource::dovecot::{HostDovecot, Version};
use crate::resource::{accounts, beside, dovecot, spool};
use crate::secret::{DigestKey, Secret};

/// What keys need a value that only a person knows, or mean nothing to a directory root.
const NOT_AS_THEY_STAND: [&str; 2] = ["host_key", "become"];

/// The draft with every key that is commented out set, but those.
fn all_set(text: &str) -> String {
    let set = |line: &str| -> Option<String> {
        let Some(key) = line.strip_prefix('#') else {
            return Some(format!("{line}\n"));
        };
        let bare = key.trim_start_matches("  ");
        if bare.starts_with(' ') {
            return Some(format!("{line}\n"));
        }
        let known = NOT_AS_THEY_STAND.iter().any(|name| bare.starts_with(name));
        (!known).then(|| format!("{key}\n"))
    };
    text.lines().filter_map(set).collect()
}

#[track_caller]
fn loads(text: &str) -> manifest::Manifest {
    load::parse("draft", text)
        .unwrap_or_else(|invalid| panic!("{:?}\n{text}", miette::Report::new(invalid)))
}

fn findings(source: &str, target: &str) -> Findings {
    Findings {
        name: "a-to-b".parse().unwrap(),
        source: HostFindings::at(source.parse().unwrap()),
        target: HostFindings::at(target.parse().unwrap()),
        accounts: accounts::Actual {
            source: Some(Database::default()),
            ..accounts::Actual::default()
        },
        dovecot: dovecot::Actual::default(),
        spool: spool::Actual::default(),
        mailboxes: BTreeMap::new(),
        beyond_range: BTreeSet::new(),
        occupied: Vec::new(),
        migrations: BTreeMap::new(),
        beside: beside::Actual::default(),
        unread: Vec::new(),
    }
}

/// Paths of all keys of the manifest whose values are not mappings of known keys themselves.
fn keys(schema: &Value, part: &Value, path: &str, found: &mut BTreeSet<String>) {
    let referred = part["$ref"].as_str().map(|name| {
        let name = name.trim_start_matches('#');
        schema.pointer(name).unwrap()
    });
    let part = referred.unwrap_or(part);
    match part["properties"].as_object() {
        None => drop(found.insert(path.to_owned())),
        Some(properties) => {
            for (key, value) in properties {
                let dot = if path.is_empty() { "" } else { "." };
                keys(schema, value, &format!("{path}{dot}{key}"), found);
            }
        }
    }
}

#[test]
fn every_key_of_the_manifest_is_drafted() {
    let text = render(&findings("ssh://a", "ssh://b")).text;
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.trim_start_matches("  ").starts_with(' ') => key,
            _ => line,
        })
        .collect();
    let draft: Value = serde_yaml::from_str(&uncommented.join("\n")).unwrap();
    let schema = manifest::schema();
    let mut wanted = BTreeSet::new();
    keys(&schema, &schema, "", &mut wanted);
    assert!(wanted.contains("mx.backup.host"), "{wanted:?}");
    let lacks = |path: &&String| {
        let pointer = format!("/{}", path.replace('.', "/"));
        draft.pointer(&pointer).is_none()
    };
    let missing: Vec<&String> = wanted.iter().filter(lacks).collect();
    assert!(
        missing.is_empty(),
        "src/init/render does not draft {missing:?}"
    );
    let unexplained = text.lines().filter(|line| {
        let key = line.trim_start_matches(['#', ' ']);
        let is_key = key
            .split_once(':')
            .is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        is_key && !line.trim_start().starts_with("# ") && !key.contains("# ") && !key.ends_with(':')
    });
    assert_eq!(unexplained.collect::<Vec<_>>(), ["version: 1"]);
}

#[test]
fn what_is_commented_out_as_a_default_is_the_default() {
    let bare = "version: 1\nname: a\nsource: {host: ssh://a}\ntarget: {host: ssh://b}\n\
                serve_from: source\n";
    let bare = loads(bare);
    let all = loads(&all_set(&render(&findings("ssh://a", "ssh://b")).text));
    assert_eq!(
        all.users,
        manifest::Users {
            uid: all.users.uid,
            ..bare.users
        }
    );
    assert_eq!(all.mail.homes, bare.mail.homes);
    assert_eq!(
        (all.mail.exclude, all.mail.adopt),
        (bare.mail.exclude, bare.mail.adopt)
    );
    assert_eq!((all.dovecot, all.services), (bare.dovecot, bare.services));
    let cutover = all.cutover.unwrap();
    assert_eq!(cutover.source_after, manifest::SourceAfter::default());
}

/// What a host can put into any text: nothing that is an accident.
fn hostile() -> BoxedStrategy<String> {
    prop_oneof![
        "[a-z][a-z0-9]{0,6}",
        "[ -~]{0,20}",
        any::<String>(),
        Just("x\nserve_from: target".to_owned()),
        Just("a\r\n# b\u{85}c\u{2028}d: e\u{2029}- f".to_owned()),
        Just("\" # ' : {} [] * & ! | > %".to_owned()),
        Just("no".to_owned()),
        Just("\u{feff}\u{fffe}\u{ffff}\u{0}\u{1b}[2J\u{202e}".to_owned()),
        Just("x".repeat(5000)),
    ]
    .boxed()
}

prop_compose! {
    fn user()(
        uid in prop_oneof![0..3_u32, 99..102_u32, 495..505_u32, 998..1005_u32, any::<u32>()],
        gid in prop_oneof![495..505_u32, 998..1005_u32],
        home in hostile(),
        shell in hostile(),
        scheme in prop_oneof![
            Just("empty"), Just("none"), Just("md5crypt"), Just("yescrypt"), Just("unknown")
        ],
        locked: bool,
    ) -> User {
        let digest = DigestKey::derive(b"x").digest(&Secret::new(b"y".to_vec()));
        User {
            uid: Uid(uid),
            gid: Gid(gid),
            gecos: Raw::default(),
            home: HostPath::from(home.as_str()),
            shell: Raw::from(shell),
            password: Some(Password { scheme: scheme.to_owned(), locked, digest }),
            ageing: Ageing::default(),
            shadow: Presence::default(),
        }
    }
}

prop_compose! {
    fn database()(
        users in prop::collection::btree_map(name(), user().boxed(), 0..8),
        groups in prop::collection::btree_map(hostile(), 495..1005_u32, 0..4),
        ranges in prop_oneof![Just((500, 60000)), Just((1000, 60000)), any::<(u32, u32)>()],
        duplicate in prop::option::of(name()),
    ) -> Database {
        let mut database = Database {
            duplicate_users: duplicate.into_iter().collect(),
            users,
            ..Database::default()
        };
        (database.ranges.uid_min, database.ranges.uid_max) = ranges;
        for (name, gid) in groups {
            let group = Group {
                gid: Gid(gid),
                members: database.users.keys().cloned().collect(),
                admins: BTreeSet::new(),
                password: None,
                gshadow: Presence::default(),
                not_in_gshadow: BTreeSet::new(),
            };
            database.groups.insert(GroupName::from(name.as_str()), group);
        }
        database
    }
}

/// Names that both hosts have, names that one has, and bytes that are no text.
fn name() -> BoxedStrategy<UserName> {
    prop_oneof![
        3 => prop::sample::select(vec!["anna", "bob", "no", "1000"]).prop_map(UserName::from),
        1 => hostile().prop_map(|name| UserName::from(name.as_str())),
        1 => prop::collection::vec(any::<u8>(), 0..6).prop_map(|name| UserName::from(&name[..])),
    ]
    .boxed()
}

prop_compose! {
    fn network()(
        addresses in prop::collection::vec((any::<u32>(), 1..=32_u8, hostile(), hostile()), 0..4),
        v6 in prop::collection::vec((any::<u128>(), 1..=128_u8, hostile()), 0..2),
        dynamic in hostile(),
        unread in prop::option::of(hostile()),
    ) -> Network {
        let v4 = addresses.into_iter().map(|(address, prefix, interface, name)| {
            let net = ipnet::Ipv4Net::new(address.into(), prefix).unwrap();
            StaticAddress { net: Cidr(net.into()), interface, names: vec![name] }
        });
        let v6 = v6.into_iter().map(|(address, prefix, interface)| {
            let net = ipnet::Ipv6Net::new(address.into(), prefix).unwrap();
            StaticAddress { net: Cidr(net.into()), interface, names: Vec::new() }
        });
        Network { addresses: v4.chain(v6).collect(), dynamic: [dynamic].into(), unread }
    }
}

prop_compose! {
    fn host(address: &'static str)(
        system in prop::option::of(hostile()),
        hostname in prop::option::of(hostile()),
        mta in prop::collection::btree_set(prop::sample::select(vec![Mta::Exim, Mta::Postfix]), 0..3),
        spool_dir in prop::option::of(hostile()),
        network in network().boxed(),
    ) -> HostFindings {
        HostFindings {
            host: address.parse().unwrap(),
            system,
            hostname,
            mta,
            spool_dir: spool_dir.map(|dir| HostPath::from(dir.as_str())),
            network,
        }
    }
}

fn a_dovecot() -> impl Strategy<Value = HostDovecot> {
    let version = prop::sample::select(vec![Version::Absent, Version::V2_3, Version::V2_4]);
    let format = prop_oneof![Just("%v-%u".to_owned()), Just("%f".to_owned()), hostile()];
    (version, hostile(), prop::option::of(format), hostile()).prop_map(|parts| {
        let (version, evidence, uidl_format, doubt) = parts;
        HostDovecot {
            version,
            evidence,
            uidl_format,
            doubts: vec![doubt],
            ..HostDovecot::default()
        }
    })
}

prop_compose! {
    fn anything()(
        source in host("dir:/a").boxed(),
        target in host("dir:/b").boxed(),
        accounts in (database().boxed(), database().boxed()),
        dovecot in (a_dovecot().boxed(), a_dovecot().boxed()),
        sizes in prop::collection::btree_map(name(), any::<u64>(), 0..4),
        boxes in prop::collection::btree_map(name(), Just(Mailbox::Maildir), 0..4),
        beyond in prop::collection::btree_set(name(), 0..4),
        places in prop::collection::vec((name(), hostile()), 0..4),
        routing in prop::collection::vec(hostile(), 0..3),
        unread in prop::collection::vec(hostile(), 0..12),
        migrated: bool,
    ) -> Findings {
        let mut all = findings("dir:/a", "dir:/b");
        (all.source, all.target) = (source, target);
        all.accounts.source = Some(accounts.0);
        all.accounts.target = accounts.1;
        all.dovecot.source = Some(dovecot.0);
        all.dovecot.target = dovecot.1;
        all.spool.sizes = sizes;
        all.mailboxes = boxes.into_iter().map(|(user, kind)| (user, [kind].into())).collect();
        all.beyond_range = beyond;
        all.occupied = places
            .into_iter()
            .map(|(user, path)| Occupied { user, path: HostPath::from(path.as_str()) })
            .collect();
        all.beside.routing = routing.iter().map(|path| HostPath::from(path.as_str())).collect();
        all.unread = unread;
        if migrated {
            all.migrations.insert("other".parse().unwrap(), Side::Target);
        }
        all
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_findings_give_a_manifest_that_says_what_they_are(findings in anything()) {
        let text = render(&findings).text;
        let manifest = loads(&text);
        prop_assert_eq!(manifest.serve_from, Side::Source);
        prop_assert_eq!(&manifest.source.host, &findings.source.host);
        prop_assert!(manifest.users.remap.is_empty() && manifest.users.include.is_empty());
        prop_assert!(manifest.mail.adopt.is_empty() && manifest.cutover.is_none());
        prop_assert!(text.len() < 100_000, "{}", text.len());
    }

    #[test]
    fn with_every_key_set_it_is_well_formed(findings in anything()) {
        let text = all_set(&render(&findings).text);
        let read: serde_yaml::Value = serde_yaml::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        let top = read.as_mapping().unwrap().len();
        prop_assert_eq!(top, manifest::schema()["properties"].as_object().unwrap().len());
    }

    #[test]
    fn findings_can_be_saved(findings in anything()) {
        let yaml = serde_yaml::to_string(&findings).unwrap();
        let back: Findings = serde_yaml::from_str(&yaml).unwrap();
        prop_assert_eq!(back, findings);
    }
}
