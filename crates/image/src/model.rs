// SPDX-License-Identifier: BSD-2-Clause
//! What a system is made of. Plain data: the claims in the comments hold for what
//! [`decode`](crate::decode) returned and what [`ImageBuilder`](crate::ImageBuilder) accepted.
//!
//! Domains and regions name each other by index (`u16`) into the two tables of [`SystemImage`].

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// A whole system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemImage {
    /// At least one, at most [`MAX_DOMAINS`](crate::MAX_DOMAINS); names are unique, and a parent
    /// stands before its children.
    pub domains: Vec<Domain>,
    /// At most [`MAX_REGIONS`](crate::MAX_REGIONS); names are unique.
    pub regions: Vec<Region>,
    /// Connections between two different domains each.
    pub channels: Vec<Channel>,
}

impl SystemImage {
    /// Index of the domain of this name.
    pub fn domain_index(&self, name: &str) -> Option<usize> {
        self.domains.iter().position(|domain| domain.name == name)
    }

    /// Index of the domain that gets the rest of the machine
    /// ([`MANAGER_NAME`](crate::MANAGER_NAME)), if this system has one.
    pub fn manager(&self) -> Option<usize> {
        self.domain_index(crate::MANAGER_NAME)
    }
}

/// A protection domain: one address space, one capability space, one thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// 1 to [`MAX_NAME_LEN`](crate::MAX_NAME_LEN) bytes without control characters, so that it can
    /// be printed.
    pub name: String,
    /// Who handles its faults; the root task if nobody.
    pub parent: Option<Parent>,
    /// At most [`MAX_PRIORITY`](crate::MAX_PRIORITY).
    pub priority: u8,
    /// Bytes below [`STACK_TOP`](crate::STACK_TOP), in whole pages.
    pub stack_size: u64,
    /// First instruction; lies in an executable segment.
    pub entry: u64,
    /// The program: ascending, disjoint from each other and from [`maps`](Self::maps).
    pub segments: Vec<Segment>,
    /// Disjoint from each other.
    pub maps: Vec<Map>,
    /// Their ids are distinct from each other and from those of the domain's channel ends.
    pub irqs: Vec<Irq>,
    /// Ids and ranges are distinct within the domain.
    pub io_ports: Vec<IoPorts>,
}

/// The other side of being a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Index of the parent, lower than the child's own.
    pub domain: u16,
    /// The parent's name for the child, at most [`MAX_CHANNEL_ID`](crate::MAX_CHANNEL_ID) and
    /// unique among its children.
    pub id: u8,
}

/// Pages of a program that have the same rights. The packer has merged ELF segments that share a
/// page, so that no page occurs twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// First address, on a page.
    pub vaddr: u64,
    /// Bytes, in whole pages, not zero.
    pub mem_size: u64,
    /// What the program may do there. [`Access::ReadWriteExecute`] occurs only where the ELF file
    /// itself asks for it.
    pub access: Access,
    /// Contents of the first `data.len` bytes, at most `mem_size`. The rest is zero.
    pub data: Option<Blob>,
}

/// A region in the address space of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// Index of the region; all of it is mapped.
    pub region: u16,
    /// First address, aligned to the region's page size.
    pub vaddr: u64,
    /// Never [`Access::ReadWriteExecute`].
    pub access: Access,
    /// Whether the processor may cache it.
    pub cached: bool,
}

/// Rights on memory. There is no page that cannot be read: x86-64 has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Access {
    /// `r`
    Read,
    /// `rw`
    ReadWrite,
    /// `rx`
    ReadExecute,
    /// `rwx`
    ReadWriteExecute,
}

impl Access {
    /// The value with these rights beside reading.
    pub const fn new(write: bool, execute: bool) -> Self {
        match (write, execute) {
            (false, false) => Self::Read,
            (true, false) => Self::ReadWrite,
            (false, true) => Self::ReadExecute,
            (true, true) => Self::ReadWriteExecute,
        }
    }

    /// Whether it includes writing.
    pub const fn write(self) -> bool {
        matches!(self, Self::ReadWrite | Self::ReadWriteExecute)
    }

    /// Whether it includes execution. The default kernel has no non-executable pages on x86, so
    /// that there this is a statement, not a barrier.
    pub const fn execute(self) -> bool {
        matches!(self, Self::ReadExecute | Self::ReadWriteExecute)
    }
}

/// An interrupt that a domain is notified of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Irq {
    /// Channel identifier, at most [`MAX_CHANNEL_ID`](crate::MAX_CHANNEL_ID).
    pub id: u8,
    /// Processor vector, counted from the kernel's first user vector; at most
    /// [`MAX_IRQ_VECTOR`](crate::MAX_IRQ_VECTOR), used once in the system.
    pub vector: u8,
    /// Where it comes from.
    pub source: IrqSource,
}

/// Where an interrupt comes from; the arguments of the kernel's `IRQControl` invocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IrqSource {
    /// A pin of an I/O APIC (`X86IRQIssueIRQHandlerIOAPIC`).
    Ioapic {
        /// Number of the controller, from 0.
        ioapic: u32,
        /// Number of the pin, from 0.
        pin: u32,
        /// Level-triggered if true, edge-triggered if false.
        level: bool,
        /// Active low if true, active high if false: the kernel's meaning of `polarity`.
        active_low: bool,
    },
    /// A message-signalled interrupt (`X86IRQIssueIRQHandlerMSI`).
    Msi {
        /// PCI bus.
        bus: u8,
        /// PCI device, at most 31.
        device: u8,
        /// PCI function, at most 7.
        function: u8,
        /// The data the device is programmed to send.
        handle: u32,
    },
}

/// A range of x86 I/O ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoPorts {
    /// Identifier within the domain, at most [`MAX_IO_PORT_ID`](crate::MAX_IO_PORT_ID).
    pub id: u8,
    /// First port.
    pub first: u16,
    /// Last port, inclusive; not below `first`.
    pub last: u16,
}

/// Memory that domains map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// 1 to [`MAX_NAME_LEN`](crate::MAX_NAME_LEN) bytes without control characters, so that it can
    /// be printed.
    pub name: String,
    /// Bytes, a multiple of `page_size`, not zero.
    pub size: u64,
    /// [`PAGE_SIZE`](crate::PAGE_SIZE) or [`LARGE_PAGE_SIZE`](crate::LARGE_PAGE_SIZE).
    pub page_size: u64,
    /// Physical address, on a page of `page_size`; anywhere if none. Ranges are disjoint.
    pub phys: Option<u64>,
    /// Contents of the first `prefill.len` bytes, at most `size`; the rest is zero. Only without
    /// `phys`.
    pub prefill: Option<Blob>,
}

/// A connection between two domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// One end.
    pub a: End,
    /// The other.
    pub b: End,
}

/// One end of a channel, with what the domain *at this end* may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Index of the domain.
    pub domain: u16,
    /// The domain's name for the channel, at most [`MAX_CHANNEL_ID`](crate::MAX_CHANNEL_ID).
    pub id: u8,
    /// It may notify the other end.
    pub notify: bool,
    /// It may call the protected procedure of the other end.
    pub pp: bool,
}

/// Bytes that the payload carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Blob {
    /// First page, counted from the first blob.
    pub page: u32,
    /// Bytes, not zero. The last page is zero behind them.
    pub len: u64,
}

impl Blob {
    /// Number of pages it covers.
    pub const fn pages(self) -> u64 {
        self.len.div_ceil(crate::PAGE_SIZE)
    }
}
