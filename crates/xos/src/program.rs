// SPDX-License-Identifier: BSD-2-Clause
//! The beginning of a program, and its end.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt::Display;

use sel4::{IpcBuffer, MessageInfo, cap};
use xos_protocol::factory::SelfOp;
use xos_protocol::slots::{ic, leaf};

use crate::{eprintln, output, tls};

/// Declares the program's main function, `fn() -> T` with `T:` [`Termination`], and its heap:
///
/// - `xos::main!(main)`: no heap. Whatever allocates panics: threads, thread-local values.
/// - `xos::main!(main, heap = BYTES)`: a heap of that size in static memory. Its pages cost nothing before
///   they are used, but they count to what the image needs at most.
#[macro_export]
macro_rules! main {
    ($main:path $(,)?) => {
        const _: () = {
            #[global_allocator]
            static HEAP: $crate::_private::NoHeap = $crate::_private::NoHeap;
        };
        $crate::main!(@entry $main);
    };
    ($main:path, heap = $size:expr $(,)?) => {
        $crate::_private::heap!(
            size = $size,
            lock = $crate::_private::heap_lock() => $crate::_private::HeapLock,
        );
        $crate::main!(@entry $main);
    };
    (@entry $main:path) => {
        const _: () = {
            unsafe extern "C" fn entry(info: usize, len: usize, buffer: usize, block: usize) -> ! {
                // SAFETY: only `_start` calls this function, with the registers of the program's start.
                unsafe { $crate::_private::start(info, len, buffer, block, $main) }
            }

            $crate::_private::entrypoint!(entry);
        };
    };
}

/// The heap of a program without one.
#[doc(hidden)]
pub struct NoHeap;

// SAFETY: it gives out nothing.
unsafe impl GlobalAlloc for NoHeap {
    unsafe fn alloc(&self, _layout: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _block: *mut u8, _layout: Layout) {}
}

/// Everything between `_start` and `main`, and what comes after it.
///
/// # Safety
/// To be called once, by the entry of a program, with the registers that [`xos_protocol::start`] names.
#[doc(hidden)]
pub unsafe fn start<T: Termination>(
    info: usize,
    len: usize,
    buffer: usize,
    block: usize,
    main: fn() -> T,
) -> ! {
    let own = tls::Own {
        info,
        info_len: len,
        exit: ic::ITSELF,
    };
    // SAFETY: the registers are what the caller says that they are; nothing has run yet.
    unsafe {
        begin(buffer, block, own);
        xos_runtime::run_constructors();
    }
    exit(main().code())
}

/// Prepares a thread that has just begun for everything else in this crate.
///
/// # Safety
/// `buffer` is the address of this thread's IPC buffer and `block` its thread pointer; to be called once,
/// before anything else.
pub(crate) unsafe fn begin(buffer: usize, block: usize, own: tls::Own) {
    // SAFETY: nothing else refers to this thread's buffer and block.
    unsafe {
        tls::init(block as *mut usize, own);
        sel4::set_ipc_buffer(&mut *(buffer as *mut IpcBuffer));
    }
}

/// Prepares an execution in a copy of this program's memory that is an IC of its own, with a CSpace of its
/// own, for everything else in this crate: for libraries whose factories make such.
///
/// What the program's sessions and other capabilities were is not there, and is opened anew where that is
/// possible. Arguments and environment are not there either.
///
/// # Safety
/// `buffer` is the address of this execution's IPC buffer and `block` its thread pointer, as
/// [`xos_protocol::start`] says; to be called once, before anything else.
pub unsafe fn begin_copy(buffer: usize, block: usize) {
    let own = tls::Own {
        info: 0,
        info_len: 0,
        exit: ic::ITSELF,
    };
    // SAFETY: the caller's.
    unsafe { begin(buffer, block, own) }
}

/// What a main function may return.
pub trait Termination {
    /// The program's exit code.
    fn code(self) -> i32;
}

impl Termination for () {
    fn code(self) -> i32 {
        0
    }
}

impl Termination for i32 {
    fn code(self) -> i32 {
        self
    }
}

impl Termination for core::convert::Infallible {
    fn code(self) -> i32 {
        match self {}
    }
}

impl<T: Termination, E: Display> Termination for Result<T, E> {
    /// That of the value; an error is printed and is 1.
    fn code(self) -> i32 {
        match self {
            Ok(value) => value.code(),
            Err(error) => {
                eprintln!("error: {error}");
                1
            }
        }
    }
}

/// Ends the program, all its threads included, with this code. What was printed is on its way then.
pub fn exit(code: i32) -> ! {
    output::flush();
    end(ic::ITSELF, code)
}

/// The same without sending what was printed of an unfinished line: for programs that must be small.
pub fn exit_now(code: i32) -> ! {
    end(ic::ITSELF, code)
}

/// Says to the factory that the IC behind the root slot `slot` ends. For the thread that it is, this is the end.
pub(crate) fn end(slot: u32, code: i32) -> ! {
    let factory = cap::Endpoint::from_bits(leaf(slot));
    let info = MessageInfo::new(SelfOp::Exit.label(), 0, 0, 1);
    loop {
        // A call, for the fast path: there is no reply. Where there is one all the same, nobody knows this
        // IC any more.
        factory.call_with_mrs(info, [code as u32 as u64]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_main_returns_is_the_exit_code() {
        assert_eq!(().code(), 0);
        assert_eq!((-3).code(), -3);
        assert_eq!(Ok::<_, &str>(7).code(), 7);
    }
}
