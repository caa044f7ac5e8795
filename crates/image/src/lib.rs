// SPDX-License-Identifier: BSD-2-Clause
//! The packed form of a system: what the host tool hands to the root task.
//!
//! The host reads `system.xml` and every program in it, checks them, and packs the outcome into
//! one *payload*, which it appends to the root task's own ELF image. At boot the root task finds
//! the payload in its memory, decodes it and builds what it describes. Everything that needs an
//! XML or ELF parser, a symbol table or a file system is done on the host, so that the first
//! program that runs on the machine, which holds all of its authority, has almost nothing to
//! interpret.
//!
//! ```text
//! 0                header, 32 bytes, little endian (see HEADER_LEN)
//! 32               SystemImage, postcard
//! next 4096 k      blobs: segment contents and prefills, each from a page of its own,
//! ... total        zero up to the end of its last page
//! ```
//!
//! Blobs begin on pages of the payload because the payload lies on pages of the root task: their
//! frames are mapped into domains as they are, without a copy, where a segment or region is only
//! read.
//!
//! This crate must never accept what it has not checked: [`decode`] gives either a description
//! whose every index, address range and blob is in bounds, or an [`ImageError`]. No input makes it
//! panic. [`ImageBuilder::finish`] makes the same checks, so that a bad image fails on the host.
//! It makes no kernel calls, and knows nothing of what the domains do.
#![no_std]

extern crate alloc;

mod check;
mod codec;
pub mod console;
mod error;
mod model;

pub use codec::{HEADER_LEN, Image, ImageBuilder, MAGIC, VERSION, decode};
pub use error::{ImageError, Item, Problem};
pub use model::{
    Access, Blob, Channel, Domain, End, IoPorts, Irq, IrqSource, Map, Parent, Region, Segment,
    SystemImage,
};

/// The smallest page of x86-64, in bytes; the unit of blobs.
pub const PAGE_SIZE: u64 = 0x1000;
/// The large page of x86-64, in bytes.
pub const LARGE_PAGE_SIZE: u64 = 0x20_0000;

/// Badge bit of a protected procedure call. This kernel's badges have 28 bits, and minting a larger
/// one truncates it silently; newer kernels have 64, and Microkit uses bits 63 and 62 there.
pub const PPC_BADGE_BIT: u8 = 27;
/// Badge bit of a fault message from a child domain.
pub const FAULT_BADGE_BIT: u8 = 26;
/// The largest identifier of a channel, an interrupt or a child domain: what the two flags above
/// leave of a badge.
pub const MAX_CHANNEL_ID: u8 = FAULT_BADGE_BIT - 1;
/// The largest identifier of an I/O port range. It is no badge: the limit is the room for
/// capabilities in the node of a domain's fixed slots, which has 256.
pub const MAX_IO_PORT_ID: u8 = MAX_CHANNEL_ID;
/// The highest priority a domain may have; 255 is the root task's.
pub const MAX_PRIORITY: u8 = 254;
/// The largest number of domains, as in Microkit.
pub const MAX_DOMAINS: usize = 63;
/// The largest number of memory regions. No kernel limit: it bounds what decoding costs.
pub const MAX_REGIONS: usize = 4096;
/// The longest name in bytes: with its terminating zero it fills `microkit_name`.
pub const MAX_NAME_LEN: usize = 63;
/// The largest interrupt vector the kernel gives out, counted from its first user vector
/// (`irq_user_max - irq_user_min` in the kernel's `plat/machine.h`).
pub const MAX_IRQ_VECTOR: u8 = 107;

/// The smallest stack of a domain, in bytes.
pub const MIN_STACK_SIZE: u64 = PAGE_SIZE;
/// The largest stack of a domain, in bytes.
pub const MAX_STACK_SIZE: u64 = 16 << 20;
/// The stack of a domain that does not ask for a size, in bytes.
pub const DEFAULT_STACK_SIZE: u64 = 2 * PAGE_SIZE;

/// First address that program segments and maps may use. The page at zero stays unmapped, so that
/// a null pointer faults.
pub const USER_START: u64 = PAGE_SIZE;
/// First address that program segments and maps may not use. The last GiB of the lower half is the
/// builder's: stack and IPC buffer lie there, out of the way of any address that a person writes
/// into a description, and share one page table as long as the stack is under 2 MiB.
pub const USER_END: u64 = 0x7fff_c000_0000;
/// Where a domain's IPC buffer is mapped; its page is the last of a 2 MiB block.
pub const IPC_BUFFER_VADDR: u64 = 0x7fff_ffdf_f000;
/// One past a domain's stack, which grows down from here for [`Domain::stack_size`] bytes. Everything
/// below the stack stays unmapped; the page between stack and IPC buffer is the builder's, mapped
/// read-only (what a dead domain's thread is made to run).
pub const STACK_TOP: u64 = IPC_BUFFER_VADDR - PAGE_SIZE;

/// The domain of this name gets all remaining untyped memory, device memory, and control over
/// ASIDs and interrupts.
pub const MANAGER_NAME: &str = "ic_manager";
/// The symbol (`[u64; 2]`) in the root task that receives address and length of the payload.
pub const PAYLOAD_SYMBOL: &str = "xos_payload";
