// SPDX-License-Identifier: BSD-2-Clause
//! The mounts, and what a path names in them (path_resolution(7)).

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use hashbrown::{HashMap, HashSet};
use slab::Slab;
use xos_container::MountFlags;

use super::permission::{self, SEARCH};
use super::{Env, FileSystem, Kind, LINKS_MAX, Link, NAME_MAX, Node, PATH_MAX, Rights};
use crate::file::OpenId;
use crate::{Errno, Pages, Result};

/// A mount, as `/proc/mounts` and `/proc/self/mountinfo` show it.
pub struct Mount {
    /// What is mounted: a name, for file systems without a device.
    pub source: String,
    /// Where, when it was mounted.
    pub target: String,
    /// The file system's type.
    pub kind: &'static str,
    /// What it covers; nothing for the root.
    pub on: Option<Node>,
    /// What may not be done in it.
    pub flags: MountFlags,
    /// Open files, current directories and mounts in it.
    busy: usize,
}

/// All mounts, by the index of their file system.
#[derive(Default)]
pub struct Mounts {
    list: Slab<Mount>,
    covered: HashMap<Node, u32>,
    /// Files and directories that cannot be changed, nor anything below them, whoever asks.
    sealed: HashSet<Node>,
}

impl Mounts {
    /// Each with its index.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Mount)> {
        self.list.iter().map(|(index, mount)| (index as u32, mount))
    }
}

/// All file systems.
#[derive(Default)]
pub struct Vfs {
    systems: Slab<Box<dyn FileSystem>>,
    /// Where they are mounted.
    pub mounts: Mounts,
}

/// Where a walk starts: what `/` is, and what relative paths are relative to.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The process's root directory; no path leads out of it.
    pub root: Node,
    /// The directory that a relative path starts from.
    pub from: Node,
}

/// What a path's last name means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// A file.
    Node(Node),
    /// Something that a process has open, by its name in `/proc`.
    Open(OpenId),
}

/// What the last part of a path is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Last {
    /// A name.
    Name,
    /// `.`, or the path of a root directory itself.
    Dot,
    /// `..`.
    DotDot,
}

/// What is done with a path's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// What is there is used: a symbolic link is followed; what a slash follows must be a directory.
    Follow,
    /// The same, but a symbolic link is followed only if a slash follows it.
    NoFollow,
    /// It is made if it is not there: a symbolic link is followed, and it is for the caller to say
    /// what a slash means.
    Create,
    /// It is a name to be made, moved or removed, whatever it means.
    Name,
}

impl End {
    /// For calls that follow links unless told not to.
    pub const fn following(follow: bool) -> Self {
        if follow { Self::Follow } else { Self::NoFollow }
    }

    const fn follows(self, slash: bool) -> bool {
        match self {
            Self::Follow => true,
            Self::NoFollow => slash,
            Self::Create => !slash,
            Self::Name => false,
        }
    }
}

/// What a path came to.
pub struct Found<'a> {
    /// The directory that the last name is in.
    pub directory: Node,
    /// What the last part is.
    pub last: Last,
    /// What it means; `None` if the directory has no such name.
    pub target: Option<Target>,
    /// Whether a slash follows it: it must be a directory.
    pub slash: bool,
    text: Cow<'a, [u8]>,
    name: Range<usize>,
}

impl Found<'_> {
    /// The last name.
    pub fn name(&self) -> &[u8] {
        &self.text[self.name.clone()]
    }

    /// What is there.
    ///
    /// # Errors
    /// `ENOENT` if nothing is.
    pub fn target(&self) -> Result<Target> {
        self.target.ok_or(Errno::NOENT)
    }
}

impl Vfs {
    /// The file system with this index.
    pub fn system(&mut self, fs: u32) -> &mut dyn FileSystem {
        &mut *self.systems[fs as usize]
    }

    /// The file system with this index, and beside it the mounts.
    pub fn split(&mut self, fs: u32) -> (&mut dyn FileSystem, &Mounts) {
        (&mut *self.systems[fs as usize], &self.mounts)
    }

    /// For what changes nothing.
    pub fn system_ref(&self, fs: u32) -> &dyn FileSystem {
        &*self.systems[fs as usize]
    }

    /// Mounts a file system over a directory, or as the root. Gives its index.
    pub fn mount(
        &mut self,
        system: Box<dyn FileSystem>,
        on: Option<Node>,
        source: &str,
        target: &str,
        flags: MountFlags,
    ) -> u32 {
        if let Some(on) = on {
            self.hold(on);
        }
        let kind = system.name();
        let fs = self.systems.insert(system) as u32;
        let index = self.mounts.list.insert(Mount {
            source: source.into(),
            target: target.into(),
            kind,
            on,
            flags,
            busy: 0,
        });
        debug_assert_eq!(fs as usize, index);
        if let Some(on) = on {
            self.mounts.covered.insert(on, fs);
        }
        fs
    }

    /// Takes a mounted file system away and forgets all that is in it.
    ///
    /// # Errors
    /// `EBUSY` while anything in it is used, and for the root; `EINVAL` for what is no mount's root.
    pub fn unmount(&mut self, pages: &mut dyn Pages, root: Node) -> Result<()> {
        let mount = self.mounts.list.get(root.fs as usize).ok_or(Errno::INVAL)?;
        if self.root(root.fs) != root {
            return Err(Errno::INVAL);
        }
        let on = mount.on.ok_or(Errno::BUSY)?;
        if mount.busy > 0 {
            return Err(Errno::BUSY);
        }
        self.mounts.covered.remove(&on);
        self.mounts.list.remove(root.fs as usize);
        self.systems.remove(root.fs as usize).end(pages);
        self.release(pages, on);
        Ok(())
    }

    /// The root directory of a file system.
    pub fn root(&self, fs: u32) -> Node {
        Node {
            fs,
            ino: self.systems[fs as usize].root(),
        }
    }

    /// Whether something is mounted on a directory, or it is a mount's root.
    pub fn is_mount_point(&self, node: Node) -> bool {
        self.mounts.covered.contains_key(&node) || self.root(node.fs) == node
    }

    /// What may not be done in a mounted file system.
    pub fn flags(&self, fs: u32) -> MountFlags {
        self.mounts.list[fs as usize].flags
    }

    /// Changes what may not be done in a mounted file system.
    pub fn set_flags(&mut self, fs: u32, flags: MountFlags) {
        self.mounts.list[fs as usize].flags = flags;
    }

    /// Lets nobody change a file or directory any more, nor anything below it.
    pub fn seal(&mut self, node: Node) {
        self.hold(node);
        self.mounts.sealed.insert(node);
    }

    /// Whether a file is sealed itself.
    pub fn is_sealed(&self, node: Node) -> bool {
        self.mounts.sealed.contains(&node)
    }

    /// Fails for what cannot be changed, whoever asks. A file with several names counts as being where it got
    /// the last one.
    ///
    /// # Errors
    /// `EROFS`.
    pub fn check_writable(&self, node: Node) -> Result<()> {
        if self.flags(node.fs).contains(MountFlags::READ_ONLY) {
            return Err(Errno::ROFS);
        }
        let sealed = &self.mounts.sealed;
        if !sealed.iter().any(|one| one.fs == node.fs) {
            return Ok(());
        }
        let system = &self.systems[node.fs as usize];
        let (mut at, mut name) = (node, Vec::new());
        loop {
            if sealed.contains(&at) {
                return Err(Errno::ROFS);
            }
            name.clear();
            match system.named(at.ino, &mut name) {
                Some(directory) if at.ino != system.root() => at.ino = directory,
                _ => return Ok(()),
            }
        }
    }

    /// One more that uses a file.
    pub fn hold(&mut self, node: Node) {
        self.mounts.list[node.fs as usize].busy += 1;
        self.system(node.fs).hold(node.ino);
    }

    /// One less.
    pub fn release(&mut self, pages: &mut dyn Pages, node: Node) {
        self.mounts.list[node.fs as usize].busy -= 1;
        self.system(node.fs).release(pages, node.ino);
    }

    /// What decides who may do what with a file.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn rights(&self, env: &mut Env, node: Node) -> Result<Rights> {
        self.systems[node.fs as usize].rights(env, node.ino)
    }

    /// The directory above, across mounts, but not above the root.
    fn above(&self, start: Start, mut node: Node) -> Node {
        loop {
            if node == start.root {
                return node;
            }
            let system = &self.systems[node.fs as usize];
            if node.ino != system.root() {
                return Node {
                    fs: node.fs,
                    ino: system.parent(node.ino),
                };
            }
            match self.mounts.list[node.fs as usize].on {
                Some(on) => node = on,
                None => return node,
            }
        }
    }

    /// What is mounted on a node, and on that, and so on; itself if nothing is.
    fn topmost(&self, mut node: Node) -> Node {
        while let Some(&fs) = self.mounts.covered.get(&node) {
            node = self.root(fs);
        }
        node
    }

    /// Finds what a path names, for a call that uses what is there, or for one that is about the name.
    ///
    /// # Errors
    /// `ENOENT` for an empty path, a directory on the way that is not there, a link to nothing;
    /// `ENOTDIR`, `EACCES` on the way; `ELOOP` after [`LINKS_MAX`] links; `ENAMETOOLONG`.
    pub fn walk<'a>(
        &self,
        env: &mut Env,
        start: Start,
        path: &'a [u8],
        end: End,
    ) -> Result<Found<'a>> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        if path.len() >= PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let mut text = Cow::Borrowed(path);
        let mut at = if path[0] == b'/' {
            start.root
        } else {
            start.from
        };
        let mut rights = self.rights(env, at)?;
        let (mut position, mut links) = (0, 0);
        loop {
            let first = position + slashes(&text[position..]);
            let length = text[first..]
                .iter()
                .position(|&byte| byte == b'/')
                .unwrap_or(text.len() - first);
            let name = first..first + length;
            let after = slashes(&text[name.end..]);
            position = name.end + after;
            let more = position < text.len();
            let slash = after > 0;
            if !rights.is_directory() {
                return Err(Errno::NOTDIR);
            }
            if length > 0 {
                permission::check(env.credentials, rights, SEARCH)?;
            }
            let (last, target) = match &text[name.clone()] {
                b"" | b"." => (Last::Dot, at),
                b".." => (Last::DotDot, self.above(start, at)),
                long if long.len() > NAME_MAX => return Err(Errno::NAMETOOLONG),
                part => match self.systems[at.fs as usize].find(env, at.ino, part) {
                    Ok(ino) => (Last::Name, self.topmost(Node { fs: at.fs, ino })),
                    Err(Errno::NOENT) if !more => {
                        return Ok(Found {
                            directory: at,
                            last: Last::Name,
                            target: None,
                            slash,
                            text,
                            name,
                        });
                    }
                    Err(error) => return Err(error),
                },
            };
            let mut target = Target::Node(target);
            if let Target::Node(node) = target
                && (last == Last::Name || last == Last::DotDot)
            {
                rights = self.rights(env, node)?;
                if rights.kind() == Kind::Link && (more || end.follows(slash)) {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    match self.systems[node.fs as usize].link(env, node.ino)? {
                        Link::Path(to) => {
                            if to.is_empty() {
                                return Err(Errno::NOENT);
                            }
                            if to[0] == b'/' {
                                at = start.root;
                            }
                            rights = self.rights(env, at)?;
                            let rest = &text[name.end..];
                            let mut longer = Vec::with_capacity(to.len() + rest.len());
                            longer.extend_from_slice(&to);
                            longer.extend_from_slice(rest);
                            text = Cow::Owned(longer);
                            position = 0;
                            continue;
                        }
                        Link::Node(to) => target = Target::Node(to),
                        Link::Descriptor(process, fd) => {
                            let open = env
                                .processes
                                .table(process)
                                .and_then(|table| env.descriptors.open_of(table, fd))
                                .ok_or(Errno::NOENT)?;
                            target = match env.descriptors.get(open).node {
                                Some(to) if more || slash => Target::Node(to),
                                _ => Target::Open(open),
                            };
                        }
                    }
                    if let Target::Node(to) = target {
                        rights = self.rights(env, to)?;
                    }
                }
            }
            if !more {
                if slash
                    && end != End::Name
                    && end != End::Create
                    && !(matches!(target, Target::Node(_)) && rights.is_directory())
                {
                    return Err(Errno::NOTDIR);
                }
                return Ok(Found {
                    directory: at,
                    last,
                    target: Some(target),
                    slash,
                    text,
                    name,
                });
            }
            match target {
                Target::Node(node) => at = node,
                Target::Open(_) => return Err(Errno::NOTDIR),
            }
        }
    }

    /// The absolute path of a file below a root, and whether it has lost its name (then only its
    /// number tells it). `None` for what is not below the root.
    pub fn path(&self, root: Node, node: Node) -> Option<(Vec<u8>, bool)> {
        let mut names = Vec::new();
        let mut at = node;
        let mut deleted = false;
        while at != root {
            let system = &self.systems[at.fs as usize];
            if at.ino == system.root() {
                at = self.mounts.list[at.fs as usize].on?;
                continue;
            }
            let mut name = Vec::new();
            let directory = match system.named(at.ino, &mut name) {
                Some(directory) => directory,
                None => {
                    deleted = true;
                    name = alloc::format!("#{}", at.ino).into_bytes();
                    system.root()
                }
            };
            names.push(name);
            at.ino = directory;
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Some((path, deleted))
    }
}

fn slashes(text: &[u8]) -> usize {
    text.iter().take_while(|&&byte| byte == b'/').count()
}
