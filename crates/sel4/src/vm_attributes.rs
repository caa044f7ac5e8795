// SPDX-License-Identifier: BSD-2-Clause
//! How a mapping uses the cache.

use core::ops::{BitAnd, BitAndAssign, BitOr, BitOrAssign, Not};

use crate::helpers::newtype_methods;
use crate::sys;
use crate::sys::seL4_X86_VMAttributes as raw;

/// Corresponds to `seL4_X86_VMAttributes`.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct VmAttributes(raw::Type);

impl VmAttributes {
    newtype_methods!(sys::seL4_X86_VMAttributes::Type);

    /// No attribute.
    pub const NONE: Self = Self(0);

    /// Write-back caching.
    pub const DEFAULT: Self = Self(raw::seL4_X86_Default_VMAttributes);

    /// Not cached, for device registers.
    pub const CACHE_DISABLED: Self = Self(raw::seL4_X86_CacheDisabled);

    /// Whether any attribute of `rhs` is set.
    pub const fn has(self, rhs: Self) -> bool {
        self.0 & rhs.0 != 0
    }
}

impl Default for VmAttributes {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Not for VmAttributes {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl BitOr for VmAttributes {
    type Output = Self;

    fn bitor(self, rhs: Self) -> Self {
        Self(self.0 | rhs.0)
    }
}

impl BitOrAssign for VmAttributes {
    fn bitor_assign(&mut self, rhs: Self) {
        self.0 |= rhs.0;
    }
}

impl BitAnd for VmAttributes {
    type Output = Self;

    fn bitand(self, rhs: Self) -> Self {
        Self(self.0 & rhs.0)
    }
}

impl BitAndAssign for VmAttributes {
    fn bitand_assign(&mut self, rhs: Self) {
        self.0 &= rhs.0;
    }
}
