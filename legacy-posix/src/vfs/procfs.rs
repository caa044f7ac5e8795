// SPDX-License-Identifier: BSD-2-Clause
//! `/proc`: what is known of processes and the system, as files (proc(5)).
//!
//! Nothing is kept here. A file's number says what it is about, and its text is made when it is opened
//! (and again when it is rewound), from what [`Processes`](super::source::Processes) tells.

mod text;

use alloc::format;
use alloc::vec::Vec;

use linux_raw_sys::general::{CAP_SYS_PTRACE, PROC_SUPER_MAGIC, S_IFDIR, S_IFLNK, S_IFREG};

use super::source::Contexts;
use super::{Attributes, Entry, Env, FileSystem, Kind, Link, Node, Rights, Usage};
use crate::{Errno, Pages, ProcessId, Result, ThreadId};

/// The file system.
pub struct Procfs;

/// What a file is about; a number is the kind in the low byte, and then what comes with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum About {
    /// A directory, file or link of [`FIXED`].
    Fixed(usize),
    Process(ProcessId),
    /// A file of [`OF_PROCESS`] of a process.
    OfProcess(ProcessId, usize),
    Descriptor(ProcessId, u32),
    /// The directory of a thread, in `task` of its process.
    Thread(ProcessId, ThreadId),
    /// A file of [`OF_THREAD`].
    OfThread(ThreadId, usize),
    Context(u64),
    /// A file of a context, or of `/proc/ic` itself.
    OfContext(Option<u64>, usize),
}

/// Bits of a process's number (PID_MAX_LIMIT).
const PID_BITS: u32 = 22;
const PID_MASK: u64 = (1 << PID_BITS) - 1;

impl About {
    const fn ino(self) -> u64 {
        const fn of(kind: u64, a: u64, b: u64) -> u64 {
            kind | a << 8 | b << (8 + PID_BITS)
        }
        match self {
            Self::Fixed(index) => of(1, index as u64, 0),
            Self::Process(process) => of(2, process.number() as u64, 0),
            Self::OfProcess(process, file) => of(3, process.number() as u64, file as u64),
            Self::Descriptor(process, fd) => of(4, process.number() as u64, fd as u64),
            Self::Thread(process, thread) => of(5, process.number() as u64, thread.number() as u64),
            Self::OfThread(thread, file) => of(6, thread.number() as u64, file as u64),
            Self::Context(id) => 7 | id << 16,
            Self::OfContext(Some(id), file) => 8 | (file as u64) << 8 | id << 16,
            Self::OfContext(None, file) => 9 | (file as u64) << 8,
        }
    }

    fn of(ino: u64) -> Result<Self> {
        let (a, b) = (ino >> 8 & PID_MASK, ino >> (8 + PID_BITS));
        let process = ProcessId::new(a as u32).ok_or(Errno::NOENT);
        Ok(match ino & 0xff {
            1 => Self::Fixed(a as usize),
            2 => Self::Process(process?),
            3 => Self::OfProcess(process?, b as usize),
            4 => Self::Descriptor(process?, b as u32),
            5 => Self::Thread(process?, ThreadId::new(b as u32).ok_or(Errno::NOENT)?),
            6 => Self::OfThread(ThreadId::new(a as u32).ok_or(Errno::NOENT)?, b as usize),
            7 => Self::Context(ino >> 16),
            8 => Self::OfContext(Some(ino >> 16), (ino >> 8 & 0xff) as usize),
            9 => Self::OfContext(None, (ino >> 8 & 0xff) as usize),
            _ => return Err(Errno::NOENT),
        })
    }
}

/// What a name with a fixed place is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Directory,
    Link(&'static str),
    /// `/proc/self` and `/proc/thread-self`.
    Own(bool),
    Text(text::Of),
}

/// What is in `/proc` but processes: the directory's index, a name, what it is. The first is the root.
const FIXED: &[(usize, &str, What)] = &[
    (0, "", What::Directory),
    (0, "self", What::Own(false)),
    (0, "thread-self", What::Own(true)),
    (0, "mounts", What::Link("self/mounts")),
    (0, "cpuinfo", What::Text(text::Of::Cpuinfo)),
    (0, "filesystems", What::Text(text::Of::Filesystems)),
    (0, "loadavg", What::Text(text::Of::Loadavg)),
    (0, "meminfo", What::Text(text::Of::Meminfo)),
    (0, "stat", What::Text(text::Of::Stat)),
    (0, "uptime", What::Text(text::Of::Uptime)),
    (0, "version", What::Text(text::Of::Version)),
    (0, "sys", What::Directory),
    (SYS, "kernel", What::Directory),
    (SYS, "vm", What::Directory),
    (KERNEL, "hostname", What::Text(text::Of::Hostname)),
    (KERNEL, "ngroups_max", What::Text(text::Of::GroupsMax)),
    (KERNEL, "osrelease", What::Text(text::Of::Release)),
    (KERNEL, "ostype", What::Text(text::Of::Ostype)),
    (KERNEL, "pid_max", What::Text(text::Of::PidMax)),
    (VM, "overcommit_memory", What::Text(text::Of::Overcommit)),
    (0, "ic", What::Directory),
];
const SYS: usize = 11;
const KERNEL: usize = 12;
const VM: usize = 13;
const IC: usize = 20;

/// A file of a process: its name, permissions, what it is. What is only for those who may trace it (its
/// owner and the superuser) is marked.
struct OfProcess {
    name: &'static str,
    mode: u32,
    private: bool,
}

const fn of_process(name: &'static str, mode: u32, private: bool) -> OfProcess {
    OfProcess {
        name,
        mode,
        private,
    }
}

const OF_PROCESS: &[OfProcess] = &[
    of_process("fd", S_IFDIR | 0o500, true),
    of_process("task", S_IFDIR | 0o555, false),
    of_process("cwd", S_IFLNK | 0o777, true),
    of_process("exe", S_IFLNK | 0o777, true),
    of_process("root", S_IFLNK | 0o777, true),
    of_process("cgroup", S_IFREG | 0o444, false),
    of_process("cmdline", S_IFREG | 0o444, false),
    of_process("comm", S_IFREG | 0o644, false),
    of_process("environ", S_IFREG | 0o400, true),
    of_process("maps", S_IFREG | 0o444, true),
    of_process("mountinfo", S_IFREG | 0o444, false),
    of_process("mounts", S_IFREG | 0o444, false),
    of_process("stat", S_IFREG | 0o444, false),
    of_process("statm", S_IFREG | 0o444, false),
    of_process("status", S_IFREG | 0o444, false),
];
const FD: usize = 0;
const TASK: usize = 1;
const CWD: usize = 2;
const EXE: usize = 3;
const ROOT_LINK: usize = 4;

const OF_THREAD: &[&str] = &["comm", "stat", "status"];

/// Whether the caller may look into a process.
fn may_look(env: &Env, process: ProcessId) -> Result<()> {
    let owner = env.processes.credentials(process).ok_or(Errno::NOENT)?;
    let who = env.credentials;
    if env.process == process
        || who.can(CAP_SYS_PTRACE)
        || who.fsuid == owner.euid && who.fsuid == owner.uid && who.fsuid == owner.suid
    {
        Ok(())
    } else {
        Err(Errno::ACCES)
    }
}

fn context_files<'a>(env: &Env<'a>, id: Option<u64>) -> &'static [(&'static str, bool)] {
    env.processes
        .contexts()
        .map_or(&[], |contexts| contexts.files(id))
}

fn contexts<'a>(env: &Env<'a>) -> Result<&'a dyn Contexts> {
    env.processes.contexts().ok_or(Errno::NOENT)
}

fn number(name: &[u8]) -> Option<u64> {
    if name.len() > 1 && name[0] == b'0' {
        return None;
    }
    core::str::from_utf8(name)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?
        .parse()
        .ok()
}

fn process_of(env: &Env, name: &[u8]) -> Option<ProcessId> {
    let process = ProcessId::new(u32::try_from(number(name)?).ok()?)?;
    env.processes.credentials(process).map(|_| process)
}

fn mode(env: &Env, about: About) -> Result<u32> {
    Ok(match about {
        About::Fixed(index) => match FIXED.get(index).ok_or(Errno::NOENT)?.2 {
            What::Directory => S_IFDIR | 0o555,
            What::Link(_) | What::Own(_) => S_IFLNK | 0o777,
            What::Text(_) => S_IFREG | 0o444,
        },
        About::Process(_) | About::Thread(..) | About::Context(_) => S_IFDIR | 0o555,
        About::OfProcess(_, file) => OF_PROCESS.get(file).ok_or(Errno::NOENT)?.mode,
        About::Descriptor(process, fd) => {
            let table = env.processes.table(process).ok_or(Errno::NOENT)?;
            let open = env.descriptors.open_of(table, fd).ok_or(Errno::NOENT)?;
            let open = env.descriptors.get(open);
            let (read, write) = (open.reads(), open.writes());
            S_IFLNK | if read { 0o500 } else { 0 } | if write { 0o300 } else { 0 }
        }
        About::OfThread(..) => S_IFREG | 0o444,
        About::OfContext(id, file) => {
            let (_, write) = context_files(env, id).get(file).ok_or(Errno::NOENT)?;
            S_IFREG | if *write { 0o644 } else { 0o444 }
        }
    })
}

impl FileSystem for Procfs {
    fn name(&self) -> &'static str {
        "proc"
    }

    fn root(&self) -> u64 {
        About::Fixed(0).ino()
    }

    fn rights(&self, env: &mut Env, ino: u64) -> Result<Rights> {
        let about = About::of(ino)?;
        let owner = match about {
            About::Process(process)
            | About::OfProcess(process, _)
            | About::Descriptor(process, _)
            | About::Thread(process, _) => {
                let owner = env.processes.credentials(process).ok_or(Errno::NOENT)?;
                (owner.euid, owner.egid)
            }
            _ => (0, 0),
        };
        Ok(Rights {
            mode: mode(env, about)?,
            uid: owner.0,
            gid: owner.1,
        })
    }

    fn attributes(&self, env: &mut Env, ino: u64) -> Result<Attributes> {
        let rights = self.rights(env, ino)?;
        Ok(Attributes {
            rights,
            dev: 0,
            ino,
            nlink: if rights.is_directory() { 2 } else { 1 },
            rdev: 0,
            size: if rights.kind() == Kind::Link { 64 } else { 0 },
            blocks: 0,
            atime: env.now,
            mtime: env.now,
            ctime: env.now,
            btime: env.now,
        })
    }

    fn find(&self, env: &mut Env, directory: u64, name: &[u8]) -> Result<u64> {
        let text = core::str::from_utf8(name).map_err(|_| Errno::NOENT)?;
        let about = match About::of(directory)? {
            About::Fixed(index) => {
                let fixed = FIXED[1..]
                    .iter()
                    .position(|&(parent, name, _)| parent == index && name == text);
                match (fixed, index) {
                    (Some(IC_BEFORE), 0) => {
                        contexts(env)?;
                        Some(About::Fixed(IC))
                    }
                    (Some(found), _) => Some(About::Fixed(found + 1)),
                    (None, 0) => process_of(env, name).map(About::Process),
                    (None, IC) => match number(name) {
                        Some(id) => {
                            (contexts(env)?.next(id) == Some(id)).then_some(About::Context(id))
                        }
                        None => context_files(env, None)
                            .iter()
                            .position(|(name, _)| *name == text)
                            .map(|file| About::OfContext(None, file)),
                    },
                    _ => None,
                }
            }
            About::Process(process) => OF_PROCESS
                .iter()
                .position(|file| file.name == text)
                .map(|file| About::OfProcess(process, file)),
            About::OfProcess(process, FD) => {
                may_look(env, process)?;
                let table = env.processes.table(process).ok_or(Errno::NOENT)?;
                number(name)
                    .and_then(|fd| u32::try_from(fd).ok())
                    .filter(|&fd| env.descriptors.open_of(table, fd).is_some())
                    .map(|fd| About::Descriptor(process, fd))
            }
            About::OfProcess(process, TASK) => number(name)
                .and_then(|id| ThreadId::new(u32::try_from(id).ok()?))
                .filter(|thread| {
                    env.processes.next_thread(process, thread.number()) == Some(*thread)
                })
                .map(|thread| About::Thread(process, thread)),
            About::Thread(_, thread) => OF_THREAD
                .iter()
                .position(|file| *file == text)
                .map(|file| About::OfThread(thread, file)),
            About::Context(id) => context_files(env, Some(id))
                .iter()
                .position(|(name, _)| *name == text)
                .map(|file| About::OfContext(Some(id), file)),
            _ => return Err(Errno::NOTDIR),
        };
        about.map(About::ino).ok_or(Errno::NOENT)
    }

    fn parent(&self, directory: u64) -> u64 {
        match About::of(directory) {
            Ok(About::Fixed(index)) => About::Fixed(FIXED[index].0),
            Ok(About::OfProcess(process, _)) => About::Process(process),
            Ok(About::Thread(process, _)) => About::OfProcess(process, TASK),
            Ok(About::Context(_)) => About::Fixed(IC),
            _ => About::Fixed(0),
        }
        .ino()
    }

    fn named(&self, ino: u64, name: &mut Vec<u8>) -> Option<u64> {
        let about = About::of(ino).ok()?;
        let directory = match about {
            About::Fixed(index) => {
                name.extend_from_slice(FIXED[index].1.as_bytes());
                About::Fixed(FIXED[index].0)
            }
            About::Process(process) => {
                name.extend_from_slice(format!("{process}").as_bytes());
                About::Fixed(0)
            }
            About::OfProcess(process, file) => {
                name.extend_from_slice(OF_PROCESS.get(file)?.name.as_bytes());
                About::Process(process)
            }
            About::Thread(process, thread) => {
                name.extend_from_slice(format!("{thread}").as_bytes());
                About::OfProcess(process, TASK)
            }
            About::Context(id) => {
                name.extend_from_slice(format!("{id}").as_bytes());
                About::Fixed(IC)
            }
            _ => return None,
        };
        Some(directory.ino())
    }

    fn link(&self, env: &mut Env, ino: u64) -> Result<Link> {
        let text = |text: &str| Ok(Link::Path(text.as_bytes().to_vec().into()));
        match About::of(ino)? {
            About::Fixed(index) => match FIXED.get(index).ok_or(Errno::NOENT)?.2 {
                What::Link(to) => text(to),
                What::Own(false) => text(&format!("{}", env.process)),
                What::Own(true) => text(&format!("{0}/task/{0}", env.process)),
                _ => Err(Errno::INVAL),
            },
            About::OfProcess(process, file @ (CWD | ROOT_LINK)) => {
                may_look(env, process)?;
                let place = env.processes.place(process).ok_or(Errno::NOENT)?;
                let place = env.descriptors.place(place);
                Ok(Link::Node(if file == CWD {
                    place.directory
                } else {
                    place.root
                }))
            }
            About::OfProcess(process, EXE) => {
                may_look(env, process)?;
                let program = env.processes.executable(process).ok_or(Errno::NOENT)?;
                Ok(Link::Node(program))
            }
            About::Descriptor(process, fd) => {
                may_look(env, process)?;
                Ok(Link::Descriptor(process, fd))
            }
            _ => Err(Errno::INVAL),
        }
    }

    fn list(
        &self,
        env: &mut Env,
        directory: u64,
        from: u64,
        each: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<()> {
        let about = About::of(directory)?;
        // Positions below 1000 are names of fixed places, the others numbers.
        const NUMBERS: u64 = 1000;
        let kind = |env: &Env, about| {
            mode(env, about).map_or(Kind::Regular, |mode| {
                Kind::of(mode).unwrap_or(Kind::Regular)
            })
        };
        let fixed: Vec<(&str, About)> = match about {
            About::Fixed(index) => {
                let fixed = FIXED.iter().enumerate().skip(1);
                let mut names: Vec<_> = fixed
                    .filter(|(at, (parent, ..))| {
                        *parent == index && (*at != IC || env.processes.contexts().is_some())
                    })
                    .map(|(at, &(_, name, _))| (name, About::Fixed(at)))
                    .collect();
                if index == IC {
                    let files = context_files(env, None).iter().enumerate();
                    names.extend(files.map(|(at, (name, _))| (*name, About::OfContext(None, at))));
                }
                names
            }
            About::Process(process) => {
                env.processes.credentials(process).ok_or(Errno::NOENT)?;
                let files = OF_PROCESS.iter().enumerate();
                files
                    .map(|(at, file)| (file.name, About::OfProcess(process, at)))
                    .collect()
            }
            About::Thread(_, thread) => OF_THREAD
                .iter()
                .enumerate()
                .map(|(at, file)| (*file, About::OfThread(thread, at)))
                .collect(),
            About::Context(id) => context_files(env, Some(id))
                .iter()
                .enumerate()
                .map(|(at, (name, _))| (*name, About::OfContext(Some(id), at)))
                .collect(),
            _ => Vec::new(),
        };
        for (at, &(name, about)) in fixed.iter().enumerate().skip(from as usize) {
            if !each(Entry {
                name: name.as_bytes(),
                ino: about.ino(),
                kind: kind(env, about),
                next: at as u64 + 1,
            }) {
                return Ok(());
            }
        }
        let mut next = from.saturating_sub(NUMBERS);
        loop {
            let found = match about {
                About::Fixed(0) => env
                    .processes
                    .next(next as u32)
                    .map(|process| (u64::from(process.number()), About::Process(process))),
                About::Fixed(IC) => contexts(env)?.next(next).map(|id| (id, About::Context(id))),
                About::OfProcess(process, FD) => {
                    may_look(env, process)?;
                    env.processes.table(process).and_then(|table| {
                        let fd = env.descriptors.next_open(table, next as u32)?;
                        Some((u64::from(fd), About::Descriptor(process, fd)))
                    })
                }
                About::OfProcess(process, TASK) => env
                    .processes
                    .next_thread(process, next as u32)
                    .map(|thread| (u64::from(thread.number()), About::Thread(process, thread))),
                About::OfProcess(..) | About::OfThread(..) | About::Descriptor(..) => {
                    return Err(Errno::NOTDIR);
                }
                _ => None,
            };
            let Some((id, about)) = found else {
                return Ok(());
            };
            next = id + 1;
            if !each(Entry {
                name: format!("{id}").as_bytes(),
                ino: about.ino(),
                kind: kind(env, about),
                next: NUMBERS + next,
            }) {
                return Ok(());
            }
        }
    }

    fn text(
        &self,
        env: &mut Env,
        ino: u64,
        path: &dyn Fn(Node) -> Vec<u8>,
    ) -> Result<Option<Vec<u8>>> {
        match About::of(ino)? {
            About::Fixed(index) => match FIXED.get(index).ok_or(Errno::NOENT)?.2 {
                What::Text(of) => Ok(Some(text::fixed(env, of))),
                _ => Ok(None),
            },
            About::OfProcess(process, file) => {
                let file = OF_PROCESS.get(file).ok_or(Errno::NOENT)?;
                if file.private {
                    may_look(env, process)?;
                }
                text::of_process(env, process, file.name, path).map(Some)
            }
            About::OfThread(thread, file) => {
                let info = env.processes.thread_info(thread).ok_or(Errno::NOENT)?;
                let name = OF_THREAD.get(file).ok_or(Errno::NOENT)?;
                text::of_info(env, thread.number(), &info, name).map(Some)
            }
            About::OfContext(id, file) => {
                let (name, _) = context_files(env, id).get(file).ok_or(Errno::NOENT)?;
                contexts(env)?.text(id, name).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn order(&mut self, env: &mut Env, ino: u64, text: &[u8]) -> Result<Option<Vec<u8>>> {
        match About::of(ino)? {
            About::OfContext(id, file) => {
                let (name, write) = context_files(env, id).get(file).ok_or(Errno::NOENT)?;
                if !write {
                    return Err(Errno::ACCES);
                }
                contexts(env)?.order(id, name, text)
            }
            _ => Err(Errno::INVAL),
        }
    }

    fn usage(&self, _pages: &dyn Pages) -> Usage {
        Usage {
            magic: PROC_SUPER_MAGIC,
            ..Usage::default()
        }
    }
}

/// Where [`IC`] is in what is behind the root in [`FIXED`].
const IC_BEFORE: usize = IC - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_files_say_what_they_are_about() {
        let process = ProcessId::new(4_194_303).unwrap();
        let thread = ThreadId::new(4_194_000).unwrap();
        for about in [
            About::Fixed(IC),
            About::Process(process),
            About::OfProcess(process, 9),
            About::Descriptor(process, 1 << 20),
            About::Thread(process, thread),
            About::OfThread(thread, 2),
            About::Context(1 << 39),
            About::OfContext(Some(77), 3),
            About::OfContext(None, 255),
        ] {
            assert_eq!(About::of(about.ino()), Ok(about));
        }
        for strange in [0, 2, 5 | 1 << 8, u64::MAX] {
            assert!(About::of(strange).is_err());
        }
    }

    #[test]
    fn the_places_that_have_names_of_their_own_are_where_they_should_be() {
        assert_eq!(FIXED[SYS].1, "sys");
        assert_eq!(FIXED[KERNEL].1, "kernel");
        assert_eq!(FIXED[VM].1, "vm");
        assert_eq!(FIXED[IC].1, "ic");
        for (index, name) in [(FD, "fd"), (TASK, "task"), (CWD, "cwd"), (EXE, "exe")] {
            assert_eq!(OF_PROCESS[index].name, name);
        }
        assert_eq!(OF_PROCESS[ROOT_LINK].name, "root");
    }
}
