// SPDX-License-Identifier: BSD-2-Clause
//! What a container of Debian's busybox takes: to start and to end, and while it does nothing.

use alloc::vec::Vec;

use core::time::Duration;

use bench_loops::ticks;
use xos_protocol::Result;
use xos_protocol::factory::Spec;
use xos_test_kit::{Outcome, check_eq};

use super::crowd::{COUNT, Cost, idle};
use super::{Screen, TIMER, create, factory};

const IMAGE: &str = "busybox";

/// How long the system is given to boot.
const BOOT: Duration = Duration::from_secs(2);

/// The steps of a life, in ticks.
struct Life {
    create: u64,
    /// From its start until its first process has ended.
    run: u64,
    delete: u64,
}

impl Life {
    /// The life of a container that runs a program, which ends with a status.
    fn of(program: &str, status: u8) -> Outcome<Self> {
        let begin = ticks();
        let spec = Spec {
            image: IMAGE,
            arguments: program,
            ..Spec::default()
        };
        let made = create(0, &spec)?;
        let created = ticks();
        made.start()?;
        let ended = made.container.wait()?;
        let ran = ticks();
        made.remove()?;
        check_eq!(ended, status)?;
        Ok(Self {
            create: created - begin,
            run: ran - created,
            delete: ticks() - ran,
        })
    }

    const fn all(&self) -> u64 {
        self.create + self.run + self.delete
    }
}

fn value(name: &str, number: u64, unit: &str) {
    xos_test_kit::value(name, number, unit, &mut Screen::default());
}

fn report(name: &str, number: u64) {
    value(name, number, "ticks");
}

pub fn measure() -> Outcome {
    // Until everybody who has to do with it is there, and has nothing to do.
    factory().describe()?;
    TIMER.sleep(BOOT)?;
    report("clock", ticks());
    // The image and the server's program are loaded.
    let first = Life::of("true\0", 0)?;
    let second = Life::of("true\0", 0)?;
    // All but the program.
    let empty = Life::of("no-such-program\0", 127)?;
    report("first-start", first.all());
    report("first-start-create", first.create);
    report("first-start-run", first.run);
    report("first-start-delete", first.delete);
    report("second-start", second.all());
    report("second-start-create", second.create);
    report("second-start-server", empty.run);
    report("second-start-true", second.run.saturating_sub(empty.run));
    report("second-start-delete", second.delete);

    let made = idle(0, IMAGE)?;
    let cost = Cost::of(&made)?;
    made.remove()?;
    value("idle-container", cost.all(), "bytes");
    value("idle-container-server", cost.server, "bytes");
    value("idle-container-processes", cost.ics, "bytes");
    value("idle-container-frames", cost.regions, "bytes");

    let begin = ticks();
    let all: Vec<_> = (0..COUNT)
        .map(|number| idle(number, IMAGE))
        .collect::<Result<_>>()?;
    report("hundred-at-once", ticks() - begin);
    for made in all {
        made.remove()?;
    }
    report("clock", ticks());
    Ok(())
}
