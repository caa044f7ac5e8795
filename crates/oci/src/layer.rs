// SPDX-License-Identifier: BSD-2-Clause
//! Layers of images: tar archives of changes, applied in order.
//!
//! A layer adds and replaces; a file `.wh.NAME` says that `NAME` of the layers below is gone, and
//! `.wh..wh..opq` that all of them in its folder are (image specification, "Whiteouts"). Both are about
//! lower layers only, wherever in the archive they stand.

use crate::root::{Attributes, Content, Path, RootFs, TreeError};
use crate::{Error, Limits, Result};
use std::collections::BTreeMap;
use std::io::{self, Read};
use tar::{Archive, Entry, EntryType};

/// What the names of whiteouts begin with.
const WHITEOUT: &[u8] = b".wh.";
/// What the names of aufs's own files begin with; one of them is the opaque whiteout.
const META: &[u8] = b".wh..wh.";
/// The opaque whiteout.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Character devices that every container has in `/dev`: their numbers, and their names.
pub const DEFAULT_DEVICES: &[(u32, u32, &str)] = &[
    (1, 3, "null"),
    (1, 5, "zero"),
    (1, 7, "full"),
    (1, 8, "random"),
    (1, 9, "urandom"),
    (5, 0, "tty"),
    (5, 1, "console"),
    (5, 2, "ptmx"),
];

/// What was left out, and how often: for a note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut(BTreeMap<&'static str, usize>);

impl LeftOut {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// A line each.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        self.0
            .iter()
            .map(|(what, count)| format!("{count} times left out: {what}"))
    }
}

pub(crate) const DEVICES: &str = "device nodes in /dev, which every container has";
pub(crate) const XATTRS: &str = "extended attributes of files, which give no rights here";
pub(crate) const SOCKETS: &str = "sockets, which nobody listens to";

/// Whether a device node may be left out because every container has that device anyway.
pub(crate) fn is_default_device(path: &Path, major: u32, minor: u32) -> bool {
    path.is_in("dev")
        && DEFAULT_DEVICES
            .iter()
            .any(|(a, b, _)| (*a, *b) == (major, minor))
}

/// Applies a layer. `budget` is how many bytes the archive may have, and how many its files may take;
/// what it took is subtracted.
///
/// # Errors
/// What is wrong with the layer.
pub fn apply(
    root: &mut RootFs,
    name: &str,
    archive: impl Read,
    budget: &mut u64,
    limits: &Limits,
    left_out: &mut LeftOut,
) -> Result<()> {
    root.next_layer();
    let broken = |error: io::Error| match error.get_ref() {
        Some(inner) if inner.is::<OverBudget>() => too_large(name, limits),
        _ => Error::Layer {
            layer: name.to_owned(),
            error,
        },
    };
    let mut counted = Counted {
        inner: archive,
        left: *budget,
    };
    {
        let mut archive = Archive::new(&mut counted);
        for (number, entry) in archive.entries().map_err(broken)?.enumerate() {
            if number >= limits.entries {
                return Err(Error::TooLarge {
                    what: name.to_owned(),
                    limit: limits.entries as u64,
                    unit: "files",
                });
            }
            let mut entry = entry.map_err(broken)?;
            // A sparse file is larger than the archive that it is in.
            if entry.size() > *budget {
                return Err(too_large(name, limits));
            }
            let path = entry.path_bytes().into_owned();
            match apply_entry(root, &mut entry, left_out) {
                Ok(bytes) => *budget -= bytes.min(*budget),
                Err(Trouble::Io(error)) => return Err(broken(error)),
                Err(Trouble::Rule(why)) => {
                    return Err(Error::Entry {
                        layer: name.to_owned(),
                        entry: path.escape_ascii().to_string(),
                        why,
                    });
                }
                Err(Trouble::Tree(error)) => {
                    return Err(Error::Entry {
                        layer: name.to_owned(),
                        entry: path.escape_ascii().to_string(),
                        why: error.text(),
                    });
                }
            }
        }
    }
    // What follows the end of the archive counts for the digest.
    io::copy(&mut counted, &mut io::sink()).map_err(broken)?;
    *budget = (*budget).min(counted.left);
    Ok(())
}

fn too_large(name: &str, limits: &Limits) -> Error {
    Error::TooLarge {
        what: format!("{name}, unpacked,"),
        limit: limits.unpacked,
        unit: "bytes",
    }
}

enum Trouble {
    Io(io::Error),
    Rule(&'static str),
    Tree(TreeError),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<TreeError> for Trouble {
    fn from(error: TreeError) -> Self {
        Self::Tree(error)
    }
}

/// Applies one entry; gives the bytes that its content takes.
fn apply_entry(
    root: &mut RootFs,
    entry: &mut Entry<'_, impl Read>,
    left_out: &mut LeftOut,
) -> std::result::Result<u64, Trouble> {
    let path = Path::parse(&entry.path_bytes())?;
    let kind = entry.header().entry_type();
    if kind == EntryType::XGlobalHeader {
        // What archivers say about themselves.
        return Ok(0);
    }
    if let Some(hidden) = path.name().and_then(|name| name.strip_prefix(WHITEOUT)) {
        match path.name() {
            Some(OPAQUE) => root.white_out_all(&path.folder())?,
            // Other files of aufs's own mean nothing elsewhere.
            Some(name) if name.starts_with(META) => {}
            _ if matches!(hidden, b"" | b"." | b"..") => {
                return Err(Trouble::Rule("a whiteout that names nothing"));
            }
            _ => root.white_out(&path.folder(), hidden)?,
        }
        return Ok(0);
    }
    let (attributes, has_xattrs) = attributes(entry)?;
    if has_xattrs {
        left_out.count(XATTRS);
    }
    let mut bytes = 0;
    let content = match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let mut data = Vec::new();
            entry.read_to_end(&mut data)?;
            bytes = data.len() as u64;
            Content::File(data)
        }
        EntryType::Directory => Content::Folder(BTreeMap::new()),
        EntryType::Symlink => Content::Symlink(target(entry)?),
        EntryType::Link => {
            root.put_link(&path, &Path::parse(&target(entry)?)?)?;
            return Ok(0);
        }
        EntryType::Fifo => Content::Fifo,
        EntryType::Char | EntryType::Block => {
            let number = |number: io::Result<Option<u32>>| Ok::<_, io::Error>(number?.unwrap_or(0));
            let major = number(entry.header().device_major())?;
            let minor = number(entry.header().device_minor())?;
            if kind == EntryType::Char && is_default_device(&path, major, minor) {
                left_out.count(DEVICES);
                return Ok(0);
            }
            return Err(Trouble::Rule(
                "device nodes are refused: a container has the default devices alone",
            ));
        }
        _ => return Err(Trouble::Rule("entries of this type are refused")),
    };
    root.put(&path, attributes, content)?;
    Ok(bytes)
}

fn target(entry: &Entry<'_, impl Read>) -> std::result::Result<Vec<u8>, Trouble> {
    let target = entry.link_name_bytes().unwrap_or_default().into_owned();
    if target.is_empty() || target.contains(&0) || target.len() >= crate::root::MAX_PATH {
        return Err(Trouble::Rule("a link that leads nowhere"));
    }
    Ok(target)
}

/// Attributes, and whether there are others that are left out.
fn attributes(
    entry: &mut Entry<'_, impl Read>,
) -> std::result::Result<(Attributes, bool), Trouble> {
    let mut has_xattrs = false;
    if let Some(records) = entry.pax_extensions()? {
        for record in records {
            let key = record?.key_bytes().to_vec();
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                // With one, the group's bits of the mode are not what the group may do.
                if name.starts_with(b"system.posix_acl") {
                    return Err(Trouble::Rule("access control lists are refused"));
                }
                has_xattrs = true;
            }
        }
    }
    let header = entry.header();
    let id =
        |id: u64| u32::try_from(id).map_err(|_| Trouble::Rule("an owner has no 32-bit number"));
    let attributes = Attributes {
        mode: header.mode()? & 0o7777,
        uid: id(header.uid()?)?,
        gid: id(header.gid()?)?,
        mtime: header.mtime()?,
    };
    Ok((attributes, has_xattrs))
}

/// An archive that may not be longer than it may.
struct Counted<R> {
    inner: R,
    left: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the archive is larger than it may be")]
struct OverBudget;

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other(OverBudget)),
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
