// SPDX-License-Identifier: BSD-2-Clause
//! Tests of virtual processors on the bare kernel: that a guest runs, and that each of the errors
//! that `kernel/patches` takes away is away.
//!
//! It is the root task of its machine and runs guests itself; on a kernel without virtual processors
//! it is empty.
#![no_std]
#![no_main]

use sel4_root_task::{Never, panicking, root_task};

#[path = "../../bindings/src/machine.rs"]
mod machine;

sel4::sel4_cfg_if! {
    if #[sel4_cfg(VTX)] {
        mod guest;
        mod pc;
        mod suite;
        mod whole;
        use suite::run;
    } else {
        fn run(_: &sel4::BootInfo) -> bool {
            false
        }
    }
}

#[root_task(stack_size = 64 * 1024, heap_size = 256 * 1024)]
fn main(bootinfo: &sel4::BootInfoPtr) -> Never {
    panicking::set_hook(&|info| {
        xos_test_kit::panicked(format_args!("{info}"), &mut machine::Serial);
        machine::power_off(false)
    });
    machine::power_off(run(bootinfo))
}
