// SPDX-License-Identifier: BSD-2-Clause
//! The raw code.

use core::arch::x86_64::_rdtsc;

use sel4::cap::VCpu;
use sel4::{VmEntry, vm_enter, with_ipc_buffer_mut};
use vm_factory::kernel::VirtualProcessor;
use vm_factory::plan::{self, WINDOW};
use xos::protocol::slots::leaf;
use xos_vcpu::{Start, cr4, identity_table, primary, start};

/// Guest-physical addresses of the table and of the code.
const TABLE: u32 = 0x1000;
const CODE: u32 = 0x2000;
/// VMCALL, and back to it.
const LOOP: [u8; 5] = [0x0f, 0x01, 0xc1, 0xeb, 0xfb];
const ROUNDS: u64 = 16;

pub fn main() -> i32 {
    let window = WINDOW as *mut u8;
    // SAFETY: the guest's memory, which the factory has mapped, and whose guest is not running.
    unsafe {
        let table = window.add(TABLE as usize).cast::<u32>();
        for (number, entry) in identity_table().enumerate() {
            table.add(number).write(entry);
        }
        let code = window.add(CODE as usize);
        code.copy_from_nonoverlapping(LOOP.as_ptr(), LOOP.len());
    }
    let mut processor = VirtualProcessor(VCpu::from_bits(leaf(plan::PROCESSOR_SLOT)));
    let state = Start {
        ip: CODE,
        cr3: TABLE,
        cr4: cr4::PSE,
        selectors: (8, 16),
        ..Start::default()
    };
    if start(&mut processor, &state).is_err() {
        return -1;
    }
    let entry = VmEntry {
        ip: CODE.into(),
        controls: primary::ALWAYS.into(),
        interruption: 0,
    };
    // The least: what is in the way of others, a tick of the timer, is not what is measured.
    let least = (0..ROUNDS).map(|_| {
        // SAFETY: every processor with VT-x has it, and this kernel leaves it to everyone.
        let begun = unsafe { _rdtsc() };
        with_ipc_buffer_mut(|buffer| vm_enter(buffer, &entry));
        // SAFETY: the same.
        unsafe { _rdtsc() - begun }
    });
    least.min().map_or(-1, |cycles| cycles as i32)
}
