// SPDX-License-Identifier: BSD-2-Clause
//! Macros for what many types have in common.

/// Access to the raw type that a wrapper holds.
macro_rules! newtype_methods {
    ($inner:ty) => {
        /// Wraps the raw type.
        #[inline(always)]
        pub const fn from_inner(inner: $inner) -> Self {
            Self(inner)
        }

        /// The raw type.
        #[inline(always)]
        pub const fn into_inner(self) -> $inner {
            self.0
        }

        /// The raw type.
        #[inline(always)]
        pub const fn inner(&self) -> &$inner {
            &self.0
        }

        /// The raw type.
        #[inline(always)]
        pub const fn inner_mut(&mut self) -> &mut $inner {
            &mut self.0
        }
    };
}

pub(crate) use newtype_methods;
