// SPDX-License-Identifier: BSD-2-Clause
//! Images: layers and a configuration (image specification, "Image Manifest", "Image Configuration").

use crate::layer::{self, LeftOut};
use crate::layout::Layout;
use crate::root::RootFs;
use crate::{Error, Limits, Packed, Result, archive, describe, platform};
use flate2::read::MultiGzDecoder;
use oci_spec::image::{Arch, Config, Digest, ImageConfiguration, MediaType, Os};
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::io::{self, BufRead, Read};
use std::path::Path;

/// How a layer is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

/// A layer as it is stored, and what it is when unpacked.
struct Layer {
    name: String,
    bytes: Vec<u8>,
    compression: Compression,
}

/// Reads an image.
///
/// # Errors
/// What is wrong with it.
pub fn pack(path: &Path, reference: Option<&str>, limits: &Limits) -> Result<Packed> {
    let layout = Layout::open(path, limits)?;
    let (configuration, layers) = if layout.is_oci()? {
        oci(&layout, reference, limits)?
    } else if layout.has("manifest.json") {
        older(&layout, reference, limits)?
    } else {
        return Err(Error::NoContainer(path.to_owned()));
    };
    let mut left_out = LeftOut::default();
    let mut root = unpack(&configuration, layers, limits, &mut left_out)?;
    let (archive, digest) = archive::write(&root).map_err(|error| Error::Layer {
        layer: "the root file system".into(),
        error,
    })?;
    let (description, mut notes) = describe::image(config(&configuration), &mut root, digest)?;
    notes.extend(left_out.notes());
    Ok(Packed {
        description,
        archive,
        digest,
        notes,
    })
}

fn config(configuration: &ImageConfiguration) -> Config {
    configuration.config().clone().unwrap_or_default()
}

/// The configuration and the layers of an image in a layout of the specification.
fn oci(
    layout: &Layout,
    reference: Option<&str>,
    limits: &Limits,
) -> Result<(ImageConfiguration, Vec<Layer>)> {
    let manifest = platform::select(layout, reference, limits)?;
    match manifest.config().media_type() {
        MediaType::ImageConfig => {}
        MediaType::Other(kind) if kind == "application/vnd.docker.container.image.v1+json" => {}
        other => {
            return Err(Error::Layout(format!(
                "this is no image of a container, but {other}"
            )));
        }
    }
    if manifest.layers().len() > limits.layers {
        return Err(too_many_layers(limits));
    }
    let configuration = layout.document(manifest.config())?;
    let mut layers = Vec::new();
    // What the layers may have in all is what each may have: they are in memory together.
    let mut left = limits.blob;
    for descriptor in manifest.layers() {
        let compression = match descriptor.media_type() {
            MediaType::ImageLayer | MediaType::ImageLayerNonDistributable => Compression::None,
            MediaType::ImageLayerGzip | MediaType::ImageLayerNonDistributableGzip => {
                Compression::Gzip
            }
            MediaType::ImageLayerZstd | MediaType::ImageLayerNonDistributableZstd => {
                Compression::Zstd
            }
            MediaType::Other(kind)
                if kind == "application/vnd.docker.image.rootfs.diff.tar.gzip" =>
            {
                Compression::Gzip
            }
            MediaType::Other(kind) if kind == "application/vnd.docker.image.rootfs.diff.tar" => {
                Compression::None
            }
            other => {
                return Err(Error::Layout(format!(
                    "a layer of type {other} cannot be unpacked"
                )));
            }
        };
        let bytes = layout.blob(descriptor, left)?;
        left -= bytes.len() as u64;
        layers.push(Layer {
            name: format!("layer {}", descriptor.digest()),
            bytes,
            compression,
        });
    }
    Ok((configuration, layers))
}

fn too_many_layers(limits: &Limits) -> Error {
    Error::TooLarge {
        what: "the image".into(),
        limit: limits.layers as u64,
        unit: "layers",
    }
}

/// The same for an archive of the older form: `manifest.json` is a list of images, each with the names
/// of its configuration and of its layers.
fn older(
    layout: &Layout,
    reference: Option<&str>,
    limits: &Limits,
) -> Result<(ImageConfiguration, Vec<Layer>)> {
    let malformed = |why: &str| Error::Json {
        what: "manifest.json".into(),
        why: why.into(),
    };
    let document: Value = layout.json("manifest.json")?;
    let images = document
        .as_array()
        .ok_or_else(|| malformed("it is no list"))?;
    let strings = |image: &Value, key: &str| -> Vec<String> {
        let list = image.get(key).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect()
    };
    let is_meant = |image: &&Value| {
        reference.is_none_or(|wanted| strings(image, "RepoTags").iter().any(|tag| tag == wanted))
    };
    let mut meant = images.iter().filter(is_meant);
    let (Some(image), None) = (meant.next(), meant.next()) else {
        let tags: Vec<_> = images
            .iter()
            .flat_map(|image| strings(image, "RepoTags"))
            .collect();
        return Err(Error::Layout(format!(
            "{} has not exactly one image of that name: write one of these behind it, after a colon: {}",
            layout.path().display(),
            tags.join(", ")
        )));
    };
    let name = image.get("Config").and_then(Value::as_str);
    let name = name.ok_or_else(|| malformed("an image has no Config"))?;
    let configuration = layout.json(name)?;
    let names = strings(image, "Layers");
    if names.len() > limits.layers {
        return Err(too_many_layers(limits));
    }
    let mut left = limits.blob;
    let mut layers = Vec::new();
    for name in names {
        let bytes = layout.file(&name, left)?;
        left -= bytes.len() as u64;
        let compression = match &bytes[..] {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            _ => Compression::None,
        };
        layers.push(Layer {
            name: format!("layer {name}"),
            bytes,
            compression,
        });
    }
    Ok((configuration, layers))
}

/// Applies the layers in order, and compares each with its digest in the configuration.
fn unpack(
    configuration: &ImageConfiguration,
    layers: Vec<Layer>,
    limits: &Limits,
    left_out: &mut LeftOut,
) -> Result<RootFs> {
    if (configuration.os(), configuration.architecture()) != (&Os::Linux, &Arch::Amd64) {
        return Err(Error::Layout(format!(
            "this image is for {}/{}, the guest is linux/amd64",
            configuration.os(),
            configuration.architecture()
        )));
    }
    let root_fs = configuration.rootfs();
    if root_fs.typ() != "layers" || root_fs.diff_ids().len() != layers.len() {
        return Err(Error::Layout(format!(
            "the image's configuration is of {} layers, its manifest of {}",
            root_fs.diff_ids().len(),
            layers.len()
        )));
    }
    let mut root = RootFs::new(limits.entries);
    let mut budget = limits.unpacked;
    for (layer, expected) in layers.into_iter().zip(root_fs.diff_ids()) {
        let damaged = |why| Error::Blob {
            blob: layer.name.clone(),
            why,
        };
        let expected: Digest = expected
            .parse()
            .map_err(|_| damaged(format!("`{expected}` is no digest")))?;
        let plain: Box<dyn Read> = match layer.compression {
            Compression::None => Box::new(&layer.bytes[..]),
            Compression::Gzip => Box::new(MultiGzDecoder::new(&layer.bytes[..])),
            Compression::Zstd => Box::new(Frames {
                rest: &layer.bytes,
                frame: None,
            }),
        };
        let mut plain = Hashed {
            inner: plain,
            hash: Sha256::new(),
        };
        layer::apply(
            &mut root,
            &layer.name,
            &mut plain,
            &mut budget,
            limits,
            left_out,
        )?;
        let found: String = plain
            .hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        if format!("sha256:{found}") != expected.to_string() {
            return Err(damaged(format!(
                "unpacked, its digest is sha256:{found} instead of {expected}"
            )));
        }
    }
    Ok(root)
}

struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

/// Zstandard frames one after another, of which some are to be skipped (RFC 8878, section 3.1).
struct Frames<'a> {
    rest: &'a [u8],
    frame: Option<StreamingDecoder<&'a [u8], ruzstd::decoding::FrameDecoder>>,
}

impl Read for Frames<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(frame) = &mut self.frame {
                let count = frame.read(buffer)?;
                if count > 0 {
                    return Ok(count);
                }
                self.rest = *frame.get_ref();
                self.frame = None;
            }
            if self.rest.fill_buf()?.is_empty() {
                return Ok(0);
            }
            match StreamingDecoder::new(self.rest) {
                Ok(frame) => self.frame = Some(frame),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    // Magic number and length, then what is to be skipped.
                    let end = 8 + length as usize;
                    self.rest = self.rest.get(end..).ok_or(io::ErrorKind::UnexpectedEof)?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}
