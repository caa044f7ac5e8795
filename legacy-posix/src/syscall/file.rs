// SPDX-License-Identifier: BSD-2-Clause
//! Calls about descriptors, and moving bytes through them.

use alloc::vec::Vec;

use linux_raw_sys::general as linux;
use linux_raw_sys::net;

use super::Args;
use crate::buffer::Buffer;
use crate::file::abi::{self, Flock};
use crate::file::control::{SHAPE_MAX, shape};
use crate::file::{Files, Moved};
use crate::flow::Flow;
use crate::kernel::Kernel;
use crate::mm::Access;
use crate::pages::Pages;
use crate::server::Server;
use crate::server::memory::CHUNK;
use crate::signal::{Info, Signal};
use crate::vfs::Call;
use crate::{Errno, Result, ThreadId};

pub(super) const CWD: i32 = linux::AT_FDCWD;
/// Entries of a vector at most (`UIO_MAXIOV`).
const MAX_VECTOR: u64 = 1024;
/// Bytes that one call moves at most (`MAX_RW_COUNT`).
const MAX_BYTES: u64 = 0x7fff_f000;

// ---- moving bytes ----

/// A piece of a program's memory: address and bytes.
type Piece = (u64, u64);

/// How bytes are moved.
#[derive(Clone, Copy)]
enum Way {
    Read(Option<i64>),
    Write(Option<i64>),
    Send(u32, bool),
    Receive(u32),
}

/// Moves bytes between a file and pieces of memory, from where earlier runs of the call came to.
fn transfer<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    fd: u64,
    pieces: &[Piece],
    way: Way,
) -> Flow {
    let fd = fd as i32;
    let Ok(thread) = s.tasks.thread(t) else {
        return Errno::SRCH.into();
    };
    let mut done = thread.progress.bytes;
    let expired = thread.progress.is_over(s.entered);
    let writes = matches!(way, Way::Write(_) | Way::Send(..));
    let access = if writes { Access::Read } else { Access::Write };
    let total: u64 = pieces.iter().map(|(_, length)| *length).sum();
    loop {
        let wanted = match resolve(s, t, pieces, done, access) {
            Ok(wanted) => wanted,
            Err(_) if done > 0 => return Flow::Done(Ok(done)),
            Err(error) => {
                let ended = match way {
                    Way::Read(position) => {
                        s.with_files(t, |files, call| Ok(files.is_at_end(call, fd, position)))
                    }
                    _ => Ok(false),
                };
                return match ended {
                    Ok(true) => Flow::OK,
                    _ => error.into(),
                };
            }
        };
        let segments = core::mem::take(&mut s.segments);
        let mut buffer = Buffer::new(&segments);
        let at = |position: i64| position.saturating_add(done as i64);
        let outcome = s.with_files(t, |files, call| match way {
            Way::Read(position) => files.read(call, fd, &mut buffer, position.map(at), expired),
            Way::Write(position) => files.write(call, fd, &mut buffer, position.map(at)),
            Way::Send(flags, address) => files.send(call, fd, &mut buffer, flags, address),
            Way::Receive(flags) => {
                let (moved, length) = files.receive(call, fd, &mut buffer, flags)?;
                Ok(match moved {
                    Moved::Done(_) if flags & net::MSG_TRUNC != 0 => Moved::Done(length),
                    moved => moved,
                })
            }
        });
        let left = buffer.left() as u64;
        s.segments = segments;
        match outcome {
            Ok(Moved::Done(count)) => {
                done += count as u64;
                // What is left goes on where files have all their bytes at once; a pipe has said what it has.
                let partly = matches!(way, Way::Send(..) | Way::Receive(_));
                if partly || (count as u64) < wanted || done >= total {
                    return Flow::Done(Ok(done));
                }
            }
            Ok(moved @ (Moved::Wait | Moved::WaitFor(_))) => {
                done += wanted - left;
                if done > 0 && !writes {
                    s.forget(t);
                    return Flow::Done(Ok(done));
                }
                if let Ok(thread) = s.tasks.thread_mut(t) {
                    thread.progress.bytes = done;
                }
                return s.moved(t, Ok(moved));
            }
            Ok(moved @ Moved::Background(_)) => return s.moved(t, Ok(moved)),
            Err(error) => {
                if writes && error == Errno::PIPE {
                    let quiet =
                        matches!(way, Way::Send(flags, _) if flags & net::MSG_NOSIGNAL != 0);
                    if !quiet {
                        tell(s, t, linux::SIGPIPE);
                    }
                } else if writes && error == Errno::FBIG && done == 0 {
                    tell(s, t, linux::SIGXFSZ);
                }
                return match done {
                    0 => error.into(),
                    done => Flow::Done(Ok(done)),
                };
            }
        }
    }
}

/// Sends a thread a signal because of its own call.
fn tell<K: Kernel, P: Pages>(s: &mut Server<K, P>, t: ThreadId, signal: u32) {
    if let Ok(process) = s.tasks.thread(t).map(|thread| thread.process) {
        let _ = s.send(process, Some(t), Info::from_kernel(Signal::of(signal)));
    }
}

/// Looks up frames of what is left of pieces of memory behind the first `done` bytes.
fn resolve<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    pieces: &[Piece],
    done: u64,
    access: Access,
) -> Result<u64> {
    s.segments.clear();
    let mut skip = done;
    let mut resolved = 0;
    for (address, length) in pieces {
        if skip >= *length {
            skip -= length;
            continue;
        }
        let wanted = length - skip;
        match s.resolve(t, address.wrapping_add(skip), wanted, access) {
            Ok(bytes) => {
                resolved += bytes;
                if bytes < wanted || s.segments.len() >= CHUNK {
                    break;
                }
            }
            Err(_) if resolved > 0 => break,
            Err(error) => return Err(error),
        }
        skip = 0;
    }
    Ok(resolved)
}

fn one(address: u64, length: u64) -> [Piece; 1] {
    [(address, length.min(MAX_BYTES))]
}

pub(super) fn read<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, length, ..]: Args,
) -> Flow {
    transfer(s, t, fd, &one(address, length), Way::Read(None))
}

pub(super) fn write<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, length, ..]: Args,
) -> Flow {
    transfer(s, t, fd, &one(address, length), Way::Write(None))
}

fn position(offset: u64) -> Result<Option<i64>> {
    if (offset as i64) < 0 {
        return Err(Errno::INVAL);
    }
    Ok(Some(offset as i64))
}

pub(super) fn pread64<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, length, offset, ..]: Args,
) -> Flow {
    match position(offset) {
        Ok(offset) => transfer(s, t, fd, &one(address, length), Way::Read(offset)),
        Err(error) => error.into(),
    }
}

pub(super) fn pwrite64<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, length, offset, ..]: Args,
) -> Flow {
    match position(offset) {
        Ok(offset) => transfer(s, t, fd, &one(address, length), Way::Write(offset)),
        Err(error) => error.into(),
    }
}

/// A vector of a program's (`struct iovec`).
fn vector<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
    count: u64,
) -> Result<Vec<Piece>> {
    if count > MAX_VECTOR {
        return Err(Errno::INVAL);
    }
    let mut pieces = Vec::new();
    let mut total = 0u64;
    for i in 0..count {
        let [start, length] = s.read_words(t, address.wrapping_add(16 * i))?;
        if length > i64::MAX as u64 {
            return Err(Errno::INVAL);
        }
        let length = length.min(MAX_BYTES - total);
        total += length;
        pieces.push((start, length));
    }
    Ok(pieces)
}

fn vectored<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    (fd, address, count): (u64, u64, u64),
    way: Result<Way>,
) -> Flow {
    let pieces = match way.and_then(|_| vector(s, t, address, count & 0xffff_ffff)) {
        Ok(pieces) => pieces,
        Err(error) => return error.into(),
    };
    match way {
        Ok(way) => transfer(s, t, fd, &pieces, way),
        Err(error) => error.into(),
    }
}

pub(super) fn readv<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, count, ..]: Args,
) -> Flow {
    vectored(s, t, (fd, address, count), Ok(Way::Read(None)))
}

pub(super) fn writev<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, count, ..]: Args,
) -> Flow {
    vectored(s, t, (fd, address, count), Ok(Way::Write(None)))
}

pub(super) fn preadv<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, count, offset, ..]: Args,
) -> Flow {
    vectored(s, t, (fd, address, count), position(offset).map(Way::Read))
}

pub(super) fn pwritev<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, count, offset, ..]: Args,
) -> Flow {
    vectored(s, t, (fd, address, count), position(offset).map(Way::Write))
}

/// The position of `preadv2` and `pwritev2`: -1 is the file's own.
fn position2(offset: u64, flags: u64) -> Result<Option<i64>> {
    if flags != 0 {
        return Err(Errno::OPNOTSUPP);
    }
    match offset as i64 {
        -1 => Ok(None),
        _ => position(offset),
    }
}

pub(super) fn preadv2<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, count, offset, _, flags]: Args,
) -> Flow {
    let way = position2(offset, flags).map(Way::Read);
    vectored(s, t, (fd, address, count), way)
}

pub(super) fn pwritev2<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, count, offset, _, flags]: Args,
) -> Flow {
    let way = position2(offset, flags).map(Way::Write);
    vectored(s, t, (fd, address, count), way)
}

pub(super) fn sendto<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, length, flags, to, _]: Args,
) -> Flow {
    let way = Way::Send(flags as u32, to != 0);
    transfer(s, t, fd, &one(address, length), way)
}

pub(super) fn recvfrom<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, length, flags, _, from_length]: Args,
) -> Flow {
    let flow = transfer(s, t, fd, &one(address, length), Way::Receive(flags as u32));
    if let (Flow::Done(Ok(_)), true) = (flow, from_length != 0)
        && let Err(error) = s.write_u32(t, from_length, 0)
    {
        return error.into();
    }
    flow
}

/// `struct msghdr`: name, its length, vector, its length, control, its length, flags.
fn message<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
) -> Result<([u64; 7], Vec<Piece>)> {
    let header = s.read_words::<7>(t, address)?;
    let pieces = vector(s, t, header[2], header[3])?;
    Ok((header, pieces))
}

pub(super) fn sendmsg<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, flags, ..]: Args,
) -> Flow {
    match message(s, t, address) {
        // Nothing but bytes is sent.
        Ok((header, _)) if header[5] != 0 => Errno::OPNOTSUPP.into(),
        Ok((header, pieces)) => {
            transfer(s, t, fd, &pieces, Way::Send(flags as u32, header[0] != 0))
        }
        Err(error) => error.into(),
    }
}

pub(super) fn recvmsg<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, flags, ..]: Args,
) -> Flow {
    let pieces = match message(s, t, address) {
        Ok((_, pieces)) => pieces,
        Err(error) => return error.into(),
    };
    let flow = transfer(s, t, fd, &pieces, Way::Receive(flags as u32));
    if matches!(flow, Flow::Done(Ok(_))) {
        let written = s
            .write_u32(t, address.wrapping_add(8), 0)
            .and_then(|()| s.write_words(t, address.wrapping_add(40), &[0]))
            .and_then(|()| s.write_u32(t, address.wrapping_add(48), 0));
        if let Err(error) = written {
            return error.into();
        }
    }
    flow
}

pub(super) fn lseek<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, offset, whence, ..]: Args,
) -> Result<u64> {
    s.with_files(t, |f, c| {
        f.lseek(c, fd as i32, offset as i64, whence as u32)
    })
}

/// A position in a program's memory that a call reads, and writes back moved on.
fn read_position<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
) -> Result<Option<i64>> {
    if address == 0 {
        return Ok(None);
    }
    let [position] = s.read_words(t, address)?;
    if (position as i64) < 0 {
        return Err(Errno::INVAL);
    }
    Ok(Some(position as i64))
}

fn write_position<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
    before: Option<i64>,
    moved: u64,
) -> Result<()> {
    match before {
        Some(before) => s.write_words(t, address, &[before as u64 + moved]),
        None => Ok(()),
    }
}

pub(super) fn sendfile<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [to, from, offset, count, ..]: Args,
) -> Flow {
    let outcome = (|| {
        let position = read_position(s, t, offset)?;
        let count = count.min(MAX_BYTES);
        let moved = s.with_files(t, |f, c| {
            f.sendfile(c, to as i32, from as i32, position, count)
        });
        if moved == Err(Errno::PIPE) {
            tell(s, t, linux::SIGPIPE);
        }
        if let Ok(Moved::Done(count)) = moved {
            write_position(s, t, offset, position, count as u64)?;
        }
        moved
    })();
    s.moved(t, outcome)
}

pub(super) fn copy_file_range<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [from, from_offset, to, to_offset, count, flags]: Args,
) -> Result<u64> {
    let (a, b) = (
        read_position(s, t, from_offset)?,
        read_position(s, t, to_offset)?,
    );
    let moved = s.with_files(t, |f, c| {
        f.copy_file_range(c, (from as i32, a), (to as i32, b), count, flags as u32)
    })? as u64;
    write_position(s, t, from_offset, a, moved)?;
    write_position(s, t, to_offset, b, moved)?;
    Ok(moved)
}

pub(super) fn getdents64<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, length, ..]: Args,
) -> Result<u64> {
    resolve(s, t, &one(address, length & 0xffff_ffff), 0, Access::Write)?;
    let segments = core::mem::take(&mut s.segments);
    let mut buffer = Buffer::new(&segments);
    let outcome = s.with_files(t, |f, c| f.getdents64(c, fd as i32, &mut buffer));
    s.segments = segments;
    Ok(outcome? as u64)
}

// ---- descriptors ----

fn open_at<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    directory: i32,
    path: u64,
    flags: u64,
    mode: u64,
) -> Flow {
    let outcome = s.read_path(t, path).and_then(|path| {
        s.with_files(t, |f, c| {
            f.openat(c, directory, &path, flags as u32, mode as u32)
        })
    });
    s.moved(t, outcome)
}

pub(super) fn open<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [path, flags, mode, ..]: Args,
) -> Flow {
    open_at(s, t, CWD, path, flags, mode)
}

pub(super) fn creat<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [path, mode, ..]: Args,
) -> Flow {
    let flags = linux::O_CREAT | linux::O_WRONLY | linux::O_TRUNC;
    open_at(s, t, CWD, path, flags.into(), mode)
}

pub(super) fn openat<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [directory, path, flags, mode, ..]: Args,
) -> Flow {
    open_at(s, t, directory as i32, path, flags, mode)
}

pub(super) fn openat2<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [directory, path, how, size, ..]: Args,
) -> Flow {
    let how = (|| {
        if size < 24 {
            return Err(Errno::INVAL);
        }
        if size > 24 {
            return Err(Errno::TOOBIG);
        }
        let [flags, mode, resolve] = s.read_words(t, how)?;
        if flags >> 32 != 0 || mode & !0o7777 != 0 {
            return Err(Errno::INVAL);
        }
        // How a path may be walked cannot be said here.
        if resolve != 0 {
            return Err(Errno::INVAL);
        }
        Ok((flags, mode))
    })();
    match how {
        Ok((flags, mode)) => open_at(s, t, directory as i32, path, flags, mode),
        Err(error) => error.into(),
    }
}

/// A call of files that gives nothing.
pub(super) fn done<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    f: impl FnOnce(&mut Files, &mut Call<'_>) -> Result<()>,
) -> Result<u64> {
    s.with_files(t, f).map(|()| 0)
}

/// A call of files that gives a descriptor.
pub(super) fn descriptor<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    f: impl FnOnce(&mut Files, &mut Call<'_>) -> Result<i32>,
) -> Result<u64> {
    s.with_files(t, f).map(|fd| fd as u64)
}

pub(super) fn close<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, ..]: Args,
) -> Result<u64> {
    done(s, t, |f, c| f.close(c, fd as i32))
}

pub(super) fn close_range<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [first, last, flags, ..]: Args,
) -> Result<u64> {
    // Of include/uapi/linux/close_range.h.
    const UNSHARE: u64 = 1 << 1;
    const ON_EXEC: u64 = 1 << 2;
    if flags & !(UNSHARE | ON_EXEC) != 0 {
        return Err(Errno::INVAL);
    }
    if flags & UNSHARE != 0 {
        let id = s.tasks.thread(t)?.process;
        s.unshare_table(id);
    }
    let on_exec = flags & ON_EXEC != 0;
    done(s, t, |f, c| {
        f.close_range(c, first as u32, last as u32, on_exec)
    })
}

pub(super) fn dup<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, ..]: Args,
) -> Result<u64> {
    descriptor(s, t, |f, c| f.dup(c, fd as i32, 0, false))
}

pub(super) fn dup2<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, new, ..]: Args,
) -> Result<u64> {
    descriptor(s, t, |f, c| f.dup3(c, fd as i32, new as i32, 0, true))
}

pub(super) fn dup3<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, new, flags, ..]: Args,
) -> Result<u64> {
    descriptor(s, t, |f, c| {
        f.dup3(c, fd as i32, new as i32, flags as u32, false)
    })
}

/// Writes a pair of descriptors, or takes them back if that cannot be.
fn give_pair<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
    pair: [i32; 2],
) -> Result<u64> {
    let words = [pair[0] as u32 as u64 | (pair[1] as u64) << 32];
    if let Err(error) = s.write_words(t, address, &words) {
        s.with_files(t, |f, c| {
            f.close_pair(c, pair);
            Ok(())
        })?;
        return Err(error);
    }
    Ok(0)
}

pub(super) fn pipe<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, ..]: Args,
) -> Result<u64> {
    pipe2(s, t, [address, 0, 0, 0, 0, 0])
}

pub(super) fn pipe2<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, flags, ..]: Args,
) -> Result<u64> {
    let pair = s.with_files(t, |f, c| f.pipe2(c, flags as u32))?;
    give_pair(s, t, address, pair)
}

pub(super) fn socketpair<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [family, kind, protocol, address, ..]: Args,
) -> Result<u64> {
    let pair = s.with_files(t, |f, c| {
        f.socketpair(c, family as u32, kind as u32, protocol as u32)
    })?;
    give_pair(s, t, address, pair)
}

pub(super) fn socket<K: Kernel, P: Pages>(
    _: &mut Server<K, P>,
    _: ThreadId,
    _: Args,
) -> Result<u64> {
    // There is no network, and no name that a socket could be found by.
    Err(Errno::AFNOSUPPORT)
}

pub(super) fn socket_other<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, ..]: Args,
) -> Result<u64> {
    s.with_files(t, |f, c| f.socket_other(c, fd as i32))
}

pub(super) fn shutdown<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, how, ..]: Args,
) -> Result<u64> {
    done(s, t, |f, c| f.shutdown(c, fd as i32, how as u32))
}

pub(super) fn getsockname<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, length, ..]: Args,
) -> Result<u64> {
    let name = s.with_files(t, |f, c| f.socket_name(c, fd as i32))?;
    let room = s.read_u32(t, length)? as usize;
    s.write_bytes(t, address, &name[..room.min(name.len())])?;
    s.write_u32(t, length, name.len() as u32)?;
    Ok(0)
}

pub(super) fn getsockopt<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, level, name, address, length, _]: Args,
) -> Result<u64> {
    let value = s.with_files(t, |f, c| {
        f.socket_option(c, fd as i32, level as u32, name as u32)
    })?;
    let room = (s.read_u32(t, length)? as usize).min(4);
    s.write_bytes(t, address, &value.to_le_bytes()[..room])?;
    s.write_u32(t, length, room as u32)?;
    Ok(0)
}

pub(super) fn eventfd<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [count, ..]: Args,
) -> Result<u64> {
    descriptor(s, t, |f, c| f.eventfd2(c, count as u32, 0))
}

pub(super) fn eventfd2<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [count, flags, ..]: Args,
) -> Result<u64> {
    descriptor(s, t, |f, c| f.eventfd2(c, count as u32, flags as u32))
}

pub(super) fn memfd_create<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [name, flags, ..]: Args,
) -> Result<u64> {
    // What there is of a name besides "memfd:" (`NAME_MAX`).
    const NAME: usize = 249;
    s.read_string(t, name, NAME + 1)
        .map_err(|error| match error {
            Errno::NAMETOOLONG => Errno::INVAL,
            error => error,
        })?;
    descriptor(s, t, |f, c| f.memfd_create(c, flags as u32))
}

pub(super) fn fcntl<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, command, argument, ..]: Args,
) -> Flow {
    let command = command as u32;
    if !Files::is_lock_command(command) {
        return s
            .with_files(t, |f, c| f.fcntl(c, fd as i32, command, argument))
            .into();
    }
    let outcome = (|| {
        let mut bytes = [0; abi::FLOCK];
        s.read_bytes(t, argument, &mut bytes)?;
        let wanted = Flock::of(&bytes);
        let (moved, found) =
            s.with_files(t, |f, c| f.record_lock(c, fd as i32, command, wanted))?;
        if let Some(found) = found {
            s.write_bytes(t, argument, &found.to_bytes())?;
        }
        Ok(moved)
    })();
    s.moved(t, outcome)
}

pub(super) fn flock<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, operation, ..]: Args,
) -> Flow {
    let outcome = s.with_files(t, |f, c| f.flock(c, fd as i32, operation as u32));
    s.moved(t, outcome)
}

pub(super) fn ioctl<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, request, argument, ..]: Args,
) -> Flow {
    let request = request as u32;
    let shape = shape(request);
    let outcome = (|| {
        let mut bytes = [0; SHAPE_MAX];
        let bytes = &mut bytes[..shape.read.max(shape.write)];
        s.read_bytes(t, argument, &mut bytes[..shape.read])?;
        let moved = s.with_files(t, |f, c| f.ioctl(c, fd as i32, request, argument, bytes))?;
        if matches!(moved, Moved::Done(_)) {
            s.write_bytes(t, argument, &bytes[..shape.write])?;
        }
        Ok(moved)
    })();
    s.moved(t, outcome)
}

pub(super) fn fsync<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, ..]: Args,
) -> Result<u64> {
    done(s, t, |f, c| f.fsync(c, fd as i32))
}
