// SPDX-License-Identifier: BSD-2-Clause
//! The monitor of apps/vm-monitor, all of it, that can be stopped at each of its entries into the kernel: the
//! judge has shared a page with it that says at which.
#![no_std]
#![no_main]

sel4::sel4_cfg_if! {
    if #[sel4_cfg(VTX)] {
        #[path = "../../../../apps/vm-monitor/src/links.rs"]
        mod links;
        #[path = "../../../../apps/vm-monitor/src/world.rs"]
        mod world;

        /// Where the judge puts the page (`STEPS_IN_MONITOR` of its).
        const STEPS: u64 = 0x2000_0000_0000;

        fn main() -> i32 {
            sel4_sys::steps::sel4_steps.store(STEPS, core::sync::atomic::Ordering::SeqCst);
            world::main()
        }
    } else {
        fn main() -> i32 {
            xos::eprintln!("there are no virtual processors here");
            1
        }
    }
}

xos::main!(main, heap = 64 * 1024);
