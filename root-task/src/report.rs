// SPDX-License-Identifier: BSD-2-Clause
//! What is printed when a domain crashes.
//!
//! ```text
//! crash: NAME: WHAT (instruction at 0x..), rip=0x.., rsp=0x..
//!   rax=.. rbx=.. rcx=.. rdx=..
//!   ...
//!   panicked at src/main.rs:3:5: message
//! supervisor: NAME starts again, restart 1 of 11 in a row
//! ```
//! The first line is for programs, too: the host looks `rip` up in the domain's debug information.
//! Everything below it comes from a program that has just shown that it is not to be trusted, so that
//! no control character of it reaches the terminal. All of it goes to the log ([`Logged`]): a program
//! may be printing at that moment, and this is no part of its output.

use core::fmt::{self, Display, Formatter, Write};

use sel4::UserContext;
use xos_image::console::Frame;
use xos_protocol::Fault;

use crate::restart::{LIMIT, Verdict};

/// A crash, as the block of lines that reports it.
#[derive(Clone, Debug)]
pub struct Crash<'a> {
    /// The domain's name.
    pub name: &'a str,
    /// What it did; nothing, if it merely sent a message as if it had.
    pub fault: Option<Fault>,
    /// Its registers.
    pub registers: UserContext,
    /// Its last words, if it panicked; empty if not.
    pub message: &'a str,
}

impl Display for Crash<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let r = self.registers.inner();
        write!(f, "crash: {}: ", self.name)?;
        match self.fault {
            Some(fault) => fault.fmt(f)?,
            None => f.write_str("asked for it by a message to its fault endpoint")?,
        }
        writeln!(f, ", rip={:#x}, rsp={:#x}", r.rip, r.rsp)?;
        let rows = [
            [
                ("rax", r.rax),
                ("rbx", r.rbx),
                ("rcx", r.rcx),
                ("rdx", r.rdx),
            ],
            [
                ("rsi", r.rsi),
                ("rdi", r.rdi),
                ("rbp", r.rbp),
                ("rfl", r.rflags),
            ],
            [(" r8", r.r8), (" r9", r.r9), ("r10", r.r10), ("r11", r.r11)],
            [
                ("r12", r.r12),
                ("r13", r.r13),
                ("r14", r.r14),
                ("r15", r.r15),
            ],
        ];
        for row in rows {
            f.write_str(" ")?;
            for (name, value) in row {
                write!(f, " {name}={value:016x}")?;
            }
            f.write_str("\n")?;
        }
        writeln!(f, "   fs={:016x}", r.tls_base)?;
        for line in self.message.lines() {
            f.write_str("  ")?;
            for c in line.chars() {
                f.write_char(if c.is_control() { '?' } else { c })?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}

/// What is done about the crash of a domain, as a line.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// The domain's name.
    pub name: &'a str,
    /// What is done.
    pub verdict: Verdict,
}

impl Display for Decision<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.name;
        match self.verdict {
            Verdict::Restart { attempt, rest: 0 } => writeln!(
                f,
                "supervisor: {name} starts again, restart {attempt} of {LIMIT} in a row"
            ),
            Verdict::Restart { attempt, rest } => writeln!(
                f,
                "supervisor: {name} starts again in {rest} s, restart {attempt} of {LIMIT} in a row; whoever calls it until then gets an error"
            ),
            Verdict::GiveUp => writeln!(
                f,
                "supervisor: {name} stays dead after {LIMIT} restarts in a row; whoever calls it gets an error"
            ),
        }
    }
}

/// Text for the log: each of its lines in a frame of its own.
#[derive(Clone, Copy, Debug)]
pub struct Logged<T>(pub T);

impl<T: Display> Display for Logged<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut frames = Frames {
            to: f,
            line: heapless::String::new(),
        };
        write!(frames, "{}", self.0)?;
        frames.end()
    }
}

/// Longest line of a log in bytes; what exceeds it is cut.
const LINE: usize = 400;

struct Frames<'a, 'b> {
    to: &'a mut Formatter<'b>,
    line: heapless::String<LINE>,
}

impl Frames<'_, '_> {
    /// What was written since the last end of line is a line.
    fn end(&mut self) -> fmt::Result {
        if !self.line.is_empty() {
            Frame::Log(&self.line).fmt(self.to)?;
            self.line.clear();
        }
        Ok(())
    }
}

impl Write for Frames<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if c == '\n' {
                self.end()?;
            } else {
                // What exceeds the line is cut.
                let _ = self.line.push(c);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use xos_protocol::ic::FaultKind;

    fn crash(message: &str) -> String {
        let mut registers = UserContext::default();
        registers.inner_mut().rip = 0x20_1234;
        registers.inner_mut().rsp = 0x7fff_0000;
        let fault = Fault {
            ip: 0x20_1234,
            kind: FaultKind::Write(0x10),
        };
        Crash {
            name: "serial",
            fault: Some(fault),
            registers,
            message,
        }
        .to_string()
    }

    #[test]
    fn the_first_line_says_who_what_and_where() {
        assert_eq!(
            crash("").lines().next(),
            Some(
                "crash: serial: write at 0x10 (instruction at 0x201234), rip=0x201234, rsp=0x7fff0000"
            )
        );
    }

    proptest! {
        #[test]
        fn nothing_in_a_message_controls_the_terminal_or_begins_a_line(message: String) {
            let text = crash(&message);
            prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
            prop_assert!(text.lines().skip(1).all(|line| line.starts_with("  ")));
        }
    }

    proptest! {
        #[test]
        fn in_the_log_each_line_is_a_frame(message in "[ -~\n]{0,300}") {
            let text = crash(&message);
            let logged = Logged(&text).to_string();
            let lines: Vec<_> = logged
                .lines()
                .map(|line| match Frame::parse(line.strip_prefix('\x1e').unwrap()) {
                    Some(Frame::Log(line)) => line.to_owned(),
                    other => panic!("{other:?}"),
                })
                .collect();
            prop_assert_eq!(lines, Vec::from_iter(text.lines()));
        }
    }

    #[test]
    fn what_is_too_long_for_a_line_of_the_log_is_cut() {
        let logged = Logged("x".repeat(5000)).to_string();
        assert!(logged.len() < 500 && logged.lines().count() == 1);
    }

    #[test]
    fn a_decision_is_one_line_that_is_no_crash() {
        let restart = |rest| Verdict::Restart { attempt: 2, rest };
        for verdict in [Verdict::GiveUp, restart(0), restart(4)] {
            let name = "serial";
            let text = Decision { name, verdict }.to_string();
            assert!(text.ends_with('\n') && text.lines().count() == 1);
            assert!(!text.contains("crash:") && text.contains("serial"));
        }
    }
}
