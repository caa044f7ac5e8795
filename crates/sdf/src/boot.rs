// SPDX-License-Identifier: BSD-2-Clause
//! The file that the kernel boots: the root task with its payload behind it.

use object::{
    Endianness, elf,
    write::elf::{FileHeader, ProgramHeader, Writer},
};
use xos_image::{PAGE_SIZE, PAYLOAD_SYMBOL, USER_END};

use crate::program::{ElfError, Load, Loads, MAX_PROGRAM_SIZE, Symbols, loads};

/// Puts a payload behind a root task and tells it where.
///
/// The result is what [`bootable`] makes of the root task, with one more segment, read-only, with
/// the payload on the first page behind the others. Its address and length are written to the
/// symbol [`PAYLOAD_SYMBOL`], which must be a `[u64; 2]`. The kernel gives the root task all memory
/// from the lowest to the highest address of its segments, so that the payload follows them
/// directly.
///
/// # Errors
/// Those of [`bootable`]; if the symbol is missing or of another size; if the payload is not in
/// whole pages, as those of [`lower`](crate::lower) are.
pub fn append_payload(root_task: &[u8], payload: &[u8]) -> Result<Vec<u8>, ElfError> {
    let (entry, mut parts) = parts(root_task)?;
    let size = payload.len() as u64;
    let end = parts
        .iter()
        .map(|part| part.vaddr + part.mem_size)
        .max()
        .unwrap_or(0);
    let address = end.next_multiple_of(PAGE_SIZE);
    if size == 0 || !size.is_multiple_of(PAGE_SIZE) || size > USER_END.saturating_sub(address) {
        return Err(ElfError::Payload { size });
    }
    locate_payload(root_task, &mut parts, address, size)?;
    let data = payload.to_vec();
    parts.push(Part {
        vaddr: address,
        mem_size: size,
        data,
        flags: elf::PF_R,
    });
    write(entry, &parts)
}

/// The same static ELF executable with its `PT_LOAD` program headers alone.
///
/// The default kernel loads whatever a program header names, whatever its type, and clears the rest
/// of its memory, so that a `PT_TLS` or `PT_GNU_RELRO` header wipes out data of the segment that it
/// describes a part of. Sections and symbols go too; headers that the root task reads in its own
/// memory are contents of a segment and remain as they were.
///
/// # Errors
/// If `root_task` is not a static x86-64 executable that begins on a page.
pub fn bootable(root_task: &[u8]) -> Result<Vec<u8>, ElfError> {
    let (entry, parts) = parts(root_task)?;
    write(entry, &parts)
}

fn parts(root_task: &[u8]) -> Result<(u64, Vec<Part>), ElfError> {
    let Loads { entry, loads } = loads(root_task)?;
    let start = loads.iter().map(|load| load.vaddr).min().unwrap_or(0);
    let end = loads.iter().map(Load::end).max().unwrap_or(0);
    if !start.is_multiple_of(PAGE_SIZE) {
        return Err(ElfError::ImageStart { start });
    }
    // The kernel takes one piece of memory from start to end.
    if end - start > MAX_PROGRAM_SIZE {
        return Err(ElfError::TooLarge { size: end - start });
    }
    Ok((entry, loads.iter().map(Part::from).collect()))
}

/// A segment of the result.
struct Part {
    vaddr: u64,
    mem_size: u64,
    data: Vec<u8>,
    flags: elf::ProgramFlags,
}

impl From<&Load<'_>> for Part {
    fn from(load: &Load) -> Self {
        Self {
            vaddr: load.vaddr,
            mem_size: load.mem_size,
            data: load.data.to_vec(),
            flags: load.flags,
        }
    }
}

/// Writes address and length of the payload into the root task's variable.
fn locate_payload(
    root_task: &[u8],
    parts: &mut [Part],
    payload: u64,
    len: u64,
) -> Result<(), ElfError> {
    let symbol = || PAYLOAD_SYMBOL.to_string();
    let (address, size) = Symbols::read(root_task)?
        .find(PAYLOAD_SYMBOL)?
        .ok_or_else(|| ElfError::NoSymbol { symbol: symbol() })?;
    let value = [payload.to_le_bytes(), len.to_le_bytes()].concat();
    if size != value.len() as u64 {
        return Err(ElfError::SymbolSize {
            symbol: symbol(),
            size,
            expected: value.len() as u64,
        });
    }
    let part = parts.iter_mut().find(|part| {
        let offset = address.checked_sub(part.vaddr);
        offset
            .and_then(|offset| offset.checked_add(size))
            .is_some_and(|end| end <= part.mem_size)
    });
    let part = part.ok_or_else(|| ElfError::SymbolAddress {
        symbol: symbol(),
        address,
    })?;
    let at = (address - part.vaddr) as usize;
    // The variable may be in the part of the segment that is zero and not in the file.
    part.data.resize(part.data.len().max(at + value.len()), 0);
    part.data[at..at + value.len()].copy_from_slice(&value);
    Ok(())
}

fn write(entry: u64, parts: &[Part]) -> Result<Vec<u8>, ElfError> {
    let malformed = |error: object::write::Error| ElfError::Malformed(error.to_string());
    let mut file = Vec::new();
    let mut writer = Writer::new(Endianness::Little, true, &mut file);
    writer.reserve_file_header();
    writer.reserve_program_headers(parts.len() as u32);
    let mut offsets = Vec::new();
    for part in parts {
        // As linkers do: offset and address agree in their place on a page.
        let page = writer.reserve(0, PAGE_SIZE);
        writer.reserve_until(page + part.vaddr % PAGE_SIZE);
        offsets.push(writer.reserve(part.data.len() as u64, 1));
    }

    let header = FileHeader {
        os_abi: elf::ELFOSABI_NONE,
        abi_version: 0,
        e_type: elf::ET_EXEC,
        e_machine: elf::EM_X86_64,
        e_entry: entry,
        e_flags: elf::FileFlags(0),
    };
    writer.write_file_header(&header).map_err(malformed)?;
    writer.write_align_program_headers();
    for (part, offset) in parts.iter().zip(&offsets) {
        writer.write_program_header(&ProgramHeader {
            p_type: elf::PT_LOAD,
            p_flags: part.flags,
            p_offset: *offset,
            p_vaddr: part.vaddr,
            p_paddr: part.vaddr,
            p_filesz: part.data.len() as u64,
            p_memsz: part.mem_size,
            p_align: PAGE_SIZE,
        });
    }
    for (part, offset) in parts.iter().zip(&offsets) {
        writer.pad_until(*offset);
        writer.write(&part.data);
    }
    Ok(file)
}
