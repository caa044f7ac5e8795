// SPDX-License-Identifier: BSD-2-Clause
//! Image layouts: where the parts of images are.
//!
//! A layout is a folder or a tar archive of one, as `skopeo copy oci:`, `buildah push oci-archive:`,
//! `umoci` and `docker save` make it (image specification, "Image Layout"). Archives of the older form
//! (`docker save` before version 25, `skopeo copy docker-archive:`) have no digests of their parts but for
//! those of the unpacked layers; they are read, too.
//!
//! Parts are found by the digest that names them, and what is found is compared with it. A path that a
//! document names is looked up in the layout alone.

use crate::{Error, Limits, Result};
use oci_spec::image::{Descriptor, Digest, DigestAlgorithm, OciLayout};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The only version of layouts that there is.
const VERSION: &str = "1.0.0";

/// A layout.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    store: Store,
    limits: Limits,
}

#[derive(Debug)]
enum Store {
    Folder,
    Archive {
        file: RefCell<File>,
        parts: BTreeMap<String, Part>,
    },
}

#[derive(Debug, Clone)]
enum Part {
    File {
        at: u64,
        size: u64,
    },
    /// Of older archives, which name a layer that two images share twice.
    Link(String),
}

impl Layout {
    /// Opens the layout at a path.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self> {
        let store = if path.is_dir() {
            Store::Folder
        } else {
            let read = |error| Error::Read {
                path: path.to_owned(),
                error,
            };
            let file = File::open(path).map_err(read)?;
            let parts = parts(path, &file, limits)?;
            Store::Archive {
                file: RefCell::new(file),
                parts,
            }
        };
        Ok(Self {
            path: path.to_owned(),
            store,
            limits: *limits,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a file of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match &self.store {
            Store::Folder => self.path.join(name).is_file(),
            Store::Archive { parts, .. } => parts.contains_key(name),
        }
    }

    /// Whether it says that it is a layout of the image specification, and of a version that is known.
    ///
    /// # Errors
    /// When the version is not.
    pub fn is_oci(&self) -> Result<bool> {
        if !self.has("oci-layout") {
            return Ok(false);
        }
        let layout: OciLayout = self.json("oci-layout")?;
        if layout.image_layout_version() == VERSION {
            Ok(true)
        } else {
            Err(Error::Json {
                what: "oci-layout".into(),
                why: format!("its imageLayoutVersion is not {VERSION}"),
            })
        }
    }

    /// A file by its name, of at most so many bytes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn file(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let too_large = || Error::TooLarge {
            what: format!("{name} of {}", self.path.display()),
            limit,
            unit: "bytes",
        };
        let missing = || Error::Layout(format!("{} has no {name}", self.path.display()));
        let mut bytes = Vec::new();
        match &self.store {
            Store::Folder => {
                let path = self.path.join(name);
                // What is no file may never end, or never begin.
                if !path.is_file() {
                    return Err(missing());
                }
                File::open(&path)
                    .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
                    .map_err(|error| Error::Read { path, error })?;
            }
            Store::Archive { file, parts } => {
                let part = match parts.get(name) {
                    Some(Part::Link(target)) => parts.get(target),
                    part => part,
                };
                let Some(Part::File { at, size }) = part else {
                    return Err(missing());
                };
                if *size > limit {
                    return Err(too_large());
                }
                let mut file = file.borrow_mut();
                file.seek(SeekFrom::Start(*at))
                    .and_then(|_| file.by_ref().take(*size).read_to_end(&mut bytes))
                    .map_err(|error| Error::Read {
                        path: self.path.clone(),
                        error,
                    })?;
            }
        }
        if bytes.len() as u64 > limit {
            return Err(too_large());
        }
        Ok(bytes)
    }

    /// A JSON document by its name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let bytes = self.file(name, self.limits.json)?;
        parse(name, &bytes)
    }

    /// What a descriptor describes, as it is stored, compared with it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        let digest = descriptor.digest();
        let size = descriptor.size();
        if size > limit {
            return Err(Error::TooLarge {
                what: format!("blob {digest}"),
                limit,
                unit: "bytes",
            });
        }
        let name = format!("blobs/{}/{}", digest.algorithm(), digest.digest());
        let bytes = self.file(&name, limit)?;
        let damaged = |why| Error::Blob {
            blob: format!("blob {digest}"),
            why,
        };
        if bytes.len() as u64 != size {
            return Err(damaged(format!(
                "it has {} bytes instead of {size}",
                bytes.len()
            )));
        }
        verify(digest, &bytes).map_err(damaged)?;
        Ok(bytes)
    }

    /// A JSON document that a descriptor describes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn document<T: DeserializeOwned>(&self, descriptor: &Descriptor) -> Result<T> {
        let bytes = self.blob(descriptor, self.limits.json)?;
        parse(&format!("blob {}", descriptor.digest()), &bytes)
    }
}

/// Reads a JSON document.
pub(crate) fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::Json {
        what: what.to_owned(),
        why: error.to_string(),
    })
}

/// Compares bytes with their digest.
pub(crate) fn verify(digest: &Digest, bytes: &[u8]) -> std::result::Result<(), String> {
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let found = match digest.algorithm() {
        DigestAlgorithm::Sha256 => hex(&Sha256::digest(bytes)),
        DigestAlgorithm::Sha384 => hex(&Sha384::digest(bytes)),
        DigestAlgorithm::Sha512 => hex(&Sha512::digest(bytes)),
        other => {
            return Err(format!(
                "its digest is of a kind that is not known: {other}"
            ));
        }
    };
    if found == digest.digest() {
        Ok(())
    } else {
        Err(format!("its digest is {}:{found}", digest.algorithm()))
    }
}

/// The files of an archive.
fn parts(path: &Path, file: &File, limits: &Limits) -> Result<BTreeMap<String, Part>> {
    let broken = |error: io::Error| Error::Layer {
        layer: path.display().to_string(),
        error,
    };
    let mut parts = BTreeMap::new();
    let mut archive = tar::Archive::new(file);
    let entries = archive.entries_with_seek().map_err(broken)?;
    for (number, entry) in entries.enumerate() {
        let entry = entry.map_err(broken)?;
        if number >= limits.entries {
            return Err(Error::TooLarge {
                what: path.display().to_string(),
                limit: limits.entries as u64,
                unit: "files",
            });
        }
        let bytes = entry.path_bytes();
        let Ok(name) = std::str::from_utf8(&bytes) else {
            continue;
        };
        let name = name.trim_start_matches("./").to_owned();
        let part = match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous => Part::File {
                at: entry.raw_file_position(),
                size: entry.size(),
            },
            tar::EntryType::Symlink | tar::EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                match String::from_utf8(target) {
                    // Older archives say `../ID/layer.tar`, from a folder of the archive's root.
                    Ok(target) => Part::Link(target.trim_start_matches("../").to_owned()),
                    Err(_) => continue,
                }
            }
            _ => continue,
        };
        if parts.insert(name.clone(), part).is_some() {
            return Err(Error::Entry {
                layer: path.display().to_string(),
                entry: name,
                why: "it is there twice",
            });
        }
    }
    Ok(parts)
}
