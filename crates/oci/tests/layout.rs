// SPDX-License-Identifier: BSD-2-Clause
//! Images in layouts, whole and damaged: what is found, and what is refused.

mod support;

use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Image, MakeLayout, gzip, paths, tar};
use xos_container::Container;
use xos_oci::{Error, Limits, pack};

const SMALL: Limits = Limits {
    json: 8000,
    blob: 1 << 20,
    unpacked: 1 << 20,
    entries: 100,
    layers: 4,
    manifests: 8,
    index_depth: 2,
};

fn packed(path: &Path) -> xos_oci::Result<xos_oci::Packed> {
    pack(path.to_str().unwrap(), &SMALL)
}

fn error(layout: &MakeLayout) -> String {
    packed(layout.path()).unwrap_err().to_string()
}

/// A layout of one image, after a change.
fn changed(change: impl FnOnce(&mut Image)) -> MakeLayout {
    let mut image = Image::default();
    change(&mut image);
    let mut layout = MakeLayout::new();
    layout.add(&image, json!({}));
    layout.finish();
    layout
}

#[test]
fn an_image_is_its_layers_one_over_the_other() {
    let layout = changed(|image| {
        image.layers = vec![
            tar(&[("bin/sh", "1"), ("gone", "1")]),
            tar(&[("bin/sh", "2"), (".wh.gone", "")]),
        ];
    });
    let packed = packed(layout.path()).unwrap();
    assert_eq!(paths(&packed.archive), ["./", "bin/", "bin/sh"]);
    let container = Container::read(&packed.description).unwrap();
    assert_eq!(container.root.image, packed.digest);
    assert_eq!(
        container.process.arguments.iter().collect::<Vec<_>>(),
        ["/bin/sh"]
    );
}

#[test]
fn all_compressions_give_the_same_root() {
    let digests: Vec<_> = ["tar", "tar+gzip", "tar+zstd"]
        .iter()
        .map(|kind| {
            let layout = changed(|image| image.compress(kind));
            packed(layout.path()).unwrap().digest
        })
        .collect();
    assert!(digests.iter().all(|digest| *digest == digests[0]));
}

#[test]
fn a_compressed_layer_may_come_in_pieces() {
    let plain = tar(&[("bin/sh", "1")]);
    let (one, two) = plain.split_at(700);
    let zstd = |data: &[u8]| {
        ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
    };
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
    for (kind, stored) in [
        ("tar+gzip", [gzip(one), gzip(two)].concat()),
        (
            "tar+zstd",
            [skipped.clone(), zstd(one), skipped, zstd(two)].concat(),
        ),
    ] {
        let layout = changed(|image| {
            image.layers = vec![plain.clone()];
            image.stored = vec![(kind.into(), stored.clone())];
        });
        assert_eq!(
            paths(&packed(layout.path()).unwrap().archive),
            ["./", "bin/", "bin/sh"],
            "{kind}"
        );
    }
}

#[test]
fn a_layer_that_is_cut_or_of_another_compression_is_refused() {
    let plain = tar(&[("bin/sh", "1")]);
    let skip_nothing = vec![0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0x7f];
    for (kind, stored) in [
        ("tar+gzip", gzip(&plain)[..50].to_vec()),
        ("tar+gzip", plain.clone()),
        ("tar+zstd", plain.clone()),
        ("tar+zstd", skip_nothing),
        ("tar", gzip(&plain)),
    ] {
        let layout = changed(|image| image.stored = vec![(kind.into(), stored.clone())]);
        assert!(packed(layout.path()).is_err(), "{kind}");
    }
}

#[test]
fn a_layer_that_unpacks_to_more_than_the_limit_is_refused() {
    let bomb = tar(&[("zeros", &"\0".repeat(8 << 20))]);
    for kind in ["tar+gzip", "tar+zstd"] {
        let layout = changed(|image| {
            image.layers = vec![bomb.clone()];
            image.compress(kind);
        });
        let error = error(&layout);
        assert!(error.contains("larger than 1048576 bytes"), "{error}");
    }
}

#[test]
fn every_blob_is_compared_with_its_digest_and_size() {
    let whole = changed(|_| {});
    let folder = whole.path().join("blobs/sha256");
    for blob in fs::read_dir(&folder).unwrap() {
        let blob = blob.unwrap().path();
        let bytes = fs::read(&blob).unwrap();
        let mut other = bytes.clone();
        let middle = other.len() / 2;
        other[middle] ^= 1;
        for damaged in [&other[..], &bytes[1..], &[&bytes[..], b" "].concat()] {
            fs::write(&blob, damaged).unwrap();
            let error = packed(whole.path()).unwrap_err();
            assert!(matches!(error, Error::Blob { .. }), "{error}");
        }
        fs::write(&blob, bytes).unwrap();
    }
    assert!(packed(whole.path()).is_ok());
}

#[test]
fn a_blob_that_is_missing_or_no_file_is_an_error_and_nothing_waits() {
    let layout = changed(|_| {});
    for blob in fs::read_dir(layout.path().join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap().path();
        let bytes = fs::read(&blob).unwrap();
        fs::remove_file(&blob).unwrap();
        assert!(error(&layout).contains("has no blobs/sha256/"));
        assert!(
            Command::new("mkfifo")
                .arg(&blob)
                .status()
                .unwrap()
                .success()
        );
        assert!(error(&layout).contains("has no blobs/sha256/"));
        fs::remove_file(&blob).unwrap();
        fs::write(&blob, bytes).unwrap();
    }
}

#[test]
fn a_digest_is_no_path() {
    for digest in [
        "sha256:../../../../etc/passwd",
        "../sha256:00",
        "sha256:",
        "sha256:ABCDEF",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
    ] {
        let mut layout = MakeLayout::new();
        layout.entries = vec![json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 5,
        })];
        layout.finish();
        assert!(packed(layout.path()).is_err(), "{digest}");
    }
}

#[test]
fn a_layer_is_compared_with_what_the_configuration_says_of_it() {
    let layout = changed(|image| image.diff_ids = Some(vec![format!("sha256:{}", "0".repeat(64))]));
    assert!(error(&layout).contains("unpacked, its digest is"));
    let layout = changed(|image| image.diff_ids = Some(vec![]));
    assert!(error(&layout).contains("0 layers"));
    let layout = changed(|image| image.diff_ids = Some(vec!["x".into()]));
    assert!(error(&layout).contains("no digest"));
}

#[test]
fn layers_of_unknown_types_and_too_many_layers_are_refused() {
    let layout = changed(|image| image.compress("tar+brotli"));
    assert!(error(&layout).contains("tar+brotli"));
    let layout = changed(|image| image.layers = vec![tar(&[("a", "1")]); 5]);
    assert!(error(&layout).contains("larger than 4 layers"));
}

#[test]
fn an_image_for_another_machine_is_refused() {
    let layout = changed(|image| image.config["architecture"] = json!("arm64"));
    assert!(error(&layout).contains("linux/arm64"));
    let layout = changed(|image| image.config["os"] = json!("windows"));
    assert!(error(&layout).contains("windows/amd64"));
}

#[test]
fn the_image_for_this_machine_is_found_among_others() {
    let mut layout = MakeLayout::new();
    let arm = Image {
        config: json!({ "architecture": "arm64", "os": "linux", "config": { "Cmd": ["/arm"] } }),
        ..Image::default()
    };
    let platform =
        |architecture: &str| json!({ "platform": { "architecture": architecture, "os": "linux" } });
    layout.add(&arm, platform("arm64"));
    layout.add(&Image::default(), platform("amd64"));
    let attestation = Image {
        config: json!({ "architecture": "unknown", "os": "unknown" }),
        ..Image::default()
    };
    layout.add(
        &attestation,
        json!({ "platform": { "architecture": "unknown", "os": "unknown" } }),
    );
    layout.nest(json!({}));
    layout.finish();
    let packed = packed(layout.path()).unwrap();
    let container = Container::read(&packed.description).unwrap();
    assert_eq!(container.process.arguments.iter().next(), Some("/bin/sh"));
}

#[test]
fn one_of_several_images_is_chosen_by_name() {
    let named =
        |name: &str| json!({ "annotations": { "org.opencontainers.image.ref.name": name } });
    let with_command = |command: &str| {
        let mut image = Image::default();
        image.config["config"]["Cmd"] = json!([command]);
        image
    };
    let mut layout = MakeLayout::new();
    layout.add(&with_command("/one"), named("example.org/box:1"));
    layout.add(&with_command("/two"), named("latest"));
    layout.finish();
    let choose = |reference: &str| {
        let path = format!("{}:{reference}", layout.path().display());
        let packed = pack(&path, &SMALL)?;
        let container = Container::read(&packed.description).unwrap();
        Ok::<_, Error>(
            container
                .process
                .arguments
                .iter()
                .next()
                .unwrap()
                .to_owned(),
        )
    };
    for (reference, command) in [
        ("example.org/box:1", "/one"),
        ("1", "/one"),
        ("latest", "/two"),
    ] {
        assert_eq!(choose(reference).unwrap(), command);
    }
    let error = choose("none").unwrap_err().to_string();
    assert!(
        error.contains("example.org/box:1") && error.contains("latest"),
        "{error}"
    );
    let error = packed(layout.path()).unwrap_err().to_string();
    assert!(error.contains("several images"), "{error}");
}

#[test]
fn an_image_under_two_names_is_one() {
    let mut layout = MakeLayout::new();
    for name in ["a", "b"] {
        layout.add(
            &Image::default(),
            json!({ "annotations": { "org.opencontainers.image.ref.name": name } }),
        );
    }
    layout.finish();
    assert!(packed(layout.path()).is_ok());
}

#[test]
fn indexes_do_not_nest_without_end_and_manifests_are_counted() {
    let mut layout = MakeLayout::new();
    layout.add(&Image::default(), json!({}));
    for _ in 0..3 {
        layout.nest(json!({}));
    }
    layout.finish();
    assert!(error(&layout).contains("nesting"));

    let mut layout = MakeLayout::new();
    for _ in 0..9 {
        layout.add(&Image::default(), json!({}));
    }
    layout.finish();
    assert!(error(&layout).contains("8 manifests"));
}

#[test]
fn a_layout_without_images_or_of_another_version_is_refused() {
    let mut layout = MakeLayout::new();
    layout.finish();
    assert!(error(&layout).contains("no image for linux/amd64"));
    fs::write(
        layout.path().join("oci-layout"),
        r#"{"imageLayoutVersion":"2.0.0"}"#,
    )
    .unwrap();
    assert!(error(&layout).contains("imageLayoutVersion"));
    fs::write(layout.path().join("oci-layout"), "not JSON").unwrap();
    assert!(error(&layout).contains("oci-layout is malformed"));
}

#[test]
fn documents_that_are_malformed_or_too_large_are_refused() {
    let layout = changed(|_| {});
    let index = layout.path().join("index.json");
    let deep = format!("{}{}", "[".repeat(3000), "]".repeat(3000));
    for text in ["", "{", "[]", "null", r#"{"schemaVersion":"x"}"#, &deep] {
        fs::write(&index, text).unwrap();
        assert!(
            error(&layout).contains("malformed"),
            "{}",
            &text[..text.len().min(50)]
        );
    }
    fs::write(&index, " ".repeat(9000)).unwrap();
    assert!(error(&layout).contains("larger than 8000 bytes"));
    fs::remove_file(&index).unwrap();
    assert!(error(&layout).contains("has no index.json"));
}

#[test]
fn what_is_no_image_of_a_container_is_refused() {
    let layout = changed(|image| image.config_type = "application/vnd.example.chart".into());
    assert!(error(&layout).contains("vnd.example.chart"));
}

/// The same as an archive, beside it.
fn archived(layout: &MakeLayout) -> PathBuf {
    let archive = layout.path().with_file_name("image.tar");
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(layout.path()).arg("-cf").arg(&archive);
    assert!(tar.arg(".").status().unwrap().success());
    archive
}

#[test]
fn a_layout_may_be_an_archive() {
    let layout = changed(|_| {});
    let expected = packed(layout.path()).unwrap();
    assert_eq!(packed(&archived(&layout)).unwrap(), expected);
}

#[test]
fn an_archive_with_a_layout_and_the_older_form_is_read_by_its_digests() {
    let mut layout = MakeLayout::new();
    // As docker saves it, but that what has no digests leads nowhere.
    let names = json!({ "annotations": {
        "io.containerd.image.name": "docker.io/library/box:1",
        "org.opencontainers.image.ref.name": "1",
    }});
    layout.add(&Image::default(), names);
    layout.finish();
    let expected = packed(layout.path()).unwrap();
    let older = json!([{ "Config": "blobs/sha256/0", "RepoTags": ["box:1"], "Layers": [] }]);
    fs::write(layout.path().join("manifest.json"), older.to_string()).unwrap();
    let archive = archived(&layout);
    for name in ["", ":1", ":docker.io/library/box:1"] {
        let path = format!("{}{name}", archive.display());
        assert_eq!(pack(&path, &SMALL).unwrap(), expected, "{name}");
    }
}

#[test]
fn a_file_that_is_no_archive_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x");
    for bytes in [&b""[..], b"hello", &[0; 2000]] {
        fs::write(&file, bytes).unwrap();
        assert!(packed(&file).is_err());
    }
    assert!(matches!(
        packed(Path::new("/no/such/file")),
        Err(Error::NoContainer(_))
    ));
    assert!(matches!(packed(folder.path()), Err(Error::NoContainer(_))));
}

#[test]
fn an_archive_of_the_older_form_is_read_and_its_layers_compared() {
    let folder = tempfile::tempdir().unwrap();
    let layer = tar(&[("bin/sh", "1")]);
    let config = Image::default()
        .configuration(std::slice::from_ref(&layer))
        .to_string();
    let manifest =
        json!([{ "Config": "c.json", "RepoTags": ["box:latest"], "Layers": ["l1/layer.tar"] }])
            .to_string();
    let text = String::from_utf8(layer).unwrap();
    let write = |name: &str, layer: &str| {
        let path = folder.path().join(name);
        let files = [
            ("manifest.json", &*manifest),
            ("c.json", &*config),
            ("l1/layer.tar", layer),
        ];
        fs::write(&path, tar(&files)).unwrap();
        path
    };
    let good = write("good.tar", &text);
    assert_eq!(
        paths(&packed(&good).unwrap().archive),
        ["./", "bin/", "bin/sh"]
    );
    let tagged = |tag: &str| pack(&format!("{}:{tag}", good.display()), &SMALL);
    assert!(tagged("box:latest").is_ok());
    assert!(
        tagged("other")
            .unwrap_err()
            .to_string()
            .contains("box:latest")
    );
    let other = tar(&[("bin/sh", "evil")]);
    let bad = write("bad.tar", std::str::from_utf8(&other).unwrap());
    assert!(matches!(packed(&bad), Err(Error::Blob { .. })));
}

#[test]
fn a_name_that_is_twice_in_an_archive_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    fs::write(&path, tar(&[("oci-layout", "{}"), ("./oci-layout", "{}")])).unwrap();
    assert!(packed(&path).unwrap_err().to_string().contains("twice"));
}

#[test]
fn containers_with_the_same_files_share_their_root_whatever_the_layers() {
    let one = changed(|image| image.layers = vec![tar(&[("a", "1"), ("b", "1")])]);
    let two =
        changed(|image| image.layers = vec![tar(&[("b", "0")]), tar(&[("a", "1"), ("b", "1")])]);
    let digests = [one, two].map(|layout| packed(layout.path()).unwrap().digest);
    assert_eq!(digests[0], digests[1]);
}
