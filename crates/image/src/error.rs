// SPDX-License-Identifier: BSD-2-Clause
//! What can be wrong with an image.

use core::fmt;

/// Why a payload was not accepted, by the encoder or by the decoder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Shorter than its header.
    #[error("the payload has {actual} bytes, less than its header; pack the system again")]
    Truncated {
        /// Bytes found.
        actual: usize,
    },
    /// Not a payload at all.
    #[error("the payload does not begin with its magic number; is the address right?")]
    Magic,
    /// Packed by another version of the host tool.
    #[error(
        "the payload has format version {found}, this program reads {}; pack the system again with the matching host tool",
        crate::VERSION
    )]
    Version {
        /// Version found.
        found: u32,
    },
    /// The lengths in the header contradict each other or the payload.
    #[error(
        "the payload's header states {total} bytes with {description} of description, but there are {actual}; pack the system again"
    )]
    Length {
        /// Stated length of the payload.
        total: u64,
        /// Stated length of the description.
        description: u32,
        /// Bytes found.
        actual: usize,
    },
    /// The description was changed after it was packed.
    #[error(
        "the checksum of the description is {actual:#010x}, not {stated:#010x}; the payload is damaged"
    )]
    Checksum {
        /// What the header says.
        stated: u32,
        /// What the description has.
        actual: u32,
    },
    /// The description is not what postcard makes of a [`SystemImage`](crate::SystemImage).
    #[error("the description cannot be decoded: {0}")]
    Encoding(postcard::Error),
    /// The description goes on after its end.
    #[error("{0} bytes follow the description")]
    Trailing(usize),
    /// The image has become larger than its format can say.
    #[error("the image is too large for its format (4 GiB of description, 16 TiB of contents)")]
    TooLarge,
    /// A well-formed description of something that cannot be built.
    #[error("{item} {index}: {problem}")]
    Invalid {
        /// In which table.
        item: Item,
        /// At which index.
        index: usize,
        /// What is wrong.
        problem: Problem,
    },
}

/// The tables of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// [`SystemImage::domains`](crate::SystemImage::domains)
    Domain,
    /// [`SystemImage::regions`](crate::SystemImage::regions)
    Region,
    /// [`SystemImage::channels`](crate::SystemImage::channels)
    Channel,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Item::Domain => "domain",
            Item::Region => "region",
            Item::Channel => "channel",
        })
    }
}

/// What is wrong with an entry of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Problem {
    #[error("there are none, or more than the format allows")]
    Count,
    #[error("its name is empty, longer than 63 bytes, or contains a control character")]
    Name,
    #[error("its name occurs twice")]
    DuplicateName,
    #[error("its priority is above 254")]
    Priority,
    #[error("its stack is not in whole pages between 4 KiB and 16 MiB")]
    Stack,
    #[error("its parent does not stand before it")]
    Parent,
    #[error("its entry point is in no executable segment")]
    Entry,
    #[error("a segment or map is empty, misaligned, or outside of the space for programs")]
    Range,
    #[error("segments or maps overlap, or segments are not in ascending order")]
    Overlap,
    #[error("a map is both writable and executable")]
    WriteExecute,
    #[error("it names a region that does not exist")]
    NoSuchRegion,
    #[error("it names a domain that does not exist, or connects a domain to itself")]
    NoSuchDomain,
    #[error("a channel, interrupt, child or I/O port identifier is too large")]
    IdRange,
    #[error("a channel, interrupt, child or I/O port identifier occurs twice")]
    DuplicateId,
    #[error("an interrupt's vector or PCI address is out of range, or its vector occurs twice")]
    Irq,
    #[error("an I/O port range ends before it begins or overlaps another")]
    IoPorts,
    #[error("its page size is not 4 KiB or 2 MiB")]
    PageSize,
    #[error("its size is not a positive multiple of its page size")]
    Size,
    #[error("its physical address is misaligned, out of range, or overlaps another region's")]
    Physical,
    #[error("its contents are empty, larger than its memory, or outside of the payload")]
    Blob,
    #[error("the payload is not zero between the end of its contents and the next page")]
    Padding,
}
