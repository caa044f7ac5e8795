// SPDX-License-Identifier: BSD-2-Clause
//! Words and bytes: how structures travel in message registers.

use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Result};

/// Words that a message carries at most (seL4_MsgMaxLength of this kernel).
pub const MAX_WORDS: usize = 120;
/// Bytes that a message carries at most.
pub const MAX_BYTES: usize = MAX_WORDS * 8;

/// The words of a message outside the four registers, decoded in place.
pub type Words = [u64; MAX_WORDS];

/// Packs bytes, little-endian, into words; gives the number of words used.
/// Fails with [`Error::Malformed`] when they do not fit.
pub fn put_bytes(words: &mut [u64], bytes: &[u8]) -> Result<usize> {
    let count = bytes.len().div_ceil(8);
    if count > words.len() {
        return Err(Error::Malformed);
    }
    for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut buffer = [0; 8];
        buffer[..chunk.len()].copy_from_slice(chunk);
        *word = u64::from_le_bytes(buffer);
    }
    Ok(count)
}

/// Unpacks words into bytes; gives the part of `bytes` that was filled.
pub fn get_bytes<'a>(words: &[u64], bytes: &'a mut [u8; MAX_BYTES]) -> &'a [u8] {
    let words = &words[..words.len().min(MAX_WORDS)];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    &bytes[..words.len() * 8]
}

/// Encodes a structure into words; gives the number of words used.
/// Fails with [`Error::Malformed`] when it is too long for a message.
pub fn encode<T: Serialize>(value: &T, words: &mut [u64]) -> Result<usize> {
    let mut bytes = [0; MAX_BYTES];
    let used = postcard::to_slice(value, &mut bytes)
        .map_err(|_| Error::Malformed)?
        .len();
    put_bytes(words, &bytes[..used])
}

/// Decodes a structure from words; trailing padding of the last word is ignored.
/// Total: anything that is no `T` is [`Error::Malformed`].
pub fn decode<T: DeserializeOwned>(words: &[u64]) -> Result<T> {
    let mut bytes = [0; MAX_BYTES];
    let (value, rest) =
        postcard::take_from_bytes(get_bytes(words, &mut bytes)).map_err(|_| Error::Malformed)?;
    if rest.len() >= 8 {
        Err(Error::Malformed)
    } else {
        Ok(value)
    }
}

/// Reads bit fields from a word, low bits first. What is left over must be zero.
#[derive(Clone, Copy)]
pub struct Fields(u64);

impl Fields {
    /// Starts at bit 0 of `word`.
    pub const fn new(word: u64) -> Self {
        Self(word)
    }

    /// The next `bits` bits (1 to 63).
    pub const fn take(&mut self, bits: u32) -> u64 {
        let value = self.0 & ((1 << bits) - 1);
        self.0 >>= bits;
        value
    }

    /// Fails unless all bits that were not taken are zero.
    pub const fn end(self) -> Result<()> {
        if self.0 == 0 {
            Ok(())
        } else {
            Err(Error::Malformed)
        }
    }
}

/// Builds a word from bit fields, low bits first.
#[derive(Clone, Copy, Default)]
pub struct Packer {
    word: u64,
    used: u32,
}

impl Packer {
    /// An empty word.
    pub const fn new() -> Self {
        Self { word: 0, used: 0 }
    }

    /// Adds `value` in the next `bits` bits; larger values are cut (callers check their ranges).
    pub const fn put(self, value: u64, bits: u32) -> Self {
        Self {
            word: self.word | (value & ((1 << bits) - 1)) << self.used,
            used: self.used + bits,
        }
    }

    /// The word.
    pub const fn word(self) -> u64 {
        self.word
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_survive_the_words(bytes in proptest::collection::vec(any::<u8>(), 0..=MAX_BYTES)) {
            let mut words = [0; MAX_WORDS];
            let used = put_bytes(&mut words, &bytes).unwrap();
            let mut buffer = [0; MAX_BYTES];
            let back = get_bytes(&words[..used], &mut buffer);
            prop_assert_eq!(&back[..bytes.len()], &bytes[..]);
            prop_assert!(back[bytes.len()..].iter().all(|b| *b == 0));
        }

        #[test]
        fn fields_come_back_in_order(a in 0u64..1 << 12, b in 0u64..1 << 28, c in 0u64..2) {
            let word = Packer::new().put(a, 12).put(b, 28).put(c, 1).word();
            let mut fields = Fields::new(word);
            prop_assert_eq!((fields.take(12), fields.take(28), fields.take(1)), (a, b, c));
            prop_assert_eq!(fields.end(), Ok(()));
        }
    }

    #[test]
    fn a_structure_that_is_too_long_is_refused() {
        assert_eq!(put_bytes(&mut [0; 1], &[0; 9]), Err(Error::Malformed));
    }
}
