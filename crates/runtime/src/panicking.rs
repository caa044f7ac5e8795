// SPDX-License-Identifier: BSD-2-Clause

//! What happens when a program gives up.
//!
//! A panic or [`abort!`](crate::abort) prints one line where the runtime of this kind of program
//! has somewhere to print ([`set_printer`]) and then ends the thread with a
//! [report](crate::panic_report) to its supervisor. Nothing is unwound: no destructor runs, and
//! other threads of the program go on until the supervisor decides about them.
//!
//! The message is built on the stack of the thread that ends, not in a buffer of the program: two
//! threads may give up at the same time, and the supervisor reads the text after both have stopped.

use core::fmt::{self, Write};
use core::panic::{PanicInfo, UnwindSafe};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::panic_report::{self, Message};

/// A panic hook; see [`set_hook`].
pub type PanicHook = &'static (dyn Fn(&PanicInfo) + Send + Sync);

static HOOK: spin::Once<PanicHook> = spin::Once::new();

/// Like `std::panic::set_hook`: `hook` is called in place of the default one, which prints. The
/// report to the supervisor follows in any case.
///
/// # Panics
/// If a hook was set before.
pub fn set_hook(hook: PanicHook) {
    let mut taken = false;
    HOOK.call_once(|| {
        taken = true;
        hook
    });
    assert!(taken, "panic hook already set");
}

/// Prints one line, which comes without its end.
pub type Printer = fn(line: fmt::Arguments<'_>);

static PRINTER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Says where the last words of this program are printed, besides the report. May be set again:
/// a runtime sets the kernel's debug output at the start, a program with a console its own.
pub fn set_printer(printer: Printer) {
    PRINTER.store(printer as *mut (), Ordering::Release);
}

fn print(line: fmt::Arguments<'_>) {
    let printer = PRINTER.load(Ordering::Acquire);
    if !printer.is_null() {
        // SAFETY: the only non-null values stored are `Printer`s.
        let printer = unsafe { core::mem::transmute::<*mut (), Printer>(printer) };
        printer(line);
    }
}

/// Like `std::panic::catch_unwind`, for a build in which no panic unwinds: runs `f`, and if `f`
/// panics the thread ends there.
#[allow(clippy::result_unit_err)]
pub fn catch_unwind<R, F: FnOnce() -> R + UnwindSafe>(f: F) -> Result<R, ()> {
    Ok(f())
}

/// Like the unstable `core::panic::abort_unwind`: no panic leaves `f`, as no panic leaves anything.
pub fn abort_unwind<F: FnOnce() -> R, R>(f: F) -> R {
    f()
}

/// How many panics may be under way before the next one is reported without formatting or printing
/// anything: its cause may be the formatting or the printing.
const MAX_UNDER_WAY: usize = 4;

/// Panics and aborts whose last words are not yet complete, of all threads together.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// Runs `last_words` and ends the thread with the message that it built.
fn end(last_words: impl FnOnce(&mut Message)) -> ! {
    if UNDER_WAY.fetch_add(1, Ordering::Relaxed) >= MAX_UNDER_WAY {
        panic_report::end("panicked while reporting a panic");
    }
    let mut message = Message::new();
    last_words(&mut message);
    UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    panic_report::end(message.as_str())
}

/// The body of the panic handler.
#[cfg_attr(
    not(xos_guest),
    expect(dead_code, reason = "a host program has std's panic handler")
)]
pub(crate) fn panicked(info: &PanicInfo) -> ! {
    end(|message| {
        // `Message` accepts everything.
        let _ = match info.location() {
            Some(location) => write!(message, "panicked at {location}: {}", info.message()),
            None => write!(message, "panicked: {}", info.message()),
        };
        match HOOK.get() {
            Some(hook) => hook(info),
            None => print(format_args!("{}", message.as_str())),
        }
    })
}

/// The body of [`abort!`](crate::abort).
#[doc(hidden)]
#[track_caller]
pub fn aborted(reason: Option<fmt::Arguments<'_>>) -> ! {
    let location = core::panic::Location::caller();
    end(|message| {
        // `Message` accepts everything.
        let _ = match reason {
            Some(reason) => write!(message, "aborted at {location}: {reason}"),
            None => write!(message, "aborted at {location}"),
        };
        print(format_args!("{}", message.as_str()));
    })
}

/// Ends this thread with a message: as `panic!`, but past the panic hook.
///
/// ```no_run
/// xos_runtime::abort!();
/// xos_runtime::abort!("no memory");
/// xos_runtime::abort!("no memory for {} frames", 3);
/// ```
#[macro_export]
macro_rules! abort {
    () => { $crate::panicking::aborted(::core::option::Option::None) };
    ($($arg:tt)*) => {
        $crate::panicking::aborted(::core::option::Option::Some(::core::format_args!($($arg)*)))
    };
}

#[cfg(xos_guest)]
#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    panicked(info)
}

/// Named by the unwind tables of the precompiled `core` and `alloc`, which the linker script
/// discards. Nothing can call it.
#[cfg(xos_guest)]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    panic_report::end("rust_eh_personality called in a program that does not unwind")
}

/// Called by landing pads of the precompiled `core` and `alloc`, which are never reached.
#[cfg(xos_guest)]
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    panic_report::end("_Unwind_Resume called in a program that does not unwind")
}
