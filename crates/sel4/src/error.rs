// SPDX-License-Identifier: BSD-2-Clause
//! What the kernel answers to an invocation that fails.

use core::fmt;

use crate::sys::seL4_Error as raw;

/// Alias for `Result<_, Error>`.
pub type Result<T> = core::result::Result<T, Error>;

/// Corresponds to `seL4_Error`.
#[repr(u32)]
#[derive(Debug, Clone, Copy, Eq, PartialEq)]
#[allow(missing_docs)] // the manual's chapter on errors says what each means
pub enum Error {
    InvalidArgument = raw::seL4_InvalidArgument,
    InvalidCapability = raw::seL4_InvalidCapability,
    IllegalOperation = raw::seL4_IllegalOperation,
    RangeError = raw::seL4_RangeError,
    AlignmentError = raw::seL4_AlignmentError,
    FailedLookup = raw::seL4_FailedLookup,
    TruncatedMessage = raw::seL4_TruncatedMessage,
    DeleteFirst = raw::seL4_DeleteFirst,
    RevokeFirst = raw::seL4_RevokeFirst,
    NotEnoughMemory = raw::seL4_NotEnoughMemory,
}

const _: () = assert!(raw::seL4_NumErrors == 11);

impl Error {
    /// The number that the kernel knows the error by.
    pub const fn into_sys(self) -> raw::Type {
        self as raw::Type
    }

    /// The error of that number, none for success.
    ///
    /// The kernel answers with no others. A program that invokes an endpoint as if it were a kernel
    /// object gets whatever label the server chose, which is an invalid capability to it.
    #[inline(always)]
    pub const fn from_sys(error: raw::Type) -> Option<Self> {
        match error {
            raw::seL4_NoError => None,
            _ => Some(Self::classify(error)),
        }
    }

    #[cold]
    const fn classify(error: raw::Type) -> Self {
        match error {
            raw::seL4_InvalidArgument => Self::InvalidArgument,
            raw::seL4_IllegalOperation => Self::IllegalOperation,
            raw::seL4_RangeError => Self::RangeError,
            raw::seL4_AlignmentError => Self::AlignmentError,
            raw::seL4_FailedLookup => Self::FailedLookup,
            raw::seL4_TruncatedMessage => Self::TruncatedMessage,
            raw::seL4_DeleteFirst => Self::DeleteFirst,
            raw::seL4_RevokeFirst => Self::RevokeFirst,
            raw::seL4_NotEnoughMemory => Self::NotEnoughMemory,
            _ => Self::InvalidCapability,
        }
    }

    #[inline(always)]
    pub(crate) fn wrap(error: raw::Type) -> Result<()> {
        Self::or(error, ())
    }

    #[inline(always)]
    pub(crate) fn or<T>(error: raw::Type, value: T) -> Result<T> {
        match Self::from_sys(error) {
            None => Ok(value),
            Some(error) => Err(error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seL4_Error: {self:?}")
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_errors_round_trip() {
        assert_eq!(Error::from_sys(raw::seL4_NoError), None);
        for number in 1..raw::seL4_NumErrors {
            assert_eq!(Error::from_sys(number).map(Error::into_sys), Some(number));
        }
    }

    #[test]
    fn a_label_that_is_no_error_of_the_kernel_does_not_panic() {
        assert_eq!(Error::from_sys(0xfffff), Some(Error::InvalidCapability));
    }
}
