// SPDX-License-Identifier: BSD-2-Clause
//! What the programs of this suite say to each other.
//!
//! | program | what it is |
//! | --- | --- |
//! | `tester` | a boot domain in the monitor's place: runs the cases, reports to the host |
//! | `test-probe` | a program for ICs: runs cases from inside, or plays a part in one |
//! | `test-rogue` | a boot domain that does what its clients tell it, harm to itself and others included |
#![no_std]
#![forbid(unsafe_code)]

/// The probe's image.
pub const PROBE: &str = "test-probe";
/// First argument of a probe that runs the case which the second one names.
pub const CASE: &str = "case";
/// Where the board is mapped in a probe that runs a case: the length of a reason, then the reason.
pub const BOARD: u64 = 0x7500_0000_0000;
/// Bytes of the board.
pub const BOARD_BYTES: usize = 4096;

/// Where a part of a probe's finds memory that is shared with it.
pub const SHARED: u64 = 0x7600_0000_0000;

/// What a rogue is told, as the label of a message.
pub mod rogue {
    /// Words: an operation's label and its four words, of which the manager is asked. Reply: 0 or the
    /// error's label, and the first four words of the answer.
    pub const ASK: u64 = 0x700;
    /// Words: the root slot of the client for the handle, and after which [`Step`](super::Step) to die, or
    /// 0. Makes an IC for the client. Reply: its id, and the root slot of its parts node.
    pub const MAKE: u64 = 0x701;
    /// Words: the root slot of a parts node, and the [`Harm`](super::Harm) to be done to it.
    pub const HARM: u64 = 0x702;
    /// Keeps the caller.
    pub const KEEP: u64 = 0x703;
    /// Answers all that were kept.
    pub const RELEASE: u64 = 0x704;
    /// Dies of what the first word says: 0 a write to nowhere, 1 a panic, 2 an illegal instruction.
    pub const DIE: u64 = 0x705;
    /// Word 0: the root slot of a parts node. Tries what its parts allow, and everything that they do not:
    /// the number of attempts that succeeded and should not have.
    pub const PRY: u64 = 0x706;
}

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $value:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u64)]
        pub enum $name { $($(#[$each])* $value),+ }

        impl $name {
            /// All.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// By number.
            pub fn from_word(word: u64) -> Option<Self> {
                Self::ALL.get(usize::try_from(word).ok()?).copied()
            }
        }
    };
}

numbered! {
    /// Steps of making an IC.
    Step {
        /// Nothing has been done.
        None,
        /// The request was received.
        Received,
        /// The manager has made it.
        Made,
        /// Something was made of its memory.
        Composed,
        /// It has its name.
        Named,
        /// It runs.
        Resumed,
    }
}

numbered! {
    /// What can be done to a node that one may write to.
    Harm {
        /// Every slot is deleted.
        Delete,
        /// Every slot holds a copy of the rogue's own endpoint.
        Overwrite,
        /// Every slot holds what the next one held.
        Rotate,
        /// Every capability is moved to the rogue's own root.
        Steal,
        /// Every capability is revoked.
        Revoke,
        /// Every slot holds a copy of the rogue's own address space or CSpace.
        Impersonate,
    }
}
