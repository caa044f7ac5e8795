// SPDX-License-Identifier: BSD-2-Clause
//! Memory that somebody outside has granted, as a file: it is the root of a file system of its own, and mounted over
//! another file.
//!
//! The file is as long as the memory and never longer or shorter, like a sealed one of `memfd_create`. It is read and
//! written, and cannot be mapped: the frames are not the server's to hand on. Others change it at any time, and whoever
//! granted it may take it away at any time, too: it is an I/O error then.

use alloc::boxed::Box;
use alloc::vec::Vec;

use linux_raw_sys::general::TMPFS_MAGIC;

use super::{Attributes, Entry, Env, FileSystem, Kind, Link, Rights, Time, Usage};
use crate::{Buffer, Errno, PAGE, Pages, Result};

/// The file's number.
const FILE: u64 = 1;
/// Bytes that are copied at a time: through the server's own memory, because that of programs is not to be written
/// when the other one vanishes in the middle.
const PIECE: usize = 1024;

/// Memory that others have, and may take away.
pub trait Foreign {
    /// Its bytes.
    fn length(&self) -> u64;

    /// Copies from it, within its length.
    ///
    /// # Errors
    /// `EIO` when it is not there any more.
    fn read(&self, position: u64, into: &mut [u8]) -> Result<()>;

    /// Copies to it, within its length.
    ///
    /// # Errors
    /// `EROFS` when it may not be written, `EIO` when it is not there any more.
    fn write(&self, position: u64, from: &[u8]) -> Result<()>;
}

/// The file system.
pub struct RegionFile {
    memory: Box<dyn Foreign>,
    made: Time,
}

impl RegionFile {
    /// One with this memory, which is there from now on.
    pub fn new(memory: Box<dyn Foreign>, now: Time) -> Self {
        Self { memory, made: now }
    }

    /// Of so many bytes at a position those that there are.
    fn within(&self, position: u64, bytes: usize) -> usize {
        let left = self.memory.length().saturating_sub(position);
        usize::try_from(left).unwrap_or(usize::MAX).min(bytes)
    }
}

impl FileSystem for RegionFile {
    fn name(&self) -> &'static str {
        "region"
    }

    fn root(&self) -> u64 {
        FILE
    }

    fn rights(&self, _env: &mut Env, _ino: u64) -> Result<Rights> {
        Ok(Rights {
            mode: Kind::Regular.bits() | 0o666,
            uid: 0,
            gid: 0,
        })
    }

    fn attributes(&self, env: &mut Env, ino: u64) -> Result<Attributes> {
        Ok(Attributes {
            rights: self.rights(env, ino)?,
            dev: 0,
            ino,
            nlink: 1,
            rdev: 0,
            size: self.memory.length(),
            blocks: self.memory.length().div_ceil(512),
            atime: self.made,
            mtime: self.made,
            ctime: self.made,
            btime: self.made,
        })
    }

    fn find(&self, _env: &mut Env, _directory: u64, _name: &[u8]) -> Result<u64> {
        Err(Errno::NOTDIR)
    }

    fn parent(&self, directory: u64) -> u64 {
        directory
    }

    fn named(&self, _ino: u64, _name: &mut Vec<u8>) -> Option<u64> {
        None
    }

    fn link(&self, _env: &mut Env, _ino: u64) -> Result<Link> {
        Err(Errno::INVAL)
    }

    fn list(
        &self,
        _env: &mut Env,
        _directory: u64,
        _from: u64,
        _each: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<()> {
        Err(Errno::NOTDIR)
    }

    fn read(
        &mut self,
        env: &mut Env,
        _ino: u64,
        position: u64,
        into: &mut Buffer,
    ) -> Result<usize> {
        let (mut done, length) = (0, self.within(position, into.left()));
        let mut piece = [0; PIECE];
        while done < length {
            let piece = &mut piece[..PIECE.min(length - done)];
            match self.memory.read(position + done as u64, piece) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => done += into.put(env.pages, piece),
            }
        }
        Ok(done)
    }

    fn write(
        &mut self,
        env: &mut Env,
        _ino: u64,
        position: u64,
        from: &mut Buffer,
    ) -> Result<usize> {
        let (mut done, length) = (0, self.within(position, from.left()));
        if length == 0 && !from.is_empty() {
            return Err(Errno::PERM);
        }
        let mut piece = [0; PIECE];
        while done < length {
            let piece = &mut piece[..PIECE.min(length - done)];
            from.take(env.pages, piece);
            match self.memory.write(position + done as u64, piece) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => done += piece.len(),
            }
        }
        Ok(done)
    }

    fn resize(&mut self, _env: &mut Env, _ino: u64, size: u64) -> Result<()> {
        match size == self.memory.length() {
            true => Ok(()),
            false => Err(Errno::PERM),
        }
    }

    fn usage(&self, _pages: &dyn Pages) -> Usage {
        Usage {
            magic: TMPFS_MAGIC,
            blocks: self.memory.length().div_ceil(PAGE as u64),
            files: 1,
            ..Usage::default()
        }
    }
}
