// SPDX-License-Identifier: BSD-2-Clause
//! Calls about files.

use alloc::vec::Vec;

use linux_raw_sys::general as linux;
use linux_raw_sys::net;

use super::{Args, time};
use crate::buffer::Buffer;
use crate::file::abi::{self, Flock};
use crate::file::control::{SHAPE_MAX, shape};
use crate::file::poll::{EpollEvent, PollEntry};
use crate::file::{Files, Moved};
use crate::flow::Flow;
use crate::kernel::Kernel;
use crate::mm::Access;
use crate::pages::Pages;
use crate::server::Server;
use crate::server::memory::CHUNK;
use crate::signal::{Info, Signal};
use crate::vfs::{Call, Time};
use crate::{Errno, Result, ThreadId};

const CWD: i32 = linux::AT_FDCWD;
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
            Err(error) => return error.into(),
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
fn done<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    f: impl FnOnce(&mut Files, &mut Call<'_>) -> Result<()>,
) -> Result<u64> {
    s.with_files(t, f).map(|()| 0)
}

/// A call of files that gives a descriptor.
fn descriptor<K: Kernel, P: Pages>(
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

// ---- readiness ----

/// Whether a call that waits at most so long has waited long enough; `None` is for ever.
fn is_over<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    timeout: Option<u64>,
) -> Result<bool> {
    let now = s.entered;
    let thread = s.tasks.thread_mut(t)?;
    if let Some(time) = timeout
        && thread.progress.deadline.is_none()
    {
        thread.progress.deadline = Some(now.saturating_add(time).max(1));
    }
    Ok(thread.progress.is_over(now))
}

/// A time-out in milliseconds, as `poll` has it.
fn milliseconds(timeout: u64) -> Option<u64> {
    match timeout as i32 {
        ..0 => None,
        time => Some(time as u64 * 1_000_000),
    }
}

fn poll_for<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
    count: u64,
    timeout: Option<u64>,
) -> Flow {
    let outcome = (|| {
        let limit = s.tasks.process_of(t)?.limit(linux::RLIMIT_NOFILE);
        if count > limit {
            return Err(Errno::INVAL);
        }
        let mut bytes = alloc::vec![0; count as usize * abi::POLLFD];
        s.read_bytes(t, address, &mut bytes)?;
        let mut entries: Vec<_> = bytes.chunks_exact(abi::POLLFD).map(PollEntry::of).collect();
        let wait = !is_over(s, t, timeout)?;
        let moved = s.with_files(t, |f, c| Ok(f.poll(c, &mut entries, wait)))?;
        if let Moved::Done(_) = moved {
            for (i, entry) in entries.iter().enumerate() {
                let at = address.wrapping_add((i * abi::POLLFD + 6) as u64);
                s.write_bytes(t, at, &entry.ready.to_le_bytes())?;
            }
        }
        Ok(moved)
    })();
    s.moved(t, outcome)
}

pub(super) fn poll<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, count, timeout, ..]: Args,
) -> Flow {
    poll_for(s, t, address, count & 0xffff_ffff, milliseconds(timeout))
}

/// A time-out as a `struct timespec`, if there is one.
fn timeout<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
) -> Result<Option<u64>> {
    match address {
        0 => Ok(None),
        address => time::read_timespec(s, t, address).map(Some),
    }
}

/// Has a thread block other signals during its call, if it wants that.
fn with_mask<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    mask: u64,
    size: u64,
) -> Result<()> {
    if mask != 0 {
        let mask = super::signal::read_mask(s, t, mask, size)?;
        super::signal::borrow_mask(s, t, mask);
    }
    Ok(())
}

pub(super) fn ppoll<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, count, time, mask, size, _]: Args,
) -> Flow {
    let timeout = match timeout(s, t, time) {
        Ok(timeout) => timeout,
        Err(error) => return error.into(),
    };
    match with_mask(s, t, mask, size) {
        Ok(()) => poll_for(s, t, address, count & 0xffff_ffff, timeout),
        Err(error) => error.into(),
    }
}

fn select_for<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    count: u64,
    addresses: [u64; 3],
    timeout: Option<u64>,
) -> Flow {
    let outcome = (|| {
        if (count as i32) < 0 {
            return Err(Errno::INVAL);
        }
        let count = (count as u32).min(1 << 16);
        let words = count.div_ceil(64) as usize;
        let mut sets = [const { Vec::new() }; 3];
        for (set, address) in sets.iter_mut().zip(addresses) {
            if address != 0 {
                set.resize(words, 0u64);
                for (i, word) in set.iter_mut().enumerate() {
                    [*word] = s.read_words(t, address.wrapping_add(8 * i as u64))?;
                }
            }
        }
        let wait = !is_over(s, t, timeout)?;
        let moved = s.with_files(t, |f, c| {
            let [a, b, d] = &mut sets;
            f.select(c, count, [a, b, d], wait)
        })?;
        if let Moved::Done(_) = moved {
            for (set, address) in sets.iter().zip(addresses) {
                for (i, word) in set.iter().enumerate() {
                    s.write_words(t, address.wrapping_add(8 * i as u64), &[*word])?;
                }
            }
        }
        Ok(moved)
    })();
    s.moved(t, outcome)
}

pub(super) fn select<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [count, read, write, other, time, _]: Args,
) -> Flow {
    let timeout = match time {
        0 => Ok(None),
        time => time::read_timeval(s, t, time).map(Some),
    };
    match timeout {
        Ok(timeout) => select_for(s, t, count, [read, write, other], timeout),
        Err(error) => error.into(),
    }
}

pub(super) fn pselect6<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [count, read, write, other, time, mask]: Args,
) -> Flow {
    let timeout: Result<_> = (|| {
        let timeout = timeout(s, t, time)?;
        if mask != 0 {
            let [mask, size] = s.read_words(t, mask)?;
            with_mask(s, t, mask, size)?;
        }
        Ok(timeout)
    })();
    match timeout {
        Ok(timeout) => select_for(s, t, count, [read, write, other], timeout),
        Err(error) => error.into(),
    }
}

pub(super) fn epoll_create<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [size, ..]: Args,
) -> Result<u64> {
    if (size as i32) <= 0 {
        return Err(Errno::INVAL);
    }
    descriptor(s, t, |f, c| f.epoll_create1(c, 0))
}

pub(super) fn epoll_create1<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [flags, ..]: Args,
) -> Result<u64> {
    descriptor(s, t, |f, c| f.epoll_create1(c, flags as u32))
}

pub(super) fn epoll_ctl<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [epfd, operation, fd, event, ..]: Args,
) -> Result<u64> {
    let mut bytes = [0; abi::EPOLL_EVENT];
    if operation as u32 != linux::EPOLL_CTL_DEL {
        s.read_bytes(t, event, &mut bytes)?;
    }
    let event = EpollEvent::of(&bytes);
    done(s, t, |f, c| {
        f.epoll_ctl(c, epfd as i32, operation as u32, fd as i32, event)
    })
}

fn epoll_for<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    (epfd, address, most): (u64, u64, u64),
    timeout: Option<u64>,
) -> Flow {
    let outcome = (|| {
        let wait = !is_over(s, t, timeout)?;
        let mut events = Vec::new();
        let most = most as i32;
        let moved = s.with_files(t, |f, c| {
            f.epoll_wait(c, epfd as i32, &mut events, most, wait)
        })?;
        if let Moved::Done(_) = moved {
            for (i, event) in events.iter().enumerate() {
                let at = address.wrapping_add((i * abi::EPOLL_EVENT) as u64);
                s.write_bytes(t, at, &event.to_bytes())?;
            }
        }
        Ok(moved)
    })();
    s.moved(t, outcome)
}

pub(super) fn epoll_wait<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [epfd, address, most, time, ..]: Args,
) -> Flow {
    epoll_for(s, t, (epfd, address, most), milliseconds(time))
}

pub(super) fn epoll_pwait<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [epfd, address, most, time, mask, size]: Args,
) -> Flow {
    match with_mask(s, t, mask, size) {
        Ok(()) => epoll_for(s, t, (epfd, address, most), milliseconds(time)),
        Err(error) => error.into(),
    }
}

pub(super) fn epoll_pwait2<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [epfd, address, most, time, mask, size]: Args,
) -> Flow {
    let timeout = timeout(s, t, time).and_then(|timeout| {
        with_mask(s, t, mask, size)?;
        Ok(timeout)
    });
    match timeout {
        Ok(timeout) => epoll_for(s, t, (epfd, address, most), timeout),
        Err(error) => error.into(),
    }
}

// ---- paths ----

/// A call of files on a path.
fn with_path<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    path: u64,
    f: impl FnOnce(&mut Files, &mut Call<'_>, &[u8]) -> Result<()>,
) -> Result<u64> {
    let path = s.read_path(t, path)?;
    s.with_files(t, |files, call| f(files, call, &path))
        .map(|()| 0)
}

/// The same on two.
fn with_paths<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    (a, b): (u64, u64),
    f: impl FnOnce(&mut Files, &mut Call<'_>, &[u8], &[u8]) -> Result<()>,
) -> Result<u64> {
    let a = s.read_path(t, a)?;
    let b = s.read_path(t, b)?;
    s.with_files(t, |files, call| f(files, call, &a, &b))
        .map(|()| 0)
}

macro_rules! paths {
    ($($name:ident($($arg:ident),*) = $path:ident: |$f:ident, $c:ident, $p:ident| $body:expr;)+) => { $(
        pub(super) fn $name<K: Kernel, P: Pages>(
            s: &mut Server<K, P>,
            t: ThreadId,
            args: Args,
        ) -> Result<u64> {
            let mut args = args.into_iter();
            $(let $arg = args.next().unwrap_or(0);)*
            with_path(s, t, $path, |$f, $c, $p| $body)
        }
    )+ };
}

paths! {
    mkdir(path, mode) = path: |f, c, p| f.mkdirat(c, CWD, p, mode as u32);
    mkdirat(fd, path, mode) = path: |f, c, p| f.mkdirat(c, fd as i32, p, mode as u32);
    mknod(path, mode, device) = path: |f, c, p| f.mknodat(c, CWD, p, mode as u32, device);
    mknodat(fd, path, mode, device) = path:
        |f, c, p| f.mknodat(c, fd as i32, p, mode as u32, device);
    unlink(path) = path: |f, c, p| f.unlinkat(c, CWD, p, 0);
    rmdir(path) = path: |f, c, p| f.unlinkat(c, CWD, p, linux::AT_REMOVEDIR);
    unlinkat(fd, path, flags) = path: |f, c, p| f.unlinkat(c, fd as i32, p, flags as u32);
    chdir(path) = path: |f, c, p| f.chdir(c, p);
    chroot(path) = path: |f, c, p| f.chroot(c, p);
    umount2(path) = path: |f, c, p| f.umount2(c, p);
    access(path, mode) = path: |f, c, p| f.faccessat2(c, CWD, p, mode as u32, 0);
    faccessat(fd, path, mode) = path: |f, c, p| f.faccessat2(c, fd as i32, p, mode as u32, 0);
    faccessat2(fd, path, mode, flags) = path:
        |f, c, p| f.faccessat2(c, fd as i32, p, mode as u32, flags as u32);
    chmod(path, mode) = path: |f, c, p| f.fchmodat(c, CWD, p, mode as u32, 0);
    fchmodat(fd, path, mode) = path: |f, c, p| f.fchmodat(c, fd as i32, p, mode as u32, 0);
    fchmodat2(fd, path, mode, flags) = path:
        |f, c, p| f.fchmodat(c, fd as i32, p, mode as u32, flags as u32);
    chown(path, uid, gid) = path: |f, c, p| f.fchownat(c, CWD, p, (uid as u32, gid as u32), 0);
    lchown(path, uid, gid) = path:
        |f, c, p| f.fchownat(c, CWD, p, (uid as u32, gid as u32), linux::AT_SYMLINK_NOFOLLOW);
    fchownat(fd, path, uid, gid, flags) = path:
        |f, c, p| f.fchownat(c, fd as i32, p, (uid as u32, gid as u32), flags as u32);
    truncate(path, size) = path: |f, c, p| f.truncate(c, p, size as i64);
}

macro_rules! descriptors {
    ($($name:ident($($arg:ident),*): |$f:ident, $c:ident| $body:expr;)+) => { $(
        pub(super) fn $name<K: Kernel, P: Pages>(
            s: &mut Server<K, P>,
            t: ThreadId,
            args: Args,
        ) -> Result<u64> {
            let mut args = args.into_iter();
            $(let $arg = args.next().unwrap_or(0);)*
            done(s, t, |$f, $c| $body)
        }
    )+ };
}

descriptors! {
    fchdir(fd): |f, c| f.fchdir(c, fd as i32);
    fchmod(fd, mode): |f, c| f.fchmod(c, fd as i32, mode as u32);
    fchown(fd, uid, gid): |f, c| f.fchown(c, fd as i32, uid as u32, gid as u32);
    ftruncate(fd, size): |f, c| f.ftruncate(c, fd as i32, size as i64);
    fallocate(fd, mode, offset, length):
        |f, c| f.fallocate(c, fd as i32, mode as u32, offset as i64, length as i64);
}

pub(super) fn symlink<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [text, path, ..]: Args,
) -> Result<u64> {
    with_paths(s, t, (text, path), |f, c, text, p| {
        f.symlinkat(c, text, CWD, p)
    })
}

pub(super) fn symlinkat<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [text, fd, path, ..]: Args,
) -> Result<u64> {
    with_paths(s, t, (text, path), |f, c, text, p| {
        f.symlinkat(c, text, fd as i32, p)
    })
}

pub(super) fn link<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [old, new, ..]: Args,
) -> Result<u64> {
    linkat(s, t, [CWD as u64, old, CWD as u64, new, 0, 0])
}

pub(super) fn linkat<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [from, old, to, new, flags, _]: Args,
) -> Result<u64> {
    with_paths(s, t, (old, new), |f, c, old, new| {
        f.linkat(c, (from as i32, old), (to as i32, new), flags as u32)
    })
}

pub(super) fn rename<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [old, new, ..]: Args,
) -> Result<u64> {
    renameat2(s, t, [CWD as u64, old, CWD as u64, new, 0, 0])
}

pub(super) fn renameat<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [from, old, to, new, ..]: Args,
) -> Result<u64> {
    renameat2(s, t, [from, old, to, new, 0, 0])
}

pub(super) fn renameat2<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [from, old, to, new, flags, _]: Args,
) -> Result<u64> {
    with_paths(s, t, (old, new), |f, c, old, new| {
        f.renameat2(c, (from as i32, old), (to as i32, new), flags as u32)
    })
}

pub(super) fn readlink<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [path, address, room, ..]: Args,
) -> Result<u64> {
    readlinkat(s, t, [CWD as u64, path, address, room, 0, 0])
}

pub(super) fn readlinkat<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, path, address, room, ..]: Args,
) -> Result<u64> {
    if (room as i32) <= 0 {
        return Err(Errno::INVAL);
    }
    let path = s.read_path(t, path)?;
    let text = s.with_files(t, |f, c| f.readlinkat(c, fd as i32, &path))?;
    let length = text.len().min(room as usize);
    s.write_bytes(t, address, &text[..length])?;
    Ok(length as u64)
}

pub(super) fn getcwd<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, room, ..]: Args,
) -> Result<u64> {
    let mut path = s.with_files(t, |f, c| f.getcwd(c))?;
    path.push(0);
    if path.len() as u64 > room {
        return Err(Errno::RANGE);
    }
    s.write_bytes(t, address, &path)?;
    Ok(path.len() as u64)
}

pub(super) fn umask<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [mask, ..]: Args,
) -> Result<u64> {
    s.with_files(t, |f, c| Ok(f.umask(c, mask as u32).into()))
}

pub(super) fn mount<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [source, target, kind, flags, options, _]: Args,
) -> Result<u64> {
    let optional = |s: &mut Server<K, P>, address| match address {
        0 => Ok(Vec::new()),
        address => s.read_path(t, address),
    };
    let source = optional(s, source)?;
    let target = s.read_path(t, target)?;
    let kind = optional(s, kind)?;
    let options = optional(s, options)?;
    done(s, t, |f, c| {
        f.mount(c, &source, &target, &kind, flags as u32, &options)
    })
}

// ---- attributes ----

fn stat_at<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    fd: i32,
    path: u64,
    address: u64,
    flags: u32,
) -> Result<u64> {
    let path = match path {
        0 if flags & linux::AT_EMPTY_PATH != 0 => Vec::new(),
        path => s.read_path(t, path)?,
    };
    let attributes = s.with_files(t, |f, c| f.fstatat(c, fd, &path, flags))?;
    s.write_bytes(t, address, &abi::stat(&attributes))?;
    Ok(0)
}

pub(super) fn stat<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [path, address, ..]: Args,
) -> Result<u64> {
    stat_at(s, t, CWD, path, address, 0)
}

pub(super) fn lstat<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [path, address, ..]: Args,
) -> Result<u64> {
    stat_at(s, t, CWD, path, address, linux::AT_SYMLINK_NOFOLLOW)
}

pub(super) fn newfstatat<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, path, address, flags, ..]: Args,
) -> Result<u64> {
    stat_at(s, t, fd as i32, path, address, flags as u32)
}

pub(super) fn fstat<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, ..]: Args,
) -> Result<u64> {
    let attributes = s.with_files(t, |f, c| f.fstat(c, fd as i32))?;
    s.write_bytes(t, address, &abi::stat(&attributes))?;
    Ok(0)
}

pub(super) fn statx<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, path, flags, mask, address, _]: Args,
) -> Result<u64> {
    const RESERVED: u64 = 0x8000_0000;
    let sync = linux::AT_STATX_SYNC_TYPE;
    if mask & RESERVED != 0 || flags as u32 & sync == sync {
        return Err(Errno::INVAL);
    }
    let flags = flags as u32 & !sync;
    let path = match path {
        0 if flags & linux::AT_EMPTY_PATH != 0 => Vec::new(),
        path => s.read_path(t, path)?,
    };
    let attributes = s.with_files(t, |f, c| f.fstatat(c, fd as i32, &path, flags))?;
    s.write_bytes(t, address, &abi::statx(&attributes))?;
    Ok(0)
}

pub(super) fn statfs<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [path, address, ..]: Args,
) -> Result<u64> {
    let path = s.read_path(t, path)?;
    let (usage, id) = s.with_files(t, |f, c| f.statfs(c, &path))?;
    s.write_bytes(t, address, &abi::statfs(&usage, id))?;
    Ok(0)
}

pub(super) fn fstatfs<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, address, ..]: Args,
) -> Result<u64> {
    let (usage, id) = s.with_files(t, |f, c| f.fstatfs(c, fd as i32))?;
    s.write_bytes(t, address, &abi::statfs(&usage, id))?;
    Ok(0)
}

fn set_times<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    fd: i32,
    path: u64,
    times: Option<[Time; 2]>,
    flags: u32,
) -> Result<u64> {
    let path = match path {
        0 => None,
        path => Some(s.read_path(t, path)?),
    };
    done(s, t, |f, c| {
        f.utimensat(c, fd, path.as_deref(), times, flags)
    })
}

pub(super) fn utimensat<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, path, times, flags, ..]: Args,
) -> Result<u64> {
    let times = match times {
        0 => None,
        times => {
            let mut bytes = [0; 32];
            s.read_bytes(t, times, &mut bytes)?;
            Some([abi::timespec(&bytes[..16]), abi::timespec(&bytes[16..])])
        }
    };
    set_times(s, t, fd as i32, path, times, flags as u32)
}

/// Two `struct timeval`.
fn timevals<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
) -> Result<Option<[Time; 2]>> {
    if address == 0 {
        return Ok(None);
    }
    let [a, b, c, d] = s.read_words(t, address)?;
    if b >= 1_000_000 || d >= 1_000_000 {
        return Err(Errno::INVAL);
    }
    Ok(Some([(a, b), (c, d)].map(|(seconds, microseconds)| Time {
        seconds: seconds as i64,
        nanoseconds: microseconds as u32 * 1000,
    })))
}

pub(super) fn futimesat<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, path, times, ..]: Args,
) -> Result<u64> {
    let times = timevals(s, t, times)?;
    set_times(s, t, fd as i32, path, times, 0)
}

pub(super) fn utimes<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [path, times, ..]: Args,
) -> Result<u64> {
    futimesat(s, t, [CWD as u64, path, times, 0, 0, 0])
}

pub(super) fn utime<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [path, times, ..]: Args,
) -> Result<u64> {
    let times = match times {
        0 => None,
        times => {
            let words: [u64; 2] = s.read_words(t, times)?;
            Some(words.map(|seconds| Time {
                seconds: seconds as i64,
                nanoseconds: 0,
            }))
        }
    };
    set_times(s, t, CWD, path, times, 0)
}
