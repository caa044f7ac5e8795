// SPDX-License-Identifier: BSD-2-Clause
//! A description that has been read and checked, but not yet joined with its programs.
//!
//! Domains and regions name each other by index into the tables of [`System`]. The private offsets
//! say where in the file something stands, for errors that show only later.

use std::ops::Range;

use xos_image::{Access, IoPorts, Irq};

use crate::{
    error::{Mistake, SdfError},
    xml::Source,
};

/// A whole description.
#[derive(Clone, Debug)]
pub struct System {
    /// All domains, children too; a parent stands before its children.
    pub protection_domains: Vec<ProtectionDomain>,
    /// All memory regions, in the order of the file.
    pub memory_regions: Vec<MemoryRegion>,
    /// All channels, in the order of the file.
    pub channels: Vec<Channel>,
    /// What is not wrong, but probably not meant.
    pub warnings: Vec<SdfError>,
    pub(crate) source: Source,
    pub(crate) at: usize,
}

impl System {
    pub(crate) fn error(&self, at: usize, element: &str, mistake: Mistake) -> SdfError {
        self.source.error(at, element, mistake)
    }
}

/// `<protection_domain>`
#[derive(Clone, Debug)]
pub struct ProtectionDomain {
    /// Unique, 1 to 63 bytes.
    pub name: String,
    /// Index of the domain that it is a child of, and its id there.
    pub parent: Option<(usize, u8)>,
    /// 0 to 254; 0 if not given.
    pub priority: u8,
    /// Bytes, whole pages.
    pub stack_size: u64,
    /// Its program.
    pub program_image: ProgramImage,
    /// Its maps.
    pub maps: Vec<Map>,
    /// Its interrupts.
    pub irqs: Vec<Irq>,
    /// Its I/O ports; disjoint from those of every other domain.
    pub io_ports: Vec<IoPorts>,
    /// What to write into its program, from all elements that have such an attribute; symbols are
    /// distinct.
    pub setvars: Vec<Setvar>,
    pub(crate) at: usize,
}

/// `<program_image>`
#[derive(Clone, Debug)]
pub struct ProgramImage {
    /// The ELF file to load.
    pub path: String,
    /// The ELF file to look symbols up in, if not the same.
    pub path_for_symbols: Option<String>,
    pub(crate) at: usize,
}

/// `<map>`
#[derive(Clone, Debug)]
pub struct Map {
    /// Index of the region.
    pub region: usize,
    /// First address, aligned to the region's page size.
    pub vaddr: u64,
    /// Rights; never both write and execute.
    pub access: Access,
    /// Whether the processor may cache it.
    pub cached: bool,
    pub(crate) at: usize,
}

/// A value to write into a program.
#[derive(Clone, Debug)]
pub struct Setvar {
    /// Name of the symbol, a variable of eight bytes.
    pub symbol: String,
    /// What to write there.
    pub value: SetvarValue,
    pub(crate) element: &'static str,
    pub(crate) at: usize,
}

/// What a [`Setvar`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetvarValue {
    /// This number: an address, an identifier, a physical address, a port.
    Number(u64),
    /// The size in bytes of the region of this index.
    RegionSize(usize),
    /// The number of bytes that the region of this index is prefilled with.
    PrefillSize(usize),
}

/// `<memory_region>`
#[derive(Clone, Debug)]
pub struct MemoryRegion {
    /// Unique, 1 to 63 bytes.
    pub name: String,
    /// Bytes, a multiple of the page size; as large as its contents if not given.
    pub size: Option<u64>,
    /// Bytes; 4 KiB or 2 MiB. If not given, the largest that its size and all of its addresses
    /// allow, and 4 KiB if it is prefilled, because then its frames may be those of the payload.
    pub page_size: u64,
    /// Physical address, aligned to the page size. Disjoint from those of other regions.
    pub phys_addr: Option<u64>,
    /// The file with its contents.
    pub prefill_path: Option<String>,
    pub(crate) page_size_given: bool,
    pub(crate) at: usize,
}

impl MemoryRegion {
    /// Its physical addresses, if the description says them.
    pub(crate) fn physical(&self) -> Option<Range<u64>> {
        let start = self.phys_addr?;
        Some(start..start + self.size?)
    }
}

/// `<channel>`
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its ends, at two different domains; at most one has `pp`.
    pub ends: [End; 2],
}

/// `<end>`
#[derive(Clone, Debug)]
pub struct End {
    /// Index of the domain.
    pub domain: usize,
    /// The domain's id for the channel.
    pub id: u8,
    /// Whether it may notify the other end.
    pub notify: bool,
    /// Whether it may call the other end.
    pub pp: bool,
    pub(crate) at: usize,
}
