// SPDX-License-Identifier: BSD-2-Clause

use super::*;
use proptest::prelude::*;

fn path(text: &str) -> Path {
    Path::parse(text.as_bytes()).unwrap()
}

fn file(text: &str) -> Content {
    Content::File(text.as_bytes().to_vec())
}

fn link(target: &str) -> Content {
    Content::Symlink(target.as_bytes().to_vec())
}

fn folder() -> Content {
    Content::Folder(BTreeMap::new())
}

/// Puts things; each is a path and what is there.
fn tree(things: &[(&str, Content)]) -> RootFs {
    let mut root = RootFs::new(1000);
    for (name, content) in things {
        root.put(&path(name), Attributes::FOLDER, content.clone())
            .unwrap();
    }
    root
}

/// All paths, in order.
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
fn paths_of_archives_begin_at_the_root_however_they_are_written() {
    for text in ["a/b", "/a/b", "./a/b", "a//b/", "//a/./b"] {
        assert_eq!(path(text), path("a/b"), "{text}");
    }
    assert_eq!(path("./"), Path::default());
}

#[test]
fn paths_that_lead_up_are_refused() {
    for text in ["..", "../a", "a/..", "a/../b", "/../a", "a/../../b"] {
        assert_eq!(
            Path::parse(text.as_bytes()),
            Err(TreeError::DotDot),
            "{text}"
        );
    }
}

#[test]
fn names_and_paths_that_no_file_can_have_are_refused() {
    assert_eq!(Path::parse(b"a\0b"), Err(TreeError::Name));
    assert_eq!(
        Path::parse("x".repeat(256).as_bytes()),
        Err(TreeError::Name)
    );
    assert_eq!(
        Path::parse("x/".repeat(2048).as_bytes()),
        Err(TreeError::Long)
    );
    assert_eq!(
        Path::parse("x/".repeat(129).as_bytes()),
        Err(TreeError::Deep)
    );
}

#[test]
fn folders_on_the_way_are_made() {
    assert_eq!(paths(&tree(&[("a/b/c", file(""))])), ["a", "a/b", "a/b/c"]);
}

#[test]
fn a_file_is_no_folder() {
    let mut root = tree(&[("a", file(""))]);
    let result = root.put(&path("a/b"), Attributes::FOLDER, file(""));
    assert_eq!(result, Err(TreeError::NoFolder));
}

#[test]
fn a_link_on_the_way_leads_where_it_would_lead_in_the_container() {
    for target in ["real", "/real", "../../real", "./real/.", "/../real"] {
        let root = tree(&[("real", folder()), ("l", link(target)), ("l/x", file(""))]);
        assert_eq!(paths(&root), ["l", "real", "real/x"], "{target}");
    }
}

#[test]
fn a_link_at_the_end_is_replaced_not_followed() {
    let mut root = tree(&[
        ("etc/passwd", file("real")),
        ("l", link("/etc/passwd")),
        ("l", file("new")),
    ]);
    assert_eq!(root.read("/etc/passwd"), Some(&b"real"[..]));
    assert_eq!(root.read("/l"), Some(&b"new"[..]));
}

#[test]
fn links_without_end_are_refused() {
    let mut root = tree(&[("a", link("b")), ("b", link("a")), ("c", link("c/c"))]);
    for name in ["a/x", "c/x"] {
        let result = root.put(&path(name), Attributes::FOLDER, file(""));
        assert_eq!(result, Err(TreeError::Loop), "{name}");
    }
}

#[test]
fn a_link_that_makes_a_path_deeper_than_allowed_is_refused() {
    let deep = "d/".repeat(100);
    let mut root = tree(&[(&deep, folder()), ("l", link(&deep))]);
    let result = root.put(&path(&format!("l/{deep}x")), Attributes::FOLDER, file(""));
    assert_eq!(result, Err(TreeError::Deep));
}

#[test]
fn a_folder_in_place_of_a_folder_keeps_what_is_in_it() {
    let mut root = tree(&[("a/b", file(""))]);
    let attributes = Attributes {
        mode: 0o700,
        ..Attributes::FOLDER
    };
    let node = root.put(&path("a"), attributes, folder()).unwrap();
    assert_eq!(paths(&root), ["a", "a/b"]);
    assert_eq!(root.node(node).attributes.mode, 0o700);
}

#[test]
fn anything_else_in_place_of_a_folder_takes_what_was_in_it_away() {
    let root = tree(&[("a/b/c", file("")), ("a", file(""))]);
    assert_eq!(paths(&root), ["a"]);
}

#[test]
fn the_root_stays_a_folder() {
    let mut root = tree(&[("a", file(""))]);
    assert_eq!(
        root.put(&path("/"), Attributes::FOLDER, file("")),
        Err(TreeError::Root)
    );
    assert_eq!(root.put_link(&path("/"), &path("a")), Err(TreeError::Root));
    assert!(root.put(&path("."), Attributes::FOLDER, folder()).is_ok());
    assert_eq!(paths(&root), ["a"]);
}

#[test]
fn a_hard_link_is_a_second_name() {
    let mut root = tree(&[("a", file("1"))]);
    root.put_link(&path("d/b"), &path("a")).unwrap();
    let node = root.find(&path("a")).unwrap();
    assert_eq!(root.find(&path("d/b")), Ok(node));
    assert_eq!(root.node(node).links, 2);
    // One name less, one file the same.
    root.put(&path("a"), Attributes::FOLDER, file("2")).unwrap();
    assert_eq!(root.read("/d/b"), Some(&b"1"[..]));
}

#[test]
fn a_hard_link_needs_a_file_that_is_there() {
    let mut root = tree(&[("d", folder()), ("a", file("1"))]);
    assert_eq!(
        root.put_link(&path("x"), &path("nothing")),
        Err(TreeError::NotFound)
    );
    assert_eq!(
        root.put_link(&path("x"), &path("no/thing")),
        Err(TreeError::NotFound)
    );
    assert_eq!(
        root.put_link(&path("x"), &path("d")),
        Err(TreeError::LinkToFolder)
    );
    assert_eq!(root.put_link(&path("a"), &path("a")), Ok(()));
    assert_eq!(root.read("/a"), Some(&b"1"[..]));
}

#[test]
fn a_hard_link_in_place_of_the_folder_that_its_file_is_in_keeps_the_file() {
    let mut root = tree(&[("d/a", file("1"))]);
    root.put_link(&path("d"), &path("d/a")).unwrap();
    assert_eq!(root.read("/d"), Some(&b"1"[..]));
    assert_eq!(paths(&root), ["d"]);
}

#[test]
fn a_whiteout_hides_what_is_below_and_not_what_is_beside() {
    let mut root = tree(&[("d/old", file("")), ("d/other", file(""))]);
    root.next_layer();
    root.put(&path("d/new"), Attributes::FOLDER, file(""))
        .unwrap();
    for name in ["old", "new", "nothing"] {
        root.white_out(&path("d"), name.as_bytes()).unwrap();
    }
    assert_eq!(paths(&root), ["d", "d/new", "d/other"]);
    assert_eq!(root.white_out(&path("no/folder"), b"x"), Ok(()));
}

#[test]
fn an_opaque_whiteout_leaves_what_its_own_layer_has_put_before_or_after() {
    let mut root = tree(&[
        ("d/old", file("")),
        ("d/sub/old", file("")),
        ("e", file("")),
    ]);
    root.next_layer();
    root.put(&path("d/before"), Attributes::FOLDER, file(""))
        .unwrap();
    root.put(&path("d/sub/before"), Attributes::FOLDER, file(""))
        .unwrap();
    root.white_out_all(&path("d")).unwrap();
    root.put(&path("d/after"), Attributes::FOLDER, file(""))
        .unwrap();
    assert_eq!(
        paths(&root),
        ["d", "d/after", "d/before", "d/sub", "d/sub/before", "e"]
    );
}

#[test]
fn a_whiteout_leads_through_links_of_the_container_and_no_further() {
    let mut root = tree(&[("etc/passwd", file("")), ("l", link("/../etc"))]);
    root.next_layer();
    root.white_out(&path("l"), b"passwd").unwrap();
    assert_eq!(paths(&root), ["etc", "l"]);
}

#[test]
fn nodes_are_limited_over_all() {
    let mut root = RootFs::new(3);
    root.put(&path("a/b"), Attributes::FOLDER, file(""))
        .unwrap();
    let result = root.put(&path("a/b"), Attributes::FOLDER, file(""));
    assert_eq!(result, Err(TreeError::Many));
}

#[test]
fn a_file_is_read_through_links_and_a_folder_is_not() {
    let mut root = tree(&[
        ("etc/passwd", file("x")),
        ("abs", link("/etc/passwd")),
        ("etc/rel", link("passwd")),
        ("loop", link("loop")),
    ]);
    for name in ["/etc/passwd", "/abs", "/etc/rel"] {
        assert_eq!(root.read(name), Some(&b"x"[..]), "{name}");
    }
    for name in ["/etc", "/", "/loop", "/nothing", "/../etc/passwd"] {
        assert_eq!(root.read(name), None, "{name}");
    }
}

/// Something that a layer may do.
#[derive(Debug, Clone)]
enum Step {
    Put(String, u8),
    Link(String, String),
    Symlink(String, String),
    Hide(String),
    HideAll(String),
    Layer,
}

fn step() -> impl Strategy<Value = Step> {
    let name = || "[ab](/[ab]){0,3}";
    let target = "/?(\\.\\./|[ab]/){0,3}[ab.]{0,2}";
    prop_oneof![
        (name(), 0u8..3).prop_map(|(path, kind)| Step::Put(path, kind)),
        (name(), name()).prop_map(|(path, target)| Step::Link(path, target)),
        (name(), target).prop_map(|(path, target)| Step::Symlink(path, target)),
        name().prop_map(Step::Hide),
        name().prop_map(Step::HideAll),
        Just(Step::Layer),
    ]
}

proptest! {
    #[test]
    fn whatever_layers_do_the_tree_is_one(steps in proptest::collection::vec(step(), 0..60)) {
        let mut root = RootFs::new(200);
        for step in &steps {
            let _ = match step {
                Step::Put(at, kind) => {
                    let content = match kind {
                        0 => file(at),
                        1 => folder(),
                        _ => Content::Fifo,
                    };
                    root.put(&path(at), Attributes::FOLDER, content).map(drop)
                }
                Step::Link(at, target) => root.put_link(&path(at), &path(target)),
                Step::Symlink(at, target) => root.put(&path(at), Attributes::FOLDER, link(target)).map(drop),
                Step::Hide(at) => root.white_out(&path(at).folder(), path(at).name().unwrap()),
                Step::HideAll(at) => root.white_out_all(&path(at)),
                Step::Layer => {
                    root.next_layer();
                    Ok(())
                }
            };
        }
        // Every node has as many names as it counts, folders one; there is no way round in circles, or
        // this would not end.
        let mut names = std::collections::HashMap::new();
        let mut pending = vec![root.root()];
        while let Some(id) = pending.pop() {
            for (_, child) in root.names(id) {
                *names.entry(child).or_insert(0u32) += 1;
                if matches!(root.node(child).content, Content::Folder(_)) {
                    pending.push(child);
                }
            }
        }
        for (id, count) in names {
            let node = root.node(id);
            prop_assert_eq!(node.links, count);
            prop_assert!(count == 1 || !matches!(node.content, Content::Folder(_)));
        }
    }
}
