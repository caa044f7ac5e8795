// SPDX-License-Identifier: BSD-2-Clause
//! The monitor of virtual machines, that can be stopped at each of its entries into the kernel: the judge has shared a
//! page with it that says at which.
#![no_std]
#![no_main]

fn main() -> i32 {
    sel4::sel4_cfg_if! {
        if #[sel4_cfg(VTX)] {
            /// Where the judge puts the page (`STEPS_IN_MONITOR` of its).
            const STEPS: u64 = 0x2000_0000_0000;

            sel4_sys::steps::sel4_steps.store(STEPS, core::sync::atomic::Ordering::SeqCst);
            vm_monitor::run(|processor| processor)
        } else {
            xos::eprintln!("there are no virtual processors here");
            1
        }
    }
}

xos::main!(main, heap = vm_monitor::HEAP_SIZE);
