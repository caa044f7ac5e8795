// SPDX-License-Identifier: BSD-2-Clause
//! How a thread finds its IPC buffer.
//!
//! This kernel keeps the address of the current thread's IPC buffer in GS base, and one word of the
//! buffer, `userData`, belongs to the user. As in libsel4, that word holds the buffer's own address,
//! which whoever starts a thread's code puts there ([`seL4_SetUserData`]): so every thread finds its
//! buffer without thread-local storage. The address is word-aligned at least; the `sel4` crate keeps
//! in its low bits, [`IPC_BUFFER_STATE_MASK`], whether the buffer is borrowed at the moment.

use crate::{arch, seL4_IPCBuffer, seL4_Word};

/// The bits of `userData` that are not part of the buffer's address.
pub const IPC_BUFFER_STATE_MASK: seL4_Word = 7;

/// Corresponds to `seL4_GetUserData`: the user's word in the current thread's IPC buffer.
#[inline(always)]
pub fn seL4_GetUserData() -> seL4_Word {
    arch::user_data()
}

/// Corresponds to `seL4_SetUserData`.
///
/// # Safety
/// `value` is the address of the current thread's IPC buffer, or 0, and no reference to the buffer
/// is in use.
#[inline(always)]
pub unsafe fn seL4_SetUserData(value: seL4_Word) {
    arch::set_user_data(value);
}

/// Corresponds to `seL4_GetIPCBuffer`: null if the thread's start did not set it.
#[inline(always)]
pub fn seL4_GetIPCBuffer() -> *mut seL4_IPCBuffer {
    (seL4_GetUserData() & !IPC_BUFFER_STATE_MASK) as *mut seL4_IPCBuffer
}
