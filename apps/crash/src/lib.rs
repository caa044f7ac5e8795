// SPDX-License-Identifier: BSD-2-Clause
//! Every way to die, by name, and what is reported of it.
//!
//! The table is what the program can be asked to do and what it ends with then, so that whoever waits
//! for it, a test for one, can compare. The deeds themselves are in the program.
//!
//! ```text
//! crash [--thread] WAY
//! crash --list
//! ```
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

use xos::protocol::ic::FaultKind;
use xos::{ExitStatus, Fault};

/// How it is used.
pub const USAGE: &str = "usage: crash [--thread] WAY\n       crash --list";

/// Nothing is mapped here, in no program: behind the windows of threads and what programs share.
pub const NOWHERE: u64 = 0x7abc_dead_b000;
/// No address: bits 47 to 63 are not all the same.
pub const NOT_CANONICAL: u64 = 0x8000_dead_beef_0000;
/// The kernel's, in every address space.
pub const KERNEL: u64 = 0xffff_ffff_8000_0000;
/// The first page of a program: headers and constants, which nobody can write.
pub const CONSTANTS: u64 = 0x20_0000;
/// A root slot that is empty, as a CPtr, in a CSpace of the default size.
pub const EMPTY_SLOT: u64 = 31 << 8;
/// A number that is no system call.
pub const NO_SYSCALL: i64 = -1000;
/// What the way `exit` ends with.
pub const CODE: i32 = 42;

/// Bytes of a page.
const PAGE: u64 = 4096;
/// What one page table spans: the stack of a program ends two pages below a multiple of it.
const SPAN: u64 = 1 << 21;
/// Pages of a program's stack, when nobody asks for another size.
const STACK_PAGES: u64 = 16;

/// What is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// This code.
    Code(i32),
    /// Exactly this.
    Fault(FaultKind),
    /// A write anywhere in the program's code.
    WriteToCode,
    /// A write to the page below the stack.
    StackOverflow,
    /// It does not end by itself, and is killed.
    Killed,
}

impl End {
    /// Whether a process that ended with `status` has ended like that. Instructions are those of a program
    /// with its code within `code`.
    pub fn is(self, status: ExitStatus, code: core::ops::Range<u64>) -> bool {
        match (self, status) {
            (Self::Code(expected), ExitStatus::Code(code)) => code == expected,
            (Self::Killed, ExitStatus::Killed) => true,
            (Self::Fault(expected), ExitStatus::Fault(Fault { ip, kind })) => {
                let at = match expected {
                    FaultKind::Execute(address) => ip == address,
                    // What is at fault is the jump, or, to some processors, its destination.
                    FaultKind::Exception(13) => code.contains(&ip) || ip == NOT_CANONICAL,
                    _ => code.contains(&ip),
                };
                at && kind == expected
            }
            (Self::WriteToCode, ExitStatus::Fault(Fault { ip, kind })) => {
                code.contains(&ip)
                    && matches!(kind, FaultKind::Write(address) if code.contains(&address))
            }
            (Self::StackOverflow, ExitStatus::Fault(Fault { ip, kind })) => {
                let guard = SPAN - (2 + STACK_PAGES + 1) * PAGE;
                code.contains(&ip)
                    && matches!(kind, FaultKind::Write(address)
                        if (guard..guard + PAGE).contains(&(address % SPAN)))
            }
            _ => false,
        }
    }
}

/// A way to die.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Its name.
    pub name: &'static str,
    /// What is done.
    pub what: &'static str,
    /// What is reported.
    pub end: End,
}

const fn way(name: &'static str, what: &'static str, end: End) -> Way {
    Way { name, what, end }
}

const fn fault(name: &'static str, what: &'static str, kind: FaultKind) -> Way {
    way(name, what, End::Fault(kind))
}

const fn exception(name: &'static str, what: &'static str, vector: u8) -> Way {
    fault(name, what, FaultKind::Exception(vector))
}

/// All ways.
pub const WAYS: &[Way] = &[
    fault("null", "writes through a null pointer", FaultKind::Write(0)),
    fault(
        "null-read",
        "reads through a null pointer",
        FaultKind::Read(0),
    ),
    fault("null-call", "calls a null pointer", FaultKind::Execute(0)),
    fault("read", "reads where nothing is", FaultKind::Read(NOWHERE)),
    fault(
        "write",
        "writes where nothing is",
        FaultKind::Write(NOWHERE),
    ),
    fault(
        "jump",
        "jumps to where nothing is",
        FaultKind::Execute(NOWHERE),
    ),
    fault(
        "kernel-read",
        "reads the kernel's memory",
        FaultKind::Read(KERNEL),
    ),
    fault(
        "kernel-write",
        "writes the kernel's memory",
        FaultKind::Write(KERNEL),
    ),
    fault(
        "kernel-jump",
        "jumps into the kernel",
        FaultKind::Execute(KERNEL),
    ),
    fault(
        "write-constant",
        "writes a constant",
        FaultKind::Write(CONSTANTS),
    ),
    way("write-code", "writes its own code", End::WriteToCode),
    way(
        "execute-data",
        "executes its data, which this kernel allows: it has no execute-never pages",
        End::Code(CODE),
    ),
    way("stack", "calls itself without end", End::StackOverflow),
    exception("non-canonical", "reads at what is no address", 13),
    exception("non-canonical-jump", "jumps to what is no address", 13),
    exception(
        "unaligned",
        "loads 16 bytes from an odd address as if aligned",
        13,
    ),
    exception("illegal", "executes what is no instruction", 6),
    exception("linux", "makes a system call of Linux", 6),
    exception("privileged", "halts the processor", 13),
    exception("interrupts", "turns interrupts off", 13),
    exception("port", "reads an I/O port that it was not given", 13),
    exception("divide", "divides by zero", 0),
    exception("divide-overflow", "divides the smallest number by -1", 0),
    exception(
        "float",
        "divides by zero on an x87 that was told to trap",
        16,
    ),
    exception("breakpoint", "executes a breakpoint", 3),
    exception("step", "turns single-stepping on", 1),
    exception("interrupt", "raises a hardware interrupt by software", 13),
    fault("panic", "panics", FaultKind::Panic),
    fault("abort", "aborts with a message", FaultKind::Panic),
    fault("memory", "allocates more than it has", FaultKind::Panic),
    fault(
        "capability",
        "receives through a capability that it does not have",
        FaultKind::Capability(EMPTY_SLOT),
    ),
    fault(
        "syscall",
        "makes a system call that there is none of",
        FaultKind::Syscall(NO_SYSCALL as u64),
    ),
    way("exit", "ends with a code", End::Code(CODE)),
    way(
        "exit-negative",
        "ends with a negative code",
        End::Code(-CODE),
    ),
    way("spin", "runs until it is killed", End::Killed),
    way("sleep", "sleeps until it is killed", End::Killed),
    way(
        "wait",
        "waits for a message until it is killed",
        End::Killed,
    ),
];

/// The way of that name.
pub fn find(name: &str) -> Option<&'static Way> {
    WAYS.iter().find(|way| way.name == name)
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// Prints the ways.
    List,
    /// Dies.
    Die {
        /// How.
        way: &'static Way,
        /// Whether a thread does.
        thread: bool,
    },
}

/// Reads the arguments, of which the program's own name is not one. `None` when they make no sense.
pub fn parse<'a>(mut arguments: impl Iterator<Item = &'a str>) -> Option<Command> {
    let command = match arguments.next()? {
        "--list" => Command::List,
        first => {
            let thread = first == "--thread";
            let name = if thread { arguments.next()? } else { first };
            let way = find(name)?;
            Command::Die { way, thread }
        }
    };
    arguments.next().is_none().then_some(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const CODE_RANGE: core::ops::Range<u64> = 0x20_1000..0x20_8000;

    fn crashed(ip: u64, kind: FaultKind) -> ExitStatus {
        ExitStatus::Fault(Fault { ip, kind })
    }

    #[test]
    fn every_way_has_a_name_of_its_own_and_can_be_asked_for() {
        let names: BTreeSet<_> = WAYS.iter().map(|way| way.name).collect();
        assert_eq!(names.len(), WAYS.len());
        for way in WAYS {
            assert!(
                matches!(
                    parse([way.name].into_iter()),
                    Some(Command::Die { thread: false, .. })
                ),
                "{}",
                way.name
            );
            let thread = parse(["--thread", way.name].into_iter());
            assert!(matches!(thread, Some(Command::Die { thread: true, .. })));
        }
    }

    #[test]
    fn what_makes_no_sense_is_nothing() {
        for line in [
            "",
            "frob",
            "null x",
            "--thread",
            "--list x",
            "--thread --list",
        ] {
            assert!(parse(line.split_whitespace()).is_none(), "{line}");
        }
    }

    #[test]
    fn only_the_fault_that_is_meant_is_it() {
        let end = End::Fault(FaultKind::Write(0));
        assert!(end.is(crashed(0x20_1000, FaultKind::Write(0)), CODE_RANGE));
        assert!(!end.is(crashed(0x20_1000, FaultKind::Write(8)), CODE_RANGE));
        assert!(!end.is(crashed(0x20_1000, FaultKind::Read(0)), CODE_RANGE));
        assert!(!end.is(crashed(0x20_8000, FaultKind::Write(0)), CODE_RANGE));
        assert!(!end.is(ExitStatus::Killed, CODE_RANGE));
        assert!(!End::Code(1).is(ExitStatus::Code(2), CODE_RANGE));
    }

    #[test]
    fn a_jump_is_at_fault_where_it_went() {
        let end = End::Fault(FaultKind::Execute(NOWHERE));
        assert!(end.is(crashed(NOWHERE, FaultKind::Execute(NOWHERE)), CODE_RANGE));
        assert!(!end.is(crashed(0x20_1000, FaultKind::Execute(NOWHERE)), CODE_RANGE));
    }

    #[test]
    fn a_stack_overflows_into_the_page_below_it() {
        let low = 0x40_0000 - 2 * PAGE - STACK_PAGES * PAGE;
        let overflow = |address| {
            End::StackOverflow.is(crashed(0x20_1000, FaultKind::Write(address)), CODE_RANGE)
        };
        assert!(overflow(low - 8) && overflow(low - PAGE));
        assert!(!overflow(low) && !overflow(low - PAGE - 8));
    }
}
