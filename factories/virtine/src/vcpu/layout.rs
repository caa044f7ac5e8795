// SPDX-License-Identifier: BSD-2-Clause
//! Where things are in a virtine on a virtual processor: 32-bit linear addresses, and physical pages.
//!
//! ```text
//! linear                         physical pages
//!   IMAGE ...       segments       DIRECTORY, then the tables of everything below HEAP_END
//!   TRAMPOLINE      ring 0         TRAMPOLINE_PAGE, MAILBOX_PAGE, ARGUMENT_PAGE
//!   MAILBOX         ring 0         all others: the image's, stack and heap, what is saved
//!   ARGUMENT        read-only
//!   STACK_END - stack ...
//!   HEAP ...        as much as there is memory
//! ```
//! `crates/virtine-c/c/virtine.h` has what an image has to know of this.

/// Bytes of a page, and of what a table of pages spans.
pub const PAGE: u32 = 0x1000;
/// See [`PAGE`].
pub const SPAN: u32 = PAGE * 1024;

/// Where an image may have segments.
pub const IMAGE: u32 = 0x10_0000;
/// First address that no segment may reach.
pub const IMAGE_END: u32 = 0x40_0000;
/// Code that runs before and behind the image's, and its descriptor table: of ring 0.
pub const TRAMPOLINE: u32 = 0x40_0000;
/// What is said to that code, and its stack: of ring 0.
pub const MAILBOX: u32 = TRAMPOLINE + PAGE;
/// The first part of the argument: for the image to read.
pub const ARGUMENT: u32 = MAILBOX + PAGE;
/// End of the stack.
pub const STACK_END: u32 = 0x80_0000;
/// Pages of stack, unless others were asked for.
pub const STACK_PAGES: u32 = 16;
/// Pages of stack at most: below them is a hole.
pub const MAX_STACK_PAGES: u32 = 120;
/// Where the heap begins.
pub const HEAP: u32 = 0x100_0000;

/// Where the descriptor table is in the trampoline's page.
pub const DESCRIPTORS: u32 = TRAMPOLINE + 0xc00;
/// Selectors in the order that `SYSENTER` and `SYSEXIT` ask for.
pub mod selector {
    #![allow(missing_docs)] // of which ring, of what
    pub const CODE_0: u16 = 0x08;
    pub const DATA_0: u16 = 0x10;
    pub const CODE_3: u16 = 0x18 | 3;
    pub const DATA_3: u16 = 0x20 | 3;
}

/// The descriptor table: flat segments that are marked accessed, so that the processor never writes to it.
pub const DESCRIPTOR_TABLE: [u64; 5] = [
    0,
    0x00cf_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x00cf_fb00_0000_ffff,
    0x00cf_f300_0000_ffff,
];

/// Words of the mailbox: where the image goes on, 0 for nowhere; bytes of the argument; bytes of the answer to
/// a hypercall; 0.
pub mod mailbox {
    #![allow(missing_docs)] // said above
    use super::MAILBOX;
    pub const ENTRY: u32 = MAILBOX;
    pub const LENGTH: u32 = MAILBOX + 4;
    pub const ANSWER: u32 = MAILBOX + 8;
    pub const ZERO: u32 = MAILBOX + 12;
    /// End of the ring 0 stack.
    pub const STACK_END: u32 = MAILBOX + super::PAGE;
}

/// Physical pages.
pub const DIRECTORY: u32 = 0;
/// See [`DIRECTORY`].
pub const TRAMPOLINE_PAGE: u32 = 1;
/// See [`DIRECTORY`].
pub const MAILBOX_PAGE: u32 = 2;
/// See [`DIRECTORY`].
pub const ARGUMENT_PAGE: u32 = 3;
/// The tables, of which the first two are for what is below [`STACK_END`] and all others for the heap.
pub const TABLES: u32 = 4;

/// What an image says in EAX when it calls the trampoline.
pub mod says {
    #![allow(missing_docs)] // as in the table
    /// The trampoline itself: there was nowhere to go on.
    pub const RESTORED: u32 = 0;
    /// ESI: address of the result, or its last part; EDI: its bytes.
    pub const RETURN: u32 = 1;
    /// EBX: number of a hypercall; ESI, EDI: its bytes; EBP: where [`MAX_PART`](super::MAX_PART) bytes of answer
    /// have room. Afterwards EAX is the bytes of the answer.
    pub const ASK: u32 = 2;
    /// EBX: address of the function.
    pub const READY: u32 = 3;
}

/// Bytes of a part of an argument, result or hypercall at most.
pub const MAX_PART: u32 = xos_protocol::virtine::MAX_PART as u32;
/// What is in EAX when an image gives up by an invalid instruction: `panc`.
pub const PANIC: u32 = 0x7061_6e63;

const _: () = assert!(MAX_PART <= PAGE);
const _: () = assert!(STACK_END - MAX_STACK_PAGES * PAGE > ARGUMENT + PAGE);
const _: () =
    assert!(IMAGE_END <= TRAMPOLINE && STACK_END <= 2 * SPAN && HEAP.is_multiple_of(SPAN));
