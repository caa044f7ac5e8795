// SPDX-License-Identifier: BSD-2-Clause
//! What the programs of this suite say to each other.
//!
//! | program | what it is |
//! | --- | --- |
//! | `test-virtines-judge`, `test-virtines-judge-vcpu` | a boot domain in the monitor's place: runs the cases, ends what has to end, counts what is left |
//! | `test-virtines-app` | a program that calls virtines: a case each time that it runs |
//! | `test-virtine` | the image of a virtine that does what its caller tells it, the worst included |
//! | `vcpu/test-virtine` | the same for virtual processors, in C (`vcpu/`) |
//! | `forgets-...` | monitors on virtual processors that are broken |
//! | `mutant-virtine-vcpu` | the factory of virtines on virtual processors with the one of these that its domain is called like |
//! | `mutant-virtine` | the virtine factory, broken in the way that its domain's name says |
#![no_std]
#![forbid(unsafe_code)]

/// The image.
pub const IMAGE: &str = "test-virtine";
/// Exit code of the program when it found what an earlier call had left.
pub const TRACE: i32 = 3;

macro_rules! deeds {
    ($($(#[$doc:meta])* $deed:ident),+ $(,)?) => {
        /// What the virtine is told to do: the first byte of its argument. What follows is the deed's affair.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Deed { $($(#[$doc])* $deed),+ }

        impl Deed {
            /// By number.
            pub fn from_byte(byte: u8) -> Option<Self> {
                [$(Self::$deed),+].get(usize::from(byte)).copied()
            }
        }
    };
}

deeds! {
    /// Gives the bytes back, the last one first.
    Reverse,
    /// A word: gives so many bytes, each its position's low byte.
    Give,
    /// Gives a counter that it increments first: what the image prepared plus one, in every call.
    Count,
    /// A byte: a fault of that kind.
    Fault,
    /// Never comes to an end.
    Spin,
    /// Touches memory until there is no more.
    Bomb,
    /// A word: touches so many pages of heap, and returns.
    Heap,
    /// A byte, then bytes: the hypercall of that number with these bytes; gives the answer.
    Ask,
    /// A byte: makes hypercalls of that number for ever.
    AskForEver,
    /// Four words: a system call's number, CPtr, tag and first word. Gives the tag of what comes back. On virtual
    /// processors five: what is said to the monitor.
    SystemCall,
    /// A word: reads a byte there.
    Read,
    /// A word: writes a byte there.
    Write,
    /// A word: executes what is there.
    Execute,
    /// A byte: leaves traces in everything there is, and ends in that way (0: returns, 1: crashes, 2: spins).
    Leave,
    /// Gives in words what it finds that it should not.
    Look,
    /// A word: recurses so deep, on half a page of stack each time.
    Recurse,
    /// These bytes, as code, from the heap. On virtual processors.
    Code,
}
