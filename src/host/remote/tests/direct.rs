//! Two real agents that meet on this machine, and one that meets a hostile one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{Shutdown, getpeername, shutdown};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use super::*;
use crate::direct::{self, Identity, Secured};

/// Reached by the loopback, and not otherwise.
struct Nearby;

impl Bearer for Nearby {
    fn why_lost(&self) -> Option<Error> {
        None
    }

    fn addresses(&self) -> Vec<IpAddr> {
        vec![Ipv4Addr::LOCALHOST.into()]
    }
}

/// Counts what comes from an agent.
struct Counted(UnixStream, Arc<AtomicU64>);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

struct Agent {
    host: RemoteHost,
    said: Arc<AtomicU64>,
    line: UnixStream,
}

fn agent(side: Side) -> Agent {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let label = format!("{side} (ssh://root@test)");
    let there = label.clone();
    let output = theirs.try_clone().unwrap();
    std::thread::spawn(move || {
        let _ended = crate::agent::serve(side, there, &theirs, output);
        theirs.shutdown(std::net::Shutdown::Both).ok();
    });
    let said = Arc::new(AtomicU64::new(0));
    let from = Counted(ours.try_clone().unwrap(), Arc::clone(&said));
    let to = ours.try_clone().unwrap();
    let bearer = Arc::new(Nearby);
    let host = RemoteHost::greet(side, label, from, to, &digest(), bearer).unwrap();
    Agent {
        host,
        said,
        line: ours,
    }
}

/// Two agents with a data connection, and where it ends.
fn two(on_loss: OnLoss) -> (Agent, Agent, SocketAddr) {
    let (source, target) = (agent(Side::Source), agent(Side::Target));
    let at = target.host.meet(&source.host, on_loss).unwrap();
    (source, target, at)
}

/// Has the source be read so slowly that there is time to break things.
fn slowly(source: &Agent) {
    let pace = Pace {
        limit: Some(40_000_000),
        ..Pace::default()
    };
    source.host.set_pace(pace).unwrap();
}

/// Cuts every connection of this process that ends at a port.
fn cut(at: SocketAddr) -> usize {
    let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let mut cut = 0;
    for number in 3..1024 {
        let Ok(fd) = pidfd_getfd(&own, number, PidfdGetfdFlags::empty()) else {
            continue;
        };
        let peer = getpeername(&fd).ok().flatten();
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        if peer.is_some_and(|peer| peer.port() == at.port()) {
            match shutdown(&fd, Shutdown::Both) {
                // This end may have heard of the cut at the other.
                Ok(()) | Err(Errno::NOTCONN) => cut += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    cut
}

#[test]
fn mail_goes_from_host_to_host_and_not_through_the_operator() {
    if !root() {
        return;
    }
    let trees = Trees::new();
    trees.write("mail/huge", &vec![1; 20_000_000]);
    let (source, target, _) = two(OnLoss::Fail);
    let before = source.said.load(Ordering::Relaxed);
    let report = trees.copy(&target.host, &source.host).unwrap();
    assert!(report.complete(), "{report:?}");
    assert_eq!(trees.differ(), "");
    let passed = source.said.load(Ordering::Relaxed) - before;
    assert!(
        passed < 10_000,
        "{passed} bytes of the source came to the operator"
    );
    // What changed since, and a look at all of it.
    trees.write("Maildir/cur/7:2,S", b"MAIL 7");
    trees.copy(&target.host, &source.host).unwrap();
    assert_eq!(trees.differ(), "");
    let report = target.host.compare(
        &[trees.job()],
        Depth::Content,
        &source.host,
        &mut trees.watch(),
    );
    let report = report.into_iter().next().unwrap();
    assert!(report.unwrap().delta.is_empty());
    let passed = source.said.load(Ordering::Relaxed) - before;
    assert!(
        passed < 20_000,
        "{passed} bytes of the source came to the operator"
    );
    assert_eq!(target.host.direct_loss(), None);
}

#[test]
fn both_ends_have_the_connection_once_they_have_met() {
    if !root() {
        return;
    }
    let trees = vec![Trees::new().job().tree];
    let (source, target) = (agent(Side::Source), agent(Side::Target));
    for _ in 0..30 {
        target.host.meet(&source.host, OnLoss::Fail).unwrap();
        for line in [&target.host.line, &source.host.line] {
            job::direct_session(line, trees.clone()).unwrap().unwrap();
        }
    }
}

#[test]
fn mail_goes_back_by_the_same_connection() {
    if !root() {
        return;
    }
    let trees = Trees::new();
    let (old, new, _) = two(OnLoss::Fail);
    let before = new.said.load(Ordering::Relaxed);
    trees.copy(&old.host, &new.host).unwrap();
    assert_eq!(trees.differ(), "");
    let passed = new.said.load(Ordering::Relaxed) - before;
    assert!(passed < 10_000, "{passed} bytes came to the operator");
}

#[test]
fn a_copy_whose_connection_breaks_goes_on_through_the_operator() {
    if !root() {
        return;
    }
    let trees = Trees::new();
    trees.write("mail/huge", &vec![1; 40_000_000]);
    let (source, target, at) = two(OnLoss::Relay);
    slowly(&source);
    let before = source.said.load(Ordering::Relaxed);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            while trees.progress.copied.load(Ordering::Relaxed) == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(cut(at) > 0);
        });
        trees.copy(&target.host, &source.host).unwrap()
    });
    assert!(report.complete(), "{report:?}");
    assert_eq!(trees.differ(), "");
    assert!(source.said.load(Ordering::Relaxed) - before > 1_000_000);
    assert!(target.host.direct_loss().is_some());
    assert_eq!(target.host.direct_loss(), None, "it is told once");
}

#[test]
fn of_many_trees_those_that_are_copied_are_not_copied_again_when_the_connection_breaks() {
    if !root() {
        return;
    }
    let trees = Trees::new();
    let top = trees.dir.path();
    let jobs: Vec<TreeJob> = (0..20)
        .map(|n| {
            let home = top.join(format!("source/u{n}"));
            fs::create_dir_all(&home).unwrap();
            fs::write(home.join("mbox"), vec![1; 2_000_000]).unwrap();
            let mut job = trees.job();
            job.tree.path = path(&home);
            job.target = path(&top.join(format!("target/u{n}")));
            job.index = None;
            job
        })
        .collect();
    let (source, target, at) = two(OnLoss::Relay);
    slowly(&source);
    let reports = std::thread::scope(|scope| {
        scope.spawn(|| {
            while trees.progress.copied.load(Ordering::Relaxed) < 10_000_000 {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(cut(at) > 0);
        });
        let copied = target.host.copy(&jobs, &source.host, &mut trees.watch());
        copied.reports
    });
    for (n, report) in reports.into_iter().enumerate() {
        let report = report.unwrap();
        assert!(
            report.complete() && report.source.files == 2,
            "{n} {report:?}"
        );
        let copy = fs::read(top.join(format!("target/u{n}/mbox"))).unwrap();
        assert!(copy == vec![1; 2_000_000], "{n}");
    }
    assert!(target.host.direct_loss().is_some());
    // One that was under way was begun anew.
    let copied = trees.progress.copied.load(Ordering::Relaxed);
    assert!((40_000_000..=43_000_000).contains(&copied), "{copied}");
}

#[test]
fn a_copy_that_may_not_go_through_the_operator_fails_and_can_be_run_again() {
    if !root() {
        return;
    }
    let trees = Trees::new();
    trees.write("mail/huge", &vec![1; 40_000_000]);
    let (source, target, at) = two(OnLoss::Fail);
    slowly(&source);
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            while trees.progress.copied.load(Ordering::Relaxed) == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(cut(at) > 0);
        });
        trees.copy(&target.host, &source.host).unwrap_err()
    });
    assert_eq!(error.kind(), Kind::Host);
    assert!(
        error
            .to_string()
            .contains("between source and target broke"),
        "{error}"
    );
    let error = trees.copy(&target.host, &source.host).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("between source and target broke"),
        "{error}"
    );
    drop((source, target));
    let (source, target, _) = two(OnLoss::Fail);
    trees.copy(&target.host, &source.host).unwrap();
    assert_eq!(trees.differ(), "");
}

#[test]
fn a_job_that_is_stopped_stops_on_the_direct_way_too() {
    if !root() {
        return;
    }
    let trees = Trees::new();
    trees.write("mail/huge", &vec![1; 40_000_000]);
    let (source, target, _) = two(OnLoss::Relay);
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            while trees.progress.copied.load(Ordering::Relaxed) == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            trees.stop.store(true, Ordering::Relaxed);
        });
        trees.copy(&target.host, &source.host).unwrap_err()
    });
    assert_eq!(error.kind(), Kind::Interrupted, "{error}");
    trees.stop.store(false, Ordering::Relaxed);
    trees.copy(&target.host, &source.host).unwrap();
    assert_eq!(trees.differ(), "");
    assert_eq!(
        target.host.direct_loss(),
        None,
        "the connection is as good as it was"
    );
}

#[test]
fn a_source_that_ends_in_the_middle_of_a_copy_is_an_error_that_names_it() {
    if !root() {
        return;
    }
    let trees = Trees::new();
    trees.write("mail/huge", &vec![1; 60_000_000]);
    let (source, target, _) = two(OnLoss::Relay);
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            while trees.progress.copied.load(Ordering::Relaxed) == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            source.line.shutdown(std::net::Shutdown::Both).unwrap();
        });
        trees.copy(&target.host, &source.host).unwrap_err()
    });
    let text = crate::error::chain(&error);
    assert!(
        text.contains("source (ssh") && text.contains("was lost"),
        "{text}"
    );
}

#[test]
fn who_cannot_be_reached_is_named_with_address_and_port() {
    if !root() {
        return;
    }
    let (source, target) = (agent(Side::Source), agent(Side::Target));
    // Somebody who is not the target listens there.
    let Outcome::Key(key) = target.host.call(&Request::Introduce).unwrap() else {
        panic!("no key");
    };
    source.host.call(&Request::Introduce).unwrap();
    let stranger = Identity::new().unwrap();
    let listening = direct::listen(&stranger, &key, |_| {}).unwrap();
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, listening.port()));
    let request = Request::Connect {
        peer: key,
        to: vec![at],
    };
    let error = source.host.call(&request).err().unwrap();
    let text = crate::error::chain(&error);
    assert_eq!(
        text,
        format!("there is no way to the other host: {at} is somebody else")
    );
}

/// A source whose other end of the data connection is the test's: the target was broken into.
fn captured() -> (Agent, Secured) {
    let source = agent(Side::Source);
    let Outcome::Key(key) = source.host.call(&Request::Introduce).unwrap() else {
        panic!("no key");
    };
    let hostile = Identity::new().unwrap();
    let (to, met) = mpsc::channel();
    let listening = direct::listen(&hostile, &key, move |mut secured| {
        wire::write(&mut secured.outgoing, wire::Kind::More, 0, &[]).unwrap();
        to.send(secured).unwrap();
    });
    let listening = listening.unwrap();
    let request = Request::Connect {
        peer: hostile.public_key(),
        to: vec![(Ipv4Addr::LOCALHOST, listening.port()).into()],
    };
    source.host.call(&request).unwrap();
    (source, met.recv().unwrap())
}

/// The next frame that is more than a sign of life; none when the connection ends.
fn next(from: &mut Secured) -> Option<wire::Frame> {
    loop {
        match wire::read(&mut from.incoming) {
            Ok(Some(frame)) if frame.kind == wire::Kind::More => {}
            Ok(frame) => return frame,
            Err(_) => return None,
        }
    }
}

#[test]
fn a_hostile_target_is_answered_about_open_trees_and_nothing_else() {
    if !root() {
        return;
    }
    let trees = Trees::new();
    let (source, mut hostile) = captured();
    let ask = |hostile: &mut Secured, channel| {
        // The first thing that an engine asks: the directory that holds the tree.
        wire::write(&mut hostile.outgoing, wire::Kind::Question, channel, &[0]).unwrap();
        hostile.outgoing.flush().unwrap();
    };
    let tree = || vec![trees.job().tree];
    // A session of the operator's own, which is not the other host's.
    let (to, _answers) = mpsc::channel();
    let own = source.host.relay(
        tree(),
        Box::new(move |answer| {
            to.send(answer).ok();
            Ok(())
        }),
    );
    let _own = own.unwrap();
    let session = job::direct_session(&source.host.line, tree()).unwrap();
    let session = session.unwrap();
    let number = session.number();
    // Questions come in their order.
    for channel in (0..20).filter(|other| *other != number) {
        ask(&mut hostile, channel);
    }
    ask(&mut hostile, number);
    let answer = next(&mut hostile).unwrap();
    assert_eq!((answer.kind, answer.channel), (wire::Kind::Answer, number));
    // It is closed with the job.
    drop(session);
    source.host.stat(&"/".into()).unwrap();
    ask(&mut hostile, number);
    let again = job::direct_session(&source.host.line, tree())
        .unwrap()
        .unwrap();
    ask(&mut hostile, again.number());
    let answer = next(&mut hostile).unwrap();
    assert_eq!(answer.channel, again.number());
}

#[test]
fn a_hostile_target_that_asks_for_more_is_hung_up_on() {
    if !root() {
        return;
    }
    let requests = [
        Request::Read("/etc/shadow".into()),
        Request::DirectOrigins(vec![Trees::new().job().tree]),
        Request::RemoveFile("/tmp/direct-test-that-is-not-there".into()),
    ];
    for request in requests {
        let (source, mut hostile) = captured();
        let body = message::encode(&request);
        wire::write(&mut hostile.outgoing, wire::Kind::Call, 1, &body).unwrap();
        hostile.outgoing.flush().unwrap();
        assert_eq!(next(&mut hostile), None);
        let why = job::direct_session(&source.host.line, vec![Trees::new().job().tree]).unwrap();
        let why = why.err().unwrap();
        assert!(why.contains("not its business"), "{why}");
    }
}

#[test]
fn a_hostile_target_that_asks_without_end_is_made_to_wait() {
    if !root() {
        return;
    }
    let trees = Trees::new();
    trees.write("mail/huge", &vec![1; 1_000_000]);
    let (source, mut hostile) = captured();
    let tree = || vec![trees.job().tree];
    let session = job::direct_session(&source.host.line, tree())
        .unwrap()
        .unwrap();
    // Far more than is kept, and nothing of the answers is read.
    let question = [0; 4096];
    let began = Instant::now();
    let asked = (0..1_000_000).take_while(|_| {
        let channel = session.number();
        wire::write(
            &mut hostile.outgoing,
            wire::Kind::Question,
            channel,
            &question,
        )
        .is_ok()
    });
    let asked = asked.count();
    assert!(
        asked < 1_000_000,
        "{asked} questions were taken in {:?}",
        began.elapsed()
    );
    // The operator is heard as ever.
    source.host.stat(&"/".into()).unwrap();
}

#[test]
fn an_agent_that_ends_ends_the_connection_and_the_port() {
    if !root() {
        return;
    }
    let (source, mut hostile) = captured();
    source.line.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(next(&mut hostile), None);
    let target = agent(Side::Target);
    let key = Identity::new().unwrap().public_key();
    let Outcome::Port(port) = target.host.call(&Request::Listen(key)).unwrap() else {
        panic!("no port");
    };
    let at = (Ipv4Addr::LOCALHOST, port.number);
    std::net::TcpStream::connect(at).unwrap();
    target.line.shutdown(std::net::Shutdown::Both).unwrap();
    let began = Instant::now();
    while std::net::TcpStream::connect(at).is_ok() {
        assert!(began.elapsed() < Duration::from_secs(2));
        std::thread::sleep(Duration::from_millis(20));
    }
}
