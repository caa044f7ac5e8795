// SPDX-License-Identifier: BSD-2-Clause
//! Calls about paths and what files are.

use alloc::vec::Vec;

use linux_raw_sys::general as linux;

use super::Args;
use super::file::{CWD, done};
use crate::file::{Files, abi};
use crate::kernel::Kernel;
use crate::pages::Pages;
use crate::server::Server;
use crate::vfs::{Call, Time};
use crate::{Errno, Result, ThreadId};

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
