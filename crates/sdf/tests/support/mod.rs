// SPDX-License-Identifier: BSD-2-Clause
//! ELF files made to measure, and the files that the descriptions of the tests name.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io;

use object::{
    Endianness, elf,
    write::elf::{FileHeader, ProgramHeader, SectionHeader, Sym, Writer},
};

/// A program header and its contents.
#[derive(Clone)]
pub struct Header {
    pub kind: elf::ProgramType,
    pub flags: u32,
    pub vaddr: u64,
    pub data: Vec<u8>,
    pub mem_size: u64,
}

pub const R: u32 = 4;
pub const W: u32 = 2;
pub const X: u32 = 1;

pub fn load(flags: u32, vaddr: u64, data: &[u8], mem_size: u64) -> Header {
    Header {
        kind: elf::PT_LOAD,
        flags,
        vaddr,
        data: data.into(),
        mem_size,
    }
}

/// An ELF file to be.
#[derive(Clone)]
pub struct Elf {
    pub kind: elf::FileType,
    pub machine: elf::Machine,
    pub entry: u64,
    pub headers: Vec<Header>,
    /// Name, address, size and whether global.
    pub symbols: Vec<(&'static str, u64, u64, bool)>,
}

/// Text at 0x20_0000, data at 0x20_2000, zeroes from 0x20_3000 to 0x20_5000.
pub fn hello() -> Elf {
    let data: Vec<u8> = (0..0x1000).map(|at| at as u8 | 1).collect();
    Elf {
        kind: elf::ET_EXEC,
        machine: elf::EM_X86_64,
        entry: 0x20_0010,
        headers: vec![
            load(R | X, 0x20_0000, &[0x90; 0x1234], 0x1234),
            load(R | W, 0x20_2000, &data, 0x3000),
        ],
        symbols: vec![
            ("value", 0x20_2000, 8, true),
            ("value2", 0x20_2008, 8, true),
            ("value3", 0x20_2010, 8, false),
            ("zero", 0x20_4ff8, 8, true),
            ("short", 0x20_2018, 4, true),
            ("twice", 0x20_2020, 8, false),
            ("twice", 0x20_2028, 8, false),
            ("outside", 0x20_4ffc, 8, true),
            ("nowhere", u64::MAX - 3, 8, true),
            ("microkit_name", 0x20_2100, 64, true),
            ("microkit_passive", 0x20_2140, 1, true),
            ("microkit_irqs", 0x20_2148, 8, true),
            ("microkit_notifications", 0x20_2150, 8, true),
            ("microkit_pps", 0x20_2158, 8, true),
            ("microkit_ioports", 0x20_2160, 8, true),
        ],
    }
}

impl Elf {
    pub fn build(&self) -> Vec<u8> {
        let mut file = Vec::new();
        let mut writer = Writer::new(Endianness::Little, true, &mut file);
        writer.reserve_file_header();
        writer.reserve_program_headers(self.headers.len() as u32);
        let mut offsets = Vec::new();
        for header in &self.headers {
            offsets.push(writer.reserve(header.data.len() as u64, 16));
        }
        writer.reserve_null_section_index();
        let section_name = writer.add_section_name(b".everything");
        let section = writer.reserve_section_index();
        writer.reserve_null_symbol_index();
        // Local symbols come first.
        let mut symbols = self.symbols.clone();
        symbols.sort_by_key(|symbol| symbol.3);
        let locals = symbols.iter().filter(|symbol| !symbol.3).count() as u32;
        let names: Vec<_> = symbols
            .iter()
            .map(|s| writer.add_string(s.0.as_bytes()))
            .collect();
        for _ in &symbols {
            writer.reserve_symbol_index(Some(section));
        }
        writer.reserve_symtab_section_index();
        writer.reserve_strtab_section_index();
        writer.reserve_shstrtab_section_index();
        writer.reserve_symtab();
        writer.reserve_strtab().unwrap();
        writer.reserve_shstrtab().unwrap();
        writer.reserve_section_headers();

        let header = FileHeader {
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            e_type: self.kind,
            e_machine: self.machine,
            e_entry: self.entry,
            e_flags: elf::FileFlags(0),
        };
        writer.write_file_header(&header).unwrap();
        writer.write_align_program_headers();
        for (header, offset) in self.headers.iter().zip(&offsets) {
            writer.write_program_header(&ProgramHeader {
                p_type: header.kind,
                p_flags: elf::ProgramFlags(header.flags),
                p_offset: *offset,
                p_vaddr: header.vaddr,
                p_paddr: header.vaddr,
                p_filesz: header.data.len() as u64,
                p_memsz: header.mem_size,
                p_align: 16,
            });
        }
        for (header, offset) in self.headers.iter().zip(&offsets) {
            writer.pad_until(*offset);
            writer.write(&header.data);
        }
        writer.write_null_symbol();
        for ((_, address, size, global), name) in symbols.iter().zip(names) {
            let bind = if *global {
                elf::STB_GLOBAL
            } else {
                elf::STB_LOCAL
            };
            let st_name = writer.string_offset(Some(name));
            writer.write_symbol(&Sym {
                st_name,
                section: Some(section.0),
                st_info: elf::SymbolInfo::new(bind, elf::STT_OBJECT),
                st_other: elf::SymbolOther(0),
                st_shndx: elf::SHN_UNDEF,
                st_value: *address,
                st_size: *size,
            });
        }
        writer.write_strtab();
        writer.write_shstrtab();
        writer.write_null_section_header();
        let sh_name = writer.section_name_offset(Some(section_name));
        writer.write_section_header(&SectionHeader {
            sh_name,
            sh_type: elf::SHT_PROGBITS,
            sh_flags: elf::SectionFlags(0),
            sh_addr: 0,
            sh_offset: 0,
            sh_size: 0,
            sh_link: 0,
            sh_info: 0,
            sh_addralign: 1,
            sh_entsize: 0,
        });
        writer.write_symtab_section_header(locals + 1);
        writer.write_strtab_section_header();
        writer.write_shstrtab_section_header();
        file
    }
}

/// The files that descriptions in `negative/` and `positive/` may name: one good program, one for
/// each thing that can be wrong with a program, and contents of regions.
pub fn read(path: &str) -> io::Result<Vec<u8>> {
    let mut elf = hello();
    let everywhere = load(R | X, 0x1000, &[0x90], u64::MAX);
    match path {
        "hello.elf" => {}
        "stripped.elf" => elf.symbols.clear(),
        "garbage.elf" => return Ok(b"\x7fELF and then nothing of the kind".to_vec()),
        "text.elf" => return Ok(b"#!/bin/sh\n".to_vec()),
        "arm.elf" => elf.machine = elf::EM_AARCH64,
        "pie.elf" => elf.kind = elf::ET_DYN,
        "dynamic.elf" => {
            elf.headers.push(Header {
                kind: elf::PT_INTERP,
                ..load(R, 0x20_0000, b"ld.so", 5)
            });
        }
        "nothing.elf" => elf.headers.clear(),
        "everywhere.elf" => elf.headers[0] = everywhere,
        "low.elf" => elf.headers[0].vaddr = 0,
        "high.elf" => elf.headers[1].vaddr = xos_image::USER_END - 0x1000,
        "huge.elf" => elf.headers[1].mem_size = 1 << 40,
        "more-data-than-memory.elf" => elf.headers[1].mem_size = 0x10,
        "overlap.elf" => elf.headers[1].vaddr = 0x20_1000,
        "shared-page.elf" => {
            elf.headers[1].vaddr = 0x20_1800;
            elf.symbols.clear();
        }
        "bad-entry.elf" => elf.entry = 0x20_2000,
        "short-name.elf" => elf.symbols = vec![("microkit_name", 0x20_2100, 16, true)],
        "symbols.elf" => {
            elf.symbols = vec![("elsewhere", 0x20_2040, 8, true)];
            elf.machine = elf::EM_AARCH64;
        }
        "small.bin" => return Ok(b"small".to_vec()),
        "page.bin" => return Ok(vec![7; 4096]),
        "pages.bin" => return Ok(vec![7; 4097]),
        "empty.bin" => return Ok(vec![]),
        _ => return Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    }
    Ok(elf.build())
}
