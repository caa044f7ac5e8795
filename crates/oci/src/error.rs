// SPDX-License-Identifier: BSD-2-Clause
//! What can be wrong with a bundle or an image.

use std::io;
use std::path::PathBuf;

/// Shorthand.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a bundle or an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a bundle nor an image.
    #[error(
        "{0} is no container: a bundle is a folder with a config.json, an image a folder with an \
         oci-layout or an archive of one"
    )]
    NoContainer(PathBuf),
    /// A file of the host cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A document is not what it should be.
    #[error("{what} is malformed: {why}")]
    Json {
        /// Which.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// Something is larger than it may be.
    #[error("{what} is larger than {limit} {unit}")]
    TooLarge {
        /// What.
        what: String,
        /// How large it may be.
        limit: u64,
        /// Of what.
        unit: &'static str,
    },
    /// Properties that are not honoured.
    #[error("this container asks for what it cannot get here:\n{}", lines(.0))]
    Refused(Vec<Refusal>),
    /// A property has a value that makes no sense.
    #[error("`{property}` of config.json: {why}")]
    Property {
        /// Which.
        property: String,
        /// What is wrong.
        why: String,
    },
    /// A description that makes no sense in the end.
    #[error("this container cannot be run: {0}")]
    Flaw(#[from] xos_container::Flaw),
    /// A layer or archive that breaks a rule.
    #[error("{layer}: {entry}: {why}")]
    Entry {
        /// Which layer.
        layer: String,
        /// Which of its entries.
        entry: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A layer that cannot be read.
    #[error("{layer} cannot be unpacked: {error}")]
    Layer {
        /// Which.
        layer: String,
        /// What is wrong.
        error: io::Error,
    },
    /// A blob is not what its descriptor says.
    #[error("{blob} is damaged: {why}")]
    Blob {
        /// Which.
        blob: String,
        /// What is wrong.
        why: String,
    },
    /// A layout without what is looked for in it.
    #[error("{0}")]
    Layout(String),
    /// A user that the image does not know.
    #[error("the image's user `{0}` is not in its /etc/passwd or /etc/group")]
    NoUser(String),
}

/// A property that is not honoured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its path in `config.json`.
    pub property: String,
    /// Why not.
    pub why: String,
}

fn lines(refusals: &[Refusal]) -> String {
    let lines: Vec<_> = refusals
        .iter()
        .map(|refusal| format!("  {}: {}", refusal.property, refusal.why))
        .collect();
    lines.join("\n")
}
