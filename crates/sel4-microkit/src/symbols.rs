// SPDX-License-Identifier: BSD-2-Clause

use core::cell::UnsafeCell;
use core::str::{self, Utf8Error};

use crate::abi::symbol::NAME_LENGTH;

/// A variable that is set in the program's file, after the compiler has seen its initial value.
#[doc(hidden)]
#[repr(transparent)]
pub struct Patched<T> {
    /// In a cell, so that the compiler does not take the initial value for the value.
    value: UnsafeCell<T>,
}

// SAFETY: nothing writes the value while the program runs.
unsafe impl<T> Sync for Patched<T> {}

impl<T> Patched<T> {
    pub const fn new(value: T) -> Self {
        Self {
            value: UnsafeCell::new(value),
        }
    }

    pub fn get(&self) -> &T {
        // SAFETY: nothing writes the value while the program runs.
        unsafe { &*self.value.get() }
    }
}

/// Declares a symbol by which the packer sets a variable, as `setvar` elements and the attributes
/// `setvar_vaddr` and the like of the system description say, and gives a `&'static` reference to
/// the variable.
///
/// The default is the value if the description does not set it.
///
/// ```ignore
/// let buffer_size = *var!(buffer_size: usize = 0);
/// ```
#[macro_export]
macro_rules! var {
    ($(#[$attrs:meta])* $symbol:ident: $ty:ty = $default:expr) => {{
        $(#[$attrs])*
        #[allow(non_upper_case_globals)]
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".data.patched")]
        static $symbol: $crate::_private::Patched<$ty> = $crate::_private::Patched::new($default);

        $symbol.get()
    }};
}

/// Declares a symbol by which the packer sets the address of a memory region (`setvar_vaddr`), and
/// gives the region as a [`NonNull`](core::ptr::NonNull).
///
/// ```ignore
/// let registers = memory_region_symbol!(device_vaddr: *mut Registers);
/// let buffer = memory_region_symbol!(buffer_vaddr: *mut [u8], n = 4096);
/// ```
///
/// With `bytes = SIZE` at the end, the size of the type is checked to be `SIZE`.
///
/// # Panics
/// If the description does not set the symbol, or the size is another one.
#[macro_export]
macro_rules! memory_region_symbol {
    ($(#[$attrs:meta])* $symbol:ident: *mut [$ty:ty], n = $n:expr, bytes = $bytes:expr $(,)?) => {{
        assert!($bytes == $n * ::core::mem::size_of::<$ty>());
        $crate::memory_region_symbol!($(#[$attrs])* $symbol: *mut [$ty], n = $n)
    }};
    ($(#[$attrs:meta])* $symbol:ident: *mut $ty:ty, bytes = $bytes:expr $(,)?) => {{
        assert!($bytes == ::core::mem::size_of::<$ty>());
        $crate::memory_region_symbol!($(#[$attrs])* $symbol: *mut $ty)
    }};
    ($(#[$attrs:meta])* $symbol:ident: *mut [$ty:ty], n = $n:expr $(,)?) => {
        ::core::ptr::NonNull::slice_from_raw_parts(
            $crate::memory_region_symbol!($(#[$attrs])* $symbol: *mut $ty),
            $n,
        )
    };
    ($(#[$attrs:meta])* $symbol:ident: *mut $ty:ty $(,)?) => {
        ::core::ptr::NonNull::new(*$crate::var!($(#[$attrs])* $symbol: usize = 0) as *mut $ty)
            .unwrap_or_else(|| panic!("{} is null", stringify!($symbol)))
    };
}

/// Declares the two symbols by which the packer sets where a memory region is (`setvar_vaddr`) and how
/// much of it there is (`setvar_size`, `setvar_prefill_size`), and gives it as `&'static [u8]`: empty if
/// the description sets none.
///
/// ```ignore
/// // SAFETY: nobody writes there.
/// let files = unsafe { memory_region_bytes!(files, files_len) };
/// ```
///
/// # Safety
/// The description maps it for reading, and nobody who has it may write, as long as this domain lives.
#[macro_export]
macro_rules! memory_region_bytes {
    ($start:ident, $length:ident) => {
        $crate::_private::bytes_at(
            *$crate::var!($start: usize = 0),
            *$crate::var!($length: usize = 0),
        )
    };
}

/// The bytes at an address: none where it is 0.
///
/// # Safety
/// They can be read, and nobody writes them, as long as this domain lives.
#[doc(hidden)]
pub unsafe fn bytes_at(start: usize, length: usize) -> &'static [u8] {
    match start {
        0 => &[],
        // SAFETY: the caller's promise.
        _ => unsafe { core::slice::from_raw_parts(start as *const u8, length) },
    }
}

/// Whether this domain is passive. None is with a kernel without scheduling contexts.
pub fn pd_is_passive() -> bool {
    *var!(microkit_passive: bool = false)
}

/// The identifiers that are interrupts, a bit each.
pub(crate) fn pd_irqs() -> usize {
    *var!(microkit_irqs: usize = 0)
}

/// The channels that may be notified, a bit each.
pub(crate) fn pd_notifications() -> usize {
    *var!(microkit_notifications: usize = 0)
}

/// The channels with a protected procedure on their other end, a bit each.
pub(crate) fn pd_pps() -> usize {
    *var!(microkit_pps: usize = 0)
}

/// The ranges of I/O ports, a bit each.
pub(crate) fn pd_ioports() -> usize {
    *var!(microkit_ioports: usize = 0)
}

/// The name of this domain in the system description, as bytes.
pub fn pd_name_bytes() -> &'static [u8] {
    let name = var!(microkit_name: [u8; NAME_LENGTH] = [0; NAME_LENGTH]);
    let length = name.iter().position(|&byte| byte == 0);
    &name[..length.unwrap_or(NAME_LENGTH)]
}

/// The name of this domain in the system description.
///
/// # Errors
/// If whoever packed the image put there what is no UTF-8.
pub fn pd_name() -> Result<&'static str, Utf8Error> {
    str::from_utf8(pd_name_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_an_unpacked_program_is_empty() {
        assert_eq!(pd_name(), Ok(""));
    }

    #[test]
    fn variable_that_nobody_set_is_its_default() {
        assert_eq!(*var!(test_variable: u32 = 7), 7);
    }

    #[test]
    #[should_panic = "test_region is null"]
    fn memory_region_that_nobody_set_is_refused() {
        let _ = memory_region_symbol!(test_region: *mut [u32], n = 3, bytes = 12);
    }
}
