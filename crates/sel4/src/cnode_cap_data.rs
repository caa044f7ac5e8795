// SPDX-License-Identifier: BSD-2-Clause
//! The guard of a CNode capability.

use crate::helpers::newtype_methods;
use crate::{WORD_SIZE, Word, sys};

/// Corresponds to `seL4_CapData_Guard`, which later kernels call `seL4_CNode_CapData`.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct CNodeCapData(sys::seL4_CapData_Guard);

impl CNodeCapData {
    newtype_methods!(sys::seL4_CapData_Guard);

    /// A guard of that many bits. Bits of the guard beyond the kernel's 18 are dropped, which a
    /// debug build asserts.
    #[inline(always)]
    pub const fn new(guard: Word, guard_size: usize) -> Self {
        Self(sys::seL4_CapData_Guard::new(guard, guard_size as Word))
    }

    /// A guard of zeros.
    #[inline(always)]
    pub const fn skip(num_bits: usize) -> Self {
        Self::new(0, num_bits)
    }

    /// The guard of zeros that makes a CNode of `1 << cnode_size_bits` slots a whole CSpace.
    #[inline(always)]
    pub const fn skip_high_bits(cnode_size_bits: usize) -> Self {
        Self::skip(WORD_SIZE - cnode_size_bits)
    }

    /// The word that the kernel takes.
    #[inline(always)]
    pub const fn into_word(self) -> Word {
        self.0.into_words()[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_have_the_bits_that_the_kernel_reads() {
        // libsel4's types_64.bf: the type in bit 31, the guard in bits 8 to 25, its size in 2 to 7.
        assert_eq!(CNodeCapData::skip(44).into_word(), 1 << 31 | 44 << 2);
        assert_eq!(
            CNodeCapData::new(5, 3).into_word(),
            1 << 31 | 5 << 8 | 3 << 2
        );
        assert_eq!(
            CNodeCapData::skip_high_bits(16).into_word(),
            1 << 31 | 48 << 2
        );
    }
}
