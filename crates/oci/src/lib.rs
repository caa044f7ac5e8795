// SPDX-License-Identifier: BSD-2-Clause
//! Reads OCI containers on the host: runtime bundles (`config.json` and a root
//! file system) and images (layouts as folder or archive).
//!
//! What comes out is what the guest runs, and no more: the compact description
//! of `xos-container`, and the root file system as one archive.
//!
//! Two rules hold for all of it:
//!
//! * **Nothing is silently ignored that would weaken isolation.** Each property of
//!   a `config.json` is in a [table](verdict::TABLE): honoured, harmless to leave
//!   out (and why), or refused. What is refused is named, all of it at once, before
//!   anything starts.
//! * **Whatever the input, nothing happens outside the result.** Layers are never
//!   unpacked into folders of the host: they build a tree in memory, in which there
//!   is no way out of the root to begin with. Names, links, whiteouts, sizes and
//!   digests are checked as they come in, and [`Limits`] hold for all that grows.
//!
//! | module | its job |
//! | --- | --- |
//! | [`bundle`] | a bundle: `config.json` and a folder |
//! | [`config`], [`mounts`], [`verdict`] | what a `config.json` asks, and whether it is done |
//! | [`image`], [`layout`], [`platform`] | an image: where its parts are, which one is meant, what it says |
//! | [`layer`], [`folder`] | what fills a root file system |
//! | [`root`], [`archive`] | the root file system: as a tree, as an archive |
//! | [`passwd`] | names of users |

pub mod archive;
pub mod bundle;
pub mod config;
mod describe;
mod error;
pub mod folder;
pub mod image;
pub mod layer;
pub mod layout;
pub mod mounts;
pub mod passwd;
pub mod platform;
pub mod root;
pub mod verdict;

pub use error::{Error, Result};

use std::path::Path;
use xos_container::Digest;

/// How much an input may grow to. What is beyond is refused, not cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a JSON document.
    pub json: u64,
    /// Bytes of a layer as it is stored.
    pub blob: u64,
    /// Bytes of all layers, unpacked.
    pub unpacked: u64,
    /// Files, folders and links in all layers, and of the root file system at any time.
    pub entries: usize,
    /// Layers of an image.
    pub layers: usize,
    /// Manifests in all indexes of a layout.
    pub manifests: usize,
    /// Indexes within indexes.
    pub index_depth: usize,
}

impl Default for Limits {
    /// Far above what a guest has room for, far below what a host does not notice.
    fn default() -> Self {
        Self {
            json: 4 << 20,
            blob: 1 << 30,
            unpacked: 1 << 30,
            entries: 200_000,
            layers: 127,
            manifests: 1024,
            index_depth: 4,
        }
    }
}

/// A container, as the guest gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The encoded description.
    pub description: Vec<u8>,
    /// The root file system: a tar archive (see [`archive`]).
    pub archive: Vec<u8>,
    /// SHA-256 of the archive.
    pub digest: Digest,
    /// What was asked for, and left out as harmless: a line each.
    pub notes: Vec<String>,
}

/// What a path of the host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A runtime bundle: a folder with a `config.json`.
    Bundle,
    /// An image layout: a folder with an `oci-layout`, or a file.
    Image,
}

impl Kind {
    /// What this path is, if it is a container at all. Files are taken for images only where a container
    /// is expected: an archive can be anything.
    #[must_use]
    pub fn of_folder(path: &Path) -> Option<Self> {
        if path.join("config.json").is_file() && !path.join("oci-layout").exists() {
            Some(Self::Bundle)
        } else if path.join("oci-layout").is_file() {
            Some(Self::Image)
        } else {
            None
        }
    }
}

/// Reads a bundle or an image. An image's path may be followed by `:` and the name of one of several
/// images in it.
///
/// # Errors
/// What is wrong with it.
pub fn pack(path: &str, limits: &Limits) -> Result<Packed> {
    let (path, reference) = split_reference(path);
    match (Kind::of_folder(path), reference) {
        (Some(Kind::Bundle), None) => bundle::pack(path, limits),
        (Some(Kind::Bundle), Some(_)) => Err(Error::NoContainer(path.to_owned())),
        (Some(Kind::Image), _) => image::pack(path, reference, limits),
        (None, _) if path.is_file() => image::pack(path, reference, limits),
        (None, _) => Err(Error::NoContainer(path.to_owned())),
    }
}

/// `PATH:REFERENCE`, unless there is a file of the whole name.
fn split_reference(text: &str) -> (&Path, Option<&str>) {
    let whole = Path::new(text);
    if whole.exists() {
        return (whole, None);
    }
    // References may have colons of their own: the first that gives a path that exists counts.
    text.match_indices(':')
        .map(|(at, _)| (Path::new(&text[..at]), Some(&text[at + 1..])))
        .find(|(path, _)| path.exists())
        .unwrap_or((whole, None))
}
