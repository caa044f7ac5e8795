// SPDX-License-Identifier: BSD-2-Clause
//! What containers cost: `docs/benchmarks-containers.md`.
//!
//! The system is that of the tests of containers, whose program measures when the file tree says so.

use super::{Area, Claim, Raw};
use crate::tree::Addition;
use crate::userland::{self, CONFIG, CONTAINER};
use anyhow::Result;
use std::path::Path;

/// Where the report goes.
pub const REPORT: &str = "docs/benchmarks-containers.md";
/// The system that measures.
pub const SYSTEM: &str = "tests/guests/containers/containers.system";
/// What tells it to.
pub const CASES: (&str, &str) = ("etc/cases", "bench");

/// What is promised.
pub const AREAS: &[Area] = &[Area {
    title: "Starts",
    claims: &[Claim {
        what: "create, start, `true`, exit, delete, a second time, against the first time",
        value: "second-start",
        raw: Raw::Measured("first-start"),
        target: 0.5,
    }],
}];

/// The container of Debian's busybox that users have, made in a folder.
///
/// # Errors
/// When busybox cannot be had, or something cannot be written.
pub fn additions(folder: &Path) -> Result<Vec<Addition>> {
    userland::bundle(folder, CONFIG)?;
    let host = folder.to_owned();
    let guest = CONTAINER.parse()?;
    Ok(vec![Addition { host, guest }])
}

/// A report of this area, under its own title.
#[must_use]
pub fn titled(report: &str) -> String {
    report.replacen("# Benchmarks", "# Benchmarks of containers", 1)
}
