// SPDX-License-Identifier: BSD-2-Clause
//! From the fetched sources to `kernel.elf`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::MetadataCommand;

use crate::install::install;
use crate::{Error, Flavour, Prefix, tools};

/// The crate that carries the sources, and its version, as in this crate's manifest.
const UPSTREAM: (&str, &str) = ("sel4-sys", "0.0.28");

/// Changes when this code builds something else from the same inputs.
const RECIPE: u32 = 1;

/// Builds a flavour into `target/kernel/<flavour>` below `workspace_root`, unless what is there was
/// built from the same inputs, and opens it. `progress` is told about each step that takes time.
///
/// # Errors
/// [`enum@Error`]: a missing tool is named with its package, and a failing step shows its log.
pub fn build(
    flavour: Flavour,
    workspace_root: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<Prefix, Error> {
    tools::check()?;
    let here = workspace_root.join("kernel");
    let base = workspace_root.join("target/kernel");
    let prefix = base.join(flavour.name());
    let sources = sources(workspace_root)?;
    let patches = patches(&here.join("patches"))?;

    // The stamp is the inputs themselves: no hash to trust, and a diff tells why it was rebuilt.
    let mut inputs = format!("recipe {RECIPE}\nsources {}\n", sources.display());
    inputs += &tools::compiler_version()?;
    inputs += &flavour.autoconf();
    inputs += &flavour.config().to_json();
    for patch in &patches {
        inputs += &read(patch)?;
    }
    // One build at a time: they share folders.
    create(&base)?;
    let lock = base.join("lock");
    let _held = fs::File::create(&lock)
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|e| Error::Io(lock, e))?;
    let stamp = prefix.join("inputs.txt");
    if fs::read_to_string(&stamp).is_ok_and(|old| old == inputs)
        && let Ok(prefix) = Prefix::open(&prefix)
    {
        return Ok(prefix);
    }

    let python = python_packages(&here, &base, progress)?;
    progress(&format!("building the {} kernel", flavour.name()));
    let work = base.join("build").join(flavour.name());
    remove(&work)?;
    let tree = work.join("src");
    copy_tree(&sources, &tree)?;
    for patch in &patches {
        apply(patch, &tree)?;
    }
    let out = work.join("out");
    create(&out)?;
    write(&out.join("autoconf.h"), &flavour.autoconf())?;
    let environment = Environment::new(&work, &python)?;
    make(flavour, &tree, &out, &environment)?;

    // Installed beside and moved into place, so that an interrupted build leaves no half prefix.
    let staging = work.join("prefix");
    install(flavour, &tree, &out, &staging, &environment)?;
    write(&staging.join("inputs.txt"), &inputs)?;
    remove(&prefix)?;
    fs::rename(&staging, &prefix).map_err(|e| Error::Io(prefix.clone(), e))?;
    Ok(Prefix::open(prefix)?)
}

/// Where the bundled programs find what they need.
pub(crate) struct Environment {
    path: std::ffi::OsString,
    python: PathBuf,
}

impl Environment {
    fn new(work: &Path, python: &Path) -> Result<Self, Error> {
        // The scripts start with `#!/usr/bin/env python`, which Debian does not have.
        let bin = work.join("bin");
        create(&bin)?;
        let interpreter = tools::find("python3").ok_or(Error::Tool {
            tool: "python3",
            package: "python3",
        })?;
        let link = bin.join("python");
        std::os::unix::fs::symlink(interpreter, &link).map_err(|e| Error::Io(link, e))?;
        let old = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&old)))
            .map_err(|e| Error::Sources(e.to_string()))?;
        Ok(Self {
            path,
            python: python.to_owned(),
        })
    }

    /// A command that runs in this environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("PATH", &self.path)
            .env("PYTHONPATH", &self.python)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // Of the caller's make, whose flags are not meant for this one.
            .env_remove("MAKEFLAGS")
            .env_remove("MAKELEVEL");
        command
    }
}

/// The `seL4` folder of the fetched crate.
fn sources(workspace_root: &Path) -> Result<PathBuf, Error> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace_root.join("Cargo.toml"))
        .exec()
        .map_err(|e| Error::Sources(e.to_string()))?;
    let (name, version) = UPSTREAM;
    let package = metadata
        .packages
        .iter()
        .find(|p| p.name == name && p.version.to_string() == version && p.source.is_some())
        .ok_or_else(|| Error::Sources(format!("no crate {name} {version} in the workspace")))?;
    let folder = package.manifest_path.with_file_name("seL4");
    if !folder.join("Makefile").exists() {
        return Err(Error::Sources(format!("{folder} has no Makefile")));
    }
    Ok(folder.into_std_path_buf())
}

/// Installs what the generators import below `target/`, and says where.
fn python_packages(
    here: &Path,
    base: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, Error> {
    let folder = base.join("python");
    let requirements = here.join("requirements.txt");
    let wanted = read(&requirements)?;
    let stamp = folder.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(folder);
    }
    progress("installing the Python packages of the kernel's generators");
    let pip = Command::new("python3")
        .args(["-m", "pip", "--version"])
        .output();
    if !pip.is_ok_and(|output| output.status.success()) {
        return Err(Error::Tool {
            tool: "pip",
            package: "python3-pip",
        });
    }
    remove(&folder)?;
    let mut command = Command::new("python3");
    command
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(["--no-deps", "--require-hashes", "--target"])
        .arg(&folder)
        .arg("--requirement")
        .arg(&requirements);
    tools::run("pip install", &mut command, None)?;
    write(&stamp, &wanted)?;
    Ok(folder)
}

fn make(flavour: Flavour, tree: &Path, out: &Path, environment: &Environment) -> Result<(), Error> {
    let debug = flavour.config().is_set("DEBUG_BUILD");
    // `-I.` first, so that our autoconf.h wins over the one in include/plat/pc99.
    let defines = if debug { "-I. -DDEBUG" } else { "-I." };
    let cc = format!(
        "gcc {defines} -fno-stack-protector -Wl,--defsym=capDL=halt -fno-reorder-functions"
    );
    let mut command = environment.command("make");
    command
        .current_dir(out)
        .arg("-f")
        .arg(tree.join("Makefile"))
        .arg(format!("SOURCE_ROOT={}", tree.display()))
        .args(["ARCH=x86", "SEL4_ARCH=x86_64", "PLAT=pc99"])
        .args(["SKIP_PATH_CHECKS=1", "XMLLINT_PATH=true", "PYTHON=python3"])
        .args(["CIRCULAR_INCLUDES=true", "FASTPATH=1"])
        .arg(format!("CC={cc}"))
        .arg(format!("CPP=cpp {defines}"))
        // The sources are fixed and the compilers are not: a new warning must not stop a build.
        .arg("WARNINGS=no-error");
    let log = out.join("make.log");
    tools::run("building the kernel", &mut command, Some(&log))?;
    Ok(())
}

/// Our patches, in order.
fn patches(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut all = Vec::new();
    match fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                let path = entry.map_err(|e| Error::Io(folder.to_owned(), e))?.path();
                if path.extension().is_some_and(|e| e == "patch") {
                    all.push(path);
                }
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::Io(folder.to_owned(), e)),
    }
    all.sort();
    Ok(all)
}

fn apply(patch: &Path, tree: &Path) -> Result<(), Error> {
    if tools::find("patch").is_none() {
        return Err(Error::Tool {
            tool: "patch",
            package: "patch",
        });
    }
    let mut command = Command::new("patch");
    command
        .args(["--batch", "--forward", "-p1", "-i"])
        .arg(patch)
        .current_dir(tree);
    tools::run(&format!("applying {}", patch.display()), &mut command, None)?;
    Ok(())
}

pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<(), Error> {
    create(to)?;
    for entry in fs::read_dir(from).map_err(|e| Error::Io(from.to_owned(), e))? {
        let entry = entry.map_err(|e| Error::Io(from.to_owned(), e))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_tree(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(|e| Error::Io(source, e))?;
        }
    }
    Ok(())
}

pub(crate) fn create(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|e| Error::Io(path.to_owned(), e))
}

pub(crate) fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|e| Error::Io(path.to_owned(), e))
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        create(folder)?;
    }
    fs::write(path, text).map_err(|e| Error::Io(path.to_owned(), e))
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::Io(path.to_owned(), e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_apply_in_order_of_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, folder) = (dir.path().join("tree"), dir.path().join("patches"));
        write(&tree.join("a.c"), "one\n").unwrap();
        let step = |from, to| format!("--- a/a.c\n+++ b/a.c\n@@ -1 +1 @@\n-{from}\n+{to}\n");
        write(&folder.join("0002-b.patch"), &step("two", "three")).unwrap();
        write(&folder.join("0001-a.patch"), &step("one", "two")).unwrap();
        write(&folder.join("notes.txt"), "not a patch").unwrap();
        for patch in patches(&folder).unwrap() {
            apply(&patch, &tree).unwrap();
        }
        assert_eq!(read(&tree.join("a.c")).unwrap(), "three\n");
    }

    #[test]
    fn a_patch_that_does_not_apply_is_named() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("a.c"), "other\n").unwrap();
        let patch = dir.path().join("x.patch");
        write(&patch, "--- a/a.c\n+++ b/a.c\n@@ -1 +1 @@\n-one\n+two\n").unwrap();
        let text = apply(&patch, dir.path()).unwrap_err().to_string();
        assert!(text.contains("x.patch"), "{text}");
    }

    #[test]
    fn no_patches_folder_is_no_patches() {
        assert!(patches(Path::new("/nonexistent")).unwrap().is_empty());
    }
}
