// SPDX-License-Identifier: BSD-2-Clause
//! Bundles: a folder with a `config.json` and a root file system (runtime specification, "Filesystem
//! Bundle").

use crate::layer::LeftOut;
use crate::{Error, Limits, Packed, Result, archive, config, describe, folder};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// Reads a bundle.
///
/// # Errors
/// What is wrong with it.
pub fn pack(path: &Path, limits: &Limits) -> Result<Packed> {
    let file = path.join("config.json");
    let mut bytes = Vec::new();
    File::open(&file)
        .and_then(|file| file.take(limits.json + 1).read_to_end(&mut bytes))
        .map_err(|error| Error::Read {
            path: file.clone(),
            error,
        })?;
    if bytes.len() as u64 > limits.json {
        return Err(Error::TooLarge {
            what: file.display().to_string(),
            limit: limits.json,
            unit: "bytes",
        });
    }
    let (config, root, mut notes) = config::read(&bytes)?;
    let root = root_folder(path, &root)?;
    let mut left_out = LeftOut::default();
    let mut root = folder::read(&root, limits, &mut left_out)?;
    let (archive, digest) = archive::write(&root).map_err(|error| Error::Layer {
        layer: "the root file system".into(),
        error,
    })?;
    let description = describe::bundle(config, &mut root, digest)?;
    notes.extend(left_out.notes());
    Ok(Packed {
        description,
        archive,
        digest,
        notes,
    })
}

/// Where a bundle's root file system is. It has to be in the bundle: a `config.json` from elsewhere is not
/// to say which of the host's files get into a container.
fn root_folder(bundle: &Path, root: &Path) -> Result<PathBuf> {
    let refuse = |why: &str| Error::Property {
        property: "root.path".into(),
        why: why.into(),
    };
    let leaves = "it leads out of the bundle; put the root file system into it";
    let is_within = root
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !is_within {
        return Err(refuse(leaves));
    }
    let real = |path: &Path| {
        path.canonicalize().map_err(|error| Error::Read {
            path: path.to_owned(),
            error,
        })
    };
    let (bundle, root) = (real(bundle)?, real(&bundle.join(root))?);
    if !root.starts_with(&bundle) {
        return Err(refuse(leaves));
    }
    if !root.is_dir() {
        return Err(refuse("it is no folder"));
    }
    Ok(root)
}
