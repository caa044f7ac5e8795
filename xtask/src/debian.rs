// SPDX-License-Identifier: BSD-2-Clause
//! Programs of Debian's that run in guests: unpacked below `target/`, never installed.
//!
//! They are somebody else's static Linux binaries, which is what they are wanted for: tests and
//! demonstrations run them unmodified.

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

/// A program of the list, by its name.
pub fn program(name: &str) -> Result<PathBuf> {
    let known = PROGRAMS.iter().find(|(known, ..)| *known == name);
    let (_, package, path) =
        known.with_context(|| format!("no program of Debian's is called {name} here"))?;
    Ok(unpacked(package)?.join(path))
}

/// The folder in which a package lies unpacked.
pub fn unpacked(package: &str) -> Result<PathBuf> {
    let all = root().join("target/debian");
    let folder = all.join(package);
    if folder.is_dir() {
        return Ok(folder);
    }
    progress(&format!("getting Debian's {package}"));
    fs::create_dir_all(&all).with_context(|| format!("cannot make {}", all.display()))?;
    // Unpacked under another name first: what is there under its own is whole, whoever else is at it.
    let scratch = all.join(format!(".{package}.{}", std::process::id()));
    let result = download(package, &scratch).and_then(|deb| {
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("--extract").arg(&deb).arg(scratch.join("files"));
        run(&mut unpack, "dpkg-deb")
    });
    let moved = result.and_then(|()| match fs::rename(scratch.join("files"), &folder) {
        Err(_) if folder.is_dir() => Ok(()),
        moved => moved.with_context(|| format!("cannot make {}", folder.display())),
    });
    // What is left of it is of no use to anyone.
    let _ = fs::remove_dir_all(&scratch);
    moved.map(|()| folder)
}

/// Gets a package's file into a folder of its own.
fn download(package: &str, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        // Without it the administrator's download is by a user who may not write here.
        command
            .args(["-q", "-o", "APT::Sandbox::User=root"])
            .args(arguments);
        command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(std::io::stderr());
        command
    };
    let what = format!("downloading {package}");
    if run(&mut apt(&["download", package]), &what).is_err() {
        // A machine without lists of packages, or with old ones.
        run(&mut apt(&["update"]), "updating the list of packages")?;
        run(&mut apt(&["download", package]), &what)?;
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
