// SPDX-License-Identifier: BSD-2-Clause
//! The lwc factory: isolation contexts become light-weight contexts (lwCs),
//! several isolated views of memory inside one program (Litton et al., *Light-Weight
//! Contexts: An OS Abstraction for Safety and Performance*, OSDI 2016).
//!
//! It is for: a program that wants to keep something from itself. The part that
//! holds the key, or reads what a stranger sent, gets a copy of the program's
//! memory as it is at that moment, and from then on neither sees what the other
//! writes. There is one flow of control, which is passed on explicitly: whoever
//! [switches](client::View::switch) stands still until somebody switches back, and
//! can be entered nowhere else.
//!
//! Nothing below knows what an lwC is. This factory is a program in an IC, like
//! any app; what it does, it does with ICs and regions:
//!
//! | of the paper | here |
//! | --- | --- |
//! | `lwCreate` | an IC with an address space of its own, and a region with a copy of the program's image, shared into it |
//! | `lwSwitch` | a call to the factory, which keeps the caller and answers, or starts, the one who is switched to |
//! | `lwOverlay` | a region of the program's, shared into the lwC, and taken back |
//! | `lwRestrict` | the lwC's session on the IC manager is taken from it: it can open nothing |
//! | who may switch to whom | declared by the factory ([`control`]), shown in the graph as declared |
//!
//! It must never
//! * let two of a program's contexts run at a time, or control get lost: when the
//!   one that has it ends, however it ends, the program gets it back with an error;
//! * read or map a program's memory: the copy is made by the program itself, and
//!   mapped by the manager at the program's wish;
//! * pay for a client: an lwC is drawn on the budget of the session that asked.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`control`] | who has control, and who may pass it to whom |
//! | [`factory`] | the factory |
//! | [`client`] | what programs call |
#![cfg_attr(not(test), no_std)]

extern crate alloc;

#[cfg(not(test))]
pub mod client;
pub mod control;
pub mod factory;
#[cfg(test)]
mod tests;

use xos_protocol::{Error, Result};

/// The name that the factory is registered under.
pub const NAME: &str = "lwc";

/// What an lwC calls its factory for: words 0 and 1 are whom to switch to (an id, or 0 for the program) and
/// a word for that one. The answer, when somebody switches back: who, and a word.
pub const SWITCH: u64 = 0x300;

/// What the holder of a handle can ask, as the bytes of an invocation: two little-endian words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Switches to the lwC, with a word for it. The answer is that of [`SWITCH`].
    Switch(u64),
    /// From now on the lwC may switch to the other one with this id.
    Allow(u64),
    /// Takes the lwC's session on the IC manager away.
    Confine,
}

impl Ask {
    /// Packs it.
    pub fn bytes(self) -> [u8; 16] {
        let (kind, word) = match self {
            Self::Switch(word) => (0, word),
            Self::Allow(word) => (1, word),
            Self::Confine => (2, 0),
        };
        pair(kind, word)
    }

    /// Reads it from the words of an invocation: a count of bytes, and the bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_words(words: &[u64]) -> Result<Self> {
        match *words {
            [16, 0, word] => Ok(Self::Switch(word)),
            [16, 1, word] => Ok(Self::Allow(word)),
            [16, 2, 0] => Ok(Self::Confine),
            _ => Err(Error::Malformed),
        }
    }
}

/// Two words as bytes.
pub fn pair(first: u64, second: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    bytes[8..].copy_from_slice(&second.to_le_bytes());
    bytes
}
