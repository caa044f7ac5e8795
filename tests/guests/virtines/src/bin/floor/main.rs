// SPDX-License-Identifier: BSD-2-Clause
//! Measures what it takes to enter a virtual processor and leave it, with nothing around it: the program in the
//! ICs of `floor-factory`, which is the one of virtines but for that. Its exit code is the count of cycles.
#![no_std]
#![no_main]

sel4::sel4_cfg_if! {
    if #[sel4_cfg(VTX)] {
        mod measure;
        use measure::main;
    } else {
        fn main() -> i32 {
            -1
        }
    }
}

xos::main!(main);
