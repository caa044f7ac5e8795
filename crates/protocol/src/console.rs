// SPDX-License-Identifier: BSD-2-Clause
//! Requests to the console (the serial driver).

use core::fmt;

use crate::factory::ops;
use crate::{Error, Result};

ops! {
    /// What a client asks of the console.
    Op = 0x300 {
        /// Word 0: bytes; then the bytes, packed. Reply: word 0 the bytes taken (all of them; the reply
        /// comes when they are in the queue, which is bounded: output that is not drained makes the
        /// writer wait, nobody else). A record separator (0x1e) begins a frame for the host tool, which is
        /// for the domains of the system description: what a session prints has a `?` in its place, unless
        /// the whole message is [a line for the log](write_log).
        Write,
        /// Word 0: the most bytes wanted; word 1: 1 to wait for at least one, 0 not to.
        /// Reply: word 0 the bytes given (0 is the end of input), then the bytes, packed.
        /// When several wait, the one who began last is served first: a program in the foreground reads
        /// before the monitor that started it.
        Read,
        /// Only for the channel of the supervisor: its notification is signalled when the interrupt
        /// character (Ctrl-C) arrives, which is not delivered as input while word 0 is 1.
        Interrupts,
        /// Reply when all output has left the device.
        Flush,
    }
}

/// Bytes that one message carries at most, behind the count.
pub const MAX_BYTES: usize = crate::wire::MAX_BYTES - 16;

/// What a boot domain's line for the log begins with: it is then no part of what a program prints at the
/// same time (`xos_image::console::Frame::Log`). Behind it comes the line, without control characters,
/// and a newline, all in one message.
pub const LOG: &str = "\x1exos:log ";

/// In the environment of a virtual machine: what is typed is not for it.
pub const NO_INPUT: &str = "input=none";

/// The interrupt character, Ctrl-C.
pub const INTERRUPT: u8 = 3;

/// Most bytes of a line of the log; what is beyond is cut.
pub const LOG_LINE: usize = 800;

/// Writes a line for the log: the whole frame, in which control characters have become blanks.
///
/// # Errors
/// Those of `out`.
pub fn write_log(out: &mut impl fmt::Write, line: fmt::Arguments<'_>) -> fmt::Result {
    struct Cut<'a, W> {
        out: &'a mut W,
        left: usize,
    }

    impl<W: fmt::Write> fmt::Write for Cut<'_, W> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for c in text.chars() {
                // What is no control character is not shorter than a blank.
                let c = if c.is_control() { ' ' } else { c };
                self.left = self.left.saturating_sub(c.len_utf8());
                if self.left == 0 {
                    break;
                }
                self.out.write_char(c)?;
            }
            Ok(())
        }
    }

    out.write_str(LOG)?;
    let left = LOG_LINE + 1;
    fmt::Write::write_fmt(&mut Cut { out, left }, line)?;
    out.write_char('\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn frame(line: fmt::Arguments<'_>) -> String {
        let mut out = String::new();
        write_log(&mut out, line).unwrap();
        out
    }

    #[test]
    fn a_line_is_one_frame_whatever_is_in_it() {
        assert_eq!(
            frame(format_args!("a{}b", "\n\x1e")),
            std::format!("{LOG}a  b\n")
        );
    }

    #[test]
    fn what_is_too_long_is_cut_and_still_a_frame() {
        let text = frame(format_args!("{}{}", "\u{e4}".repeat(LOG_LINE), "x"));
        assert!(text.len() <= LOG.len() + LOG_LINE + 1 && text.len() > LOG_LINE);
        assert!(text.ends_with("\u{e4}\n"));
    }
}
