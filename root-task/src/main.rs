// SPDX-License-Identifier: BSD-2-Clause
//! The initial task, as the kernel starts it. See [`xos_root_task`].
#![no_std]
#![no_main]

extern crate alloc;

mod machine;

use machine::{console, start};
use sel4_root_task::{Never, panicking, root_task};

/// Holds the description and the plan. The largest description that an image can hold stays below.
const HEAP_SIZE: usize = 4 << 20;

#[root_task(stack_size = 128 * 1024, heap_size = HEAP_SIZE)]
fn main(bootinfo: &sel4::BootInfoPtr) -> Never {
    console::init();
    panicking::set_hook(&|info| {
        console::print(format_args!("root-task: {info}\n"));
        console::power_off(false)
    });
    match start::start(bootinfo) {
        Ok(mut watch) => watch.watch(),
        Err(error) => {
            console::print(format_args!("root-task: {error}\n"));
            console::power_off(false)
        }
    }
}
