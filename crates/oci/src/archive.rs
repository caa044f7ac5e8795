// SPDX-License-Identifier: BSD-2-Clause
//! A root file system as an archive.
//!
//! The same tree makes the same bytes: entries are in the order of their names, a folder before what is
//! in it; the first name of a file has its content, further names are hard links to it. Headers are
//! POSIX.1-1988 ("ustar"); a path of more than they have room for is in a pax header before
//! (POSIX.1-2001). The root itself is the entry `./`.

use crate::root::{Content, MAX_PATH, NodeId, RootFs};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use tar::{Builder, EntryType, Header};
use xos_container::Digest;

/// Bytes that a header has for the target of a link.
const LINK_BYTES: usize = 100;

/// Writes a root file system; gives the archive and its digest.
///
/// # Errors
/// A path that is too long to be used.
pub fn write(root: &RootFs) -> io::Result<(Vec<u8>, Digest)> {
    let mut archive = Builder::new(Vec::new());
    let mut first_names = HashMap::new();
    write_node(&mut archive, root, root.root(), b"./", &mut first_names)?;
    let bytes = archive.into_inner()?;
    let digest = Digest(Sha256::digest(&bytes).into());
    Ok((bytes, digest))
}

fn write_node(
    archive: &mut Builder<Vec<u8>>,
    root: &RootFs,
    id: NodeId,
    path: &[u8],
    first_names: &mut HashMap<NodeId, Vec<u8>>,
) -> io::Result<()> {
    if path.len() >= MAX_PATH {
        let shown = path[..64].escape_ascii();
        return Err(io::Error::other(format!(
            "a path is longer than 4095 bytes: {shown}..."
        )));
    }
    let node = root.node(id);
    let first = first_names.get(&id).cloned();
    let (kind, data, target) = match &node.content {
        Content::Folder(_) => (EntryType::Directory, &[][..], None),
        _ if let Some(first) = &first => (EntryType::Link, &[][..], Some(&**first)),
        Content::File(data) => (EntryType::Regular, &**data, None),
        Content::Symlink(target) => (EntryType::Symlink, &[][..], Some(&**target)),
        Content::Fifo => (EntryType::Fifo, &[][..], None),
    };
    if node.links > 1 {
        first_names.entry(id).or_insert_with(|| path.to_vec());
    }
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(node.attributes.mode);
    header.set_uid(node.attributes.uid.into());
    header.set_gid(node.attributes.gid.into());
    header.set_mtime(node.attributes.mtime);
    header.set_size(data.len() as u64);
    let mut records = Vec::new();
    if header.set_path(OsStr::from_bytes(path)).is_err() {
        records.push(("path", path));
        // What a reader that does not know pax sees; the record has the path.
        header.set_path("long")?;
    }
    if let Some(target) = target {
        if target.len() > LINK_BYTES {
            records.push(("linkpath", target));
            header.set_link_name_literal("long")?;
        } else {
            header.set_link_name_literal(target)?;
        }
    }
    header.set_cksum();
    archive.append_pax_extensions(records)?;
    archive.append(&header, data)?;
    for (name, child) in root.names(id) {
        let mut below = match path {
            b"./" => Vec::new(),
            path => path.to_vec(),
        };
        below.extend_from_slice(name);
        if matches!(root.node(child).content, Content::Folder(_)) {
            below.push(b'/');
        }
        write_node(archive, root, child, &below, first_names)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::{Attributes, Path};
    use crate::{Limits, layer};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn put(root: &mut RootFs, path: &str, content: Content) {
        let attributes = Attributes {
            mode: 0o4751,
            uid: 70_000,
            gid: 3,
            mtime: 1_700_000_000,
        };
        let path = Path::parse(path.as_bytes()).unwrap();
        root.put(&path, attributes, content).unwrap();
    }

    /// What a layer made of an archive gives.
    fn read_back(bytes: &[u8]) -> RootFs {
        let limits = Limits::default();
        let mut root = RootFs::new(limits.entries);
        let mut budget = limits.unpacked;
        let left_out = &mut layer::LeftOut::default();
        layer::apply(&mut root, "test", bytes, &mut budget, &limits, left_out).unwrap();
        root
    }

    fn entries(bytes: &[u8]) -> Vec<(String, EntryType)> {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().unwrap().map(Result::unwrap);
        entries
            .map(|entry| {
                let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                (path, entry.header().entry_type())
            })
            .collect()
    }

    #[test]
    fn folders_come_before_what_is_in_them_and_all_in_order() {
        let mut root = RootFs::new(100);
        put(&mut root, "b/x", Content::File(b"1".to_vec()));
        put(&mut root, "a", Content::Symlink(b"b/x".to_vec()));
        put(&mut root, "b.c", Content::Fifo);
        let (bytes, _) = write(&root).unwrap();
        let names: Vec<_> = entries(&bytes).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["./", "a", "b/", "b/x", "b.c"]);
    }

    #[test]
    fn the_same_tree_makes_the_same_archive_whatever_the_order() {
        let mut trees = [RootFs::new(100), RootFs::new(100)];
        let names = ["a/1", "a/2", "z", "m"];
        for name in names {
            put(&mut trees[0], name, Content::File(name.into()));
        }
        for name in names.iter().rev() {
            put(&mut trees[1], name, Content::File(b"other".to_vec()));
            put(&mut trees[1], name, Content::File((*name).into()));
        }
        let [(one, digest), (two, same)] = trees.map(|tree| write(&tree).unwrap());
        assert!(one == two);
        assert_eq!(digest, same);
        assert_eq!(digest.0[..], Sha256::digest(&one)[..]);
    }

    #[test]
    fn a_second_name_of_a_file_is_a_hard_link_behind_the_first() {
        let mut root = RootFs::new(100);
        put(&mut root, "z", Content::File(b"data".to_vec()));
        let path = |text: &str| Path::parse(text.as_bytes()).unwrap();
        root.put_link(&path("a"), &path("z")).unwrap();
        let (bytes, _) = write(&root).unwrap();
        let kinds: Vec<_> = entries(&bytes).into_iter().skip(1).collect();
        assert_eq!(
            kinds,
            [
                ("a".into(), EntryType::Regular),
                ("z".into(), EntryType::Link)
            ]
        );
        let mut back = read_back(&bytes);
        assert_eq!(back.find(&path("a")), back.find(&path("z")));
    }

    #[test]
    fn long_paths_and_targets_and_bytes_that_are_no_text_survive() {
        let long = format!("{0}/{0}/{0}/file", "x".repeat(200));
        let target = "t/".repeat(100);
        let mut root = RootFs::new(100);
        put(
            &mut root,
            &long,
            Content::Symlink(target.clone().into_bytes()),
        );
        let odd = Path::parse(b"\xff\xfe").unwrap();
        root.put(&odd, Attributes::FOLDER, Content::File(vec![1]))
            .unwrap();
        let (bytes, _) = write(&root).unwrap();
        let mut back = read_back(&bytes);
        let node = back.find(&Path::parse(long.as_bytes()).unwrap()).unwrap();
        assert_eq!(
            back.node(node),
            root.node(root_find(&mut root.clone(), &long))
        );
        assert!(back.find(&odd).is_ok());
    }

    fn root_find(root: &mut RootFs, path: &str) -> NodeId {
        root.find(&Path::parse(path.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn a_path_that_nobody_could_open_is_refused() {
        let mut root = RootFs::new(1000);
        let part = "y".repeat(200);
        // Each is short enough; what the link makes of them is not.
        let half = vec![part.as_str(); 15].join("/");
        put(&mut root, &half, Content::Folder(BTreeMap::new()));
        put(&mut root, "l", Content::Symlink(half.clone().into_bytes()));
        put(&mut root, &format!("l/{half}"), Content::Fifo);
        assert!(write(&root).unwrap_err().to_string().contains("4095"));
    }

    proptest! {
        #[test]
        fn an_archive_read_as_a_layer_is_the_same_tree(
            files in proptest::collection::btree_map("[a-c]{1,2}(/[a-c]{1,2}){0,3}", 0u8..4, 0..20),
        ) {
            let mut root = RootFs::new(1000);
            for (path, kind) in &files {
                let content = match kind {
                    0 => Content::File(path.clone().into_bytes()),
                    1 => Content::Folder(BTreeMap::new()),
                    2 => Content::Symlink(b"/a".to_vec()),
                    _ => Content::Fifo,
                };
                // A path may lead through a file: refused, which is fine here.
                let _ = root.put(&Path::parse(path.as_bytes()).unwrap(), Attributes::FOLDER, content);
            }
            let (bytes, digest) = write(&root).unwrap();
            let (again, same) = write(&read_back(&bytes)).unwrap();
            prop_assert!(bytes == again);
            prop_assert_eq!(digest, same);
        }
    }
}
