// SPDX-License-Identifier: BSD-2-Clause
//! `deps`: what this repository needs of the machine beside Rust. Installs what is missing where it
//! may, and otherwise prints the line to type. When nothing is missing it does nothing, quickly.

use crate::workspace::{progress, run};
use anyhow::{Result, bail};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Programs, and the Debian packages that have them.
const PROGRAMS: &[(&str, &str)] = &[
    ("gcc", "gcc"),
    ("cpp", "cpp"),
    ("make", "make"),
    ("objcopy", "binutils"),
    ("patch", "patch"),
    ("python3", "python3"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("bochs", "bochs"),
    ("grub-mkrescue", "grub-common"),
    ("xorriso", "xorriso"),
    ("mformat", "mtools"),
    ("dot", "graphviz"),
    ("git", "git"),
    // For tests: a C library for static programs that is not glibc.
    ("musl-gcc", "musl-tools"),
    // For tests of containers: they make real images, with others' tools.
    ("skopeo", "skopeo"),
    ("umoci", "umoci"),
];

/// Files that are needed beside programs, and the packages that have them.
const FILES: &[(&str, &str)] = &[
    ("/usr/share/bochs/BIOS-bochs-latest", "bochsbios"),
    ("/usr/share/bochs/VGABIOS-lgpl-latest", "vgabios"),
    ("/usr/lib/grub/i386-pc/multiboot.mod", "grub-pc-bin"),
    ("/usr/lib/x86_64-linux-gnu/libc.a", "libc6-dev"),
];

/// Python modules that are needed: a script that fails without them, and the packages.
const PYTHON: &[(&str, &str)] = &[
    // The kernel's generators come with pip, into a folder of their own under target/.
    (
        "import importlib.util as u; u.find_spec('pip') or exit(1)",
        "python3-pip",
    ),
];

/// A program on the search path, or the path itself if it is one.
#[must_use]
pub fn find_program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    find_in(name.as_ref(), &std::env::var_os("PATH")?)
}

fn find_in(name: &OsStr, folders: &OsStr) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let executable = |path: &Path| {
        path.metadata()
            .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    // Joining an absolute path gives that path.
    let mut paths = std::env::split_paths(folders).map(|folder| folder.join(name));
    paths.find(|path| executable(path))
}

/// The Debian packages that are missing.
#[must_use]
pub fn missing() -> BTreeSet<&'static str> {
    let programs = PROGRAMS
        .iter()
        .filter(|(program, _)| find_program(program).is_none());
    let modules = PYTHON.iter().filter(|(code, _)| {
        let python = Command::new("python3")
            .args(["-c", code])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        !python.is_ok_and(|status| status.success())
    });
    let files = FILES.iter().filter(|(file, _)| !Path::new(file).is_file());
    programs
        .chain(files)
        .chain(modules)
        .map(|(_, package)| *package)
        .collect()
}

/// Installs what is missing.
pub fn install() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.iter().copied().collect::<Vec<_>>().join(" ");
    let line = format!("apt-get update && apt-get install -y --no-install-recommends {list}");
    if find_program("apt-get").is_none() {
        bail!("missing: {list} (the names of Debian's packages). Install them and try again");
    }
    let Some(prefix) = administrator() else {
        bail!("missing: {list}. Type this and try again:\n  sudo sh -c '{line}'");
    };
    progress(&format!("installing {list}"));
    let apt = |arguments: &[&str]| {
        let mut words =
            prefix
                .iter()
                .copied()
                .chain(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        let mut command = Command::new(words.next().unwrap_or("env"));
        // All of apt's talk is log.
        command
            .args(words)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(std::io::stderr());
        command
    };
    // Without a network, what is in the cache may still do: only the installation has to succeed.
    if run(&mut apt(&["update", "-q"]), "updating the list of packages").is_err() {
        progress("the list of packages could not be updated, going on with the one that is there");
    }
    let arguments: Vec<&str> = ["install", "-y", "-q", "--no-install-recommends"]
        .into_iter()
        .chain(missing.iter().copied())
        .collect();
    run(&mut apt(&arguments), &format!("installing {list}"))?;
    let missing = self::missing();
    if !missing.is_empty() {
        let list = missing.into_iter().collect::<Vec<_>>().join(" ");
        bail!("apt-get installed {list}, but what was needed of it is not on the search path");
    }
    Ok(())
}

/// How to act as the administrator without being asked for a password; `None` if there is no way.
fn administrator() -> Option<&'static [&'static str]> {
    if rustix::process::geteuid().is_root() {
        return Some(&[]);
    }
    let sudo = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    sudo.is_ok_and(|status| status.success())
        .then_some(&["sudo", "-n"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_on_the_search_path_or_by_its_own_path() {
        let sh = |name: &str, path: &str| find_in(name.as_ref(), path.as_ref());
        assert_eq!(sh("sh", "/nonexistent:/bin"), Some("/bin/sh".into()));
        assert_eq!(sh("/bin/sh", "/nonexistent"), Some("/bin/sh".into()));
        assert_eq!(sh("sh", "/nonexistent"), None);
    }

    #[test]
    fn a_file_that_is_not_executable_is_no_program() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tool"), "").unwrap();
        assert_eq!(find_in("tool".as_ref(), folder.path().as_os_str()), None);
        assert_eq!(find_in("".as_ref(), folder.path().as_os_str()), None);
    }
}
