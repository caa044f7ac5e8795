// SPDX-License-Identifier: BSD-2-Clause
//! Containers as others' tools make them: images and bundles of umoci's, images of buildah's, copies of skopeo's, with
//! programs of Debian's in them.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;
use xos_container::{Container, MountKind};
use xos_oci::{Error, Limits, Packed};
use xtask::debian;

fn tool(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error} (`make deps` installs it)"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A layout with the image `box:1`: busybox with two of its names in a layer, and a layer that takes one
/// of them away, replaces a file and adds sash.
struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn make() -> Self {
        let this = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let image = format!("{}:1", this.text("box"));
        let (first, second) = (this.text("first"), this.text("second"));
        tool("umoci", &["init", "--layout", &this.text("box")]);
        tool("umoci", &["new", "--image", &image]);
        unpack(&image, &first);
        let root = Path::new(&first).join("rootfs");
        for folder in ["bin", "etc", "home"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::copy(
            debian::program("busybox").unwrap(),
            root.join("bin/busybox"),
        )
        .unwrap();
        fs::hard_link(root.join("bin/busybox"), root.join("bin/sh")).unwrap();
        symlink("busybox", root.join("bin/ls")).unwrap();
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0::/root:\nann:x:1000:1000::/home:\n",
        )
        .unwrap();
        fs::write(root.join("etc/motd"), "one").unwrap();
        repack(&image, &first);
        unpack(&image, &second);
        let root = Path::new(&second).join("rootfs");
        fs::remove_file(root.join("bin/ls")).unwrap();
        fs::write(root.join("etc/motd"), "two").unwrap();
        let sash = root.join("bin/sash");
        fs::copy(debian::program("sash").unwrap(), &sash).unwrap();
        fs::set_permissions(&sash, fs::Permissions::from_mode(0o755)).unwrap();
        repack(&image, &second);
        tool(
            "umoci",
            &[
                "config",
                "--image",
                &image,
                "--config.entrypoint",
                "/bin/sh",
                "--config.cmd",
                "-c",
                "--config.cmd",
                "echo $GREETING",
                "--config.env",
                "GREETING=hello",
                "--config.workingdir",
                "/home",
                "--config.user",
                "ann",
            ],
        );
        this
    }
}

/// Whether one is the administrator or not, umoci can unpack.
fn unpack(image: &str, bundle: &str) {
    tool("umoci", &["unpack", "--rootless", "--image", image, bundle]);
}

fn repack(image: &str, bundle: &str) {
    tool("umoci", &["repack", "--image", image, bundle]);
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(Fixture::make)
}

fn pack(path: &str) -> xos_oci::Result<Packed> {
    xos_oci::pack(path, &Limits::default())
}

/// Contents of the files of a root, and targets of its links.
fn contents(packed: &Packed) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(&packed.archive[..]);
    let mut contents = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut data = entry.link_name_bytes().unwrap_or_default().into_owned();
        std::io::Read::read_to_end(&mut entry, &mut data).unwrap();
        contents.insert(name, data);
    }
    contents
}

#[test]
fn an_image_that_umoci_made_has_the_files_of_its_layers() {
    let packed = pack(&fixture().text("box")).unwrap();
    let contents = contents(&packed);
    let busybox = fs::read(debian::program("busybox").unwrap()).unwrap();
    assert!(contents["bin/busybox"] == busybox);
    assert_eq!(contents["bin/sh"], b"bin/busybox");
    assert_eq!(contents["etc/motd"], b"two");
    assert!(contents.contains_key("bin/sash"));
    assert!(
        !contents.contains_key("bin/ls"),
        "it was removed in the second layer"
    );
}

#[test]
fn what_umoci_wrote_into_the_configuration_is_what_runs() {
    let packed = pack(&format!("{}:1", fixture().text("box"))).unwrap();
    let container = Container::read(&packed.description).unwrap();
    let process = &container.process;
    let arguments: Vec<_> = process.arguments.iter().collect();
    assert_eq!(arguments, ["/bin/sh", "-c", "echo $GREETING"]);
    assert_eq!(process.entrypoint, 1);
    assert!(
        process
            .environment
            .iter()
            .any(|text| text == "GREETING=hello")
    );
    assert!(process.environment.iter().any(|text| text == "HOME=/home"));
    assert_eq!((process.cwd, process.user.uid), ("/home", 1000));
}

#[test]
fn copies_of_skopeos_in_other_forms_are_the_same_container() {
    let original = format!("oci:{}:1", fixture().text("box"));
    let expected = pack(&fixture().text("box")).unwrap();
    for (form, name, options) in [
        ("oci-archive", "copy.tar", &[][..]),
        (
            "oci",
            "zstd",
            &["--dest-compress", "--dest-compress-format", "zstd"],
        ),
        ("docker-archive", "docker.tar", &[]),
    ] {
        let tag = if form == "docker-archive" {
            "box:1"
        } else {
            "1"
        };
        let target = format!("{form}:{}:{tag}", fixture().text(name));
        let mut arguments = vec!["--insecure-policy", "copy"];
        arguments.extend(options);
        arguments.extend([&*original, &*target]);
        tool("skopeo", &arguments);
        let packed = pack(&fixture().text(name)).unwrap();
        assert!(packed == expected, "{form}");
    }
}

#[test]
fn an_image_that_buildah_made_is_the_same_container_in_all_its_forms() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // What it needs beside itself is skopeo's, too.
    let program = debian::unpacked("buildah").unwrap();
    let program = program.join("usr/bin/buildah").display().to_string();
    let buildah = |arguments: &[&str]| {
        let (root, run) = (path("storage"), path("run"));
        let mut all = vec![
            "--storage-driver",
            "vfs",
            "--root",
            &root,
            "--runroot",
            &run,
        ];
        all.extend(arguments);
        tool(&program, &all);
    };
    let policy = path("policy.json");
    fs::write(
        &policy,
        r#"{"default":[{"type":"insecureAcceptAnything"}]}"#,
    )
    .unwrap();
    let busybox = debian::program("busybox").unwrap();
    let (one, two) = (path("one"), path("two"));
    fs::write(&one, "one").unwrap();
    // It tells files apart by their size and their time.
    fs::write(&two, "another").unwrap();
    let commit = |container: &str, image: &str| {
        buildah(&["commit", "--signature-policy", &policy, container, image]);
    };
    buildah(&["from", "--name", "first", "scratch"]);
    buildah(&["add", "first", busybox.to_str().unwrap(), "/bin/sh"]);
    buildah(&["add", "first", &one, "/etc/motd"]);
    commit("first", "base:1");
    let from = ["from", "--pull-never", "--signature-policy", &policy];
    buildah(&[&from[..], &["--name", "second", "base:1"]].concat());
    buildah(&["add", "second", &two, "/etc/motd"]);
    buildah(&["config", "--entrypoint", r#"["/bin/sh","-c"]"#, "second"]);
    buildah(&[
        "config",
        "--cmd",
        "true",
        "--env",
        "GREETING=hello",
        "second",
    ]);
    commit("second", "box:1");
    let forms = ["oci", "oci-archive", "docker-archive"].map(|form| {
        let place = path(&format!("{form}.image"));
        let target = format!("{form}:{place}:box:1");
        buildah(&["push", "--signature-policy", &policy, "box:1", &target]);
        pack(&place).unwrap()
    });
    let [packed, others @ ..] = &forms;
    assert!(others.iter().all(|other| other == packed));
    let contents = contents(packed);
    assert!(contents["bin/sh"] == fs::read(busybox).unwrap());
    assert_eq!(contents["etc/motd"], b"another");
    let container = Container::read(&packed.description).unwrap();
    let arguments: Vec<_> = container.process.arguments.iter().collect();
    assert_eq!(arguments, ["/bin/sh", "-c", "true"]);
}

#[test]
fn a_bundle_that_umoci_unpacked_is_taken_when_it_asks_for_no_files_of_a_host() {
    let bundle = fixture().text("bundle");
    unpack(&format!("{}:1", fixture().text("box")), &bundle);
    // For whoever is not the administrator umoci writes bind mounts of these two.
    let error = pack(&bundle).unwrap_err().to_string();
    assert!(error.contains("mounts[/etc/resolv.conf].source"), "{error}");
    let file = Path::new(&bundle).join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let mounts = config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["type"] != "bind" && mount["type"] != "none");
    fs::write(&file, config.to_string()).unwrap();

    let packed = pack(&bundle).unwrap();
    let container = Container::read(&packed.description).unwrap();
    let kinds: Vec<_> = container
        .mounts
        .iter()
        .map(|mount| (mount.target, mount.kind))
        .collect();
    assert!(kinds.contains(&("/proc", MountKind::Proc)), "{kinds:?}");
    assert!(!container.masked_paths.is_empty());
    let sash = fs::read(debian::program("sash").unwrap()).unwrap();
    assert!(contents(&packed)["bin/sash"] == sash);
}

#[test]
fn a_damaged_copy_is_refused() {
    let copy = fixture().text("damaged");
    let original = format!("oci:{}:1", fixture().text("box"));
    tool(
        "skopeo",
        &[
            "--insecure-policy",
            "copy",
            &original,
            &format!("oci:{copy}:1"),
        ],
    );
    let blobs = fs::read_dir(Path::new(&copy).join("blobs/sha256")).unwrap();
    let largest = blobs
        .map(|blob| blob.unwrap().path())
        .max_by_key(|path| path.metadata().unwrap().len());
    let largest = largest.unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&largest, bytes).unwrap();
    assert!(matches!(pack(&copy), Err(Error::Blob { .. })));
}
