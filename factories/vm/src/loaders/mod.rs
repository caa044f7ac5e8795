// SPDX-License-Identifier: BSD-2-Clause
//! What puts a kernel into a guest's memory, as a boot loader does.
//!
//! | image | module |
//! | --- | --- |
//! | a kernel with a Multiboot header (version 1), ELF or not | [`multiboot`] |
//! | a Linux kernel as it is installed (bzImage), by its 32-bit boot protocol | [`linux`] |
//!
//! Images are hostile until shown otherwise: a length or address that leaves the image or the memory is an
//! error, and nothing is assumed of what an image claims of itself.
//!
//! ```text
//! a guest's memory at the start
//!   0x7000     descriptor table: flat code (selector 0x10) and data (0x18)
//!   0x8000     what the kernel is told: Multiboot information, or Linux' boot parameters
//!   0x9000     command line
//!   0x100000   the kernel, where it wants to be
//!   ...        module or initial RAM disk: behind the kernel, or at the end of the memory
//! ```

pub mod linux;
pub mod multiboot;

use crate::machine::Registers;
use crate::memory::{Memory, Outside};

const GDT: u32 = 0x7000;
/// Where a kernel finds what it is told.
const INFO: u32 = 0x8000;
const COMMAND_LINE: u32 = 0x9000;
/// Bytes of a command line, with its NUL.
pub const MAX_COMMAND_LINE: usize = 2048;
/// Where the memory below the hole for devices ends, and where that above it begins.
const LOW_END: u32 = 0x9_fc00;
const HIGH: u32 = 0x10_0000;

/// The least memory of a machine, in bytes.
pub const LEAST_MEMORY: u64 = 4 << 20;

/// Selectors of the code segment and of all data segments.
pub const SELECTORS: (u16, u16) = (0x10, 0x18);
/// Where the descriptor table is, and its limit.
pub const DESCRIPTORS: (u32, u32) = (GDT, 0x1f);

/// Why an image cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is none that is known.
    #[error("neither a Multiboot kernel nor a Linux kernel")]
    Unknown,
    /// A header contradicts itself or the image.
    #[error("malformed header")]
    Header,
    /// It wants something that is not offered.
    #[error("it needs something that is not there: {0}")]
    Needs(&'static str),
    /// It does not fit.
    #[error("not enough memory")]
    Memory,
    /// The command line is too long, or has a NUL byte in it.
    #[error("the command line is too long")]
    CommandLine,
}

impl From<Outside> for LoadError {
    fn from(Outside: Outside) -> Self {
        Self::Memory
    }
}

/// Where a loaded kernel starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The first instruction.
    pub ip: u32,
    /// What is in its registers.
    pub registers: Registers,
}

/// A kernel and what it is started with.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// The kernel.
    pub kernel: &'a [u8],
    /// A module, or an initial RAM disk; empty for none.
    pub module: &'a [u8],
    /// Its command line.
    pub command_line: &'a str,
}

/// Loads a kernel of any kind.
///
/// # Errors
/// When that is not possible. What is in the memory then is undefined.
pub fn load(image: &Image<'_>, memory: &mut Memory<'_>) -> Result<Loaded, LoadError> {
    if memory.size() < LEAST_MEMORY {
        return Err(LoadError::Memory);
    }
    let line = image.command_line.as_bytes();
    if line.len() >= MAX_COMMAND_LINE || line.contains(&0) {
        return Err(LoadError::CommandLine);
    }
    memory.write(COMMAND_LINE, line)?;
    memory.write(COMMAND_LINE + line.len() as u32, &[0])?;
    // Null, unused, code and data: base 0, limit 4 GiB, 32 bits.
    memory.write_words(GDT, [0, 0, 0, 0, 0xffff, 0x00cf_9b00, 0xffff, 0x00cf_9300])?;
    if linux::is_one(image.kernel) {
        return linux::load(image, memory);
    }
    multiboot::load(image, memory)
}

fn word16(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

fn word32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// The start of the last `length` bytes of memory below `limit` that begin at a page.
fn at_end(memory: &Memory<'_>, limit: u64, length: usize) -> Result<u32, LoadError> {
    let end = memory.size().min(limit);
    let start = end.checked_sub(length as u64).ok_or(LoadError::Memory)? & !0xfff;
    u32::try_from(start).map_err(|_| LoadError::Memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image(kernel: &[u8]) -> Image<'_> {
        Image {
            kernel,
            module: &[],
            command_line: "",
        }
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        let mut bytes = vec![0; LEAST_MEMORY as usize];
        let mut memory = Memory::new(&mut bytes);
        for kernel in [&[][..], &[0; 8192], b"\x7fELF"] {
            assert_eq!(load(&image(kernel), &mut memory), Err(LoadError::Unknown));
        }
    }

    #[test]
    fn a_command_line_that_does_not_fit_is_refused() {
        let mut bytes = vec![0; LEAST_MEMORY as usize];
        let mut memory = Memory::new(&mut bytes);
        let long = "x".repeat(MAX_COMMAND_LINE);
        let image = Image {
            command_line: &long,
            ..image(&[])
        };
        assert_eq!(load(&image, &mut memory), Err(LoadError::CommandLine));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_with_a_header_are_loaded_or_refused(
            mut kernel in proptest::collection::vec(any::<u8>(), 0x300..0x600),
            linux: bool,
            flags in prop_oneof![Just(0u32), Just(0x1_0003), any::<u32>()],
            size in (4usize << 20..6 << 20),
        ) {
            if linux {
                kernel[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
                kernel[0x202..0x206].copy_from_slice(b"HdrS");
                kernel[0x207] = 2;
            } else {
                kernel[0..4].copy_from_slice(&0x1bad_b002u32.to_le_bytes());
                kernel[4..8].copy_from_slice(&flags.to_le_bytes());
                let sum = 0u32.wrapping_sub(0x1bad_b002).wrapping_sub(flags);
                kernel[8..12].copy_from_slice(&sum.to_le_bytes());
            }
            let mut bytes = vec![0; size];
            let _ = load(&image(&kernel), &mut Memory::new(&mut bytes));
        }
    }
}
