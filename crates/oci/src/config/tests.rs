// SPDX-License-Identifier: BSD-2-Clause

use super::*;
use proptest::prelude::*;
use serde_json::json;
use xos_container::Resource;

/// The least that a container needs.
fn least() -> Value {
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs" },
        "process": { "cwd": "/", "args": ["/bin/true"], "user": { "uid": 0, "gid": 0 } },
    })
}

/// The same with one thing more, by its path.
fn with(pointer: &str, value: Value) -> Value {
    let mut document = least();
    let mut at = &mut document;
    for name in pointer.split('/').skip(1) {
        at = &mut at[name];
    }
    *at = value;
    document
}

fn read_value(document: &Value) -> Result<(Config, std::path::PathBuf, Vec<String>)> {
    read(document.to_string().as_bytes())
}

fn config(document: &Value) -> Config {
    read_value(document).unwrap().0
}

/// What is refused, if it is.
fn refused(document: &Value) -> Vec<String> {
    match read_value(document) {
        Err(Error::Refused(refusals)) => refusals
            .into_iter()
            .map(|refusal| refusal.property)
            .collect(),
        Err(error) => panic!("{error}"),
        Ok(_) => Vec::new(),
    }
}

#[test]
fn the_least_is_enough_and_gives_no_rights() {
    let config = config(&least());
    assert_eq!(config.arguments, ["/bin/true"]);
    assert_eq!(config.capabilities, CapabilitySets::default());
    assert!(!config.read_only && !config.terminal && !config.no_new_privileges);
    assert_eq!(config.limits, Limits::default());
}

#[test]
fn what_a_process_is_comes_from_the_document() {
    let mut document = least();
    document["hostname"] = json!("box");
    document["domainname"] = json!("example");
    document["root"]["readonly"] = json!(true);
    document["process"] = json!({
        "terminal": true, "consoleSize": { "height": 1, "width": 2 },
        "user": { "uid": 5, "gid": 6, "umask": 0o77, "additionalGids": [7, 8] },
        "args": ["a", "b c"], "env": ["A=1"], "cwd": "/tmp", "noNewPrivileges": true, "oomScoreAdj": 100,
        "capabilities": { "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL", "CAP_CHOWN"] },
        "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 64, "hard": 128 }],
    });
    let (config, root, notes) = read_value(&document).unwrap();
    assert_eq!(root, std::path::Path::new("rootfs"));
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(config.read_only && config.terminal && config.no_new_privileges);
    assert_eq!((config.uid, config.gid, config.umask), (5, 6, Some(0o77)));
    assert_eq!(config.additional_gids, [7, 8]);
    assert_eq!(config.arguments, ["a", "b c"]);
    assert_eq!((&*config.hostname, &*config.domainname), ("box", "example"));
    assert_eq!(
        config.capabilities.permitted,
        Capabilities::KILL | Capabilities::CHOWN
    );
    assert_eq!(config.capabilities.effective, Capabilities::KILL);
    assert_eq!(config.capabilities.inheritable, Capabilities::empty());
    let expected = Rlimit {
        resource: Resource::Files,
        soft: 64,
        hard: 128,
    };
    assert_eq!(config.rlimits, [expected]);
}

#[test]
fn limits_of_memory_and_threads_are_read_and_zero_is_none() {
    let limits = |memory: i64, pids: i64| {
        config(&with(
            "/linux",
            json!({ "resources": { "memory": { "limit": memory }, "pids": { "limit": pids } } }),
        ))
        .limits
    };
    assert_eq!(
        limits(1 << 20, 9),
        Limits {
            memory: Some(1 << 20),
            pids: Some(9)
        }
    );
    assert_eq!(limits(-1, -1), Limits::default());
    assert_eq!(limits(0, 0), Limits::default());
}

#[test]
fn a_quota_of_processor_time_is_refused_by_name() {
    let document = with(
        "/linux",
        json!({ "resources": { "cpu": { "quota": 50000, "period": 100000 } } }),
    );
    assert_eq!(
        refused(&document),
        ["linux.resources.cpu.period", "linux.resources.cpu.quota"]
    );
}

#[test]
fn what_would_weaken_isolation_is_refused_by_name() {
    let seccomp = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [] });
    for (pointer, value, property) in [
        ("/linux/seccomp", seccomp, "linux.seccomp"),
        (
            "/process/apparmorProfile",
            json!("x"),
            "process.apparmorProfile",
        ),
        ("/process/selinuxLabel", json!("x"), "process.selinuxLabel"),
        ("/linux/mountLabel", json!("x"), "linux.mountLabel"),
        ("/linux/sysctl", json!({ "kernel.x": "1" }), "linux.sysctl"),
        (
            "/linux/intelRdt",
            json!({ "closID": "x" }),
            "linux.intelRdt",
        ),
        (
            "/linux/namespaces",
            json!([{ "type": "pid", "path": "/proc/1/ns/pid" }]),
            "linux.namespaces[].path",
        ),
        (
            "/linux/rootfsPropagation",
            json!("shared"),
            "linux.rootfsPropagation",
        ),
        (
            "/linux/personality",
            json!({ "domain": "LINUX32" }),
            "linux.personality",
        ),
        (
            "/hooks/poststop",
            json!([{ "path": "/x" }]),
            "hooks.poststop",
        ),
        ("/windows", json!({ "x": 1 }), "windows"),
        (
            "/linux/devices",
            json!([{ "path": "/dev/sda", "type": "b", "major": 8, "minor": 0 }]),
            "linux.devices",
        ),
        (
            "/linux/devices",
            json!([{ "path": "/tmp/x", "type": "c", "major": 1, "minor": 3 }]),
            "linux.devices",
        ),
    ] {
        assert_eq!(refused(&with(pointer, value)), [property]);
    }
}

#[test]
fn what_a_container_has_anyway_may_be_asked_for() {
    for (pointer, value) in [
        (
            "/linux/namespaces",
            json!([{ "type": "pid" }, { "type": "user" }, { "type": "mount", "path": "" }]),
        ),
        (
            "/linux/devices",
            json!([{ "path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 438 }]),
        ),
        ("/linux/rootfsPropagation", json!("rprivate")),
        (
            "/linux/resources/devices",
            json!([{ "allow": false, "access": "rwm" }]),
        ),
        ("/linux/personality", json!({ "domain": "LINUX" })),
    ] {
        assert_eq!(refused(&with(pointer, value.clone())), [""; 0], "{value}");
    }
}

#[test]
fn masked_and_read_only_paths_are_read() {
    let config = config(&with(
        "/linux",
        json!({ "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc//sys/"] }),
    ));
    assert_eq!(config.masked_paths, ["/proc/kcore"]);
    assert_eq!(config.readonly_paths, ["/proc/sys"]);
}

#[test]
fn without_a_linux_section_nothing_is_masked() {
    // The library has a default for what is not there; a document that does not say it does not ask.
    assert_eq!(config(&least()).masked_paths, [""; 0]);
}

#[test]
fn what_is_missing_or_of_the_wrong_type_is_an_error() {
    for (pointer, value) in [
        ("/root", json!(null)),
        ("/process", json!(null)),
        ("/process/args", json!("text")),
        ("/process/user/uid", json!(-1)),
        ("/process/user/uid", json!(4294967296u64)),
        (
            "/process/rlimits",
            json!([{ "type": "RLIMIT_FUN", "soft": 1, "hard": 1 }]),
        ),
        ("/process/capabilities", json!({ "bounding": ["CAP_FLY"] })),
        ("/mounts", json!({})),
        ("/ociVersion", json!("2.0.0")),
    ] {
        assert!(
            read_value(&with(pointer, value.clone())).is_err(),
            "{pointer} {value}"
        );
    }
}

#[test]
fn too_many_groups_and_a_umask_of_other_bits_are_refused() {
    assert_eq!(
        refused(&with("/process/user/umask", json!(0o1000))),
        ["process.user.umask"]
    );
    let many: Vec<_> = (0..33).collect();
    assert_eq!(
        refused(&with("/process/user/additionalGids", json!(many))),
        ["process.user.additionalGids"]
    );
}

#[test]
fn json_that_is_none_or_says_something_twice_or_nests_without_end_is_an_error() {
    let least = least().to_string();
    let twice = least.replacen("{", r#"{"root":{"path":"other"},"#, 1);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in [
        "",
        "{",
        "null",
        "[]",
        "\u{feff}{}",
        &least[1..],
        &twice,
        &deep,
    ] {
        assert!(
            read(text.as_bytes()).is_err(),
            "{}",
            &text[..text.len().min(80)]
        );
    }
    assert!(read(b"\xff").is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_a_config_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    #[test]
    fn a_damaged_config_is_one_or_refused(at in 0usize..1000, byte in 0x20u8..0x7f) {
        let mut text = with("/linux", json!({ "seccomp": { "defaultAction": "SCMP_ACT_ERRNO" } })).to_string().into_bytes();
        let length = text.len();
        text[at % length] = byte;
        // One letter makes another property of it, which is noted; never a filter that is not there.
        if let Ok((_, _, notes)) = read(&text) {
            prop_assert!(!notes.is_empty());
        }
    }
}
