// SPDX-License-Identifier: BSD-2-Clause
//! What is mapped where in a domain's address space, and what it is made of.
//!
//! A domain's own pages come from its arena, so that they go with it. What it only reads of its
//! program, and regions that nobody writes, are not copied: the frames of the payload themselves are
//! mapped, as often as there are readers.

use alloc::vec::Vec;
use xos_image::{
    Access, Blob, Domain, IPC_BUFFER_VADDR, PAGE_SIZE, STACK_TOP, Segment, SystemImage,
};
use xos_protocol::supervisor::boot;

use crate::objects::PAGE_BITS;
use crate::space::Span;

/// Where the [reply stub](crate#the-reply-stub) is mapped in every domain, read-only: in the page
/// that separates stack and IPC buffer, where it separates them as well as an unmapped page does.
pub const STUB_VADDR: u64 = xos_protocol::supervisor::STUB_VADDR;
const _: () = assert!(STUB_VADDR == STACK_TOP);

/// What pages are made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Fresh frames of the domain's arena.
    Arena,
    /// The payload's own frames, from the blob's first page.
    Payload(Blob),
    /// Fresh frames of the region with this index, which outlive the domain.
    Region(usize),
    /// The frame with the reply stub, which is the root task's.
    Stub,
}

/// What is written into fresh pages of an arena, which are zero, before they are mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fill {
    /// Nothing.
    Zero,
    /// These bytes of the payload.
    Blob(Blob),
    /// An IPC buffer that says where it is.
    IpcBuffer,
    /// What the IC manager starts from.
    ManagerBoot,
}

/// Pages of an address space that are made alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Where.
    pub span: Span,
    /// What the domain may do there.
    pub access: Access,
    /// Whether the processor may cache it.
    pub cached: bool,
    /// What it is made of.
    pub source: Source,
    /// What is written there; [`Fill::Zero`] unless [`Source::Arena`].
    pub fill: Fill,
}

impl Part {
    fn small(vaddr: u64, pages: u64, access: Access, source: Source) -> Self {
        Self {
            span: Span::small(vaddr, pages),
            access,
            cached: true,
            source,
            fill: Fill::Zero,
        }
    }

    fn filled(self, fill: Fill) -> Self {
        Self { fill, ..self }
    }
}

/// What a region is made of: frames of the payload for its first pages, fresh ones for the rest.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Backing {
    /// The contents, if the payload's own frames hold them.
    pub payload: Option<Blob>,
    /// Fresh pages, of the region's page size.
    pub fresh: u64,
    /// What is written into the fresh pages.
    pub fill: Option<Blob>,
}

impl Backing {
    /// Of each region of a system; nothing for one that nobody maps.
    pub fn of_all(system: &SystemImage) -> Vec<Self> {
        let mut mapped = alloc::vec![false; system.regions.len()];
        let mut written = mapped.clone();
        for map in system.domains.iter().flat_map(|domain| &domain.maps) {
            mapped[usize::from(map.region)] = true;
            written[usize::from(map.region)] |= map.access.write();
        }
        let backing = |(index, region): (usize, &xos_image::Region)| {
            if !mapped[index] {
                return Self::default();
            }
            let pages = region.size / region.page_size;
            match region.prefill {
                Some(blob) if !written[index] && region.page_size == PAGE_SIZE => Self {
                    payload: Some(blob),
                    fresh: pages - blob.pages(),
                    fill: None,
                },
                fill => Self {
                    payload: None,
                    fresh: pages,
                    fill,
                },
            }
        };
        system.regions.iter().enumerate().map(backing).collect()
    }
}

/// Everything that is mapped for a domain at its start.
pub fn parts(system: &SystemImage, index: usize, backings: &[Backing]) -> Vec<Part> {
    let domain = &system.domains[index];
    let mut parts = Vec::new();
    for segment in &domain.segments {
        program(segment, &mut parts);
    }
    for map in &domain.maps {
        let region = &system.regions[usize::from(map.region)];
        let backing = backings[usize::from(map.region)];
        let page_bits = region.page_size.trailing_zeros();
        let shared = backing.payload.map_or(0, Blob::pages);
        let pieces = [
            (0, shared, backing.payload.map(Source::Payload)),
            (
                shared,
                backing.fresh,
                Some(Source::Region(usize::from(map.region))),
            ),
        ];
        for (first, pages, source) in pieces {
            if let (1.., Some(source)) = (pages, source) {
                parts.push(Part {
                    span: Span {
                        vaddr: map.vaddr + (first << page_bits),
                        pages,
                        page_bits,
                    },
                    access: map.access,
                    cached: map.cached,
                    source,
                    fill: Fill::Zero,
                });
            }
        }
    }
    parts.extend(own(domain));
    if system.manager() == Some(index) {
        let info = Part::small(
            boot::INFO_VADDR,
            boot::INFO_PAGES,
            Access::Read,
            Source::Arena,
        );
        parts.push(info.filled(Fill::ManagerBoot));
    }
    parts
}

/// The pages of a segment: those with contents, then those without.
fn program(segment: &Segment, parts: &mut Vec<Part>) {
    let pages = segment.mem_size >> PAGE_BITS;
    let with_contents = segment.data.map_or(0, Blob::pages);
    if let Some(blob) = segment.data {
        let part = |source| Part::small(segment.vaddr, with_contents, segment.access, source);
        parts.push(if segment.access.write() {
            part(Source::Arena).filled(Fill::Blob(blob))
        } else {
            part(Source::Payload(blob))
        });
    }
    if pages > with_contents {
        parts.push(Part::small(
            segment.vaddr + with_contents * PAGE_SIZE,
            pages - with_contents,
            segment.access,
            Source::Arena,
        ));
    }
}

/// What every domain has that no description names.
fn own(domain: &Domain) -> [Part; 3] {
    [
        Part::small(
            STACK_TOP - domain.stack_size,
            domain.stack_size >> PAGE_BITS,
            Access::ReadWrite,
            Source::Arena,
        ),
        Part::small(STUB_VADDR, 1, Access::ReadExecute, Source::Stub),
        Part::small(IPC_BUFFER_VADDR, 1, Access::ReadWrite, Source::Arena).filled(Fill::IpcBuffer),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use xos_image::{Map, Region};

    fn find(parts: &[Part], vaddr: u64) -> &Part {
        parts
            .iter()
            .find(|part| (part.span.vaddr..part.span.end()).contains(&vaddr))
            .expect("mapped")
    }

    fn with_region(region: Region, maps: &[Access]) -> (SystemImage, Vec<Backing>) {
        let mut system = testing::system(&["a", "b"]);
        system.regions.push(region);
        for (domain, access) in system.domains.iter_mut().zip(maps) {
            domain.maps.push(Map {
                region: 0,
                vaddr: 0x4000_0000,
                access: *access,
                cached: true,
            });
        }
        let backings = Backing::of_all(&system);
        (system, backings)
    }

    fn prefilled() -> Region {
        Region {
            name: "region".into(),
            size: 5 * PAGE_SIZE,
            page_size: PAGE_SIZE,
            phys: None,
            prefill: Some(Blob { page: 7, len: 5000 }),
        }
    }

    #[test]
    fn a_program_that_is_only_read_is_mapped_from_the_payload() {
        let mut system = testing::system(&["a"]);
        let blob = Blob { page: 3, len: 10 };
        system.domains[0].segments[0] = Segment {
            vaddr: 0x20_0000,
            mem_size: 2 * PAGE_SIZE,
            access: Access::ReadExecute,
            data: Some(blob),
        };
        let parts = parts(&system, 0, &[]);
        assert_eq!(find(&parts, 0x20_0000).source, Source::Payload(blob));
        assert_eq!(find(&parts, 0x20_1000).source, Source::Arena);
    }

    #[test]
    fn a_program_that_is_written_is_copied() {
        let mut system = testing::system(&["a"]);
        let blob = Blob { page: 3, len: 10 };
        system.domains[0].segments.push(Segment {
            vaddr: 0x30_0000,
            mem_size: PAGE_SIZE,
            access: Access::ReadWrite,
            data: Some(blob),
        });
        let parts = parts(&system, 0, &[]);
        let part = find(&parts, 0x30_0000);
        assert_eq!((part.source, part.fill), (Source::Arena, Fill::Blob(blob)));
    }

    #[test]
    fn contents_that_are_only_read_are_mapped_from_the_payload() {
        let (system, backings) = with_region(prefilled(), &[Access::Read, Access::Read]);
        for domain in 0..2 {
            let parts = parts(&system, domain, &backings);
            assert!(matches!(
                find(&parts, 0x4000_1000).source,
                Source::Payload(blob) if blob.page == 7
            ));
            assert_eq!(find(&parts, 0x4000_2000).source, Source::Region(0));
        }
        assert_eq!(backings[0].fresh, 3);
    }

    #[test]
    fn contents_that_somebody_writes_are_copied_for_all() {
        let (system, backings) = with_region(prefilled(), &[Access::Read, Access::ReadWrite]);
        let parts = parts(&system, 0, &backings);
        assert_eq!(find(&parts, 0x4000_0000).source, Source::Region(0));
        assert_eq!(
            (backings[0].fresh, backings[0].fill),
            (5, prefilled().prefill)
        );
    }

    #[test]
    fn contents_in_large_pages_are_copied() {
        let region = Region {
            size: xos_image::LARGE_PAGE_SIZE,
            page_size: xos_image::LARGE_PAGE_SIZE,
            ..prefilled()
        };
        let (system, backings) = with_region(region, &[Access::Read]);
        assert_eq!(backings[0].fresh, 1);
        let parts = parts(&system, 0, &backings);
        assert_eq!(find(&parts, 0x4000_0000).span.page_bits, 21);
    }

    #[test]
    fn a_region_that_nobody_maps_costs_nothing() {
        let (_, backings) = with_region(prefilled(), &[]);
        assert_eq!(backings, [Backing::default()]);
    }

    #[test]
    fn nothing_writable_touches_the_stack() {
        let parts = parts(&testing::system(&["a"]), 0, &[]);
        let mapped = |vaddr: u64| {
            parts
                .iter()
                .find(|part| (part.span.vaddr..part.span.end()).contains(&vaddr))
        };
        let stack = mapped(STACK_TOP - 1).unwrap();
        assert!(mapped(stack.span.vaddr - 1).is_none());
        assert!(!mapped(stack.span.end()).unwrap().access.write());
    }

    #[test]
    fn only_the_manager_gets_its_start_information() {
        let system = testing::system(&["a", xos_image::MANAGER_NAME]);
        let has = |index| {
            parts(&system, index, &[])
                .iter()
                .any(|part| part.fill == Fill::ManagerBoot)
        };
        assert_eq!([has(0), has(1)], [false, true]);
    }
}
