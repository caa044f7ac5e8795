// SPDX-License-Identifier: BSD-2-Clause

use super::*;
use serde_json::{Value, json};

/// Reads one mount: what it is, or why it is refused.
fn mount(document: Value) -> Result<Mount<String>, String> {
    let mount: runtime::Mount = serde_json::from_value(document).unwrap();
    let mut findings = Findings::default();
    let mounts = read(&[mount], &mut findings);
    match findings.refusals.first() {
        Some(refusal) => Err(format!("{}: {}", refusal.property, refusal.why)),
        None => Ok(mounts.into_iter().next().unwrap()),
    }
}

fn of_type(kind: &str, target: &str, options: &[&str]) -> Result<Mount<String>, String> {
    mount(json!({ "destination": target, "type": kind, "source": kind, "options": options }))
}

#[test]
fn the_mounts_that_every_engine_writes_are_taken() {
    for (kind, target, options) in [
        ("proc", "/proc", &["nosuid", "noexec", "nodev"][..]),
        (
            "tmpfs",
            "/dev",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        (
            "devpts",
            "/dev/pts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        (
            "tmpfs",
            "/dev/shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
        ("mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]),
        ("sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
        (
            "cgroup",
            "/sys/fs/cgroup",
            &["nosuid", "noexec", "nodev", "relatime", "ro"],
        ),
    ] {
        let mount = of_type(kind, target, options).unwrap();
        assert_eq!(mount.target, target);
        assert!(mount.flags.contains(MountFlags::NO_SUID));
    }
}

#[test]
fn dev_has_devices_and_other_tmpfs_have_none() {
    let devices = |target| match of_type("tmpfs", target, &[]).unwrap().kind {
        MountKind::Tmpfs { devices, mode, .. } => (devices, mode),
        other => panic!("{other:?}"),
    };
    assert_eq!(devices("/dev"), (true, 0o755));
    assert_eq!(devices("/dev/"), (true, 0o755));
    assert_eq!(devices("/dev/shm"), (false, 0o1777));
}

#[test]
fn options_of_tmpfs_are_read() {
    let options = [
        "size=64m",
        "nr_inodes=1k",
        "mode=0700",
        "uid=5",
        "gid=6",
        "ro",
    ];
    let mount = of_type("tmpfs", "/tmp", &options).unwrap();
    let expected = MountKind::Tmpfs {
        size: Some(64 << 20),
        inodes: Some(1024),
        mode: 0o700,
        uid: 5,
        gid: 6,
        devices: false,
    };
    assert_eq!(mount.kind, expected);
    assert_eq!(mount.flags, MountFlags::READ_ONLY);
}

#[test]
fn the_last_of_two_options_counts() {
    assert!(
        of_type("tmpfs", "/t", &["ro", "rw"])
            .unwrap()
            .flags
            .is_empty()
    );
    assert_eq!(
        of_type("tmpfs", "/t", &["rw", "ro"]).unwrap().flags,
        MountFlags::READ_ONLY
    );
}

#[test]
fn options_that_cannot_be_honoured_are_refused_by_name() {
    for option in [
        "size=0",
        "size=50%",
        "size=",
        "size=x",
        "size=-1",
        "size=99999999999g",
        "mode=9",
        "mode=10000",
        "uid=x",
        "shared",
        "rshared",
        "hidepid=2",
        "nosymfollow",
        "mand",
        "idmap",
        "tmpcopyup",
        "newinstance",
        "SIZE=1",
        "",
    ] {
        let error = of_type("tmpfs", "/t", &[option]).unwrap_err();
        assert!(
            error.contains("mounts[/t].options") && error.contains(option),
            "{error}"
        );
    }
    assert!(of_type("proc", "/proc", &["hidepid=2"]).is_err());
}

#[test]
fn file_systems_that_are_not_there_are_empty_and_cannot_be_written() {
    let mount = of_type("sysfs", "/sys", &["rw"]).unwrap();
    assert_eq!(
        (mount.kind, mount.flags),
        (MountKind::Empty, MountFlags::READ_ONLY)
    );
}

#[test]
fn other_types_are_refused_by_name() {
    for kind in ["ext4", "overlay", "nfs", "9p", "fuse", ""] {
        let error = of_type(kind, "/x", &[]).unwrap_err();
        assert!(error.contains("mounts[/x].type"), "{error}");
    }
    assert!(
        mount(json!({ "destination": "/x" }))
            .unwrap_err()
            .contains("missing")
    );
}

#[test]
fn a_bind_mount_names_a_region() {
    for document in [
        json!({ "destination": "/x", "type": "bind", "source": "region:data" }),
        json!({ "destination": "/x", "source": "region:data", "options": ["rbind", "ro"] }),
        json!({ "destination": "/x", "type": "none", "source": "region:data", "options": ["bind"] }),
    ] {
        assert_eq!(
            mount(document).unwrap().kind,
            MountKind::Region("data".into())
        );
    }
}

#[test]
fn a_bind_mount_of_a_path_of_a_host_is_refused() {
    for source in [
        "/etc",
        "data",
        "",
        "region:",
        "region:../x",
        "region:a/b",
        "Region:data",
    ] {
        let error =
            mount(json!({ "destination": "/x", "type": "bind", "source": source })).unwrap_err();
        assert!(error.contains("mounts[/x].source"), "{error}");
    }
    // Whatever its type says.
    let hidden =
        json!({ "destination": "/proc", "type": "proc", "source": "/", "options": ["bind"] });
    assert!(mount(hidden).is_err());
}

#[test]
fn there_are_only_so_many_mounts() {
    let one: runtime::Mount =
        serde_json::from_value(json!({ "destination": "/x", "type": "proc" })).unwrap();
    let mut findings = Findings::default();
    let _ = read(&vec![one; xos_container::MAX_MOUNTS + 1], &mut findings);
    assert_eq!(findings.refusals[0].property, "mounts");
}
