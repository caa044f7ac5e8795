// SPDX-License-Identifier: BSD-2-Clause
//! A root file system in memory.
//!
//! It is a tree of numbered nodes; a name is a link to a node, so that several names of one file are
//! what they are in a file system. Every path is looked up from the root, and links of it are followed
//! as the container would: an absolute one begins at this root, and `..` at the root stays there. There
//! is no other root that a path could lead to.

use std::collections::{BTreeMap, VecDeque};

/// Links that a look-up follows, at most (Linux's MAXSYMLINKS).
const MAX_SYMLINKS: usize = 40;
/// Folders within folders, at most.
pub const MAX_DEPTH: usize = 128;
/// Bytes of a name (Linux's NAME_MAX).
const MAX_NAME: usize = 255;
/// Bytes of a path, at most (Linux's PATH_MAX, with the NUL byte).
pub const MAX_PATH: usize = 4096;

/// Number of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(usize);

/// Who may do what with a file, and when it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// Permissions, with the set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: u64,
}

impl Attributes {
    /// A folder that nobody described.
    pub const FOLDER: Self = Self {
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: 0,
    };
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file.
    File(Vec<u8>),
    /// A folder.
    Folder(BTreeMap<Box<[u8]>, Link>),
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// A named pipe.
    Fifo,
}

/// A name in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// What it names.
    pub node: NodeId,
    /// The layer that put it there.
    layer: u32,
}

/// A file, folder, link or pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its attributes.
    pub attributes: Attributes,
    /// What it is.
    pub content: Content,
    /// How many names it has.
    pub links: u32,
}

/// Why something cannot be in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub enum TreeError {
    /// `..` in a path.
    DotDot,
    /// Not a name that a file can have.
    Name,
    /// The path is too long.
    Long,
    /// Too many folders within folders.
    Deep,
    /// Something that is no folder where one is needed.
    NoFolder,
    /// Symbolic links without end.
    Loop,
    /// It is not there.
    NotFound,
    /// A second name for a folder.
    LinkToFolder,
    /// The root itself.
    Root,
    /// Too many nodes.
    Many,
}

impl TreeError {
    /// What it says.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::DotDot => "`..` in a path leads nowhere good",
            Self::Name => "no name of a file: empty, with a NUL byte, or longer than 255 bytes",
            Self::Long => "the path is longer than 4095 bytes",
            Self::Deep => "folders are nested more than 128 deep",
            Self::NoFolder => "a part of its path is no folder",
            Self::Loop => "its path follows more than 40 symbolic links",
            Self::NotFound => "what it links to is not there",
            Self::LinkToFolder => "a folder cannot have a second name",
            Self::Root => "the root is a folder and stays one",
            Self::Many => "there are more files and folders than the limit allows",
        }
    }
}

type Result<T> = std::result::Result<T, TreeError>;

/// A root file system.
#[derive(Clone, Debug)]
pub struct RootFs {
    nodes: Vec<Node>,
    layer: u32,
    most: usize,
}

impl RootFs {
    const ROOT: NodeId = NodeId(0);

    /// An empty one, with room for so many nodes over its whole life.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let root = Node {
            attributes: Attributes::FOLDER,
            content: Content::Folder(BTreeMap::new()),
            links: 1,
        };
        Self {
            nodes: vec![root],
            layer: 0,
            most,
        }
    }

    /// What follows belongs to the next layer: what is there already is below it.
    pub fn next_layer(&mut self) {
        self.layer += 1;
    }

    /// The root folder.
    #[must_use]
    pub fn root(&self) -> NodeId {
        Self::ROOT
    }

    /// A node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The names in a folder, in order; none in what is no folder.
    pub fn names(&self, id: NodeId) -> impl Iterator<Item = (&[u8], NodeId)> {
        let entries = match &self.nodes[id.0].content {
            Content::Folder(entries) => Some(entries),
            _ => None,
        };
        entries
            .into_iter()
            .flatten()
            .map(|(name, link)| (&**name, link.node))
    }

    /// Sets the attributes of the root.
    pub fn set_root(&mut self, attributes: Attributes) {
        self.nodes[0].attributes = attributes;
    }

    fn entries(&mut self, id: NodeId) -> Result<&mut BTreeMap<Box<[u8]>, Link>> {
        match &mut self.nodes[id.0].content {
            Content::Folder(entries) => Ok(entries),
            _ => Err(TreeError::NoFolder),
        }
    }

    fn link(&self, folder: NodeId, name: &[u8]) -> Option<Link> {
        match &self.nodes[folder.0].content {
            Content::Folder(entries) => entries.get(name).copied(),
            _ => None,
        }
    }

    fn add_node(&mut self, attributes: Attributes, content: Content) -> Result<NodeId> {
        if self.nodes.len() >= self.most {
            return Err(TreeError::Many);
        }
        self.nodes.push(Node {
            attributes,
            content,
            links: 0,
        });
        Ok(NodeId(self.nodes.len() - 1))
    }

    fn insert(&mut self, folder: NodeId, name: &[u8], node: NodeId) -> Result<()> {
        let layer = self.layer;
        self.entries(folder)?
            .insert(name.into(), Link { node, layer });
        self.nodes[node.0].links += 1;
        Ok(())
    }

    /// Follows the parts of a path to a folder, from the root, and makes what is missing if `make`.
    fn walk(&mut self, path: &[&[u8]], make: bool) -> Result<NodeId> {
        let mut parts: VecDeque<Box<[u8]>> = path.iter().map(|part| (*part).into()).collect();
        let mut above = vec![Self::ROOT];
        let mut followed = 0;
        while let Some(part) = parts.pop_front() {
            let here = *above.last().unwrap_or(&Self::ROOT);
            match &*part {
                b"" | b"." => continue,
                b".." => {
                    if above.len() > 1 {
                        above.pop();
                    }
                    continue;
                }
                _ => {}
            }
            let node = match self.link(here, &part) {
                Some(link) => link.node,
                None if make => {
                    check_name(&part)?;
                    let content = Content::Folder(BTreeMap::new());
                    let node = self.add_node(Attributes::FOLDER, content)?;
                    self.insert(here, &part, node)?;
                    node
                }
                None => return Err(TreeError::NotFound),
            };
            match &self.nodes[node.0].content {
                Content::Folder(_) => {
                    above.push(node);
                    if above.len() > MAX_DEPTH {
                        return Err(TreeError::Deep);
                    }
                }
                Content::Symlink(target) => {
                    followed += 1;
                    if followed > MAX_SYMLINKS {
                        return Err(TreeError::Loop);
                    }
                    if target.first() == Some(&b'/') {
                        above.truncate(1);
                    }
                    for part in target.split(|byte| *byte == b'/').rev() {
                        parts.push_front(part.into());
                    }
                }
                _ => return Err(TreeError::NoFolder),
            }
        }
        Ok(*above.last().unwrap_or(&Self::ROOT))
    }

    /// Puts something at a path, in place of what is there. A folder in place of a folder changes its
    /// attributes and nothing else. Folders on the way are made when they are missing.
    ///
    /// # Errors
    /// What is wrong with the path.
    pub fn put(&mut self, path: &Path, attributes: Attributes, content: Content) -> Result<NodeId> {
        let is_folder = matches!(content, Content::Folder(_));
        let Some((name, parents)) = path.0.split_last() else {
            if !is_folder {
                return Err(TreeError::Root);
            }
            self.set_root(attributes);
            return Ok(Self::ROOT);
        };
        let folder = self.walk(&borrow(parents), true)?;
        if let Some(link) = self.link(folder, name) {
            let node = &mut self.nodes[link.node.0];
            if is_folder && matches!(node.content, Content::Folder(_)) {
                node.attributes = attributes;
                self.touch(folder, name);
                return Ok(link.node);
            }
            self.remove(folder, name);
        }
        let node = self.add_node(attributes, content)?;
        self.insert(folder, name, node)?;
        Ok(node)
    }

    /// Says that the current layer has put a name.
    fn touch(&mut self, folder: NodeId, name: &[u8]) {
        let layer = self.layer;
        if let Ok(entries) = self.entries(folder)
            && let Some(link) = entries.get_mut(name)
        {
            link.layer = layer;
        }
    }

    /// Gives a file a second name. The first is looked up without following it if it is a link itself.
    ///
    /// # Errors
    /// What is wrong with one of the paths.
    pub fn put_link(&mut self, path: &Path, target: &Path) -> Result<()> {
        let node = self.find(target)?;
        if matches!(self.nodes[node.0].content, Content::Folder(_)) {
            return Err(TreeError::LinkToFolder);
        }
        let (name, parents) = path.0.split_last().ok_or(TreeError::Root)?;
        let folder = self.walk(&borrow(parents), true)?;
        match self.link(folder, name) {
            Some(link) if link.node == node => {
                self.touch(folder, name);
                return Ok(());
            }
            Some(_) => {
                // The removal may take away the last other name of what it contains, not the file itself:
                // a name of it is held here.
                self.nodes[node.0].links += 1;
                self.remove(folder, name);
                self.nodes[node.0].links -= 1;
            }
            None => {}
        }
        self.insert(folder, name, node)
    }

    /// The node of a path; a symbolic link at its end is not followed.
    ///
    /// # Errors
    /// What is wrong with the path.
    pub fn find(&mut self, path: &Path) -> Result<NodeId> {
        let Some((name, parents)) = path.0.split_last() else {
            return Ok(Self::ROOT);
        };
        let folder = self.walk(&borrow(parents), false)?;
        self.link(folder, name)
            .map(|link| link.node)
            .ok_or(TreeError::NotFound)
    }

    /// The content of a file, symbolic links followed; `None` when there is no such file.
    #[must_use]
    pub fn read(&mut self, path: &str) -> Option<&[u8]> {
        let mut path = Path::parse(path.as_bytes()).ok()?;
        let mut followed = 0;
        let node = loop {
            let node = self.find(&path).ok()?;
            let Content::Symlink(target) = &self.nodes[node.0].content else {
                break node;
            };
            followed += 1;
            if followed > MAX_SYMLINKS {
                return None;
            }
            // `..` in it is for `walk`; here it is refused, and no account file needs it.
            let mut parts = match target.first() {
                Some(b'/') => Vec::new(),
                _ => path.folder().0,
            };
            parts.extend(Path::parse(target).ok()?.0);
            path = Path(parts);
        };
        match &self.nodes[node.0].content {
            Content::File(data) => Some(data),
            _ => None,
        }
    }

    /// A whiteout: a name of a lower layer is gone. What the current layer has put stays.
    ///
    /// # Errors
    /// What is wrong with the path.
    pub fn white_out(&mut self, folder: &Path, name: &[u8]) -> Result<()> {
        let folder = match self.walk(&borrow(&folder.0), false) {
            Ok(folder) => folder,
            // Nothing there: nothing to be hidden.
            Err(TreeError::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.remove_lower(folder, name);
        Ok(())
    }

    /// An opaque whiteout: all names of lower layers in a folder are gone.
    ///
    /// # Errors
    /// What is wrong with the path.
    pub fn white_out_all(&mut self, folder: &Path) -> Result<()> {
        let folder = self.walk(&borrow(&folder.0), true)?;
        self.remove_all_lower(folder);
        Ok(())
    }

    fn remove_all_lower(&mut self, folder: NodeId) {
        let names: Vec<Box<[u8]>> = match &self.nodes[folder.0].content {
            Content::Folder(entries) => entries.keys().cloned().collect(),
            _ => Vec::new(),
        };
        for name in names {
            self.remove_lower(folder, &name);
        }
    }

    /// Removes a name as far as it is of lower layers.
    fn remove_lower(&mut self, folder: NodeId, name: &[u8]) {
        let Some(link) = self.link(folder, name) else {
            return;
        };
        // What this layer has put in a folder of a lower one keeps the folder.
        self.remove_all_lower(link.node);
        let keeps = self.names(link.node).next().is_some();
        if link.layer < self.layer && !keeps {
            self.remove(folder, name);
        }
    }

    /// Removes a name, with all that is below it. What has no name any more gives up its content.
    fn remove(&mut self, folder: NodeId, name: &[u8]) {
        let removed = self.entries(folder).ok().and_then(|e| e.remove(name));
        let mut pending: Vec<NodeId> = removed.map(|link| link.node).into_iter().collect();
        while let Some(id) = pending.pop() {
            let node = &mut self.nodes[id.0];
            node.links -= 1;
            if node.links == 0
                && let Content::Folder(entries) =
                    std::mem::replace(&mut node.content, Content::Fifo)
            {
                pending.extend(entries.values().map(|link| link.node));
            }
        }
    }
}

fn borrow(parts: &[Box<[u8]>]) -> Vec<&[u8]> {
    parts.iter().map(|part| &**part).collect()
}

fn check_name(name: &[u8]) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME || name.contains(&0) {
        return Err(TreeError::Name);
    }
    Ok(())
}

/// A path from the root: parts that are neither empty nor `.` nor `..`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Path(Vec<Box<[u8]>>);

impl Path {
    /// Reads a path as archives have it: with `/` or `./` in front or not.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() >= MAX_PATH {
            return Err(TreeError::Long);
        }
        let mut parts = Vec::new();
        for part in bytes.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err(TreeError::DotDot),
                name => {
                    check_name(name)?;
                    parts.push(name.into());
                }
            }
        }
        if parts.len() > MAX_DEPTH {
            return Err(TreeError::Deep);
        }
        Ok(Self(parts))
    }

    /// Its last part.
    #[must_use]
    pub fn name(&self) -> Option<&[u8]> {
        self.0.last().map(|name| &**name)
    }

    /// The path of its folder; the root's is itself.
    #[must_use]
    pub fn folder(&self) -> Self {
        let end = self.0.len().saturating_sub(1);
        Self(self.0[..end].to_vec())
    }

    /// Whether it begins with this part.
    #[must_use]
    pub fn is_in(&self, folder: &str) -> bool {
        self.0
            .first()
            .is_some_and(|part| **part == *folder.as_bytes())
    }
}

#[cfg(test)]
mod tests;
