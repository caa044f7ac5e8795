// SPDX-License-Identifier: BSD-2-Clause

use core::panic::UnwindSafe;

use xos_runtime::abort;

use crate::{Handler, panicking};

/// Everything between `_start` and the initialisation function, and what comes after it.
///
/// # Safety
/// To be called once, by the entry of a protection domain.
#[doc(hidden)]
pub unsafe fn start<T: Handler>(init: impl FnOnce() -> T + UnwindSafe) -> ! {
    panicking::init();

    // The builder noted the buffer's address in the buffer itself; where it did not, what needs no
    // buffer still works.
    // SAFETY: this thread's IPC buffer is mapped for good, and nothing else refers to it yet.
    if let Some(ipc_buffer) = unsafe {
        sel4::sys::seL4_GetIPCBuffer()
            .cast::<sel4::IpcBuffer>()
            .as_mut()
    } {
        sel4::set_ipc_buffer(ipc_buffer);
    }

    // SAFETY: the caller is the entry.
    unsafe { xos_runtime::run_constructors() };

    let result = panicking::catch_unwind(|| match init().run() {
        Ok(never) => match never {},
        Err(error) => error,
    });
    match result {
        Ok(error) => abort!("main thread terminated with error: {error}"),
        Err(()) => abort!("main thread panicked"),
    }
}
