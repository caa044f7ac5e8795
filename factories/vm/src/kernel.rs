// SPDX-License-Identifier: BSD-2-Clause
//! A virtual processor of the kernel's, as a monitor wants it.

use sel4::{VCpuContext, VmEntry, VmExit, VmExitFault, cap, vm_enter, with_ipc_buffer_mut};
use xos_vcpu::Vmcs;

use crate::machine::{Entry, Exit, Registers};
use crate::monitor::{Left, Processor};

/// The virtual processor of the thread that uses it.
#[derive(Debug)]
pub struct VirtualProcessor(pub cap::VCpu);

impl Vmcs for VirtualProcessor {
    type Error = sel4::Error;

    fn read(&mut self, field: u32) -> sel4::Result<u64> {
        self.0.vcpu_read_vmcs(field.into())
    }

    fn write(&mut self, field: u32, value: u64) -> sel4::Result<()> {
        self.0.vcpu_write_vmcs(field.into(), value).map(|_| ())
    }
}

impl Processor for VirtualProcessor {
    fn set_registers(&mut self, registers: &Registers) -> sel4::Result<()> {
        let Registers {
            eax,
            ebx,
            ecx,
            edx,
            esi,
            edi,
            ebp,
        } = *registers;
        self.0.vcpu_write_registers(&VCpuContext {
            eax: eax.into(),
            ebx: ebx.into(),
            ecx: ecx.into(),
            edx: edx.into(),
            esi: esi.into(),
            edi: edi.into(),
            ebp: ebp.into(),
        })
    }

    fn enter(&mut self, entry: &Entry) -> Left {
        let entry = VmEntry {
            ip: entry.ip.into(),
            controls: entry.controls.into(),
            interruption: entry.interruption.into(),
        };
        let (entry, exit) = with_ipc_buffer_mut(|ipc_buffer| vm_enter(ipc_buffer, &entry));
        match exit {
            VmExit::Notification(bits) => Left::Signal {
                bits,
                ip: entry.ip as u32,
                interruption: entry.interruption as u32,
            },
            VmExit::Fault(fault) => Left::Exit(exit_of(entry.ip, &fault)),
        }
    }
}

/// Guests of 32 bits have registers of 32 bits.
const fn exit_of(ip: u64, fault: &VmExitFault) -> Exit {
    let context = &fault.registers;
    Exit {
        reason: fault.reason,
        ip: ip as u32,
        qualification: fault.qualification,
        length: fault.instruction_length as u32,
        physical: fault.guest_physical,
        flags: fault.rflags as u32,
        interruptibility: fault.interruptibility as u32,
        registers: Registers {
            eax: context.eax as u32,
            ebx: context.ebx as u32,
            ecx: context.ecx as u32,
            edx: context.edx as u32,
            esi: context.esi as u32,
            edi: context.edi as u32,
            ebp: context.ebp as u32,
        },
    }
}
