// SPDX-License-Identifier: BSD-2-Clause
//! Who pays.

use super::SESSION;
use crate::wire::{Fields, Packer};
use crate::{Error, Result};

/// Whose budget pays for what is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Payer {
    /// The caller itself.
    Myself,
    /// The client of this session on the caller.
    Client(u32),
    /// Whoever pays for the IC of this index, which the caller created: the session through which that was
    /// asked for may be closed by now, and its number another's.
    PayerOf(u32),
}

impl Payer {
    /// Bits that it takes in a word.
    pub(super) const BITS: u32 = SESSION + 2;

    /// Those bits.
    pub(super) const fn bits(self) -> u64 {
        let (number, kind) = match self {
            Self::Myself => (0, 0),
            Self::Client(session) => (session, 1),
            Self::PayerOf(index) => (index, 2),
        };
        Packer::new()
            .put(number as u64, SESSION)
            .put(kind, 2)
            .word()
    }

    /// Reads them.
    pub(super) const fn from_bits(bits: u64) -> Result<Self> {
        let mut fields = Fields::new(bits);
        let number = fields.take(SESSION) as u32;
        match (fields.take(2), number) {
            (0, 0) => Ok(Self::Myself),
            (1, session) => Ok(Self::Client(session)),
            (2, index) => Ok(Self::PayerOf(index)),
            _ => Err(Error::Malformed),
        }
    }
}
