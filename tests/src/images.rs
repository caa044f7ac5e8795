// SPDX-License-Identifier: BSD-2-Clause
//! ELF images that nobody's linker makes: what somebody might bring who wishes no good, or has a broken disk.
//!
//! Each is a well-formed image with one thing changed. Their names are in
//! `tests/guests/system/src/images.rs`, which the guest reads as well.

use object::elf::{
    ELFCLASS32, ELFCLASS64, ELFDATA2LSB, ELFDATA2MSB, ELFOSABI_NONE, EM_386, EM_X86_64, ET_DYN,
    ET_EXEC, EV_CURRENT, FileFlags, FileHeader64, Ident, PF_R, PF_W, PF_X, PT_INTERP, PT_LOAD,
    PT_TLS, ProgramFlags, ProgramHeader64, SymbolSection,
};
use object::pod::bytes_of;
use object::{LittleEndian, U16, U32, U64, Wrap};

type Le = LittleEndian;
type Header = FileHeader64<Le>;
type Segment = ProgramHeader64<Le>;

/// A page, in bytes.
const PAGE: u64 = 0x1000;
/// Where code is in memory.
const CODE: u64 = 0x20_0000;
/// Where the first instruction is in its segment.
const START: u64 = 0x800;
/// `ud2`.
const ILLEGAL: &[u8] = &[0x0f, 0x0b];
/// `mov byte ptr [rip - 7], 0x90`, over its own first byte, and `ud2`.
const WRITES_ITSELF: &[u8] = &[0xc6, 0x05, 0xf9, 0xff, 0xff, 0xff, 0x90, 0x0f, 0x0b];

fn u16<T: Wrap<Inner = u16>>(value: T) -> U16<Le, T> {
    U16::new(LittleEndian, value)
}

fn u32<T: Wrap<Inner = u32>>(value: T) -> U32<Le, T> {
    U32::new(LittleEndian, value)
}

fn u64(value: u64) -> U64<Le> {
    U64::new(LittleEndian, value)
}

/// A segment of the file's bytes from `offset` on.
fn segment(offset: u64, vaddr: u64, filesz: u64, memsz: u64, flags: ProgramFlags) -> Segment {
    Segment {
        p_type: u32(PT_LOAD),
        p_flags: u32(flags),
        p_offset: u64(offset),
        p_vaddr: u64(vaddr),
        p_paddr: u64(vaddr),
        p_filesz: u64(filesz),
        p_memsz: u64(memsz),
        p_align: u64(PAGE),
    }
}

/// An image before it is bytes.
struct Image {
    header: Header,
    segments: Vec<Segment>,
    code: &'static [u8],
    length: u64,
}

impl Image {
    /// One of code at [`CODE`] and data behind it, which runs to an illegal instruction.
    fn new() -> Self {
        let header = Header {
            e_ident: Ident {
                magic: *b"\x7fELF",
                class: ELFCLASS64,
                data: ELFDATA2LSB,
                version: EV_CURRENT,
                os_abi: ELFOSABI_NONE,
                abi_version: 0,
                padding: [0; 7],
            },
            e_type: u16(ET_EXEC),
            e_machine: u16(EM_X86_64),
            e_version: u32(1),
            e_entry: u64(CODE + START),
            e_phoff: u64(size_of::<Header>() as u64),
            e_shoff: u64(0),
            e_flags: u32(FileFlags(0)),
            e_ehsize: u16(size_of::<Header>() as u16),
            e_phentsize: u16(size_of::<Segment>() as u16),
            e_phnum: u16(0),
            e_shentsize: u16(64),
            e_shnum: u16(0),
            e_shstrndx: u16(SymbolSection(0)),
        };
        Self {
            header,
            segments: vec![
                segment(0, CODE, PAGE, PAGE, PF_R | PF_X),
                segment(PAGE, CODE + 2 * PAGE, 0x100, 2 * PAGE, PF_R | PF_W),
            ],
            code: ILLEGAL,
            length: 2 * PAGE,
        }
    }

    fn bytes(mut self) -> Vec<u8> {
        if self.header.e_phnum.get(LittleEndian) == 0 {
            self.header.e_phnum = u16(self.segments.len() as u16);
        }
        let mut bytes = bytes_of(&self.header).to_vec();
        bytes.extend(self.segments.iter().flat_map(bytes_of));
        bytes.resize(2 * PAGE as usize, 0);
        bytes[START as usize..][..self.code.len()].copy_from_slice(self.code);
        bytes.resize(self.length as usize, 0);
        bytes
    }
}

/// The image with its header changed.
fn header(change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut image = Image::new();
    change(&mut image.header);
    image.bytes()
}

/// The image with its data's segment changed.
fn data(change: impl FnOnce(&mut Segment)) -> Vec<u8> {
    let mut image = Image::new();
    change(&mut image.segments[1]);
    image.bytes()
}

/// The image with other segments behind its code's.
fn with(segments: impl IntoIterator<Item = Segment>) -> Vec<u8> {
    let mut image = Image::new();
    image.segments.truncate(1);
    image.segments.extend(segments);
    image.bytes()
}

/// The image's first bytes.
fn cut(length: u64) -> Vec<u8> {
    Image {
        length,
        ..Image::new()
    }
    .bytes()
}

/// The image with thread-local variables.
fn variables(count: usize, change: impl Fn(&mut Segment)) -> Vec<u8> {
    let mut image = Image::new();
    for _ in 0..count {
        let mut tls = segment(PAGE, CODE + 2 * PAGE, 0x10, 0x30, PF_R);
        tls.p_type = u32(PT_TLS);
        tls.p_align = u64(16);
        change(&mut tls);
        image.segments.push(tls);
    }
    image.bytes()
}

/// The image with everything so much higher.
fn moved(by: u64) -> Vec<u8> {
    let mut image = Image::new();
    image.header.e_entry = u64(CODE + START + by);
    for segment in &mut image.segments {
        segment.p_vaddr = u64(segment.p_vaddr.get(LittleEndian) + by);
    }
    image.bytes()
}

const READ_WRITE: ProgramFlags = ProgramFlags(PF_R.0 | PF_W.0);

fn of_another_magic_number() -> Vec<u8> {
    header(|h| h.e_ident.magic[3] = b'E')
}
fn of_32_bits() -> Vec<u8> {
    header(|h| h.e_ident.class = ELFCLASS32)
}
fn of_the_other_byte_order() -> Vec<u8> {
    header(|h| h.e_ident.data = ELFDATA2MSB)
}
fn for_another_machine() -> Vec<u8> {
    header(|h| h.e_machine = u16(EM_386))
}
fn that_is_a_shared_object() -> Vec<u8> {
    header(|h| h.e_type = u16(ET_DYN))
}
fn that_wants_an_interpreter() -> Vec<u8> {
    with([Segment {
        p_type: u32(PT_INTERP),
        ..segment(PAGE, CODE + 2 * PAGE, 0x10, 0x10, PF_R)
    }])
}
fn cut_short_in_the_header() -> Vec<u8> {
    cut(40)
}
fn cut_short_in_the_program_headers() -> Vec<u8> {
    cut(100)
}
fn cut_short_in_a_segment() -> Vec<u8> {
    cut(PAGE + 0x80)
}
fn with_program_headers_beyond_the_file() -> Vec<u8> {
    header(|h| h.e_phoff = u64(2 * PAGE - 8))
}
fn with_program_headers_at_the_end_of_addresses() -> Vec<u8> {
    header(|h| h.e_phoff = u64(u64::MAX - 8))
}
fn with_program_headers_of_no_size() -> Vec<u8> {
    header(|h| h.e_phentsize = u16(0))
}
fn with_more_program_headers_than_bytes() -> Vec<u8> {
    header(|h| h.e_phnum = u16(0xfffe))
}
fn without_segments() -> Vec<u8> {
    let mut image = Image::new();
    image.segments.clear();
    image.bytes()
}
fn with_too_many_segments() -> Vec<u8> {
    with((1..30).map(|n| segment(PAGE, CODE + 2 * n * PAGE, 0x10, 0x10, PF_R)))
}
fn with_segments_that_overlap() -> Vec<u8> {
    with([segment(0, CODE, PAGE, PAGE, READ_WRITE)])
}
fn with_segments_that_share_a_page() -> Vec<u8> {
    with([segment(0x900, CODE + 0x900, 0x10, PAGE, READ_WRITE)])
}
fn with_segments_out_of_order() -> Vec<u8> {
    with([segment(PAGE, CODE - 2 * PAGE, 0x10, 0x10, READ_WRITE)])
}
fn with_a_segment_at_zero() -> Vec<u8> {
    let mut image = Image::new();
    image
        .segments
        .insert(0, segment(PAGE, 0, 0x10, PAGE, READ_WRITE));
    image.bytes()
}
fn with_a_segment_in_the_kernel() -> Vec<u8> {
    data(|s| s.p_vaddr = u64(0xffff_ffff_8000_0000))
}
fn with_a_segment_beyond_user_space() -> Vec<u8> {
    data(|s| s.p_vaddr = u64(0x0000_7fff_ffff_f000))
}
fn with_a_segment_that_wraps_around() -> Vec<u8> {
    data(|s| {
        s.p_vaddr = u64(u64::MAX - PAGE + 1);
        s.p_memsz = u64(4 * PAGE);
    })
}
fn with_a_segment_of_all_addresses() -> Vec<u8> {
    data(|s| s.p_memsz = u64(u64::MAX))
}
fn with_more_code_than_fits() -> Vec<u8> {
    let mut image = Image::new();
    image.segments.truncate(1);
    image.segments[0].p_memsz = u64(1 << 40);
    image.bytes()
}
fn with_more_bytes_than_memory() -> Vec<u8> {
    data(|s| s.p_memsz = u64(0x80))
}
fn with_bytes_that_wrap_around() -> Vec<u8> {
    data(|s| s.p_offset = u64(u64::MAX - PAGE + 1))
}
fn with_a_segment_that_is_not_aligned() -> Vec<u8> {
    data(|s| s.p_vaddr = u64(CODE + 2 * PAGE + 8))
}
fn with_a_segment_that_nobody_can_read() -> Vec<u8> {
    data(|s| s.p_flags = u32(PF_W))
}
fn with_segments_all_over_the_address_space() -> Vec<u8> {
    with((1..12).map(|n| segment(PAGE, CODE + (n << 42), 0x10, 0x10, PF_R)))
}
fn with_its_entry_nowhere() -> Vec<u8> {
    header(|h| h.e_entry = u64(0x1234_5678_9abc))
}
fn with_its_entry_at_zero() -> Vec<u8> {
    header(|h| h.e_entry = u64(0))
}
fn with_its_entry_in_data() -> Vec<u8> {
    header(|h| h.e_entry = u64(CODE + 2 * PAGE + 8))
}
fn with_its_entry_behind_its_code() -> Vec<u8> {
    header(|h| h.e_entry = u64(CODE + PAGE))
}
fn with_its_entry_in_the_kernel() -> Vec<u8> {
    header(|h| h.e_entry = u64(0xffff_ffff_8010_0000))
}
fn with_thread_local_variables_beyond_the_file() -> Vec<u8> {
    variables(1, |s| s.p_offset = u64(2 * PAGE - 8))
}
fn with_thread_local_variables_of_absurd_alignment() -> Vec<u8> {
    variables(1, |s| s.p_align = u64(1 << 50))
}
fn with_two_sets_of_thread_local_variables() -> Vec<u8> {
    variables(2, |_| {})
}
fn with_code_alone() -> Vec<u8> {
    with([])
}
fn that_writes_to_its_code() -> Vec<u8> {
    let mut image = Image::new();
    image.segments[0].p_flags = u32(PF_R | PF_W | PF_X);
    image.code = WRITES_ITSELF;
    image.bytes()
}
/// `factories/process/src/machine.rs` and `images.rs` say where they are.
fn where_its_factory_has_its_windows() -> Vec<u8> {
    let mut image = Image::new();
    image.segments = vec![
        segment(0, 0x6000_0000_0000, PAGE, PAGE, PF_R | PF_X),
        segment(PAGE, 0x6100_0000_0000, 0x100, 2 * PAGE, READ_WRITE),
    ];
    image.header.e_entry = u64(0x6000_0000_0000 + START);
    image.bytes()
}
fn where_others_have_their_stack() -> Vec<u8> {
    moved(0x1f_0000)
}
fn with_memory_that_it_cannot_use_up() -> Vec<u8> {
    data(|s| s.p_memsz = u64(1 << 40))
}

macro_rules! images {
    (refused: [$($refused:ident),* $(,)?], run: [$($run:ident),* $(,)?] $(,)?) => {
        &[
            $((concat!("elf/", stringify!($refused)), $refused),)*
            $((concat!("elf/", stringify!($run)), $run),)*
        ]
    };
}

/// All of them: the names of their files, and what makes them.
pub const IMAGES: &[crate::Made] = include!("../guests/system/src/images.rs");

#[cfg(test)]
mod tests {
    use super::*;
    use object::read::elf::ElfFile64;

    #[test]
    fn the_image_that_is_changed_is_one() {
        let bytes = Image::new().bytes();
        let file = ElfFile64::<LittleEndian>::parse(&*bytes).unwrap();
        assert_eq!(file.elf_program_headers().len(), 2);
    }

    #[test]
    fn each_image_is_another_one() {
        let mut all = vec![Image::new().bytes()];
        for (name, make) in IMAGES {
            let bytes = make();
            assert!(!all.contains(&bytes), "{name}");
            all.push(bytes);
        }
    }
}
