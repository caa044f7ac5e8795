// SPDX-License-Identifier: BSD-2-Clause
//! Printing for debugging, and what debug kernels offer.
//!
//! Kernels without `PRINTING` print nothing for a program. So that a program which prints runs on
//! them all the same, its runtime may say where characters go ([`set_debug_put_char`]); without
//! that, and without the kernel's help, they are dropped.

use core::fmt;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::sel4_cfg;
#[sel4_cfg(any(PRINTING, DEBUG_BUILD))]
use crate::sys;

static PUT_CHAR: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Says where [`debug_put_char`] sends characters. **Extension.**
pub fn set_debug_put_char(put_char: fn(u8)) {
    PUT_CHAR.store(put_char as *mut (), Ordering::Release);
}

/// Corresponds to `seL4_DebugPutChar`, where no [`set_debug_put_char`] says otherwise.
pub fn debug_put_char(c: u8) {
    let put_char = PUT_CHAR.load(Ordering::Acquire);
    if !put_char.is_null() {
        // SAFETY: only `set_debug_put_char` stores anything but null, functions of this type.
        let put_char: fn(u8) = unsafe { core::mem::transmute(put_char) };
        put_char(c);
        return;
    }
    #[sel4_cfg(PRINTING)]
    const KERNEL: fn(u8) = sys::seL4_DebugPutChar;
    #[sel4_cfg(not(PRINTING))]
    const KERNEL: fn(u8) = |_| {};
    KERNEL(c);
}

/// Writes by [`debug_put_char`].
pub struct DebugWrite;

impl fmt::Write for DebugWrite {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        s.bytes().for_each(debug_put_char);
        Ok(())
    }
}

#[doc(hidden)]
pub fn debug_print_helper(args: fmt::Arguments) {
    // `DebugWrite` never fails; a `Display` that does has printed what it could.
    let _ = fmt::write(&mut DebugWrite, args);
}

/// Prints like `std::print!`, by [`debug_put_char`](crate::debug_put_char).
#[macro_export]
macro_rules! debug_print {
    ($($arg:tt)*) => ($crate::_private::debug_print_helper(format_args!($($arg)*)));
}

/// Prints like `std::println!`, by [`debug_put_char`](crate::debug_put_char).
#[macro_export]
macro_rules! debug_println {
    () => ($crate::debug_print!("\n"));
    ($($arg:tt)*) => ($crate::debug_print!("{}\n", format_args!($($arg)*)));
}

/// Corresponds to `seL4_DebugHalt`.
#[sel4_cfg(DEBUG_BUILD)]
pub fn debug_halt() {
    sys::seL4_DebugHalt();
}

/// Corresponds to `seL4_DebugSnapshot`.
#[sel4_cfg(DEBUG_BUILD)]
pub fn debug_snapshot() {
    sys::seL4_DebugSnapshot();
}

#[sel4_cfg(DEBUG_BUILD)]
impl<C: crate::InvocationContext> crate::cap::Tcb<C> {
    /// Corresponds to `seL4_DebugNameThread`.
    pub fn debug_name(self, name: &[u8]) {
        self.invoke(|cptr, ipc_buffer| {
            ipc_buffer
                .inner_mut()
                .seL4_DebugNameThread(cptr.bits(), name);
        });
    }
}

#[sel4_cfg(DEBUG_BUILD)]
impl<T: crate::CapType> crate::Cap<T> {
    /// Corresponds to `seL4_DebugCapIdentify`.
    pub fn debug_identify(self) -> u32 {
        sys::seL4_DebugCapIdentify(self.bits())
    }
}
