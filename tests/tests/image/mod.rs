// SPDX-License-Identifier: BSD-2-Clause
//! An image as others' tools make it: two layers of umoci's, copied to an archive by skopeo.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use xtask::debian;

fn tool(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("no {program}: `make deps` installs it"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments:?}: {errors}");
    Ok(())
}

/// Copies a program of Debian's.
fn program(name: &str, to: &Path) -> Result<()> {
    fs::copy(debian::program(name)?, to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Makes it in a folder: the archive. Its first layer has busybox as `sh` and `ls`, its second one takes `ls`
/// away, adds bash and sash, and changes a file.
pub fn make(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let text = |name: &str| folder.join(name).display().to_string();
    let image = format!("{}:1", text("layout"));
    let (first, second) = (text("first"), text("second"));
    let unpack = |bundle: &str| {
        tool(
            "umoci",
            &["unpack", "--rootless", "--image", &image, bundle],
        )
    };
    tool("umoci", &["init", "--layout", &text("layout")])?;
    tool("umoci", &["new", "--image", &image])?;
    unpack(&first)?;
    let root = folder.join("first/rootfs");
    for part in ["bin", "etc", "home"] {
        fs::create_dir_all(root.join(part))?;
    }
    program("busybox", &root.join("bin/busybox"))?;
    fs::hard_link(root.join("bin/busybox"), root.join("bin/sh"))?;
    for name in ["ls", "cat", "id"] {
        symlink("busybox", root.join("bin").join(name))?;
    }
    let users = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home:/bin/sh\n";
    fs::write(root.join("etc/passwd"), users)?;
    fs::write(root.join("etc/motd"), "one\n")?;
    tool("umoci", &["repack", "--image", &image, &first])?;
    unpack(&second)?;
    let root = folder.join("second/rootfs");
    fs::remove_file(root.join("bin/ls"))?;
    fs::write(root.join("etc/motd"), "two\n")?;
    for name in ["bash", "sash"] {
        program(name, &root.join("bin").join(name))?;
    }
    tool("umoci", &["repack", "--image", &image, &second])?;
    let mut config = vec!["config", "--image", &image];
    for (option, value) in [
        ("--config.entrypoint", "/bin/sh"),
        ("--config.cmd", "-c"),
        ("--config.cmd", "echo $GREETING from $(id -un) in $(pwd)"),
        ("--config.env", "GREETING=hello"),
        ("--config.workingdir", "/home"),
        ("--config.user", "ann"),
    ] {
        config.extend([option, value]);
    }
    tool("umoci", &config)?;
    let archive = folder.join("image.tar");
    let to = format!("oci-archive:{}:1", archive.display());
    tool("skopeo", &["copy", &format!("oci:{image}"), &to])?;
    Ok(archive)
}
