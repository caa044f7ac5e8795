// SPDX-License-Identifier: BSD-2-Clause
//! The current thread's IPC buffer, found by itself.
//!
//! The word of the buffer that belongs to the user holds the buffer's own address, and in its low
//! bits how often it is borrowed: 0 not, 1 to 6 shared, 7 mutably. So the rule of references, one
//! mutable or many shared, is kept at the price of a few instructions and without thread-local
//! storage: the word is per thread because the buffer is.

use crate::sys::{self, IPC_BUFFER_STATE_MASK};
use crate::{InvocationContext, IpcBuffer, Word};

/// The state in which the buffer is borrowed mutably.
const EXCLUSIVE: Word = IPC_BUFFER_STATE_MASK;

/// Puts the word back into its old state.
struct Borrow(Word);

impl Drop for Borrow {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: this restores what was there, and the reference made meanwhile is gone.
        unsafe { sys::seL4_SetUserData(self.0) };
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn refuse(data: Word) -> ! {
    if data & !IPC_BUFFER_STATE_MASK == 0 {
        panic!("this thread's IPC buffer is not set: call sel4::set_ipc_buffer first");
    }
    panic!("this thread's IPC buffer is already borrowed");
}

/// Calls `f` with the current thread's IPC buffer, to read it.
///
/// # Panics
/// If [`set_ipc_buffer`] has not been called on this thread, or within [`with_ipc_buffer_mut`].
#[track_caller]
pub fn with_ipc_buffer<F, T>(f: F) -> T
where
    F: FnOnce(&IpcBuffer) -> T,
{
    let data = sys::seL4_GetUserData();
    if data & !IPC_BUFFER_STATE_MASK == 0 || data & IPC_BUFFER_STATE_MASK >= EXCLUSIVE - 1 {
        refuse(data);
    }
    // SAFETY: the address stays, one more shared borrow is counted.
    unsafe { sys::seL4_SetUserData(data + 1) };
    let _borrow = Borrow(data);
    let buffer = (data & !IPC_BUFFER_STATE_MASK) as *const IpcBuffer;
    // SAFETY: `set_ipc_buffer` put the address there, of a buffer given away for good, and no
    // mutable reference is about, by the check above.
    f(unsafe { &*buffer })
}

/// Calls `f` with the current thread's IPC buffer. Within `f`, invocations must use that reference.
///
/// # Panics
/// If [`set_ipc_buffer`] has not been called on this thread, or within itself or
/// [`with_ipc_buffer`].
#[inline(always)]
#[track_caller]
pub fn with_ipc_buffer_mut<F, T>(f: F) -> T
where
    F: FnOnce(&mut IpcBuffer) -> T,
{
    let data = sys::seL4_GetUserData();
    if data == 0 || data & IPC_BUFFER_STATE_MASK != 0 {
        refuse(data);
    }
    // SAFETY: the address stays, the mutable borrow is noted.
    unsafe { sys::seL4_SetUserData(data | EXCLUSIVE) };
    let _borrow = Borrow(data);
    // SAFETY: as in `with_ipc_buffer`, and no other reference is about.
    f(unsafe { &mut *(data as *mut IpcBuffer) })
}

/// Tells this crate the current thread's IPC buffer. Once per thread, before its first invocation.
///
/// It must be the buffer that the thread was configured with, in the kernel's sense: its address is
/// noted in the buffer itself. Nothing in the kernel changes.
pub fn set_ipc_buffer(ipc_buffer: &'static mut IpcBuffer) {
    let address = core::ptr::from_mut(ipc_buffer) as Word;
    ipc_buffer.inner_mut().userData = address;
}

/// Whether each thread has an IPC buffer of its own in this crate's eyes: always.
pub const fn ipc_buffer_is_thread_local() -> bool {
    true
}

/// The way to find the IPC buffer that needs no help after [`set_ipc_buffer`].
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImplicitInvocationContext;

impl ImplicitInvocationContext {
    /// The context.
    pub const fn new() -> Self {
        Self
    }
}

impl InvocationContext for ImplicitInvocationContext {
    #[inline(always)]
    fn with_context<T>(&mut self, f: impl FnOnce(&mut IpcBuffer) -> T) -> T {
        with_ipc_buffer_mut(f)
    }
}
