// SPDX-License-Identifier: BSD-2-Clause
//! A guest's physical memory, as bytes from address 0 on.

use core::ops::Range;

/// An address that is not in a guest's memory, or a range that does not end in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not in the guest's memory")]
pub struct Outside;

/// The memory. All accesses are checked; nothing here knows who asks.
#[derive(Debug)]
pub struct Memory<'a>(&'a mut [u8]);

impl<'a> Memory<'a> {
    /// The memory that consists of these bytes. Of more than 4 GiB the guest sees the beginning.
    #[must_use]
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self(bytes)
    }

    /// How many bytes there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        (self.0.len() as u64).min(1 << 32)
    }

    fn range(&self, address: u32, length: usize) -> Result<Range<usize>, Outside> {
        let start = address as usize;
        let end = start.checked_add(length).ok_or(Outside)?;
        (end as u64 <= self.size())
            .then_some(start..end)
            .ok_or(Outside)
    }

    /// `length` bytes at an address.
    ///
    /// # Errors
    /// If they are not all there.
    pub fn bytes(&self, address: u32, length: usize) -> Result<&[u8], Outside> {
        Ok(&self.0[self.range(address, length)?])
    }

    /// The same, to be written to.
    ///
    /// # Errors
    /// If they are not all there.
    pub fn bytes_mut(&mut self, address: u32, length: usize) -> Result<&mut [u8], Outside> {
        let range = self.range(address, length)?;
        Ok(&mut self.0[range])
    }

    /// Writes bytes to an address.
    ///
    /// # Errors
    /// If there is no room.
    pub fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), Outside> {
        self.bytes_mut(address, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// Writes little-endian words to an address.
    ///
    /// # Errors
    /// If there is no room.
    pub fn write_words(
        &mut self,
        address: u32,
        words: impl IntoIterator<Item = u32>,
    ) -> Result<(), Outside> {
        let mut at = address;
        for word in words {
            self.write(at, &word.to_le_bytes())?;
            at = at.checked_add(4).ok_or(Outside)?;
        }
        Ok(())
    }

    /// The 64-bit little-endian word at an address.
    ///
    /// # Errors
    /// If it is not there.
    pub fn word64(&self, address: u32) -> Result<u64, Outside> {
        let mut word = [0; 8];
        word.copy_from_slice(self.bytes(address, 8)?);
        Ok(u64::from_le_bytes(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_outside_is_refused_and_what_is_inside_is_not(address: u32, length in 0usize..1 << 33) {
            let mut bytes = [0; 4096];
            let memory = Memory::new(&mut bytes);
            let inside = address as u64 + length as u64 <= 4096;
            prop_assert_eq!(memory.bytes(address, length).is_ok(), inside);
        }
    }
}
