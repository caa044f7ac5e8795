// SPDX-License-Identifier: BSD-2-Clause
//! What the domains of the root task's suites have in common.
//!
//! Two systems. In `supervision.system` there is no IC manager; `judge` runs the cases. In
//! `handover.system` the domain that runs them is in the manager's place. Both report on COM1, which
//! no driver has.
//!
//! | domain | what it does |
//! | --- | --- |
//! | `server` | whatever its callers want, dying included |
//! | `caller` | calls the server when it is told, so that somebody else can be stuck |
//! | `clock` | counts interrupts |
//! | `child` | dies as its parent's child |
#![no_std]

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use sel4::{MessageInfo, cap};
use sel4_microkit::{IoPort, abi};
use xos_image::console::{EXIT_FAILURE, EXIT_PORT, EXIT_SUCCESS};
use xos_test_kit::{Outcome, check};

/// Heap of each domain, in bytes. Nothing allocates, but libraries could.
pub const HEAP_SIZE: usize = 8 * 1024;

/// Where the region `board` is mapped in every domain.
const BOARD: usize = 0x1000_0000;

/// The words of the board, by what they are for.
#[derive(Clone, Copy)]
#[repr(usize)]
pub enum Note {
    /// What caller A asks of the server.
    CommandA,
    /// What caller B asks of the server.
    CommandB,
    /// What caller A got: [`got`].
    AnswerA,
    /// What caller B got: [`got`].
    AnswerB,
    /// Instances of the server that have started.
    Starts,
    /// Interrupts that have come.
    Ticks,
    /// Not zero: the clock dies at the next interrupt.
    ClockDies,
    /// What the child does.
    ChildDeed,
}

/// A word of the board.
pub fn note(note: Note) -> &'static AtomicU64 {
    let word = BOARD as *const AtomicU64;
    // SAFETY: every system of this suite maps the board, writable, in every domain, and all use it
    // as words.
    unsafe { &*word.add(note as usize) }
}

/// Reads a word of the board.
pub fn read(what: Note) -> u64 {
    note(what).load(Ordering::SeqCst)
}

/// Writes a word of the board.
pub fn write(what: Note, value: u64) {
    note(what).store(value, Ordering::SeqCst);
}

/// An answer as a word of the board: never 0.
pub const fn got(label: u64, word: u64) -> u64 {
    1 << 63 | label << 32 | word & 0xffff_ffff
}

/// What can be asked of the server: labels of its calls.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub enum Ask {
    /// Its word, plus one.
    Echo,
    /// How many calls this instance has had.
    Count,
    /// To die, in the way that the word says (a [`Deed`]).
    Die,
    /// To wait for a notification, then die.
    WaitAndDie,
    /// To be answered later.
    Defer,
    /// To answer whom it has deferred.
    AnswerDeferred,
}

impl Ask {
    /// The label.
    pub const fn label(self) -> u64 {
        self as u64
    }
}

/// Ways to die.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Deed {
    ReadNull,
    WriteNull,
    ExecuteNull,
    WriteProgram,
    WriteStub,
    OverflowStack,
    InvalidInstruction,
    Divide,
    GeneralProtection,
    InvalidCapability,
    UnknownSyscall,
    Panic,
    ForgedFault,
    ForgedSend,
}

impl Deed {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::ReadNull,
        Self::WriteNull,
        Self::ExecuteNull,
        Self::WriteProgram,
        Self::WriteStub,
        Self::OverflowStack,
        Self::InvalidInstruction,
        Self::Divide,
        Self::GeneralProtection,
        Self::InvalidCapability,
        Self::UnknownSyscall,
        Self::Panic,
        Self::ForgedFault,
        Self::ForgedSend,
    ];

    /// The deed of this number.
    pub fn of(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Does it.
    pub fn commit(self) -> ! {
        use core::arch::asm;
        // SAFETY: that none of this is safe is the point. Each of these ends the thread, or is
        // followed by something that does.
        unsafe {
            match self {
                Self::ReadNull => asm!("mov rax, [0]", out("rax") _),
                Self::WriteNull => asm!("mov qword ptr [0], 1"),
                Self::ExecuteNull => asm!("xor eax, eax", "call rax", out("rax") _),
                Self::WriteProgram => asm!("2: mov byte ptr [rip + 2b], 0x90"),
                Self::WriteStub => asm!(
                    "mov byte ptr [rax], 0x90",
                    in("rax") xos_image::STACK_TOP,
                ),
                Self::OverflowStack => asm!("2: push 0", "jmp 2b"),
                Self::InvalidInstruction => asm!("ud2"),
                Self::Divide => {
                    asm!("xor ecx, ecx", "div ecx", out("rax") _, out("rcx") _, out("rdx") _)
                }
                Self::GeneralProtection => asm!("hlt"),
                Self::InvalidCapability => {
                    cap::Endpoint::from_bits(1 << 63).call(MessageInfo::new(0, 0, 0, 0));
                }
                Self::UnknownSyscall => asm!(
                    "mov rcx, rsp",
                    "lea rdx, [rip + 2f]",
                    "2: sysenter",
                    in("rax") 1234,
                    out("rcx") _,
                    out("rdx") _,
                ),
                Self::Panic => panic!("the server was asked to panic"),
                Self::ForgedFault => {
                    fault_endpoint().call(MessageInfo::new(0x342, 0, 0, 1));
                }
                Self::ForgedSend => fault_endpoint().send(MessageInfo::new(5, 0, 0, 4)),
            }
        }
        loop {
            core::hint::spin_loop();
        }
    }
}

fn fault_endpoint() -> cap::Endpoint {
    cap::Endpoint::from_bits(abi::FAULT_ENDPOINT_SLOT)
}

/// First port of COM1; its line status register is five ports on.
const COM1: u16 = 0x3f8;
const LINE_STATUS: u16 = COM1 + 5;
/// In the line status register: the next byte may be written.
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// The domain's identifiers of its I/O ports.
const COM1_ID: usize = 0;
const EXIT_ID: usize = 1;

/// COM1, polled.
pub struct Serial;

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let ports = IoPort::new(COM1_ID).cap();
        let put = |byte| {
            while ports.ioport_in8(LINE_STATUS).map_err(|_| fmt::Error)? & TRANSMITTER_EMPTY == 0 {}
            ports.ioport_out8(COM1, byte).map_err(|_| fmt::Error)
        };
        for byte in text.bytes() {
            if byte == b'\n' {
                put(b'\r')?;
            }
            put(byte)?;
        }
        Ok(())
    }
}

/// Ends the simulation.
pub fn power_off(success: bool) -> ! {
    let code = if success { EXIT_SUCCESS } else { EXIT_FAILURE };
    // If that fails, the host sees a machine that hangs.
    let _ = IoPort::new(EXIT_ID).cap().ioport_out8(EXIT_PORT, code);
    loop {
        core::hint::spin_loop();
    }
}

/// Lets others run until something holds, but not for ever.
#[track_caller]
pub fn until(holds: impl Fn() -> bool, what: &str) -> Outcome {
    for _ in 0..2_000_000 {
        if holds() {
            return Ok(());
        }
        sel4::r#yield();
    }
    check!(false, "waited in vain for {what}")
}
