// SPDX-License-Identifier: BSD-2-Clause
//! The monitor of a virtual machine: plugs the library into the machine.
#![no_std]
#![no_main]

fn main() -> i32 {
    sel4::sel4_cfg_if! {
        if #[sel4_cfg(VTX)] {
            vm_monitor::run(|processor| processor)
        } else {
            xos::eprintln!("there are no virtual processors here");
            1
        }
    }
}

xos::main!(main, heap = vm_monitor::HEAP_SIZE);
