// SPDX-License-Identifier: BSD-2-Clause
//! Obtains and builds the default seL4 kernel.
//!
//! The kernel is seL4 5.0.0, whose complete sources the crates.io crate `sel4-sys` 0.0.28 carries.
//! Cargo fetches that crate and locks its hash, and never compiles it (see this crate's manifest).
//! [`build`] copies the sources, writes the flavour's `autoconf.h`, runs the bundled Makefile, and
//! installs the result as a [`Prefix`] laid out as seL4's own `ninja install` does it, under
//! `target/kernel/<flavour>` of the workspace. From there on the default kernel is just one prefix
//! among others: nothing outside this crate knows how it came about.
//!
//! The sources are GPLv2 and stay in `target/`: they must never be committed.

mod build;
mod flavour;
mod install;
mod tools;

pub use build::build;
pub use flavour::Flavour;
pub use sel4_prefix::{Prefix, PrefixError, SEL4_PREFIX};

use std::path::PathBuf;

use thiserror::Error;

/// Why the default kernel could not be built.
#[derive(Debug, Error)]
pub enum Error {
    /// A program is missing.
    #[error("{tool} is missing: install the Debian package {package}")]
    Tool {
        /// The program's name.
        tool: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A program failed.
    #[error("{what} failed{}:\n{log}", log_file.as_ref().map(|f| format!(" (all of it in {})", f.display())).unwrap_or_default())]
    Failed {
        /// What was being done.
        what: String,
        /// The end of its output.
        log: String,
        /// Where all of it is.
        log_file: Option<PathBuf>,
    },
    /// Cargo does not find the crate that carries the sources.
    #[error("cannot find the kernel's sources: {0}")]
    Sources(String),
    /// A file could not be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// What was installed is not a usable prefix.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
}
