// SPDX-License-Identifier: BSD-2-Clause
//! The checks that encoder and decoder share: that a description can be built, not that it is
//! wise. What the author of a description should hear about (call order, priorities of protected
//! procedures, unused regions) is the SDF checker's, who can name a line.

use alloc::{collections::BTreeSet, vec::Vec};
use core::ops::Range;

use crate::{
    Blob, Domain, ImageError, IrqSource, Item, LARGE_PAGE_SIZE, MAX_CHANNEL_ID, MAX_DOMAINS,
    MAX_IO_PORT_ID, MAX_IRQ_VECTOR, MAX_NAME_LEN, MAX_PRIORITY, MAX_REGIONS, MAX_STACK_SIZE,
    MIN_STACK_SIZE, PAGE_SIZE, Problem, Region, SystemImage, USER_END, USER_START, codec,
};

/// A set of identifiers below 64.
#[derive(Clone, Copy, Default)]
struct Ids(u64);

impl Ids {
    fn add(&mut self, id: u8, max: u8) -> Result<(), Problem> {
        if id > max {
            return Err(Problem::IdRange);
        }
        let bit = 1 << id;
        if self.0 & bit != 0 {
            return Err(Problem::DuplicateId);
        }
        self.0 |= bit;
        Ok(())
    }
}

/// Checks all of it. `blobs` is everything that blobs may lie in.
pub(crate) fn system(system: &SystemImage, blobs: &[u8]) -> Result<(), ImageError> {
    if system.domains.is_empty() || system.domains.len() > MAX_DOMAINS {
        return Err(invalid(Item::Domain, system.domains.len(), Problem::Count));
    }
    if system.regions.len() > MAX_REGIONS {
        return Err(invalid(Item::Region, system.regions.len(), Problem::Count));
    }

    let mut names = BTreeSet::new();
    let mut physical = Vec::new();
    for (index, region) in system.regions.iter().enumerate() {
        name(&region.name, &mut names)
            .and_then(|()| self::region(region, blobs, &mut physical))
            .map_err(|problem| invalid(Item::Region, index, problem))?;
    }
    if !disjoint(&mut physical) {
        // Which of two, only the author can say; the SDF checker names both.
        return Err(invalid(Item::Region, 0, Problem::Physical));
    }

    let mut names = BTreeSet::new();
    let mut vectors = BTreeSet::new();
    let mut ids = [Ids::default(); MAX_DOMAINS];
    let mut children = [Ids::default(); MAX_DOMAINS];
    for (index, domain) in system.domains.iter().enumerate() {
        name(&domain.name, &mut names)
            .and_then(|()| self::domain(domain, system, blobs))
            .and_then(|()| irqs(domain, &mut ids[index], &mut vectors))
            .and_then(|()| match domain.parent {
                None => Ok(()),
                Some(parent) if usize::from(parent.domain) >= index => Err(Problem::Parent),
                Some(parent) => children[usize::from(parent.domain)].add(parent.id, MAX_CHANNEL_ID),
            })
            .map_err(|problem| invalid(Item::Domain, index, problem))?;
    }

    for (index, channel) in system.channels.iter().enumerate() {
        let ends = [channel.a, channel.b];
        let known = |domain: u16| usize::from(domain) < system.domains.len();
        if !ends.iter().all(|end| known(end.domain)) || channel.a.domain == channel.b.domain {
            return Err(invalid(Item::Channel, index, Problem::NoSuchDomain));
        }
        for end in ends {
            ids[usize::from(end.domain)]
                .add(end.id, MAX_CHANNEL_ID)
                .map_err(|problem| invalid(Item::Channel, index, problem))?;
        }
    }
    Ok(())
}

fn invalid(item: Item, index: usize, problem: Problem) -> ImageError {
    ImageError::Invalid {
        item,
        index,
        problem,
    }
}

fn name<'a>(name: &'a str, seen: &mut BTreeSet<&'a str>) -> Result<(), Problem> {
    if name.is_empty() || name.len() > MAX_NAME_LEN || name.contains(char::is_control) {
        return Err(Problem::Name);
    }
    if seen.insert(name) {
        Ok(())
    } else {
        Err(Problem::DuplicateName)
    }
}

fn region(region: &Region, blobs: &[u8], physical: &mut Vec<Range<u64>>) -> Result<(), Problem> {
    if ![PAGE_SIZE, LARGE_PAGE_SIZE].contains(&region.page_size) {
        return Err(Problem::PageSize);
    }
    if region.size == 0 || !region.size.is_multiple_of(region.page_size) {
        return Err(Problem::Size);
    }
    if let Some(start) = region.phys {
        let end = start.checked_add(region.size).ok_or(Problem::Physical)?;
        if !start.is_multiple_of(region.page_size) || region.prefill.is_some() {
            return Err(Problem::Physical);
        }
        physical.push(start..end);
    }
    contents(region.prefill, region.size, blobs)
}

fn contents(blob: Option<Blob>, room: u64, blobs: &[u8]) -> Result<(), Problem> {
    let Some(blob) = blob else { return Ok(()) };
    if blob.len == 0 || blob.len > room {
        return Err(Problem::Blob);
    }
    let (_, padding) = codec::find(blobs, blob).ok_or(Problem::Blob)?;
    if padding.iter().all(|byte| *byte == 0) {
        Ok(())
    } else {
        Err(Problem::Padding)
    }
}

fn domain(domain: &Domain, system: &SystemImage, blobs: &[u8]) -> Result<(), Problem> {
    if domain.priority > MAX_PRIORITY {
        return Err(Problem::Priority);
    }
    if !(MIN_STACK_SIZE..=MAX_STACK_SIZE).contains(&domain.stack_size)
        || !domain.stack_size.is_multiple_of(PAGE_SIZE)
    {
        return Err(Problem::Stack);
    }

    let mut ranges = Vec::new();
    for segment in &domain.segments {
        if !segment.mem_size.is_multiple_of(PAGE_SIZE) {
            return Err(Problem::Range);
        }
        ranges.push(user_range(segment.vaddr, segment.mem_size, PAGE_SIZE)?);
        contents(segment.data, segment.mem_size, blobs)?;
    }
    if !ranges.is_sorted_by_key(|range| range.start) {
        return Err(Problem::Overlap);
    }
    for map in &domain.maps {
        let region = system
            .regions
            .get(usize::from(map.region))
            .ok_or(Problem::NoSuchRegion)?;
        if map.access.write() && map.access.execute() {
            return Err(Problem::WriteExecute);
        }
        ranges.push(user_range(map.vaddr, region.size, region.page_size)?);
    }
    if !disjoint(&mut ranges) {
        return Err(Problem::Overlap);
    }

    let entry_is_in = |segment: &crate::Segment| {
        segment.access.execute()
            && domain
                .entry
                .checked_sub(segment.vaddr)
                .is_some_and(|at| at < segment.mem_size)
    };
    if !domain.segments.iter().any(entry_is_in) {
        return Err(Problem::Entry);
    }

    let mut ids = Ids::default();
    let mut ranges = Vec::new();
    for ports in &domain.io_ports {
        ids.add(ports.id, MAX_IO_PORT_ID)?;
        if ports.last < ports.first {
            return Err(Problem::IoPorts);
        }
        ranges.push(u64::from(ports.first)..u64::from(ports.last) + 1);
    }
    if disjoint(&mut ranges) {
        Ok(())
    } else {
        Err(Problem::IoPorts)
    }
}

fn irqs(domain: &Domain, ids: &mut Ids, vectors: &mut BTreeSet<u8>) -> Result<(), Problem> {
    for irq in &domain.irqs {
        ids.add(irq.id, MAX_CHANNEL_ID)?;
        let address_is_valid = match irq.source {
            IrqSource::Ioapic { .. } => true,
            IrqSource::Msi {
                device, function, ..
            } => device <= 31 && function <= 7,
        };
        if irq.vector > MAX_IRQ_VECTOR || !address_is_valid || !vectors.insert(irq.vector) {
            return Err(Problem::Irq);
        }
    }
    Ok(())
}

/// The range of addresses, if programs may use it.
fn user_range(vaddr: u64, size: u64, alignment: u64) -> Result<Range<u64>, Problem> {
    let end = vaddr.checked_add(size).ok_or(Problem::Range)?;
    let fits = size > 0 && vaddr >= USER_START && end <= USER_END;
    if fits && vaddr.is_multiple_of(alignment) {
        Ok(vaddr..end)
    } else {
        Err(Problem::Range)
    }
}

/// Whether no two of the (non-empty) ranges overlap; sorts them.
fn disjoint(ranges: &mut [Range<u64>]) -> bool {
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.windows(2).all(|pair| pair[0].end <= pair[1].start)
}
