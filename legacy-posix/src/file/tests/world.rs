// SPDX-License-Identifier: BSD-2-Clause
//! A system of files with a few processes, to make calls in.

use alloc::vec::Vec;
use std::collections::BTreeMap;

use crate::file::{Files, Limits, Moved, PlaceId, TableId};
use crate::pages::model::HeapPages;
use crate::vfs::source::{Contexts, Info, Mapping, Processes, System};
use crate::vfs::{Call, Caller, Node, Time};
use crate::{Buffer, Credentials, Errno, PAGE, Pages, ProcessId, Result, Segment, ThreadId};
use linux_raw_sys::general::AT_FDCWD;

pub fn pid(number: u32) -> ProcessId {
    ProcessId::new(number).unwrap()
}

/// A process.
#[derive(Clone)]
pub struct Process {
    pub who: Credentials,
    pub table: TableId,
    pub place: PlaceId,
    pub group: u32,
    pub session: u32,
    pub quiet: u64,
}

#[derive(Default)]
pub struct Table {
    pub processes: BTreeMap<u32, Process>,
    pub contexts: Option<Box<dyn Contexts>>,
}

impl Table {
    fn get(&self, process: ProcessId) -> Option<&Process> {
        self.processes.get(&process.number())
    }
}

impl Processes for Table {
    fn next(&self, number: u32) -> Option<ProcessId> {
        self.processes.range(number..).next().map(|(&n, _)| pid(n))
    }
    fn next_thread(&self, process: ProcessId, number: u32) -> Option<ThreadId> {
        (process.number() >= number).then(|| process.leader())
    }
    fn info(&self, process: ProcessId) -> Option<Info> {
        let found = self.get(process)?;
        Some(Info {
            name: b"tes) t".to_vec(),
            state: 'S',
            parent: 1,
            group: pid(found.group),
            session: pid(found.session),
            credentials: found.who.clone(),
            no_new_rights: false,
            threads: 1,
            nice: 0,
            user_ticks: 3,
            system_ticks: 4,
            children_user_ticks: 0,
            children_system_ticks: 0,
            start_ticks: 77,
            minor_faults: 0,
            size: 8192,
            peak_size: 8192,
            resident: 2,
            data: 4096,
            stack: 4096,
            text: 4096,
            pending: 0,
            shared_pending: 0,
            blocked: 0,
            ignored: 0,
            caught: 0,
            voluntary_switches: 5,
        })
    }
    fn thread_info(&self, thread: ThreadId) -> Option<Info> {
        self.info(thread.process())
    }
    fn session_of_group(&self, group: ProcessId) -> Option<ProcessId> {
        let mut all = self.processes.values();
        let found = all.find(|process| process.group == group.number())?;
        Some(pid(found.session))
    }
    fn credentials(&self, process: ProcessId) -> Option<Credentials> {
        Some(self.get(process)?.who.clone())
    }
    fn table(&self, process: ProcessId) -> Option<TableId> {
        Some(self.get(process)?.table)
    }
    fn place(&self, process: ProcessId) -> Option<PlaceId> {
        Some(self.get(process)?.place)
    }
    fn executable(&self, _: ProcessId) -> Option<Node> {
        None
    }
    fn arguments(&self, _: ProcessId) -> Vec<u8> {
        b"test\0-x\0".to_vec()
    }
    fn environment(&self, _: ProcessId) -> Vec<u8> {
        b"A=b\0".to_vec()
    }
    fn mappings(&self, _: ProcessId) -> Vec<Mapping> {
        Vec::new()
    }
    fn system(&self) -> System {
        System::default()
    }
    fn contexts(&self) -> Option<&dyn Contexts> {
        self.contexts.as_deref()
    }
}

/// The system.
pub struct World {
    pub files: Files,
    pub pages: HeapPages,
    pub table: Table,
    pub now: Time,
    /// Who calls.
    pub current: u32,
    memory: Vec<Segment>,
}

pub const MEMORY: usize = 32;

impl World {
    /// With `/dev`, `/proc`, and process 1, the superuser.
    pub fn new() -> Self {
        Self::with(Limits::default(), 2000)
    }

    pub fn with(limits: Limits, frames: usize) -> Self {
        let mut pages = HeapPages::new(frames);
        let memory = (0..MEMORY)
            .map(|_| Segment {
                page: pages.allocate().unwrap(),
                offset: 0,
                length: PAGE as u16,
            })
            .collect();
        let now = Time {
            seconds: 1_000_000,
            nanoseconds: 5,
        };
        let mut files = Files::new(limits, [7; 32], now);
        let process = Process {
            who: Credentials::root(),
            table: files.create_table(),
            place: files.create_place(files.root(), 0o22),
            group: 1,
            session: 1,
            quiet: 0,
        };
        let mut world = Self {
            files,
            pages,
            table: Table::default(),
            now,
            current: 1,
            memory,
        };
        world.table.processes.insert(1, process);
        world.call(|files, call| files.mount_system(call)).unwrap();
        world
    }

    /// A child of the caller, with copies of what it has.
    pub fn fork(&mut self, number: u32) {
        let mut process = self.table.processes[&self.current].clone();
        process.table = self.files.copy_table(process.table);
        process.place = self.files.copy_place(process.place);
        self.table.processes.insert(number, process);
    }

    /// A process ends.
    pub fn exit(&mut self, number: u32) {
        let process = self.table.processes.remove(&number).unwrap();
        self.files
            .abandon(&mut self.pages, pid(number), pid(number).leader());
        self.files
            .drop_table(&mut self.pages, pid(number), process.table);
        self.files.drop_place(&mut self.pages, process.place);
    }

    /// Makes a call as the current process.
    pub fn call<R>(&mut self, f: impl FnOnce(&mut Files, &mut Call) -> R) -> R {
        let process = self.table.processes[&self.current].clone();
        f(
            &mut self.files,
            &mut Call {
                pages: &mut self.pages,
                processes: &self.table,
                caller: Caller {
                    thread: pid(self.current).leader(),
                    process: pid(self.current),
                    group: pid(process.group),
                    session: pid(process.session),
                    quiet: process.quiet,
                    credentials: &process.who,
                    table: process.table,
                    place: process.place,
                    descriptors_limit: 1024,
                    file_limit: u64::MAX,
                },
                now: self.now,
            },
        )
    }

    /// Makes a call as another process.
    pub fn as_process<R>(&mut self, number: u32, f: impl FnOnce(&mut Self) -> R) -> R {
        let before = core::mem::replace(&mut self.current, number);
        let result = f(self);
        self.current = before;
        result
    }

    /// Threads that were woken since, by their processes' numbers.
    pub fn woken(&mut self) -> Vec<u32> {
        core::iter::from_fn(|| self.files.queues.next_woken())
            .map(ThreadId::number)
            .collect()
    }

    pub fn try_open(&mut self, path: &str, flags: u32, mode: u32) -> Result<Moved> {
        self.call(|files, call| files.openat(call, AT_FDCWD, path.as_bytes(), flags, mode))
    }

    /// Opens what must be there.
    pub fn open(&mut self, path: &str, flags: u32) -> i32 {
        match self.try_open(path, flags, 0o666) {
            Ok(Moved::Done(fd)) => fd as i32,
            other => panic!("{path}: {other:?}"),
        }
    }

    pub fn close(&mut self, fd: i32) {
        self.call(|files, call| files.close(call, fd)).unwrap();
    }

    pub fn mkdir(&mut self, path: &str) {
        self.call(|files, call| files.mkdirat(call, AT_FDCWD, path.as_bytes(), 0o777))
            .unwrap();
    }

    pub fn symlink(&mut self, text: &str, path: &str) {
        self.call(|files, call| files.symlinkat(call, text.as_bytes(), AT_FDCWD, path.as_bytes()))
            .unwrap();
    }

    /// A file with contents.
    pub fn file(&mut self, path: &str, contents: &[u8]) {
        use linux_raw_sys::general::{O_CREAT, O_TRUNC, O_WRONLY};
        let fd = self.open(path, O_CREAT | O_TRUNC | O_WRONLY);
        assert_eq!(self.write(fd, contents), Ok(Moved::Done(contents.len())));
        self.close(fd);
    }

    pub fn stat(&mut self, path: &str) -> Result<crate::vfs::Attributes> {
        self.call(|files, call| files.fstatat(call, AT_FDCWD, path.as_bytes(), 0))
    }

    pub fn write_at(&mut self, fd: i32, bytes: &[u8], at: Option<i64>) -> Result<Moved> {
        let memory = self.memory.clone();
        Buffer::new(&memory).put(&mut self.pages, bytes);
        let mut buffer = Buffer::new(&memory);
        buffer.limit(bytes.len());
        self.call(|files, call| files.write(call, fd, &mut buffer, at))
    }

    pub fn write(&mut self, fd: i32, bytes: &[u8]) -> Result<Moved> {
        self.write_at(fd, bytes, None)
    }

    /// What a read gives; `Err(EINTR)` stands for having to wait.
    pub fn read_at(&mut self, fd: i32, most: usize, at: Option<i64>) -> Result<Vec<u8>> {
        let memory = self.memory.clone();
        let mut buffer = Buffer::new(&memory);
        buffer.limit(most);
        match self.call(|files, call| files.read(call, fd, &mut buffer, at, false))? {
            Moved::Done(count) => {
                let mut bytes = alloc::vec![0; count];
                Buffer::new(&memory).take(&self.pages, &mut bytes);
                Ok(bytes)
            }
            _ => Err(Errno::INTR),
        }
    }

    pub fn read(&mut self, fd: i32, most: usize) -> Result<Vec<u8>> {
        self.read_at(fd, most, None)
    }

    /// All of a file.
    pub fn contents(&mut self, path: &str) -> String {
        let fd = self.open(path, 0);
        let mut all = Vec::new();
        loop {
            let part = self.read(fd, 1000).unwrap();
            if part.is_empty() {
                break;
            }
            all.extend(part);
        }
        self.close(fd);
        String::from_utf8(all).unwrap()
    }

    /// Names in a directory, without `.` and `..`.
    pub fn names(&mut self, path: &str) -> Vec<String> {
        use linux_raw_sys::general::O_DIRECTORY;
        let fd = self.open(path, O_DIRECTORY);
        let mut names: Vec<_> = self
            .entries(fd, 4096)
            .unwrap()
            .into_iter()
            .filter(|name| name != "." && name != "..")
            .collect();
        self.close(fd);
        names.sort();
        names
    }

    /// All that `getdents64` gives, with buffers of a size.
    pub fn entries(&mut self, fd: i32, size: usize) -> Result<Vec<String>> {
        let memory = self.memory.clone();
        let mut names = Vec::new();
        loop {
            let mut buffer = Buffer::new(&memory);
            buffer.limit(size);
            let count = self.call(|files, call| files.getdents64(call, fd, &mut buffer))?;
            if count == 0 {
                return Ok(names);
            }
            let mut bytes = alloc::vec![0; count];
            Buffer::new(&memory).take(&self.pages, &mut bytes);
            let mut at = 0;
            while at < count {
                let length = usize::from(crate::file::abi::u16_at(&bytes, at + 16));
                let name = &bytes[at + 19..at + length];
                let end = name.iter().position(|&byte| byte == 0).unwrap();
                names.push(String::from_utf8(name[..end].to_vec()).unwrap());
                at += length;
            }
        }
    }
}
