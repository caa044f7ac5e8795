// SPDX-License-Identifier: BSD-2-Clause
//! What the parts of the program that plugs the server into the machine agree on.

use alloc::vec::Vec;

/// From what a terminal sends to a line, where a line ends with CR and LF, to what the console's driver takes,
/// where it ends with LF.
#[derive(Default)]
pub struct LineEnds {
    /// Whether a CR has come, and nothing behind it.
    held: bool,
}

impl LineEnds {
    /// The next bytes.
    pub fn convert(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut converted = Vec::with_capacity(bytes.len());
        for byte in bytes {
            if core::mem::take(&mut self.held) && *byte != b'\n' {
                converted.push(b'\r');
            }
            match byte {
                b'\r' => self.held = true,
                byte => converted.push(*byte),
            }
        }
        converted
    }

    /// There is nothing more for now.
    pub fn finish(&mut self) -> &'static [u8] {
        match core::mem::take(&mut self.held) {
            true => b"\r",
            false => b"",
        }
    }
}

/// How long the thread that waits for time sleeps at most, in nanoseconds: what is due sooner than
/// anything before is late by as much at most. Linux's timer ticks as often.
pub const MAX_NAP: u64 = 4_000_000;
/// "Nothing is due."
pub const NO_ALARM: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_lines_are_converted_wherever_they_are_cut() {
        let text = b"a\r\nb\rc\r\r\n\nd\r";
        for cut in 0..text.len() {
            let mut ends = LineEnds::default();
            let mut all = ends.convert(&text[..cut]);
            all.extend(ends.convert(&text[cut..]));
            all.extend(ends.finish());
            assert_eq!(all, b"a\nb\rc\r\n\nd\r", "{cut}");
        }
    }
}
