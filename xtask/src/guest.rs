// SPDX-License-Identifier: BSD-2-Clause
//! Builds guest programs: freestanding ones for an ordinary host target, made so by the flags of
//! [`xos_runtime::flags`].

use crate::kernel;
use crate::workspace::{Program, Workspace, cargo, progress, progress_step, run};
use anyhow::{Context, Result, bail};
use cargo_metadata::{Message, MetadataCommand};
use sel4_kernel::{Flavour, Prefix, SEL4_PREFIX};
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use xos_runtime::flags::{LINKER_SCRIPT, RUSTFLAGS, TARGET};

/// The profile of guest programs, in the workspace's manifest.
const PROFILE: &str = "guest";
/// The same for a manifest that does not have it, as configuration of its release profile.
const RELEASE_PROFILE: &[&str] = &[
    "panic=\"abort\"",
    "lto=\"fat\"",
    "codegen-units=1",
    "debug=\"line-tables-only\"",
];
/// The crates that stand for those of the rust-sel4 project, by their names there, and their folders.
const BINDINGS: &[(&str, &str)] = &[
    ("sel4", "crates/sel4"),
    ("sel4-sys", "crates/sel4-sys"),
    ("sel4-config", "crates/sel4-config"),
    ("sel4-root-task", "crates/sel4-root-task"),
    ("sel4-microkit", "crates/sel4-microkit"),
    ("sel4-sync", "crates/sel4-sync"),
];
/// Where programs say they get these crates from: a part of Cargo's name for the source, and the
/// key of its patches.
const SOURCES: &[(&str, &str)] = &[
    ("crates.io-index", "crates-io"),
    (
        "github.com/seL4/rust-sel4",
        "\"https://github.com/seL4/rust-sel4\"",
    ),
];

/// Everything that depends on the kernel in use: its prefix, and where programs for it go.
#[derive(Debug)]
pub struct Builder {
    workspace: Workspace,
    prefix: Prefix,
    folder: PathBuf,
    /// What was built already. A tool's run sees one state of the sources, and asking Cargo once more for
    /// each of many boots takes longer than these.
    built: Mutex<BTreeSet<Program>>,
}

impl Builder {
    /// For a flavour of the default kernel, which is built if need be, or the user's own kernel.
    pub fn new(flavour: Flavour) -> Result<Self> {
        let workspace = Workspace::load()?;
        let folder = workspace.target.join("guest").join(flavour.name());
        Ok(Self {
            prefix: kernel::prefix(flavour)?,
            folder,
            workspace,
            built: Mutex::default(),
        })
    }

    /// The workspace.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// The kernel.
    #[must_use]
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// Where the workspace's own programs are.
    #[must_use]
    pub fn programs_folder(&self) -> PathBuf {
        self.folder.join(TARGET).join(PROFILE)
    }

    /// Builds programs of the workspace, each once however often it is asked for, and gives their images.
    pub fn build(&self, programs: &[Program]) -> Result<BTreeMap<String, PathBuf>> {
        let folder = self.programs_folder();
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let mut packages: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for program in programs.iter().filter(|program| !built.contains(program)) {
            packages
                .entry(&program.package)
                .or_default()
                .push(&program.name);
        }
        // One after the other: built together, all would get the features that any of them asks
        // for, and a program without a heap would be linked with code that needs one.
        for (number, (package, programs)) in packages.iter().enumerate() {
            progress_step(&format!("building {package}"), number + 1, packages.len());
            let mut command = self.cargo("build");
            command.args(["--quiet", "--profile", PROFILE, "--package", package]);
            for program in programs {
                command.args(["--bin", program]);
            }
            run(&mut command, &format!("building {package}"))?;
        }
        built.extend(programs.iter().cloned());
        Ok(programs
            .iter()
            .map(|p| (p.name.clone(), folder.join(&p.name)))
            .collect())
    }

    /// Builds the programs of another manifest, written to the crates of the rust-sel4 project,
    /// against ours.
    pub fn build_foreign(&self, manifest: &Path) -> Result<BTreeMap<String, PathBuf>> {
        let manifest = manifest
            .canonicalize()
            .with_context(|| format!("no manifest at {}", manifest.display()))?;
        progress(&format!("building {}", manifest.display()));
        let mut command = self.cargo("build");
        command.args([
            "--release",
            "--bins",
            "--message-format",
            "json-render-diagnostics",
        ]);
        command.arg("--manifest-path").arg(&manifest);
        for setting in RELEASE_PROFILE {
            command
                .arg("--config")
                .arg(format!("profile.release.{setting}"));
        }
        for setting in self.patches(&manifest)? {
            command.arg("--config").arg(setting);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run cargo")?;
        let output = child.stdout.take().context("cargo has no output")?;
        let mut images = BTreeMap::new();
        for message in Message::parse_stream(BufReader::new(output)) {
            if let Message::CompilerArtifact(artifact) = message?
                && let Some(image) = artifact.executable
            {
                images.insert(artifact.target.name, image.into_std_path_buf());
            }
        }
        if !child.wait()?.success() {
            bail!("building {} failed", manifest.display());
        }
        if images.is_empty() {
            bail!(
                "{} has no programs: a guest is a binary target",
                manifest.display()
            );
        }
        Ok(images)
    }

    /// Cargo settings that put our crates in the place of those of rust-sel4's that a manifest's
    /// programs use. Cargo warns about every other one.
    fn patches(&self, manifest: &Path) -> Result<Vec<String>> {
        let patches = patches(&self.workspace.root);
        let settings = patches
            .values()
            .flat_map(|setting| ["--config".to_owned(), setting.clone()]);
        let output = cargo()
            .args(["metadata", "--format-version", "1", "--manifest-path"])
            .arg(manifest)
            .args(settings)
            .stderr(Stdio::piped())
            .output()
            .context("cannot run cargo")?;
        if !output.status.success() {
            bail!(
                "Cargo cannot read {}:\n{}",
                manifest.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let metadata = MetadataCommand::parse(String::from_utf8(output.stdout)?)?;
        let used = |(source, name): &(&str, &str)| {
            metadata
                .packages
                .iter()
                .flat_map(|package| &package.dependencies)
                .any(|dependency| {
                    dependency.name == *name
                        && dependency
                            .source
                            .as_ref()
                            .is_some_and(|from| from.repr.contains(source))
                })
        };
        Ok(patches
            .into_iter()
            .filter(|(patch, _)| used(patch))
            .map(|(_, setting)| setting)
            .collect())
    }

    /// A cargo command with the flags of guest programs; its target folder and kernel are set.
    #[must_use]
    pub fn cargo(&self, subcommand: &str) -> Command {
        let mut command = cargo();
        command
            .arg(subcommand)
            .args(["--target", TARGET, "--target-dir"])
            .arg(&self.folder)
            .env(
                "CARGO_ENCODED_RUSTFLAGS",
                rustflags(&self.workspace.root).join("\x1f"),
            )
            .env_remove("CARGO_TARGET_DIR")
            .env(SEL4_PREFIX, self.prefix.root());
        command
    }
}

/// The flags of guest programs, for where the workspace is now, not where this tool was compiled.
fn rustflags(root: &Path) -> Vec<String> {
    let script = root.join("crates/runtime/guest.ld").display().to_string();
    RUSTFLAGS
        .iter()
        .map(|flag| flag.replace(LINKER_SCRIPT, &script))
        .collect()
}

/// By source and name, the Cargo setting that puts our crate in the place of that one.
fn patches(root: &Path) -> BTreeMap<(&'static str, &'static str), String> {
    let mut settings = BTreeMap::new();
    for (source, key) in SOURCES {
        for (name, folder) in BINDINGS {
            // A TOML string: a path may hold anything.
            let folder = format!("{:?}", root.join(folder).display().to_string());
            settings.insert(
                (*source, *name),
                format!("patch.{key}.{name}.path={folder}"),
            );
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_crates_replace_those_of_both_sources() {
        let settings = patches(Path::new("/a b"));
        let git = r#"patch."https://github.com/seL4/rust-sel4".sel4.path="/a b/crates/sel4""#;
        let registry = r#"patch.crates-io.sel4.path="/a b/crates/sel4""#;
        for setting in [git, registry] {
            assert!(
                settings.values().any(|other| other == setting),
                "{settings:?}"
            );
        }
    }

    #[test]
    fn the_linker_script_is_that_of_the_workspace() {
        let flags = rustflags(Path::new("/moved"));
        let scripts: Vec<_> = flags
            .iter()
            .filter(|flag| flag.contains("guest.ld"))
            .collect();
        assert_eq!(
            scripts,
            ["-Clink-arg=-Wl,-T,/moved/crates/runtime/guest.ld"]
        );
    }

    #[test]
    fn the_crates_that_replace_others_are_there() {
        for (name, folder) in BINDINGS {
            let manifest = crate::workspace::root().join(folder).join("Cargo.toml");
            let text = std::fs::read_to_string(&manifest).unwrap();
            assert!(
                text.contains(&format!("name = \"{name}\"")),
                "{}",
                manifest.display()
            );
        }
    }
}
