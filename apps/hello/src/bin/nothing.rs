// SPDX-License-Identifier: BSD-2-Clause
//! The smallest program: it ends. What its life costs is what a process costs.
#![no_std]
#![no_main]

xos::main!(main);

fn main() {
    // Past what could be printed: nothing was.
    xos::exit_now(0);
}
