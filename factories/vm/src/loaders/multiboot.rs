// SPDX-License-Identifier: BSD-2-Clause
//! Multiboot, version 1 (the GNU project's specification 0.6.96).
//!
//! The crates that read such a header panic on one that is not well-formed, so it is read here.

use elf::ElfBytes;
use elf::abi::{EM_386, PT_LOAD};
use elf::endian::LittleEndian;
use elf::file::Class;

use super::{COMMAND_LINE, HIGH, INFO, Image, LOW_END, LoadError, Loaded, word32};
use crate::machine::Registers;
use crate::memory::Memory;

const MAGIC: u32 = 0x1bad_b002;
/// What a kernel finds in EAX.
pub const LOADED_MAGIC: u32 = 0x2bad_b002;
/// A header lies within so many bytes.
const SEARCHED: usize = 8192;

mod flag {
    /// Features that have to be there: modules at pages, memory information, and (bit 2) a video mode.
    pub const REQUIRED: u32 = 0xffff;
    pub const OFFERED: u32 = 3;
    /// The addresses in the header count.
    pub const ADDRESSES: u32 = 1 << 16;
}

/// What of the information is there: memory sizes, command line, modules, memory map, name of the loader.
const INFO_FLAGS: u32 = 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9;
const MAP: u32 = INFO + 0x200;
const MODULES: u32 = INFO + 0x300;
const NAME: u32 = INFO + 0x400;

/// Where the header is, if there is one whose sum is right.
fn header(kernel: &[u8]) -> Option<usize> {
    (0..kernel.len().min(SEARCHED)).step_by(4).find(|at| {
        let word = |number: usize| word32(kernel, at + 4 * number).unwrap_or(1);
        word(0) == MAGIC && word(0).wrapping_add(word(1)).wrapping_add(word(2)) == 0
    })
}

/// Loads a kernel.
///
/// # Errors
/// When that is not possible.
pub fn load(image: &Image<'_>, memory: &mut Memory<'_>) -> Result<Loaded, LoadError> {
    let kernel = image.kernel;
    let at = header(kernel).ok_or(LoadError::Unknown)?;
    let flags = word32(kernel, at + 4).ok_or(LoadError::Header)?;
    if flags & flag::REQUIRED & !flag::OFFERED != 0 {
        return Err(LoadError::Needs("a video mode, or a later Multiboot"));
    }
    let (ip, end) = match flags & flag::ADDRESSES {
        0 => load_elf(kernel, memory)?,
        _ => load_flat(kernel, at, memory)?,
    };
    let module = end
        .checked_next_multiple_of(0x1000)
        .ok_or(LoadError::Memory)?;
    memory.write(module, image.module)?;
    let module_end = module
        .checked_add(image.module.len() as u32)
        .ok_or(LoadError::Memory)?;

    let size = memory.size();
    let upper = (size - u64::from(HIGH)) as u32;
    let has_module = u32::from(!image.module.is_empty());
    memory.write(NAME, b"xOS\0")?;
    memory.write_words(MODULES, [module, module_end, COMMAND_LINE, 0])?;
    memory.write_words(MAP, [20, 0, 0, LOW_END, 0, 1, 20, HIGH, 0, upper, 0, 1])?;
    memory.bytes_mut(INFO, 88)?.fill(0);
    memory.write_words(
        INFO,
        [
            INFO_FLAGS,
            LOW_END >> 10,
            upper >> 10,
            0,
            COMMAND_LINE,
            has_module,
            MODULES,
        ],
    )?;
    memory.write_words(INFO + 44, [48, MAP])?;
    memory.write_words(INFO + 64, [NAME])?;
    Ok(Loaded {
        ip,
        registers: Registers {
            eax: LOADED_MAGIC,
            ebx: INFO,
            ..Registers::default()
        },
    })
}

/// A place in memory that may be a kernel's: above what the loader itself has put there.
fn place<'m>(
    memory: &'m mut Memory<'_>,
    start: u32,
    length: u64,
) -> Result<&'m mut [u8], LoadError> {
    if start < HIGH {
        return Err(LoadError::Header);
    }
    let length = usize::try_from(length).map_err(|_| LoadError::Memory)?;
    Ok(memory.bytes_mut(start, length)?)
}

/// By the addresses in the header: the entry, and the end.
fn load_flat(kernel: &[u8], at: usize, memory: &mut Memory<'_>) -> Result<(u32, u32), LoadError> {
    let word = |number: usize| word32(kernel, at + 12 + 4 * number).ok_or(LoadError::Header);
    let (header, start, data_end, bss_end, entry) =
        (word(0)?, word(1)?, word(2)?, word(3)?, word(4)?);
    let before = header.checked_sub(start).ok_or(LoadError::Header)?;
    let offset = at.checked_sub(before as usize).ok_or(LoadError::Header)?;
    let rest = &kernel[offset..];
    let data = match data_end {
        0 => rest,
        end => {
            let length = end.checked_sub(start).ok_or(LoadError::Header)?;
            rest.get(..length as usize).ok_or(LoadError::Header)?
        }
    };
    let end = u64::from(start) + data.len() as u64;
    let end = end.max(bss_end.into());
    let place = place(memory, start, end - u64::from(start))?;
    place[..data.len()].copy_from_slice(data);
    place[data.len()..].fill(0);
    Ok((entry, u32::try_from(end).map_err(|_| LoadError::Memory)?))
}

/// By the segments of an ELF file, at their physical addresses: the entry, and the end.
fn load_elf(kernel: &[u8], memory: &mut Memory<'_>) -> Result<(u32, u32), LoadError> {
    let malformed = |_| LoadError::Header;
    let file = ElfBytes::<LittleEndian>::minimal_parse(kernel).map_err(malformed)?;
    if file.ehdr.class != Class::ELF32 || file.ehdr.e_machine != EM_386 {
        return Err(LoadError::Needs("a processor that is not there"));
    }
    let mut end = HIGH;
    let segments = file.segments().ok_or(LoadError::Header)?;
    for segment in segments.iter().filter(|segment| segment.p_type == PT_LOAD) {
        let bytes = file.segment_data(&segment).map_err(malformed)?;
        if (bytes.len() as u64) > segment.p_memsz {
            return Err(LoadError::Header);
        }
        if segment.p_memsz == 0 {
            continue;
        }
        let start = u32::try_from(segment.p_paddr).map_err(malformed_address)?;
        let place = place(memory, start, segment.p_memsz)?;
        place[..bytes.len()].copy_from_slice(bytes);
        place[bytes.len()..].fill(0);
        // It fits below 4 GiB: the memory does, but for its very end.
        end = end.max(start.saturating_add(segment.p_memsz as u32));
    }
    let entry = u32::try_from(file.ehdr.e_entry).map_err(malformed_address)?;
    Ok((entry, end))
}

const fn malformed_address(_: core::num::TryFromIntError) -> LoadError {
    LoadError::Header
}

#[cfg(test)]
mod tests {
    use super::super::load as load_any;
    use super::*;

    /// A kernel by addresses: header at its start, which is loaded at 2 MiB.
    fn flat() -> Vec<u8> {
        let mut kernel = Vec::new();
        let flags = flag::ADDRESSES | 3;
        let words = [
            MAGIC,
            flags,
            0u32.wrapping_sub(MAGIC).wrapping_sub(flags),
            0x20_0000,
            0x20_0000,
            0x20_0030,
            0x20_0100,
            0x20_0020,
        ];
        for word in words {
            kernel.extend(word.to_le_bytes());
        }
        kernel.extend([0x90; 16]);
        kernel.extend([0xff; 16]);
        kernel
    }

    fn with<T>(kernel: &[u8], then: impl FnOnce(Result<Loaded, LoadError>, &Memory<'_>) -> T) -> T {
        let mut bytes = vec![0xaa; 8 << 20];
        let mut memory = Memory::new(&mut bytes);
        let image = Image {
            kernel,
            module: b"module",
            command_line: "a b",
        };
        let loaded = load_any(&image, &mut memory);
        then(loaded, &memory)
    }

    #[test]
    fn a_kernel_is_where_it_wants_to_be_and_what_has_no_bytes_is_zero() {
        with(&flat(), |loaded, memory| {
            let loaded = loaded.unwrap();
            assert_eq!((loaded.ip, loaded.registers.eax), (0x20_0020, LOADED_MAGIC));
            assert_eq!(memory.bytes(0x20_0020, 16).unwrap(), [0x90; 16]);
            assert_eq!(memory.bytes(0x20_0030, 0xd0).unwrap(), [0; 0xd0]);
        });
    }

    #[test]
    fn it_is_told_of_its_memory_its_command_line_and_its_module() {
        with(&flat(), |loaded, memory| {
            let info = loaded.unwrap().registers.ebx;
            let word = |at: u32| word32(memory.bytes(at, 4).unwrap(), 0).unwrap();
            assert_eq!((word(info + 4), word(info + 8)), (639, 7 << 10));
            assert_eq!(memory.bytes(word(info + 16), 4).unwrap(), b"a b\0");
            assert_eq!(word(info + 20), 1);
            let (start, end) = (word(word(info + 24)), word(word(info + 24) + 4));
            assert_eq!((start, end), (0x20_1000, 0x20_1006));
            assert_eq!(memory.bytes(start, 6).unwrap(), b"module");
            let (length, map) = (word(info + 44), word(info + 48));
            assert_eq!(length, 48);
            assert_eq!((word(map + 28), word(map + 36)), (HIGH, 7 << 20));
        });
    }

    #[test]
    fn addresses_that_contradict_each_other_or_leave_the_memory_are_refused() {
        for (word, value) in [
            (3, 0x1f_ffff),
            (4, 0x30_0000),
            (5, 0x20_0031 + 0x1000),
            (5, 0x1f_0000),
            (6, 0x90_0000),
            (6, u32::MAX),
        ] {
            let mut kernel = flat();
            kernel[4 * word..][..4].copy_from_slice(&u32::to_le_bytes(value));
            with(&kernel, |loaded, _| {
                assert!(loaded.is_err(), "{word}: {value:#x}");
            });
        }
    }

    #[test]
    fn a_kernel_that_would_lie_where_the_loader_writes_is_refused() {
        let mut kernel = flat();
        for word in [3, 4] {
            kernel[4 * word..][..4].copy_from_slice(&0x7000u32.to_le_bytes());
        }
        with(&kernel, |loaded, _| assert!(loaded.is_err()));
    }

    #[test]
    fn a_kernel_that_wants_a_video_mode_is_refused() {
        let mut kernel = flat();
        let flags = flag::ADDRESSES | 4;
        kernel[4..8].copy_from_slice(&flags.to_le_bytes());
        let sum = 0u32.wrapping_sub(MAGIC).wrapping_sub(flags);
        kernel[8..12].copy_from_slice(&sum.to_le_bytes());
        with(&kernel, |loaded, _| {
            assert!(matches!(loaded, Err(LoadError::Needs(_))));
        });
    }
}
