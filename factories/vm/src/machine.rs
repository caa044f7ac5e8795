// SPDX-License-Identifier: BSD-2-Clause
//! One virtual machine: a processor, a board, and what becomes of each exit.
//!
//! ```text
//!   entry(now)  ->  what the guest is entered with
//!   (the guest runs, and is left)
//!   exit(exit)  ->  go on, wait until something happens, or the end
//! ```
//!
//! Everything that a guest does ends up here, and it may be anything: whatever is not understood is an
//! exception in the guest, or the end of this machine and of no other.

use xos_vcpu::{ControlRegisters, Effect as Control, Vmcs, field, guest, primary};

use crate::devices::{Board, Effect};
use crate::hypercall;
use crate::interface::{NO_CHANNEL, SHARED, SHARED_END};
use crate::links::Link;
use crate::memory::{Memory, Outside};
use crate::processor::{self, Leaf, Msr};

/// Basic exit reasons (Intel's manual, volume 3, appendix C).
pub mod reason {
    #![allow(missing_docs)] // as in the manual
    pub const EXTERNAL_INTERRUPT: u32 = 1;
    pub const TRIPLE_FAULT: u32 = 2;
    pub const INTERRUPT_WINDOW: u32 = 7;
    pub const TASK_SWITCH: u32 = 9;
    pub const CPUID: u32 = 10;
    pub const HLT: u32 = 12;
    pub const INVD: u32 = 13;
    pub const RDPMC: u32 = 15;
    pub const VMCALL: u32 = 18;
    pub const VMCLEAR: u32 = 19;
    pub const VMXON: u32 = 27;
    pub const CONTROL_REGISTER: u32 = 28;
    pub const DEBUG_REGISTER: u32 = 29;
    pub const IO: u32 = 30;
    pub const RDMSR: u32 = 31;
    pub const WRMSR: u32 = 32;
    pub const INVALID_STATE: u32 = 33;
    pub const MWAIT: u32 = 36;
    pub const MONITOR: u32 = 39;
    pub const PAUSE: u32 = 40;
    pub const EPT_VIOLATION: u32 = 48;
    pub const PREEMPTION_TIMER: u32 = 52;
    pub const WBINVD: u32 = 54;
    pub const XSETBV: u32 = 55;
}

/// General registers, but for the stack pointer, which is in the VMCS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // registers
pub struct Registers {
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
    pub esi: u32,
    pub edi: u32,
    pub ebp: u32,
}

/// Why and how the guest was left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// The basic reason.
    pub reason: u32,
    /// The instruction at which it was left.
    pub ip: u32,
    /// The exit qualification.
    pub qualification: u64,
    /// Bytes of the instruction that caused it.
    pub length: u32,
    /// The physical address at fault.
    pub physical: u64,
    /// Its flags.
    pub flags: u32,
    /// Its interruptibility state.
    pub interruptibility: u32,
    /// Its registers.
    pub registers: Registers,
}

/// What the guest is entered with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The instruction.
    pub ip: u32,
    /// Primary processor-based execution controls.
    pub controls: u32,
    /// VM-entry interruption information.
    pub interruption: u32,
}

/// What comes of an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The guest goes on.
    Enter,
    /// It waits for an interrupt: until this time in nanoseconds, if one is sure to come.
    Idle(Option<u64>),
    /// It has ended.
    End(End),
}

/// How a machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// It was powered off, with an exit code.
    #[error("powered off with code {0}")]
    PowerOff(u8),
    /// It was ended from outside.
    #[error("stopped")]
    Stopped,
    /// It asked to be reset.
    #[error("reset")]
    Reset,
    /// It stopped with interrupts off, for ever.
    #[error("halted with interrupts off at {0:#x}")]
    Halted(u32),
    /// An exception in the handling of an exception in the handling of one.
    #[error("triple fault at {0:#x}")]
    TripleFault(u32),
    /// It reached for memory that it has not.
    #[error("no memory at {address:#x} (instruction at {ip:#x})")]
    NoMemory {
        /// The physical address.
        address: u64,
        /// The instruction.
        ip: u32,
    },
    /// It wanted to leave protected mode, which is not possible here.
    #[error("real mode wanted at {0:#x}")]
    RealMode(u32),
    /// The processor does not run what it has become.
    #[error("invalid state at {0:#x}")]
    InvalidState(u32),
    /// It did what nothing here can do for it.
    #[error("exit {reason} at {ip:#x} is not supported")]
    Unsupported {
        /// The basic exit reason.
        reason: u32,
        /// The instruction.
        ip: u32,
    },
}

impl End {
    /// The exit code of a machine that ended like this: its own, or one that no machine should choose.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::PowerOff(code) => code.into(),
            Self::Halted(_) => 128,
            Self::Reset => 129,
            Self::TripleFault(_) => 130,
            Self::NoMemory { .. } => 131,
            Self::RealMode(_) => 132,
            Self::InvalidState(_) => 133,
            Self::Unsupported { .. } => 134,
            Self::Stopped => 135,
        }
    }
}

/// What a machine says to the world.
pub trait World {
    /// Bytes for its console.
    fn output(&mut self, bytes: &[u8]);

    /// Nanoseconds since it was made.
    fn now(&mut self) -> u64;

    /// `CPUID` of the machine that it runs on.
    fn cpuid(&mut self, leaf: u32) -> Leaf;

    /// Does what the guest wants of others: the answer. Nobody is there unless somebody says so.
    fn link(&mut self, _link: Link<'_>) -> u32 {
        NO_CHANNEL
    }
}

/// Exceptions.
mod vector {
    pub const INVALID_OPCODE: u32 = 6;
    pub const GENERAL_PROTECTION: u32 = 13;
}

/// The interruption information of what is injected.
mod event {
    pub const VALID: u32 = 1 << 31;
    /// An exception of the processor's own.
    pub const EXCEPTION: u32 = 3 << 8;
    /// It has an error code. The field for it cannot be written here and stays 0, which is right for the
    /// general protection faults that are injected.
    pub const ERROR_CODE: u32 = 1 << 11;
}

/// The flag that lets interrupts in.
const IF: u32 = 1 << 9;
/// Interruptibility: the instruction before was STI, or a load of SS.
const BLOCKED: u32 = 3;

/// A virtual machine.
#[derive(Debug)]
pub struct Machine {
    registers: Registers,
    ip: u32,
    flags: u32,
    interruptibility: u32,
    control: ControlRegisters,
    debug: [u32; 8],
    board: Board,
    /// What is injected at the next entry.
    injected: u32,
    end: Option<End>,
}

impl Machine {
    /// A machine that starts at `ip`, in protected mode with paging off.
    #[must_use]
    pub const fn new(
        ip: u32,
        registers: Registers,
        control: ControlRegisters,
        board: Board,
    ) -> Self {
        Self {
            registers,
            ip,
            flags: 2,
            interruptibility: 0,
            control,
            debug: [0, 0, 0, 0, 0, 0, 0xffff_0ff0, 0x400],
            board,
            injected: 0,
            end: None,
        }
    }

    /// The general registers, to be given to the processor before an entry.
    #[must_use]
    pub const fn registers(&self) -> &Registers {
        &self.registers
    }

    /// The board.
    pub const fn board(&mut self) -> &mut Board {
        &mut self.board
    }

    /// What the guest is to be entered with at the time `now`.
    pub fn entry(&mut self, now: u64) -> Entry {
        self.board.advance(now);
        let mut controls = primary::ALWAYS | self.control.controls();
        let mut interruption = core::mem::take(&mut self.injected);
        if interruption == 0 && self.board.is_pending() && self.takes_interrupts() {
            if let Some(vector) = self.board.acknowledge() {
                interruption = event::VALID | u32::from(vector);
            }
            self.board.advance(now);
        }
        if self.board.is_pending() {
            controls |= primary::INTERRUPT_WINDOW;
        }
        Entry {
            ip: self.ip,
            controls,
            interruption,
        }
    }

    const fn takes_interrupts(&self) -> bool {
        self.flags & IF != 0 && self.interruptibility & BLOCKED == 0
    }

    /// Time has passed for a guest that is [idle](Next::Idle): whether it goes on, or waits longer.
    pub fn wake(&mut self, now: u64) -> Next {
        self.board.advance(now);
        match self.board.is_pending() {
            true => Next::Enter,
            false => Next::Idle(self.board.next()),
        }
    }

    /// A signal took the guest's thread out of it, at `ip`, before `interruption` was injected if that is not
    /// 0. What is in its registers stays there.
    pub const fn interrupted(&mut self, ip: u32, interruption: u32, flags: u32, state: u32) {
        self.ip = ip;
        self.injected = interruption;
        self.flags = flags;
        self.interruptibility = state;
    }

    /// The guest was left.
    ///
    /// # Errors
    /// When a field of the VCPU cannot be read or written, which is the end of the machine.
    pub fn exit<V: Vmcs>(
        &mut self,
        exit: &Exit,
        vcpu: &mut V,
        memory: &mut Memory<'_>,
        outside: &mut impl World,
    ) -> Result<Next, V::Error> {
        self.registers = exit.registers;
        self.ip = exit.ip;
        self.flags = exit.flags;
        self.interruptibility = exit.interruptibility;
        match exit.reason {
            reason::EXTERNAL_INTERRUPT | reason::INTERRUPT_WINDOW | reason::PREEMPTION_TIMER => {}
            reason::PAUSE | reason::WBINVD | reason::INVD | reason::MONITOR => {
                self.skip(exit, vcpu)?;
            }
            reason::CPUID => {
                let leaf = processor::cpuid(self.registers.eax, |leaf| outside.cpuid(leaf));
                let Registers {
                    eax, ebx, ecx, edx, ..
                } = &mut self.registers;
                [*eax, *ebx, *ecx, *edx] = leaf;
                self.skip(exit, vcpu)?;
            }
            reason::HLT | reason::MWAIT => {
                self.skip(exit, vcpu)?;
                if self.flags & IF == 0 {
                    return Ok(Next::End(End::Halted(exit.ip)));
                }
                return Ok(self.wake(outside.now()));
            }
            reason::VMCALL => {
                self.skip(exit, vcpu)?;
                if let Some(end) =
                    hypercall::call(&mut self.registers, &mut self.board, memory, outside)
                {
                    return Ok(Next::End(end));
                }
            }
            reason::IO => self.io(exit, vcpu, outside)?,
            reason::CONTROL_REGISTER => self.control_register(exit, vcpu, memory)?,
            reason::DEBUG_REGISTER => self.debug_register(exit, vcpu)?,
            reason::RDMSR | reason::WRMSR => self.msr(exit, vcpu)?,
            reason::RDPMC => self.protection_fault(),
            reason::VMCLEAR..=reason::VMXON | reason::XSETBV => self.invalid_opcode(),
            reason::TRIPLE_FAULT => return Ok(Next::End(End::TripleFault(exit.ip))),
            // Where others share memory, what is not there is the guest's to deal with: it may have been there
            // a moment ago.
            reason::EPT_VIOLATION
                if (SHARED.into()..SHARED_END.into()).contains(&exit.physical) =>
            {
                self.protection_fault();
            }
            reason::EPT_VIOLATION => {
                return Ok(Next::End(End::NoMemory {
                    address: exit.physical,
                    ip: exit.ip,
                }));
            }
            reason::INVALID_STATE => return Ok(Next::End(End::InvalidState(exit.ip))),
            reason => {
                return Ok(Next::End(End::Unsupported {
                    reason,
                    ip: exit.ip,
                }));
            }
        }
        Ok(self.end.take().map_or(Next::Enter, Next::End))
    }

    /// Goes on behind the instruction that caused the exit.
    fn skip<V: Vmcs>(&mut self, exit: &Exit, vcpu: &mut V) -> Result<(), V::Error> {
        self.ip = exit.ip.wrapping_add(exit.length);
        if self.interruptibility & BLOCKED != 0 {
            // It was the instruction that was protected by the one before it.
            self.interruptibility &= !BLOCKED;
            vcpu.write(guest::INTERRUPTIBILITY_STATE, self.interruptibility.into())?;
        }
        Ok(())
    }

    const fn protection_fault(&mut self) {
        self.injected =
            event::VALID | event::ERROR_CODE | event::EXCEPTION | vector::GENERAL_PROTECTION;
    }

    const fn invalid_opcode(&mut self) {
        self.injected = event::VALID | event::EXCEPTION | vector::INVALID_OPCODE;
    }

    fn io<V: Vmcs>(
        &mut self,
        exit: &Exit,
        vcpu: &mut V,
        outside: &mut impl World,
    ) -> Result<(), V::Error> {
        let port = (exit.qualification >> 16) as u16;
        let width = (exit.qualification & 7) as u8 + 1;
        if exit.qualification & 1 << 4 != 0 {
            // From and to memory: no device here has a use for it.
            self.protection_fault();
            return Ok(());
        }
        self.skip(exit, vcpu)?;
        let now = outside.now();
        let mask = u32::MAX >> (32 - 8 * u32::from(width.min(4)));
        if exit.qualification & 1 << 3 != 0 {
            let value = self.board.read(port, width, now);
            self.registers.eax = self.registers.eax & !mask | value & mask;
            return Ok(());
        }
        let end = &mut self.end;
        let value = self.registers.eax & mask;
        self.board
            .write(port, width, value, now, |effect| match effect {
                Effect::Output(byte) => outside.output(&[byte]),
                Effect::PowerOff(code) => *end = Some(End::PowerOff(code)),
                Effect::Reset => *end = Some(End::Reset),
            });
        Ok(())
    }

    /// The register with this number in an instruction.
    fn register<V: Vmcs>(&mut self, number: u64, vcpu: &mut V) -> Result<u32, V::Error> {
        Ok(match number {
            4 => vcpu.read(guest::RSP)? as u32,
            number => *self.general(number),
        })
    }

    fn set_register<V: Vmcs>(
        &mut self,
        number: u64,
        value: u32,
        vcpu: &mut V,
    ) -> Result<(), V::Error> {
        match number {
            4 => vcpu.write(guest::RSP, value.into())?,
            number => *self.general(number) = value,
        }
        Ok(())
    }

    const fn general(&mut self, number: u64) -> &mut u32 {
        let registers = &mut self.registers;
        match number & 7 {
            0 => &mut registers.eax,
            1 => &mut registers.ecx,
            2 => &mut registers.edx,
            3 => &mut registers.ebx,
            6 => &mut registers.esi,
            7 => &mut registers.edi,
            _ => &mut registers.ebp,
        }
    }

    fn control_register<V: Vmcs>(
        &mut self,
        exit: &Exit,
        vcpu: &mut V,
        memory: &Memory<'_>,
    ) -> Result<(), V::Error> {
        let (control, kind) = (exit.qualification & 15, exit.qualification >> 4 & 3);
        let general = exit.qualification >> 8 & 15;
        let effect = match (control, kind) {
            (0, 0) => {
                let value = self.register(general, vcpu)?;
                self.control.write_cr0(vcpu, value)?
            }
            // CLTS and LMSW: the low four bits, of which the first is never cleared.
            (_, 2 | 3) => {
                let seen = vcpu.read(field::CR0_READ_SHADOW)? as u32;
                let mask = vcpu.read(field::CR0_GUEST_HOST_MASK)? as u32;
                let real = vcpu.read(guest::CR0)? as u32;
                let now = seen & mask | real & !mask;
                let low = (exit.qualification >> 16) as u32 & 15;
                let value = match kind {
                    2 => now & !8,
                    _ => now & !14 | low,
                };
                self.control.write_cr0(vcpu, value)?
            }
            (3, 0) => {
                let value = self.register(general, vcpu)?;
                self.control.write_unpaged_cr3(value);
                Control::None
            }
            (3, 1) => {
                let value = self.control.unpaged_cr3();
                self.set_register(general, value, vcpu)?;
                Control::None
            }
            (4, 0) => {
                let value = self.register(general, vcpu)?;
                match self.control.write_cr4(vcpu, value)? {
                    Ok(effect) => effect,
                    Err(_) => {
                        self.protection_fault();
                        return Ok(());
                    }
                }
            }
            _ => {
                self.invalid_opcode();
                return Ok(());
            }
        };
        match effect {
            Control::None => {}
            Control::RealMode => {
                self.end = Some(End::RealMode(exit.ip));
                return Ok(());
            }
            Control::LoadPointers(table) => {
                for (number, field) in (0..).zip([
                    guest::PDPTE0_FULL,
                    guest::PDPTE1_FULL,
                    guest::PDPTE2_FULL,
                    guest::PDPTE3_FULL,
                ]) {
                    match memory.word64(table.wrapping_add(8 * number)) {
                        Ok(entry) => vcpu.write(field, entry)?,
                        Err(Outside) => {
                            self.end = Some(End::NoMemory {
                                address: table.into(),
                                ip: exit.ip,
                            });
                            return Ok(());
                        }
                    }
                }
            }
        }
        self.skip(exit, vcpu)
    }

    fn debug_register<V: Vmcs>(&mut self, exit: &Exit, vcpu: &mut V) -> Result<(), V::Error> {
        // Debug registers are the machine's; a guest gets ones that remember and do nothing.
        let number = (exit.qualification & 7) as usize;
        let general = exit.qualification >> 8 & 15;
        // 4 and 5 are other names of 6 and 7.
        let number = if matches!(number, 4 | 5) {
            number + 2
        } else {
            number
        };
        if exit.qualification & 1 << 4 != 0 {
            self.set_register(general, self.debug[number], vcpu)?;
        } else {
            let value = self.register(general, vcpu)?;
            self.debug[number] = match number {
                6 => value & 0xe00f | 0xffff_0ff0,
                7 => value & 0xffff_2fff | 0x400,
                _ => value,
            };
        }
        self.skip(exit, vcpu)
    }

    fn msr<V: Vmcs>(&mut self, exit: &Exit, vcpu: &mut V) -> Result<(), V::Error> {
        let writes = exit.reason == reason::WRMSR;
        match (processor::msr(self.registers.ecx), writes) {
            (Msr::Absent, _) => {
                self.protection_fault();
                return Ok(());
            }
            (Msr::Field(field), false) => self.set_wide(vcpu.read(field)?),
            (Msr::Fixed(value), false) => self.set_wide(value),
            (Msr::Field(field), true) => vcpu.write(field, self.registers.eax.into())?,
            (Msr::Fixed(_), true) => {}
        }
        self.skip(exit, vcpu)
    }

    const fn set_wide(&mut self, value: u64) {
        self.registers.eax = value as u32;
        self.registers.edx = (value >> 32) as u32;
    }
}
