// SPDX-License-Identifier: BSD-2-Clause
//! What can be mounted in a container.

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

/// A file system over a folder of the container, or over a file. Its strings are of type `S`: those of a description,
/// or the reader's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mount<S> {
    /// Where; made when it is not there.
    pub target: S,
    /// What.
    pub kind: MountKind<S>,
    /// What may not be done there.
    pub flags: MountFlags,
}

/// Kinds of file systems.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MountKind<S> {
    /// The container's processes as files.
    Proc,
    /// Files in memory, empty at first, paid by the container.
    Tmpfs {
        /// Bytes that its files may have in all; nothing: half of the container's memory, as in Linux.
        size: Option<u64>,
        /// Files that it may have; nothing: as many as its memory has room for.
        inodes: Option<u64>,
        /// Mode of its root.
        mode: u16,
        /// Owner of its root.
        uid: u32,
        /// Group of its root.
        gid: u32,
        /// Whether it has the devices that every container has: `null`, `zero`, `full`, `random`,
        /// `urandom`, `tty`, `console`, `ptmx`, the links `fd`, `stdin`, `stdout`, `stderr`.
        devices: bool,
    },
    /// Pseudo-terminals of the container's own.
    Devpts {
        /// Mode of new terminals.
        mode: u16,
        /// Group of new terminals; nothing: of the process that makes them.
        gid: Option<u32>,
    },
    /// An empty folder that nobody can write, where a program may expect a file system that this ABI does
    /// not have (`sysfs`, `cgroup`, `mqueue`).
    Empty,
    /// A region that whoever creates the container grants it under this name, as a file.
    Region(S),
}

impl<S: AsRef<str>> Mount<S> {
    /// The same, with strings of this one's.
    pub fn borrowed(&self) -> Mount<&str> {
        let kind = match &self.kind {
            MountKind::Proc => MountKind::Proc,
            &MountKind::Tmpfs {
                size,
                inodes,
                mode,
                uid,
                gid,
                devices,
            } => MountKind::Tmpfs {
                size,
                inodes,
                mode,
                uid,
                gid,
                devices,
            },
            &MountKind::Devpts { mode, gid } => MountKind::Devpts { mode, gid },
            MountKind::Empty => MountKind::Empty,
            MountKind::Region(name) => MountKind::Region(name.as_ref()),
        };
        Mount {
            target: self.target.as_ref(),
            kind,
            flags: self.flags,
        }
    }
}

bitflags! {
    /// What may not be done in a mount.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
    #[serde(transparent)]
    pub struct MountFlags: u8 {
        /// Nothing can be changed.
        const READ_ONLY = 1 << 0;
        /// Set-user-id bits have no effect.
        const NO_SUID = 1 << 1;
        /// Device nodes cannot be opened.
        const NO_DEV = 1 << 2;
        /// Programs cannot be executed.
        const NO_EXEC = 1 << 3;
    }
}
