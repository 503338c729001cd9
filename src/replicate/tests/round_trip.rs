//! What is kept, and that each way of changing is seen and carried over.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::bench::{Bench, Way, root, run, write};
use crate::names::{Gid, Uid};
use crate::plan::change::{Difference, Extraneous};
use crate::replicate::{Depth, IndexUse};

fn filled() -> Bench {
    filled_by(Way::Here)
}

fn filled_by(way: Way) -> Bench {
    let bench = Bench::by(way);
    let home = bench.home();
    write(home.join("mail/Sent"), "From a\n");
    write(home.join("mail/empty"), "");
    write(home.join("Maildir/cur/1.host:2,"), "body");
    write(home.join("Maildir/new/2.host"), vec![7; 600_000]);
    symlink("/nowhere", home.join("link")).unwrap();
    fs::set_permissions(home.join("mail"), fs::Permissions::from_mode(0o2710)).unwrap();
    write(bench.source.join("mail/alice"), "From a\n\nhello\n");
    bench
}

fn mtime(path: std::path::PathBuf) -> (i64, i64) {
    let meta = fs::symlink_metadata(path).unwrap();
    (meta.mtime(), meta.mtime_nsec())
}

#[test]
fn a_copy_is_equal_and_rsync_agrees() {
    if !root() {
        return;
    }
    for way in Way::UNLIKE {
        let bench = filled_by(way);
        let report = bench.converge();
        assert!(report.complete(), "{report:?}");
        assert_eq!(report.delta.create.files, 11);
        assert_eq!(bench.rsync(), "");
        assert_eq!(
            mtime(bench.home().join("mail/Sent")),
            mtime(bench.there().join("mail/Sent"))
        );
        assert_eq!(mtime(bench.home()), mtime(bench.there()));
        assert!(
            bench.copy().delta.is_empty(),
            "the second time nothing changes"
        );
        assert!(!bench.there().join(".reconcile-staging").exists());
    }
}

#[test]
fn sparse_files_stay_sparse_and_links_stay_links() {
    if !root() {
        return;
    }
    for way in Way::UNLIKE {
        let bench = filled_by(way);
        let mut file = File::create(bench.home().join("sparse")).unwrap();
        file.seek(SeekFrom::Start(8 << 20)).unwrap();
        file.write_all(b"in the middle").unwrap();
        file.set_len(32 << 20).unwrap();
        file.sync_all().unwrap();
        fs::hard_link(bench.home().join("mail/Sent"), bench.home().join("a-link")).unwrap();
        bench.converge();
        assert_eq!(bench.rsync(), "");
        let sparse = fs::metadata(bench.there().join("sparse")).unwrap();
        assert!(
            sparse.blocks() * 512 < 1 << 20,
            "{} blocks",
            sparse.blocks()
        );
        assert_eq!(
            fs::metadata(bench.there().join("a-link")).unwrap().nlink(),
            2
        );

        // Broken on the source, and made on the target where the source has none.
        fs::remove_file(bench.home().join("a-link")).unwrap();
        write(bench.home().join("a-link"), "From a\n");
        fs::remove_file(bench.there().join("mail/empty")).unwrap();
        fs::hard_link(
            bench.there().join("Maildir/new/2.host"),
            bench.there().join("mail/empty"),
        )
        .unwrap();
        assert!(
            bench
                .differences(Depth::Index)
                .iter()
                .any(|d| d.1 == Difference::HardLinks)
        );
        bench.converge();
        assert_eq!(bench.rsync(), "");
    }
}

#[test]
fn attributes_and_acls_are_kept_with_mapped_ids() {
    if !root() {
        return;
    }
    for way in Way::UNLIKE {
        let mut bench = filled_by(way);
        bench.owner = Uid(500);
        bench.ids.uids = [
            (Uid(500), Uid(1500)),
            (Uid(0), Uid(0)),
            (Uid(501), Uid(1501)),
        ]
        .into();
        bench.ids.gids = [(Gid(12), Gid(8)), (Gid(0), Gid(0))].into();
        let file = bench.home().join("mail/Sent");
        let (home, path) = (bench.home(), file.to_str().unwrap());
        run("chown", &["-R", "500:12", home.to_str().unwrap()]);
        run("setfacl", &["-m", "u:501:rw,g:12:r", path]);
        run(
            "setfacl",
            &["-d", "-m", "u:501:rwx", home.join("mail").to_str().unwrap()],
        );
        run("setfattr", &["-n", "user.note", "-v", "kept", path]);
        run("chmod", &["u+s", home.join("mail/empty").to_str().unwrap()]);
        bench.converge();
        let copied = bench.there().join("mail/Sent");
        let acl = run("getfacl", &["-pcn", copied.to_str().unwrap()]);
        assert!(
            acl.contains("user:1501:rw-") && acl.contains("group:8:r--"),
            "{acl}"
        );
        let meta = fs::metadata(&copied).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (1500, 8));
        let note = run(
            "getfattr",
            &["--only-values", "-n", "user.note", copied.to_str().unwrap()],
        );
        assert_eq!(note, "kept");
        assert_eq!(
            fs::metadata(bench.there().join("mail/empty"))
                .unwrap()
                .mode()
                & 0o7000,
            0o4000
        );
        // Only metadata changes: the file stays the same inode.
        run("setfattr", &["-n", "user.note", "-v", "other", path]);
        run("chmod", &["0600", path]);
        bench.converge();
        assert_eq!(fs::metadata(&copied).unwrap().ino(), meta.ino());
    }
}

#[test]
fn a_flip_of_the_same_size_and_mtime_is_seen() {
    let bench = filled();
    std::thread::sleep(Duration::from_millis(100));
    bench.converge();
    let mbox = bench.source.join("mail/alice");
    let before = fs::metadata(&mbox).unwrap();
    write(&mbox, "From a\n\nHELLO\n");
    File::open(&mbox)
        .unwrap()
        .set_modified(before.modified().unwrap())
        .unwrap();
    assert_eq!(
        fs::metadata(&mbox).unwrap().mtime_nsec(),
        before.mtime_nsec()
    );
    assert_eq!(
        bench.differences(Depth::Index),
        [(".".to_owned(), Difference::Content)]
    );
    bench.converge();
    assert_eq!(
        fs::read(bench.target.join("mail/alice")).unwrap(),
        b"From a\n\nHELLO\n"
    );
}

#[test]
fn another_account_on_the_hosts_makes_nobody_read_everything_again() {
    if !root() {
        return;
    }
    let mut bench = Bench::new();
    bench.ids.uids = [(Uid(0), Uid(0))].into();
    write(bench.home().join("mail/Sent"), "no ACL");
    let shared = bench.home().join("mail/shared");
    write(&shared, "with ACL");
    run("setfacl", &["-m", "u:501:r", shared.to_str().unwrap()]);
    std::thread::sleep(Duration::from_millis(100));
    bench.converge();
    bench.compared();

    bench.ids.uids.insert(Uid(501), Uid(1501));
    assert_eq!(
        bench.differences(Depth::Index),
        [("mail/shared".to_owned(), Difference::Xattrs)]
    );
    assert_eq!(bench.compared(), "with ACL".len() as u64);
    bench.converge();
}

#[test]
fn a_bad_index_costs_time_only() {
    let bench = filled();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(bench.copy().index, IndexUse::Absent);
    assert_eq!(bench.copy().index, IndexUse::Read);
    let path = bench.index.join("home");
    let good = fs::read(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let mut damaged = good.clone();
    damaged[good.len() / 2] ^= 1;
    for bad in [&damaged[..], &good[..good.len() - 1], b"", &[255; 64]] {
        fs::write(&path, bad).unwrap();
        let report = bench.copy();
        assert_eq!(
            (report.index, report.delta.is_empty()),
            (IndexUse::Damaged, true)
        );
    }
    // Of another tree: the names are the same, the content is not.
    let other = filled();
    write(other.home().join("Maildir/cur/1.host:2,"), "BODY");
    other.copy();
    write(bench.home().join("Maildir/cur/1.host:2,"), "flip");
    fs::copy(other.index.join("home"), &path).unwrap();
    bench.converge();
}

#[test]
fn kinds_change_and_names_go() {
    for way in Way::UNLIKE {
        let bench = filled_by(way);
        bench.converge();
        let home = bench.home();
        fs::remove_dir_all(home.join("Maildir/cur")).unwrap();
        write(home.join("Maildir/cur"), "now a file");
        fs::remove_file(home.join("mail/Sent")).unwrap();
        write(home.join("mail/Sent/sub"), "now a directory");
        fs::remove_file(home.join("link")).unwrap();
        fs::create_dir(home.join("link")).unwrap();
        fs::rename(
            home.join("Maildir/new/2.host"),
            home.join("Maildir/new/2.host:2,S"),
        )
        .unwrap();
        fs::remove_file(bench.source.join("mail/alice")).unwrap();
        bench.converge();
        assert!(!bench.there().join("Maildir/new/2.host").exists());
        assert!(!bench.target.join("mail/alice").exists());
    }
}

#[test]
fn what_was_not_expected_is_refused_and_kept() {
    let mut bench = filled();
    bench.extraneous = Extraneous::Refuse;
    write(
        bench.there().join("Maildir/cur/newer"),
        "mail that only the target has",
    );
    let error = bench.try_copy().unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Blocked);
    assert!(error.to_string().contains("Maildir/cur/newer"), "{error}");
    assert!(bench.there().join("Maildir/cur/newer").exists());
}

#[test]
fn an_empty_mailbox_made_with_the_account_is_not_in_the_way() {
    let mut bench = Bench::new();
    bench.extraneous = Extraneous::Refuse;
    write(bench.home().join("mail/Sent"), "From a\n\nsent\n");
    write(bench.target.join("mail/alice"), "");
    bench.converge();
}

#[test]
fn what_is_excluded_is_left_alone_on_both_sides() {
    for way in Way::UNLIKE {
        let mut bench = filled_by(way);
        bench.selection.exclude = vec!["**/*.tmp".to_owned()];
        write(bench.home().join("a.tmp"), "here");
        write(bench.there().join("old/b.tmp"), "there");
        write(bench.there().join("old/c"), "extraneous");
        bench.converge();
        assert!(!bench.there().join("a.tmp").exists());
        assert!(bench.there().join("old/b.tmp").exists());
        assert!(!bench.there().join("old/c").exists());
    }
}

#[test]
fn a_home_that_is_not_mounted_removes_nothing() {
    for way in Way::UNLIKE {
        let bench = filled_by(way);
        bench.converge();
        fs::rename(bench.home(), bench.source.join("away")).unwrap();
        bench.copy();
        assert!(bench.there().join("mail/Sent").exists());
    }
}

#[test]
fn links_in_a_maildir_of_the_spool_stay_links() {
    for way in Way::UNLIKE {
        let bench = Bench::by(way);
        fs::create_dir_all(bench.home()).unwrap();
        let maildir = bench.source.join("mail/alice/Maildir");
        write(maildir.join("cur/1"), "a letter");
        fs::create_dir(maildir.join("new")).unwrap();
        fs::hard_link(maildir.join("cur/1"), maildir.join("new/2")).unwrap();
        bench.converge();
        let there = bench.target.join("mail/alice/Maildir");
        let ino = |name| fs::metadata(there.join(name)).unwrap().ino();
        assert_eq!(ino("cur/1"), ino("new/2"), "{way:?}");
    }
}

#[test]
fn what_a_tree_holds_is_told_in_less_than_its_names() {
    let bench = Bench::by(Way::Wire);
    let names = 1000 * "1700000000.M123456P1000.old.example.org,S=2048,W=2096:2,S".len() as u64;
    for number in 0..1000_u32 {
        let name = format!(
            "{}.M{}P{}.old.example.org,S=2048,W=2096:2,S",
            1_700_000_000 + number * 1709,
            100_000 + (number * 7919) % 900_000,
            1000 + (number * 31) % 9000
        );
        write(bench.home().join("Maildir/cur").join(name), b"");
    }
    bench.copy();
    bench.wire.store(0, Ordering::Relaxed);
    assert!(bench.compare().delta.is_empty());
    let wire = bench.wire.load(Ordering::Relaxed);
    assert!(wire < names, "{wire} of {names}");
}
