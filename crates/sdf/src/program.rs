// SPDX-License-Identifier: BSD-2-Clause
//! ELF files of programs: which pages they need, and where their symbols are.
//!
//! A program file is hostile until checked: every offset, length and address in it is compared with
//! the file and the address space before it is used, and memory is bounded by
//! [`MAX_PROGRAM_SIZE`].

use std::collections::{BTreeMap, HashMap};

use object::{
    LittleEndian, elf,
    read::elf::{FileHeader as _, ProgramHeader as _, Sym as _},
};
use xos_image::{Access, PAGE_SIZE, USER_END, USER_START};

use crate::error::Quoted;

/// The most memory that a program's segments may take, in bytes. No limit of the format: it bounds
/// what a wrong size in a program header can cost.
pub(crate) const MAX_PROGRAM_SIZE: u64 = 256 << 20;

/// Why a file is not a program that can be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ElfError {
    #[error("not a 64-bit little-endian ELF file, or a damaged one: {0}")]
    Malformed(String),
    #[error("made for another processor than x86-64")]
    Machine,
    #[error(
        "not an executable with fixed addresses; link it statically and not position-independent (-static -no-pie, relocation-model=static)"
    )]
    NotExecutable,
    #[error("needs a dynamic linker; link it statically (-static -no-pie)")]
    Dynamic,
    #[error("has no memory to load")]
    NoSegments,
    #[error(
        "program header {index} is damaged: its contents are larger than its memory, or not in the file"
    )]
    Contents { index: usize },
    #[error(
        "program header {index} is at {start:#x}, with {size:#x} bytes; programs lie between {USER_START:#x} and {USER_END:#x}"
    )]
    Range { index: usize, start: u64, size: u64 },
    #[error("the segments at {first:#x} and {second:#x} overlap")]
    Overlap { first: u64, second: u64 },
    #[error("needs {size:#x} bytes of memory; at most {MAX_PROGRAM_SIZE:#x} are loaded")]
    TooLarge { size: u64 },
    #[error(
        "the page at {page:#x} would be writable and executable, shared by two segments; link with segments on pages of their own (-z separate-code)"
    )]
    SharedPage { page: u64 },
    #[error("the entry point {entry:#x} is in no executable segment")]
    Entry { entry: u64 },
    #[error("no symbol {}; define it, or remove what sets it", Quoted(.symbol))]
    NoSymbol { symbol: String },
    #[error("several symbols {}; give the one to be set a name of its own", Quoted(.symbol))]
    AmbiguousSymbol { symbol: String },
    #[error("symbol {} has {size} bytes, must have {expected}", Quoted(.symbol))]
    SymbolSize {
        symbol: String,
        size: u64,
        expected: u64,
    },
    #[error("symbol {} at {address:#x} is not in the memory of the program", Quoted(.symbol))]
    SymbolAddress { symbol: String, address: u64 },
    #[error("its first address {start:#x} is not on a page; the kernel refuses to boot it")]
    ImageStart { start: u64 },
    #[error(
        "the payload has {size:#x} bytes, which is not whole pages, or does not fit behind the image"
    )]
    Payload { size: u64 },
}

/// A segment as the file has it.
#[derive(Clone, Debug)]
pub(crate) struct Load<'a> {
    pub vaddr: u64,
    /// Bytes in memory; the end is within [`USER_END`].
    pub mem_size: u64,
    /// Contents of the first bytes.
    pub data: &'a [u8],
    pub write: bool,
    pub execute: bool,
    pub flags: elf::ProgramFlags,
}

impl Load<'_> {
    pub fn end(&self) -> u64 {
        self.vaddr + self.mem_size
    }
}

/// The loadable part of a file: ascending, disjoint, at least one, with the entry point.
#[derive(Clone, Debug)]
pub(crate) struct Loads<'a> {
    pub entry: u64,
    pub loads: Vec<Load<'a>>,
}

/// Reads the headers of a static x86-64 executable.
pub(crate) fn loads(file: &[u8]) -> Result<Loads<'_>, ElfError> {
    let header = header(file)?;
    if header.e_machine(LittleEndian) != elf::EM_X86_64 {
        return Err(ElfError::Machine);
    }
    if header.e_type(LittleEndian) != elf::ET_EXEC {
        return Err(ElfError::NotExecutable);
    }
    let headers = header
        .program_headers(LittleEndian, file)
        .map_err(malformed)?;
    let mut loads = Vec::new();
    for (index, header) in headers.iter().enumerate() {
        match header.p_type(LittleEndian) {
            elf::PT_LOAD => {}
            elf::PT_INTERP | elf::PT_DYNAMIC => return Err(ElfError::Dynamic),
            _ => continue,
        }
        let (vaddr, mem_size) = (header.p_vaddr(LittleEndian), header.p_memsz(LittleEndian));
        let data = header
            .data(LittleEndian, file)
            .map_err(|()| ElfError::Contents { index })?;
        if data.len() as u64 > mem_size {
            return Err(ElfError::Contents { index });
        }
        if mem_size == 0 {
            continue;
        }
        let end = vaddr.checked_add(mem_size);
        if vaddr < USER_START || end.is_none_or(|end| end > USER_END) {
            return Err(ElfError::Range {
                index,
                start: vaddr,
                size: mem_size,
            });
        }
        let flags = header.p_flags(LittleEndian);
        let has = |flag: elf::ProgramFlags| flags.0 & flag.0 != 0;
        let (write, execute) = (has(elf::PF_W), has(elf::PF_X));
        loads.push(Load {
            vaddr,
            mem_size,
            data,
            write,
            execute,
            flags,
        });
    }
    loads.sort_by_key(|load| load.vaddr);
    for pair in loads.windows(2) {
        if pair[0].end() > pair[1].vaddr {
            return Err(ElfError::Overlap {
                first: pair[0].vaddr,
                second: pair[1].vaddr,
            });
        }
    }
    if loads.is_empty() {
        return Err(ElfError::NoSegments);
    }
    let entry = header.e_entry(LittleEndian);
    let holds_entry = |load: &Load| load.execute && (load.vaddr..load.end()).contains(&entry);
    if !loads.iter().any(holds_entry) {
        return Err(ElfError::Entry { entry });
    }
    Ok(Loads { entry, loads })
}

fn header(file: &[u8]) -> Result<&elf::FileHeader64<LittleEndian>, ElfError> {
    let header = elf::FileHeader64::<LittleEndian>::parse(file).map_err(malformed)?;
    if header.is_little_endian() {
        Ok(header)
    } else {
        Err(malformed("big-endian"))
    }
}

fn malformed(error: impl ToString) -> ElfError {
    ElfError::Malformed(error.to_string())
}

/// A program as it will lie in memory.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub entry: u64,
    /// Ascending and disjoint; neighbours differ in their rights.
    pub runs: Vec<Run>,
}

/// Consecutive pages with the same rights.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// First address, on a page.
    pub vaddr: u64,
    pub access: Access,
    /// All bytes, whole pages.
    pub bytes: Vec<u8>,
}

impl Program {
    /// Lays out a program in pages. Segments that share a page give it the rights of both.
    pub fn load(file: &[u8]) -> Result<Self, ElfError> {
        let Loads { entry, loads } = loads(file)?;
        let size = loads
            .iter()
            .map(|load| load.mem_size)
            .fold(0, u64::saturating_add);
        if size > MAX_PROGRAM_SIZE {
            return Err(ElfError::TooLarge { size });
        }

        #[derive(Default)]
        struct Page {
            write: bool,
            execute: bool,
            /// One segment by itself wants both; its linker was told so.
            both: bool,
        }
        let mut pages = BTreeMap::<u64, Page>::new();
        for load in &loads {
            for page in load.vaddr / PAGE_SIZE..load.end().div_ceil(PAGE_SIZE) {
                let page = pages.entry(page * PAGE_SIZE).or_default();
                page.write |= load.write;
                page.execute |= load.execute;
                page.both |= load.write && load.execute;
            }
        }
        let mut runs = Vec::<Run>::new();
        for (vaddr, page) in pages {
            if page.write && page.execute && !page.both {
                return Err(ElfError::SharedPage { page: vaddr });
            }
            let access = Access::new(page.write, page.execute);
            match runs.last_mut() {
                Some(run) if run.end() == vaddr && run.access == access => {
                    run.bytes.resize(run.bytes.len() + PAGE_SIZE as usize, 0);
                }
                _ => runs.push(Run {
                    vaddr,
                    access,
                    bytes: vec![0; PAGE_SIZE as usize],
                }),
            }
        }
        let mut program = Self { entry, runs };
        for load in &loads {
            // A segment lies in one run, or in several where its pages are shared with others.
            for run in &mut program.runs {
                run.copy(load.vaddr, load.data);
            }
        }
        Ok(program)
    }

    /// Writes into the memory of the program; false if some of it is not the program's.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> bool {
        let end = address.saturating_add(bytes.len() as u64);
        let found = self
            .runs
            .iter_mut()
            .find(|run| run.vaddr <= address && end <= run.end());
        found.map(|run| run.copy(address, bytes)).is_some()
    }
}

impl Run {
    pub fn end(&self) -> u64 {
        self.vaddr + self.bytes.len() as u64
    }

    /// Copies that part of `bytes`, which begin at `address`, that lies in this run.
    fn copy(&mut self, address: u64, bytes: &[u8]) {
        let start = address.max(self.vaddr);
        let end = (address + bytes.len() as u64).min(self.end());
        if start < end {
            let target = (start - self.vaddr) as usize..(end - self.vaddr) as usize;
            let origin = (start - address) as usize..(end - address) as usize;
            self.bytes[target].copy_from_slice(&bytes[origin]);
        }
    }
}

/// Where the variables of a program are.
pub(crate) struct Symbols<'a> {
    by_name: HashMap<&'a [u8], Symbol>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Symbol {
    address: u64,
    size: u64,
    global: bool,
    /// Another one of the same name and binding is elsewhere.
    ambiguous: bool,
}

impl<'a> Symbols<'a> {
    /// Reads the symbol table; a stripped file has none.
    pub fn read(file: &'a [u8]) -> Result<Self, ElfError> {
        let header = header(file)?;
        let sections = header.sections(LittleEndian, file).map_err(malformed)?;
        let table = sections
            .symbols(LittleEndian, file, elf::SHT_SYMTAB)
            .map_err(malformed)?;
        let mut by_name = HashMap::<&[u8], Symbol>::new();
        for symbol in table.iter() {
            // Thread-local symbols are offsets, not addresses.
            let is_variable = [elf::STT_OBJECT, elf::STT_NOTYPE].contains(&symbol.st_type());
            if !is_variable || symbol.is_undefined(LittleEndian) {
                continue;
            }
            let name = symbol
                .name(LittleEndian, table.strings())
                .map_err(malformed)?;
            let found = Symbol {
                address: symbol.st_value(LittleEndian),
                size: symbol.st_size(LittleEndian),
                global: !symbol.is_local(),
                ambiguous: false,
            };
            by_name
                .entry(name)
                .and_modify(|known| match (known.global, found.global) {
                    (true, false) => {}
                    (false, true) => *known = found,
                    _ => known.ambiguous |= known.address != found.address,
                })
                .or_insert(found);
        }
        Ok(Self { by_name })
    }

    /// Address and size of a variable.
    pub fn find(&self, symbol: &str) -> Result<Option<(u64, u64)>, ElfError> {
        match self.by_name.get(symbol.as_bytes()) {
            Some(found) if found.ambiguous => Err(ElfError::AmbiguousSymbol {
                symbol: symbol.into(),
            }),
            found => Ok(found.map(|found| (found.address, found.size))),
        }
    }
}
