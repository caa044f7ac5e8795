// SPDX-License-Identifier: BSD-2-Clause
//! Starting programs (execve(2)).
//!
//! The new address space is complete before the old one goes: whatever is wrong with a program, the one
//! that wants to start it is told, and goes on.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use chacha20::rand_core::Rng;
use linux_raw_sys::auxvec as aux;
use linux_raw_sys::general as linux;

use super::Server;
use super::glue::Executable;
use super::signals::TRAMPOLINE;
use crate::elf::{HEAD, Header, Layout, script};
use crate::flow::Progress;
use crate::kernel::{Extent, Kernel, Registers};
use crate::mm::{
    AddressSpace, FileId, MAPS_END, Map, Mappable, PAGE_BYTES, Place, Protection, page_start,
};
use crate::pages::{PAGE, Pages};
use crate::signal::AlternateStack;
use crate::task::Program;
use crate::{Errno, Result, ThreadId};

/// Where a program that can be anywhere is (`ELF_ET_DYN_BASE`).
const MOVED: u64 = 0x5555_5555_4000;
/// Scripts that are interpreted by scripts.
const MAX_SCRIPTS: usize = 5;
/// Bytes of one argument (`MAX_ARG_STRLEN`).
const MAX_STRING: usize = 32 * PAGE;
/// Bytes of all arguments and the environment.
const MAX_STRINGS: u64 = 2 << 20;
/// They may be such a part of the server's memory.
const STRINGS_PART: usize = 32;
/// Bytes of a file that say what it is (`BINPRM_BUF_SIZE`).
const HEAD_OF_SCRIPT: usize = 256;
/// `AT_CLKTCK`.
const TICKS_PER_SECOND: u64 = 100;
/// `AT_MINSIGSTKSZ`: what a signal frame takes at most, with room to do something.
const LEAST_STACK: u64 = 2048;

/// What is to be started.
pub struct Start {
    /// The directory that the path is relative to.
    pub directory: i32,
    /// The path.
    pub path: Vec<u8>,
    /// `AT_x`.
    pub flags: u32,
    /// Arguments.
    pub arguments: Vec<Vec<u8>>,
    /// Environment.
    pub environment: Vec<Vec<u8>>,
}

/// Strings, with a zero byte behind each.
fn joined(strings: &[Vec<u8>]) -> Rc<[u8]> {
    let strings = strings
        .iter()
        .flat_map(|string| string.iter().copied().chain([0]));
    strings.collect()
}

/// A program in memory.
struct Loaded {
    entry: u64,
    /// What was added to its addresses.
    moved: u64,
    end: u64,
}

/// Arguments, environment and what else a program finds above its stack.
struct Strings {
    arguments: Vec<u64>,
    environment: Vec<u64>,
    name: u64,
    platform: u64,
    random: u64,
    /// The lowest address of all.
    start: u64,
}

impl<K: Kernel, P: Pages> Server<K, P> {
    /// A list of strings in a thread's memory, ended by a null pointer.
    ///
    /// # Errors
    /// [`Errno::FAULT`], [`Errno::TOOBIG`].
    pub fn read_strings(
        &mut self,
        thread: ThreadId,
        mut address: u64,
        room: &mut u64,
    ) -> Result<Vec<Vec<u8>>> {
        let mut strings = Vec::new();
        if address == 0 {
            return Ok(strings);
        }
        loop {
            let [pointer] = self.read_words(thread, address)?;
            if pointer == 0 {
                return Ok(strings);
            }
            let string = match self.read_string(thread, pointer, MAX_STRING) {
                Err(Errno::NAMETOOLONG) => return Err(Errno::TOOBIG),
                string => string?,
            };
            *room = room
                .checked_sub(string.len() as u64 + 1 + 8)
                .ok_or(Errno::TOOBIG)?;
            strings.push(string);
            address = address.wrapping_add(8);
        }
    }

    /// Room that arguments and environment may take: they stay in the server's memory.
    pub fn room_for_strings(&mut self, thread: ThreadId) -> u64 {
        let (_, heap) = self.kernel.heap();
        let most = MAX_STRINGS.min((heap / STRINGS_PART) as u64);
        let process = self.tasks.process_of(thread);
        let stack = process.map_or(0, |p| p.limit(linux::RLIMIT_STACK));
        (stack / 4).clamp(32 * PAGE_BYTES, most.max(32 * PAGE_BYTES))
    }

    /// Starts a program in the place of a thread's process.
    ///
    /// # Errors
    /// Those of execve(2); the process is what it was then.
    pub fn execute(&mut self, thread: ThreadId, mut start: Start) -> Result<()> {
        let mut executable =
            self.find_executable(thread, start.directory, &start.path, start.flags)?;
        let name = match start.path.first() {
            Some(b'/') => start.path.clone(),
            _ if start.directory == linux::AT_FDCWD => start.path.clone(),
            _ => {
                let mut name = alloc::format!("/dev/fd/{}", start.directory).into_bytes();
                if !start.path.is_empty() {
                    name.push(b'/');
                    name.extend_from_slice(&start.path);
                }
                name
            }
        };
        let mut file_name = name.clone();
        for _ in 0..MAX_SCRIPTS {
            let mut head = [0; HEAD_OF_SCRIPT];
            self.read_file(executable.node, 0, &mut head)?;
            if !head.starts_with(b"#!") {
                return self.execute_binary(thread, &executable, &start, &name);
            }
            let (interpreter, argument) = script(&head)?;
            let mut arguments = alloc::vec![interpreter.clone()];
            arguments.extend(argument);
            arguments.push(file_name);
            arguments.extend(start.arguments.drain(..).skip(1));
            start.arguments = arguments;
            file_name = interpreter.clone();
            executable = self.find_executable(thread, linux::AT_FDCWD, &interpreter, 0)?;
        }
        Err(Errno::LOOP)
    }

    /// Bytes of a file from an offset on; zero where the file does not reach.
    fn read_file(&mut self, file: FileId, offset: u64, into: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < into.len() {
            let at = offset + done as u64;
            let within = (at % PAGE_BYTES) as usize;
            let here = (PAGE - within).min(into.len() - done);
            match Mappable::page(&mut self.files, &mut self.pages, file, at / PAGE_BYTES) {
                Ok(page) => {
                    self.pages.read(page, within, &mut into[done..done + here]);
                    self.pages.release(page);
                }
                Err(Errno::NOMEM) => return Err(Errno::NOMEM),
                Err(_) => break,
            }
            done += here;
        }
        Ok(())
    }

    fn layout(&mut self, file: FileId) -> Result<(Header, Layout)> {
        let mut head = [0; HEAD];
        self.read_file(file, 0, &mut head)?;
        let header = Header::read(&head)?;
        let mut headers = alloc::vec![0; header.headers_bytes()];
        self.read_file(file, header.headers_at, &mut headers)?;
        let layout = Layout::read(&header, &headers)?;
        Ok((header, layout))
    }

    fn execute_binary(
        &mut self,
        thread: ThreadId,
        executable: &Executable,
        start: &Start,
        name: &[u8],
    ) -> Result<()> {
        let (header, layout) = self.layout(executable.node)?;
        let interpreter = match layout.interpreter {
            None => None,
            Some((offset, length)) => {
                let mut path = alloc::vec![0; (length as usize).min(crate::vfs::PATH_MAX)];
                self.read_file(executable.node, offset, &mut path)?;
                let end = path.iter().position(|b| *b == 0).ok_or(Errno::NOEXEC)?;
                let found = self.find_executable(thread, linux::AT_FDCWD, &path[..end], 0)?;
                let (header, layout) = self.layout(found.node)?;
                Some((found, header, layout))
            }
        };
        let process = self.tasks.process_of(thread)?;
        let mut credentials = (*process.credentials).clone();
        executable.enter(&mut credentials, process.no_new_rights);
        let limits = process.limits.clone();
        let (space, execution) = self.kernel.create_space_and_execution()?;
        let mut memory = AddressSpace::new(space);
        memory.stack_limit = limits[linux::RLIMIT_STACK as usize].0;
        memory.size_limit = limits[linux::RLIMIT_AS as usize].0;
        memory.data_limit = limits[linux::RLIMIT_DATA as usize].0;
        let mut registers = Registers {
            rflags: 0x202,
            ..Registers::default()
        };
        let mut program = Program::default();
        let built = (|| {
            let base = if header.moves { MOVED } else { 0 };
            let main = self.load(&mut memory, executable.node, &header, &layout, base)?;
            memory.heap = main.end.next_multiple_of(PAGE_BYTES);
            memory.heap_end = memory.heap;
            let (entry, base) = match &interpreter {
                None => (main.entry, 0),
                Some((file, header, layout)) => {
                    let (low, high) = layout.span();
                    let base = page_start(MAPS_END - (high - low) - (1 << 21));
                    let base = if header.moves { base } else { 0 };
                    let loaded = self.load(&mut memory, file.node, header, layout, base)?;
                    (loaded.entry, loaded.moved)
                }
            };
            let page = self.trampoline()?;
            memory.map_page(&mut self.resources(), TRAMPOLINE, page)?;
            let top = memory.make_stack(&mut self.resources(), 32 * PAGE_BYTES)?;
            let strings = self.put_strings(&mut memory, top, start, name)?;
            let headers = layout.headers.map_or(0, |at| at.wrapping_add(main.moved));
            let id = &credentials;
            let secure = id.uid != id.euid || id.gid != id.egid;
            let auxiliary = [
                (aux::AT_HWCAP, self.kernel.features()),
                (aux::AT_PAGESZ, PAGE_BYTES),
                (aux::AT_CLKTCK, TICKS_PER_SECOND),
                (aux::AT_PHDR, headers),
                (aux::AT_PHENT, crate::elf::PROGRAM_HEADER as u64),
                (aux::AT_PHNUM, header.headers.into()),
                (aux::AT_BASE, base),
                (aux::AT_FLAGS, 0),
                (aux::AT_ENTRY, main.entry),
                (aux::AT_UID, id.uid.into()),
                (aux::AT_EUID, id.euid.into()),
                (aux::AT_GID, id.gid.into()),
                (aux::AT_EGID, id.egid.into()),
                (aux::AT_SECURE, secure.into()),
                (aux::AT_RANDOM, strings.random),
                (aux::AT_HWCAP2, 0),
                (aux::AT_EXECFN, strings.name),
                (aux::AT_PLATFORM, strings.platform),
                (aux::AT_MINSIGSTKSZ, LEAST_STACK),
                (aux::AT_NULL, 0),
            ];
            let mut words = alloc::vec![strings.arguments.len() as u64];
            words.extend(&strings.arguments);
            words.push(0);
            words.extend(&strings.environment);
            words.push(0);
            words.extend(
                auxiliary
                    .iter()
                    .flat_map(|(tag, value)| [u64::from(*tag), *value]),
            );
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let sp = (strings.start - bytes.len() as u64) & !15;
            memory.write(&mut self.resources(), sp, &bytes)?;
            registers.rip = entry;
            registers.rsp = sp;
            program = Program {
                file: Some(executable.node),
                arguments: joined(&start.arguments),
                environment: joined(&start.environment),
                stack: sp,
            };
            Ok(())
        })();
        if let Err(error) = built {
            self.kernel.end_execution(execution);
            self.kernel.end_space(space);
            memory.clear(&mut self.resources());
            return Err(error);
        }

        // From here on nothing fails.
        let thread = self.end_other_threads(thread)?;
        self.forget(thread);
        let t = self.tasks.thread_mut(thread)?;
        let old = core::mem::replace(&mut t.execution, execution);
        t.registers = registers;
        t.alternate = AlternateStack::default();
        t.clear_child_tid = 0;
        t.robust_list = 0;
        t.progress = Progress::default();
        t.name = [0; 16];
        let base = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let length = base.len().min(15);
        t.name[..length].copy_from_slice(&base[..length]);
        self.kernel.end_execution(old);
        self.tasks.executions.remove(&old);
        self.tasks.executions.insert(execution, thread);
        let process = self.tasks.process_of_mut(thread)?;
        let id = process.id;
        process.credentials = Rc::new(credentials);
        let before = core::mem::replace(&mut process.program, program).file;
        process.executed = true;
        process.exit_signal = super::SIGCHLD.number();
        let mut actions = process.actions.borrow().clone();
        actions.reset_handlers();
        process.actions = Rc::new(RefCell::new(actions));
        process.parent_signal = 0;
        let timers = core::mem::take(&mut process.timers);
        let memory = Rc::new(RefCell::new(memory));
        let old_memory = core::mem::replace(&mut process.memory, memory);
        for (number, timer) in timers {
            let event = crate::timers::Event::Timer(id, number);
            self.timers.remove(timer.interval.at, event);
        }
        self.files.execute(executable.node);
        if let Some(file) = before {
            self.files.leave(&mut self.pages, file);
        }
        self.drop_memory(old_memory);
        self.return_memory(id);
        self.unshare_table(id);
        let table = self.tasks.process(id)?.table;
        self.files.close_on_exec(&mut self.pages, id, table);
        self.go(thread, Extent::All, None);
        Ok(())
    }

    /// Maps a program's segments.
    fn load(
        &mut self,
        memory: &mut AddressSpace,
        file: FileId,
        header: &Header,
        layout: &Layout,
        base: u64,
    ) -> Result<Loaded> {
        let (low, _) = layout.span();
        let moved = match header.moves {
            true => base.wrapping_sub(page_start(low)),
            false => 0,
        };
        let mut end = 0;
        for segment in &layout.segments {
            let address = segment.address.checked_add(moved).ok_or(Errno::NOEXEC)?;
            let start = page_start(address);
            let file_end = address + segment.in_file;
            let memory_end = address + segment.in_memory;
            let anonymous_from = if segment.in_file == 0 {
                start
            } else {
                let map = Map {
                    length: file_end - start,
                    protection: segment.protection,
                    file: Some((file, (segment.offset - (address - start)) / PAGE_BYTES)),
                    place: Place::Fixed(start),
                    ..Map::default()
                };
                self.map_segment(memory, &map)?;
                file_end.next_multiple_of(PAGE_BYTES)
            };
            if memory_end > file_end {
                let rest = anonymous_from.min(memory_end).saturating_sub(file_end);
                if segment.in_file != 0
                    && rest != 0
                    && segment.protection.contains(Protection::WRITE)
                {
                    let zeroes = alloc::vec![0; rest as usize];
                    memory.write(&mut self.resources(), file_end, &zeroes)?;
                }
                if memory_end > anonymous_from {
                    let map = Map {
                        length: memory_end - anonymous_from,
                        protection: segment.protection,
                        place: Place::Fixed(anonymous_from),
                        ..Map::default()
                    };
                    self.map_segment(memory, &map)?;
                }
            }
            end = end.max(memory_end);
        }
        Ok(Loaded {
            entry: header.entry.wrapping_add(moved),
            moved,
            end,
        })
    }

    fn map_segment(&mut self, memory: &mut AddressSpace, map: &Map) -> Result<()> {
        match memory.map(&mut self.resources(), map) {
            Ok(_) => Ok(()),
            // An address that no program can have.
            Err(Errno::PERM | Errno::INVAL) => Err(Errno::NOEXEC),
            Err(error) => Err(error),
        }
    }

    /// Writes a program's strings below the end of its stack.
    fn put_strings(
        &mut self,
        memory: &mut AddressSpace,
        top: u64,
        start: &Start,
        name: &[u8],
    ) -> Result<Strings> {
        let mut bytes = Vec::new();
        let put = |bytes: &mut Vec<u8>, string: &[u8]| {
            let at = bytes.len() as u64;
            bytes.extend_from_slice(string);
            bytes.push(0);
            at
        };
        let mut random = [0; 16];
        self.files.random.fill_bytes(&mut random);
        bytes.extend(random);
        let platform = put(&mut bytes, b"x86_64");
        let mut arguments: Vec<u64> = Vec::new();
        for argument in &start.arguments {
            arguments.push(put(&mut bytes, argument));
        }
        let mut environment: Vec<u64> = Vec::new();
        for variable in &start.environment {
            environment.push(put(&mut bytes, variable));
        }
        let name = put(&mut bytes, name);
        // The last word of a stack is 0.
        let at = (top - 8 - bytes.len() as u64) & !15;
        memory.write(&mut self.resources(), at, &bytes)?;
        arguments.iter_mut().for_each(|offset| *offset += at);
        environment.iter_mut().for_each(|offset| *offset += at);
        Ok(Strings {
            arguments,
            environment,
            name: name + at,
            platform: platform + at,
            random: at,
            start: at,
        })
    }
}
