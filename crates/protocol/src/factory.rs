// SPDX-License-Identifier: BSD-2-Clause
//! The factory protocol: the same for every kind of IC, as a file system's
//! inode operations are the same for every file system.
//!
//! Three kinds of badge reach a factory, and each has its own operations:
//! a [session](SessionOp) (a client that opened it), a [handle](HandleOp) (who
//! holds authority over one IC) and the [IC itself](SelfOp).

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

macro_rules! ops {
    ($(#[$doc:meta])* $name:ident = $first:literal { $($(#[$op_doc:meta])* $op:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u16)]
        pub enum $name { $($(#[$op_doc])* $op),+ }

        impl $name {
            const ALL: &[Self] = &[$(Self::$op),+];

            /// The label of the request.
            pub const fn label(self) -> u64 {
                self as u64 + $first
            }

            /// Reads a request's label.
            pub fn from_label(label: u64) -> Result<Self> {
                label
                    .checked_sub($first)
                    .and_then(|i| Self::ALL.get(i as usize).copied())
                    .ok_or(Error::NoSuchOperation)
            }
        }
    };
}
pub(crate) use ops;

ops! {
    /// What a client asks of a factory.
    SessionOp = 0x200 {
        /// Reply: [`Contract`](crate::Contract), postcard.
        Describe,
        /// [`Spec`], postcard, behind one word: the root slot of the client's CSpace for the handle.
        /// Reply: word 0 [`IcId`](crate::IcId).
        Create,
        /// Four words, for an IC within the client: [`Entry`]. Reply: word 0 [`IcId`](crate::IcId).
        /// It is started at once.
        Spawn,
    }
}

ops! {
    /// What the holder of a handle asks.
    HandleOp = 0x210 {
        /// Lets the IC run. Once.
        Start,
        /// Reply, when it has ended: [`ExitStatus`](crate::ExitStatus), three words. The IC is destroyed
        /// then and the handle revoked (waiting is what ends an IC's name, as it does in POSIX).
        Wait,
        /// Ends it; a waiter gets [`ExitStatus::Killed`](crate::ExitStatus::Killed).
        Kill,
        /// Stops it.
        Suspend,
        /// Lets it go on.
        Resume,
        /// Reply: word 0 [`IcState`](crate::IcState), word 1 [`IcId`](crate::IcId).
        Stat,
        /// Bytes in, bytes out; what they mean is the factory's affair. Optional.
        Invoke,
        /// Freezes an IC that was started: it never runs again, and the handle is from now on that of a
        /// snapshot, which ends by [`Kill`](Self::Kill). Word 0: [`When`]. [`BadState`](Error::BadState)
        /// when it is where it cannot be frozen; it goes on then. Optional.
        Snapshot,
        /// A clone of a snapshot, ready to be started: as [`SessionOp::Create`], with no specification, and
        /// on the budget of the snapshot's client. It ends with its snapshot at the latest. Optional.
        Clone,
    }
}

ops! {
    /// What an IC says to its factory.
    SelfOp = 0x220 {
        /// Word 0: the exit code. There is no reply.
        Exit,
        /// Reply: word 0 the address, word 1 the bytes of the page with arguments and environment.
        Arguments,
        /// Here it may be frozen. An IC is not answered: it stands until it ends. Its clones are, at once.
        Stand,
        /// Word 0: an address; word 1: the processor's error code (Intel SDM volume 3, section 4.7). An IC within
        /// it touched a page that the IC itself would have been given by its fault: it asks for that, on the same
        /// terms. [`BadAddress`](Error::BadAddress) where there is nothing to be had. Optional.
        Touch,
    }
}

/// When an IC is frozen: word 0 of [`HandleOp::Snapshot`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum When {
    /// As it is, if it can be.
    Now = 0,
    /// As soon as it says that it [stands](SelfOp::Stand): until then there is no reply.
    Stands = 1,
}

impl When {
    /// Reads a message word.
    pub const fn from_word(word: u64) -> Result<Self> {
        match word {
            0 => Ok(Self::Now),
            1 => Ok(Self::Stands),
            _ => Err(Error::Malformed),
        }
    }
}

/// What is to be created. Strings are borrowed from the message; the whole has to fit into one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Spec<'a> {
    /// Name of the image in the initial file tree (`bin/hello` or `hello`).
    pub image: &'a str,
    /// Arguments, each ended by a NUL byte; the first is the program's own name.
    pub arguments: &'a str,
    /// Environment, `NAME=value`, each ended by a NUL byte.
    pub environment: &'a str,
    /// Names of channels that the creator will connect before `start`, each ended by a NUL byte; the first
    /// goes to slot [`crate::slots::ic::FIRST_CHANNEL`].
    pub channels: &'a str,
    /// Bytes that it may cost in all: its arena and what it creates. 0: what the image needs and no more.
    pub memory: u64,
    /// ICs and sessions that it may pay for.
    pub ics: u16,
    /// Bytes of its stack; 0: the factory's default.
    pub stack: u32,
    /// Radix of its CSpace; 0: the factory's default.
    pub cspace_radix: u8,
    /// Whether it may compose ICs itself: it gets its CSpace's root CNode (slot [`crate::slots::ic::ROOT`]).
    pub composes: bool,
}

impl Default for Spec<'_> {
    fn default() -> Self {
        Self {
            image: "",
            arguments: "",
            environment: "",
            channels: "",
            memory: 0,
            ics: 8,
            stack: 0,
            cspace_radix: 0,
            composes: false,
        }
    }
}

/// Where an IC within its creator begins: the words of [`SessionOp::Spawn`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Address of the first instruction.
    pub ip: u64,
    /// What it finds in its first argument register (RDI).
    pub argument: u64,
    /// Root slot of the creator's CSpace for the handle; empty.
    pub handle: u16,
    /// Pages of stack, 1 to 509.
    pub stack: u16,
    /// Address of the instructions `sysenter` and `ud2`, in this order, by which it can ask for pages of its
    /// creator's that it touches ([`SelfOp::Touch`]); 0 if nowhere: then such a touch is its end.
    pub pager: u64,
}

impl Entry {
    /// Packs it.
    pub const fn words(&self) -> [u64; 4] {
        [
            self.ip,
            self.argument,
            self.handle as u64 | (self.stack as u64) << 16,
            self.pager,
        ]
    }

    /// Reads and checks it.
    pub const fn from_words(words: [u64; 4]) -> Result<Self> {
        let entry = Self {
            ip: words[0],
            argument: words[1],
            handle: words[2] as u16,
            stack: (words[2] >> 16) as u16,
            pager: words[3],
        };
        if words[2] >> 32 != 0 || entry.stack == 0 || entry.stack > 509 || entry.handle > 4095 {
            Err(Error::Malformed)
        } else {
            Ok(entry)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_entry_survives_its_words(ip: u64, argument: u64, handle in 0u16..4096, stack in 1u16..=509, pager: u64) {
            let entry = Entry { ip, argument, handle, stack, pager };
            prop_assert_eq!(Entry::from_words(entry.words()), Ok(entry));
        }

        #[test]
        fn any_words_are_an_entry_or_refused(words: [u64; 4], label: u64) {
            let _ = Entry::from_words(words);
            let _ = (SessionOp::from_label(label), HandleOp::from_label(label), SelfOp::from_label(label));
        }

        #[test]
        fn any_bytes_are_a_spec_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..960)) {
            let _ = postcard::take_from_bytes::<Spec>(&bytes);
        }
    }

    #[test]
    fn labels_of_the_three_kinds_do_not_overlap() {
        for label in 0..0x400 {
            let hits = SessionOp::from_label(label).is_ok() as u32
                + HandleOp::from_label(label).is_ok() as u32
                + SelfOp::from_label(label).is_ok() as u32;
            assert!(hits <= 1);
        }
        assert_eq!(
            HandleOp::from_label(HandleOp::Clone.label()),
            Ok(HandleOp::Clone)
        );
        assert_eq!(
            HandleOp::from_label(HandleOp::Clone.label() + 1),
            Err(Error::NoSuchOperation)
        );
    }
}
