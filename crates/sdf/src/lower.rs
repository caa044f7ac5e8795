// SPDX-License-Identifier: BSD-2-Clause
//! From a description and its files to the payload of the root task.

use std::io;

use xos_image::{Channel, Domain, End, ImageBuilder, Map, Parent, Region, Segment, SystemImage};

use crate::{
    check,
    error::{Mistake, SdfError},
    model::{MemoryRegion, ProtectionDomain, SetvarValue, System},
    program::{ElfError, Program, Symbols},
};

/// A system, ready to boot.
#[derive(Clone, Debug)]
pub struct Packed {
    /// What the payload describes.
    pub image: SystemImage,
    /// What the root task reads; see [`append_payload`](crate::append_payload).
    pub payload: Vec<u8>,
}

/// Joins a description with its files and packs them.
///
/// `read` gets the paths of programs and prefills as the description has them, and gives their
/// contents; where to search is the caller's business.
///
/// Into each program it writes the variables that the description names, which must exist, and
/// those that Microkit gives every domain, where they exist: `microkit_name` (bytes, terminated by
/// zero), `microkit_passive` (a byte), and the sets of identifiers `microkit_irqs`,
/// `microkit_notifications`, `microkit_pps` and `microkit_ioports` (64 bits each).
///
/// # Errors
/// The first file that cannot be read, loaded, or reconciled with the description.
pub fn lower(
    system: &System,
    mut read: impl FnMut(&str) -> io::Result<Vec<u8>>,
) -> Result<Packed, SdfError> {
    let mut files = |at, element, path: &str| {
        read(path).map_err(|error| {
            let mistake = Mistake::Unreadable {
                path: path.into(),
                error: error.to_string(),
            };
            system.error(at, element, mistake)
        })
    };
    let packing = |error| system.error(system.at, "system", Mistake::Image(error));
    let mut builder = ImageBuilder::new();
    let mut regions = Vec::<Region>::new();
    let mut domains = Vec::new();

    for region in &system.memory_regions {
        let contents = match &region.prefill_path {
            Some(path) => prefill(
                system,
                region,
                path,
                files(region.at, "memory_region", path)?,
            )?,
            None => Vec::new(),
        };
        regions.push(Region {
            name: region.name.clone(),
            size: region
                .size
                .unwrap_or((contents.len() as u64).next_multiple_of(region.page_size)),
            page_size: region.page_size,
            phys: region.phys_addr,
            prefill: builder.blob(&contents).map_err(packing)?,
        });
    }
    let value = |value| match value {
        SetvarValue::Number(number) => number,
        SetvarValue::RegionSize(index) => regions[index].size,
        SetvarValue::PrefillSize(index) => regions[index].prefill.map_or(0, |blob| blob.len),
    };

    for (index, domain) in system.protection_domains.iter().enumerate() {
        // Once more: now the sizes of prefilled regions are known.
        check::maps(system, domain, |index| regions[index].size)?;

        let program_image = &domain.program_image;
        let file = files(program_image.at, "program_image", &program_image.path)?;
        let in_program = |error| {
            program_error(
                system,
                program_image.at,
                "program_image",
                &program_image.path,
                error,
            )
        };
        let mut program = Program::load(&file).map_err(in_program)?;
        let symbols_path = program_image
            .path_for_symbols
            .as_ref()
            .unwrap_or(&program_image.path);
        let symbols_file = match &program_image.path_for_symbols {
            Some(path) => files(program_image.at, "program_image", path)?,
            None => file,
        };
        let symbols = Symbols::read(&symbols_file).map_err(|error| {
            program_error(
                system,
                program_image.at,
                "program_image",
                symbols_path,
                error,
            )
        })?;

        for (symbol, bytes) in promised(system, index) {
            if let Some((address, size)) = symbols.find(symbol).map_err(in_program)? {
                set(&mut program, symbol, address, size, &bytes).map_err(in_program)?;
            }
        }
        for setvar in &domain.setvars {
            let bytes = value(setvar.value).to_le_bytes();
            let symbol = &setvar.symbol;
            symbols
                .find(symbol)
                .and_then(|found| {
                    found.ok_or(ElfError::NoSymbol {
                        symbol: symbol.clone(),
                    })
                })
                .and_then(|(address, size)| set(&mut program, symbol, address, size, &bytes))
                .map_err(|error| {
                    program_error(system, setvar.at, setvar.element, symbols_path, error)
                })?;
        }
        disjoint(system, domain, &program, &regions)?;

        let mut segments = Vec::new();
        for run in &program.runs {
            let used = run
                .bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |last| last + 1);
            segments.push(Segment {
                vaddr: run.vaddr,
                mem_size: run.bytes.len() as u64,
                access: run.access,
                data: builder.blob(&run.bytes[..used]).map_err(packing)?,
            });
        }
        domains.push(Domain {
            name: domain.name.clone(),
            parent: domain.parent.map(|(parent, id)| Parent {
                domain: parent as u16,
                id,
            }),
            priority: domain.priority,
            stack_size: domain.stack_size,
            entry: program.entry,
            segments,
            maps: domain
                .maps
                .iter()
                .map(|map| Map {
                    region: map.region as u16,
                    vaddr: map.vaddr,
                    access: map.access,
                    cached: map.cached,
                })
                .collect(),
            irqs: domain.irqs.clone(),
            io_ports: domain.io_ports.clone(),
        });
    }

    let channels = system
        .channels
        .iter()
        .map(|channel| {
            let [a, b] = channel.ends.each_ref().map(|end| End {
                domain: end.domain as u16,
                id: end.id,
                notify: end.notify,
                pp: end.pp,
            });
            Channel { a, b }
        })
        .collect();
    let image = SystemImage {
        domains,
        regions,
        channels,
    };
    let payload = builder.finish(&image).map_err(packing)?;
    Ok(Packed { image, payload })
}

fn program_error(
    system: &System,
    at: usize,
    element: &str,
    path: &str,
    error: ElfError,
) -> SdfError {
    system.error(
        at,
        element,
        Mistake::Program {
            path: path.into(),
            error,
        },
    )
}

/// Checks that the contents of a region fit into it.
fn prefill(
    system: &System,
    region: &MemoryRegion,
    path: &str,
    contents: Vec<u8>,
) -> Result<Vec<u8>, SdfError> {
    let path = path.to_string();
    let len = contents.len() as u64;
    let mistake = match region.size {
        _ if contents.is_empty() => Mistake::PrefillEmpty { path },
        Some(size) if len > size => Mistake::PrefillSize { path, len, size },
        _ => return Ok(contents),
    };
    Err(system.error(region.at, "memory_region", mistake))
}

/// What Microkit writes into the program of every domain: symbol and bytes.
fn promised(system: &System, index: usize) -> [(&'static str, Vec<u8>); 6] {
    let domain = &system.protection_domains[index];
    let mut notifications = 0u64;
    let mut pps = 0u64;
    for end in system.channels.iter().flat_map(|channel| &channel.ends) {
        if end.domain == index {
            notifications |= u64::from(end.notify) << end.id;
            pps |= u64::from(end.pp) << end.id;
        }
    }
    let irqs = domain.irqs.iter().fold(0u64, |set, irq| set | 1 << irq.id);
    let io_ports = domain
        .io_ports
        .iter()
        .fold(0u64, |set, ports| set | 1 << ports.id);
    let mut name = domain.name.clone().into_bytes();
    name.resize(xos_image::MAX_NAME_LEN + 1, 0);
    [
        ("microkit_name", name),
        ("microkit_passive", vec![0]),
        ("microkit_irqs", irqs.to_le_bytes().into()),
        ("microkit_notifications", notifications.to_le_bytes().into()),
        ("microkit_pps", pps.to_le_bytes().into()),
        ("microkit_ioports", io_ports.to_le_bytes().into()),
    ]
}

/// Sets a variable of exactly the size of `bytes`.
fn set(
    program: &mut Program,
    symbol: &str,
    address: u64,
    size: u64,
    bytes: &[u8],
) -> Result<(), ElfError> {
    let expected = bytes.len() as u64;
    if size != expected {
        return Err(ElfError::SymbolSize {
            symbol: symbol.into(),
            size,
            expected,
        });
    }
    if program.write(address, bytes) {
        Ok(())
    } else {
        Err(ElfError::SymbolAddress {
            symbol: symbol.into(),
            address,
        })
    }
}

/// No map lies over the program. Stack and IPC buffer need no check: they lie behind
/// [`USER_END`](xos_image::USER_END), maps and programs before it.
fn disjoint(
    system: &System,
    domain: &ProtectionDomain,
    program: &Program,
    regions: &[Region],
) -> Result<(), SdfError> {
    for map in &domain.maps {
        let (start, end) = (map.vaddr, map.vaddr + regions[map.region].size);
        if let Some(run) = program
            .runs
            .iter()
            .find(|run| start < run.end() && run.vaddr < end)
        {
            let mistake = Mistake::MapOverlap {
                start,
                end,
                other: format!("the program '{}'", domain.program_image.path),
                other_start: run.vaddr,
                other_end: run.end(),
            };
            return Err(system.error(map.at, "map", mistake));
        }
    }
    Ok(())
}
