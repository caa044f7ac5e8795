// SPDX-License-Identifier: BSD-2-Clause
//! Linux, by the 32-bit boot protocol (Documentation/arch/x86/boot.rst of the kernel's source).

use super::{
    COMMAND_LINE, HIGH, INFO, Image, LOW_END, LoadError, Loaded, MAX_COMMAND_LINE, at_end, word16,
    word32,
};
use crate::machine::Registers;
use crate::memory::Memory;

/// Offsets in the image, which are those in the boot parameters too.
mod at {
    pub const SETUP_SECTORS: usize = 0x1f1;
    pub const BOOT_FLAG: usize = 0x1fe;
    pub const HEADER: usize = 0x1f1;
    pub const HEADER_LENGTH: usize = 0x201;
    pub const MAGIC: usize = 0x202;
    pub const VERSION: usize = 0x206;
    pub const LOADER: usize = 0x210;
    pub const LOAD_FLAGS: usize = 0x211;
    pub const RAMDISK: usize = 0x218;
    pub const RAMDISK_SIZE: usize = 0x21c;
    pub const COMMAND_LINE: usize = 0x228;
    pub const RAMDISK_MAX: usize = 0x22c;
    pub const ALIGNMENT: usize = 0x230;
    pub const RELOCATABLE: usize = 0x234;
    pub const COMMAND_LINE_SIZE: usize = 0x238;
    pub const INIT_SIZE: usize = 0x260;
}
/// Offsets in the boot parameters alone: extended memory in KiB, number of ranges of memory, the ranges.
const ALT_MEMORY: u32 = 0x1e0;
const RANGES: u32 = 0x1e8;
const RANGE: u32 = 0x2d0;
const PARAMETERS: usize = 0x1000;
/// The header may take so much of the boot parameters.
const HEADER_END: usize = 0x290;

/// The oldest protocol that has all that is needed (2.10: sizes and alignment).
const OLDEST: u16 = 0x20a;
/// A loader without a number of its own.
const LOADER_UNKNOWN: u8 = 0xff;
/// Load flag: the kernel is at 1 MiB.
const LOADED_HIGH: u8 = 1;

/// Whether it looks like one.
#[must_use]
pub fn is_one(kernel: &[u8]) -> bool {
    word16(kernel, at::BOOT_FLAG) == Some(0xaa55)
        && kernel.get(at::MAGIC..at::MAGIC + 4) == Some(b"HdrS")
}

/// Loads a kernel.
///
/// # Errors
/// When that is not possible.
pub fn load(image: &Image<'_>, memory: &mut Memory<'_>) -> Result<Loaded, LoadError> {
    let kernel = image.kernel;
    let word = |at| word32(kernel, at).ok_or(LoadError::Header);
    let byte = |at: usize| kernel.get(at).copied().ok_or(LoadError::Header);
    let version = word16(kernel, at::VERSION).ok_or(LoadError::Header)?;
    if version < OLDEST {
        return Err(LoadError::Needs("an older boot protocol"));
    }
    if byte(at::LOAD_FLAGS)? & LOADED_HIGH == 0 {
        return Err(LoadError::Needs("a kernel below 1 MiB"));
    }
    if image.command_line.len() > word(at::COMMAND_LINE_SIZE)? as usize
        || image.command_line.len() >= MAX_COMMAND_LINE
    {
        return Err(LoadError::CommandLine);
    }
    // 0 stands for 4, for the sake of very old kernels.
    let sectors = match byte(at::SETUP_SECTORS)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let code = kernel
        .get((sectors + 1) * 512..)
        .filter(|code| !code.is_empty())
        .ok_or(LoadError::Header)?;

    // It is loaded at 1 MiB, from where one that is relocatable moves itself to where it is aligned.
    let start = HIGH;
    let alignment = word(at::ALIGNMENT)?.max(1);
    let runs_at = match byte(at::RELOCATABLE)? {
        0 => start,
        _ => start
            .checked_next_multiple_of(alignment)
            .ok_or(LoadError::Header)?,
    };
    let length = u64::from(word(at::INIT_SIZE)?) + u64::from(runs_at - start);
    let length = length.max(code.len() as u64);
    let length = usize::try_from(length).map_err(|_| LoadError::Memory)?;
    memory.bytes(start, length)?;
    memory.write(start, code)?;

    let mut ramdisk = 0;
    if !image.module.is_empty() {
        let limit = u64::from(word(at::RAMDISK_MAX)?) + 1;
        ramdisk = at_end(memory, limit, image.module.len())?;
        if u64::from(ramdisk) < u64::from(start) + length as u64 {
            return Err(LoadError::Memory);
        }
        memory.write(ramdisk, image.module)?;
    }

    let header_end = (at::MAGIC + usize::from(byte(at::HEADER_LENGTH)?)).min(HEADER_END);
    let header = kernel
        .get(at::HEADER..header_end)
        .ok_or(LoadError::Header)?;
    let high = memory.size() - u64::from(HIGH);
    let parameters = memory.bytes_mut(INFO, PARAMETERS)?;
    parameters.fill(0);
    parameters[at::HEADER..header_end].copy_from_slice(header);
    parameters[at::LOADER] = LOADER_UNKNOWN;
    let mut put = |at: usize, word: u32| {
        parameters[at..at + 4].copy_from_slice(&word.to_le_bytes());
    };
    put(at::RAMDISK, ramdisk);
    put(at::RAMDISK_SIZE, image.module.len() as u32);
    put(at::COMMAND_LINE, COMMAND_LINE);
    put(ALT_MEMORY as usize, (high >> 10) as u32);
    memory.write(INFO + RANGES, &[2])?;
    for (number, (from, length)) in (0..).zip([(0, LOW_END), (HIGH, high as u32)]) {
        memory.write_words(INFO + RANGE + 20 * number, [from, 0, length, 0, 1])?;
    }
    Ok(Loaded {
        ip: start,
        registers: Registers {
            esi: INFO,
            ..Registers::default()
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::load as load_any;
    use super::*;

    fn kernel() -> Vec<u8> {
        let mut kernel = vec![0; 512 * 5];
        kernel[at::SETUP_SECTORS] = 4;
        kernel[at::BOOT_FLAG..][..2].copy_from_slice(&[0x55, 0xaa]);
        kernel[at::HEADER_LENGTH] = 0x6a;
        kernel[at::MAGIC..][..4].copy_from_slice(b"HdrS");
        kernel[at::VERSION..][..2].copy_from_slice(&[0x0f, 2]);
        kernel[at::LOAD_FLAGS] = LOADED_HIGH;
        for (at, word) in [
            (at::RAMDISK_MAX, 0x7fff_ffffu32),
            (at::ALIGNMENT, 0x20_0000),
            (at::COMMAND_LINE_SIZE, 255),
            (at::INIT_SIZE, 0x10_0000),
        ] {
            kernel[at..][..4].copy_from_slice(&word.to_le_bytes());
        }
        kernel[at::RELOCATABLE] = 1;
        kernel.extend(b"code of the kernel");
        kernel
    }

    fn with<T>(
        kernel: &[u8],
        module: &[u8],
        then: impl FnOnce(Result<Loaded, LoadError>, &Memory<'_>) -> T,
    ) -> T {
        let mut bytes = vec![0xaa; 8 << 20];
        let mut memory = Memory::new(&mut bytes);
        let image = Image {
            kernel,
            module,
            command_line: "console=ttyS0",
        };
        let loaded = load_any(&image, &mut memory);
        then(loaded, &memory)
    }

    #[test]
    fn the_protected_mode_part_is_at_a_mebibyte_and_the_parameters_are_in_esi() {
        with(&kernel(), b"disk", |loaded, memory| {
            let loaded = loaded.unwrap();
            assert_eq!((loaded.ip, loaded.registers.esi), (HIGH, INFO));
            assert_eq!(memory.bytes(HIGH, 18).unwrap(), b"code of the kernel");
            let parameters = memory.bytes(INFO, PARAMETERS).unwrap();
            let word = |at| word32(parameters, at).unwrap();
            assert_eq!(word(at::COMMAND_LINE), COMMAND_LINE);
            assert_eq!(memory.bytes(COMMAND_LINE, 14).unwrap(), b"console=ttyS0\0");
            let (start, length) = (word(at::RAMDISK), word(at::RAMDISK_SIZE));
            assert_eq!((start, length), ((8 << 20) - 0x1000, 4));
            assert_eq!(memory.bytes(start, 4).unwrap(), b"disk");
            assert_eq!(parameters[RANGES as usize], 2);
            assert_eq!(word(RANGE as usize + 20 + 8), 7 << 20);
            assert_eq!(word(0), 0, "what is not the header is zero");
        });
    }

    #[test]
    fn a_kernel_that_needs_more_memory_than_there_is_is_refused() {
        let mut kernel = kernel();
        kernel[at::INIT_SIZE..][..4].copy_from_slice(&0x70_0000u32.to_le_bytes());
        with(&kernel, &[], |loaded, _| {
            assert_eq!(loaded, Err(LoadError::Memory));
        });
    }

    #[test]
    fn a_ram_disk_that_would_lie_over_the_kernel_is_refused() {
        with(&kernel(), &vec![1; 6 << 20], |loaded, _| {
            assert_eq!(loaded, Err(LoadError::Memory));
        });
    }

    #[test]
    fn kernels_of_another_age_are_refused() {
        let mut old = kernel();
        old[at::VERSION..][..2].copy_from_slice(&[4, 2]);
        let mut low = kernel();
        low[at::LOAD_FLAGS] = 0;
        for kernel in [old, low] {
            with(&kernel, &[], |loaded, _| {
                assert!(matches!(loaded, Err(LoadError::Needs(_))));
            });
        }
    }

    #[test]
    fn a_truncated_kernel_is_refused() {
        let kernel = kernel();
        for length in [0x208, 0x212, 0x240, 512 * 5] {
            with(&kernel[..length], &[], |loaded, _| {
                assert_eq!(loaded, Err(LoadError::Header), "{length:#x}");
            });
        }
    }
}
