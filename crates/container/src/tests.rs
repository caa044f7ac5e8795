// SPDX-License-Identifier: BSD-2-Clause

use super::*;
use proptest::prelude::*;

/// A container that has something of everything.
pub fn sample() -> Container<'static> {
    let sets = Capabilities::CHOWN | Capabilities::KILL;
    Container {
        root: Root {
            image: Digest([0xab; 32]),
            read_only: true,
        },
        process: Process {
            arguments: List("/bin/sh\0-c\0echo $A\0"),
            entrypoint: 2,
            environment: List("PATH=/bin\0A=\0"),
            cwd: "/",
            user: User {
                uid: 1000,
                gid: 100,
                umask: Some(0o77),
                additional_gids: Vec::from_slice(&[4, 5]).unwrap(),
            },
            terminal: false,
            capabilities: CapabilitySets {
                bounding: sets,
                effective: sets,
                inheritable: Capabilities::empty(),
                permitted: sets,
                ambient: Capabilities::empty(),
            },
            no_new_privileges: true,
            rlimits: Vec::from_slice(&[Rlimit {
                resource: Resource::Files,
                soft: 64,
                hard: 128,
            }])
            .unwrap(),
        },
        hostname: "box",
        domainname: "",
        mounts: Vec::from_slice(&[
            Mount {
                target: "/proc",
                kind: MountKind::Proc,
                flags: MountFlags::NO_SUID,
            },
            Mount {
                target: "/data",
                kind: MountKind::Region("shared-1"),
                flags: MountFlags::READ_ONLY,
            },
        ])
        .unwrap(),
        masked_paths: List("/proc/kcore\0"),
        readonly_paths: List("/proc/sys\0"),
        limits: Limits {
            memory: Some(16 << 20),
            pids: Some(8),
        },
        stop_signal: 15,
    }
}

/// What is wrong with the sample after a change.
fn flaw(change: impl FnOnce(&mut Container<'static>)) -> Option<Flaw> {
    let mut container = sample();
    change(&mut container);
    let mut bytes = [0; 4096];
    let result = container.write(&mut bytes).map(drop);
    assert_eq!(result, container.check());
    result.err()
}

fn mount(
    target: &'static str,
    kind: MountKind<&'static str>,
) -> Vec<Mount<&'static str>, MAX_MOUNTS> {
    let flags = MountFlags::empty();
    Vec::from_slice(&[Mount {
        target,
        kind,
        flags,
    }])
    .unwrap()
}

#[test]
fn a_description_survives_its_bytes() {
    let mut bytes = [0; 4096];
    let bytes = sample().write(&mut bytes).unwrap();
    assert_eq!(Container::read(bytes), Ok(sample()));
}

#[test]
fn a_description_is_all_of_its_file() {
    let mut bytes = [0; 4096];
    let length = sample().write(&mut bytes).unwrap().len();
    assert_eq!(Container::read(&bytes[..length + 1]), Err(Flaw::Malformed));
    assert_eq!(Container::read(&bytes[..length - 1]), Err(Flaw::Malformed));
    bytes[3] += 1;
    assert_eq!(Container::read(&bytes[..length]), Err(Flaw::Malformed));
    assert_eq!(Container::read(&[0; MAX_BYTES + 1]), Err(Flaw::TooLong));
}

#[test]
fn a_description_that_does_not_fit_is_not_cut() {
    for room in [0, 3, 4, 100] {
        assert_eq!(sample().write(&mut [0; 200][..room]), Err(Flaw::TooLong));
    }
}

#[test]
fn a_container_has_a_program() {
    assert_eq!(
        flaw(|c| c.process.arguments = List("")),
        Some(Flaw::NoProgram)
    );
    assert_eq!(
        flaw(|c| c.process.arguments = List("\0a\0b\0")),
        Some(Flaw::NoProgram)
    );
    assert_eq!(flaw(|c| c.process.entrypoint = 3), None);
    assert_eq!(flaw(|c| c.process.entrypoint = 4), Some(Flaw::Entrypoint));
}

#[test]
fn an_environment_consists_of_assignments() {
    for text in ["A\0", "=1\0", "A=1\0\0B=2\0"] {
        assert_eq!(
            flaw(|c| c.process.environment = List(text)),
            Some(Flaw::Environment),
            "{text:?}"
        );
    }
    assert_eq!(flaw(|c| c.process.environment = List("")), None);
}

#[test]
fn every_path_is_absolute_and_normal() {
    for path in ["", "bin", "/a/../b", "/a/./b", "/a//b", "/a/", "/..", "//"] {
        assert_eq!(flaw(|c| c.process.cwd = path), Some(Flaw::Path), "{path}");
        assert_eq!(
            flaw(|c| c.mounts = mount(path, MountKind::Proc)),
            Some(Flaw::Path),
            "{path}"
        );
        for list in [path.to_owned(), format!("/ok\0{path}\0")] {
            // An empty list is a list without paths.
            if !list.is_empty() {
                let list = List(list.leak());
                assert_eq!(
                    flaw(|c| c.masked_paths = list),
                    Some(Flaw::Path),
                    "{list:?}"
                );
                assert_eq!(
                    flaw(|c| c.readonly_paths = list),
                    Some(Flaw::Path),
                    "{list:?}"
                );
            }
        }
    }
    assert_eq!(flaw(|c| c.process.cwd = "/a/..b"), None);
}

#[test]
fn the_root_is_neither_masked_nor_mounted_over() {
    assert_eq!(
        flaw(|c| c.mounts = mount("/", MountKind::Proc)),
        Some(Flaw::Path)
    );
    assert_eq!(flaw(|c| c.masked_paths = List("/\0")), Some(Flaw::Path));
}

#[test]
fn a_region_has_the_name_of_one() {
    for name in ["", "../x", "-a", "a/b", "a b"] {
        let mounts = mount("/x", MountKind::Region(name));
        assert_eq!(
            flaw(|c| c.mounts = mounts),
            Some(Flaw::RegionName),
            "{name}"
        );
    }
}

#[test]
fn what_is_effective_is_permitted_and_what_is_ambient_is_inheritable() {
    let extra = Capabilities::SYS_ADMIN;
    assert_eq!(
        flaw(|c| c.process.capabilities.effective |= extra),
        Some(Flaw::Capabilities)
    );
    assert_eq!(
        flaw(|c| c.process.capabilities.ambient |= Capabilities::KILL),
        Some(Flaw::Capabilities)
    );
    let unknown = Capabilities::from_bits_retain(1 << 41);
    assert_eq!(
        flaw(|c| c.process.capabilities.bounding |= unknown),
        Some(Flaw::UnknownCapability)
    );
}

#[test]
fn limits_are_sensible() {
    let limit = |soft, hard| Rlimit {
        resource: Resource::Files,
        soft,
        hard,
    };
    assert_eq!(
        flaw(|c| c.process.rlimits[0] = limit(2, 1)),
        Some(Flaw::Rlimit)
    );
    assert_eq!(
        flaw(|c| c.process.rlimits.push(limit(1, 1)).unwrap()),
        Some(Flaw::RlimitTwice)
    );
    assert_eq!(flaw(|c| c.limits.memory = Some(0)), Some(Flaw::NoLimit));
    assert_eq!(flaw(|c| c.limits.pids = Some(0)), Some(Flaw::NoLimit));
    assert_eq!(flaw(|c| c.limits = Limits::default()), None);
}

#[test]
fn modes_signals_and_host_names_are_such() {
    assert_eq!(
        flaw(|c| c.process.user.umask = Some(0o1000)),
        Some(Flaw::Mode)
    );
    assert_eq!(flaw(|c| c.stop_signal = 0), Some(Flaw::Signal));
    assert_eq!(flaw(|c| c.stop_signal = 65), Some(Flaw::Signal));
    assert_eq!(flaw(|c| c.hostname = "a\nb"), Some(Flaw::Hostname));
    assert_eq!(
        flaw(|c| c.domainname = "x".repeat(65).leak()),
        Some(Flaw::Hostname)
    );
    assert_eq!(
        flaw(|c| c.mounts[0].flags = MountFlags::from_bits_retain(16)),
        Some(Flaw::UnknownFlag)
    );
}

#[test]
fn names_of_resources_are_those_of_linux() {
    assert_eq!(Resource::from_name("RLIMIT_NOFILE"), Some(Resource::Files));
    assert_eq!(Resource::Files as u8, 7);
    assert_eq!(Resource::RealTime as u8, 15);
    assert_eq!(Resource::from_name("RLIMIT_NO"), None);
}

#[test]
fn capabilities_are_found_by_their_linux_names() {
    assert_eq!(Capabilities::named("CAP_KILL"), Some(Capabilities::KILL));
    assert_eq!(
        Capabilities::named("CHECKPOINT_RESTORE").unwrap().bits(),
        1 << 40
    );
    assert_eq!(Capabilities::named("CAP_FLY"), None);
}

#[test]
fn a_digest_is_written_in_64_digits() {
    assert_eq!(Digest([0x0f; 32]).to_string(), "0f".repeat(32));
}

proptest! {
    #[test]
    fn any_bytes_are_a_sensible_description_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut all = MAGIC.to_vec();
        all.extend(bytes);
        if let Ok(container) = Container::read(&all) {
            prop_assert_eq!(container.check(), Ok(()));
        }
    }

    #[test]
    fn a_damaged_description_is_sensible_or_refused(at in 0usize..400, byte: u8, cut in 0usize..400) {
        let mut bytes = [0; 4096];
        let length = sample().write(&mut bytes).unwrap().len();
        bytes[at % length] = byte;
        for bytes in [&bytes[..length], &bytes[..cut.min(length)]] {
            if let Ok(container) = Container::read(bytes) {
                prop_assert_eq!(container.check(), Ok(()));
                // Nothing that it has is more than the guest was promised.
                let paths = container.masked_paths.iter().chain([container.process.cwd]);
                for path in paths {
                    prop_assert!(path.starts_with('/') && !path.split('/').any(|part| part == ".."));
                }
            }
        }
    }

    #[test]
    fn a_list_gives_back_its_strings(strings in proptest::collection::vec("[a-z= ]{0,5}", 0..6)) {
        let text: String = strings.iter().map(|s| format!("{s}\0")).collect();
        prop_assert_eq!(List(&text).iter().collect::<std::vec::Vec<_>>(), strings.clone());
        prop_assert_eq!(List(&text).len(), strings.len());
    }
}

#[test]
fn a_setup_survives_its_bytes_and_is_checked() {
    let span = Span {
        address: 0x7400_0000_0000,
        bytes: 10,
    };
    let setup = Setup {
        name: "box-1",
        container: sample(),
        command: List(""),
        more_environment: List(""),
        input: false,
        root: span,
        regions: Vec::from_slice(&[Grant {
            name: "shared-1",
            span,
        }])
        .unwrap(),
    };
    let mut bytes = [0; 4096];
    let written = setup.write(&mut bytes).unwrap();
    assert_eq!(Setup::read(written), Ok(setup.clone()));
    assert_eq!(Setup::read(&written[1..]), Err(Flaw::Malformed));
    let mut around = setup.clone();
    around.root.bytes = u64::MAX;
    assert_eq!(around.write(&mut bytes), Err(Flaw::Malformed));
    let mut nameless = setup;
    nameless.name = "../x";
    assert_eq!(nameless.write(&mut bytes), Err(Flaw::RegionName));
}

#[test]
fn whoever_starts_a_container_may_give_a_command_and_more_environment() {
    let mut setup = Setup {
        name: "box-1",
        container: sample(),
        command: List(""),
        more_environment: List("A=1\0B=\0"),
        input: false,
        root: Span::default(),
        regions: Vec::new(),
    };
    let arguments = |setup: &Setup<'static>| setup.arguments().collect::<std::vec::Vec<_>>();
    assert_eq!(arguments(&setup), ["/bin/sh", "-c", "echo $A"]);
    let environment: std::vec::Vec<_> = setup.environment().collect();
    assert_eq!(environment, ["PATH=/bin", "A=1", "B="]);
    setup.command = List("true\0");
    assert_eq!(arguments(&setup), ["/bin/sh", "-c", "true"]);
    assert_eq!(setup.hostname(), "box");
    setup.container.hostname = "";
    assert_eq!(setup.hostname(), "box-1");

    let mut bytes = [0; 4096];
    setup.container.process.entrypoint = 0;
    setup.command = List("\0");
    assert_eq!(setup.write(&mut bytes), Err(Flaw::NoProgram));
    setup.command = List("");
    setup.more_environment = List("A\0");
    assert_eq!(setup.write(&mut bytes), Err(Flaw::Environment));
}
