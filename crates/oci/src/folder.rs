// SPDX-License-Identifier: BSD-2-Clause
//! A root file system that lies unpacked in a folder of the host, as a bundle's does.
//!
//! Symbolic links are read, never followed: they lead to places in the container.

use crate::layer::{DEVICES, LeftOut, SOCKETS, is_default_device};
use crate::root::{Attributes, Content, MAX_DEPTH, NodeId, Path, RootFs};
use crate::{Error, Limits, Result};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path as HostPath;

/// Reads a folder. Where whoever runs this is not the administrator, files of his own are the container's
/// root's: he could not have unpacked them otherwise.
///
/// # Errors
/// What cannot be read, or cannot be in a container.
pub fn read(host: &HostPath, limits: &Limits, left_out: &mut LeftOut) -> Result<RootFs> {
    let io = |error| Error::Read {
        path: host.to_owned(),
        error,
    };
    // A file of this process's own says who it is.
    let me = fs::metadata("/proc/self").map_err(io)?;
    let mut reader = Reader {
        root: RootFs::new(limits.entries),
        base: host,
        limits,
        left: limits.unpacked,
        linked: HashMap::new(),
        me: (me.uid(), me.gid()),
        left_out,
    };
    let metadata = fs::metadata(host).map_err(io)?;
    let attributes = reader.attributes(&metadata);
    reader.root.set_root(attributes);
    reader.folder(host, 0)?;
    Ok(reader.root)
}

struct Reader<'a> {
    root: RootFs,
    base: &'a HostPath,
    limits: &'a Limits,
    left: u64,
    /// Files with several names that were seen: their place on the host, and one of their names.
    linked: HashMap<(u64, u64), Path>,
    me: (u32, u32),
    left_out: &'a mut LeftOut,
}

impl Reader<'_> {
    fn attributes(&self, metadata: &Metadata) -> Attributes {
        let (uid, gid) = self.me;
        let own = |id, mine| if uid != 0 && id == mine { 0 } else { id };
        Attributes {
            mode: metadata.mode() & 0o7777,
            uid: own(metadata.uid(), uid),
            gid: own(metadata.gid(), gid),
            mtime: u64::try_from(metadata.mtime()).unwrap_or(0),
        }
    }

    fn folder(&mut self, host: &HostPath, depth: usize) -> Result<()> {
        let io = |error| Error::Read {
            path: host.to_owned(),
            error,
        };
        if depth > MAX_DEPTH {
            return Err(self.refuse(host, "folders are nested more than 128 deep"));
        }
        for entry in fs::read_dir(host).map_err(io)? {
            self.entry(&entry.map_err(io)?.path(), depth)?;
        }
        Ok(())
    }

    fn refuse(&self, host: &HostPath, why: &'static str) -> Error {
        Error::Entry {
            layer: self.base.display().to_string(),
            entry: host.display().to_string(),
            why,
        }
    }

    fn put(
        &mut self,
        host: &HostPath,
        path: &Path,
        attributes: Attributes,
        content: Content,
    ) -> Result<NodeId> {
        self.root
            .put(path, attributes, content)
            .map_err(|error| self.refuse(host, error.text()))
    }

    fn entry(&mut self, host: &HostPath, depth: usize) -> Result<()> {
        let io = |error| Error::Read {
            path: host.to_owned(),
            error,
        };
        let relative = host.strip_prefix(self.base).unwrap_or(host);
        let path = Path::parse(relative.as_os_str().as_bytes())
            .map_err(|error| self.refuse(host, error.text()))?;
        let metadata = fs::symlink_metadata(host).map_err(io)?;
        let kind = metadata.file_type();
        let attributes = self.attributes(&metadata);

        if metadata.nlink() > 1 && !kind.is_dir() {
            let place = (metadata.dev(), metadata.ino());
            if let Some(first) = self.linked.get(&place) {
                return self
                    .root
                    .put_link(&path, &first.clone())
                    .map_err(|error| self.refuse(host, error.text()));
            }
            if !kind.is_char_device() && !kind.is_socket() {
                self.linked.insert(place, path.clone());
            }
        }
        let content = if kind.is_dir() {
            Content::Folder(BTreeMap::new())
        } else if kind.is_file() {
            let mut data = Vec::new();
            let file = fs::File::open(host).map_err(io)?;
            file.take(self.left + 1)
                .read_to_end(&mut data)
                .map_err(io)?;
            self.left =
                self.left
                    .checked_sub(data.len() as u64)
                    .ok_or_else(|| Error::TooLarge {
                        what: self.base.display().to_string(),
                        limit: self.limits.unpacked,
                        unit: "bytes",
                    })?;
            Content::File(data)
        } else if kind.is_symlink() {
            Content::Symlink(
                fs::read_link(host)
                    .map_err(io)?
                    .into_os_string()
                    .into_encoded_bytes(),
            )
        } else if kind.is_fifo() {
            Content::Fifo
        } else if kind.is_socket() {
            self.left_out.count(SOCKETS);
            return Ok(());
        } else {
            let (major, minor) = device_numbers(metadata.rdev());
            if kind.is_char_device() && is_default_device(&path, major, minor) {
                self.left_out.count(DEVICES);
                return Ok(());
            }
            return Err(self.refuse(
                host,
                "device nodes are refused: a container has the default devices alone",
            ));
        };
        let is_folder = kind.is_dir();
        self.put(host, &path, attributes, content)?;
        if is_folder {
            self.folder(host, depth + 1)?;
        }
        Ok(())
    }
}

/// Major and minor number of a device (Linux's `dev_t`).
fn device_numbers(device: u64) -> (u32, u32) {
    let major = (device >> 8 & 0xfff) | (device >> 32 & !0xfff);
    let minor = (device & 0xff) | (device >> 12 & !0xff);
    (major as u32, minor as u32)
}
