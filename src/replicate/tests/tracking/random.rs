//! Random moves on the source, rounds in between: what is passed over never differs.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

use super::{Disk, Rounds};
use crate::replicate::Depth;
use crate::replicate::tests::bench::{Way, write};
use crate::replicate::tests::mutation::{self, Mutation, mutate};

/// What happens on the source, and what is done about it.
#[derive(Clone, Debug)]
enum Move {
    Mutation(Mutation),
    /// A directory, or what has its name, goes where another one is.
    Directory(u8, u8),
    Out(u8),
    In(u8),
    LinkOut(u8),
    WriteOut(u8),
    /// A look that copies nothing, and that nobody trusts.
    Look,
    Round,
}

/// The last two are there when something comes to be there.
const DIRECTORIES: [&str; 8] = ["a", "a/b", "c.d", "e", "a/e", "c.d/a", "f", "f/b"];

fn directory(n: u8) -> &'static str {
    DIRECTORIES[usize::from(n) % DIRECTORIES.len()]
}

fn moves() -> impl Strategy<Value = Move> {
    let n = || 0_u8..8;
    // A file in each of the first directories.
    let file = || 1_u8..4;
    prop_oneof![
        4 => mutation::mutation().prop_map(Move::Mutation),
        4 => (n(), n()).prop_map(|(a, b)| Move::Directory(a, b)),
        2 => n().prop_map(Move::Out),
        2 => n().prop_map(Move::In),
        2 => file().prop_map(Move::LinkOut),
        3 => file().prop_map(Move::WriteOut),
        3 => Just(Move::Look),
        6 => Just(Move::Round),
    ]
}

fn make(rounds: &mut Rounds, step: &Move) -> std::io::Result<()> {
    let (home, outside) = (rounds.bench.home(), rounds.outside.clone());
    let link = |n: &u8| outside.join(format!("link{n}"));
    let away = |n: &u8| outside.join(format!("directory{n}"));
    match step {
        Move::Round => rounds.round(),
        Move::Mutation(mutation) => mutate(&home, [mutation]),
        Move::Directory(a, b) => fs::rename(home.join(directory(*a)), home.join(directory(*b)))?,
        Move::Out(n) => fs::rename(home.join(directory(*n)), away(n))?,
        Move::In(n) => fs::rename(away(n), home.join(directory(*n)))?,
        Move::LinkOut(n) => fs::hard_link(home.join(mutation::name(*n)), link(n))?,
        Move::WriteOut(n) => {
            let mut file = OpenOptions::new().append(true).open(link(n))?;
            file.write_all(b"through another name")?;
        }
        Move::Look => {
            rounds.next();
            let _untrusted = rounds.bench.differences(Depth::Index);
            rounds.bench.tracking = None;
        }
    }
    Ok(())
}

#[test]
fn rounds_that_pass_over_what_has_not_changed_end_as_a_look_at_everything_does() {
    let Some(disk) = Disk::new() else { return };
    let config = crate::replicate::tests::cases(100);
    let before = prop::collection::vec((1_u8..4).prop_map(Move::LinkOut), 0..2);
    let later = prop::collection::vec(moves(), 1..40);
    let way = prop_oneof![Just(Way::Here), Just(Way::Wire)];
    let outcome = TestRunner::new(config).run(&(before, later, way), |(before, later, way)| {
        let mut rounds = Rounds::on(&disk.path(), way);
        for name in &DIRECTORIES[..6] {
            write(rounds.bench.home().join(name).join("x"), name);
        }
        for step in &before {
            let _impossible = make(&mut rounds, step);
        }
        rounds.track();
        rounds.round();
        for step in &later {
            let _impossible = make(&mut rounds, step);
        }
        let equal = rounds.ends_equal();
        let lost = rounds.lost();
        fs::remove_dir_all(&rounds.bench.source).unwrap();
        fs::remove_dir_all(&rounds.outside).unwrap();
        prop_assert_eq!(lost, None);
        prop_assert!(equal, "the target is not as the source");
        Ok(())
    });
    if let Err(TestError::Fail(why, steps)) = outcome {
        panic!("{why}, after {steps:#?}");
    }
}
