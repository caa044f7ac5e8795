// SPDX-License-Identifier: BSD-2-Clause
//! Programs of Debian's that run in guests, and its kernel for 32-bit PCs: unpacked below `target/`, never installed.
//!
//! They are somebody else's binaries, which is what they are wanted for: tests and demonstrations run them unmodified.

use crate::workspace::{progress, root, run};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Static programs, by name: the package, and where in it the program is.
pub const PROGRAMS: &[(&str, &str, &str)] = &[
    ("busybox", "busybox-static", "bin/busybox"),
    ("bash", "bash-static", "bin/bash-static"),
    ("sash", "sash", "bin/sash"),
];

/// The package that stands for Debian's newest kernel for 32-bit PCs with page tables of 32-bit entries.
const KERNEL: &str = "linux-image-686";

/// A program of the list, by its name.
pub fn program(name: &str) -> Result<PathBuf> {
    let known = PROGRAMS.iter().find(|(known, ..)| *known == name);
    let (_, package, path) =
        known.with_context(|| format!("no program of Debian's is called {name} here"))?;
    Ok(unpacked(package)?.join(path))
}

/// The folder in which a package lies unpacked.
pub fn unpacked(package: &str) -> Result<PathBuf> {
    let folder = root().join("target/debian").join(package);
    if folder.is_dir() {
        return Ok(folder);
    }
    progress(&format!("getting Debian's {package}"));
    in_place(&folder, |scratch| {
        let files = scratch.join("files");
        unpack(&download(&Apt::OF_THIS_MACHINE, package, scratch)?, &files)?;
        Ok(files)
    })?;
    Ok(folder)
}

/// Debian's kernel for 32-bit PCs: the file, of the version that `linux-image-686` stands for.
pub fn kernel_of_32_bits() -> Result<PathBuf> {
    let file = root().join("target/debian").join(KERNEL);
    if file.is_file() {
        return Ok(file);
    }
    progress(&format!("getting Debian's {KERNEL}"));
    in_place(&file, |scratch| {
        // Packages of another kind of machine, whose lists this one need not have.
        let apt = Apt::of_32_bits(scratch)?;
        let lists = apt.run(&["update"], "getting the lists of packages", scratch);
        // A list that cannot be had need not be the one that is wanted.
        let package = apt.depends(KERNEL).or_else(|error| lists.and(Err(error)))?;
        let files = scratch.join("files");
        unpack(&download(&apt, &package, scratch)?, &files)?;
        let boot = fs::read_dir(files.join("boot"))?;
        let mut names = boot.filter_map(|entry| Some(entry.ok()?.path()));
        let is_kernel = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("vmlinuz-"))
        };
        names
            .find(is_kernel)
            .with_context(|| format!("no kernel is in {package}"))
    })?;
    Ok(file)
}

/// Has something made in a folder of its own, and moves it to its place: what is there is whole, whoever else is at it.
fn in_place(place: &Path, make: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<()> {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let scratch = place.with_file_name(format!(".{name}.{}", std::process::id()));
    let made = fs::create_dir_all(&scratch)
        .with_context(|| format!("cannot make {}", scratch.display()))
        .and_then(|()| make(&scratch));
    let moved = made.and_then(|made| match fs::rename(made, place) {
        Err(_) if place.exists() => Ok(()),
        moved => moved.with_context(|| format!("cannot make {}", place.display())),
    });
    // What is left of it is of no use to anyone.
    let _ = fs::remove_dir_all(&scratch);
    moved
}

fn unpack(deb: &Path, files: &Path) -> Result<()> {
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("--extract").arg(deb).arg(files);
    run(&mut unpack, "dpkg-deb")
}

/// How apt-get and apt-cache are called.
struct Apt(Vec<String>);

impl Apt {
    // Without it the administrator's download is by a user who may not write here.
    const USER: &str = "APT::Sandbox::User=root";
    const OF_THIS_MACHINE: Self = Self(Vec::new());

    /// For packages of 32-bit PCs, whose lists are in a folder.
    fn of_32_bits(folder: &Path) -> Result<Self> {
        let (lists, cache) = (folder.join("lists"), folder.join("cache"));
        for folder in [lists.join("partial"), cache.join("archives/partial")] {
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(Self(vec![
            "APT::Architecture=i386".into(),
            "APT::Architectures=i386".into(),
            "Acquire::Languages=none".into(),
            format!("Dir::State::Lists={}", lists.display()),
            format!("Dir::Cache={}", cache.display()),
        ]))
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.arg("-q");
        for option in self.0.iter().map(String::as_str).chain([Self::USER]) {
            command.args(["-o", option]);
        }
        command.args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str], what: &str, folder: &Path) -> Result<()> {
        let mut command = self.command("apt-get", arguments);
        run(command.current_dir(folder).stdout(std::io::stderr()), what)
    }

    /// The first package that one depends on, which stands for it.
    fn depends(&self, package: &str) -> Result<String> {
        let output = self
            .command("apt-cache", &["depends", "--important", package])
            .output()
            .context("cannot run apt-cache")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines();
        let first = lines.find_map(|line| line.trim().strip_prefix("Depends: "));
        first
            .map(str::to_owned)
            .with_context(|| format!("Debian has no {package}"))
    }
}

/// Gets a package's file into a folder.
fn download(apt: &Apt, package: &str, folder: &Path) -> Result<PathBuf> {
    let what = format!("downloading {package}");
    if apt.run(&["download", package], &what, folder).is_err() {
        // A machine without lists of packages, or with old ones.
        apt.run(&["update"], "updating the list of packages", folder)?;
        apt.run(&["download", package], &what, folder)?;
    }
    let files =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let is_package = |path: &PathBuf| path.extension().is_some_and(|end| end == "deb");
    match files
        .filter_map(|file| Some(file.ok()?.path()))
        .find(is_package)
    {
        Some(path) => Ok(path),
        None => bail!("apt-get has downloaded no file for {package}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_in_the_list_is_not_looked_for() {
        assert!(program("no-such-program").is_err());
    }

    #[test]
    fn programs_of_debians_are_static_binaries_for_this_machine() {
        for (name, ..) in PROGRAMS {
            let bytes = fs::read(program(name).unwrap()).unwrap();
            // ELF, 64 bits, little-endian, executable, x86-64.
            assert_eq!(bytes[..6], *b"\x7fELF\x02\x01", "{name}");
            assert_eq!((bytes[16], bytes[18]), (2, 62), "{name}");
            // No program header asks for an interpreter (PT_INTERP).
            let word = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
            let headers = (0..word(56)).map(|i| word(32) + i * word(54));
            assert!(
                headers.clone().count() > 0 && headers.clone().all(|at| bytes[at] != 3),
                "{name}"
            );
        }
    }
}
