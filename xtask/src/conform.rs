// SPDX-License-Identifier: BSD-2-Clause
//! The conformance suite, against any factory by its name.
//!
//! The suite is a system of its own, whose judge is the supervisor. Two files of its initial tree say what
//! it is about: the name that the factory is registered under and, if no domain of that system registers it,
//! the program that does.

use crate::guest::Builder;
use crate::pack::{self, Recipe};
use crate::sim::Simulator;
use crate::suite::{self, Verdict};
use crate::tree::Addition;
use crate::workspace::{progress, root};
use anyhow::Result;
use std::time::Duration;

/// The system description, its path from the workspace's folder.
pub const SYSTEM: &str = "tests/guests/conformance/conformance.system";
/// The program that it needs in its file tree.
pub const PROBE: &str = "conformance-probe";
/// The file that names the factory.
pub const FACTORY_FILE: &str = "etc/factory";
/// The file that names the program which registers it.
pub const PROGRAM_FILE: &str = "etc/program";
/// How long all cases may take.
pub const LIMIT: Duration = Duration::from_secs(240);

/// Makes a file of cases a list of their names.
macro_rules! cases {
    ($($name:ident),* $(,)?) => { &[$(stringify!($name)),*] };
}

/// The cases, in the order in which they run.
pub const CASES: &[&str] = include!("../../tests/guests/conformance/cases.rs");

/// Boots the suite and runs all cases. `report` is told of each, and at the end of the run as a whole.
///
/// # Errors
/// When there is nothing to boot.
pub fn run(
    builder: &Builder,
    simulator: &dyn Simulator,
    factory: &str,
    program: Option<&str>,
    additions: &[Addition],
    report: &mut dyn FnMut(&str, Verdict),
) -> Result<()> {
    let text = |name: &str| name.as_bytes().to_vec();
    let mut files = vec![(FACTORY_FILE, text(factory))];
    files.extend(program.map(|program| (PROGRAM_FILE, text(program))));
    let image = pack::system(
        builder,
        &Recipe {
            name: "conform",
            description: &root().join(SYSTEM),
            search: &[],
            additions,
            files: &files,
            tests: &[PROBE],
        },
    )?;
    progress("booting");
    suite::run(image.boot(simulator), CASES, LIMIT, report);
    Ok(())
}
