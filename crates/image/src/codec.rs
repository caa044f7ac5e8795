// SPDX-License-Identifier: BSD-2-Clause
//! Header, description and blobs to bytes and back.

use alloc::{collections::BTreeMap, vec::Vec};

use crate::{Blob, ImageError, PAGE_SIZE, SystemImage, check};

/// First bytes of a payload.
pub const MAGIC: [u8; 8] = *b"xOSimage";
/// Version of the format. Any change of the types of this crate needs another one.
pub const VERSION: u32 = 1;
/// Bytes before the description: magic (8), version (4), length of the description (4), length of
/// the payload (8), CRC-32 (IEEE) of the description (4), zero (4); all little endian.
pub const HEADER_LEN: usize = 32;

/// A payload that has been checked.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    system: SystemImage,
    blobs: &'a [u8],
    blobs_offset: usize,
}

/// Checks a payload and decodes its description.
///
/// `payload` is the payload and nothing else; its own address does not matter here, but blobs are
/// on pages only if the payload is. Allocates in proportion to the length of the description.
///
/// # Errors
/// [`ImageError`] for anything that [`ImageBuilder::finish`] does not produce.
pub fn decode(payload: &[u8]) -> Result<Image<'_>, ImageError> {
    let truncated = ImageError::Truncated {
        actual: payload.len(),
    };
    let (header, rest) = payload.split_first_chunk::<HEADER_LEN>().ok_or(truncated)?;
    let u32_at = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    if !header.starts_with(&MAGIC) {
        return Err(ImageError::Magic);
    }
    if u32_at(8) != VERSION {
        return Err(ImageError::Version { found: u32_at(8) });
    }
    let description_len = u32_at(12);
    let total = u64::from(u32_at(16)) | u64::from(u32_at(20)) << 32;
    let stated = u32_at(24);

    let wrong_length = ImageError::Length {
        total,
        description: description_len,
        actual: payload.len(),
    };
    let blobs_offset = (HEADER_LEN + description_len as usize).next_multiple_of(PAGE_SIZE as usize);
    if total != payload.len() as u64 || !total.is_multiple_of(PAGE_SIZE) || u32_at(28) != 0 {
        return Err(wrong_length);
    }
    let description = rest
        .get(..description_len as usize)
        .ok_or(wrong_length.clone())?;
    let blobs = payload.get(blobs_offset..).ok_or(wrong_length)?;

    let actual = crc32fast::hash(description);
    if actual != stated {
        return Err(ImageError::Checksum { stated, actual });
    }
    let (system, trailing) =
        postcard::take_from_bytes(description).map_err(ImageError::Encoding)?;
    if !trailing.is_empty() {
        return Err(ImageError::Trailing(trailing.len()));
    }
    check::system(&system, blobs)?;
    Ok(Image {
        system,
        blobs,
        blobs_offset,
    })
}

impl<'a> Image<'a> {
    /// What the payload describes.
    pub fn system(&self) -> &SystemImage {
        &self.system
    }

    /// The bytes of a blob of this image's [`system`](Self::system).
    ///
    /// # Panics
    /// If `blob` is not from there.
    pub fn blob(&self, blob: Blob) -> &'a [u8] {
        find(self.blobs, blob).expect("a blob of this image").0
    }

    /// Where a blob begins, in bytes from the beginning of the payload: a multiple of
    /// [`PAGE_SIZE`]. Its [`Blob::pages`] pages belong to it alone, or to blobs that are equal to
    /// it, and are zero behind its end.
    pub fn blob_offset(&self, blob: Blob) -> usize {
        self.blobs_offset + blob.page as usize * PAGE_SIZE as usize
    }
}

/// A blob's bytes, and the rest of its last page.
pub(crate) fn find(blobs: &[u8], blob: Blob) -> Option<(&[u8], &[u8])> {
    let start = u64::from(blob.page) * PAGE_SIZE;
    let end = start
        .checked_add(blob.len)?
        .checked_next_multiple_of(PAGE_SIZE)?;
    blobs
        .get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)?
        .split_at_checked(blob.len as usize)
}

/// Collects blobs, then writes a payload.
#[derive(Clone, Debug, Default)]
pub struct ImageBuilder {
    blobs: Vec<u8>,
    // Equal contents (the text of a program that several domains run) are stored once.
    seen: BTreeMap<Vec<u8>, Blob>,
}

impl ImageBuilder {
    /// An image without contents.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes to the payload; none if `bytes` is empty.
    ///
    /// # Errors
    /// [`ImageError::TooLarge`].
    pub fn blob(&mut self, bytes: &[u8]) -> Result<Option<Blob>, ImageError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        if let Some(blob) = self.seen.get(bytes) {
            return Ok(Some(*blob));
        }
        let page =
            u32::try_from(self.blobs.len() as u64 / PAGE_SIZE).map_err(|_| ImageError::TooLarge)?;
        let blob = Blob {
            page,
            len: bytes.len() as u64,
        };
        self.blobs.extend_from_slice(bytes);
        self.blobs
            .resize(self.blobs.len().next_multiple_of(PAGE_SIZE as usize), 0);
        self.seen.insert(bytes.to_vec(), blob);
        Ok(Some(blob))
    }

    /// Checks the description against the blobs added so far and writes the payload, whose length
    /// is a multiple of [`PAGE_SIZE`].
    ///
    /// # Errors
    /// What [`decode`] would refuse.
    pub fn finish(self, system: &SystemImage) -> Result<Vec<u8>, ImageError> {
        check::system(system, &self.blobs)?;
        let description = postcard::to_allocvec(system).map_err(ImageError::Encoding)?;
        let description_len = u32::try_from(description.len()).map_err(|_| ImageError::TooLarge)?;
        let blobs_offset = (HEADER_LEN + description.len()).next_multiple_of(PAGE_SIZE as usize);
        let total = blobs_offset + self.blobs.len();

        let mut payload = Vec::with_capacity(total);
        payload.extend_from_slice(&MAGIC);
        payload.extend_from_slice(&VERSION.to_le_bytes());
        payload.extend_from_slice(&description_len.to_le_bytes());
        payload.extend_from_slice(&(total as u64).to_le_bytes());
        payload.extend_from_slice(&crc32fast::hash(&description).to_le_bytes());
        payload.resize(HEADER_LEN, 0);
        payload.extend_from_slice(&description);
        payload.resize(blobs_offset, 0);
        payload.extend_from_slice(&self.blobs);
        Ok(payload)
    }
}
