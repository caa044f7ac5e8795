// SPDX-License-Identifier: BSD-2-Clause
//! Bundles: a `config.json` and a folder.

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use xos_container::Container;
use xos_oci::{Error, Kind, Limits, Packed, pack};

struct Bundle(TempDir);

impl Bundle {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Value)) -> Self {
        let mut config = json!({
            "ociVersion": "1.0.2",
            "root": { "path": "rootfs" },
            "process": { "cwd": "/", "args": ["/bin/true"], "user": { "uid": 0, "gid": 0 } },
        });
        change(&mut config);
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rootfs")).unwrap();
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn root(&self, name: &str) -> std::path::PathBuf {
        self.path().join("rootfs").join(name)
    }

    fn pack(&self) -> xos_oci::Result<Packed> {
        self.pack_with(&Limits::default())
    }

    fn pack_with(&self, limits: &Limits) -> xos_oci::Result<Packed> {
        pack(self.path().to_str().unwrap(), limits)
    }

    fn error(&self) -> String {
        self.pack().unwrap_err().to_string()
    }
}

/// Name, type and target of each entry but the root.
fn entries(packed: &Packed) -> Vec<(String, tar::EntryType, String)> {
    let mut archive = tar::Archive::new(&packed.archive[..]);
    let entries = archive.entries().unwrap().map(Result::unwrap);
    entries
        .skip(1)
        .map(|entry| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let target = entry.link_name_bytes().unwrap_or_default();
            (
                text(&entry.path_bytes()),
                entry.header().entry_type(),
                text(&target),
            )
        })
        .collect()
}

#[test]
fn a_bundle_is_told_from_other_folders() {
    assert_eq!(Kind::of_folder(Bundle::new().path()), Some(Kind::Bundle));
    assert_eq!(Kind::of_folder(tempfile::tempdir().unwrap().path()), None);
}

#[test]
fn files_folders_links_and_pipes_come_as_they_are() {
    use tar::EntryType::{Directory, Fifo, Link, Regular, Symlink};
    let bundle = Bundle::new();
    fs::create_dir(bundle.root("d")).unwrap();
    fs::write(bundle.root("d/a"), "data").unwrap();
    fs::hard_link(bundle.root("d/a"), bundle.root("e")).unwrap();
    symlink("/etc/shadow", bundle.root("l")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(bundle.root("p"))
            .status()
            .unwrap()
            .success()
    );
    let kinds: Vec<_> = entries(&bundle.pack().unwrap());
    let expected = [
        ("d/", Directory, ""),
        ("d/a", Regular, ""),
        ("e", Link, "d/a"),
        ("l", Symlink, "/etc/shadow"),
        ("p", Fifo, ""),
    ];
    let expected = expected.map(|(name, kind, target)| (name.to_owned(), kind, target.to_owned()));
    assert_eq!(kinds, expected);
}

#[test]
fn modes_come_with_files() {
    let bundle = Bundle::new();
    fs::write(bundle.root("a"), "").unwrap();
    fs::set_permissions(bundle.root("a"), fs::Permissions::from_mode(0o4711)).unwrap();
    let packed = bundle.pack().unwrap();
    let mut archive = tar::Archive::new(&packed.archive[..]);
    let entry = archive.entries().unwrap().nth(1).unwrap().unwrap();
    assert_eq!(entry.header().mode().unwrap(), 0o4711);
}

#[test]
fn a_link_out_of_the_root_brings_nothing_of_the_host() {
    let bundle = Bundle::new();
    fs::write(bundle.path().join("secret"), "the host's").unwrap();
    symlink("../secret", bundle.root("file")).unwrap();
    symlink("/etc", bundle.root("folder")).unwrap();
    let packed = bundle.pack().unwrap();
    assert_eq!(entries(&packed).len(), 2);
    assert!(
        !packed
            .archive
            .windows(10)
            .any(|bytes| bytes == b"the host's")
    );
}

#[test]
fn a_root_outside_the_bundle_is_refused() {
    let outside = tempfile::tempdir().unwrap();
    for path in [
        "/",
        "/etc",
        "..",
        "rootfs/../..",
        outside.path().to_str().unwrap(),
    ] {
        let bundle = Bundle::with(|config| config["root"]["path"] = json!(path));
        assert!(bundle.error().contains("out of the bundle"), "{path}");
    }
    let bundle = Bundle::with(|config| config["root"]["path"] = json!("link"));
    symlink(outside.path(), bundle.path().join("link")).unwrap();
    assert!(bundle.error().contains("out of the bundle"));
}

#[test]
fn a_root_that_is_missing_or_no_folder_is_refused() {
    let bundle = Bundle::with(|config| config["root"]["path"] = json!("nothing"));
    assert!(bundle.error().contains("cannot read"));
    let bundle = Bundle::with(|config| config["root"]["path"] = json!("config.json"));
    assert!(bundle.error().contains("no folder"));
}

#[test]
fn sockets_are_left_out_with_a_note() {
    let bundle = Bundle::new();
    let _listener = UnixListener::bind(bundle.root("s")).unwrap();
    let packed = bundle.pack().unwrap();
    assert!(entries(&packed).is_empty());
    assert!(packed.notes.iter().any(|note| note.contains("sockets")));
}

#[test]
fn a_device_node_is_refused() {
    let bundle = Bundle::new();
    let made = Command::new("mknod")
        .args([bundle.root("disk").to_str().unwrap(), "b", "8", "0"])
        .output();
    if made.unwrap().status.success() {
        assert!(bundle.error().contains("device nodes are refused"));
    } else {
        // Only the administrator makes such nodes; then there is none to refuse.
        assert!(bundle.pack().is_ok());
    }
}

#[test]
fn limits_hold_for_folders_too() {
    let bundle = Bundle::new();
    fs::write(bundle.root("a"), [0; 5000]).unwrap();
    let small = Limits {
        unpacked: 4999,
        ..Limits::default()
    };
    assert!(matches!(
        bundle.pack_with(&small),
        Err(Error::TooLarge { .. })
    ));
    for i in 0..20 {
        fs::write(bundle.root(&i.to_string()), "").unwrap();
    }
    let few = Limits {
        entries: 10,
        ..Limits::default()
    };
    assert!(
        bundle
            .pack_with(&few)
            .unwrap_err()
            .to_string()
            .contains("limit")
    );
    let short = Limits {
        json: 20,
        ..Limits::default()
    };
    assert!(matches!(
        bundle.pack_with(&short),
        Err(Error::TooLarge { .. })
    ));
}

#[test]
fn the_same_bundle_makes_the_same_bytes() {
    let bundle = Bundle::new();
    for name in ["z", "a", "m"] {
        fs::write(bundle.root(name), name).unwrap();
    }
    let (one, two) = (bundle.pack().unwrap(), bundle.pack().unwrap());
    assert!(one == two);
    let container = Container::read(&one.description).unwrap();
    assert_eq!(container.root.image, one.digest);
    assert!(
        container
            .process
            .environment
            .iter()
            .any(|text| text == "HOME=/")
    );
}

#[test]
fn what_is_refused_is_said_before_a_file_is_read() {
    let bundle = Bundle::with(|config| {
        config["root"]["path"] = json!("nothing");
        config["linux"] = json!({ "resources": { "cpu": { "quota": 1000 } } });
    });
    let error = bundle.error();
    assert!(error.contains("linux.resources.cpu.quota"), "{error}");
}
