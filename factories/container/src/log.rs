// SPDX-License-Identifier: BSD-2-Clause
//! The end of a container's output: a ring of bytes, in pieces that know whose they are and of which stream.

use xos_protocol::container::Stream;

/// Bytes before each piece: its stream, its length, and the number of the program that wrote it.
const HEADER: usize = 7;
/// Bytes of a piece at most, so that one fits into a reply with what is said about it.
pub const MAX_PIECE: usize = 768;

/// The last bytes of an output, at most `N` of them with what is kept about each piece.
///
/// Positions count all bytes that ever went in; the oldest pieces go when there is no room for a new one.
#[derive(Debug)]
pub struct Log<const N: usize> {
    bytes: [u8; N],
    /// Where the oldest piece begins, and where the next one will.
    begin: u64,
    end: u64,
}

/// A piece of output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Which stream it is of.
    pub stream: Stream,
    /// Its bytes.
    pub length: usize,
    /// Where the piece behind it is.
    pub next: u64,
    /// Whether pieces before it were dropped that had not been read.
    pub lost: bool,
}

impl<const N: usize> Log<N> {
    /// Without output.
    pub const fn new() -> Self {
        const { assert!(N >= HEADER + MAX_PIECE) };
        Self {
            bytes: [0; N],
            begin: 0,
            end: 0,
        }
    }

    /// Where the next piece will begin.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Forgets everything, positions included.
    pub const fn clear(&mut self) {
        self.begin = 0;
        self.end = 0;
    }

    fn get(&self, at: u64) -> u8 {
        self.bytes[(at % N as u64) as usize]
    }

    fn put(&mut self, byte: u8) {
        self.bytes[(self.end % N as u64) as usize] = byte;
        self.end += 1;
    }

    /// The piece that begins at `at`: its length, its stream, whose it is.
    fn header(&self, at: u64) -> (usize, Stream, u32) {
        let [stream, low, high, of @ ..]: [u8; HEADER] =
            core::array::from_fn(|i| self.get(at + i as u64));
        let stream = match stream {
            2 => Stream::Error,
            _ => Stream::Output,
        };
        let length = u16::from_le_bytes([low, high]);
        (length.into(), stream, u32::from_le_bytes(of))
    }

    /// Adds output of a program, by its number.
    pub fn add(&mut self, of: u32, stream: Stream, bytes: &[u8]) {
        for piece in bytes.chunks(MAX_PIECE) {
            let needed = (HEADER + piece.len()) as u64;
            while self.end + needed - self.begin > N as u64 {
                self.begin += (HEADER + self.header(self.begin).0) as u64;
            }
            let [low, high] = (piece.len() as u16).to_le_bytes();
            let header = [stream as u8, low, high]
                .into_iter()
                .chain(of.to_le_bytes());
            for byte in header.chain(piece.iter().copied()) {
                self.put(byte);
            }
        }
    }

    /// The first piece of a program that begins at `from` or behind it, copied to `buffer`. A position that
    /// was never given out leads to the piece behind it.
    pub fn read(&self, of: u32, from: u64, buffer: &mut [u8; MAX_PIECE]) -> Option<Piece> {
        let mut at = self.begin;
        let (length, stream) = loop {
            if at >= self.end {
                return None;
            }
            let (length, stream, whose) = self.header(at);
            if at >= from && whose == of {
                break (length, stream);
            }
            at += (HEADER + length) as u64;
        };
        for (i, byte) in buffer.iter_mut().take(length).enumerate() {
            *byte = self.get(at + (HEADER + i) as u64);
        }
        Some(Piece {
            stream,
            length,
            next: at + (HEADER + length) as u64,
            lost: from < self.begin,
        })
    }
}

impl<const N: usize> Default for Log<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn all<const N: usize>(log: &Log<N>, mut from: u64) -> (Vec<(Stream, Vec<u8>)>, bool) {
        let mut buffer = [0; MAX_PIECE];
        let (mut pieces, mut lost) = (Vec::new(), false);
        while let Some(piece) = log.read(0, from, &mut buffer) {
            assert!(piece.next > from);
            pieces.push((piece.stream, buffer[..piece.length].to_vec()));
            lost |= piece.lost;
            from = piece.next;
        }
        (pieces, lost)
    }

    #[test]
    fn pieces_keep_their_order_and_their_streams() {
        let mut log = Log::<1024>::new();
        log.add(0, Stream::Output, b"one");
        log.add(0, Stream::Error, b"two");
        let expected = [
            (Stream::Output, b"one".to_vec()),
            (Stream::Error, b"two".to_vec()),
        ];
        assert_eq!(all(&log, 0), (expected.to_vec(), false));
        let end = log.end();
        assert_eq!(all(&log, end).0, []);
        log.add(0, Stream::Output, b"three");
        assert_eq!(all(&log, end).0, [(Stream::Output, b"three".to_vec())]);
    }

    #[test]
    fn the_oldest_go_first_and_who_missed_them_is_told() {
        let mut log = Log::<1024>::new();
        for i in 0..10u8 {
            log.add(0, Stream::Output, &[i; 190]);
        }
        let (pieces, lost) = all(&log, 0);
        assert!(lost);
        assert_eq!(pieces.last().unwrap().1, [9; 190]);
        assert_eq!(pieces.len(), 5);
        // Who has read all of it has missed nothing.
        assert!(!all(&log, log.end()).1);
    }

    #[test]
    fn what_is_longer_than_a_piece_comes_in_several() {
        let mut log = Log::<4096>::new();
        log.add(0, Stream::Error, &[7; 2000]);
        let lengths: Vec<_> = all(&log, 0)
            .0
            .iter()
            .map(|(_, bytes)| bytes.len())
            .collect();
        assert_eq!(lengths, [768, 768, 464]);
    }

    #[test]
    fn who_reads_one_programs_output_sees_nobody_elses() {
        let mut log = Log::<1024>::new();
        let mut buffer = [0; MAX_PIECE];
        for (of, text) in [(0, "own"), (7, "of another"), (0, "more")] {
            log.add(of, Stream::Output, text.as_bytes());
        }
        let own = [b"own".to_vec(), b"more".to_vec()].map(|text| (Stream::Output, text));
        assert_eq!(all(&log, 0).0, own);
        let piece = log.read(7, 0, &mut buffer).unwrap();
        assert_eq!(&buffer[..piece.length], b"of another");
        assert_eq!(log.read(7, piece.next, &mut buffer), None);
        assert_eq!(log.read(8, 0, &mut buffer), None);
    }

    proptest! {
        #[test]
        fn what_is_kept_is_the_end_of_what_was_written(
            pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..900)), 0..30),
            from: u64,
        ) {
            let mut log = Log::<1024>::new();
            let mut whole = Vec::new();
            for (error, bytes) in &pieces {
                log.add(0, if *error { Stream::Error } else { Stream::Output }, bytes);
                whole.extend_from_slice(bytes);
            }
            let kept: Vec<u8> = all(&log, 0).0.into_iter().flat_map(|(_, bytes)| bytes).collect();
            prop_assert!(whole.ends_with(&kept));
            prop_assert!(kept.len() <= 1024 && (kept.len() >= 128 || kept == whole));
            // Any position will do.
            let _ = all(&log, from % (log.end() + 2));
        }
    }
}
