// SPDX-License-Identifier: BSD-2-Clause
//! The initial file tree of the system: a tar archive made of the programs of `apps/` and of what
//! the user adds.
//!
//! What goes to `containers/NAME` is an OCI bundle or image on the host, and in the tree what `xos-oci`
//! makes of it: a description, and beside it the root file system, in `images/`.
//!
//! The archive is deterministic: the same contents make the same bytes, so that an image changes
//! only when something in it does. All that could surprise the guest is refused here: names with
//! `..`, two files of one name, a file where another one needs a folder, links and devices.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use xos_container::{CONTAINERS, IMAGES};
use xos_oci::{Limits, Packed};

/// How deep folders that are added may be nested.
const MAX_DEPTH: usize = 32;

/// Why something cannot be in the tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// An addition is not of the form `host=guest`.
    #[error("`{0}` is no addition: write HOST=GUEST, for example ADD=target/hello=bin/hello")]
    Form(String),
    /// A path in the guest is not acceptable.
    #[error("`{path}` is no path in the guest: {why}")]
    GuestPath {
        /// The path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file of the host cannot be read.
    #[error("cannot add {path}: {error}")]
    Host {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Something that is neither a file nor a folder.
    #[error("cannot add {0}: it is neither a file nor a folder")]
    Kind(PathBuf),
    /// A name that is not UTF-8.
    #[error("cannot add {0}: its name is not UTF-8")]
    Name(PathBuf),
    /// Folders nested without end, or nearly.
    #[error("cannot add {0}: folders are nested more than {MAX_DEPTH} deep")]
    Depth(PathBuf),
    /// Two files of one name.
    #[error("the guest's file {0} would be there twice; give one of the two another name")]
    Duplicate(GuestPath),
    /// A file and a folder of one name.
    #[error(
        "the guest's {0} would be a file and a folder at once; give one of the two another name"
    )]
    FileAndFolder(GuestPath),
    /// A container that cannot be had.
    #[error("cannot add the container {path}: {error}")]
    Container {
        /// Where on the host it is.
        path: PathBuf,
        /// What is wrong with it.
        error: xos_oci::Error,
    },
    /// A name that no container can have.
    #[error(
        "`{0}` is no name of a container: a letter or digit, then letters, digits, `_`, `.`, `-`, at most 64"
    )]
    ContainerName(String),
    /// The archive could not be written.
    #[error("cannot write the archive: {0}")]
    Archive(io::Error),
}

/// A file's path in the guest: relative to its root, without empty, `.` and `..` components, at
/// most 100 bytes (what the oldest tar header has room for).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestPath(String);

impl GuestPath {
    /// The longest path, in bytes.
    pub const MAX: usize = 100;

    /// The path as text, without a `/` at the front.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folders that this path needs, outermost first.
    fn parents(&self) -> impl Iterator<Item = Self> + '_ {
        self.0
            .match_indices('/')
            .map(|(end, _)| Self(self.0[..end].to_owned()))
    }
}

impl FromStr for GuestPath {
    type Err = TreeError;

    fn from_str(path: &str) -> Result<Self, TreeError> {
        let bad = |why| TreeError::GuestPath {
            path: path.escape_debug().to_string(),
            why,
        };
        let mut parts = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => return Err(bad("`..` is not allowed")),
                _ if part.contains(char::is_control) => {
                    return Err(bad("control characters are not allowed"));
                }
                _ => parts.push(part),
            }
        }
        if parts.is_empty() {
            return Err(bad("it names no file"));
        }
        let path = parts.join("/");
        if path.len() > Self::MAX {
            return Err(bad("it is longer than 100 bytes"));
        }
        Ok(Self(path))
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One addition of the user's: a file or folder of the host and its path in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addition {
    /// On the host.
    pub host: PathBuf,
    /// In the guest.
    pub guest: GuestPath,
}

impl Addition {
    /// Whether it goes where the guest's containers are: the container's name.
    fn container(&self) -> Option<&str> {
        let (folder, name) = self.guest.as_str().split_once('/')?;
        (folder == CONTAINERS).then_some(name)
    }
}

impl FromStr for Addition {
    type Err = TreeError;

    /// `HOST=GUEST`. The last `=` counts: host paths with one are likelier than guest paths.
    fn from_str(text: &str) -> Result<Self, TreeError> {
        match text.rsplit_once('=') {
            Some((host, guest)) if !host.is_empty() => Ok(Self {
                host: host.into(),
                guest: guest.parse()?,
            }),
            _ => Err(TreeError::Form(text.to_owned())),
        }
    }
}

#[derive(Debug)]
enum Content {
    Bytes(Vec<u8>),
    Link(String),
    File { path: PathBuf, executable: bool },
}

/// Files, by their path in the guest.
#[derive(Debug, Default)]
pub struct Tree {
    files: BTreeMap<GuestPath, Content>,
}

impl Tree {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The paths of all files, in order.
    pub fn paths(&self) -> impl Iterator<Item = &GuestPath> {
        self.files.keys()
    }

    /// Puts bytes into the tree.
    pub fn add_bytes(&mut self, guest: GuestPath, bytes: Vec<u8>) -> Result<(), TreeError> {
        self.insert(guest, Content::Bytes(bytes))
    }

    /// Puts a symbolic link into the tree.
    pub fn add_link(&mut self, guest: GuestPath, to: &str) -> Result<(), TreeError> {
        self.insert(guest, Content::Link(to.to_owned()))
    }

    /// Puts a file of the host, or all files of a folder, into the tree; a container where the guest's
    /// containers are. Gives notes for the user about what was left out.
    pub fn add(&mut self, addition: &Addition) -> Result<Vec<String>, TreeError> {
        match addition.container() {
            Some(name) => {
                let path = addition.host.to_str();
                let path = path.ok_or_else(|| TreeError::Name(addition.host.clone()))?;
                self.add_container(path, name)
            }
            None => {
                self.add_host(&addition.host, &addition.guest, 0)?;
                Ok(Vec::new())
            }
        }
    }

    /// Puts a bundle or an image of the host into the tree, as the container `name`. An image's path may
    /// be followed by `:` and the name of one of several in it. Gives notes as [`add`](Self::add) does.
    pub fn add_container(&mut self, path: &str, name: &str) -> Result<Vec<String>, TreeError> {
        if !xos_container::is_name(name) {
            return Err(TreeError::ContainerName(name.escape_debug().to_string()));
        }
        let Packed {
            description,
            archive,
            digest,
            notes,
        } = xos_oci::pack(path, &Limits::default()).map_err(|error| TreeError::Container {
            path: path.into(),
            error,
        })?;
        self.add_bytes(format!("{CONTAINERS}/{name}").parse()?, description)?;
        let image: GuestPath = format!("{IMAGES}/{digest}.tar").parse()?;
        // Of the same name is the same content: it is named for its digest.
        if !self.files.contains_key(&image) {
            self.add_bytes(image, archive)?;
        }
        Ok(notes)
    }

    fn add_host(&mut self, host: &Path, guest: &GuestPath, depth: usize) -> Result<(), TreeError> {
        let io_error = |error| TreeError::Host {
            path: host.to_owned(),
            error,
        };
        // Links are followed, so that they end as plain files; a cycle of them ends at MAX_DEPTH.
        let metadata = fs::metadata(host).map_err(io_error)?;
        if metadata.is_file() {
            // Opened once now, so that a file that cannot be read is found before a long build.
            File::open(host).map_err(io_error)?;
            let executable = metadata.permissions().mode() & 0o111 != 0;
            return self.insert(
                guest.clone(),
                Content::File {
                    path: host.to_owned(),
                    executable,
                },
            );
        }
        if !metadata.is_dir() {
            return Err(TreeError::Kind(host.to_owned()));
        }
        if depth == MAX_DEPTH {
            return Err(TreeError::Depth(host.to_owned()));
        }
        for entry in fs::read_dir(host).map_err(io_error)? {
            let path = entry.map_err(io_error)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| TreeError::Name(path.clone()))?;
            self.add_host(&path, &format!("{guest}/{name}").parse()?, depth + 1)?;
        }
        Ok(())
    }

    fn insert(&mut self, guest: GuestPath, content: Content) -> Result<(), TreeError> {
        if self.files.contains_key(&guest) {
            return Err(TreeError::Duplicate(guest));
        }
        if let Some(file) = guest
            .parents()
            .find(|folder| self.files.contains_key(folder))
        {
            return Err(TreeError::FileAndFolder(file));
        }
        let within = GuestPath(format!("{guest}/"));
        if let Some((path, _)) = self.files.range(&within..).next()
            && path.0.starts_with(&within.0)
        {
            return Err(TreeError::FileAndFolder(guest));
        }
        self.files.insert(guest, content);
        Ok(())
    }

    /// Writes the tree as a tar archive (ustar headers; no times, no owners).
    pub fn write(&self, out: impl Write) -> Result<(), TreeError> {
        let mut archive = tar::Builder::new(out);
        for (guest, content) in &self.files {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(tar::EntryType::Regular);
            let (mode, data) = match content {
                Content::Link(to) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_link_name(to).map_err(TreeError::Archive)?;
                    (0o777, Vec::new())
                }
                Content::Bytes(bytes) => (0o644, bytes.clone()),
                Content::File { path, executable } => {
                    let mut data = Vec::new();
                    File::open(path)
                        .and_then(|mut file| file.read_to_end(&mut data))
                        .map_err(|error| TreeError::Host {
                            path: path.clone(),
                            error,
                        })?;
                    (if *executable { 0o755 } else { 0o644 }, data)
                }
            };
            header.set_mode(mode);
            header.set_size(data.len() as u64);
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            header
                .set_path(guest.as_str())
                .map_err(TreeError::Archive)?;
            header.set_cksum();
            archive
                .append(&header, data.as_slice())
                .map_err(TreeError::Archive)?;
        }
        archive
            .into_inner()
            .and_then(|mut out| out.flush())
            .map_err(TreeError::Archive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> GuestPath {
        text.parse().unwrap()
    }

    fn tree(paths: &[&str]) -> Result<Tree, TreeError> {
        let mut tree = Tree::new();
        for text in paths {
            tree.add_bytes(path(text), text.as_bytes().to_vec())?;
        }
        Ok(tree)
    }

    fn archive(tree: &Tree) -> Vec<u8> {
        let mut bytes = Vec::new();
        tree.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn guest_paths_are_relative_to_the_root_and_normal() {
        for text in ["bin/hello", "/bin/hello", "./bin//hello/", "//bin/./hello"] {
            assert_eq!(path(text).as_str(), "bin/hello", "{text}");
        }
    }

    #[test]
    fn guest_paths_that_lead_nowhere_or_out_are_refused() {
        let long = "x".repeat(101);
        for text in [
            "",
            "/",
            ".",
            "..",
            "a/../b",
            "/..",
            "a\nb",
            "a\0",
            long.as_str(),
        ] {
            assert!(text.parse::<GuestPath>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_last_equals_sign_divides_an_addition() {
        let addition: Addition = "/tmp/a=b/file=etc/x".parse().unwrap();
        assert_eq!(addition.host, Path::new("/tmp/a=b/file"));
        assert_eq!(addition.guest.as_str(), "etc/x");
    }

    #[test]
    fn what_is_no_addition_is_refused() {
        for text in ["", "file", "=", "=etc/x", "file=", "file=../x"] {
            assert!(text.parse::<Addition>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_path_is_in_the_tree_once() {
        assert!(matches!(
            tree(&["a/b", "a/b"]),
            Err(TreeError::Duplicate(_))
        ));
    }

    #[test]
    fn a_path_is_not_both_file_and_folder() {
        assert!(matches!(
            tree(&["a", "a/b"]),
            Err(TreeError::FileAndFolder(_))
        ));
        assert!(matches!(
            tree(&["a/b/c", "a-b", "a"]),
            Err(TreeError::FileAndFolder(_))
        ));
        assert!(tree(&["a-b", "a/b", "a.b"]).is_ok());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Tree::new()
            .add(&"/no/such/file=x".parse().unwrap())
            .unwrap_err();
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let error = Tree::new()
            .add(&"/dev/null=x".parse().unwrap())
            .unwrap_err();
        assert!(matches!(error, TreeError::Kind(_)), "{error}");
    }

    #[test]
    fn a_folder_comes_with_all_that_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::write(folder.path().join("a"), "1").unwrap();
        fs::write(folder.path().join("sub/b"), "2").unwrap();
        let mut tree = Tree::new();
        let guest = path("data");
        tree.add(&Addition {
            host: folder.path().to_owned(),
            guest,
        })
        .unwrap();
        let paths: Vec<_> = tree.paths().map(GuestPath::as_str).collect();
        assert_eq!(paths, ["data/a", "data/sub/b"]);
    }

    #[test]
    fn a_cycle_of_links_ends() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("l")).unwrap();
        let addition = Addition {
            host: folder.path().to_owned(),
            guest: path("d"),
        };
        assert!(Tree::new().add(&addition).is_err());
    }

    #[test]
    fn the_archive_does_not_depend_on_order_or_time() {
        let (one, two) = (
            tree(&["a", "b/c", "d"]).unwrap(),
            tree(&["d", "b/c", "a"]).unwrap(),
        );
        assert_eq!(archive(&one), archive(&two));
    }

    #[test]
    fn links_are_links_in_the_archive() {
        let mut tree = Tree::new();
        tree.add_link(path("bin/sh"), "/bin/busybox").unwrap();
        let archive = archive(&tree);
        let mut archive = tar::Archive::new(archive.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        let to = entry.link_name().unwrap().unwrap();
        assert_eq!(to.to_str(), Some("/bin/busybox"));
    }

    #[test]
    fn executables_stay_executable_in_the_archive() {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().join("program");
        fs::write(&host, "x").unwrap();
        fs::set_permissions(&host, fs::Permissions::from_mode(0o700)).unwrap();
        let mut tree = tree(&["data"]).unwrap();
        tree.add(&Addition {
            host,
            guest: path("program"),
        })
        .unwrap();
        let bytes = archive(&tree);
        let modes: Vec<_> = tar::Archive::new(&bytes[..])
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().header().mode().unwrap())
            .collect();
        assert_eq!(modes, [0o644, 0o755]);
    }

    /// A bundle whose root has one file.
    fn bundle(content: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rootfs")).unwrap();
        fs::write(folder.path().join("rootfs/sh"), content).unwrap();
        let config = r#"{ "ociVersion": "1.0.2", "root": { "path": "rootfs" }, "annotations": { "a": "b" },
            "process": { "cwd": "/", "args": ["/sh"], "user": { "uid": 0, "gid": 0 } } }"#;
        fs::write(folder.path().join("config.json"), config).unwrap();
        folder
    }

    #[test]
    fn a_bundle_becomes_a_description_and_a_root_that_containers_share() {
        let (one, other) = (bundle("1"), bundle("2"));
        let mut tree = Tree::new();
        for (folder, name) in [(&one, "a"), (&one, "b"), (&other, "c")] {
            let addition = format!("{}=containers/{name}", folder.path().display());
            let notes = tree.add(&addition.parse().unwrap()).unwrap();
            assert!(notes[0].contains("annotations"), "{notes:?}");
        }
        let paths: Vec<_> = tree.paths().map(GuestPath::as_str).collect();
        assert_eq!(paths[..3], ["containers/a", "containers/b", "containers/c"]);
        assert_eq!(paths.len(), 5, "{paths:?}");
        assert!(paths[3].starts_with("images/") && paths[3].ends_with(".tar"));
    }

    #[test]
    fn what_is_no_container_is_none_wherever_it_is_added() {
        let folder = tempfile::tempdir().unwrap();
        let add = |name: &str| {
            let addition = format!("{}=containers/{name}", folder.path().display());
            Tree::new().add(&addition.parse().unwrap()).unwrap_err()
        };
        assert!(matches!(add("a"), TreeError::Container { .. }));
        for name in ["a/b", "-a", &"x".repeat(65)] {
            assert!(matches!(add(name), TreeError::ContainerName(_)), "{name}");
        }
    }

    #[test]
    fn a_bundle_elsewhere_is_a_folder() {
        let addition = Addition {
            host: bundle("1").keep(),
            guest: path("data"),
        };
        let mut tree = Tree::new();
        tree.add(&addition).unwrap();
        let paths: Vec<_> = tree.paths().map(GuestPath::as_str).collect();
        assert_eq!(paths, ["data/config.json", "data/rootfs/sh"]);
        fs::remove_dir_all(addition.host).unwrap();
    }

    proptest! {
        #[test]
        fn every_accepted_guest_path_is_inside_the_root(text: String) {
            if let Ok(path) = text.parse::<GuestPath>() {
                let parts = path.as_str().split('/');
                prop_assert!(parts.clone().all(|part| !["", ".", ".."].contains(&part)));
                prop_assert_eq!(&path.as_str().parse::<GuestPath>().unwrap(), &path);
            }
        }

        #[test]
        fn the_archive_holds_what_was_added(
            files in proptest::collection::btree_map(
                "[a-z]{1,12}/[a-z]{1,12}", proptest::collection::vec(any::<u8>(), 0..600), 0..8),
        ) {
            let mut tree = Tree::new();
            for (name, data) in &files {
                tree.add_bytes(path(name), data.clone()).unwrap();
            }
            let bytes = archive(&tree);
            let mut found = BTreeMap::new();
            for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
                let mut entry = entry.unwrap();
                let name = entry.path().unwrap().to_str().unwrap().to_owned();
                let mut data = Vec::new();
                entry.read_to_end(&mut data).unwrap();
                found.insert(name, data);
            }
            prop_assert_eq!(found, files);
        }
    }
}
