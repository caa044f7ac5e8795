// SPDX-License-Identifier: BSD-2-Clause
//! Mounts of a `config.json`.

use crate::verdict::Findings;
use oci_spec::runtime;
use xos_container::{Mount, MountFlags, MountKind};

/// What the source of a bind mount begins with: there is no host whose files could be named.
pub const REGION: &str = "region:";

/// Options that set or clear flags.
const FLAGS: &[(&str, MountFlags, bool)] = &[
    ("ro", MountFlags::READ_ONLY, true),
    ("rro", MountFlags::READ_ONLY, true),
    ("rw", MountFlags::READ_ONLY, false),
    ("nosuid", MountFlags::NO_SUID, true),
    ("rnosuid", MountFlags::NO_SUID, true),
    ("suid", MountFlags::NO_SUID, false),
    ("nodev", MountFlags::NO_DEV, true),
    ("rnodev", MountFlags::NO_DEV, true),
    ("dev", MountFlags::NO_DEV, false),
    ("noexec", MountFlags::NO_EXEC, true),
    ("rnoexec", MountFlags::NO_EXEC, true),
    ("exec", MountFlags::NO_EXEC, false),
];

/// Options that are left out, because they are about when something is written, or who else sees it, and
/// nothing is written anywhere and nobody else sees it.
const HARMLESS: &[&str] = &[
    "defaults",
    "async",
    "sync",
    "dirsync",
    "silent",
    "loud",
    "atime",
    "noatime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "diratime",
    "nodiratime",
    "lazytime",
    "nolazytime",
    "private",
    "rprivate",
    "slave",
    "rslave",
    "unbindable",
    "runbindable",
    "bind",
    "rbind",
];

/// Types of file systems that this ABI does not have, and that programs expect to be mounted.
const EMPTY: &[&str] = &["sysfs", "cgroup", "cgroup2", "mqueue"];

/// Reads the mounts of a container; what cannot be mounted is refused in `findings`.
#[must_use]
pub fn read(mounts: &[runtime::Mount], findings: &mut Findings) -> Vec<Mount<String>> {
    let owned: Vec<_> = mounts
        .iter()
        .filter_map(|mount| read_one(mount, findings))
        .collect();
    if owned.len() > xos_container::MAX_MOUNTS {
        findings.refuse(
            "mounts",
            format!("there may be {} at most", xos_container::MAX_MOUNTS),
        );
    }
    owned
}

fn read_one(mount: &runtime::Mount, findings: &mut Findings) -> Option<Mount<String>> {
    let target = mount.destination().to_string_lossy().into_owned();
    let property = |what: &str| format!("mounts[{}].{what}", target.escape_debug());
    // Specification 1.0 allows relative ones, "as relative to /".
    let target_path = normal(&target);
    let options: Vec<&str> = mount
        .options()
        .iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let is_bind = options
        .iter()
        .any(|option| matches!(*option, "bind" | "rbind"))
        || mount.typ().as_deref() == Some("bind");

    let mut kind = if is_bind {
        let source = mount
            .source()
            .as_ref()
            .and_then(|source| source.to_str())
            .unwrap_or("");
        match source.strip_prefix(REGION) {
            Some(name) if xos_container::is_name(name) => MountKind::Region(name.to_owned()),
            Some(_) => {
                findings.refuse(property("source"), "this is no name of a region");
                return None;
            }
            None => {
                findings.refuse(
                    property("source"),
                    format!(
                        "there is no host with a {}; name a region: {REGION}NAME",
                        source.escape_debug()
                    ),
                );
                return None;
            }
        }
    } else {
        match mount.typ().as_deref() {
            Some("proc") => MountKind::Proc,
            Some("tmpfs") => MountKind::Tmpfs {
                size: None,
                inodes: None,
                mode: if target_path == "/dev" { 0o755 } else { 0o1777 },
                uid: 0,
                gid: 0,
                devices: target_path == "/dev",
            },
            Some("devpts") => MountKind::Devpts {
                mode: 0o600,
                gid: None,
            },
            Some(kind) if EMPTY.contains(&kind) => {
                findings.note(
                    &property("type"),
                    &format!("there is no {kind}: the folder is empty"),
                );
                MountKind::Empty
            }
            Some(kind) => {
                findings.refuse(
                    property("type"),
                    format!("there is no file system `{}`", kind.escape_debug()),
                );
                return None;
            }
            None => {
                findings.refuse(property("type"), "it is missing");
                return None;
            }
        }
    };
    let mut flags = MountFlags::empty();
    for option in options {
        if let Some((_, flag, set)) = FLAGS.iter().find(|(name, ..)| *name == option) {
            flags.set(*flag, *set);
        } else if !(HARMLESS.contains(&option) || set(&mut kind, option)) {
            findings.refuse(
                property("options"),
                format!(
                    "`{}` is not known, or has no good value",
                    option.escape_debug()
                ),
            );
        }
    }
    if matches!(kind, MountKind::Empty) {
        flags |= MountFlags::READ_ONLY;
    }
    Some(Mount {
        target: target_path,
        kind,
        flags,
    })
}

/// Sets what an option of a kind of file systems says; whether it does.
fn set(kind: &mut MountKind<String>, option: &str) -> bool {
    let Some((name, value)) = option.split_once('=') else {
        // Of what has no instances shared between containers.
        return option == "newinstance" && matches!(kind, MountKind::Devpts { .. });
    };
    let octal = |most: u16| {
        u16::from_str_radix(value, 8)
            .ok()
            .filter(|mode| *mode <= most)
    };
    let number = value.parse::<u32>().ok();
    match (kind, name) {
        (MountKind::Tmpfs { size, .. }, "size") => assign(size, bytes(value).map(Some)),
        (MountKind::Tmpfs { inodes, .. }, "nr_inodes") => assign(inodes, bytes(value).map(Some)),
        (MountKind::Tmpfs { mode, .. }, "mode") => assign(mode, octal(0o7777)),
        (MountKind::Tmpfs { uid, .. }, "uid") => assign(uid, number),
        (MountKind::Tmpfs { gid, .. }, "gid") => assign(gid, number),
        (MountKind::Devpts { mode, .. }, "mode") => assign(mode, octal(0o777)),
        (MountKind::Devpts { gid, .. }, "gid") => assign(gid, number.map(Some)),
        // The mode of `ptmx` in its folder; `/dev/ptmx` is what programs use.
        (MountKind::Devpts { .. }, "ptmxmode") => octal(0o777).is_some(),
        _ => false,
    }
}

fn assign<T>(to: &mut T, value: Option<T>) -> bool {
    match value {
        Some(value) => {
            *to = value;
            true
        }
        None => false,
    }
}

/// A number with `k`, `m`, `g` behind it, or none (tmpfs(5)). Zero, which means "no limit", and `%` are
/// not taken: the first would be no limit at all, the second depends on the machine.
fn bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 10),
        b'm' | b'M' => (&text[..text.len() - 1], 20),
        b'g' | b'G' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|number| *number > 0)
}

/// An absolute path without empty parts; `.` and `..` are left in it, to be refused.
pub(crate) fn normal(path: &str) -> String {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests;
