// SPDX-License-Identifier: BSD-2-Clause

//! Thread-local storage of the x86-64 ABI (variant II of Drepper, *ELF Handling For Thread-Local
//! Storage*, section 3.4.6).
//!
//! A thread's block holds a copy of the program's PT_TLS image, ends at the *thread pointer*, and
//! is followed by one word at the thread pointer that holds the thread pointer itself. Code reaches
//! its variables at negative offsets from FS base.
//!
//! On this kernel a thread cannot set its own FS base: there is no system call for it, the
//! instructions are off, and registers can be written only to another thread. So **whoever starts a
//! thread** lays out its block and writes its FS base with the other registers (the 19th of
//! WriteRegisters). Stable Rust has no thread-local variables of its own in programs without `std`:
//! a program has a PT_TLS only if it links C code that wants one. The root task and boot domains
//! are started without a block, and must not have such variables.

use thiserror::Error;

/// What a program header of type PT_TLS says, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsSegment {
    /// Where the initial image lies in the program's memory (`p_vaddr`).
    pub vaddr: usize,
    /// Length of the initial image (`p_filesz`).
    pub filesz: usize,
    /// Length of the block: the image and then zeros (`p_memsz`).
    pub memsz: usize,
    /// Alignment of the block (`p_align`).
    pub align: usize,
}

/// Why a PT_TLS header cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TlsError {
    /// The image would not fit the block.
    #[error("PT_TLS: file size {filesz:#x} exceeds memory size {memsz:#x}")]
    ImageTooLong {
        /// `p_filesz`.
        filesz: usize,
        /// `p_memsz`.
        memsz: usize,
    },
    /// ELF allows 0 (as 1) and powers of two; more than a page is refused here.
    #[error("PT_TLS: alignment {0:#x} is not a power of two up to 4096")]
    Alignment(usize),
    /// The linker computed offsets that no block placed at an aligned address has.
    #[error("PT_TLS: address {vaddr:#x} is not a multiple of the alignment {align:#x}")]
    Misplaced {
        /// `p_vaddr`.
        vaddr: usize,
        /// `p_align`.
        align: usize,
    },
    /// The block would exceed [`MAX_BLOCK`].
    #[error("PT_TLS: {0:#x} bytes a thread are more than 16 MiB")]
    TooLarge(usize),
}

/// The largest block that is laid out: an upper bound for what a hostile header can ask for.
pub const MAX_BLOCK: usize = 16 << 20;

/// Bytes at the thread pointer: the pointer to itself and one word beside it, which the ABI leaves to
/// the C library.
const CONTROL_BLOCK: usize = 16;

/// How much memory a thread needs for its block and where in it everything goes.
///
/// The memory starts at a multiple of [`align`](Self::align) and is [`size`](Self::size) bytes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsLayout {
    segment: TlsSegment,
    thread_pointer: usize,
}

impl TlsLayout {
    /// Checks a header and computes the layout.
    ///
    /// # Errors
    /// [`TlsError`], for a header that contradicts itself or asks for too much.
    pub fn new(segment: TlsSegment) -> Result<Self, TlsError> {
        let TlsSegment {
            vaddr,
            filesz,
            memsz,
            align,
        } = segment;
        let align = align.max(1);
        if filesz > memsz {
            return Err(TlsError::ImageTooLong { filesz, memsz });
        }
        if !align.is_power_of_two() || align > 4096 {
            return Err(TlsError::Alignment(align));
        }
        if !vaddr.is_multiple_of(align) {
            return Err(TlsError::Misplaced { vaddr, align });
        }
        if memsz > MAX_BLOCK {
            return Err(TlsError::TooLarge(memsz));
        }
        let segment = TlsSegment { align, ..segment };
        // The thread pointer is aligned as the block is and as the words at it need.
        let thread_pointer = memsz.next_multiple_of(align.max(CONTROL_BLOCK));
        Ok(Self {
            segment,
            thread_pointer,
        })
    }

    /// Bytes needed.
    pub const fn size(&self) -> usize {
        self.thread_pointer + CONTROL_BLOCK
    }

    /// Alignment of the memory, at least 16.
    pub fn align(&self) -> usize {
        self.segment.align.max(CONTROL_BLOCK)
    }

    /// Offset of the thread pointer, the value for FS base, from the start of the memory.
    pub const fn thread_pointer(&self) -> usize {
        self.thread_pointer
    }

    /// Offset of the image from the start of the memory.
    ///
    /// The linker counts variables from the thread pointer down by the block's length, rounded up
    /// to the *segment's* alignment.
    pub fn image(&self) -> usize {
        self.thread_pointer - self.segment.memsz.next_multiple_of(self.segment.align)
    }

    /// Writes a thread's block into `memory`, which the thread will see at address `at`, from the
    /// program's initial `image`, and returns the value for FS base.
    ///
    /// # Panics
    /// If `memory` is shorter than [`size`](Self::size), `image` is not as long as the header says,
    /// or `at` is not a multiple of [`align`](Self::align).
    pub fn write(&self, memory: &mut [u8], image: &[u8], at: usize) -> usize {
        assert!(
            at.is_multiple_of(self.align()),
            "TLS block at {at:#x} is misaligned"
        );
        assert_eq!(image.len(), self.segment.filesz, "length of the TLS image");
        let memory = &mut memory[..self.size()];
        memory.fill(0);
        memory[self.image()..][..image.len()].copy_from_slice(image);
        let thread_pointer = at + self.thread_pointer;
        memory[self.thread_pointer..][..8].copy_from_slice(&thread_pointer.to_le_bytes());
        thread_pointer
    }
}

/// The PT_TLS header of the running program and its image, if it has one.
///
/// # Panics
/// If the program was not linked with this crate's linker script.
pub fn of_this_program() -> Option<(TlsSegment, &'static [u8])> {
    // Offsets of fields in an ELF-64 file header.
    const E_PHOFF: usize = 32;
    const E_PHENTSIZE: usize = 54;
    const E_PHNUM: usize = 56;
    const PT_TLS: u32 = 7;

    unsafe extern "C" {
        static __ehdr_start: [u8; 64];
    }

    /// A program header of ELF-64.
    #[repr(C)]
    struct ProgramHeader {
        kind: u32,
        flags: u32,
        offset: u64,
        vaddr: u64,
        paddr: u64,
        filesz: u64,
        memsz: u64,
        align: u64,
    }

    let header = &raw const __ehdr_start;
    // SAFETY: the linker script maps the file header and the program headers, read-only, and the
    // fields read here are naturally aligned in it.
    let headers = unsafe {
        let field16 = |at: usize| header.byte_add(at).cast::<u16>().read();
        assert_eq!(field16(E_PHENTSIZE) as usize, size_of::<ProgramHeader>());
        let offset = header.byte_add(E_PHOFF).cast::<u64>().read() as usize;
        core::slice::from_raw_parts(
            header.byte_add(offset).cast::<ProgramHeader>(),
            field16(E_PHNUM) as usize,
        )
    };
    let found = headers
        .iter()
        .find(|header| header.kind == PT_TLS && header.memsz > 0)?;
    let segment = TlsSegment {
        vaddr: found.vaddr as usize,
        filesz: found.filesz as usize,
        memsz: found.memsz as usize,
        align: found.align as usize,
    };
    // SAFETY: the image is part of a loaded segment, and only ever copied from.
    let image = unsafe { core::slice::from_raw_parts(segment.vaddr as *const u8, segment.filesz) };
    Some((segment, image))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;
    use std::vec;

    use super::*;

    const SEGMENT: TlsSegment = TlsSegment {
        vaddr: 0x20_3000,
        filesz: 4,
        memsz: 20,
        align: 8,
    };

    #[test]
    fn variables_lie_where_the_linker_counts_from_the_thread_pointer() {
        let layout = TlsLayout::new(SEGMENT).unwrap();
        let mut memory = vec![0xaa; layout.size()];
        let thread_pointer = layout.write(&mut memory, &[1, 2, 3, 4], 0x10_0000);
        // 20 bytes rounded up to 8 are 24: the first variable is at fs:-24.
        let first = thread_pointer - 0x10_0000 - 24;
        assert_eq!(
            memory[first..][..20],
            [[1, 2, 3, 4].as_slice(), &[0; 16]].concat()
        );
    }

    #[test]
    fn thread_pointer_points_to_itself() {
        let layout = TlsLayout::new(SEGMENT).unwrap();
        let mut memory = vec![0xaa; layout.size()];
        let thread_pointer = layout.write(&mut memory, &[0; 4], 0x10_0000);
        let word = &memory[thread_pointer - 0x10_0000..][..8];
        assert_eq!(word, thread_pointer.to_le_bytes());
    }

    #[test]
    fn image_longer_than_its_block_is_refused() {
        let segment = TlsSegment {
            filesz: 21,
            ..SEGMENT
        };
        let expected = TlsError::ImageTooLong {
            filesz: 21,
            memsz: 20,
        };
        assert_eq!(TlsLayout::new(segment), Err(expected));
    }

    #[test]
    fn alignment_of_no_power_of_two_is_refused() {
        let segment = TlsSegment {
            align: 24,
            ..SEGMENT
        };
        assert_eq!(TlsLayout::new(segment), Err(TlsError::Alignment(24)));
    }

    #[test]
    fn misaligned_segment_is_refused() {
        let segment = TlsSegment {
            vaddr: 0x20_3004,
            ..SEGMENT
        };
        let expected = TlsError::Misplaced {
            vaddr: 0x20_3004,
            align: 8,
        };
        assert_eq!(TlsLayout::new(segment), Err(expected));
    }

    #[test]
    fn block_of_more_than_16_mib_is_refused() {
        let segment = TlsSegment {
            memsz: usize::MAX,
            ..SEGMENT
        };
        assert_eq!(TlsLayout::new(segment), Err(TlsError::TooLarge(usize::MAX)));
    }

    proptest! {
        #[test]
        fn every_accepted_layout_keeps_block_and_pointer_inside_and_aligned(
            filesz in 0..5000usize, extra in 0..5000usize, align in 0..13u32, page in 0..64usize,
        ) {
            let align = 1 << align;
            let segment = TlsSegment { vaddr: page * 4096, filesz, memsz: filesz + extra, align };
            let layout = TlsLayout::new(segment).unwrap();
            prop_assert!(layout.image() + segment.memsz <= layout.thread_pointer());
            prop_assert!(layout.thread_pointer() + 16 <= layout.size());
            prop_assert!(layout.image().is_multiple_of(align));
            prop_assert!(layout.thread_pointer().is_multiple_of(align.max(16)));
            prop_assert_eq!(
                layout.thread_pointer() - layout.image(),
                segment.memsz.next_multiple_of(align)
            );
        }

        #[test]
        fn no_header_makes_layout_panic(vaddr: usize, filesz: usize, memsz: usize, align: usize) {
            let _ = TlsLayout::new(TlsSegment { vaddr, filesz, memsz, align });
        }
    }
}
