// SPDX-License-Identifier: BSD-2-Clause
//! A monitor that takes the numbers of the kernel's calls for hypercalls.
#![no_std]
#![no_main]

sel4::sel4_cfg_if! {
    if #[sel4_cfg(VTX)] {
        #[path = "../giving.rs"]
        mod giving;

        fn main() -> i32 {
            vm_monitor::run(|processor| giving::Giving { processor, gives: giving::Gives::Calls })
        }
    } else {
        fn main() -> i32 {
            1
        }
    }
}

xos::main!(main, heap = vm_monitor::HEAP_SIZE);
