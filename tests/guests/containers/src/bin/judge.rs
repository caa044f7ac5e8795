// SPDX-License-Identifier: BSD-2-Clause
//! Runs the cases, as a client of the container factory.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use sel4_microkit::{NullHandler, memory_region_bytes, protection_domain};
use tar_no_std::{ArchiveEntry, TarArchiveRef};
use test_containers::{CASES, EAT, SERVE, TELL, WRITE};
use xos_client::{Container, Factory};
use xos_protocol::container::Stream;
use xos_protocol::factory::Spec;
use xos_protocol::manager::Free;
use xos_protocol::slots::domain;
use xos_protocol::wire::MAX_BYTES;
use xos_protocol::{Error, ExitStatus, IcId, Result, Subject};
use xos_test_judge::{MANAGER, Screen, TIMER, begin, end, successor};
use xos_test_kit::{Case, Outcome, cases, check, check_eq};

#[path = "judge/bench.rs"]
mod bench;
#[path = "judge/claims.rs"]
mod claims;
#[path = "judge/crowd.rs"]
mod crowd;
#[path = "judge/linux.rs"]
mod linux;
#[path = "judge/mutants.rs"]
mod mutants;

use claims::*;
use crowd::*;
use linux::*;

/// Root slots: the session on the factory, and the handles of containers.
const SESSION: u32 = domain::FIRST_FREE_ROOT;
const HANDLES: u32 = SESSION + 1;

/// The claims of a container's contract.
const CLAIMS: &[Case<()>] = include!("../cases_claims.rs");

/// The container that all cases run, with the stand-in as its server.
const IMAGE: &str = "stand-in:box";

#[protection_domain(heap_size = 64 * 1024)]
fn init() -> NullHandler {
    begin();
    let cases: &[Case<()>] = match cases_file() {
        Some(test_containers::BENCH) => &[("measure", |_| bench::measure())],
        Some(test_containers::CLAIMS) => CLAIMS,
        Some(test_containers::MUTANTS) => mutants::CASES,
        Some(test_containers::CROWD) => include!("../cases_crowd.rs"),
        _ => include!("../cases.rs"),
    };
    let passed = xos_test_kit::run(cases, &mut (), &mut Screen::default());
    end(passed)
}

/// Which cases are run, as the initial file tree says.
fn cases_file() -> Option<&'static str> {
    // SAFETY: the system description maps the tree for reading only, whoever has it.
    let tree = unsafe { memory_region_bytes!(files, files_len) };
    let tree = TarArchiveRef::new(tree).ok()?;
    let is_it = |entry: &ArchiveEntry<'_>| entry.filename().as_str() == Ok(CASES);
    let entry = tree.entries().find(is_it)?;
    core::str::from_utf8(entry.data()).ok()
}

/// The factory.
fn factory() -> Factory {
    xos_test_judge::factory("container", SESSION)
}

fn spec<'a>(arguments: &'a str) -> Spec<'a> {
    Spec {
        image: IMAGE,
        arguments,
        ..Spec::default()
    }
}

/// What a container has printed, and how it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Printed {
    output: String,
    errors: String,
    status: u8,
}

/// A container, with its handle in the first slot for handles but `number`.
struct Made {
    id: IcId,
    container: Container,
}

fn create(number: u32, spec: &Spec<'_>) -> Result<Made> {
    let (id, handle) = xos_test_judge::create(factory(), HANDLES + number, spec)?;
    let container = Container::new(handle);
    Ok(Made { id, container })
}

impl Made {
    fn start(&self) -> Result<()> {
        self.container.handle().start()
    }

    /// All that it prints until its end.
    fn output(&self) -> Result<String> {
        let (mut from, mut text) = (0, Vec::new());
        loop {
            let mut buffer = [0; MAX_BYTES];
            let log = self.container.log(0, from, true, &mut buffer)?;
            if log.end {
                return String::from_utf8(text).map_err(|_| Error::Unknown);
            }
            assert!(log.stream == Stream::Output && !log.lost);
            text.extend_from_slice(log.bytes);
            from = log.next;
        }
    }

    /// All that somebody in it prints until its end: 0 for the container itself, or a program by its number.
    fn streams(&self, of: u32) -> Result<(String, String)> {
        let (mut from, mut output, mut errors) = (0, Vec::new(), Vec::new());
        loop {
            let mut buffer = [0; MAX_BYTES];
            let log = self.container.log(of, from, true, &mut buffer)?;
            if log.end {
                let text = |bytes| String::from_utf8(bytes).map_err(|_| Error::Unknown);
                return Ok((text(output)?, text(errors)?));
            }
            assert!(!log.lost);
            match log.stream {
                Stream::Output => output.extend_from_slice(log.bytes),
                Stream::Error => errors.extend_from_slice(log.bytes),
            }
            from = log.next;
        }
    }

    /// All that it prints until its end, and how that is.
    fn printed(&self) -> Result<Printed> {
        let (output, errors) = self.streams(0)?;
        let status = self.container.wait()?;
        Ok(Printed {
            output,
            errors,
            status,
        })
    }

    /// Takes it away: how it ended.
    fn remove(self) -> Result<ExitStatus> {
        self.container.handle().kill()?;
        self.container.handle().wait()
    }
}

/// Runs a container of this command to its end: what it printed, and its status.
fn run(arguments: &str) -> Result<(String, u8)> {
    let made = create(0, &spec(arguments))?;
    made.start()?;
    let output = made.output()?;
    let status = made.container.wait()?;
    made.remove()?;
    Ok((output, status))
}

fn a_container_reads_its_root_and_its_log_is_read_after_its_end(_: &mut ()) -> Outcome {
    let made = create(0, &spec(""))?;
    made.start()?;
    check_eq!(made.container.wait()?, 0)?;
    check_eq!(made.output()?, "one root for all\n")?;
    check_eq!(made.remove()?, ExitStatus::Code(0))
}

fn a_command_that_is_given_takes_the_place_of_its_own(_: &mut ()) -> Outcome {
    let command = alloc::format!("{TELL}\0a\0b c\0");
    let made = create(
        0,
        &Spec {
            environment: "GREETING=bye\0MORE=1\0",
            ..spec(&command)
        },
    )?;
    made.start()?;
    let output = made.output()?;
    made.remove()?;
    check_eq!(output, "a\nb c\nHOME=/\nGREETING=bye\nMORE=1\nbox\n")
}

fn its_state_is_that_of_the_runtime_specification(_: &mut ()) -> Outcome {
    let command = alloc::format!("{SERVE}\0");
    let made = create(0, &spec(&command))?;
    let status = |made: &Made| {
        let mut buffer = [0; MAX_BYTES];
        made.container.state(&mut buffer).map(ToString::to_string)
    };
    let id = made.id;
    let expected = |status, pid: &str| {
        alloc::format!(
            r#"{{"ociVersion":"1.2.0","id":"{id}","status":"{status}",{pid}"bundle":"/containers/box"}}"#
        )
    };
    let pid = alloc::format!(r#""pid":{id},"#);
    check_eq!(status(&made)?, expected("created", &pid))?;
    check_eq!(made.container.signal(15), Err(Error::BadState))?;
    made.start()?;
    check_eq!(status(&made)?, expected("running", &pid))?;
    made.container.signal(15)?;
    made.container.wait()?;
    check_eq!(status(&made)?, expected("stopped", ""))?;
    check_eq!(made.remove()?, ExitStatus::Code(143))
}

fn a_signal_from_outside_ends_it_as_a_shell_tells_it(_: &mut ()) -> Outcome {
    let command = alloc::format!("{SERVE}\0");
    for signal in [2, 9] {
        let made = create(0, &spec(&command))?;
        made.start()?;
        made.container.signal(signal)?;
        check_eq!(made.container.wait()?, 128 + signal)?;
        made.remove()?;
    }
    Ok(())
}

fn a_program_is_run_in_a_running_container(_: &mut ()) -> Outcome {
    let command = alloc::format!("{SERVE}\0");
    let made = create(0, &spec(&command))?;
    check_eq!(made.container.exec("ls\0", "", ""), Err(Error::BadState))?;
    made.start()?;
    let number = made.container.exec("ls\0-l\0/\0", "", "")?;
    check_eq!(made.container.exec_wait(number)?, 3)?;
    check_eq!(made.container.exec_wait(number), Err(Error::Gone))?;
    made.remove()?;
    Ok(())
}

fn a_root_cannot_be_written(_: &mut ()) -> Outcome {
    let command = alloc::format!("{WRITE}\0");
    let (output, status) = run(&command)?;
    check_eq!(output, "")?;
    check_eq!(status, 139)?;
    // And is what it was.
    check_eq!(run("")?.0, "one root for all\n")
}

fn free() -> Result<Free> {
    MANAGER.free()
}

fn containers_of_one_image_share_its_memory(_: &mut ()) -> Outcome {
    // The image is there, of the cases before; ten more of it together take no more than their budgets.
    let before = free()?;
    let mut all = Vec::new();
    for number in 0..10 {
        let made = create(number, &spec(""))?;
        made.start()?;
        all.push(made);
    }
    for made in &all {
        check_eq!(made.output()?, "one root for all\n")?;
    }
    let used = before.bytes - free()?.bytes;
    check!(used < 10 << 20, "ten containers take {used} bytes")?;
    for made in all {
        made.remove()?;
    }
    check_eq!(free()?.bytes, before.bytes)
}

fn a_container_has_no_more_memory_than_its_budget(_: &mut ()) -> Outcome {
    let command = alloc::format!("{EAT}\0");
    let before = free()?;
    // Of its 4 MiB, some are the server's own.
    let (_, got) = run(&command)?;
    check!((1..4).contains(&got), "it got {got} MiB")?;
    check_eq!(free()?.bytes, before.bytes)
}

fn a_container_that_is_killed_is_gone_with_all_that_it_cost(_: &mut ()) -> Outcome {
    let command = alloc::format!("{SERVE}\0");
    let before = free()?;
    for _ in 0..20 {
        let made = create(0, &spec(&command))?;
        made.start()?;
        check_eq!(made.remove()?, ExitStatus::Killed)?;
    }
    let after = free()?;
    check_eq!(
        (after.bytes, after.slots, after.ics),
        (before.bytes, before.slots, before.ics)
    )
}

fn a_factory_brought_down_loses_its_containers_and_serves_again(_: &mut ()) -> Outcome {
    let command = alloc::format!("{SERVE}\0");
    let mut left = None;
    // The second time, what an instance loads was loaded by the one before as well.
    for _ in 0..2 {
        let made = create(0, &spec(&command))?;
        made.start()?;
        let old = successor("container", IcId::NONE)?;
        MANAGER.destroy(old)?;
        let told = made.container.wait();
        check!(
            matches!(told, Err(Error::Gone | Error::ServerDied)),
            "who waits is told {told:?}"
        )?;
        check_eq!(MANAGER.stat(Subject::Ic(made.id)).err(), Some(Error::Gone))?;
        successor("container", old)?;
        check_eq!(run("")?.0, "one root for all\n")?;
        let now = free()?;
        let before = *left.get_or_insert(now);
        check_eq!((now.bytes, now.ics), (before.bytes, before.ics))?;
    }
    Ok(())
}

fn what_is_no_container_is_refused(_: &mut ()) -> Outcome {
    for (image, error) in [
        ("stand-in:none", Error::NoImage),
        ("stand-in:../box", Error::NoImage),
        ("none:box", Error::NoImage),
        ("", Error::NoImage),
    ] {
        let spec = Spec {
            image,
            ..Spec::default()
        };
        check_eq!(create(0, &spec).err(), Some(error))?;
    }
    let wrong = Spec {
        environment: "no assignment\0",
        ..spec("")
    };
    check_eq!(create(0, &wrong).err(), Some(Error::Malformed))
}
