// SPDX-License-Identifier: BSD-2-Clause
//! The same calls here and on the build machine's Linux give the same results.

use alloc::format;
use alloc::vec::Vec;
use std::os::fd::{AsFd, OwnedFd};

use linux_raw_sys::general::{
    O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY,
    O_RDWR, O_TRUNC, O_WRONLY,
};
use proptest::prelude::*;
use rustix::fs::{
    self as host, AtFlags, FallocateFlags, FileType, Mode, OFlags, RenameFlags, SeekFrom,
};
use rustix::io;

use super::world::World;
use crate::file::Moved;
use crate::{Credentials, Errno};

/// Directories above the one in which the calls are made: more than all links that a walk follows could lead up.
const ABOVE: usize = 60;
const SLOTS: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    Mkdir(String, u32),
    Unlink(String, bool),
    Symlink(String, String),
    Link(String, String, bool),
    Rename(String, String, u32),
    Readlink(String),
    Stat(String, bool),
    Access(String, u32),
    Chmod(String, u32),
    Fifo(String),
    Truncate(String, u64),
    List(String),
    Open(usize, String, u32, u32),
    Close(usize),
    Dup(usize, usize),
    Read(usize, usize),
    Write(usize, usize),
    Pread(usize, usize, u16),
    Pwrite(usize, usize, u16),
    Seek(usize, u8, i16),
    Ftruncate(usize, u64),
    Fallocate(usize, u8, u16, u16),
    Copy(usize, u16, usize, u16, u16),
    Fstat(usize),
    Chdir(String),
    Getcwd,
}

fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        12 => prop::sample::select(vec!["a", "b", "c", "d"]),
        1 => Just("."),
        1 => Just(".."),
    ];
    let slashes = prop_oneof![9 => Just(""), 1 => Just("/"), 1 => Just("/.")];
    (prop::collection::vec(part, 1..4), slashes).prop_map(|(parts, end)| parts.join("/") + end)
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "../a", "b/c", "a/", ".", "..", "d/d"])
        .prop_map(Into::into)
}

fn flags() -> impl Strategy<Value = u32> {
    let access = prop::sample::select(vec![O_RDONLY, O_WRONLY, O_RDWR, O_RDWR]);
    let more = prop::sample::subsequence(
        vec![
            O_CREAT,
            O_CREAT,
            O_EXCL,
            O_TRUNC,
            O_APPEND,
            O_DIRECTORY,
            O_NOFOLLOW,
            O_PATH,
        ],
        0..4,
    );
    (access, more).prop_map(|(access, more)| more.into_iter().fold(access, |all, flag| all | flag))
}

fn op() -> impl Strategy<Value = Op> {
    let slot = || 0..SLOTS;
    let mode = || prop::sample::select(vec![0o777, 0o644, 0o4755, 0o2770, 0o1777, 0]);
    prop_oneof![
        4 => (path(), mode()).prop_map(|(a, m)| Op::Mkdir(a, m)),
        3 => (path(), any::<bool>()).prop_map(|(a, d)| Op::Unlink(a, d)),
        2 => (text(), path()).prop_map(|(t, a)| Op::Symlink(t, a)),
        2 => (path(), path(), any::<bool>()).prop_map(|(a, b, f)| Op::Link(a, b, f)),
        4 => (path(), path(), 0u32..4).prop_map(|(a, b, f)| Op::Rename(a, b, f)),
        1 => path().prop_map(Op::Readlink),
        2 => (path(), any::<bool>()).prop_map(|(a, f)| Op::Stat(a, f)),
        1 => (path(), 0u32..8).prop_map(|(a, m)| Op::Access(a, m)),
        1 => (path(), mode()).prop_map(|(a, m)| Op::Chmod(a, m)),
        1 => path().prop_map(Op::Fifo),
        1 => (path(), 0u64..10_000).prop_map(|(a, n)| Op::Truncate(a, n)),
        2 => path().prop_map(Op::List),
        8 => (slot(), path(), flags(), mode()).prop_map(|(s, a, f, m)| Op::Open(s, a, f, m)),
        1 => slot().prop_map(Op::Close),
        1 => (slot(), slot()).prop_map(|(a, b)| Op::Dup(a, b)),
        2 => (slot(), 0usize..9000).prop_map(|(s, n)| Op::Read(s, n)),
        4 => (slot(), 0usize..9000).prop_map(|(s, n)| Op::Write(s, n)),
        1 => (slot(), 0usize..9000, any::<u16>()).prop_map(|(s, n, p)| Op::Pread(s, n, p)),
        1 => (slot(), 0usize..9000, any::<u16>()).prop_map(|(s, n, p)| Op::Pwrite(s, n, p)),
        2 => (slot(), 0u8..3, any::<i16>()).prop_map(|(s, w, o)| Op::Seek(s, w, o)),
        1 => (slot(), 0u64..10_000).prop_map(|(s, n)| Op::Ftruncate(s, n)),
        1 => (slot(), 0u8..3, any::<u16>(), any::<u16>()).prop_map(|(s, m, a, n)| Op::Fallocate(s, m, a, n)),
        1 => (slot(), any::<u16>(), slot(), any::<u16>(), any::<u16>())
            .prop_map(|(s, a, t, b, n)| Op::Copy(s, a, t, b, n)),
        1 => slot().prop_map(Op::Fstat),
        1 => path().prop_map(Op::Chdir),
        1 => Just(Op::Getcwd),
    ]
}

/// What a call gave, in a form that both sides have.
#[derive(PartialEq, Eq, Debug)]
enum Gave {
    Number(u64),
    Bytes(Vec<u8>),
    Names(Vec<String>),
    /// Mode, links (of what is no directory), size (of regular files).
    Status(u32, u64, u64),
    Failed(u32),
}

struct Linux {
    at: OwnedFd,
    base: String,
    slots: [Option<OwnedFd>; SLOTS],
    _directory: tempfile::TempDir,
}

fn status(mode: u32, nlink: u64, size: u64) -> Gave {
    let kind = FileType::from_raw_mode(mode);
    Gave::Status(
        mode,
        if kind == FileType::Directory {
            0
        } else {
            nlink
        },
        if kind == FileType::RegularFile {
            size
        } else {
            0
        },
    )
}

fn contents(op: &str, length: usize) -> Vec<u8> {
    let seed = op.len() as u8 + 1;
    (0..length)
        .map(|at| (at as u8).wrapping_mul(seed) | 1)
        .collect()
}

impl Linux {
    fn new() -> Self {
        // A tmpfs if there is one: what is compared is a tmpfs.
        let directory = tempfile::Builder::new()
            .prefix("posix")
            .tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let path = directory.path().join("r/".repeat(ABOVE));
        std::fs::create_dir_all(&path).unwrap();
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self {
            at: host::open(&path, flags, Mode::empty()).unwrap(),
            base: directory.path().to_str().unwrap().into(),
            slots: Default::default(),
            _directory: directory,
        }
    }

    fn run(&mut self, op: &Op) -> io::Result<Gave> {
        let at = self.at.as_fd();
        let number = |(): ()| Gave::Number(0);
        let count = |count: usize| Gave::Number(count as u64);
        let slot = |slot: &usize| self.slots[*slot].as_ref().ok_or(io::Errno::BADF);
        Ok(match op {
            Op::Mkdir(path, mode) => {
                host::mkdirat(at, path, Mode::from_raw_mode(*mode)).map(number)?
            }
            Op::Unlink(path, directory) => {
                let flags = if *directory {
                    AtFlags::REMOVEDIR
                } else {
                    AtFlags::empty()
                };
                host::unlinkat(at, path, flags).map(number)?
            }
            Op::Symlink(text, path) => host::symlinkat(text, at, path).map(number)?,
            Op::Link(old, new, follow) => {
                let flags = if *follow {
                    AtFlags::SYMLINK_FOLLOW
                } else {
                    AtFlags::empty()
                };
                host::linkat(at, old, at, new, flags).map(number)?
            }
            Op::Rename(old, new, flags) => {
                let flags = RenameFlags::from_bits_retain(*flags);
                host::renameat_with(at, old, at, new, flags).map(number)?
            }
            Op::Readlink(path) => Gave::Bytes(host::readlinkat(at, path, Vec::new())?.into_bytes()),
            Op::Stat(path, follow) => {
                let flags = if *follow {
                    AtFlags::empty()
                } else {
                    AtFlags::SYMLINK_NOFOLLOW
                };
                let stat = host::statat(at, path, flags)?;
                status(stat.st_mode, stat.st_nlink, stat.st_size as u64)
            }
            Op::Access(path, mode) => {
                let mode = host::Access::from_bits_retain(*mode);
                host::accessat(at, path, mode, AtFlags::EACCESS).map(number)?
            }
            Op::Chmod(path, mode) => {
                host::chmodat(at, path, Mode::from_raw_mode(*mode), AtFlags::empty()).map(number)?
            }
            Op::Fifo(path) => {
                host::mknodat(at, path, FileType::Fifo, Mode::from_raw_mode(0o666), 0)
                    .map(number)?
            }
            Op::Truncate(path, size) => {
                // There is no `truncateat`, and the current directory is not this test's.
                let flags = OFlags::WRONLY | OFlags::NONBLOCK;
                match host::openat(at, path, flags, Mode::empty()) {
                    Ok(open) => host::ftruncate(open, *size).map(number)?,
                    Err(io::Errno::NXIO) => return Err(io::Errno::INVAL),
                    Err(error) => return Err(error),
                }
            }
            Op::List(path) => {
                let flags = OFlags::DIRECTORY | OFlags::RDONLY;
                let directory = host::openat(at, path, flags, Mode::empty())?;
                let mut names = Vec::new();
                for entry in host::Dir::new(directory)? {
                    names.push(entry?.file_name().to_str().unwrap().to_string());
                }
                names.sort();
                Gave::Names(names)
            }
            Op::Open(slot, path, flags, mode) => {
                let flags = OFlags::from_bits_retain(*flags | O_NONBLOCK | O_NOCTTY);
                let open = host::openat(at, path, flags, Mode::from_raw_mode(*mode))?;
                self.slots[*slot] = Some(open);
                Gave::Number(0)
            }
            Op::Close(slot) => {
                self.slots[*slot].take().ok_or(io::Errno::BADF)?;
                Gave::Number(0)
            }
            Op::Dup(from, to) => {
                let copy = io::dup(slot(from)?)?;
                self.slots[*to] = Some(copy);
                Gave::Number(0)
            }
            Op::Read(from, length) => {
                let mut bytes = vec![0; *length];
                let read = io::read(slot(from)?, &mut bytes)?;
                bytes.truncate(read);
                Gave::Bytes(bytes)
            }
            Op::Write(to, length) => count(io::write(slot(to)?, &contents("write", *length))?),
            Op::Pread(from, length, position) => {
                let mut bytes = vec![0; *length];
                let read = io::pread(slot(from)?, &mut bytes, u64::from(*position))?;
                bytes.truncate(read);
                Gave::Bytes(bytes)
            }
            Op::Pwrite(to, length, position) => {
                let bytes = contents("pwrite", *length);
                count(io::pwrite(slot(to)?, &bytes, u64::from(*position))?)
            }
            Op::Seek(which, whence, offset) => {
                let offset = i64::from(*offset);
                let from = match whence {
                    0 => SeekFrom::Start(offset.unsigned_abs()),
                    1 => SeekFrom::Current(offset),
                    _ => SeekFrom::End(offset),
                };
                let file = slot(which)?;
                // Where directories end is each file system's own.
                if *whence == 2 && is_directory(file) {
                    return Ok(Gave::Number(0));
                }
                Gave::Number(host::seek(file, from)?)
            }
            Op::Ftruncate(which, size) => host::ftruncate(slot(which)?, *size).map(number)?,
            Op::Fallocate(which, mode, offset, length) => {
                let flags = FallocateFlags::from_bits_retain(FALLOCATE[usize::from(*mode)]);
                let (offset, length) = (u64::from(*offset), u64::from(*length));
                host::fallocate(slot(which)?, flags, offset, length).map(number)?
            }
            Op::Copy(from, start, to, goal, length) => {
                let (mut start, mut goal) = (u64::from(*start), u64::from(*goal));
                let length = usize::from(*length);
                count(host::copy_file_range(
                    slot(from)?,
                    Some(&mut start),
                    slot(to)?,
                    Some(&mut goal),
                    length,
                )?)
            }
            Op::Fstat(which) => {
                let stat = host::fstat(slot(which)?)?;
                status(stat.st_mode, stat.st_nlink, stat.st_size as u64)
            }
            Op::Chdir(path) => {
                // The current directory is this whole program's: the test has one of its own.
                let flags = OFlags::DIRECTORY | OFlags::PATH;
                let directory = host::openat(at, path, flags, Mode::empty())?;
                self.at = directory;
                Gave::Number(0)
            }
            Op::Getcwd => {
                let link = format!(
                    "/proc/self/fd/{}",
                    std::os::fd::AsRawFd::as_raw_fd(&self.at)
                );
                let path = host::readlink(link, Vec::new())?.into_string().unwrap();
                match path.strip_suffix(" (deleted)") {
                    Some(_) => return Err(io::Errno::NOENT),
                    None => Gave::Bytes(path.strip_prefix(&self.base).unwrap().into()),
                }
            }
        })
    }
}

fn is_directory(file: &OwnedFd) -> bool {
    host::fstat(file).is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory)
}

/// Modes of `fallocate`: memory, memory but not size, a hole.
const FALLOCATE: [u32; 3] = [0, 1, 3];

struct Ours {
    world: World,
    slots: [Option<i32>; SLOTS],
}

impl Ours {
    fn new() -> Self {
        let mut world = World::new();
        let who = Credentials::of(
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let deep = "/".to_string() + &"r/".repeat(ABOVE);
        for end in 1..=ABOVE {
            world.mkdir(&deep[..end * 2]);
            let owned = world.call(|files, call| {
                let path = &deep.as_bytes()[..end * 2];
                files.fchownat(call, -100, path, (who.uid, who.gid), 0)
            });
            assert_eq!(owned, Ok(()));
        }
        world
            .call(|files, call| files.chdir(call, deep.as_bytes()))
            .unwrap();
        world.table.processes.get_mut(&1).unwrap().who = who;
        Self {
            world,
            slots: [None; SLOTS],
        }
    }

    fn replace(&mut self, slot: usize, fd: i32) {
        if let Some(before) = self.slots[slot].replace(fd) {
            self.world.close(before);
        }
    }

    fn run(&mut self, op: &Op) -> Result<Gave, Errno> {
        const HERE: i32 = -100;
        let w = &mut self.world;
        let number = |(): ()| Gave::Number(0);
        let moved = |moved| match moved {
            Moved::Done(count) => Gave::Number(count as u64),
            other => panic!("{other:?} although nothing may wait"),
        };
        let slots = self.slots;
        let slot = |slot: &usize| slots[*slot].ok_or(Errno::BADF);
        Ok(match op {
            Op::Mkdir(path, mode) => w
                .call(|files, call| files.mkdirat(call, HERE, path.as_bytes(), *mode))
                .map(number)?,
            Op::Unlink(path, directory) => {
                let flags = if *directory { 0x200 } else { 0 };
                w.call(|files, call| files.unlinkat(call, HERE, path.as_bytes(), flags))
                    .map(number)?
            }
            Op::Symlink(text, path) => w
                .call(|files, call| files.symlinkat(call, text.as_bytes(), HERE, path.as_bytes()))
                .map(number)?,
            Op::Link(old, new, follow) => {
                let flags = if *follow { 0x400 } else { 0 };
                w.call(|files, call| {
                    files.linkat(call, (HERE, old.as_bytes()), (HERE, new.as_bytes()), flags)
                })
                .map(number)?
            }
            Op::Rename(old, new, flags) => w
                .call(|files, call| {
                    files.renameat2(call, (HERE, old.as_bytes()), (HERE, new.as_bytes()), *flags)
                })
                .map(number)?,
            Op::Readlink(path) => {
                Gave::Bytes(w.call(|files, call| files.readlinkat(call, HERE, path.as_bytes()))?)
            }
            Op::Stat(path, follow) => {
                let flags = if *follow { 0 } else { 0x100 };
                let a = w.call(|files, call| files.fstatat(call, HERE, path.as_bytes(), flags))?;
                status(a.rights.mode, a.nlink.into(), a.size)
            }
            Op::Access(path, mode) => w
                .call(|files, call| files.faccessat2(call, HERE, path.as_bytes(), *mode, 0x200))
                .map(number)?,
            Op::Chmod(path, mode) => w
                .call(|files, call| files.fchmodat(call, HERE, path.as_bytes(), *mode, 0))
                .map(number)?,
            Op::Fifo(path) => w
                .call(|files, call| files.mknodat(call, HERE, path.as_bytes(), 0o010_666, 0))
                .map(number)?,
            Op::Truncate(path, size) => w
                .call(|files, call| files.truncate(call, path.as_bytes(), *size as i64))
                .map(number)?,
            Op::List(path) => {
                let fd = match w.try_open(path, O_DIRECTORY, 0)? {
                    Moved::Done(fd) => fd as i32,
                    other => panic!("{other:?}"),
                };
                let names = w.entries(fd, 300);
                w.close(fd);
                let mut names = names?;
                names.sort();
                Gave::Names(names)
            }
            Op::Open(slot, path, flags, mode) => {
                let open = w.try_open(path, *flags | O_NONBLOCK | O_NOCTTY, *mode)?;
                let Moved::Done(fd) = open else {
                    panic!("{open:?}");
                };
                self.replace(*slot, fd as i32);
                Gave::Number(0)
            }
            Op::Close(slot) => {
                let fd = self.slots[*slot].take().ok_or(Errno::BADF)?;
                w.close(fd);
                Gave::Number(0)
            }
            Op::Dup(from, to) => {
                let fd = slot(from)?;
                let copy = w.call(|files, call| files.dup(call, fd, 0, false))?;
                self.replace(*to, copy);
                Gave::Number(0)
            }
            Op::Read(from, length) => Gave::Bytes(w.read(slot(from)?, *length)?),
            Op::Write(to, length) => moved(w.write(slot(to)?, &contents("write", *length))?),
            Op::Pread(from, length, position) => {
                Gave::Bytes(w.read_at(slot(from)?, *length, Some(i64::from(*position)))?)
            }
            Op::Pwrite(to, length, position) => {
                let bytes = contents("pwrite", *length);
                moved(w.write_at(slot(to)?, &bytes, Some(i64::from(*position)))?)
            }
            Op::Seek(which, whence, offset) => {
                let (fd, offset) = (slot(which)?, i64::from(*offset));
                let offset = if *whence == 0 { offset.abs() } else { offset };
                let directory = w
                    .call(|files, call| files.fstat(call, fd))?
                    .rights
                    .is_directory();
                if *whence == 2 && directory {
                    return Ok(Gave::Number(0));
                }
                let whence = u32::from(*whence);
                Gave::Number(w.call(|files, call| files.lseek(call, fd, offset, whence))?)
            }
            Op::Ftruncate(which, size) => {
                let fd = slot(which)?;
                w.call(|files, call| files.ftruncate(call, fd, *size as i64))
                    .map(number)?
            }
            Op::Fallocate(which, mode, offset, length) => {
                let fd = slot(which)?;
                let mode = FALLOCATE[usize::from(*mode)];
                let (offset, length) = (i64::from(*offset), i64::from(*length));
                w.call(|files, call| files.fallocate(call, fd, mode, offset, length))
                    .map(number)?
            }
            Op::Copy(from, start, to, goal, length) => {
                let from = (slot(from)?, Some(i64::from(*start)));
                let to = (slot(to)?, Some(i64::from(*goal)));
                let length = u64::from(*length);
                let copied =
                    w.call(|files, call| files.copy_file_range(call, from, to, length, 0))?;
                Gave::Number(copied as u64)
            }
            Op::Fstat(which) => {
                let fd = slot(which)?;
                let a = w.call(|files, call| files.fstat(call, fd))?;
                status(a.rights.mode, a.nlink.into(), a.size)
            }
            Op::Chdir(path) => w
                .call(|files, call| files.chdir(call, path.as_bytes()))
                .map(number)?,
            Op::Getcwd => Gave::Bytes(w.call(|files, call| files.getcwd(call))?),
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 4000, ..ProptestConfig::default() })]
    #[test]
    fn calls_on_files_give_what_linux_gives(ops in prop::collection::vec(op(), 1..60)) {
        rustix::process::umask(Mode::from_raw_mode(0o22));
        let (mut linux, mut ours) = (Linux::new(), Ours::new());
        for (at, op) in ops.iter().enumerate() {
            let theirs = linux.run(op).unwrap_or_else(|e| Gave::Failed(e.raw_os_error() as u32));
            let own = ours.run(op).unwrap_or_else(|e| Gave::Failed(e.number() as u32));
            prop_assert_eq!(&own, &theirs, "{} {:?} (ours left, Linux's right) after {:?}", at, op, &ops[..at]);
        }
    }
}
