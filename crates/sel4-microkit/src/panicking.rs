// SPDX-License-Identifier: BSD-2-Clause

//! Panics of a protection domain: printed with the domain's name where the kernel has debug output,
//! and reported to the supervisor as `xos_runtime::panic_report` describes.

pub use xos_runtime::panicking::{PanicHook, catch_unwind, set_hook};

pub(crate) fn init() {
    xos_runtime::panicking::set_printer(|line| {
        crate::debug_println!("{}: {line}", crate::pd_name().unwrap_or("?"));
    });
}
