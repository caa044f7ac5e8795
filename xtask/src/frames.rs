// SPDX-License-Identifier: BSD-2-Clause
//! Tells the frames in a serial stream from its text.
//!
//! The stream comes from a machine that may print anything, in pieces of any length, so the splitter
//! is total: whatever is not a well-formed frame (see [`xos_image::console`]) is text and comes out
//! as it went in, and it never holds back more than two unfinished frames: the root task, which waits
//! for nobody, may send one in the middle of another.

use xos_image::console::{Frame, MAX_FRAME, RECORD_SEPARATOR};

/// A part of the stream, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes to show, with the serial line's `\r\n` turned back into `\n`.
    Text(Vec<u8>),
    /// A line for which [`Frame::parse`] gives a frame.
    Frame(String),
}

/// The splitter's state between two pieces of the stream.
#[derive(Debug, Default)]
pub struct Splitter {
    /// A frame that is not complete yet, from its record separator on.
    held: Vec<u8>,
    /// Another, in the middle of which that one began.
    outer: Vec<u8>,
    /// The last byte of text was a `\r`, which is dropped if `\n` follows.
    carriage_return: bool,
}

impl Splitter {
    /// Takes the next bytes of the stream, gives what is complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Piece> {
        let mut out = Vec::new();
        let mut text = Vec::new();
        for &byte in bytes {
            if self.held.is_empty() {
                if byte == RECORD_SEPARATOR {
                    self.held.push(byte);
                } else {
                    self.text(byte, &mut text);
                }
                continue;
            }
            if byte == RECORD_SEPARATOR {
                if self.outer.is_empty() {
                    self.outer = std::mem::take(&mut self.held);
                } else {
                    self.release(&mut text);
                }
                self.held.push(byte);
                continue;
            }
            self.held.push(byte);
            if byte == b'\n' {
                if let Some(line) = self.frame() {
                    self.held = std::mem::take(&mut self.outer);
                    self.end_text(&mut text);
                    if !text.is_empty() {
                        out.push(Piece::Text(std::mem::take(&mut text)));
                    }
                    out.push(Piece::Frame(line));
                } else {
                    self.release(&mut text);
                }
            } else if self.held.len() >= MAX_FRAME {
                self.release(&mut text);
            }
        }
        if !text.is_empty() {
            out.push(Piece::Text(text));
        }
        out
    }

    /// The stream has ended: gives what was held back.
    pub fn finish(&mut self) -> Option<Piece> {
        let mut text = Vec::new();
        self.release(&mut text);
        self.end_text(&mut text);
        (!text.is_empty()).then_some(Piece::Text(text))
    }

    /// The frame that is held, if its line is one.
    fn frame(&self) -> Option<String> {
        let line = std::str::from_utf8(&self.held).ok()?;
        let line = line
            .strip_prefix(char::from(RECORD_SEPARATOR))?
            .strip_suffix('\n')?;
        Frame::parse(line).map(|_| line.to_owned())
    }

    /// What is held is no frame: it becomes text.
    fn release(&mut self, text: &mut Vec<u8>) {
        let outer = std::mem::take(&mut self.outer);
        for byte in outer.into_iter().chain(std::mem::take(&mut self.held)) {
            self.text(byte, text);
        }
    }

    fn text(&mut self, byte: u8, text: &mut Vec<u8>) {
        if byte != b'\n' {
            self.end_text(text);
        }
        self.carriage_return = byte == b'\r';
        if !self.carriage_return {
            text.push(byte);
        }
    }

    /// What follows is not a `\n`: a `\r` that was held back is text after all.
    fn end_text(&mut self, text: &mut Vec<u8>) {
        if std::mem::take(&mut self.carriage_return) {
            text.push(b'\r');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(bytes: &[u8]) -> Piece {
        Piece::Text(bytes.to_vec())
    }

    /// Adjacent texts joined, so that results can be compared whatever the chunks were.
    fn join(pieces: Vec<Piece>) -> Vec<Piece> {
        let mut out: Vec<Piece> = Vec::new();
        for piece in pieces {
            match (out.last_mut(), piece) {
                (Some(Piece::Text(last)), Piece::Text(more)) => last.extend(more),
                (_, piece) => out.push(piece),
            }
        }
        out
    }

    fn all(chunks: &[&[u8]]) -> Vec<Piece> {
        let mut splitter = Splitter::default();
        let mut out: Vec<_> = chunks
            .iter()
            .flat_map(|chunk| splitter.feed(chunk))
            .collect();
        out.extend(splitter.finish());
        join(out)
    }

    #[test]
    fn a_frame_is_found_in_the_middle_of_a_line() {
        let stream = b"no newline\x1exos:exec:end 3\r\nmore";
        let expected = [
            text(b"no newline"),
            Piece::Frame("xos:exec:end 3\r".into()),
            text(b"more"),
        ];
        assert_eq!(all(&[stream]), expected);
    }

    #[test]
    fn a_separator_that_starts_no_frame_is_text() {
        for stream in [
            &b"a\x1eb\nc"[..],
            b"\x1exos:nonsense\n",
            b"\x1e",
            b"\x1exos:prompt",
        ] {
            assert_eq!(all(&[stream]), [text(stream)]);
        }
    }

    #[test]
    fn a_frame_within_a_frame_comes_first_and_neither_is_lost() {
        let expected = [
            Piece::Frame("xos:log b".into()),
            Piece::Frame("xos:log c".into()),
            Piece::Frame("xos:prompt".into()),
            text(b"d"),
        ];
        let stream = b"\x1exos:pro\x1exos:log b\n\x1exos:log c\nmpt\nd";
        assert_eq!(all(&[stream]), expected);
    }

    #[test]
    fn what_is_within_a_frame_and_none_itself_makes_text_of_both() {
        let stream = b"\x1exos:pro\x1exos:nonsense\nmpt\n";
        assert_eq!(all(&[stream]), [text(stream)]);
        let expected = [text(b"\x1ea\x1eb"), Piece::Frame("xos:prompt".into())];
        assert_eq!(all(&[b"\x1ea\x1eb\x1exos:prompt\n"]), expected);
    }

    #[test]
    fn an_endless_line_after_a_separator_is_not_held_back() {
        let mut splitter = Splitter::default();
        let mut stream = vec![RECORD_SEPARATOR];
        stream.resize(MAX_FRAME, b'x');
        assert_eq!(splitter.feed(&stream), [text(&stream)]);
    }

    #[test]
    fn a_carriage_return_before_a_frame_stays_before_it() {
        let expected = [text(b"\r"), Piece::Frame("xos:prompt".into()), text(b"\n")];
        assert_eq!(all(&[b"\r\x1exos:prompt\n\n"]), expected);
    }

    /// Bytes that are likely to be halves of frames and line ends.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let token = prop_oneof![
            Just(b"\x1exos:prompt\r\n".to_vec()),
            Just(b"\x1exos:exec:end 1\n".to_vec()),
            Just(b"\x1e".to_vec()),
            Just(b"xos:".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\n".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..4),
        ];
        proptest::collection::vec(token, 0..30).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        #[test]
        fn how_the_stream_is_cut_makes_no_difference(stream in stream(), cut in 1..9usize) {
            let chunks: Vec<&[u8]> = stream.chunks(cut).collect();
            prop_assert_eq!(all(&chunks), all(&[&stream]));
        }

        #[test]
        fn text_is_what_the_program_printed(
            printed in proptest::collection::vec(
                prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..200),
        ) {
            let printed: Vec<u8> =
                printed.into_iter().filter(|&byte| byte != RECORD_SEPARATOR).collect();
            let mut line = Vec::new();
            for &byte in &printed {
                if byte == b'\n' {
                    line.push(b'\r');
                }
                line.push(byte);
            }
            let got = all(&[&line]);
            if printed.is_empty() {
                prop_assert!(got.is_empty());
            } else {
                prop_assert_eq!(got, [Piece::Text(printed)]);
            }
        }

        #[test]
        fn every_frame_that_comes_out_parses(stream in stream()) {
            for piece in all(&[&stream]) {
                if let Piece::Frame(line) = piece {
                    prop_assert!(Frame::parse(&line).is_some());
                }
            }
        }
    }
}
