// SPDX-License-Identifier: BSD-2-Clause

//! A runtime for root tasks, the first program that the kernel starts.
//!
//! It stands in for the crate of the same name of the rust-sel4 project, on stable Rust: a root task
//! written to that one compiles against this one unchanged, as far as it is stable Rust itself. It
//! must be built with the flags of `xos_runtime::flags`.
//!
//! The entry sets up a stack, gives [`sel4`] its IPC buffer, runs constructors and calls the main
//! function, which [`#[root_task]`](root_task) declares:
//!
//! ```ignore
//! #[root_task]
//! fn main(bootinfo: &sel4::BootInfoPtr) -> ! {
//!     sel4::debug_println!("Hello, World!");
//!     sel4::init_thread::suspend_self()
//! }
//! ```
//!
//! # Differences from the crate that it stands in for
//! - Panics never unwind, so [`panicking::catch_unwind`] catches none.
//! - A panic also ends in the fault that `xos_runtime::panic_report` describes. Nobody handles a
//!   root task's faults; the debug kernel prints it.
//! - There is no thread-local storage; see `xos_runtime::tls`.
//! - An overflow of the main stack faults: the page below it is unmapped.

#![no_std]

mod entry;
mod heap;
mod termination;

pub use heap::set_global_allocator_mutex_notification;
pub use sel4::{debug_print, debug_println};
pub use termination::{Never, Termination};
pub use xos_runtime::abort;
#[doc(inline)]
pub use xos_runtime::panicking;

/// Declares a function to be the root task's main function.
///
/// Its signature has the form `fn(&sel4::BootInfoPtr) -> T` where `T` implements [`Termination`]:
/// `!`, [`Never`], or `Result` with one of them.
///
/// ```ignore
/// #[root_task(stack_size = 64 * 1024, heap_size = 1024 * 1024)]
/// fn main(bootinfo: &sel4::BootInfoPtr) -> sel4::Result<Never> {
///     // …
/// }
/// ```
///
/// Both parameters are optional; if both are there, they come in this order. Each is an expression
/// of type `usize`:
/// - `stack_size`: bytes of the initial thread's stack; [`DEFAULT_STACK_SIZE`] if absent.
/// - `heap_size`: declares a `#[global_allocator]` with a static heap of so many bytes. If absent,
///   the program declares one itself or does not allocate.
pub use sel4_root_task_macros::root_task;

/// What [`#[root_task]`](root_task) expands to, for a main function that is not where the attribute
/// could be.
///
/// `declare_root_task!(main = PATH, stack_size = BYTES, heap_size = BYTES)`, the last two optional.
#[macro_export]
macro_rules! declare_root_task {
    (main = $main:expr $(,)?) => {
        $crate::declare_root_task!(
            main = $main,
            stack_size = $crate::DEFAULT_STACK_SIZE,
        );
    };
    (main = $main:expr, stack_size = $stack_size:expr $(,)?) => {
        const _: () = {
            unsafe extern "C" fn __sel4_root_task_entry(bootinfo: *const $crate::_private::BootInfo) -> ! {
                // SAFETY: only `_start` calls this function, once, with the kernel's argument.
                unsafe { $crate::_private::start(bootinfo, $main) }
            }

            $crate::_private::entrypoint!(__sel4_root_task_entry, stack_size = $stack_size);
        };
    };
    (main = $main:expr, $(stack_size = $stack_size:expr,)? heap_size = $heap_size:expr $(,)?) => {
        $crate::_private::heap!(
            size = $heap_size,
            lock = $crate::_private::HeapLock::new($crate::_private::heap_notification)
                => $crate::_private::HeapLock,
        );
        $crate::declare_root_task!(main = $main $(, stack_size = $stack_size)?);
    };
}

/// Bytes of the initial thread's stack if [`#[root_task]`](root_task) says nothing else.
pub const DEFAULT_STACK_SIZE: usize = 64 * 1024;

#[doc(hidden)]
pub mod _private {
    pub use sel4::BootInfo;
    pub use sel4_sync::RawLazyNotificationMutex as HeapLock;
    pub use xos_runtime::{entrypoint, heap};

    pub use crate::entry::start;
    pub use crate::heap::heap_notification;
}
