// SPDX-License-Identifier: BSD-2-Clause
//! A monitor that forgets the registers of the FPU and of SSE.
#![no_std]
#![no_main]

sel4::sel4_cfg_if! {
    if #[sel4_cfg(VTX)] {
        #[path = "../forgetful.rs"]
        mod forgetful;

        fn main() -> i32 {
            virtine_monitor::run(|processor| forgetful::Forgetful { processor, forgets: forgetful::Forgets::Registers })
        }
    } else {
        fn main() -> i32 {
            1
        }
    }
}

xos::main!(main);
