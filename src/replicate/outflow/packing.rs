//! The outermost form of an answer: as it is, or compressed by zstd. Its last byte says which.
//!
//! The compressed answers of a stream are one zstd stream, each flushed, so that many small letters with
//! like headers share what was learnt from the first. What comes back is bounded whatever is sent: an
//! answer by the length that it names, which may be no more than [`MOST`], and the decoder's memory by its
//! window.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};

/// The last byte.
const PLAIN: u8 = 0;
const PACKED: u8 = 1;

/// The length before it, of what was compressed.
const LENGTH: usize = 4;

/// Shorter answers are not worth it, and none of ours is longer but a few.
const LEAST: usize = 128;
const MOST: usize = 1 << 20;

/// The fastest level that finds repetitions and codes what is left; two to three times smaller for
/// letters, a quarter for base64.
const LEVEL: i32 = 1;

/// How far back repetitions are looked for, and how much the decoder keeps: 2 to the power of this.
const WINDOW: u32 = 19;

/// What shrinks by less than a sixteenth does not shrink.
const SHRINKS: usize = 16;

/// After some that did not shrink, this many are left as they are.
const MOST_SKIPPED: u32 = 32;

/// So many encoders that nobody uses are kept, about a megabyte each.
const MOST_SPARE: usize = 8;

/// Encoders that nobody uses: to make one takes longer than to compress what a small home holds.
#[derive(Default)]
pub(in crate::replicate) struct Spare(Mutex<Vec<Encoder<'static>>>);

impl std::fmt::Debug for Spare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spare").finish_non_exhaustive()
    }
}

impl Spare {
    fn take(&self) -> io::Result<Encoder<'static>> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(encoder) = spare {
            return Ok(encoder);
        }
        let mut encoder = Encoder::new(LEVEL)?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW))?;
        Ok(encoder)
    }

    /// Takes one back, if it can be used for another stream.
    fn put(&self, mut encoder: Encoder<'static>) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < MOST_SPARE && encoder.reinit().is_ok() {
            spare.push(encoder);
        }
    }
}

/// The sending end.
#[derive(Default)]
pub(in crate::replicate) struct Packer {
    encoder: Option<Encoder<'static>>,
    spare: Arc<Spare>,
    /// How many to leave as they are, and how many were the last time.
    skip: u32,
    skipped: u32,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        if let Some(encoder) = self.encoder.take() {
            self.spare.put(encoder);
        }
    }
}

impl Packer {
    /// One that uses an encoder which others have used.
    pub(in crate::replicate) fn with(spare: &Arc<Spare>) -> Self {
        Self {
            encoder: None,
            spare: Arc::clone(spare),
            skip: 0,
            skipped: 0,
        }
    }

    /// An answer as it is.
    pub(in crate::replicate) fn plain(mut answer: Vec<u8>) -> Vec<u8> {
        answer.push(PLAIN);
        answer
    }

    /// Whether it would be worth while to compress an answer of this length now.
    pub(in crate::replicate) fn is_worth(&mut self, length: usize) -> bool {
        if !(LEAST..=MOST).contains(&length) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        true
    }

    /// A compressed answer.
    ///
    /// # Errors
    ///
    /// What zstd says. The stream is of no use then.
    pub(in crate::replicate) fn packed(&mut self, answer: &[u8]) -> io::Result<Vec<u8>> {
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(self.spare.take()?),
        };
        // Room for all of it at once, also if it grows: a frame's head, and one for each block.
        let mut packed = Vec::with_capacity(answer.len() + answer.len() / 64 + 1024);
        let mut input = InBuffer::around(answer);
        let mut output = OutBuffer::around(&mut packed);
        while input.pos() < answer.len() {
            encoder.run(&mut input, &mut output)?;
        }
        while encoder.flush(&mut output)? > 0 {
            if output.pos() == output.capacity() {
                return Err(io::Error::other("it grows when it is compressed"));
            }
        }
        if packed.len() > answer.len() - answer.len() / SHRINKS {
            self.skipped = (self.skipped * 2).clamp(1, MOST_SKIPPED);
            self.skip = self.skipped;
        } else {
            self.skipped = 0;
        }
        let length = u32::try_from(answer.len()).map_err(io::Error::other)?;
        packed.extend(length.to_le_bytes());
        packed.push(PACKED);
        Ok(packed)
    }
}

/// The receiving end.
#[derive(Default)]
pub(in crate::replicate) struct Unpacker {
    decoder: Option<Decoder<'static>>,
}

impl Unpacker {
    /// The answer again.
    ///
    /// # Errors
    ///
    /// `InvalidData` for what is none; what zstd says.
    pub(in crate::replicate) fn unpack(&mut self, mut sent: Vec<u8>) -> io::Result<Vec<u8>> {
        let bad = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        match sent.pop() {
            Some(PLAIN) => Ok(sent),
            Some(PACKED) => {
                let length = sent.split_last_chunk::<LENGTH>();
                let (packed, length) =
                    length.ok_or_else(|| bad("a packed answer without length"))?;
                let length = u32::from_le_bytes(*length) as usize;
                if length > MOST {
                    return Err(bad("a packed answer larger than any"));
                }
                self.decompress(packed, length)
            }
            _ => Err(bad("an answer in no known form")),
        }
    }

    fn decompress(&mut self, packed: &[u8], length: usize) -> io::Result<Vec<u8>> {
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => {
                let mut decoder = Decoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(WINDOW))?;
                none.insert(decoder)
            }
        };
        // One more than there should be: the decoder keeps to itself what has no room.
        let mut answer = vec![0; length + 1];
        let mut input = InBuffer::around(packed);
        let mut output = OutBuffer::around(&mut answer[..]);
        loop {
            let before = (input.pos(), output.pos());
            decoder.run(&mut input, &mut output)?;
            if (input.pos(), output.pos()) == before {
                break;
            }
        }
        let complete = input.pos() == packed.len() && output.pos() == length;
        answer.truncate(length);
        if !complete {
            let what = "a packed answer of another length than it names";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letter(number: u32) -> Vec<u8> {
        format!(
            "Return-Path: <anna{number}@example.org>\r\nReceived: from mx.example.org (mx.example.org \
             [192.0.2.{}])\r\n\tby mail.example.org with ESMTPS id {number:08X}\r\nSubject: minutes\r\n\
             \r\nDear all,\r\n\r\nhere are the minutes of meeting {number}.\r\n",
            number % 256
        )
        .into_bytes()
    }

    /// Bytes that do not shrink.
    fn noise(seed: u32, length: usize) -> Vec<u8> {
        let mut noise = vec![0; length];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.finalize_xof().fill(&mut noise);
        noise
    }

    fn packed(answers: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut packer = Packer::default();
        answers
            .iter()
            .map(|answer| packer.packed(answer).unwrap())
            .collect()
    }

    #[test]
    fn letters_share_what_was_learnt_from_the_first() {
        let letters: Vec<_> = (0..200).map(letter).collect();
        let sent = packed(&letters);
        let mut unpacker = Unpacker::default();
        for (letter, sent) in letters.iter().zip(&sent) {
            assert_eq!(&unpacker.unpack(sent.clone()).unwrap(), letter);
        }
        let sizes = |of: &[Vec<u8>]| of.iter().map(Vec::len).sum::<usize>();
        assert!(sizes(&sent) * 3 < sizes(&letters), "{}", sizes(&sent));
    }

    #[test]
    fn an_encoder_that_was_used_begins_anew() {
        let spare = Arc::new(Spare::default());
        for number in 0..3 {
            let mut packer = Packer::with(&spare);
            let sent = packer.packed(&letter(number)).unwrap();
            let unpacked = Unpacker::default().unpack(sent).unwrap();
            assert_eq!(unpacked, letter(number));
            drop(packer);
            assert_eq!(spare.0.lock().unwrap().len(), 1);
        }
    }

    #[test]
    fn what_does_not_shrink_is_skipped_more_and_more_often() {
        let mut packer = Packer::default();
        let mut tried = 0;
        for number in 0..500 {
            if packer.is_worth(100_000) {
                packer.packed(&noise(number, 100_000)).unwrap();
                tried += 1;
            }
        }
        // 1, 2, 4, 8, 16 and then 32 after each.
        assert!(tried < 22, "{tried}");
        while !packer.is_worth(100_000) {}
        packer.packed(&vec![b'x'; 100_000]).unwrap();
        assert!(packer.is_worth(100_000), "what shrinks is welcome at once");
    }

    #[test]
    fn the_longest_answer_comes_through_and_a_longer_one_is_not_tried() {
        for long in [vec![b'x'; MOST], noise(0, MOST)] {
            assert!(Packer::default().is_worth(long.len()));
            let sent = packed(std::slice::from_ref(&long)).remove(0);
            assert!(Unpacker::default().unpack(sent).unwrap() == long);
        }
        assert!(!Packer::default().is_worth(MOST + 1));
    }

    /// A packed answer that names another length.
    fn naming(mut sent: Vec<u8>, length: u32) -> Vec<u8> {
        let at = sent.len() - 5;
        sent[at..at + 4].copy_from_slice(&length.to_le_bytes());
        sent
    }

    #[test]
    fn a_length_is_held_to() {
        let sent = packed(&[vec![0; MOST]]).remove(0);
        assert!(
            sent.len() < 200,
            "a bomb: {} bytes for a million",
            sent.len()
        );
        let whole = u32::try_from(MOST).unwrap();
        for wrong in [0, 1, whole - 1, whole + 1, u32::MAX] {
            let unpacked = Unpacker::default().unpack(naming(sent.clone(), wrong));
            let refused = unpacked.map(|answer| answer.len()).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_window_larger_than_ours_is_refused() {
        let mut encoder = Encoder::new(LEVEL).unwrap();
        encoder.set_parameter(CParameter::WindowLog(27)).unwrap();
        let mut sent = Vec::with_capacity(4096);
        let mut output = OutBuffer::around(&mut sent);
        let mut input = InBuffer::around(b"small");
        encoder.run(&mut input, &mut output).unwrap();
        encoder.flush(&mut output).unwrap();
        sent.extend([5, 0, 0, 0, PACKED]);
        assert!(Unpacker::default().unpack(sent).is_err());
    }

    proptest! {
        #[test]
        fn answers_come_out_as_they_went_in(
            answers in prop::collection::vec((any::<bool>(), prop::collection::vec(0..4_u8, 0..3000)), 0..12)
        ) {
            let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
            for (pack, answer) in answers {
                let sent = if pack {
                    packer.packed(&answer).unwrap()
                } else {
                    Packer::plain(answer.clone())
                };
                prop_assert_eq!(unpacker.unpack(sent).unwrap(), answer);
            }
        }

        #[test]
        fn arbitrary_bytes_are_an_answer_or_an_error(
            mut bytes in prop::collection::vec(any::<u8>(), 0..400), packed: bool
        ) {
            if packed {
                bytes.extend([200, 0, 0, 0, PACKED]);
            }
            let unpacked = Unpacker::default().unpack(bytes);
            prop_assert!(unpacked.is_err() || unpacked.unwrap().len() <= 400);
        }

        #[test]
        fn a_damaged_answer_is_never_longer_than_it_says(at in 0..60_usize, to: u8) {
            let mut sent = packed(&[letter(1)]).remove(0);
            let at = at % (sent.len() - 1);
            sent[at] = to;
            if let Ok(answer) = Unpacker::default().unpack(sent) {
                prop_assert!(answer.len() <= MOST);
            }
        }
    }
}
