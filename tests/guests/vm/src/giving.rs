// SPDX-License-Identifier: BSD-2-Clause
//! A processor that gives its guest what is its monitor's: capabilities, by their numbers.

use sel4::cap::{Endpoint, Notification};
use vm_factory::interface::{CALL_SIGNAL, OWN_CHANNELS};
use vm_factory::kernel::VirtualProcessor;
use vm_factory::machine::{Entry, Exit, Registers, reason};
use vm_factory::monitor::{Left, Processor};
use xos::client::Port;
use xos::protocol::slots::leaf;
use xos_vcpu::Vmcs;

/// What is given.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(dead_code)] // one of them by each program
pub enum Gives {
    /// The system's calls: the numbers of the kernel's are hypercalls.
    Calls,
    /// Signals through any of the monitor's capabilities.
    Channels,
}

/// Numbers of the kernel's calls are no less than this.
const SYSTEM_CALLS: u32 = -16i32 as u32;

/// The processor.
pub struct Giving {
    /// The real one.
    pub processor: VirtualProcessor,
    /// What is given.
    pub gives: Gives,
}

impl Giving {
    /// The answer to a hypercall that is none.
    fn answer(&self, exit: &Exit) -> Option<u32> {
        let Registers { eax, ebx, ecx, .. } = exit.registers;
        if exit.reason != reason::VMCALL || ebx >= OWN_CHANNELS {
            return None;
        }
        match self.gives {
            Gives::Calls if eax >= SYSTEM_CALLS => {
                let endpoint = Endpoint::from_bits(leaf(ebx));
                let answer = Port::call(&endpoint, ecx.into(), [0; 4], 0);
                Some(answer.map_or_else(|error| error.label() as u32, |_| 0))
            }
            Gives::Channels if eax == CALL_SIGNAL => {
                Notification::from_bits(leaf(ebx)).signal();
                Some(0)
            }
            _ => None,
        }
    }
}

impl Vmcs for Giving {
    type Error = <VirtualProcessor as Vmcs>::Error;

    fn read(&mut self, field: u32) -> Result<u64, Self::Error> {
        self.processor.read(field)
    }

    fn write(&mut self, field: u32, value: u64) -> Result<(), Self::Error> {
        self.processor.write(field, value)
    }
}

impl Processor for Giving {
    fn set_registers(&mut self, registers: &Registers) -> Result<(), Self::Error> {
        self.processor.set_registers(registers)
    }

    fn enter(&mut self, entry: &Entry) -> Left {
        let mut entry = *entry;
        loop {
            let left = self.processor.enter(&entry);
            let Left::Exit(exit) = left else { return left };
            let Some(eax) = self.answer(&exit) else {
                return left;
            };
            let registers = Registers {
                eax,
                ..exit.registers
            };
            if self.processor.set_registers(&registers).is_err() {
                return left;
            }
            entry.ip = exit.ip + exit.length;
            entry.interruption = 0;
        }
    }
}
