// SPDX-License-Identifier: BSD-2-Clause
//! Structures as x86-64 Linux programs have them in memory.

use alloc::vec::Vec;

use crate::vfs::{Attributes, Time, Usage, major_minor};

/// Bytes of `struct stat`.
pub const STAT: usize = 144;
/// Bytes of `struct statx`.
pub const STATX: usize = 256;
/// Bytes of `struct statfs`.
pub const STATFS: usize = 120;
/// Bytes of `struct flock`.
pub const FLOCK: usize = 32;
/// Bytes of `struct epoll_event`, which is packed.
pub const EPOLL_EVENT: usize = 12;
/// Bytes of `struct pollfd`.
pub const POLLFD: usize = 8;

/// Bytes of a structure that is filled from its start.
struct Writer<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Writer<N> {
    const fn new() -> Self {
        Self {
            bytes: [0; N],
            at: 0,
        }
    }

    fn put<const M: usize>(&mut self, value: [u8; M]) -> &mut Self {
        self.bytes[self.at..self.at + M].copy_from_slice(&value);
        self.at += M;
        self
    }

    fn u16(&mut self, value: u16) -> &mut Self {
        self.put(value.to_ne_bytes())
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.put(value.to_ne_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.put(value.to_ne_bytes())
    }
}

/// Bytes that one read or write moves best (`st_blksize`).
const BLOCK: u64 = 4096;

/// `struct stat`.
pub fn stat(a: &Attributes) -> [u8; STAT] {
    let mut w = Writer::<STAT>::new();
    w.u64(a.dev).u64(a.ino).u64(a.nlink.into());
    w.u32(a.rights.mode)
        .u32(a.rights.uid)
        .u32(a.rights.gid)
        .u32(0);
    w.u64(a.rdev).u64(a.size).u64(BLOCK).u64(a.blocks);
    for time in [a.atime, a.mtime, a.ctime] {
        w.u64(time.seconds as u64).u64(time.nanoseconds.into());
    }
    w.bytes
}

/// `struct statx`, with all that this system knows of a file.
pub fn statx(a: &Attributes) -> [u8; STATX] {
    use linux_raw_sys::general::{STATX_BASIC_STATS, STATX_BTIME};
    let mut w = Writer::<STATX>::new();
    w.u32(STATX_BASIC_STATS | STATX_BTIME)
        .u32(BLOCK as u32)
        .u64(0);
    w.u32(a.nlink).u32(a.rights.uid).u32(a.rights.gid);
    w.u16(a.rights.mode as u16).u16(0);
    w.u64(a.ino).u64(a.size).u64(a.blocks).u64(0);
    for time in [a.atime, a.btime, a.ctime, a.mtime] {
        w.u64(time.seconds as u64).u32(time.nanoseconds).u32(0);
    }
    for device in [a.rdev, a.dev] {
        let (major, minor) = major_minor(device);
        w.u32(major).u32(minor);
    }
    w.bytes
}

/// `struct statfs`.
pub fn statfs(u: &Usage, id: u64) -> [u8; STATFS] {
    let mut w = Writer::<STATFS>::new();
    w.u64(u.magic.into()).u64(BLOCK);
    w.u64(u.blocks).u64(u.free).u64(u.free);
    w.u64(u.files).u64(u.files_free).u64(id);
    w.u64(crate::vfs::NAME_MAX as u64).u64(BLOCK);
    // ST_VALID | ST_RELATIME
    w.u64(0x20 | 0x1000);
    w.bytes
}

/// Appends a `struct linux_dirent64`, if it fits into `room`; says whether.
pub fn put_dirent(
    bytes: &mut Vec<u8>,
    room: usize,
    name: &[u8],
    ino: u64,
    kind: u8,
    next: u64,
) -> bool {
    const HEAD: usize = 19;
    let length = (HEAD + name.len() + 1).next_multiple_of(8);
    if bytes.len() + length > room {
        return false;
    }
    let end = bytes.len() + length;
    bytes.extend_from_slice(&ino.to_ne_bytes());
    bytes.extend_from_slice(&next.to_ne_bytes());
    bytes.extend_from_slice(&(length as u16).to_ne_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(name);
    bytes.resize(end, 0);
    true
}

/// A word in a structure that a program gave; 0 behind its end.
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at + 2)
        .and_then(|word| word.try_into().ok())
        .map_or(0, u16::from_ne_bytes)
}

/// A word in a structure that a program gave; 0 behind its end.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|word| word.try_into().ok())
        .map_or(0, u32::from_ne_bytes)
}

/// A word in a structure that a program gave; 0 behind its end.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 8)
        .and_then(|word| word.try_into().ok())
        .map_or(0, u64::from_ne_bytes)
}

/// `struct flock`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Flock {
    pub kind: u16,
    pub whence: u16,
    pub start: i64,
    pub length: i64,
    pub process: i32,
}

impl Flock {
    /// From a program's memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            kind: u16_at(bytes, 0),
            whence: u16_at(bytes, 2),
            start: u64_at(bytes, 8) as i64,
            length: u64_at(bytes, 16) as i64,
            process: u32_at(bytes, 24) as i32,
        }
    }

    /// As a program has it.
    pub fn to_bytes(self) -> [u8; FLOCK] {
        let mut w = Writer::<FLOCK>::new();
        w.u16(self.kind).u16(self.whence).u32(0);
        w.u64(self.start as u64).u64(self.length as u64);
        w.u32(self.process as u32);
        w.bytes
    }
}

/// A time as programs give it to `utimensat`.
pub fn timespec(bytes: &[u8]) -> Time {
    Time {
        seconds: u64_at(bytes, 0) as i64,
        nanoseconds: u64_at(bytes, 8).min(u64::from(u32::MAX)) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::Rights;
    use core::mem::{offset_of, size_of};
    use linux_raw_sys::general as linux;

    #[test]
    fn structures_are_laid_out_as_linux_says() {
        let a = Attributes {
            rights: Rights {
                mode: 1,
                uid: 2,
                gid: 3,
            },
            dev: 0x0405,
            ino: 5,
            nlink: 6,
            rdev: 0x0807,
            size: 8,
            blocks: 9,
            atime: Time {
                seconds: 10,
                nanoseconds: 11,
            },
            mtime: Time {
                seconds: 12,
                nanoseconds: 13,
            },
            ctime: Time {
                seconds: 14,
                nanoseconds: 15,
            },
            btime: Time {
                seconds: 16,
                nanoseconds: 17,
            },
        };
        let bytes = stat(&a);
        assert_eq!(size_of::<linux::stat>(), STAT);
        for (at, value) in [
            (offset_of!(linux::stat, st_dev), 0x0405),
            (offset_of!(linux::stat, st_ino), 5),
            (offset_of!(linux::stat, st_nlink), 6),
            (offset_of!(linux::stat, st_rdev), 0x0807),
            (offset_of!(linux::stat, st_size), 8),
            (offset_of!(linux::stat, st_blocks), 9),
            (offset_of!(linux::stat, st_atime), 10),
            (offset_of!(linux::stat, st_mtime_nsec), 13),
            (offset_of!(linux::stat, st_ctime), 14),
        ] {
            assert_eq!(u64_at(&bytes, at), value);
        }
        assert_eq!(u32_at(&bytes, offset_of!(linux::stat, st_mode)), 1);
        assert_eq!(u32_at(&bytes, offset_of!(linux::stat, st_gid)), 3);
        let bytes = statx(&a);
        assert_eq!(size_of::<linux::statx>(), STATX);
        assert_eq!(u16_at(&bytes, offset_of!(linux::statx, stx_mode)), 1);
        for (at, value) in [
            (offset_of!(linux::statx, stx_nlink), 6),
            (offset_of!(linux::statx, stx_ino), 5),
            (offset_of!(linux::statx, stx_size), 8),
            (offset_of!(linux::statx, stx_blocks), 9),
            (offset_of!(linux::statx, stx_atime), 10),
            (offset_of!(linux::statx, stx_btime), 16),
            (offset_of!(linux::statx, stx_ctime), 14),
            (offset_of!(linux::statx, stx_mtime), 12),
            (offset_of!(linux::statx, stx_rdev_major), 8),
            (offset_of!(linux::statx, stx_rdev_minor), 7),
            (offset_of!(linux::statx, stx_dev_major), 4),
        ] {
            assert_eq!(u64::from(u32_at(&bytes, at)), value);
        }
        assert_eq!(size_of::<linux::statfs>(), STATFS);
        assert_eq!(size_of::<linux::flock>(), FLOCK);
        assert_eq!(offset_of!(linux::flock, l_start), 8);
        assert_eq!(offset_of!(linux::flock, l_pid), 24);
        assert_eq!(offset_of!(linux::linux_dirent64, d_name), 19);
        assert_eq!(size_of::<linux::epoll_event>(), EPOLL_EVENT);
    }

    #[test]
    fn a_record_lock_goes_both_ways() {
        let lock = Flock {
            kind: 1,
            whence: 2,
            start: -3,
            length: i64::MAX,
            process: 5,
        };
        assert_eq!(Flock::of(&lock.to_bytes()), lock);
    }
}
