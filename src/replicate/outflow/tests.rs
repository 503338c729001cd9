//! The gate that all streams of a host go through.

use super::*;

const KB: u64 = 1000;

fn limited(limit: u64) -> Outflow {
    let outflow = Outflow::default();
    outflow.set_pace(Pace {
        limit: Some(limit),
        ..Pace::default()
    });
    outflow
}

#[test]
fn who_sends_more_than_the_limit_waits_and_the_wait_is_told() {
    let outflow = limited(1000 * KB);
    let waits: Vec<_> = (0..3).map(|_| outflow.let_out(100 * KB, None)).collect();
    // The burst, and two more at the rate.
    assert!(waits[0] < Duration::from_millis(50), "{waits:?}");
    assert!(
        waits[1] + waits[2] >= Duration::from_millis(190),
        "{waits:?}"
    );
    assert!(outflow.held().limit >= Duration::from_millis(190));
    assert_eq!(Outflow::default().let_out(u64::MAX, None), Duration::ZERO);
}

#[test]
fn a_freeze_lets_go_at_once() {
    let outflow = limited(10 * KB);
    outflow.let_out(KB, None);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| outflow.let_out(1000 * KB, None));
        while outflow.gate().bucket.as_ref().is_none() {}
        std::thread::sleep(Duration::from_millis(20));
        outflow.set_pace(Pace::URGENT);
        assert!(waiting.join().unwrap() < Duration::from_secs(20));
    });
    assert!(!outflow.is_limited());
}

#[test]
fn a_wish_to_stop_ends_a_wait() {
    let outflow = limited(10 * KB);
    let stop = AtomicBool::new(true);
    assert!(outflow.let_out(1000 * KB, Some(&stop)) < Duration::from_secs(20));
}

#[test]
fn on_a_busy_host_streams_take_their_share() {
    let outflow = Outflow::of_live_host();
    outflow.gate().halvings = 2;
    let mut owed = Duration::ZERO;
    let worked = Duration::from_millis(10);
    // A quarter of the time is worked.
    assert!(outflow.rest(worked, &mut owed) >= 3 * worked);
    // What is too short is saved up.
    let short = Duration::from_micros(300);
    outflow.rest(short, &mut owed);
    assert_eq!(owed, 3 * short);
    outflow.set_pace(Pace::URGENT);
    outflow.rest(worked, &mut owed);
    assert_eq!(owed, Duration::ZERO);
}

#[test]
fn streams_run_at_a_low_priority_unless_users_wait() {
    use rustix::process::getpriority_process;
    let niceness = |outflow: Outflow| {
        std::thread::spawn(move || {
            Stream::of(Arc::new(outflow)).begin();
            getpriority_process(None).unwrap()
        })
        .join()
        .unwrap()
    };
    let usual = getpriority_process(None).unwrap();
    let urgent = Outflow::of_live_host();
    urgent.set_pace(Pace::URGENT);
    assert_eq!(niceness(Outflow::of_live_host()), usual.max(10));
    assert_eq!(niceness(urgent), usual);
    assert_eq!(niceness(Outflow::default()), usual, "a directory root");
}

#[test]
fn another_end_that_claims_to_have_waited_for_ever_has_waited_while_there_was_time() {
    let mut stream = Stream::of(Arc::default());
    stream.begin();
    stream.end(&Sent {
        asked: Instant::now(),
        idle: Duration::ZERO,
        waited: Duration::MAX,
        plain: 1,
        wire: 1,
        packing: None,
        counts: Counts::No,
    });
    let held = stream.outflow.held();
    assert!(held.waited <= held.elapsed);
}
