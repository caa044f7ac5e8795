// SPDX-License-Identifier: BSD-2-Clause
//! A new system: an empty root, then `/dev` and `/proc` in the tree that was loaded.

use alloc::boxed::Box;
use alloc::vec::Vec;

use linux_raw_sys::general::S_IFDIR;

use xos_container::MountFlags;

use super::mounts::{Room, Terminals};
use super::{Files, Limits, locks};
use crate::Result;
use crate::vfs::procfs::Procfs;
use crate::vfs::tmpfs::Tmpfs;
use crate::vfs::tree::Vfs;
use crate::vfs::{Call, Node, Rights, Time, device};
use crate::wait::Queues;

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
        vfs.mount(Box::new(root), None, "rootfs", "/", MountFlags::empty());
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
            executed: hashbrown::HashMap::new(),
            written: hashbrown::HashMap::new(),
            opening: hashbrown::HashMap::new(),
            limits,
            pseudo_terminals: None,
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
        let none = MountFlags::empty();
        let root = self.root();
        self.directory(call, root, b"tmp", 0o1777)?;
        let on = self.directory(call, root, b"proc", 0o555)?;
        self.vfs
            .mount(Box::new(Procfs), Some(on), "proc", "/proc", none);
        self.directory(call, root, b"dev", 0o755)?;
        let room = Room {
            frames: 1024,
            files: 16_384,
            mode: 0o755,
            uid: 0,
            gid: 0,
        };
        let fs = self.attach_tmpfs(call, b"/dev", ("tmpfs", "dev"), room, none)?;
        self.make_devices(call, fs)?;
        let dev = self.vfs.root(fs);
        let directory = self.directory(call, dev, b"pts", 0o755)?;
        self.directory(call, dev, b"shm", 0o1777)?;
        self.pseudo_terminals = Some(Terminals {
            directory,
            mode: 0o620,
            group: Some(device::TTY_GROUP),
        });
        Ok(())
    }
}
