// SPDX-License-Identifier: BSD-2-Clause
//! What users of Linux expect to find: programs of Debian's, their names, and the files that these read.

use crate::debian;
use crate::tree::{Addition, GuestPath, Tree, TreeError};
use anyhow::{Context, Result};
use std::process::Command;

/// Programs of [`debian::PROGRAMS`], and where they are for a guest's programs.
const PROGRAMS: &[(&str, &str)] = &[("busybox", BUSYBOX), ("bash", "bin/bash")];
/// The one that has many names.
const BUSYBOX: &str = "bin/busybox";
/// Shells for a person, of which the first that is there is run ([`xos_image::console::LOGIN_FILE`]).
pub const SHELLS: &str = "bash --login\nbusybox sh -l\n";
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
            // It knows its names itself.
            let output = Command::new(&command)
                .arg("--list-full")
                .output()
                .with_context(|| format!("cannot run {}", command.display()))?;
            let names = String::from_utf8(output.stdout).context("busybox's names are no text")?;
            for name in names.lines().filter(|name| *name != BUSYBOX) {
                unless_there(tree.add_link(name.parse()?, &format!("/{BUSYBOX}")))?;
            }
        }
    }
    for (guest, text) in TEXTS {
        unless_there(tree.add_bytes(guest.parse()?, text.as_bytes().to_vec()))?;
    }
    Ok(())
}

/// Adds our own kernel for virtual machines.
///
/// # Errors
/// When it is of no use.
pub fn add_guest_kernel(tree: &mut Tree) -> Result<()> {
    let path = "boot/guest".parse()?;
    unless_there(tree.add_bytes(path, guest_kernel::IMAGE.to_vec()))
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
