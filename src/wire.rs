//! Frames on a byte stream between the operator's machine and an agent.
//!
//! A frame has a kind, a channel and a body. What a body means is the business of [`crate::agent`]
//! and [`crate::host::remote`]; here it is bytes. Reading survives anything: a frame is never larger
//! than [`LARGEST`], and memory for it is taken as its bytes arrive, not as they are announced.

use std::io::{self, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Version of the frames and of everything in them. Both ends are the same program; the version is
/// for the case that they are not.
pub const VERSION: u32 = 3;

/// The largest body in bytes: a control file of [`crate::host::CONTROL_FILE_LIMIT`], and some.
pub const LARGEST: u32 = 72 << 20;

/// Room that is made for a body before any of it was seen; most are smaller.
const AT_ONCE: usize = 512 << 10;

/// Length of a frame's head: kind, channel, length of the body, each little-endian.
const HEAD: usize = 9;

/// What a frame is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The agent's first: who it is.
    Hello,
    /// To the agent: a request. The channel is new.
    Call,
    /// From the agent: the outcome of a request, the last frame of its channel.
    Reply,
    /// From the agent: what a job has to tell meanwhile, or a piece of a long answer.
    Event,
    /// To the agent: another piece of a long answer may be sent.
    More,
    /// To the agent: the request is not wanted any more.
    Cancel,
    /// A question to the source of a replication: from a job, or to a session.
    Question,
    /// A source's answer: to a job, or from a session.
    Answer,
}

/// How often the operator's side says something, if only [`Kind::More`] on channel 0, which is
/// nobody's.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// How long the agent's side waits for that: as long as ssh waits for a machine that does not answer.
pub const PATIENCE: Duration = Duration::from_mins(1);

const KINDS: [Kind; 8] = [
    Kind::Hello,
    Kind::Call,
    Kind::Reply,
    Kind::Event,
    Kind::More,
    Kind::Cancel,
    Kind::Question,
    Kind::Answer,
];

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// What for.
    pub kind: Kind,
    /// Which exchange it belongs to.
    pub channel: u32,
    /// Bytes.
    pub body: Vec<u8>,
}

/// Reads the next frame; `None` at the end of the stream between two frames.
///
/// # Errors
///
/// `UnexpectedEof` in the middle of a frame, `InvalidData` for what is no frame.
pub fn read(from: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut head = [0; HEAD];
    let mut filled = 0;
    while filled < HEAD {
        match from.read(&mut head[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let [kind, c0, c1, c2, c3, l0, l1, l2, l3] = head;
    let bad = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let kind = *KINDS
        .get(usize::from(kind))
        .ok_or_else(|| bad("no frame of this program"))?;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    if length > LARGEST {
        return Err(bad("a frame larger than any"));
    }
    // No more than this is believed without seeing it.
    let mut body = Vec::with_capacity((length as usize).min(AT_ONCE));
    from.take(length.into()).read_to_end(&mut body)?;
    if body.len() as u64 != u64::from(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(Frame {
        kind,
        channel: u32::from_le_bytes([c0, c1, c2, c3]),
        body,
    }))
}

/// Writes a frame, to be flushed by the caller.
///
/// # Errors
///
/// `InvalidInput` for a body that is too large; else what the stream says.
pub fn write(to: &mut impl Write, kind: Kind, channel: u32, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).ok().filter(|&n| n <= LARGEST);
    let Some(length) = length else {
        let what = "a message larger than any frame";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    };
    let mut head = [0; HEAD];
    head[0] = kind as u8;
    head[1..5].copy_from_slice(&channel.to_le_bytes());
    head[5..].copy_from_slice(&length.to_le_bytes());
    to.write_all(&head)?;
    to.write_all(body)
}

/// The sending end of a stream, for many threads.
#[derive(Debug)]
pub struct Sender<W: Write>(Mutex<W>);

impl<W: Write> Sender<W> {
    /// Sends into a stream.
    pub fn new(stream: W) -> Self {
        Self(Mutex::new(stream))
    }

    /// Sends one frame, whole.
    pub fn send(&self, kind: Kind, channel: u32, body: &[u8]) -> io::Result<()> {
        let mut stream = self.stream();
        write(&mut *stream, kind, channel, body)?;
        stream.flush()
    }

    /// Sends one frame, whole, which may leave with a later one: at the latest with [`Self::flush`].
    pub fn queue(&self, kind: Kind, channel: u32, body: &[u8]) -> io::Result<()> {
        write(&mut *self.stream(), kind, channel, body)
    }

    /// Has everything leave that was queued.
    pub fn flush(&self) -> io::Result<()> {
        self.stream().flush()
    }

    fn stream(&self) -> MutexGuard<'_, W> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame() -> impl Strategy<Value = Frame> {
        let kind = prop::sample::select(&KINDS[..]);
        let body = prop::collection::vec(any::<u8>(), 0..300);
        (kind, any::<u32>(), body).prop_map(|(kind, channel, body)| Frame {
            kind,
            channel,
            body,
        })
    }

    fn bytes(frames: &[Frame]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for frame in frames {
            write(&mut bytes, frame.kind, frame.channel, &frame.body).unwrap();
        }
        bytes
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(frames in prop::collection::vec(frame(), 0..6)) {
            let bytes = bytes(&frames);
            let mut from = &bytes[..];
            for frame in frames {
                prop_assert_eq!(read(&mut from).unwrap(), Some(frame));
            }
            prop_assert_eq!(read(&mut from).unwrap(), None);
        }

        #[test]
        fn a_stream_cut_short_is_an_error_and_never_a_frame(frame in frame(), cut in any::<usize>()) {
            let bytes = bytes(&[frame]);
            let cut = 1 + cut % (bytes.len() - 1);
            let mut from = &bytes[..cut];
            prop_assert_eq!(read(&mut from).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut from = &bytes[..];
            while let Ok(Some(_)) = read(&mut from) {}
        }
    }

    #[test]
    fn an_announced_length_takes_no_memory() {
        let mut head = vec![Kind::Call as u8, 0, 0, 0, 0];
        head.extend(LARGEST.to_le_bytes());
        let error = read(&mut &head[..]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let mut head = vec![Kind::Call as u8, 0, 0, 0, 0];
        head.extend((LARGEST + 1).to_le_bytes());
        let error = read(&mut &head[..]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
