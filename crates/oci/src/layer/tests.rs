// SPDX-License-Identifier: BSD-2-Clause

use super::*;
use crate::root::NodeId;
use proptest::prelude::*;
use tar::{Builder, Header};

/// Makes an archive entry by entry, with names as they are given.
struct Maker(Builder<Vec<u8>>);

impl Maker {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn add(mut self, name: &str, kind: EntryType, target: &str, data: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        // `set_path` refuses what is to be refused by us.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(1);
        header.set_gid(2);
        header.set_mtime(3);
        header.set_size(data.len() as u64);
        if matches!(kind, EntryType::Char | EntryType::Block) {
            let (major, minor) = target.split_once(':').unwrap();
            header.set_device_major(major.parse().unwrap()).unwrap();
            header.set_device_minor(minor.parse().unwrap()).unwrap();
        } else {
            header.set_link_name_literal(target).unwrap();
        }
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    fn file(self, name: &str, data: &str) -> Self {
        self.add(name, EntryType::Regular, "", data.as_bytes())
    }

    fn folder(self, name: &str) -> Self {
        self.add(name, EntryType::Directory, "", b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.add(name, EntryType::Symlink, target, b"")
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.add(name, EntryType::Link, target, b"")
    }

    fn pax(mut self, key: &str, value: &[u8]) -> Self {
        self.0.append_pax_extensions([(key, value)]).unwrap();
        self
    }

    fn done(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

const SMALL: Limits = Limits {
    json: 1000,
    blob: 1 << 20,
    unpacked: 1 << 16,
    entries: 50,
    layers: 3,
    manifests: 3,
    index_depth: 2,
};

fn unpack_with(layers: &[Vec<u8>], limits: &Limits) -> Result<(RootFs, LeftOut)> {
    let mut root = RootFs::new(limits.entries);
    let mut budget = limits.unpacked;
    let mut left_out = LeftOut::default();
    for layer in layers {
        apply(
            &mut root,
            "layer",
            &layer[..],
            &mut budget,
            limits,
            &mut left_out,
        )?;
    }
    Ok((root, left_out))
}

fn unpack(layers: &[Layer]) -> RootFs {
    let layers: Vec<_> = layers.iter().map(|layer| layer.0.clone()).collect();
    unpack_with(&layers, &SMALL).unwrap().0
}

/// A finished archive.
struct Layer(Vec<u8>);

impl From<Maker> for Layer {
    fn from(maker: Maker) -> Self {
        Self(maker.done())
    }
}

/// Why a single layer is refused.
fn refusal(maker: Maker) -> String {
    unpack_with(&[maker.done()], &SMALL)
        .unwrap_err()
        .to_string()
}

fn paths(root: &RootFs) -> Vec<String> {
    fn add(root: &RootFs, folder: NodeId, prefix: &str, paths: &mut Vec<String>) {
        for (name, node) in root.names(folder) {
            let path = format!("{prefix}{}", String::from_utf8_lossy(name));
            paths.push(path.clone());
            add(root, node, &format!("{path}/"), paths);
        }
    }
    let mut paths = Vec::new();
    add(root, root.root(), "", &mut paths);
    paths
}

#[test]
fn a_layer_adds_and_replaces() {
    let mut root = unpack(&[
        Maker::new()
            .folder("a/")
            .file("a/x", "1")
            .file("a/y", "1")
            .into(),
        Maker::new().file("./a/x", "2").file("/b", "2").into(),
    ]);
    assert_eq!(paths(&root), ["a", "a/x", "a/y", "b"]);
    assert_eq!(root.read("/a/x"), Some(&b"2"[..]));
}

#[test]
fn attributes_come_with_a_file() {
    let mut root = unpack(&[Maker::new().file("a", "").into()]);
    let node = root.find(&Path::parse(b"a").unwrap()).unwrap();
    let expected = Attributes {
        mode: 0o644,
        uid: 1,
        gid: 2,
        mtime: 3,
    };
    assert_eq!(root.node(node).attributes, expected);
}

#[test]
fn an_entry_for_the_root_itself_sets_its_attributes() {
    let root = unpack(&[Maker::new().folder("./").into()]);
    assert_eq!(root.node(root.root()).attributes.uid, 1);
}

#[test]
fn a_whiteout_hides_a_file_of_a_lower_layer() {
    let root = unpack(&[
        Maker::new().file("d/a", "").file("d/b", "").into(),
        Maker::new().file("d/.wh.a", "").into(),
    ]);
    assert_eq!(paths(&root), ["d", "d/b"]);
}

#[test]
fn an_opaque_whiteout_hides_all_of_the_lower_layers_wherever_it_stands() {
    let lower = || Maker::new().file("d/a", "").file("d/s/b", "");
    for (before, after) in [("d/new", "d/z"), ("d/z", "d/new")] {
        let upper = Maker::new()
            .file(before, "")
            .file("d/.wh..wh..opq", "")
            .file(after, "");
        let root = unpack(&[lower().into(), upper.into()]);
        assert_eq!(paths(&root), ["d", "d/new", "d/z"]);
    }
}

#[test]
fn a_file_may_come_back_in_a_later_layer() {
    let root = unpack(&[
        Maker::new().file("a", "1").into(),
        Maker::new().file(".wh.a", "").into(),
        Maker::new().file("a", "3").into(),
    ]);
    assert_eq!(paths(&root), ["a"]);
}

#[test]
fn a_whiteout_does_not_touch_its_own_layer() {
    let root = unpack(&[Maker::new().file("a", "").file(".wh.a", "").into()]);
    assert_eq!(paths(&root), ["a"]);
}

#[test]
fn a_file_that_is_there_twice_is_what_the_last_entry_says() {
    let mut root = unpack(&[Maker::new()
        .file("a", "1")
        .symlink("a", "/etc")
        .file("a", "3")
        .into()]);
    assert_eq!(root.read("/a"), Some(&b"3"[..]));
}

#[test]
fn whiteouts_that_name_nothing_are_refused() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh."] {
        assert!(
            refusal(Maker::new().file(name, "")).contains("whiteout"),
            "{name}"
        );
    }
}

#[test]
fn aufss_own_files_are_no_files_of_the_container() {
    let root = unpack(&[Maker::new()
        .folder(".wh..wh.plnk")
        .file(".wh..wh.aufs", "")
        .file("a", "")
        .into()]);
    assert_eq!(paths(&root), ["a"]);
}

#[test]
fn a_hard_link_reaches_into_a_lower_layer() {
    let mut root = unpack(&[
        Maker::new().file("a", "1").into(),
        Maker::new().link("b", "a").link("c", "/a").into(),
    ]);
    for name in ["/b", "/c"] {
        assert_eq!(root.read(name), Some(&b"1"[..]), "{name}");
    }
}

#[test]
fn a_hard_link_to_nothing_or_out_or_to_a_folder_is_refused() {
    assert!(refusal(Maker::new().link("a", "b")).contains("not there"));
    assert!(refusal(Maker::new().link("a", "../../etc/shadow")).contains(".."));
    assert!(refusal(Maker::new().folder("d").link("a", "d")).contains("folder"));
    assert!(refusal(Maker::new().link("a", "")).contains("nowhere"));
}

#[test]
fn a_hard_link_through_a_symbolic_link_stays_in_the_root() {
    let mut root = unpack(&[Maker::new()
        .file("etc/shadow", "the container's")
        .symlink("up", "/../../..")
        .link("a", "up/etc/shadow")
        .into()]);
    assert_eq!(root.read("/a"), Some(&b"the container's"[..]));
}

#[test]
fn a_path_that_leads_up_is_refused_by_name() {
    for name in ["../etc/passwd", "a/../../b", "/.."] {
        let error = refusal(Maker::new().file(name, ""));
        assert!(error.contains(name) && error.contains("`..`"), "{error}");
    }
}

#[test]
fn a_file_written_through_a_symbolic_link_stays_in_the_root() {
    // The classic: a link out, then a file through it.
    for target in ["/", "../../../..", "/etc/../..", "/tmp"] {
        let root = unpack(&[Maker::new()
            .symlink("out", target)
            .file("out/new", "")
            .into()]);
        let expected: &[&str] = match target {
            "/tmp" => &["out", "tmp", "tmp/new"],
            // A folder on the way of a link is made, as `mkdir -p` would.
            "/etc/../.." => &["etc", "new", "out"],
            _ => &["new", "out"],
        };
        assert_eq!(paths(&root), expected, "{target}");
    }
}

#[test]
fn symbolic_links_are_kept_as_they_are() {
    let mut root = unpack(&[Maker::new().symlink("a", "../../x").into()]);
    let node = root.find(&Path::parse(b"a").unwrap()).unwrap();
    assert_eq!(
        root.node(node).content,
        Content::Symlink(b"../../x".to_vec())
    );
}

#[test]
fn device_nodes_are_refused_but_for_those_that_every_container_has() {
    let node = |name: &str, kind, numbers: &str| Maker::new().add(name, kind, numbers, b"");
    let (root, left_out) =
        unpack_with(&[node("dev/null", EntryType::Char, "1:3").done()], &SMALL).unwrap();
    assert!(paths(&root).is_empty());
    assert_eq!(left_out.notes().count(), 1);
    for maker in [
        node("dev/sda", EntryType::Block, "8:0"),
        node("dev/mem", EntryType::Char, "1:1"),
        node("dev/null", EntryType::Block, "1:3"),
        node("tmp/null", EntryType::Char, "1:3"),
    ] {
        assert!(refusal(maker).contains("device"));
    }
}

#[test]
fn entries_of_unknown_types_are_refused() {
    let error = refusal(Maker::new().add("a", EntryType::new(b'Q'), "", b""));
    assert!(error.contains("type"), "{error}");
}

#[test]
fn access_control_lists_are_refused_and_other_attributes_noted() {
    let acl = Maker::new()
        .pax("SCHILY.xattr.system.posix_acl_access", b"x")
        .file("a", "");
    assert!(refusal(acl).contains("access control"));
    let capability = Maker::new()
        .pax("SCHILY.xattr.security.capability", b"x")
        .file("a", "");
    let (_, left_out) = unpack_with(&[capability.done()], &SMALL).unwrap();
    assert!(
        left_out
            .notes()
            .next()
            .unwrap()
            .contains("extended attributes")
    );
}

#[test]
fn pax_and_gnu_headers_name_long_paths() {
    let long = "longer/".repeat(20) + "end";
    let root = unpack(&[Maker::new()
        .pax("path", long.as_bytes())
        .file("short", "")
        .into()]);
    assert_eq!(paths(&root).last(), Some(&long));
    let up = Maker::new().pax("path", b"../up").file("short", "");
    assert!(refusal(up).contains(".."));
}

#[test]
fn an_owner_that_does_not_fit_is_refused() {
    let maker = Maker::new().pax("uid", b"4294967296").file("a", "");
    assert!(refusal(maker).contains("32-bit"));
}

#[test]
fn a_layer_may_not_be_longer_than_the_limit() {
    let big = "x".repeat(SMALL.unpacked as usize);
    assert!(refusal(Maker::new().file("a", &big)).contains("larger than 65536 bytes"));
}

#[test]
fn all_layers_together_may_not_be_longer_than_the_limit() {
    let half = "x".repeat(SMALL.unpacked as usize / 2);
    let layer = || Maker::new().file("a", &half).done();
    assert!(unpack_with(&[layer()], &SMALL).is_ok());
    let error = unpack_with(&[layer(), layer()], &SMALL).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn what_follows_the_end_of_the_archive_counts() {
    let mut bytes = Maker::new().file("a", "").done();
    bytes.resize(bytes.len() + SMALL.unpacked as usize, 0);
    assert!(matches!(
        unpack_with(&[bytes], &SMALL),
        Err(Error::TooLarge { .. })
    ));
}

#[test]
fn a_sparse_file_that_is_larger_than_it_may_be_is_refused_before_it_is_made() {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..1].copy_from_slice(b"s");
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(0);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(1 << 40);
    gnu.sparse[0].set_offset(1 << 40);
    gnu.sparse[0].set_length(0);
    header.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&header, &b""[..]).unwrap();
    let error = unpack_with(&[builder.into_inner().unwrap()], &SMALL).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn too_many_files_are_refused() {
    let mut maker = Maker::new();
    for i in 0..60 {
        maker = maker.file(&format!("{i}"), "");
    }
    assert!(refusal(maker).contains("limit"));
    // Over and over the same one, too.
    let mut maker = Maker::new();
    for _ in 0..60 {
        maker = maker.file("a", "");
    }
    assert!(refusal(maker).contains("limit"));
}

#[test]
fn folders_that_nobody_named_count_as_well() {
    let mut maker = Maker::new();
    for i in 0..10 {
        maker = maker.file(&format!("{i}/{}", "d/".repeat(8)), "");
    }
    assert!(refusal(maker).contains("limit"));
}

#[test]
fn an_archive_that_ends_in_the_middle_is_refused() {
    let bytes = Maker::new().file("a", "data").done();
    for cut in [100, 511, 513, 600] {
        assert!(
            unpack_with(&[bytes[..cut].to_vec()], &SMALL).is_err(),
            "{cut}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_layer_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = unpack_with(&[bytes], &SMALL);
    }

    #[test]
    fn a_damaged_layer_is_a_layer_or_refused(at in 0usize..4096, byte: u8, cut in 0usize..8192) {
        let mut bytes = Maker::new()
            .folder("d/").file("d/a", "data").symlink("l", "d").link("l/b", "d/a").file("d/.wh.x", "").done();
        let length = bytes.len();
        bytes[at % length] = byte;
        for bytes in [bytes.clone(), bytes[..cut.min(length)].to_vec()] {
            if let Ok((root, _)) = unpack_with(&[bytes], &SMALL) {
                prop_assert!(paths(&root).iter().all(|path| !path.split('/').any(|part| part == "..")));
            }
        }
    }
}
