// SPDX-License-Identifier: BSD-2-Clause
//! Values in programs' memory. Each is copied once, and only the copy is looked at.

use alloc::vec::Vec;
use core::cell::RefCell;

use super::Server;
use crate::futex::Key;
use crate::kernel::Kernel;
use crate::mm::{Access, AddressSpace, FileId, PAGE_BYTES, Resources};
use crate::pages::Pages;
use crate::{Errno, Result, ThreadId};

/// Frames that a call looks up at a time.
pub const CHUNK: usize = 32;

impl<K: Kernel, P: Pages> Server<K, P> {
    /// What address spaces are made of.
    pub(crate) fn resources(&mut self) -> Resources<'_> {
        Resources {
            kernel: &mut self.kernel,
            pages: &mut self.pages,
            files: &mut self.files,
        }
    }

    /// A thread's memory, and what it is made of.
    fn memory_of(&mut self, thread: ThreadId) -> Result<(&RefCell<AddressSpace>, Resources<'_>)> {
        let memory = &self.tasks.process_of(thread)?.memory;
        let resources = Resources {
            kernel: &mut self.kernel,
            pages: &mut self.pages,
            files: &mut self.files,
        };
        Ok((memory, resources))
    }

    /// Copies bytes out of a thread's memory.
    ///
    /// # Errors
    /// [`Errno::FAULT`].
    pub fn read_bytes(&mut self, thread: ThreadId, address: u64, into: &mut [u8]) -> Result<()> {
        let (memory, mut resources) = self.memory_of(thread)?;
        memory.borrow_mut().read(&mut resources, address, into)
    }

    /// Copies bytes into a thread's memory.
    ///
    /// # Errors
    /// [`Errno::FAULT`].
    pub fn write_bytes(&mut self, thread: ThreadId, address: u64, from: &[u8]) -> Result<()> {
        let (memory, mut resources) = self.memory_of(thread)?;
        memory.borrow_mut().write(&mut resources, address, from)
    }

    /// Copies words out of a thread's memory: a structure of 64-bit fields.
    ///
    /// # Errors
    /// [`Errno::FAULT`].
    pub fn read_words<const N: usize>(
        &mut self,
        thread: ThreadId,
        address: u64,
    ) -> Result<[u64; N]> {
        let mut bytes = [[0; 8]; N];
        self.read_bytes(thread, address, bytes.as_flattened_mut())?;
        Ok(bytes.map(u64::from_le_bytes))
    }

    /// Copies words into a thread's memory.
    ///
    /// # Errors
    /// [`Errno::FAULT`].
    pub fn write_words(&mut self, thread: ThreadId, address: u64, words: &[u64]) -> Result<()> {
        const BLOCK: usize = 16;
        let mut address = address;
        for block in words.chunks(BLOCK) {
            let mut bytes = [[0; 8]; BLOCK];
            for (bytes, word) in bytes.iter_mut().zip(block) {
                *bytes = word.to_le_bytes();
            }
            let bytes = bytes[..block.len()].as_flattened();
            self.write_bytes(thread, address, bytes)?;
            address = address.wrapping_add(bytes.len() as u64);
        }
        Ok(())
    }

    /// Copies a 32-bit number out of a thread's memory.
    ///
    /// # Errors
    /// [`Errno::FAULT`].
    pub fn read_u32(&mut self, thread: ThreadId, address: u64) -> Result<u32> {
        let mut bytes = [0; 4];
        self.read_bytes(thread, address, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Copies a 32-bit number into a thread's memory.
    ///
    /// # Errors
    /// [`Errno::FAULT`].
    pub fn write_u32(&mut self, thread: ThreadId, address: u64, value: u32) -> Result<()> {
        self.write_bytes(thread, address, &value.to_le_bytes())
    }

    /// A string of a thread's, without its NUL byte.
    ///
    /// # Errors
    /// [`Errno::FAULT`], [`Errno::NAMETOOLONG`].
    pub fn read_string(&mut self, thread: ThreadId, address: u64, most: usize) -> Result<Vec<u8>> {
        let (memory, mut resources) = self.memory_of(thread)?;
        memory
            .borrow_mut()
            .read_string(&mut resources, address, most)
    }

    /// A path of a thread's.
    ///
    /// # Errors
    /// [`Errno::FAULT`], [`Errno::NAMETOOLONG`].
    pub fn read_path(&mut self, thread: ThreadId, address: u64) -> Result<Vec<u8>> {
        self.read_string(thread, address, crate::vfs::PATH_MAX)
    }

    /// Looks up the frames of a piece of a thread's memory, into `segments`, after those that
    /// are there: at most [`CHUNK`] of them. Gives the bytes.
    ///
    /// # Errors
    /// [`Errno::FAULT`].
    pub fn resolve(
        &mut self,
        thread: ThreadId,
        address: u64,
        length: u64,
        access: Access,
    ) -> Result<u64> {
        let memory = self.tasks.process_of(thread)?.memory.clone();
        let mut segments = core::mem::take(&mut self.segments);
        let result = memory.borrow_mut().resolve(
            &mut self.resources(),
            address,
            length,
            access,
            &mut segments,
            CHUNK,
        );
        self.segments = segments;
        result
    }

    /// The word that a futex call names.
    ///
    /// # Errors
    /// [`Errno::INVAL`], [`Errno::FAULT`].
    pub fn futex_key(&mut self, thread: ThreadId, address: u64, private: bool) -> Result<Key> {
        if !address.is_multiple_of(4) {
            return Err(Errno::INVAL);
        }
        let memory = self.tasks.process_of(thread)?.memory.clone();
        let mut memory = memory.borrow_mut();
        let space = memory.space().0;
        if private {
            return Ok(Key::Private(space, address));
        }
        Ok(
            match memory.shared_word(&mut self.resources(), address)?.0 {
                None => Key::Private(space, address),
                Some((file, page)) => Key::Shared(file, page * PAGE_BYTES + address % PAGE_BYTES),
            },
        )
    }

    /// A file was cut: nobody sees the pages behind its end any more.
    pub(super) fn cut(&mut self, file: FileId, first: u64) {
        let spaces: Vec<_> = self
            .tasks
            .processes
            .values()
            .map(|process| process.memory.clone())
            .collect();
        for memory in spaces {
            memory.borrow_mut().cut(&mut self.resources(), file, first);
        }
    }
}
