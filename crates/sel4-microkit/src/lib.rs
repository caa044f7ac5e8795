// SPDX-License-Identifier: BSD-2-Clause

//! A runtime for Microkit protection domains.
//!
//! It stands in for the crate of the same name of the rust-sel4 project, on stable Rust: a domain
//! written to that one compiles against this one unchanged, as far as it is stable Rust itself. It
//! must be built with the flags of `xos_runtime::flags`. The [Microkit
//! manual](https://github.com/seL4/microkit/blob/main/docs/manual.md) says what domains, channels
//! and protected procedures are; [`abi`] says where this kernel makes a difference.
//!
//! ```ignore
//! #[protection_domain]
//! fn init() -> impl Handler {
//!     debug_println!("Hello, World!");
//!     NullHandler::new()
//! }
//! ```
//!
//! A domain that serves clients it learns of at run time does not fit [`Handler`], whose channels
//! are those of the system description: it runs a loop of its own, on the capabilities that [`abi`]
//! names.
//!
//! # Differences from the crate that it stands in for
//! - Panics never unwind, so [`panicking::catch_unwind`] catches none. A panic ends in a fault that
//!   carries the message to the supervisor, as `xos_runtime::panic_report` describes.
//! - A deferred action is a system call of its own: there is no `seL4_NBSendRecv`.
//! - Variables that the packer sets ([`var!`]) stay in the program without `#[used(linker)]`.
//! - [`IoPort`] has no counterpart there.

#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod abi;
mod channel;
mod defer;
mod entry;
mod handler;
mod io_port;
#[doc(hidden)]
pub mod ipc;
mod message;
pub mod panicking;
mod symbols;

pub use channel::{Channel, Child, IrqAckError};
pub use defer::{DeferredAction, DeferredActionInterface, DeferredActionSlot};
pub use handler::{Handler, Infallible, Never, NullHandler};
pub use io_port::IoPort;
pub use ipc::{ChannelSet, DisplayChannelSet};
pub use message::{
    MessageInfo, MessageLabel, MessageRegisterValue, get_mr, set_mr, with_msg_bytes,
    with_msg_bytes_mut, with_msg_regs, with_msg_regs_mut,
};
pub use sel4::{debug_print, debug_println};
pub use symbols::{pd_is_passive, pd_name, pd_name_bytes};

/// Declares a function to be the domain's initialisation function, of the form `fn() -> T` where
/// `T` implements [`Handler`].
///
/// ```ignore
/// #[protection_domain(stack_size = 64 * 1024, heap_size = 1024 * 1024)]
/// fn init() -> impl Handler {
///     // …
/// }
/// ```
///
/// Both parameters are optional; if both are there, they come in this order. Each is an expression
/// of type `usize`:
/// - `stack_size`: the domain runs on a stack in its own program, of so many bytes, and not on the
///   one whose size the system description gives.
/// - `heap_size`: declares a `#[global_allocator]` with a static heap of so many bytes. If absent,
///   the program declares one itself or does not allocate. Two threads of a domain must not use it
///   at a time: the second would panic.
pub use sel4_microkit_macros::protection_domain;

/// What [`#[protection_domain]`](protection_domain) expands to, for an initialisation function that
/// is not where the attribute could be.
///
/// `declare_protection_domain!(init = PATH, stack_size = BYTES, heap_size = BYTES)`, the last two
/// optional.
#[macro_export]
macro_rules! declare_protection_domain {
    (init = $init:expr $(,)?) => {
        $crate::_private::declare_entry!($init);
    };
    (init = $init:expr, stack_size = $stack_size:expr $(,)?) => {
        $crate::_private::declare_entry!($init, stack_size = $stack_size);
    };
    (init = $init:expr, $(stack_size = $stack_size:expr,)? heap_size = $heap_size:expr $(,)?) => {
        $crate::_private::heap!(
            size = $heap_size,
            lock = $crate::_private::HeapLock::new() => $crate::_private::HeapLock,
        );
        $crate::declare_protection_domain!(init = $init $(, stack_size = $stack_size)?);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! declare_entry {
    ($init:expr $(, stack_size = $stack_size:expr)?) => {
        const _: () = {
            unsafe extern "C" fn __sel4_microkit_entry() -> ! {
                // SAFETY: only `_start` calls this function, once.
                unsafe { $crate::_private::start($init) }
            }

            $crate::_private::entrypoint!(__sel4_microkit_entry $(, stack_size = $stack_size)?);
        };
    };
}

#[doc(hidden)]
pub mod _private {
    pub use one_shot_mutex::sync::RawOneShotMutex as HeapLock;
    pub use xos_runtime::{entrypoint, heap};

    pub use crate::declare_entry;
    pub use crate::entry::start;
    pub use crate::symbols::{Patched, bytes_at};
}
