// SPDX-License-Identifier: BSD-2-Clause
//! Makes layouts, good and bad.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// An archive of files.
pub fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, data) in files {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(data.len() as u64);
        header.set_cksum();
        archive.append(&header, data.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

/// The paths in an archive.
pub fn paths(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(Result::unwrap);
    entries
        .map(|entry| String::from_utf8_lossy(&entry.path_bytes()).into_owned())
        .collect()
}

/// Compresses as gzip does.
pub fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn sha256(data: &[u8]) -> String {
    let digits: String = Sha256::digest(data)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    format!("sha256:{digits}")
}

/// What an image is made from.
pub struct Image {
    /// Layers, unpacked.
    pub layers: Vec<Vec<u8>>,
    /// The same as they are stored, each with the end of its type; empty: as they are.
    pub stored: Vec<(String, Vec<u8>)>,
    /// The configuration, without what it says of the layers.
    pub config: Value,
    pub config_type: String,
    /// What it says of the layers; nothing: the truth.
    pub diff_ids: Option<Vec<String>>,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            layers: vec![tar(&[("bin/sh", "program")])],
            stored: Vec::new(),
            config: json!({ "architecture": "amd64", "os": "linux", "config": { "Cmd": ["/bin/sh"] } }),
            config_type: "application/vnd.oci.image.config.v1+json".into(),
            diff_ids: None,
        }
    }
}

impl Image {
    /// Stores the layers in this way.
    pub fn compress(&mut self, kind: &str) {
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let store = |layer: &Vec<u8>| match kind {
            "tar+gzip" => gzip(layer),
            "tar+zstd" => ruzstd::encoding::compress_to_vec(&layer[..], level),
            _ => layer.clone(),
        };
        self.stored = self
            .layers
            .iter()
            .map(|layer| (kind.to_owned(), store(layer)))
            .collect();
    }

    /// The configuration of an image of these layers.
    pub fn configuration(&self, layers: &[Vec<u8>]) -> Value {
        let diff_ids = layers.iter().map(|layer| sha256(layer)).collect();
        let mut config = self.config.clone();
        config["rootfs"] = json!({
            "type": "layers",
            "diff_ids": self.diff_ids.clone().unwrap_or(diff_ids),
        });
        config
    }
}

/// A layout in the making.
pub struct MakeLayout {
    folder: TempDir,
    root: PathBuf,
    /// Descriptors for `index.json`.
    pub entries: Vec<Value>,
}

impl MakeLayout {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("layout");
        fs::create_dir_all(root.join("blobs/sha256")).unwrap();
        Self {
            folder,
            root,
            entries: Vec::new(),
        }
    }

    pub fn path(&self) -> &Path {
        assert!(self.folder.path().exists());
        &self.root
    }

    fn blob(&self, kind: &str, data: &[u8]) -> Value {
        let digest = sha256(data);
        fs::write(self.root.join("blobs").join(digest.replace(':', "/")), data).unwrap();
        json!({ "mediaType": kind, "digest": digest, "size": data.len() })
    }

    /// Adds an image; `more` goes into its descriptor.
    pub fn add(&mut self, image: &Image, more: Value) {
        let stored = match image.stored.as_slice() {
            [] => image
                .layers
                .iter()
                .map(|layer| ("tar".to_owned(), layer.clone()))
                .collect(),
            stored => stored.to_vec(),
        };
        let layers: Vec<_> = stored
            .iter()
            .map(|(kind, data)| {
                self.blob(&format!("application/vnd.oci.image.layer.v1.{kind}"), data)
            })
            .collect();
        let configuration = image.configuration(&image.layers).to_string();
        let config = self.blob(&image.config_type, configuration.as_bytes());
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": layers });
        self.push(
            "application/vnd.oci.image.manifest.v1+json",
            &manifest,
            more,
        );
    }

    /// Puts all that was added into an index of its own.
    pub fn nest(&mut self, more: Value) {
        let index = json!({ "schemaVersion": 2, "manifests": std::mem::take(&mut self.entries) });
        self.push("application/vnd.oci.image.index.v1+json", &index, more);
    }

    fn push(&mut self, kind: &str, document: &Value, more: Value) {
        let mut descriptor = self.blob(kind, document.to_string().as_bytes());
        if let (Value::Object(descriptor), Value::Object(more)) = (&mut descriptor, more) {
            descriptor.extend(more);
        }
        self.entries.push(descriptor);
    }

    /// Writes what makes a folder a layout.
    pub fn finish(&mut self) {
        fs::write(
            self.root.join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )
        .unwrap();
        let index = json!({ "schemaVersion": 2, "manifests": self.entries });
        fs::write(self.root.join("index.json"), index.to_string()).unwrap();
    }
}
