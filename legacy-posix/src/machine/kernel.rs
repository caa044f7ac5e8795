// SPDX-License-Identifier: BSD-2-Clause
//! The kernel, as the server wants it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use legacy_posix::kernel::{Execution, Extent, Kernel, Registers};
use legacy_posix::machine_api::NO_ALARM;
use legacy_posix::mm::{Paging, Slot, Space};
use legacy_posix::{Page, Result};
use sel4::UserContext;
use sel4::cap::Endpoint;
use xos::protocol::badge::CALL;

use xos::protocol::console::write_log;

use crate::clock::Clock;
use crate::helpers;
use crate::spaces::Spaces;

/// Radix of the program's CSpace, as whoever starts it has to ask for.
pub const CSPACE_RADIX: u8 = 12;
/// Badges of executions: their number is the index.
const KIND_EXECUTION: u64 = CALL;
/// Badges of the program's own threads.
pub const KIND_HELPER: u64 = CALL | 1 << 23;
/// Registers that finish a system call.
const RESULT: u64 = 4;
/// All registers.
const ALL: u64 = 19;

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

/// The machine.
pub struct Machine {
    spaces: Spaces,
    clock: Clock,
    alarm: u64,
    random: u64,
}

impl Machine {
    /// The machine; programs' faults go to `endpoint`.
    pub fn new(endpoint: Endpoint) -> xos::Result<Self> {
        let clock = Clock::new()?;
        let random = clock.now() ^ clock.epoch().rotate_left(32);
        Ok(Self {
            spaces: Spaces::new(endpoint),
            clock,
            alarm: NO_ALARM,
            random,
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
    fn map(&mut self, space: Space, address: u64, page: Page, writable: bool) -> Result<Slot> {
        self.spaces.map(space, address, page, writable)
    }

    fn protect(&mut self, space: Space, slot: Slot, writable: bool) {
        self.spaces.protect(space, slot, writable);
    }

    fn unmap(&mut self, space: Space, slot: Slot) {
        self.spaces.unmap(space, slot);
    }
}

impl Kernel for Machine {
    fn create_space(&mut self) -> Result<Space> {
        self.spaces.create()
    }

    fn end_space(&mut self, space: Space) {
        self.spaces.end(space);
    }

    fn create_execution(&mut self, space: Space) -> Result<Execution> {
        self.spaces.create_execution(space)
    }

    fn end_execution(&mut self, execution: Execution) {
        self.spaces.end_execution(execution);
    }

    fn stop(&mut self, execution: Execution) -> Registers {
        let Some(tcb) = self.spaces.tcb(execution) else {
            return Registers::default();
        };
        let Ok(context) = tcb.tcb_read_registers(true, ALL) else {
            return Registers::default();
        };
        let raw = context.inner();
        Registers {
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
        }
    }

    fn run(&mut self, execution: Execution, registers: &Registers, extent: Extent) {
        let Some(tcb) = self.spaces.tcb(execution) else {
            return;
        };
        let mut context = UserContext::default();
        let raw = context.inner_mut();
        raw.rip = registers.rip;
        raw.rsp = registers.rsp;
        raw.rflags = registers.rflags;
        raw.rax = registers.rax;
        let count = match extent {
            Extent::Result => RESULT,
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

    fn random(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014), stirred by time: this machine has no source of randomness.
        self.random = self
            .random
            .wrapping_add(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(self.clock.now());
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
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
