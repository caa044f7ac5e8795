// SPDX-License-Identifier: BSD-2-Clause
//! What runs a machine: enters the guest, has each exit dealt with, and sleeps while the guest does.
//!
//! Whoever has a virtual processor ([`Processor`]) and a place in the world ([`Surroundings`]) loads a kernel,
//! calls [`Monitor::new`] and then [`Monitor::run`], which comes back when the machine has ended.

use xos_vcpu::{ControlRegisters, Start, Vmcs, cr4, field, guest, start};

use crate::devices::Board;
use crate::loaders::{DESCRIPTORS, Loaded, SELECTORS};
use crate::machine::{End, Entry, Exit, Machine, Next, Registers, World};
use crate::memory::Memory;

/// Guest-physical address of the page with the identity table, where a PC has its interrupt controller and
/// this machine has nothing. It is to be mapped read-only.
pub const IDENTITY: u32 = 0xfee0_0000;

/// Pin-based control: the guest is left when the preemption timer has run down.
pub const PREEMPTION_TIMER: u64 = 1 << 6;

/// A virtual processor that can be entered.
pub trait Processor: Vmcs {
    /// Gives the guest its general registers.
    ///
    /// # Errors
    /// The kernel's.
    fn set_registers(&mut self, registers: &Registers) -> Result<(), Self::Error>;

    /// Runs the guest until something happens.
    fn enter(&mut self, entry: &Entry) -> Left;
}

/// Why the guest was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It did something.
    Exit(Exit),
    /// Somebody signalled to the thread that runs it.
    Signal {
        /// Who.
        bits: u64,
        /// The instruction at which the guest was left.
        ip: u32,
        /// What was to be injected and was not.
        interruption: u32,
    },
}

/// The world around a monitor.
pub trait Surroundings: World {
    /// Moves what came for the guest to its serial port, as far as there is room. Called before each entry.
    fn feed(&mut self, board: &mut Board);

    /// A signal took the monitor out of its guest.
    fn signalled(&mut self, bits: u64);

    /// Sleeps until a time in nanoseconds, or until something comes for the guest, if there is no such time or
    /// earlier. It may return too early.
    fn sleep(&mut self, until: Option<u64>);

    /// Whether the machine is to end. Asked before each entry.
    fn ends(&mut self) -> bool;
}

/// A machine and its processor.
#[derive(Debug)]
pub struct Monitor<P> {
    machine: Machine,
    processor: P,
    /// What the processor has in the guest's registers, if that is known.
    known: Option<Registers>,
}

impl<P: Processor> Monitor<P> {
    /// A machine that is about to execute the first instruction of a kernel.
    ///
    /// `turn` is how long the guest may run without an exit at most, in the processor's own units (some
    /// cycles: `IA32_VMX_MISC` says how many), so that one that lets no interrupt through does not hold the
    /// processor either.
    ///
    /// # Errors
    /// When a field of the VCPU cannot be written.
    pub fn new(
        mut processor: P,
        loaded: &Loaded,
        board: Board,
        turn: u32,
    ) -> Result<Self, P::Error> {
        start(
            &mut processor,
            &Start {
                ip: loaded.ip,
                cr3: IDENTITY,
                cr4: cr4::PSE,
                gdt: DESCRIPTORS,
                selectors: SELECTORS,
                ..Start::default()
            },
        )?;
        let pins = processor.read(field::PINBASED_EXEC_CONTROLS)?;
        processor.write(field::PINBASED_EXEC_CONTROLS, pins | PREEMPTION_TIMER)?;
        processor.write(guest::VMX_PREEMPTION_TIMER_VALUE, turn.into())?;
        let control = ControlRegisters::unpaged(IDENTITY);
        control.install(&mut processor)?;
        Ok(Self {
            machine: Machine::new(loaded.ip, loaded.registers, control, board),
            processor,
            known: None,
        })
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When a field of the VCPU cannot be read or written, which is the end of the machine as well.
    pub fn run(
        &mut self,
        memory: &mut Memory<'_>,
        around: &mut impl Surroundings,
    ) -> Result<End, P::Error> {
        loop {
            if around.ends() {
                return Ok(End::Stopped);
            }
            around.feed(self.machine.board());
            match self.step(memory, around)? {
                Next::Enter => {}
                Next::End(end) => return Ok(end),
                Next::Idle(until) => {
                    if let Some(end) = self.idle(until, around) {
                        return Ok(end);
                    }
                }
            }
        }
    }

    fn step(
        &mut self,
        memory: &mut Memory<'_>,
        around: &mut impl Surroundings,
    ) -> Result<Next, P::Error> {
        let entry = self.machine.entry(around.now());
        let registers = *self.machine.registers();
        if self.known != Some(registers) {
            self.processor.set_registers(&registers)?;
        }
        match self.processor.enter(&entry) {
            Left::Exit(exit) => {
                self.known = Some(exit.registers);
                self.machine
                    .exit(&exit, &mut self.processor, memory, around)
            }
            Left::Signal {
                bits,
                ip,
                interruption,
            } => {
                around.signalled(bits);
                // The registers are the processor's, and stay there.
                self.known = Some(registers);
                let flags = self.processor.read(guest::RFLAGS)? as u32;
                let state = self.processor.read(guest::INTERRUPTIBILITY_STATE)? as u32;
                self.machine.interrupted(ip, interruption, flags, state);
                Ok(Next::Enter)
            }
        }
    }

    /// Waits until the guest goes on.
    fn idle(&mut self, mut until: Option<u64>, around: &mut impl Surroundings) -> Option<End> {
        loop {
            around.sleep(until);
            if around.ends() {
                return Some(End::Stopped);
            }
            around.feed(self.machine.board());
            match self.machine.wake(around.now()) {
                Next::Idle(later) => until = later,
                Next::Enter => return None,
                Next::End(end) => return Some(end),
            }
        }
    }
}
