// SPDX-License-Identifier: BSD-2-Clause

use crate::abi;
use crate::symbols::pd_ioports;

/// A range of I/O ports of this domain, by its identifier in the system description. Corresponds to
/// the `microkit_x86_ioport_*` functions of `libmicrokit`.
///
/// Ports are named by their absolute numbers; the kernel refuses those outside the range.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct IoPort {
    index: usize,
}

impl IoPort {
    /// The range with identifier `index`.
    ///
    /// # Panics
    /// If `index` is above [`abi::MAX_ID`]. In a constant that is an error of compilation.
    pub const fn new(index: usize) -> Self {
        assert!(
            index <= abi::MAX_ID,
            "an I/O port identifier is at most 25 with this kernel"
        );
        Self { index }
    }

    /// The identifier.
    pub const fn index(&self) -> usize {
        self.index
    }

    /// The capability for the range.
    ///
    /// # Panics
    /// If the description gives this domain no range of this identifier.
    #[track_caller]
    pub fn cap(&self) -> sel4::cap::IOPort {
        if pd_ioports() & 1 << self.index == 0 {
            panic!("I/O ports '{}': not of this domain", self.index);
        }
        sel4::Cap::from_bits(abi::BASE_IO_PORT + self.index as u64)
    }
}
