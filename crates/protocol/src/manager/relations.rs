// SPDX-License-Identifier: BSD-2-Clause
//! What ICs have to do with each other: sessions passed on, and relations that a factory declares.

use serde::{Deserialize, Serialize};

use super::{SESSION, give_words, given};
use crate::{Error, Result, Subject};

/// Arguments of [`Op::Pass`](super::Op::Pass).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pass {
    /// A session or connection of which the caller is the client.
    pub session: u32,
    /// Root slot of the target's CSpace, empty.
    pub slot: u32,
    /// The IC that receives a session of its own with the same server, and pays for it; who must consent is as
    /// for [`Connect::target`](super::Connect::target). The server knows it as a client of its own right.
    pub target: Subject,
}

impl Pass {
    /// Packs the arguments.
    pub const fn words(&self) -> [u64; 4] {
        give_words((self.session, SESSION), self.slot, self.target)
    }

    /// Reads and checks the arguments.
    pub fn from_words(words: [u64; 4]) -> Result<Self> {
        let (session, slot, target) = given(words, SESSION)?;
        Ok(Self {
            session,
            slot,
            target,
        })
    }
}

/// What one IC of a factory can do to another by that factory's doing, in ways that the manager has no part in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Relation {
    /// It can send messages to it.
    Calls = 0,
    /// It shares memory with it.
    Memory = 1,
    /// It can pass the processor to it.
    Control = 2,
}

/// Arguments of [`Op::Declare`](super::Op::Declare).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Declare {
    /// An IC that the caller created, or the client of a session on the caller.
    pub from: Subject,
    /// Another; one of the two at least is an IC that the caller created.
    pub to: Subject,
    /// What `from` can do to `to`.
    pub relation: Relation,
    /// Whether it can from now on, or can no more.
    pub holds: bool,
}

impl Declare {
    /// Packs the arguments.
    pub const fn words(&self) -> [u64; 4] {
        [
            self.from.word(),
            self.to.word(),
            self.relation as u64 | (self.holds as u64) << 8,
            0,
        ]
    }

    /// Reads and checks the arguments.
    pub fn from_words(words: [u64; 4]) -> Result<Self> {
        let relation = match words[2] & 0xff {
            0 => Relation::Calls,
            1 => Relation::Memory,
            2 => Relation::Control,
            _ => return Err(Error::Malformed),
        };
        if words[2] >> 9 != 0 || words[3] != 0 {
            return Err(Error::Malformed);
        }
        Ok(Self {
            from: Subject::from_word(words[0]),
            to: Subject::from_word(words[1]),
            relation,
            holds: words[2] >> 8 != 0,
        })
    }
}
