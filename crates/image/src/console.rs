// SPDX-License-Identifier: BSD-2-Clause
//! What the guest and the host tool say to each other over the serial line, beside plain text.
//!
//! The host starts a simulator and sees one stream of bytes from it. Some of them are for a person,
//! some for the tool: "here begins the output of the command that you asked for", "this test case
//! passed". The latter travel as *frames*, one line each, that begin with the ASCII record separator,
//! so that they can be told from text anywhere in the stream, even in the middle of a line:
//!
//! ```text
//! \x1e xos:prompt \n                     the monitor waits for a line of input
//! \x1e xos:exec:begin \n                 output of the command in `etc/exec` follows
//! \x1e xos:exec:end STATUS \n            it is over; STATUS is the program's, decimal
//! \x1e xos:case:NAME begin \n            a test case starts
//! \x1e xos:case:NAME ok \n               it passed
//! \x1e xos:case:NAME FAIL reason \n      it did not
//! \x1e xos:value:NAME NUMBER UNIT \n     a measured value
//! \x1e xos:log TEXT \n                   a line for the log: no part of anybody's output
//! ```
//! (no spaces around `\x1e` and `\n`). The tool takes frames out of what it shows.
//!
//! Line discipline: whoever writes to the serial line sends `\r\n` for every `\n`, frames included,
//! as real terminals want it; the tool takes exactly one `\r` before every `\n` away again, which
//! restores the program's own bytes. Keyboards, and the tool, end a line of input with `\r`.
//!
//! A frame must never come from a program that merely prints: the serial driver replaces
//! [`RECORD_SEPARATOR`] in what its other clients print, so that only the boot domains, and the test
//! and benchmark programs of this repository, make frames.

use core::fmt;

/// First byte of every frame.
pub const RECORD_SEPARATOR: u8 = 0x1e;
/// What follows the record separator in every frame.
pub const PREFIX: &str = "xos:";
/// The longest frame, from the record separator to the end of line, in bytes. A longer line is
/// text, so that a stray separator cannot make the host hold back the rest of the stream.
pub const MAX_FRAME: usize = 4096;
/// Longest name or unit that a frame carries, in characters; what exceeds it is cut.
const MAX_WORD: usize = 64;
/// Longest reason, likewise. With names, and four bytes a character, still below [`MAX_FRAME`].
const MAX_REASON: usize = 800;

/// File of the initial tree that holds one line for the monitor to run instead of prompting.
pub const EXEC_FILE: &str = "etc/exec";

/// File of the initial tree with lines for the monitor to run before it prompts for the first time: of these
/// the first whose program is there.
pub const LOGIN_FILE: &str = "etc/login";

/// I/O port of QEMU's `isa-debug-exit` device: a byte written there ends the simulation.
pub const EXIT_PORT: u16 = 0xf4;
/// Written to [`EXIT_PORT`]: all went well. QEMU exits with 33.
pub const EXIT_SUCCESS: u8 = 0x10;
/// Written to [`EXIT_PORT`]: something failed. QEMU exits with 35.
pub const EXIT_FAILURE: u8 = 0x11;
/// I/O port whose bytes Bochs copies to its standard output; it gets the code that [`EXIT_PORT`]
/// got.
pub const BOCHS_OUTPUT_PORT: u16 = 0xe9;
/// I/O port at which Bochs waits for [`BOCHS_SHUTDOWN`]: it then ends.
pub const BOCHS_SHUTDOWN_PORT: u16 = 0x8900;
/// See [`BOCHS_SHUTDOWN_PORT`].
pub const BOCHS_SHUTDOWN: &[u8] = b"Shutdown";

/// What ends the simulation, whichever it is: I/O ports and the bytes to write to them, in order.
/// A simulator that is over does not see the rest, and a real machine minds none of it.
pub fn power_off(success: bool) -> impl Iterator<Item = (u16, u8)> {
    let code = if success { EXIT_SUCCESS } else { EXIT_FAILURE };
    [(EXIT_PORT, code), (BOCHS_OUTPUT_PORT, code)]
        .into_iter()
        .chain(
            BOCHS_SHUTDOWN
                .iter()
                .map(|&byte| (BOCHS_SHUTDOWN_PORT, byte)),
        )
}

/// One message to the host tool. [`fmt::Display`] writes the whole frame, from the record separator
/// to the `\n`; [`Frame::parse`] is its inverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The monitor waits for a line of input.
    Prompt,
    /// Output of the command in [`EXEC_FILE`] follows.
    ExecBegin,
    /// The command is over, with this exit status.
    ExecEnd(i32),
    /// A test case starts.
    CaseBegin(&'a str),
    /// A test case passed.
    CaseOk(&'a str),
    /// A test case failed.
    CaseFail {
        /// The case.
        name: &'a str,
        /// Why, in one line.
        reason: &'a str,
    },
    /// A measured value.
    Value {
        /// What was measured.
        name: &'a str,
        /// How much.
        number: u64,
        /// Of what: `ticks` (of the time-stamp counter), `bytes`, ...
        unit: &'a str,
    },
    /// A line for the log.
    Log(&'a str),
}

impl<'a> Frame<'a> {
    /// Reads a frame from what stands between the record separator and the end of line (a `\r` at
    /// the end is ignored). `None` if it is no frame of ours.
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Self> {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.contains(char::is_control) {
            return None;
        }
        let body = line.strip_prefix(PREFIX)?;
        match body {
            "prompt" => return Some(Self::Prompt),
            "exec:begin" => return Some(Self::ExecBegin),
            _ => {}
        }
        if let Some(status) = body.strip_prefix("exec:end ") {
            return status.parse().ok().map(Self::ExecEnd);
        }
        if let Some(rest) = body.strip_prefix("case:") {
            let (name, verdict) = split(rest)?;
            return match verdict {
                "begin" => Some(Self::CaseBegin(name)),
                "ok" => Some(Self::CaseOk(name)),
                _ => {
                    let reason = verdict.strip_prefix("FAIL")?;
                    let reason = match reason.strip_prefix(' ') {
                        Some(reason) => reason,
                        None if reason.is_empty() => reason,
                        None => return None,
                    };
                    Some(Self::CaseFail { name, reason })
                }
            };
        }
        if let Some(text) = body.strip_prefix("log ") {
            return Some(Self::Log(text));
        }
        let (name, rest) = split(body.strip_prefix("value:")?)?;
        let (number, unit) = split(rest)?;
        let number = number.parse().ok()?;
        (is_word(unit)).then_some(Self::Value { name, number, unit })
    }
}

/// A word and what follows the blank after it.
fn split(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = text.split_once(' ')?;
    is_word(word).then_some((word, rest))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

impl fmt::Display for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\x1exos:")?;
        match *self {
            Self::Prompt => f.write_str("prompt"),
            Self::ExecBegin => f.write_str("exec:begin"),
            Self::ExecEnd(status) => write!(f, "exec:end {status}"),
            Self::CaseBegin(name) => write!(f, "case:{} begin", Word(name)),
            Self::CaseOk(name) => write!(f, "case:{} ok", Word(name)),
            Self::CaseFail { name, reason } => {
                write!(f, "case:{} FAIL {}", Word(name), Line(reason))
            }
            Self::Value { name, number, unit } => {
                write!(f, "value:{} {number} {}", Word(name), Word(unit))
            }
            Self::Log(text) => write!(f, "log {}", Line(text)),
        }?;
        f.write_str("\n")
    }
}

/// Text with all that could end the frame, or the field, replaced by `_`.
struct Word<'a>(&'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("_");
        }
        self.0.chars().take(MAX_WORD).try_for_each(|c| {
            fmt::Write::write_char(
                f,
                if c.is_whitespace() || c.is_control() {
                    '_'
                } else {
                    c
                },
            )
        })
    }
}

/// Text with everything that could end the frame replaced by a blank.
struct Line<'a>(&'a str);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .chars()
            .take(MAX_REASON)
            .try_for_each(|c| fmt::Write::write_char(f, if c.is_control() { ' ' } else { c }))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::string::{String, ToString};

    /// The line as the host's stream parser hands it over.
    fn line(frame: &Frame<'_>) -> String {
        let text = frame.to_string();
        text.strip_prefix('\x1e')
            .unwrap()
            .strip_suffix('\n')
            .unwrap()
            .to_string()
    }

    fn word() -> impl Strategy<Value = String> {
        "[a-zA-Z0-9_:./-]{1,20}"
    }

    proptest! {
        #[test]
        fn a_written_frame_is_read_back(
            kind in 0..8, name in word(), reason in "[ -~]{0,60}", number: u64, status: i32, unit in word(),
        ) {
            let frame = match kind {
                0 => Frame::Prompt,
                1 => Frame::ExecBegin,
                2 => Frame::ExecEnd(status),
                3 => Frame::CaseBegin(&name),
                4 => Frame::CaseOk(&name),
                5 => Frame::CaseFail { name: &name, reason: &reason },
                6 => Frame::Value { name: &name, number, unit: &unit },
                _ => Frame::Log(&reason),
            };
            let line = line(&frame);
            prop_assert_eq!(Frame::parse(&line), Some(frame));
        }

        #[test]
        fn any_name_and_reason_make_one_line_that_is_a_frame(
            name: String, reason: String, repeat in 1..2000usize,
        ) {
            let reason = reason.repeat(repeat);
            let line = line(&Frame::CaseFail { name: &name, reason: &reason });
            let is_failure = matches!(Frame::parse(&line), Some(Frame::CaseFail { .. }));
            prop_assert!(is_failure);
            prop_assert!(line.len() + 2 <= MAX_FRAME);
        }

        #[test]
        fn parsing_is_total(line: String) {
            let _ = Frame::parse(&line);
        }
    }

    #[test]
    fn a_carriage_return_before_the_end_of_line_is_ignored() {
        assert_eq!(Frame::parse("xos:exec:end -3\r"), Some(Frame::ExecEnd(-3)));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for line in [
            "",
            "xos:",
            "xos:prompt ",
            "xos:exec:end",
            "xos:exec:end x",
            "xos:exec:end 99999999999",
            "xos:case: ok",
            "xos:case:a",
            "xos:case:a OK",
            "xos:case:a FAILURE",
            "xos:value:a 1",
            "xos:value:a -1 ticks",
            "xos:value:a 1 two words",
            "other:prompt",
        ] {
            assert_eq!(Frame::parse(line), None, "{line:?}");
        }
    }
}
