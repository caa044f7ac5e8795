// SPDX-License-Identifier: BSD-2-Clause
//! What of an ELF file says how its program is laid out in memory (elf(5)).
//!
//! The file may be the work of an attacker. Nothing here trusts it, and what is read results in mappings
//! of that program alone.

use alloc::vec::Vec;

use elf::abi;
use elf::endian::LittleEndian;
use elf::file::{Class, FileHeader};
use elf::parse::ParsingTable;
use elf::segment::ProgramHeader;

use crate::mm::{END, Protection};
use crate::{Errno, Result};

/// Bytes of the file that a header and what must be known of it begin with.
pub const HEAD: usize = 64;
/// Bytes of a program header.
pub const PROGRAM_HEADER: usize = 56;
/// Program headers at most: as many as fit into a page.
pub const MAX_HEADERS: usize = 4096 / PROGRAM_HEADER;

/// A segment to be mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Where in the file it begins.
    pub offset: u64,
    /// Its address, before anything is added.
    pub address: u64,
    /// Its bytes in the file.
    pub in_file: u64,
    /// Its bytes in memory; those that are not in the file are 0.
    pub in_memory: u64,
    /// What the program may do there.
    pub protection: Protection,
}

/// Where program headers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The first instruction.
    pub entry: u64,
    /// Whether it can be anywhere.
    pub moves: bool,
    /// Where in the file its program headers are.
    pub headers_at: u64,
    /// How many there are.
    pub headers: u16,
}

impl Header {
    /// Reads the first bytes of a file.
    ///
    /// # Errors
    /// [`Errno::NOEXEC`] when they are none of a program for this machine.
    pub fn read(bytes: &[u8; HEAD]) -> Result<Self> {
        let (ident, tail) = bytes.split_at(abi::EI_NIDENT);
        let ident = elf::file::parse_ident::<LittleEndian>(ident).map_err(|_| Errno::NOEXEC)?;
        let header = FileHeader::parse_tail(ident, tail).map_err(|_| Errno::NOEXEC)?;
        let moves = header.e_type == abi::ET_DYN;
        if header.class != Class::ELF64
            || header.e_machine != abi::EM_X86_64
            || !moves && header.e_type != abi::ET_EXEC
            || usize::from(header.e_phentsize) != PROGRAM_HEADER
            || header.e_phnum == 0
            || usize::from(header.e_phnum) > MAX_HEADERS
        {
            return Err(Errno::NOEXEC);
        }
        Ok(Self {
            entry: header.e_entry,
            moves,
            headers_at: header.e_phoff,
            headers: header.e_phnum,
        })
    }

    /// Bytes of all program headers.
    pub const fn headers_bytes(&self) -> usize {
        self.headers as usize * PROGRAM_HEADER
    }
}

/// How a program is laid out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Its segments, in the order of the file.
    pub segments: Vec<Segment>,
    /// Where in the file the path of its interpreter is, and how long that is.
    pub interpreter: Option<(u64, u64)>,
    /// Address of its program headers, if they are part of a segment.
    pub headers: Option<u64>,
}

impl Layout {
    /// Reads program headers.
    ///
    /// # Errors
    /// [`Errno::NOEXEC`] when they make no sense.
    pub fn read(header: &Header, bytes: &[u8]) -> Result<Self> {
        let table =
            ParsingTable::<LittleEndian, ProgramHeader>::new(LittleEndian, Class::ELF64, bytes);
        let mut layout = Self {
            segments: Vec::new(),
            interpreter: None,
            headers: None,
        };
        for entry in table.iter() {
            match entry.p_type {
                abi::PT_LOAD if entry.p_memsz != 0 => {
                    let segment = segment(&entry)?;
                    let end = header.headers_at.checked_add(bytes.len() as u64);
                    if entry.p_offset <= header.headers_at
                        && end.is_some_and(|end| end <= entry.p_offset + entry.p_filesz)
                    {
                        layout.headers = Some(entry.p_vaddr + (header.headers_at - entry.p_offset));
                    }
                    layout.segments.push(segment);
                }
                abi::PT_INTERP => layout.interpreter = Some((entry.p_offset, entry.p_filesz)),
                _ => {}
            }
        }
        if layout.segments.is_empty() {
            return Err(Errno::NOEXEC);
        }
        Ok(layout)
    }

    /// Lowest and highest address.
    pub fn span(&self) -> (u64, u64) {
        let low = self.segments.iter().map(|s| s.address).min();
        let high = self.segments.iter().map(|s| s.address + s.in_memory).max();
        (low.unwrap_or(0), high.unwrap_or(0))
    }
}

fn segment(entry: &ProgramHeader) -> Result<Segment> {
    let fits = |start: u64, length: u64| start.checked_add(length).is_some_and(|end| end < END);
    if entry.p_filesz > entry.p_memsz
        || !fits(entry.p_vaddr, entry.p_memsz)
        || !fits(entry.p_offset, entry.p_filesz)
        || entry.p_filesz != 0 && entry.p_offset % 4096 != entry.p_vaddr % 4096
    {
        return Err(Errno::NOEXEC);
    }
    let mut protection = Protection::empty();
    for (flag, right) in [
        (abi::PF_R, Protection::READ),
        (abi::PF_W, Protection::WRITE),
        (abi::PF_X, Protection::EXECUTE),
    ] {
        if entry.p_flags & flag != 0 {
            protection |= right;
        }
    }
    Ok(Segment {
        offset: entry.p_offset,
        address: entry.p_vaddr,
        in_file: entry.p_filesz,
        in_memory: entry.p_memsz,
        protection,
    })
}

/// What the first line of a script says: its interpreter, and at most one argument for it.
///
/// # Errors
/// [`Errno::NOEXEC`] when it is no script, or its first line is too long or empty.
pub fn script(head: &[u8]) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
    let line = head.strip_prefix(b"#!").ok_or(Errno::NOEXEC)?;
    let end = line.iter().position(|byte| *byte == b'\n');
    let line = match end {
        Some(end) => &line[..end],
        // Without its end, an argument might be cut; a path would be another one.
        None if line.contains(&0) => {
            let end = line.iter().position(|byte| *byte == 0);
            &line[..end.unwrap_or(line.len())]
        }
        None => return Err(Errno::NOEXEC),
    };
    let line = line.trim_ascii();
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let (path, argument) = match line.iter().position(is_space) {
        Some(at) => (&line[..at], Some(line[at..].trim_ascii())),
        None => (line, None),
    };
    if path.is_empty() {
        return Err(Errno::NOEXEC);
    }
    let argument = argument.filter(|argument| !argument.is_empty());
    Ok((path.to_vec(), argument.map(<[u8]>::to_vec)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_script_names_its_interpreter_and_one_argument() {
        let parse = |text: &[u8]| script(text);
        assert_eq!(parse(b"#!/bin/sh\necho"), Ok((b"/bin/sh".to_vec(), None)));
        let argument = Some(b"-e x".to_vec());
        assert_eq!(
            parse(b"#! /bin/sh  -e x \n"),
            Ok((b"/bin/sh".to_vec(), argument))
        );
        assert_eq!(parse(b"#!/bin/sh\0\0"), Ok((b"/bin/sh".to_vec(), None)));
        assert_eq!(parse(b"#!\n"), Err(Errno::NOEXEC));
        assert_eq!(parse(b"#!/cut/off"), Err(Errno::NOEXEC));
        assert_eq!(parse(b"text"), Err(Errno::NOEXEC));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_program_or_refused(
            mut head: Vec<u8>, headers in proptest::collection::vec(any::<u8>(), 0..200), entries in 0u16..4,
        ) {
            head.resize(HEAD, 0);
            let _ = script(&head);
            let mut bytes: [u8; HEAD] = head.try_into().unwrap();
            let _ = Header::read(&bytes);
            bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
            bytes[16..20].copy_from_slice(&[2, 0, 62, 0]);
            bytes[20] = 1;
            bytes[54..58].copy_from_slice(&[56, 0, entries as u8, 0]);
            if let Ok(header) = Header::read(&bytes)
                && let Ok(layout) = Layout::read(&header, &headers)
            {
                let (low, high) = layout.span();
                prop_assert!(low < high && high < END);
            }
        }
    }
}
