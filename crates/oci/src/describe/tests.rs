// SPDX-License-Identifier: BSD-2-Clause

use super::*;
use crate::root::{Attributes, Content, Path};
use serde_json::{Value, json};

fn root() -> RootFs {
    let mut root = RootFs::new(100);
    let text = "root:x:0:0::/root:\nann:x:1000:100::/home/ann:\n";
    let content = Content::File(text.into());
    root.put(
        &Path::parse(b"etc/passwd").unwrap(),
        Attributes::FOLDER,
        content,
    )
    .unwrap();
    root
}

/// Describes an image and gives the description to a test.
fn described<R>(config: Value, look: impl FnOnce(Container<'_>) -> R) -> R {
    let config = serde_json::from_value(config).unwrap();
    let (bytes, _) = image(config, &mut root(), Digest([7; 32])).unwrap();
    look(Container::read(&bytes).unwrap())
}

fn error(config: Value) -> String {
    let config = serde_json::from_value(config).unwrap();
    image(config, &mut root(), Digest([7; 32]))
        .unwrap_err()
        .to_string()
}

fn strings(list: List<'_>) -> Vec<&str> {
    list.iter().collect()
}

#[test]
fn an_entry_point_stays_and_a_command_may_change() {
    described(
        json!({ "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["true"] }),
        |container| {
            assert_eq!(
                strings(container.process.arguments),
                ["/bin/sh", "-c", "true"]
            );
            assert_eq!(container.process.entrypoint, 2);
        },
    );
    described(json!({ "Cmd": ["sh"] }), |container| {
        assert_eq!(container.process.entrypoint, 0)
    });
}

#[test]
fn an_image_without_a_command_cannot_be_run() {
    assert!(error(json!({})).contains("at least one argument"));
}

#[test]
fn a_user_is_looked_up_and_has_its_home_and_no_rights() {
    described(json!({ "Cmd": ["sh"], "User": "ann" }), |container| {
        let process = container.process;
        assert_eq!((process.user.uid, process.user.gid), (1000, 100));
        assert!(strings(process.environment).contains(&"HOME=/home/ann"));
        assert_eq!(process.capabilities.effective, Capabilities::empty());
        assert_eq!(process.capabilities.bounding, DEFAULT_CAPABILITIES);
    });
    assert!(error(json!({ "Cmd": ["sh"], "User": "eve" })).contains("eve"));
}

#[test]
fn root_of_a_container_has_the_rights_that_docker_gives() {
    described(json!({ "Cmd": ["sh"] }), |container| {
        let sets = container.process.capabilities;
        assert_eq!(sets.effective, DEFAULT_CAPABILITIES);
        assert!(!sets.bounding.contains(Capabilities::SYS_ADMIN));
        assert_eq!(sets.effective.iter().count(), 14);
    });
}

#[test]
fn programs_are_looked_for_where_the_image_says() {
    described(
        json!({ "Cmd": ["sh"], "Env": ["PATH=/opt", "HOME=/x"] }),
        |container| {
            assert_eq!(
                strings(container.process.environment),
                ["PATH=/opt", "HOME=/x"]
            );
        },
    );
    described(json!({ "Cmd": ["sh"] }), |container| {
        assert_eq!(
            strings(container.process.environment),
            [DEFAULT_PATH, "HOME=/root"]
        );
    });
}

#[test]
fn a_working_directory_is_absolute() {
    described(
        json!({ "Cmd": ["sh"], "WorkingDir": "srv/" }),
        |container| {
            assert_eq!(container.process.cwd, "/srv");
        },
    );
    assert!(error(json!({ "Cmd": ["sh"], "WorkingDir": "/a/../.." })).contains(".."));
}

#[test]
fn stop_signals_are_known_by_name_and_number() {
    for (text, number) in [
        ("SIGTERM", 15),
        ("KILL", 9),
        ("SIGRTMIN+3", 37),
        ("SIGRTMIN", 34),
        ("28", 28),
    ] {
        described(json!({ "Cmd": ["sh"], "StopSignal": text }), |container| {
            assert_eq!(container.stop_signal, number, "{text}");
        });
    }
    for text in ["SIGNONE", "0", "65", "-1", "SIGRTMIN+31", "SIGRTMIN-1"] {
        assert!(
            error(json!({ "Cmd": ["sh"], "StopSignal": text })).contains("signal"),
            "{text}"
        );
    }
}

#[test]
fn a_string_with_a_nul_byte_is_refused() {
    assert!(error(json!({ "Cmd": ["a\0b"] })).contains("NUL"));
}

#[test]
fn what_does_not_fit_is_refused() {
    assert!(error(json!({ "Cmd": ["x".repeat(MAX_BYTES)] })).contains("64 KiB"));
}

#[test]
fn ports_and_volumes_are_noted() {
    let config =
        json!({ "Cmd": ["sh"], "ExposedPorts": { "80/tcp": {} }, "Volumes": { "/v": {} } });
    let (_, notes) = image(
        serde_json::from_value(config).unwrap(),
        &mut root(),
        Digest([0; 32]),
    )
    .unwrap();
    assert_eq!(notes.len(), 2);
}
