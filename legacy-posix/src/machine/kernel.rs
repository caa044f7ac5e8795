// SPDX-License-Identifier: BSD-2-Clause
//! The kernel, as the server wants it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use legacy_posix::gate::{self, Place};
use legacy_posix::kernel::{Execution, Extent, Kernel, Registers};
use legacy_posix::machine_api::NO_ALARM;
use legacy_posix::mm::{Paging, Slot, Space as SpaceId};
use legacy_posix::pages::Claim;
use legacy_posix::{Page, Result};
use sel4::UserContext;
use sel4::cap::Endpoint;
use xos::protocol::badge::CALL;
use xos::server::Space;

use xos::protocol::console::write_log;

use crate::clock::Clock;
use crate::helpers;
use crate::random;
use crate::spaces::Spaces;

/// Radix of the program's CSpace; asked for once, because it is needed all the time.
static CSPACE_RADIX: AtomicU8 = AtomicU8::new(0);
/// Badges of executions: their number is the index.
const KIND_EXECUTION: u64 = CALL;
/// Badges of the program's own threads.
pub const KIND_HELPER: u64 = CALL | 1 << 23;
/// Registers that finish a system call.
const RESULT: u64 = 4;
/// All registers.
const ALL: u64 = 19;

/// Learns how large the program's CSpace is: first of all.
pub fn learn_cspace() {
    CSPACE_RADIX.store(xos::cspace_radix(), Relaxed);
}

/// The program's own CSpace.
pub fn own() -> Space {
    Space::ic(CSPACE_RADIX.load(Relaxed))
}

/// Its root slots: those below the first are for nodes of ICs and what else there is, the others for nodes with
/// frames.
pub fn places_of_frames() -> Range<u32> {
    let end = 1 << CSPACE_RADIX.load(Relaxed);
    end / 4..end
}

/// The badge of an execution.
pub const fn badge_of(execution: Execution) -> u64 {
    KIND_EXECUTION | execution.0 as u64
}

/// The execution that a badge is of, if it is of one.
pub const fn execution_of(badge: u64) -> Option<Execution> {
    if badge >> 23 == KIND_EXECUTION >> 23 {
        Some(Execution(badge as u32 & ((1 << 23) - 1)))
    } else {
        None
    }
}

/// How the fault is answered that is being seen to.
#[derive(Clone, Copy, Default)]
pub enum Answer {
    /// Not now.
    #[default]
    None,
    /// The thread goes on where it stopped.
    Resume,
    /// It goes on there, with that stack and those flags.
    GoTo(u64, u64, u64),
}

/// The fault that is being seen to.
#[derive(Clone, Copy)]
struct Caller {
    execution: Execution,
    /// Whether an answer is looked at.
    is_exception: bool,
    answer: Answer,
}

/// The machine.
pub struct Machine {
    spaces: Spaces,
    /// Whose fault is being seen to. Whoever has been told to go on otherwise is it no more.
    caller: Option<Caller>,
    /// Registers on their way from the kernel; kept so that they need not be cleared first.
    context: UserContext,
    clock: Clock,
    alarm: u64,
    /// Bytes that the server's own tables may take.
    heap: usize,
}

impl Machine {
    /// The machine; programs' faults go to `endpoint`, so many pages pay for their address spaces, and the server's
    /// own tables may take so many bytes.
    pub fn new(endpoint: Endpoint, pages: u32, heap: usize) -> xos::Result<Self> {
        let clock = Clock::new()?;
        Ok(Self {
            spaces: Spaces::new(endpoint, pages),
            caller: None,
            context: UserContext::default(),
            clock,
            alarm: NO_ALARM,
            heap,
        })
    }

    /// A fault is going to be seen to.
    pub fn begin(&mut self, execution: Execution, is_exception: bool) {
        self.caller = Some(Caller {
            execution,
            is_exception,
            answer: Answer::None,
        });
    }

    /// It has been seen to: how it is answered.
    pub fn end(&mut self) -> Answer {
        self.caller
            .take()
            .map_or(Answer::None, |caller| caller.answer)
    }

    /// The caller, if it is this execution, which gets no answer any more.
    fn take_caller(&mut self, execution: Execution) -> Option<Caller> {
        self.caller.take_if(|caller| caller.execution == execution)
    }

    /// Reads the registers of an execution.
    fn read(&mut self, execution: Execution, suspend: bool) -> Option<Registers> {
        self.spaces
            .tcb(execution)?
            .tcb_read_registers_into(suspend, ALL, &mut self.context)
            .ok()?;
        let raw = self.context.inner();
        Some(Registers {
            rip: raw.rip,
            rsp: raw.rsp,
            rflags: raw.rflags,
            rax: raw.rax,
            rbx: raw.rbx,
            rcx: raw.rcx,
            rdx: raw.rdx,
            rsi: raw.rsi,
            rdi: raw.rdi,
            rbp: raw.rbp,
            r8: raw.r8,
            r9: raw.r9,
            r10: raw.r10,
            r11: raw.r11,
            r12: raw.r12,
            r13: raw.r13,
            r14: raw.r14,
            r15: raw.r15,
            fs_base: raw.tls_base,
        })
    }

    /// Nanoseconds until something is due, or [`NO_ALARM`].
    pub fn until_alarm(&mut self) -> u64 {
        match self.alarm {
            NO_ALARM => NO_ALARM,
            at => at.saturating_sub(self.clock.now()).max(1),
        }
    }
}

impl Paging for Machine {
    fn map(&mut self, space: SpaceId, address: u64, page: Page, writable: bool) -> Result<Slot> {
        self.spaces.map(space, address, page, writable)
    }

    fn protect(&mut self, space: SpaceId, slot: Slot, writable: bool) {
        self.spaces.protect(space, slot, writable);
    }

    fn unmap(&mut self, space: SpaceId, slot: Slot) {
        self.spaces.unmap(space, slot);
    }
}

impl Kernel for Machine {
    fn create_space(&mut self) -> Result<SpaceId> {
        self.spaces.create()
    }

    fn end_space(&mut self, space: SpaceId) {
        self.spaces.end(space);
    }

    fn create_execution(&mut self, space: SpaceId) -> Result<Execution> {
        self.spaces.create_execution(space)
    }

    fn end_execution(&mut self, execution: Execution) {
        self.take_caller(execution);
        self.spaces.end_execution(execution);
    }

    fn registers(&mut self, execution: Execution) -> Registers {
        self.read(execution, false).unwrap_or_default()
    }

    fn hold(&mut self, execution: Execution) {
        if let Some(tcb) = self.spaces.tcb(execution) {
            let _ = tcb.tcb_suspend();
        }
        self.take_caller(execution);
    }

    fn stop(&mut self, execution: Execution) -> Registers {
        let caller = self.take_caller(execution);
        let mut registers = self.read(execution, true).unwrap_or_default();
        let is_leaving = matches!(caller.map(|caller| caller.answer), Some(Answer::GoTo(..)))
            || Place::is_within(registers.rip);
        if is_leaving && let Some((page, index)) = self.spaces.gate(execution) {
            page.get(index).settle(&mut registers);
        }
        registers
    }

    fn run(&mut self, execution: Execution, registers: &Registers, extent: Extent) {
        if let Some(caller) = &mut self.caller
            && caller.execution == execution
        {
            if extent == Extent::Nothing {
                caller.answer = Answer::Resume;
                return;
            }
            if extent == Extent::Result
                && caller.is_exception
                && let Some((page, index)) = self.spaces.gate(execution)
            {
                page.put(index, Place::new(registers));
                caller.answer = Answer::GoTo(gate::CODE, Place::address(index), registers.rflags);
                return;
            }
        }
        self.take_caller(execution);
        let Some(tcb) = self.spaces.tcb(execution) else {
            return;
        };
        if extent == Extent::Nothing {
            let _ = tcb.tcb_resume();
            return;
        }
        let mut context = UserContext::default();
        let raw = context.inner_mut();
        raw.rip = registers.rip;
        raw.rsp = registers.rsp;
        raw.rflags = registers.rflags;
        raw.rax = registers.rax;
        let count = match extent {
            Extent::Nothing | Extent::Result => RESULT,
            Extent::All => {
                raw.rbx = registers.rbx;
                raw.rcx = registers.rcx;
                raw.rdx = registers.rdx;
                raw.rsi = registers.rsi;
                raw.rdi = registers.rdi;
                raw.rbp = registers.rbp;
                raw.r8 = registers.r8;
                raw.r9 = registers.r9;
                raw.r10 = registers.r10;
                raw.r11 = registers.r11;
                raw.r12 = registers.r12;
                raw.r13 = registers.r13;
                raw.r14 = registers.r14;
                raw.r15 = registers.r15;
                raw.tls_base = registers.fs_base;
                ALL
            }
        };
        let _ = tcb.tcb_write_registers(true, count, &mut context);
    }

    fn spaces(&self) -> (usize, usize) {
        self.spaces.count()
    }

    fn serve(&mut self, claim: Claim) {
        self.spaces.serve(claim);
    }

    fn heap(&mut self) -> (usize, usize) {
        (xos::heap_used(), self.heap)
    }

    fn now(&mut self) -> u64 {
        self.clock.now()
    }

    fn epoch(&mut self) -> u64 {
        self.clock.epoch()
    }

    fn alarm(&mut self, at: Option<u64>) {
        let before = core::mem::replace(&mut self.alarm, at.unwrap_or(NO_ALARM));
        if before == NO_ALARM && self.alarm != NO_ALARM {
            helpers::arm();
        }
    }

    fn seed(&mut self) -> [u8; 32] {
        random::seed(&self.clock)
    }

    fn features(&mut self) -> u64 {
        core::arch::x86_64::__cpuid(1).edx.into()
    }

    fn processor(&mut self) -> String {
        let mut text = Vec::new();
        for leaf in 0x8000_0002..=0x8000_0004 {
            let part = core::arch::x86_64::__cpuid(leaf);
            for word in [part.eax, part.ebx, part.ecx, part.edx] {
                text.extend(word.to_le_bytes());
            }
        }
        let text = String::from_utf8_lossy(&text);
        String::from(text.trim_matches(['\0', ' ']))
    }

    fn log(&mut self, line: fmt::Arguments<'_>) {
        let mut frame = String::new();
        // A string takes everything.
        let _ = write_log(&mut frame, format_args!("posix: {line}"));
        helpers::print(frame.as_bytes());
    }
}
