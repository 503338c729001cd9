//! Two ends on this machine, and everybody who may come between them.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use super::*;

/// An end that listens for one peer, and what comes of it.
struct Open {
    listening: Listening,
    met: Receiver<Secured>,
}

fn open(own: &Identity, peer: &Identity) -> Open {
    let (to, met) = mpsc::channel();
    let listening = listen(own, &peer.public_key(), move |mut secured| {
        secured.outgoing.write_all(b"!").unwrap();
        secured.outgoing.flush().unwrap();
        to.send(secured).unwrap();
    });
    let listening = listening.unwrap();
    Open { listening, met }
}

impl Open {
    fn at(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.listening.port()).into()
    }

    fn nobody_came(&self) -> bool {
        self.met.try_recv().is_err()
    }

    /// The peer gets in.
    fn lets_in(&self, own: &Identity, peer: &Identity) -> [Secured; 2] {
        let connected = connect(own, &peer.public_key(), &[self.at()]).unwrap();
        let (at, mut near) = connected.unwrap();
        assert_eq!(at, self.at());
        assert_eq!(read(&mut near, 1).unwrap(), b"!");
        [near, self.met.recv().unwrap()]
    }
}

fn identities() -> [Identity; 2] {
    [(); 2].map(|()| Identity::new().unwrap())
}

fn read(from: &mut Secured, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    from.incoming.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn say(to: &mut Secured, bytes: &[u8]) -> io::Result<()> {
    to.outgoing.write_all(bytes)?;
    to.outgoing.flush()
}

/// What the listener tells somebody in the clear before it hangs up.
fn told(mut socket: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    match socket.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    bytes
}

#[test]
fn both_ends_talk_at_once() {
    let [a, b] = identities();
    let mut ends = open(&a, &b).lets_in(&b, &a);
    let large: Vec<u8> = (0..8_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    std::thread::scope(|scope| {
        for Secured { incoming, outgoing } in &mut ends {
            let large = &large;
            scope.spawn(move || {
                outgoing.write_all(large).unwrap();
                outgoing.flush().unwrap();
            });
            scope.spawn(move || {
                let mut heard = vec![0; large.len()];
                incoming.read_exact(&mut heard).unwrap();
                assert!(heard == *large);
            });
        }
    });
}

#[track_caller]
fn closes(at: SocketAddr) {
    let began = Instant::now();
    while TcpStream::connect(at).is_ok() {
        assert!(began.elapsed() < Duration::from_secs(2));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_port_is_closed_once_the_peer_has_come() {
    let [a, b] = identities();
    let open = open(&a, &b);
    let _ends = open.lets_in(&b, &a);
    closes(open.at());
}

#[test]
fn the_port_is_closed_when_nobody_is_waited_for() {
    let [a, b] = identities();
    let open = open(&a, &b);
    let at = open.at();
    TcpStream::connect(at).unwrap();
    drop(open);
    closes(at);
}

#[test]
fn a_stranger_with_a_key_of_its_own_gets_nothing_and_stops_nothing() {
    let [a, b] = identities();
    let open = open(&a, &b);
    let stranger = Identity::new().unwrap();
    let refused = connect(&stranger, &a.public_key(), &[open.at()]).unwrap();
    refused.unwrap_err();
    assert!(open.nobody_came());
    open.lets_in(&b, &a);
}

#[test]
fn who_listens_with_another_key_is_somebody_else() {
    let [a, b] = identities();
    let open = open(&a, &b);
    let expected = Identity::new().unwrap();
    let refused = connect(&b, &expected.public_key(), &[open.at()]).unwrap();
    let text = refused.unwrap_err().to_string();
    assert_eq!(text, format!("{} is somebody else", open.at()));
    assert!(open.nobody_came());
}

#[test]
fn garbage_and_clear_text_get_nothing_and_stop_nothing() {
    let [a, b] = identities();
    let open = open(&a, &b);
    let frame = [0_u8; 9];
    for said in [
        &b"GET / HTTP/1.0\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\x16\x03\x01\xff\xff",
        &vec![0xff; 70_000],
        &frame,
    ] {
        let mut socket = TcpStream::connect(open.at()).unwrap();
        // It may hang up on us in the middle of it.
        socket.write_all(said).ok();
        socket.shutdown(Shutdown::Write).ok();
        let told = told(socket);
        // An alert (RFC 8446, 6) at most.
        assert!(
            told.is_empty() || (told[0] == 21 && told.len() == 7),
            "{told:?}"
        );
    }
    assert!(open.nobody_came());
    open.lets_in(&b, &a);
}

#[test]
fn a_hundred_silent_strangers_do_not_keep_the_peer_out() {
    let [a, b] = identities();
    let open = open(&a, &b);
    let strangers: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(open.at()).unwrap())
        .collect();
    let began = Instant::now();
    open.lets_in(&b, &a);
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    // They are sent away with that, whoever they are.
    for stranger in strangers {
        assert_eq!(told(stranger), b"");
    }
}

#[test]
fn a_slow_stranger_is_sent_away() {
    let [a, b] = identities();
    let open = open(&a, &b);
    let mut slow = TcpStream::connect(open.at()).unwrap();
    let began = Instant::now();
    // A record that never ends, byte by byte.
    let hung_up = (0..1000).any(|nth| {
        let byte = b"\x16\x03\x01\x40\x00\x01".get(nth).copied();
        std::thread::sleep(Duration::from_millis(20));
        slow.write_all(&[byte.unwrap_or(0)]).is_err()
    });
    assert!(hung_up);
    assert!(began.elapsed() < 2 * PATIENCE, "{:?}", began.elapsed());
    assert!(open.nobody_came());
}

/// Passes bytes on, from one connection only, as it likes.
fn between(
    to: SocketAddr,
    manner: impl Fn(usize, &mut [u8]) -> bool + Copy + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (near, _) = listener.accept().unwrap();
        let far = TcpStream::connect(to).unwrap();
        let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        std::thread::spawn(move || pass_on(&near_too, &far_too, |_, _| true));
        pass_on(&far, &near, manner);
    });
    at
}

/// `manner` sees how much was passed on before, and says whether to pass this on too.
fn pass_on(mut from: &TcpStream, mut to: &TcpStream, manner: impl Fn(usize, &mut [u8]) -> bool) {
    let (mut block, mut passed) = (vec![0; 16_384], 0);
    while let Ok(read @ 1..) = from.read(&mut block) {
        let block = &mut block[..read];
        if manner(passed, block) && to.write_all(block).is_err() {
            break;
        }
        passed += read;
    }
    to.shutdown(Shutdown::Both).ok();
    from.shutdown(Shutdown::Both).ok();
}

/// The ends have met through somebody.
fn meet_through(manner: impl Fn(usize, &mut [u8]) -> bool + Copy + Send + 'static) -> [Secured; 2] {
    let [a, b] = identities();
    let open = open(&a, &b);
    let at = between(open.at(), manner);
    let (_, mut near) = connect(&b, &a.public_key(), &[at]).unwrap().unwrap();
    assert_eq!(read(&mut near, 1).unwrap(), b"!");
    [near, open.met.recv().unwrap()]
}

/// More than the handshake and the first byte are.
const LATER: usize = 20_000;

#[test]
fn who_sits_in_between_sees_nothing_of_what_is_said() {
    const SECRET: &[u8] = b"Subject: a secret";
    let [mut near, mut far] =
        meet_through(|_, passed| !passed.windows(SECRET.len()).any(|bytes| bytes == SECRET));
    let said = SECRET.repeat(10_000);
    std::thread::scope(|scope| {
        scope.spawn(|| say(&mut far, &said).unwrap());
        assert!(read(&mut near, said.len()).unwrap() == said);
    });
}

#[test]
fn what_is_changed_on_the_way_is_an_error_and_no_data() {
    let [mut near, mut far] = meet_through(|before, passed| {
        if before > LATER {
            passed[0] ^= 1;
        }
        true
    });
    std::thread::scope(|scope| {
        // It may be cut off in the middle of it.
        scope.spawn(|| say(&mut far, &vec![7; 400_000]).ok());
        let mut heard = Vec::new();
        let error = near.incoming.read_to_end(&mut heard).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(heard.len() < 400_000 && heard.iter().all(|&byte| byte == 7));
        near.hang_up().unwrap();
    });
}

#[test]
fn a_connection_that_is_cut_is_an_error_and_no_end() {
    let [a, b] = identities();
    let [near, mut far] = open(&a, &b).lets_in(&b, &a);
    drop(near.hang_up().unwrap());
    let mut rest = Vec::new();
    let error = far.incoming.read_to_end(&mut rest).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_connection_over_which_nothing_comes_any_more_is_given_up() {
    let [mut near, mut far] = meet_through(|before, _| before < LATER);
    let began = Instant::now();
    // Nobody reads on either side, and the one in between swallows it.
    say(&mut far, &vec![7; 100_000]).unwrap();
    let error = read(&mut near, 100_000).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(began.elapsed() < 2 * SILENCE, "{:?}", began.elapsed());
}

#[test]
fn an_end_that_takes_nothing_any_more_is_given_up() {
    let [a, b] = identities();
    let [_near, mut far] = open(&a, &b).lets_in(&b, &a);
    let began = Instant::now();
    // Far more than the buffers of two sockets hold.
    let error = say(&mut far, &vec![7; 64 << 20]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(began.elapsed() < 4 * SILENCE, "{:?}", began.elapsed());
}

#[test]
fn an_address_that_says_nothing_costs_seconds() {
    let [a, b] = identities();
    // Connections are made by the kernel; nobody takes them.
    let dumb = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = dumb.local_addr().unwrap();
    let began = Instant::now();
    let refused = connect(&b, &a.public_key(), &[at]).unwrap();
    let text = refused.unwrap_err().to_string();
    assert_eq!(text, format!("{at} does not answer"));
    assert!(began.elapsed() < PATIENCE + Duration::from_secs(2));
}

#[test]
fn of_several_addresses_the_one_that_leads_there_is_taken() {
    let [a, b] = identities();
    let open = open(&a, &b);
    let other = super::tests::open(&Identity::new().unwrap(), &b);
    let dumb = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let closed = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let to = [dumb.local_addr().unwrap(), closed, other.at(), open.at()];
    let began = Instant::now();
    let (at, _) = connect(&b, &a.public_key(), &to).unwrap().unwrap();
    assert_eq!(at, open.at());
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn keys_show_nothing_of_themselves() {
    let one = Identity::new().unwrap();
    assert_eq!(format!("{one:?}"), "Identity(..)");
    assert_eq!(format!("{:?}", one.public_key()), "PublicKey(..)");
    assert!(one.public_key() != Identity::new().unwrap().public_key());
}
