// SPDX-License-Identifier: BSD-2-Clause
//! Microkit system descriptions: parsed, checked, and packed with their programs.
//!
//! [`parse`] reads a description in the format of the seL4 Microkit manual ("System Description
//! File") and checks it, [`lower`] adds the programs that it names, patches into them what
//! Microkit promises them (`setvar`, `microkit_name`, ...), checks them against it and writes the
//! payload that the root task reads, and [`append_payload`] makes both one file that the kernel
//! boots.
//!
//! Everything that can be wrong with a description or a program is found here, on the host, where
//! it can be said by file, line, element and reason ([`SdfError`]); what comes out is accepted by
//! [`xos_image::decode`] on the machine. Descriptions and programs are input like any other:
//! nothing in them makes this crate panic or use memory out of proportion.
//!
//! # Differences from Microkit's tool
//! - Identifiers of channels, interrupts and children go up to
//!   [`MAX_CHANNEL_ID`](xos_image::MAX_CHANNEL_ID) instead of 61: badges have 28 bits in the
//!   default kernel. Those of I/O ports go as far, because their capabilities follow the others'.
//! - A protected procedure may be called from the *same* priority, not only from a lower one. The
//!   kernel's reply fast path is taken only back to a caller of at least the server's priority, so
//!   that equal priorities halve the cost of a call. What the stricter rule gives, that calls cannot
//!   form a cycle, is checked directly.
//! - A map may not be writable and executable at once, nor execute-only, nor cover the page at
//!   zero. A channel has two different ends. Interrupt pins are used once, not only vectors. Errors
//!   that Microkit's tool leaves to the running system (I/O ports beyond 65535, unreadable names) are
//!   found here.
//! - `monitor` is a name like any other, for there is no Microkit monitor.
//! - The default kernel has no MCS scheduling, one core, no IOMMU: `passive`, `budget`, `period`,
//!   `cpu`, `domain` and `domains`, `io_address_space` are refused, and so are, for now,
//!   `virtual_machine`, `cspace` and `prefill_bootinfo`.

mod boot;
mod check;
mod error;
mod lower;
mod model;
mod parse;
mod program;
mod xml;

pub use boot::{append_payload, bootable};
pub use error::{Mistake, SdfError};
pub use lower::{Packed, lower};
pub use model::{
    Channel, End, Map, MemoryRegion, ProgramImage, ProtectionDomain, Setvar, SetvarValue, System,
};
pub use parse::{MAX_FILE_SIZE, parse};
pub use program::ElfError;
