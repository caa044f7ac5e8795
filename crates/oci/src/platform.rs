// SPDX-License-Identifier: BSD-2-Clause
//! Which of the images of a layout is meant: the one of the name that was asked for, and of the platform
//! that the guest is.

use crate::layout::Layout;
use crate::{Error, Limits, Result};
use oci_spec::image::{Arch, Descriptor, ImageIndex, ImageManifest, MediaType, Os};

/// Annotations that name an image: the specification's, and the one of containerd and docker.
const NAMES: &[&str] = &[
    "org.opencontainers.image.ref.name",
    "io.containerd.image.name",
];

/// An image that may be meant.
#[derive(Clone, Debug)]
struct Candidate {
    names: Vec<String>,
    descriptor: Descriptor,
}

/// The manifest of the image that is meant.
///
/// # Errors
/// When there is none, or several.
pub fn select(layout: &Layout, reference: Option<&str>, limits: &Limits) -> Result<ImageManifest> {
    let index: ImageIndex = layout.json("index.json")?;
    let mut seen = 0;
    let mut all = Vec::new();
    collect(layout, &index, &[], 0, &mut seen, limits, &mut all)?;
    let here = layout.path().display();
    let named: Vec<_> = all
        .iter()
        .filter(|image| {
            reference.is_none_or(|wanted| image.names.iter().any(|name| is_name(name, wanted)))
        })
        .collect();
    // The same image under several names is one.
    let mut digests: Vec<_> = named
        .iter()
        .map(|image| image.descriptor.digest())
        .collect();
    digests.sort_by_key(ToString::to_string);
    digests.dedup();
    let names = || {
        let mut names: Vec<_> = all
            .iter()
            .flat_map(|image| image.names.iter().cloned())
            .collect();
        names.sort();
        names.dedup();
        names.join(", ")
    };
    match (digests.len(), reference) {
        (1, _) => layout.document(&named[0].descriptor),
        (0, None) => Err(Error::Layout(format!(
            "{here} has no image for linux/amd64"
        ))),
        (0, Some(wanted)) => Err(Error::Layout(format!(
            "{here} has no image `{wanted}` for linux/amd64; there are: {}",
            names()
        ))),
        _ => Err(Error::Layout(format!(
            "{here} has several images: write one of their names behind it, after a colon: {}",
            names()
        ))),
    }
}

/// Whether an image's name is the one that was asked for: all of it, or its tag.
fn is_name(name: &str, wanted: &str) -> bool {
    name == wanted
        || name
            .rsplit_once(':')
            .is_some_and(|(_, tag)| !tag.contains('/') && tag == wanted)
}

fn collect(
    layout: &Layout,
    index: &ImageIndex,
    names: &[String],
    depth: usize,
    seen: &mut usize,
    limits: &Limits,
    found: &mut Vec<Candidate>,
) -> Result<()> {
    if depth > limits.index_depth {
        return Err(Error::TooLarge {
            what: "the nesting of indexes".into(),
            limit: limits.index_depth as u64,
            unit: "levels",
        });
    }
    for descriptor in index.manifests() {
        *seen += 1;
        if *seen > limits.manifests {
            return Err(Error::TooLarge {
                what: "the number of manifests".into(),
                limit: limits.manifests as u64,
                unit: "manifests",
            });
        }
        let annotations = descriptor.annotations().as_ref();
        let mut names = names.to_vec();
        names.extend(
            NAMES
                .iter()
                .filter_map(|name| annotations.and_then(|all| all.get(*name)).cloned()),
        );
        match descriptor.media_type() {
            MediaType::ImageIndex => {
                let index: ImageIndex = layout.document(descriptor)?;
                collect(layout, &index, &names, depth + 1, seen, limits, found)?;
            }
            MediaType::Other(kind)
                if kind == "application/vnd.docker.distribution.manifest.list.v2+json" =>
            {
                let index: ImageIndex = layout.document(descriptor)?;
                collect(layout, &index, &names, depth + 1, seen, limits, found)?;
            }
            kind if is_manifest(kind) && is_ours(descriptor) => found.push(Candidate {
                names,
                descriptor: descriptor.clone(),
            }),
            // Of other kinds, or for other platforms.
            _ => {}
        }
    }
    Ok(())
}

fn is_manifest(kind: &MediaType) -> bool {
    match kind {
        MediaType::ImageManifest => true,
        MediaType::Other(kind) => kind == "application/vnd.docker.distribution.manifest.v2+json",
        _ => false,
    }
}

/// Whether an image may be for us, as far as its descriptor says. Its configuration has the last word.
fn is_ours(descriptor: &Descriptor) -> bool {
    descriptor.platform().as_ref().is_none_or(|platform| {
        let baseline = platform
            .variant()
            .as_deref()
            .is_none_or(|variant| matches!(variant, "" | "v1"));
        *platform.os() == Os::Linux && *platform.architecture() == Arch::Amd64 && baseline
    })
}
