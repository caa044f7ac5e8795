// SPDX-License-Identifier: BSD-2-Clause
//! What can be checked only when all elements have been read.

use std::ops::Range;

use xos_image::{LARGE_PAGE_SIZE, USER_END};

use crate::{
    error::{Mistake, SdfError},
    model::{MemoryRegion, ProtectionDomain, System},
};

/// Checks a description as a whole, chooses page sizes, and collects warnings.
pub(crate) fn system(system: &mut System) -> Result<(), SdfError> {
    physical(system)?;
    choose_page_sizes(system);
    for domain in &system.protection_domains {
        // Regions without a size are as large as their contents: at least one page.
        let size = |index| {
            let region: &MemoryRegion = &system.memory_regions[index];
            region.size.unwrap_or(region.page_size)
        };
        maps(system, domain, size)?;
    }
    priorities(system)?;
    cycles(system)?;

    let mapped = |index| {
        system
            .protection_domains
            .iter()
            .any(|d| d.maps.iter().any(|map| map.region == index))
    };
    let unused = (0..system.memory_regions.len()).filter(|index| !mapped(*index));
    system.warnings = unused
        .map(|index| {
            let region = &system.memory_regions[index];
            let mistake = Mistake::UnusedRegion {
                name: region.name.clone(),
            };
            system.error(region.at, "memory_region", mistake)
        })
        .collect();
    Ok(())
}

/// Devices and other regions at fixed addresses are disjoint.
fn physical(system: &System) -> Result<(), SdfError> {
    let mut regions: Vec<(Range<u64>, &MemoryRegion)> = system
        .memory_regions
        .iter()
        .filter_map(|region| Some((region.physical()?, region)))
        .collect();
    regions.sort_by_key(|(range, _)| range.start);
    for pair in regions.windows(2) {
        let [(a, first), (b, second)] = pair else {
            continue;
        };
        if a.end > b.start {
            // Report the one that comes later in the file.
            let ((range, region), (other_range, other)) = if first.at > second.at {
                ((a, first), (b, second))
            } else {
                ((b, second), (a, first))
            };
            let mistake = Mistake::PhysicalOverlap {
                start: range.start,
                end: range.end,
                other: other.name.clone(),
                other_start: other_range.start,
                other_end: other_range.end,
            };
            return Err(system.error(region.at, "memory_region", mistake));
        }
    }
    Ok(())
}

/// Gives large pages to regions that did not ask for a page size where size and all addresses
/// allow it, as Microkit does. Prefilled ones keep small pages: see
/// [`MemoryRegion::page_size`].
fn choose_page_sizes(system: &mut System) {
    let is_large = |value: u64| value.is_multiple_of(LARGE_PAGE_SIZE);
    let mut large: Vec<bool> = system
        .memory_regions
        .iter()
        .map(|region| {
            !region.page_size_given
                && region.prefill_path.is_none()
                && region.size.is_some_and(is_large)
                && region.phys_addr.is_none_or(is_large)
        })
        .collect();
    for map in system
        .protection_domains
        .iter()
        .flat_map(|domain| &domain.maps)
    {
        large[map.region] &= is_large(map.vaddr);
    }
    for (region, large) in system.memory_regions.iter_mut().zip(large) {
        if large {
            region.page_size = LARGE_PAGE_SIZE;
        }
    }
}

/// The maps of a domain are aligned, end in time, and do not overlap. `size` gives the
/// bytes of a region by its index.
pub(crate) fn maps(
    system: &System,
    domain: &ProtectionDomain,
    size: impl Fn(usize) -> u64,
) -> Result<(), SdfError> {
    let mut maps = Vec::new();
    for map in &domain.maps {
        let region = &system.memory_regions[map.region];
        if !map.vaddr.is_multiple_of(region.page_size) {
            let mistake = Mistake::Misaligned {
                attribute: "vaddr",
                value: map.vaddr,
                unit: region.page_size,
            };
            return Err(system.error(map.at, "map", mistake));
        }
        let end = u128::from(map.vaddr) + u128::from(size(map.region));
        if end > u128::from(USER_END) {
            let mistake = Mistake::MapRange {
                start: map.vaddr,
                end,
                limit: USER_END,
            };
            return Err(system.error(map.at, "map", mistake));
        }
        maps.push((map.vaddr..end as u64, map.at, region));
    }
    maps.sort_by_key(|(range, ..)| range.start);
    for pair in maps.windows(2) {
        let [first, second] = pair else { continue };
        if first.0.end > second.0.start {
            let ((range, at, _), (other_range, _, other)) = if first.1 > second.1 {
                (first, second)
            } else {
                (second, first)
            };
            let mistake = Mistake::MapOverlap {
                start: range.start,
                end: range.end,
                other: format!("the map of region '{}'", other.name),
                other_start: other_range.start,
                other_end: other_range.end,
            };
            return Err(system.error(*at, "map", mistake));
        }
    }
    Ok(())
}

/// A protected procedure runs at a priority not below its caller's: otherwise a domain in between
/// could keep the caller waiting, whatever the caller's priority.
///
/// The IC manager is exempt: it shares the priority of apps, for which its replies are fast, and
/// drivers, which are above, call it only when they start and when a client ends.
fn priorities(system: &System) -> Result<(), SdfError> {
    for (caller, callee, at) in calls(system) {
        let (caller, callee) = (
            &system.protection_domains[caller],
            &system.protection_domains[callee],
        );
        if caller.priority > callee.priority && callee.name != xos_image::MANAGER_NAME {
            let mistake = Mistake::PpPriority {
                caller: caller.name.clone(),
                caller_priority: caller.priority,
                callee: callee.name.clone(),
                callee_priority: callee.priority,
            };
            return Err(system.error(at, "end", mistake));
        }
    }
    Ok(())
}

/// Caller, callee and place of every channel with protected procedure calls.
fn calls(system: &System) -> impl Iterator<Item = (usize, usize, usize)> {
    system.channels.iter().flat_map(|channel| {
        let [a, b] = &channel.ends;
        [(a, b), (b, a)]
            .into_iter()
            .filter(|(caller, _)| caller.pp)
            .map(|(caller, callee)| (caller.domain, callee.domain, caller.at))
    })
}

/// Calls do not lead back to their caller.
fn cycles(system: &System) -> Result<(), SdfError> {
    let count = system.protection_domains.len();
    let mut callees = vec![Vec::new(); count];
    for (caller, callee, at) in calls(system) {
        callees[caller].push((callee, at));
    }
    let mut finished = vec![false; count];
    for start in 0..count {
        let mut path = Vec::new();
        if let Some(at) = find_cycle(start, &callees, &mut finished, &mut path) {
            let names: Vec<&str> = path
                .iter()
                .map(|index| system.protection_domains[*index].name.as_str())
                .collect();
            return Err(system.error(at, "end", Mistake::PpCycle(names.join(" -> "))));
        }
    }
    Ok(())
}

/// Depth-first search, as deep as there are domains. If there is a cycle, it is in `path`, its first
/// domain once more at its end, and the result is the place of the call that closes it.
fn find_cycle(
    node: usize,
    callees: &[Vec<(usize, usize)>],
    finished: &mut [bool],
    path: &mut Vec<usize>,
) -> Option<usize> {
    if finished[node] {
        return None;
    }
    path.push(node);
    for (callee, at) in &callees[node] {
        if let Some(start) = path.iter().position(|on_path| on_path == callee) {
            path.push(*callee);
            path.drain(..start);
            return Some(*at);
        }
        if let Some(at) = find_cycle(*callee, callees, finished, path) {
            return Some(at);
        }
    }
    path.pop();
    finished[node] = true;
    None
}
