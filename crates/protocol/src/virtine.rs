// SPDX-License-Identifier: BSD-2-Clause
//! Virtines: one function call in a context of its own.
//!
//! Three parties: a client, the virtine factory, and the virtine, whose code may be anybody's.
//!
//! | from, to | what |
//! | --- | --- |
//! | client, factory | [`HandleOp::Invoke`](crate::factory::HandleOp::Invoke): word 0 bytes, word 1 an [`Ask`], then bytes. Reply: word 0 bytes, word 1 an [`Answer`], then bytes |
//! | virtine, factory | a [`Hypercall`], through [`slots::ic::ITSELF`](crate::slots::ic::ITSELF), the one capability that a virtine has |
//! | factory, virtine | the [`Plan`], a page that the factory writes and the virtine reads |
//!
//! # A call
//! ```text
//! client            factory                    virtine
//!   Ask::Call  --->   plan: argument, pages
//!                     registers, resume  --->  trampoline: puts its pages and registers back
//!                                              function
//!                     <---  Hypercall::Ask(n)
//!   <---  Answer::Asks(n)                      (stands still)
//!   Ask::Answer  ---> reply  --------------->
//!                     <---  Hypercall::Return
//!   <---  Answer::Returned                     (stands still until the next call)
//! ```
//! The factory answers a hypercall that was not granted, a crash and a passed limit in the virtine's place.
//!
//! # On virtual processors
//! The contexts of [`VCPU`] are called by a connection of their own, with the same [`Ask`] and [`Answer`]:
//! whoever has made one gives it a notification as its channel [`DOOR`], agrees that it connects back, and tells
//! it how by [`HandleOp::Invoke`](crate::factory::HandleOp::Invoke), before it is started: word 0 is 16, word 1
//! the connection's index, word 2 the empty root slot for an endpoint. The notification is signalled when that
//! is there.
//!
//! # Address space of the `vspace` backend
//! ```text
//!   0x20_0000 ...                segments of the image (below FIRST + SAVED)
//!   PLAN                         the plan, read-only
//!   TRAMPOLINE                   code that runs before any of the virtine's own, read-only
//!   BUFFER                       IPC buffer
//!   STACK_END - stack ...        stack, growing downward
//!   HEAP ...                     zero pages, given as they are touched
//!   address + SAVED              what the page at `address` is put back to, read-only
//! ```

use crate::factory::ops;
use crate::manager::PAGE;
use crate::wire::{Fields, Packer};
use crate::{Error, Result};

/// The factory of virtines that are address spaces, which is everywhere.
pub const VSPACE: &str = "virtine";
/// The factory of virtines on virtual processors, which makes some where there are such.
pub const VCPU: &str = "virtine-vcpu";
/// The channel by which a context of [`VCPU`] says that it can be called.
pub const DOOR: u32 = 0;

/// Where the factory's own pages and the virtine's stack and heap begin; images lie below.
pub const FIRST: u64 = 0x2000_0000;
/// The [`Plan`].
pub const PLAN: u64 = FIRST;
/// The trampoline.
pub const TRAMPOLINE: u64 = FIRST + PAGE;
/// The IPC buffer.
pub const BUFFER: u64 = FIRST + 2 * PAGE;
/// End of the stack.
pub const STACK_END: u64 = FIRST + 0x8_0000;
/// Pages of stack, unless others were asked for.
pub const STACK_PAGES: u64 = 16;
/// Pages of stack at most: below them is a hole.
pub const MAX_STACK_PAGES: u64 = 120;
/// Start of the heap.
pub const HEAP: u64 = FIRST + 0x10_0000;
/// End of the heap. How much of it there is, is a matter of the memory limit.
pub const HEAP_END: u64 = FIRST + SAVED;
/// Distance from a page to what it is put back to.
pub const SAVED: u64 = 0x1000_0000;
/// First address that no segment of an image may reach.
pub const IMAGE_END: u64 = SAVED;

/// Bytes that one message carries between client and virtine, in either direction.
pub const MAX_PART: usize = 8 * (crate::wire::MAX_WORDS - 2);
/// Bytes of an argument or a result in all, at most.
pub const MAX_BYTES: u64 = 16 << 20;
/// Hypercalls that a client can grant: numbers 0 to 31.
pub const MAX_HYPERCALLS: u8 = 32;
/// Hypercall that every virtine has: the next part of the argument. Its client's library answers it.
pub const MORE: u8 = 32;
/// Hypercall that every virtine has: a part of the result that is not the last.
pub const PART: u8 = 33;

/// Pages that a virtine may have written and that are put back, rather than given back.
pub const MAX_PAGES: usize = 124;
/// Where in a [`Plan`] the argument begins.
const ARGUMENT: usize = 1024;

/// What is to be done to a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Put {
    /// Fill it with zeros.
    Zero = 0,
    /// Put back what is saved of it.
    Back = 1,
    /// Save it.
    Aside = 2,
}

/// What the factory tells a virtine at the beginning of a call: one page.
#[repr(C)]
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the virtine goes on when its pages are as they should be; 0: it says
    /// [`Hypercall::Restored`] then.
    pub entry: u64,
    /// How many of `pages` are to be looked at.
    pub count: u64,
    /// Bytes of the argument in all. What is beyond [`MAX_PART`] is had by [`MORE`].
    pub length: u64,
    /// 0: what the trampoline loads to have nothing in the FPU that tells of the last call.
    pub zero: u64,
    /// Addresses of pages, each with a [`Put`] in its low bits.
    pub pages: [u64; MAX_PAGES],
    /// The argument's first part, and zeros.
    pub argument: [u8; PAGE as usize - ARGUMENT],
}

const _: () = assert!(size_of::<Plan>() == PAGE as usize);
const _: () = assert!(core::mem::offset_of!(Plan, argument) == ARGUMENT);
const _: () = assert!(MAX_PART <= PAGE as usize - ARGUMENT);
const _: () = assert!(STACK_END - MAX_STACK_PAGES * PAGE > BUFFER + PAGE);

impl Plan {
    /// One that says nothing.
    pub const EMPTY: Self = Self {
        entry: 0,
        count: 0,
        length: 0,
        zero: 0,
        pages: [0; MAX_PAGES],
        argument: [0; PAGE as usize - ARGUMENT],
    };
}

ops! {
    /// What a virtine says to its factory.
    Hypercall = 0x240 {
        /// Word 0: the address of the function. What the image does before its first call is done: the
        /// virtine is put back to this state before each. There is no reply.
        Ready,
        /// The trampoline's: the pages are as the plan says.
        Restored,
        /// Word 0: bytes; then these: the call's result, or its last part. There is no reply.
        Return,
        /// Word 0: bytes, and the number in the upper half; then these bytes. Reply: word 0 bytes, then these.
        Ask,
    }
}

const LIMIT: u32 = 24;

/// What a client asks: word 1 of an invocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Calls the function. The bytes are the argument's, or its first part with its length in the first word
    /// before it.
    Call {
        /// Hypercalls that are granted: a bit for each number.
        granted: u32,
        /// Milliseconds of running that it may take; 0 for the factory's default.
        limit: u32,
        /// Whether the argument has more parts.
        long: bool,
    },
    /// Answers the hypercall that the virtine made: with these bytes.
    Answer,
    /// Ends the call instead.
    Stop,
}

impl Ask {
    /// The message word.
    pub const fn word(self) -> u64 {
        match self {
            Self::Call {
                granted,
                limit,
                long,
            } => Packer::new()
                .put(long as u64, 8)
                .put(limit as u64, LIMIT)
                .put(granted as u64, 32)
                .word(),
            Self::Answer => 2,
            Self::Stop => 3,
        }
    }

    /// Reads a message word.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is none.
    pub const fn from_word(word: u64) -> Result<Self> {
        let mut fields = Fields::new(word);
        let kind = fields.take(8);
        let (limit, granted) = (fields.take(LIMIT) as u32, fields.take(32) as u32);
        match (kind, limit, granted) {
            (0 | 1, _, _) => Ok(Self::Call {
                granted,
                limit,
                long: kind == 1,
            }),
            (2, 0, 0) => Ok(Self::Answer),
            (3, 0, 0) => Ok(Self::Stop),
            _ => Err(Error::Malformed),
        }
    }
}

/// What came of it: word 1 of the reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The function returned; the bytes are its result, or the last part.
    Returned,
    /// It made the hypercall of this number, with these bytes, and waits.
    Asks(u8),
    /// It crashed; the bytes are the three words of an [`ExitStatus`](crate::ExitStatus).
    Crashed,
    /// It ran for longer than it may.
    OutOfTime,
    /// It touched more memory than it may.
    OutOfMemory,
    /// It made a hypercall that was not granted.
    NotGranted(u8),
    /// It said something to the factory that means nothing.
    Nonsense,
}

impl Answer {
    /// The message word.
    pub const fn word(self) -> u64 {
        match self {
            Self::Returned => 0,
            Self::Asks(number) => 1 | (number as u64) << 8,
            Self::Crashed => 2,
            Self::OutOfTime => 3,
            Self::OutOfMemory => 4,
            Self::NotGranted(number) => 5 | (number as u64) << 8,
            Self::Nonsense => 6,
        }
    }

    /// Reads a message word.
    ///
    /// # Errors
    /// [`Error::Unknown`] when it is none.
    pub const fn from_word(word: u64) -> Result<Self> {
        let number = (word >> 8) as u8;
        let answer = match word & 0xff {
            0 => Self::Returned,
            1 => Self::Asks(number),
            2 => Self::Crashed,
            3 => Self::OutOfTime,
            4 => Self::OutOfMemory,
            5 => Self::NotGranted(number),
            6 => Self::Nonsense,
            _ => return Err(Error::Unknown),
        };
        if answer.word() == word {
            Ok(answer)
        } else {
            Err(Error::Unknown)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factory::SelfOp;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_ask_survives_its_word(granted: u32, limit in 0u32..1 << LIMIT, long: bool) {
            for ask in [Ask::Call { granted, limit, long }, Ask::Answer, Ask::Stop] {
                prop_assert_eq!(Ask::from_word(ask.word()), Ok(ask));
            }
        }

        #[test]
        fn an_answer_survives_its_word(number: u8) {
            for answer in [
                Answer::Returned, Answer::Asks(number), Answer::Crashed, Answer::OutOfTime,
                Answer::OutOfMemory, Answer::NotGranted(number), Answer::Nonsense,
            ] {
                prop_assert_eq!(Answer::from_word(answer.word()), Ok(answer));
            }
        }

        #[test]
        fn any_word_is_read_or_refused(word: u64) {
            if let Ok(ask) = Ask::from_word(word) {
                prop_assert_eq!(ask.word(), word);
            }
            if let Ok(answer) = Answer::from_word(word) {
                prop_assert_eq!(answer.word(), word);
            }
            let _ = Hypercall::from_label(word);
        }
    }

    #[test]
    fn a_hypercall_is_no_end_and_no_fault() {
        for label in (0..0x20).chain([SelfOp::Exit.label(), SelfOp::Arguments.label()]) {
            assert!(Hypercall::from_label(label).is_err());
        }
    }
}
