// SPDX-License-Identifier: BSD-2-Clause
//! A processor that keeps from its monitor what has to be put back.

use virtine_factory::vcpu::layout::TABLES;
use virtine_factory::vcpu::trampoline;
use vm_factory::kernel::VirtualProcessor;
use vm_factory::machine::{Entry, Registers};
use vm_factory::monitor::{Left, Processor};
use vm_factory::plan::WINDOW;
use xos_vcpu::Vmcs;

/// Entries of the tables of a virtine of 4 MiB: of what is below the heap, and of the heap.
const ENTRIES: usize = 3 * 1024;
/// In an entry: ring 3 may write to the page; the page was written.
const OWN: u32 = 7;
const WRITTEN: u32 = 1 << 6;

/// What is forgotten.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(dead_code)] // one of them by each program
pub enum Forgets {
    /// Which pages were written.
    Pages,
    /// That floating-point registers are used.
    Registers,
}

/// The processor.
pub struct Forgetful {
    /// The real one.
    pub processor: VirtualProcessor,
    /// What is forgotten.
    pub forgets: Forgets,
}

impl Vmcs for Forgetful {
    type Error = <VirtualProcessor as Vmcs>::Error;

    fn read(&mut self, field: u32) -> Result<u64, Self::Error> {
        self.processor.read(field)
    }

    fn write(&mut self, field: u32, value: u64) -> Result<(), Self::Error> {
        self.processor.write(field, value)
    }
}

impl Processor for Forgetful {
    fn set_registers(&mut self, registers: &Registers) -> Result<(), Self::Error> {
        self.processor.set_registers(registers)
    }

    fn enter(&mut self, entry: &Entry) -> Left {
        let mut entry = *entry;
        if self.forgets == Forgets::Registers && entry.ip == trampoline::begin_floating() {
            entry.ip = trampoline::begin();
        }
        let left = self.processor.enter(&entry);
        if self.forgets == Forgets::Pages {
            let tables = (WINDOW as *mut u32).wrapping_add(1024 * TABLES as usize);
            for index in 0..ENTRIES {
                let entry = tables.wrapping_add(index);
                // SAFETY: the virtine's memory, mapped as long as this program lives, and of 4 MiB. Its owner
                // does not look while this runs.
                unsafe {
                    let value = entry.read_volatile();
                    if value & OWN == OWN {
                        entry.write_volatile(value & !WRITTEN);
                    }
                }
            }
        }
        left
    }
}
