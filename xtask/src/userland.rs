// SPDX-License-Identifier: BSD-2-Clause
//! What users of Linux expect to find: programs of Debian's, their names, and the files that these read.

use crate::debian;
use crate::tree::{Addition, GuestPath, Tree, TreeError};
use crate::workspace::{cargo, root, run};
use anyhow::{Context, Result};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Programs of [`debian::PROGRAMS`], and where they are for a guest's programs.
const PROGRAMS: &[(&str, &str)] = &[("busybox", BUSYBOX), ("bash", "bin/bash")];
/// The one that has many names.
const BUSYBOX: &str = "bin/busybox";
/// Shells for a person, of which the first that is there is run ([`xos_image::console::LOGIN_FILE`]).
pub const SHELLS: &str = "bash --login\nbusybox sh -l\n";
/// A container of it, and its `config.json`.
pub const CONTAINER: &str = "containers/busybox";
/// See [`CONTAINER`].
pub const CONFIG: &str = include_str!("busybox.json");
/// Programs of ours for Linux, packages in `userland/`.
const OWN: &[&str] = &["ic", "container"];
/// Text files.
const TEXTS: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    ("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
    ("etc/hostname", "xos\n"),
    ("etc/hosts", "127.0.0.1 localhost xos\n"),
    (
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files\n",
    ),
    ("etc/profile", "PS1='\\w # '\nexport PS1\n"),
    ("root/.profile", "alias ll='ls -l'\n"),
];

/// Adds what is missing. Where Debian's programs cannot be had the tree is without them, and the user is told.
///
/// # Errors
/// When what could be had is of no use.
pub fn add(tree: &mut Tree) -> Result<()> {
    for (name, guest) in PROGRAMS {
        let host = match debian::program(name) {
            Ok(host) => host,
            Err(error) => {
                eprintln!("xtask: warning: no {name} in the file tree: {error:#}");
                continue;
            }
        };
        let guest: GuestPath = guest.parse()?;
        let is_busybox = guest.as_str() == BUSYBOX;
        let command = host.clone();
        unless_there(tree.add(&Addition { host, guest }).map(drop))?;
        if is_busybox {
            for name in names(&command)? {
                unless_there(tree.add_link(name.parse()?, &format!("/{BUSYBOX}")))?;
            }
        }
    }
    for name in OWN {
        let (host, guest) = (build(name)?, format!("bin/{name}").parse()?);
        unless_there(tree.add(&Addition { host, guest }).map(drop))?;
    }
    for (guest, text) in TEXTS {
        unless_there(tree.add_bytes(guest.parse()?, text.as_bytes().to_vec()))?;
    }
    if debian::program("busybox").is_ok() {
        let guest: GuestPath = CONTAINER.parse()?;
        if tree.paths().all(|path| *path != guest) {
            add_container(tree, guest)?;
        }
    }
    Ok(())
}

/// Adds what runs on virtual processors: our own kernel for virtual machines, and the virtine of the example.
///
/// # Errors
/// When it is of no use.
pub fn add_for_processors(tree: &mut Tree) -> Result<()> {
    for (path, image) in [
        ("boot/guest", guest_kernel::IMAGE),
        ("vcpu/parse-http", parse_c::IMAGE),
    ] {
        unless_there(tree.add_bytes(path.parse()?, image.to_vec()))?;
    }
    Ok(())
}

/// Adds a container of Debian's busybox.
///
/// # Errors
/// When busybox cannot be had, or something cannot be written.
pub fn add_container(tree: &mut Tree, guest: GuestPath) -> Result<()> {
    /// So that two at a time are not at one folder.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Relaxed);
    let host = root().join(format!("target/bundle.{}.{count}", std::process::id()));
    let added = bundle(&host, CONFIG).and_then(|()| {
        let guest = guest.clone();
        let host = host.clone();
        Ok(tree.add(&Addition { host, guest }).map(drop)?)
    });
    // It is in the tree, or of no use.
    let _ = fs::remove_dir_all(&host);
    added
}

/// The names that busybox has, which it knows itself: paths below the root.
fn names(busybox: &Path) -> Result<Vec<String>> {
    let output = Command::new(busybox)
        .arg("--list-full")
        .output()
        .with_context(|| format!("cannot run {}", busybox.display()))?;
    let names = String::from_utf8(output.stdout).context("busybox's names are no text")?;
    Ok(names
        .lines()
        .filter(|name| *name != BUSYBOX)
        .map(str::to_owned)
        .collect())
}

/// Makes a folder an OCI bundle with Debian's busybox, under all its names, and this `config.json`.
///
/// # Errors
/// When busybox cannot be had, or something cannot be written.
pub fn bundle(folder: &Path, config: &str) -> Result<()> {
    let root = folder.join("rootfs");
    let host = debian::program("busybox")?;
    let make = |path: &Path| match path.parent() {
        Some(parent) => fs::create_dir_all(parent),
        None => Ok(()),
    };
    let write = || -> io::Result<()> {
        let program = root.join(BUSYBOX);
        make(&program)?;
        fs::copy(&host, &program)?;
        for (path, text) in TEXTS {
            make(&root.join(path))?;
            fs::write(root.join(path), text)?;
        }
        fs::write(folder.join("config.json"), config)
    };
    write().with_context(|| format!("cannot make a bundle at {}", folder.display()))?;
    for name in names(&host)? {
        let path = root.join(name);
        make(&path)
            .and_then(|()| symlink(format!("/{BUSYBOX}"), &path))
            .with_context(|| format!("cannot make {}", path.display()))?;
    }
    Ok(())
}

/// Builds a program of ours for Linux, static.
fn build(package: &str) -> Result<PathBuf> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    let folder = root().join("target/userland");
    let mut command = cargo();
    // Whatever flags this tool is built with are for the host.
    command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.args(["build", "--quiet", "--release", "--package", package]);
    command
        .args(["--target", TARGET, "--target-dir"])
        .arg(&folder);
    run(&mut command, &format!("building {package} for Linux"))?;
    Ok(folder.join(TARGET).join("release").join(package))
}

/// What is in the tree already stays.
fn unless_there(added: Result<(), TreeError>) -> Result<()> {
    match added {
        Err(TreeError::Duplicate(_) | TreeError::FileAndFolder(_)) => Ok(()),
        added => Ok(added?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_has_added_stays() {
        let mut tree = Tree::new();
        tree.add_bytes("etc/passwd".parse().unwrap(), b"mine".to_vec())
            .unwrap();
        let again = tree.add_bytes("etc/passwd".parse().unwrap(), Vec::new());
        assert!(unless_there(again).is_ok());
        assert_eq!(tree.paths().count(), 1);
    }
}
