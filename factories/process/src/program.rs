// SPDX-License-Identifier: BSD-2-Clause
//! Reads an ELF image: what to map where, with which rights, from which bytes.
//!
//! Everything in the file is checked here (ELF-64 Object File Format, version
//! 1.5; System V ABI for AMD64): what this module lets through can be mapped.

use elf::ElfBytes;
use elf::abi;
use elf::endian::LittleEndian;
use heapless::Vec;
use xos_protocol::manager::PAGE;
use xos_runtime::tls::{TlsLayout, TlsSegment};

/// Loadable segments that an image has at most.
pub const MAX_SEGMENTS: usize = 16;
/// Lowest address that a segment may have: what lies below catches null pointers.
pub const LOWEST: u64 = 0x1_0000;
/// First address that no segment may reach: the rest of user space is for stacks, windows and shares.
pub const HIGHEST: u64 = 0x0000_7000_0000_0000;

/// Most bytes that thread-local variables take.
pub const MAX_TLS: usize = 1 << 16;

/// Why an image cannot be a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ImageError {
    /// The ELF header or the program headers do not parse.
    #[error("not an ELF file, or one that is cut short")]
    NotElf,
    /// Another machine, class, or byte order.
    #[error("not an executable for x86-64")]
    OtherMachine,
    /// Not statically linked at fixed addresses.
    #[error("not a static executable; link it with -static and without -pie")]
    NotStatic,
    /// No loadable segment, or more than [`MAX_SEGMENTS`].
    #[error("it has no loadable segment, or too many")]
    SegmentCount,
    /// A segment lies outside [`LOWEST`]..[`HIGHEST`], or wraps around.
    #[error("a segment lies outside the addresses for programs")]
    SegmentAddress,
    /// A segment's file range is not within the file, or longer than its memory.
    #[error("a segment's bytes are not within the file")]
    SegmentBytes,
    /// Two segments share a page, or are not in ascending order as the format asks.
    #[error("segments overlap, share a page, or are out of order")]
    SegmentOverlap,
    /// A segment is not congruent to its file offset, or nobody could read it.
    #[error("a segment's alignment or rights make no sense")]
    SegmentKind,
    /// The entry point is in no executable segment.
    #[error("the entry point is not in an executable segment")]
    Entry,
    /// The thread-local segment is outside the file or absurdly aligned.
    #[error("the thread-local segment is malformed")]
    Tls,
}

/// A loadable segment, in whole pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Address of its first page.
    pub start: u64,
    /// Address behind its last page.
    pub end: u64,
    /// Address of the first byte that comes from the file.
    pub bytes_at: u64,
    /// Where in the file these bytes begin.
    pub offset: usize,
    /// How many there are; all else is zero.
    pub length: usize,
    /// Whether it can be written; if not, all instances share its pages.
    pub writable: bool,
    /// Whether it can be executed.
    pub executable: bool,
}

impl Segment {
    /// Pages in all.
    pub const fn pages(&self) -> u64 {
        (self.end - self.start) / PAGE
    }

    /// Pages that hold at least one byte of the file; those behind them are zero.
    pub const fn filled_pages(&self) -> u64 {
        if self.length == 0 {
            0
        } else {
            (self.bytes_at + self.length as u64 - self.start).div_ceil(PAGE)
        }
    }

    /// What page `index` of the segment holds of the file: offset in the page and range in the file.
    /// `None` when the page is all zero.
    pub fn page_bytes(&self, index: u64) -> Option<(usize, core::ops::Range<usize>)> {
        let page = self.start + index * PAGE;
        let from = page.max(self.bytes_at);
        let to = (page + PAGE).min(self.bytes_at + self.length as u64);
        if from >= to {
            return None;
        }
        let begin = self.offset + (from - self.bytes_at) as usize;
        Some(((from - page) as usize, begin..begin + (to - from) as usize))
    }
}

/// The initial image of thread-local variables (`PT_TLS`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tls {
    /// How a thread's block is laid out.
    pub layout: TlsLayout,
    /// Where in the file its image begins.
    pub offset: usize,
    /// How many bytes that is.
    pub length: usize,
}

/// An image that can be a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// Address of the first instruction.
    pub entry: u64,
    /// Segments by ascending address; no two share a page.
    pub segments: Vec<Segment, MAX_SEGMENTS>,
    /// Thread-local variables, if there are any.
    pub tls: Option<Tls>,
}

impl Program {
    /// Reads and checks an image. Any bytes give a program or an [`ImageError`].
    pub fn parse(file: &[u8]) -> Result<Self, ImageError> {
        let elf = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|_| ImageError::NotElf)?;
        if elf.ehdr.class != elf::file::Class::ELF64 || elf.ehdr.e_machine != abi::EM_X86_64 {
            return Err(ImageError::OtherMachine);
        }
        if elf.ehdr.e_type != abi::ET_EXEC {
            return Err(ImageError::NotStatic);
        }
        let headers = elf.segments().ok_or(ImageError::SegmentCount)?;
        let mut segments: Vec<Segment, MAX_SEGMENTS> = Vec::new();
        let mut tls = None;
        for header in headers {
            match header.p_type {
                abi::PT_LOAD if header.p_memsz != 0 => {
                    let segment = load_segment(&header, file.len())?;
                    if segments.last().is_some_and(|last| segment.start < last.end) {
                        return Err(ImageError::SegmentOverlap);
                    }
                    segments
                        .push(segment)
                        .map_err(|_| ImageError::SegmentCount)?;
                }
                abi::PT_INTERP | abi::PT_DYNAMIC => return Err(ImageError::NotStatic),
                abi::PT_TLS if header.p_memsz != 0 => {
                    if tls.is_some() {
                        return Err(ImageError::Tls);
                    }
                    tls = Some(thread_local(&header, file.len())?);
                }
                _ => {}
            }
        }
        if segments.is_empty() {
            return Err(ImageError::SegmentCount);
        }
        let entry = elf.ehdr.e_entry;
        if !segments
            .iter()
            .any(|s| s.executable && (s.start..s.end).contains(&entry))
        {
            return Err(ImageError::Entry);
        }
        Ok(Self {
            entry,
            segments,
            tls,
        })
    }

    /// Address behind the last page of the last segment.
    pub fn end(&self) -> u64 {
        self.segments.last().map_or(LOWEST, |s| s.end)
    }

    /// Pages that all instances share: those of segments that nobody can write.
    pub fn shared_pages(&self) -> u64 {
        self.segments
            .iter()
            .filter(|s| !s.writable)
            .map(Segment::pages)
            .sum()
    }
}

fn load_segment(
    header: &elf::segment::ProgramHeader,
    file_len: usize,
) -> Result<Segment, ImageError> {
    let end = header
        .p_vaddr
        .checked_add(header.p_memsz)
        .ok_or(ImageError::SegmentAddress)?;
    if header.p_vaddr < LOWEST || end > HIGHEST {
        return Err(ImageError::SegmentAddress);
    }
    let file_end = header
        .p_offset
        .checked_add(header.p_filesz)
        .ok_or(ImageError::SegmentBytes)?;
    if header.p_filesz > header.p_memsz || file_end > file_len as u64 {
        return Err(ImageError::SegmentBytes);
    }
    if header.p_filesz != 0 && header.p_offset % PAGE != header.p_vaddr % PAGE {
        return Err(ImageError::SegmentKind);
    }
    if header.p_flags & (abi::PF_R | abi::PF_X) == 0 {
        return Err(ImageError::SegmentKind);
    }
    Ok(Segment {
        start: header.p_vaddr & !(PAGE - 1),
        end: end.next_multiple_of(PAGE),
        bytes_at: header.p_vaddr,
        offset: header.p_offset as usize,
        length: header.p_filesz as usize,
        writable: header.p_flags & abi::PF_W != 0,
        executable: header.p_flags & abi::PF_X != 0,
    })
}

fn thread_local(header: &elf::segment::ProgramHeader, file_len: usize) -> Result<Tls, ImageError> {
    let word = |word: u64| usize::try_from(word).map_err(|_| ImageError::Tls);
    let layout = TlsLayout::new(TlsSegment {
        vaddr: word(header.p_vaddr)?,
        filesz: word(header.p_filesz)?,
        memsz: word(header.p_memsz)?,
        align: word(header.p_align)?,
    });
    let (offset, length) = (word(header.p_offset)?, word(header.p_filesz)?);
    match layout {
        Ok(layout)
            if layout.size() <= MAX_TLS
                && offset
                    .checked_add(length)
                    .is_some_and(|end| end <= file_len) =>
        {
            Ok(Tls {
                layout,
                offset,
                length,
            })
        }
        _ => Err(ImageError::Tls),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One program header of a test image.
    #[derive(Clone, Copy, Debug)]
    pub struct Header {
        pub kind: u32,
        pub flags: u32,
        pub offset: u64,
        pub vaddr: u64,
        pub filesz: u64,
        pub memsz: u64,
    }

    pub const TEXT: Header = Header {
        kind: abi::PT_LOAD,
        flags: 5,
        offset: 0,
        vaddr: 0x20_0000,
        filesz: 0x1234,
        memsz: 0x1234,
    };
    pub const DATA: Header = Header {
        kind: abi::PT_LOAD,
        flags: 6,
        offset: 0x1800,
        vaddr: 0x20_3800,
        filesz: 0x100,
        memsz: 0x5000,
    };

    /// An image of two pages with these program headers.
    pub fn image(headers: &[Header], entry: u64) -> std::vec::Vec<u8> {
        image_of(headers, entry, 0x2000)
    }

    /// An image of `length` bytes; those behind the headers are what `i % 251` makes of them.
    pub fn image_of(headers: &[Header], entry: u64, length: usize) -> std::vec::Vec<u8> {
        let mut file: std::vec::Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        file[..0x200].fill(0);
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
        put(16, &abi::ET_EXEC.to_le_bytes());
        put(18, &abi::EM_X86_64.to_le_bytes());
        put(20, &1u32.to_le_bytes());
        put(24, &entry.to_le_bytes());
        put(32, &64u64.to_le_bytes());
        put(52, &64u16.to_le_bytes());
        put(54, &56u16.to_le_bytes());
        put(56, &(headers.len() as u16).to_le_bytes());
        put(58, &64u16.to_le_bytes());
        for (i, h) in headers.iter().enumerate() {
            let at = 64 + 56 * i;
            put(at, &h.kind.to_le_bytes());
            put(at + 4, &h.flags.to_le_bytes());
            let align = if h.kind == abi::PT_TLS { 16 } else { PAGE };
            for (j, word) in [h.offset, h.vaddr, h.vaddr, h.filesz, h.memsz, align]
                .into_iter()
                .enumerate()
            {
                put(at + 8 + 8 * j, &word.to_le_bytes());
            }
        }
        file
    }

    fn error(headers: &[Header]) -> ImageError {
        Program::parse(&image(headers, 0x20_0100)).unwrap_err()
    }

    #[test]
    fn segments_become_pages_with_their_rights() {
        let program = Program::parse(&image(&[TEXT, DATA], 0x20_0100)).unwrap();
        let [text, data] = [program.segments[0], program.segments[1]];
        assert_eq!(
            (text.start, text.end, text.writable, text.executable),
            (0x20_0000, 0x20_2000, false, true)
        );
        assert_eq!(
            (data.start, data.end, data.writable, data.executable),
            (0x20_3000, 0x20_9000, true, false)
        );
        assert_eq!(
            (program.entry, program.end(), program.shared_pages()),
            (0x20_0100, 0x20_9000, 2)
        );
        assert_eq!(data.filled_pages(), 1);
        assert_eq!(data.page_bytes(0), Some((0x800, 0x1800..0x1900)));
        assert_eq!(data.page_bytes(1), None);
        assert_eq!(text.page_bytes(1), Some((0, 0x1000..0x1234)));
    }

    #[test]
    fn a_segment_below_the_lowest_address_is_refused() {
        assert_eq!(
            error(&[Header { vaddr: 0, ..TEXT }]),
            ImageError::SegmentAddress
        );
    }

    #[test]
    fn a_segment_that_wraps_around_is_refused() {
        assert_eq!(
            error(&[
                TEXT,
                Header {
                    memsz: u64::MAX,
                    ..DATA
                }
            ]),
            ImageError::SegmentAddress
        );
    }

    #[test]
    fn bytes_outside_the_file_are_refused() {
        assert_eq!(
            error(&[Header {
                filesz: 0x2001,
                memsz: 0x2001,
                ..TEXT
            }]),
            ImageError::SegmentBytes
        );
        assert_eq!(
            error(&[Header {
                offset: u64::MAX - 0xfff,
                ..TEXT
            }]),
            ImageError::SegmentBytes
        );
    }

    #[test]
    fn more_bytes_than_memory_are_refused() {
        assert_eq!(
            error(&[Header { memsz: 1, ..TEXT }]),
            ImageError::SegmentBytes
        );
    }

    #[test]
    fn segments_that_share_a_page_are_refused() {
        assert_eq!(
            error(&[
                TEXT,
                Header {
                    vaddr: 0x20_1800,
                    ..DATA
                }
            ]),
            ImageError::SegmentOverlap
        );
    }

    #[test]
    fn an_incongruent_segment_is_refused() {
        assert_eq!(
            error(&[
                TEXT,
                Header {
                    vaddr: 0x20_3000,
                    ..DATA
                }
            ]),
            ImageError::SegmentKind
        );
    }

    #[test]
    fn an_entry_outside_executable_segments_is_refused() {
        assert_eq!(
            Program::parse(&image(&[TEXT, DATA], 0x20_3900)),
            Err(ImageError::Entry)
        );
    }

    #[test]
    fn a_dynamic_executable_is_refused() {
        assert_eq!(
            error(&[
                Header {
                    kind: abi::PT_INTERP,
                    ..TEXT
                },
                TEXT
            ]),
            ImageError::NotStatic
        );
    }

    pub const VARIABLES: Header = Header {
        kind: abi::PT_TLS,
        flags: 4,
        offset: 0x1800,
        vaddr: 0x20_3000,
        filesz: 0x10,
        memsz: 0x30,
    };

    #[test]
    fn thread_local_variables_are_found_in_the_file() {
        let program = Program::parse(&image(&[TEXT, DATA, VARIABLES], 0x20_0100)).unwrap();
        let tls = program.tls.unwrap();
        assert_eq!((tls.offset, tls.length), (0x1800, 0x10));
        assert!(tls.layout.size() >= 0x30);
    }

    #[test]
    fn malformed_thread_local_variables_are_refused() {
        let shifted = |change: fn(&mut Header)| {
            let mut header = VARIABLES;
            change(&mut header);
            error(&[TEXT, DATA, header])
        };
        assert_eq!(shifted(|h| h.filesz = 0x31), ImageError::Tls);
        assert_eq!(shifted(|h| h.vaddr += 8), ImageError::Tls);
        assert_eq!(shifted(|h| h.offset = 0x1ff8), ImageError::Tls);
        assert_eq!(shifted(|h| h.offset = u64::MAX), ImageError::Tls);
        assert_eq!(shifted(|h| h.memsz = 1 << 17), ImageError::Tls);
        assert_eq!(error(&[TEXT, VARIABLES, VARIABLES]), ImageError::Tls);
    }

    #[test]
    fn a_file_without_segments_is_refused() {
        assert_eq!(error(&[]), ImageError::SegmentCount);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_program_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Program::parse(&bytes);
        }

        #[test]
        fn a_damaged_image_is_refused_or_can_be_mapped(at in 0usize..64 + 2 * 56, byte: u8) {
            let mut file = image(&[TEXT, DATA], 0x20_0100);
            file[at] = byte;
            if let Ok(program) = Program::parse(&file) {
                let mut last = LOWEST;
                for segment in &program.segments {
                    prop_assert!(segment.start >= last && segment.start < segment.end && segment.end <= HIGHEST);
                    last = segment.end;
                    let mut total = 0;
                    for page in 0..segment.filled_pages().min(1000) {
                        let (at, range) = segment.page_bytes(page).unwrap();
                        prop_assert!(at + range.len() <= PAGE as usize && range.end <= file.len());
                        total += range.len();
                    }
                    prop_assert!(segment.filled_pages() > 1000 || total == segment.length);
                }
            }
        }
    }
}
