// SPDX-License-Identifier: BSD-2-Clause
//! What is in this repository, and where: the one place that knows the folders.

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand, Package, TargetKind};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders whose packages have guest programs (binary targets), and what these are for. A library
/// of the same package is ordinary code, tested on the host.
const GUESTS: [(&str, Role); 7] = [
    ("apps", Role::App),
    ("drivers", Role::Domain),
    ("factories", Role::Domain),
    ("ic-manager", Role::Domain),
    ("legacy-posix", Role::App),
    ("root-task", Role::RootTask),
    ("tests/guests", Role::Test),
];

/// What a guest program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The initial task.
    RootTask,
    /// A protection domain that exists from boot.
    Domain,
    /// A program of the initial file tree, `bin/NAME`.
    App,
    /// Needed by tests only.
    Test,
}

/// A guest program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Program {
    /// The package it is in.
    pub package: String,
    /// Its own name.
    pub name: String,
    /// What it is for.
    pub role: Role,
}

/// The workspace.
#[derive(Debug)]
pub struct Workspace {
    /// Its folder.
    pub root: PathBuf,
    /// Where all that is built goes.
    pub target: PathBuf,
    metadata: Metadata,
}

impl Workspace {
    /// Asks Cargo what is there.
    pub fn load() -> Result<Self> {
        let root = root();
        let metadata = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            .no_deps()
            .exec()
            .context("Cargo cannot read the workspace")?;
        Ok(Self {
            target: metadata.target_directory.clone().into(),
            root,
            metadata,
        })
    }

    /// The guest programs of the workspace.
    pub fn programs(&self) -> Result<Vec<Program>> {
        let mut programs = BTreeMap::new();
        for package in &self.metadata.packages {
            let Some(role) = self.role(package) else {
                continue;
            };
            for target in package
                .targets
                .iter()
                .filter(|t| t.kind.contains(&TargetKind::Bin))
            {
                let name = target.name.clone();
                if target.test {
                    bail!(
                        "the guest program {name} cannot be tested on the host: write `test = \
                         false` into its [[bin]] in {}",
                        package.manifest_path
                    );
                }
                let package = package.name.to_string();
                let program = Program {
                    package,
                    name: name.clone(),
                    role,
                };
                if let Some(other) = programs.insert(name, program.clone()) {
                    bail!(
                        "two guest programs are called {}, in {} and {}: rename one",
                        program.name,
                        other.package,
                        program.package
                    );
                }
            }
        }
        Ok(programs.into_values().collect())
    }

    /// The packages without guest programs: tools, and libraries alone.
    pub fn host_packages(&self) -> impl Iterator<Item = &Package> {
        self.metadata.packages.iter().filter(|package| {
            self.role(package).is_none()
                || !package
                    .targets
                    .iter()
                    .any(|t| t.kind.contains(&TargetKind::Bin))
        })
    }

    /// The names of the packages that depend on the one of that name, directly or through others.
    #[must_use]
    pub fn dependents(&self, name: &str) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        let mut new = vec![name.to_owned()];
        while let Some(name) = new.pop() {
            let depends =
                |package: &&Package| package.dependencies.iter().any(|other| other.name == name);
            for package in self.metadata.packages.iter().filter(depends) {
                if all.insert(package.name.to_string()) {
                    new.push(package.name.to_string());
                }
            }
        }
        all
    }

    /// All packages with a library.
    pub fn libraries(&self) -> impl Iterator<Item = &Package> {
        self.metadata.packages.iter().filter(|package| {
            package.targets.iter().any(|target| {
                target
                    .kind
                    .iter()
                    .any(|kind| matches!(kind, TargetKind::Lib | TargetKind::ProcMacro))
            })
        })
    }

    fn role(&self, package: &Package) -> Option<Role> {
        let folder = package.manifest_path.parent()?.as_std_path();
        let folder = folder.strip_prefix(&self.root).ok()?;
        GUESTS
            .iter()
            .find(|(start, _)| folder.starts_with(start))
            .map(|(_, role)| *role)
    }
}

/// The folder of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    // Cargo says where the package is that it runs. Where this tool was compiled comes second: a
    // checkout that was moved, or is mounted elsewhere, is not compiled again.
    let running = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let compiled = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let roots = running
        .iter()
        .chain([&compiled])
        .filter_map(|package| package.parent());
    let mut roots = roots.filter(|root| root.join("xtask/Cargo.toml").is_file());
    roots
        .next()
        .map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// A `cargo` command in the workspace's folder.
#[must_use]
pub fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root());
    // What Cargo tells the programs that it runs is not for other Cargos.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end; failure is an error that says what was being done.
pub fn run(command: &mut Command, doing: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("{doing}: cannot run {program}"))?;
    if !status.success() {
        bail!("{doing} failed ({program}: {status})");
    }
    Ok(())
}

/// Tells the user what takes time.
pub fn progress(doing: &str) {
    eprintln!("xtask: {doing}");
}

/// Tells the user about one of several steps. On a terminal each takes the place of the one before.
pub fn progress_step(doing: &str, number: usize, of: usize) {
    let (start, end) = match io::stderr().is_terminal() {
        true if number < of => ("\r\x1b[K", ""),
        true => ("\r\x1b[K", "\n"),
        false => ("", "\n"),
    };
    eprint!("{start}xtask: {doing} ({number} of {of}){end}");
}

/// The folder of a crate that the workspace depends on, as Cargo has fetched it.
///
/// # Errors
/// When it depends on none of that name, or Cargo cannot say.
pub fn sources_of(name: &str) -> Result<PathBuf> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .exec()
        .context("Cargo cannot read the workspace")?;
    let mut packages = metadata.packages.into_iter();
    let package = packages
        .find(|package| package.name == name)
        .with_context(|| format!("the workspace does not depend on {name}"))?;
    let folder = package.manifest_path.parent().context("no folder")?;
    Ok(folder.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_package_is_a_host_package_and_no_guest() {
        let workspace = Workspace::load().unwrap();
        assert!(
            workspace
                .host_packages()
                .any(|package| package.name == "xtask")
        );
        assert!(
            workspace
                .programs()
                .unwrap()
                .iter()
                .all(|program| program.package != "xtask")
        );
    }

    #[test]
    fn a_command_that_fails_is_an_error_that_says_what_it_did() {
        let error = run(&mut Command::new("/bin/false"), "counting sheep").unwrap_err();
        assert!(
            error.to_string().starts_with("counting sheep failed"),
            "{error}"
        );
        let error = run(&mut Command::new("/no/such/program"), "counting sheep").unwrap_err();
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    }
}
