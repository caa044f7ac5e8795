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

#[cfg(test)]
mod tests {
    use super::*;
    use core::arch::asm;

    extern crate std;
    use std::boxed::Box;
    use std::panic::catch_unwind;

    /// Gives the current host thread an IPC buffer as the kernel does: its address in GS base.
    fn thread_with_buffer() -> *mut IpcBuffer {
        let buffer = Box::into_raw(Box::<IpcBuffer>::default());
        const ARCH_PRCTL: Word = 158;
        const ARCH_SET_GS: Word = 0x1001;
        let result: isize;
        // SAFETY: Linux's arch_prctl(2); nothing else on a Linux host uses GS.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") ARCH_PRCTL => result,
                in("rdi") ARCH_SET_GS,
                in("rsi") buffer,
                out("rcx") _,
                out("r11") _,
            );
        }
        assert_eq!(result, 0);
        buffer
    }

    fn ready() -> *mut IpcBuffer {
        let buffer = thread_with_buffer();
        // SAFETY: a leaked allocation that nobody else refers to.
        set_ipc_buffer(unsafe { &mut *buffer });
        buffer
    }

    fn message(result: std::thread::Result<()>) -> std::string::String {
        match result.unwrap_err().downcast::<&str>() {
            Ok(text) => (*text).into(),
            Err(other) => *other.downcast::<std::string::String>().unwrap(),
        }
    }

    #[test]
    fn the_buffer_is_the_one_that_was_set() {
        let buffer = ready();
        assert_eq!(with_ipc_buffer_mut(core::ptr::from_mut), buffer);
        assert_eq!(with_ipc_buffer(core::ptr::from_ref), buffer.cast_const());
    }

    #[test]
    fn each_thread_has_its_own() {
        let here = ready() as usize;
        let there = std::thread::spawn(|| ready() as usize).join().unwrap();
        assert_ne!(here, there);
        assert_eq!(with_ipc_buffer(|b| core::ptr::from_ref(b) as usize), here);
    }

    #[test]
    fn a_thread_that_was_not_told_is_told_so() {
        thread_with_buffer();
        let text = message(catch_unwind(|| with_ipc_buffer_mut(|_| ())));
        assert!(text.contains("set_ipc_buffer"), "{text}");
        let text = message(catch_unwind(|| with_ipc_buffer(|_| ())));
        assert!(text.contains("set_ipc_buffer"), "{text}");
    }

    #[test]
    fn a_mutable_borrow_excludes_all_others() {
        ready();
        with_ipc_buffer_mut(|_| {
            let text = message(catch_unwind(|| with_ipc_buffer_mut(|_| ())));
            assert!(text.contains("already borrowed"), "{text}");
            assert!(catch_unwind(|| with_ipc_buffer(|_| ())).is_err());
        });
        with_ipc_buffer_mut(|_| ());
    }

    #[test]
    fn shared_borrows_nest_and_exclude_mutable_ones() {
        ready();
        with_ipc_buffer(|_| {
            with_ipc_buffer(|_| ());
            assert!(catch_unwind(|| with_ipc_buffer_mut(|_| ())).is_err());
        });
        with_ipc_buffer_mut(|_| ());
    }

    #[test]
    fn shared_borrows_are_counted_up_to_a_limit() {
        fn nest(depth: usize) {
            if depth > 0 {
                with_ipc_buffer(|_| nest(depth - 1));
            }
        }
        ready();
        nest(6);
        assert!(catch_unwind(|| nest(7)).is_err());
        nest(6);
    }

    #[test]
    fn a_panic_ends_the_borrow() {
        ready();
        assert!(catch_unwind(|| with_ipc_buffer_mut(|_| panic!("within"))).is_err());
        with_ipc_buffer_mut(|_| ());
    }

    #[test]
    fn a_message_in_the_buffer_stays_there() {
        ready();
        with_ipc_buffer_mut(|buffer| buffer.msg_regs_mut()[7] = 5);
        assert_eq!(with_ipc_buffer(|buffer| buffer.msg_regs()[7]), 5);
    }
}
