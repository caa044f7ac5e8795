// SPDX-License-Identifier: BSD-2-Clause
//! A new system: an empty root, then `/dev` and `/proc` in the tree that was loaded.

use alloc::boxed::Box;
use alloc::vec::Vec;

use linux_raw_sys::general::S_IFDIR;

use super::{Files, Limits, locks, with};
use crate::vfs::procfs::Procfs;
use crate::vfs::tmpfs::Tmpfs;
use crate::vfs::tree::Vfs;
use crate::vfs::{Call, Kind, New, Node, Rights, Time, device};
use crate::wait::Queues;
use crate::{Errno, Result};

impl Files {
    /// An empty root file system, and nothing open.
    pub fn new(limits: Limits, seed: [u8; 32], now: Time) -> Self {
        let mut vfs = Vfs::default();
        let root = Rights {
            mode: S_IFDIR | 0o755,
            uid: 0,
            gid: 0,
        };
        let root = Tmpfs::new("tmpfs", root, limits.frames, limits.files, now);
        vfs.mount(Box::new(root), None, "rootfs", "/");
        Self {
            vfs,
            descriptors: super::Descriptors::default(),
            queues: Queues::default(),
            terminals: crate::tty::Terminals::default(),
            requests: Vec::new(),
            random: Self::seeded(seed),
            pipes: crate::pipe::Pipes::new(limits.buffers),
            events: crate::event::Events::default(),
            sockets: crate::socket::Sockets::new(limits.buffers, limits.messages),
            epolls: crate::poll::Epolls::default(),
            locks: locks::Locks::default(),
            fifos: hashbrown::HashMap::new(),
            mapped: hashbrown::HashMap::new(),
            opening: hashbrown::HashMap::new(),
            limits,
            terminals_system: u32::MAX,
        }
    }

    /// The root directory of the root file system.
    pub fn root(&self) -> Node {
        self.vfs.root(0)
    }

    /// Mounts `/proc` and `/dev`, where directories for them are made if there are none, and sees to it that
    /// there is a `/tmp`. To be called once, after the initial tree has been loaded, as the superuser.
    ///
    /// # Errors
    /// `ENOTDIR` if the tree has something else there; `ENOSPC`.
    pub fn mount_system(&mut self, call: &mut Call) -> Result<()> {
        let directory = |files: &mut Self, call: &mut Call, parent: Node, name: &[u8], mode| {
            let rights = Rights {
                mode: S_IFDIR | mode,
                uid: 0,
                gid: 0,
            };
            let ino = with!(files, call, parent.fs, |system, env| {
                match system.find(env, parent.ino, name) {
                    Ok(ino) if !system.rights(env, ino)?.is_directory() => Err(Errno::NOTDIR),
                    Ok(ino) => Ok(ino),
                    Err(_) => system.create(env, parent.ino, name, New::Directory, rights),
                }
            })?;
            Ok::<_, Errno>(Node { fs: parent.fs, ino })
        };
        let root = self.root();
        directory(self, call, root, b"tmp", 0o1777)?;
        let on = directory(self, call, root, b"proc", 0o555)?;
        self.vfs.mount(Box::new(Procfs), Some(on), "proc", "/proc");
        let on = directory(self, call, root, b"dev", 0o755)?;
        let rights = Rights {
            mode: S_IFDIR | 0o755,
            uid: 0,
            gid: 0,
        };
        let system = Tmpfs::new("tmpfs", rights, 1024, 16_384, call.now);
        let fs = self.vfs.mount(Box::new(system), Some(on), "dev", "/dev");
        self.terminals_system = fs;
        let dev = self.vfs.root(fs);
        for &(name, mode, number) in device::NODES {
            let rights = Rights {
                mode: Kind::Character.bits() | mode,
                uid: 0,
                gid: 0,
            };
            with!(self, call, fs, |system, env| {
                let new = New::File(Kind::Character, number);
                system.create(env, dev.ino, name.as_bytes(), new, rights)
            })?;
        }
        for &(name, to) in device::LINKS {
            let rights = Rights {
                mode: Kind::Link.bits() | 0o777,
                uid: 0,
                gid: 0,
            };
            with!(self, call, fs, |system, env| {
                system.create(
                    env,
                    dev.ino,
                    name.as_bytes(),
                    New::Link(to.as_bytes()),
                    rights,
                )
            })?;
        }
        directory(self, call, dev, b"pts", 0o755)?;
        directory(self, call, dev, b"shm", 0o1777)?;
        Ok(())
    }
}
