// SPDX-License-Identifier: BSD-2-Clause

use core::panic::UnwindSafe;

use sel4::{BootInfo, BootInfoPtr};

use crate::{Termination, abort, panicking};

/// Everything between `_start` and the main function.
///
/// # Safety
/// To be called once, by the entry of the root task, with the pointer that the kernel passed.
#[doc(hidden)]
pub unsafe fn start<T: Termination>(
    bootinfo: *const BootInfo,
    main: impl FnOnce(&BootInfoPtr) -> T + UnwindSafe,
) -> ! {
    panicking::set_printer(|line| crate::debug_println!("{line}"));

    // SAFETY: the caller passes what the kernel passed.
    let bootinfo = unsafe { BootInfoPtr::new(bootinfo) };

    // SAFETY: the kernel maps the initial thread's IPC buffer where the boot information says, for
    // good, and nothing else refers to it yet.
    match unsafe { bootinfo.ipc_buffer().as_mut() } {
        Some(ipc_buffer) => sel4::set_ipc_buffer(ipc_buffer),
        None => abort!("the kernel gave no IPC buffer"),
    }

    unmap_stack_guard(&bootinfo);

    // SAFETY: the caller is the entry.
    unsafe { xos_runtime::run_constructors() };

    match panicking::catch_unwind(|| main(&bootinfo).report()) {
        Ok(error) => abort!("main thread terminated with error: {error:?}"),
        Err(()) => abort!("uncaught panic in main thread"),
    }
}

/// The kernel backs the whole range of the image with frames, the gap below the stack included.
fn unmap_stack_guard(bootinfo: &BootInfo) {
    unsafe extern "C" {
        static __executable_start: [u8; 0];
        static __stack_guard: [u8; 0];
    }

    let image = &raw const __executable_start as usize;
    let guard = &raw const __stack_guard as usize;
    let index = (guard - image) / sel4::FrameObjectType::GRANULE.bytes();
    if let Err(error) = bootinfo
        .user_image_frames()
        .index(index)
        .cap()
        .frame_unmap()
    {
        abort!("cannot unmap the page below the stack: {error:?}");
    }
}
