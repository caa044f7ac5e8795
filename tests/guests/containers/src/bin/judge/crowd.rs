// SPDX-License-Identifier: BSD-2-Clause
//! Many containers at once, and what each costs.

use alloc::vec::Vec;

use xos_protocol::factory::Spec;
use xos_protocol::manager::PAGE;
use xos_protocol::{Error, Result};
use xos_test_kit::{Outcome, check, check_eq};

use super::{MANAGER, Made, create, free};

/// Containers at once.
pub const COUNT: u32 = 100;
/// Bytes that each of many may cost in all.
pub const MEMORY: u64 = 2 << 20;
/// Bytes that one costs at most that does nothing.
const IDLE: u64 = 1536 << 10;

/// What a container has spent of its budget, in bytes.
pub struct Cost {
    /// Its server's arena.
    pub server: u64,
    /// What is reserved for the server's threads and the address spaces of processes.
    pub ics: u64,
    /// Frames that the server has to give, and what maps them.
    pub regions: u64,
}

impl Cost {
    /// That of a container.
    pub fn of(made: &Made) -> Result<Self> {
        let (mut spent, mut server, mut ics) = (0, 0, 0);
        MANAGER.each_ic(|ic| {
            if ic.id == made.id {
                (spent, server) = (ic.spent, ic.arena);
            } else if ic.payer == made.id {
                ics += ic.quota;
            }
        })?;
        let bytes = |pages: u32| u64::from(pages) * PAGE;
        Ok(Self {
            server: bytes(server),
            ics: bytes(ics),
            regions: bytes(spent - server - ics),
        })
    }

    pub const fn all(&self) -> u64 {
        self.server + self.ics + self.regions
    }
}

/// A container of an image that does nothing.
pub fn idle(number: u32, image: &str) -> Result<Made> {
    let spec = Spec {
        image,
        arguments: "sleep\x001000\0",
        memory: MEMORY,
        ..Spec::default()
    };
    let made = create(number, &spec)?;
    made.start()?;
    // It does what it is told, so it has begun.
    does(&made, "true\0", 0)?;
    Ok(made)
}

/// Runs a program in a container, which is to end with this status.
fn does(made: &Made, arguments: &str, status: u8) -> Result<()> {
    let program = made.container.exec(arguments, "", "")?;
    match made.container.exec_wait(program)? == status {
        true => Ok(()),
        false => Err(Error::Unknown),
    }
}

pub fn an_idle_container_costs_little(_: &mut ()) -> Outcome {
    let made = idle(0, "locked")?;
    let cost = Cost::of(&made)?;
    check!(
        cost.all() <= IDLE,
        "the server {}, ICs {}, regions {}",
        cost.server,
        cost.ics,
        cost.regions
    )?;
    made.remove()?;
    Ok(())
}

pub fn a_hundred_containers_run_at_once(_: &mut ()) -> Outcome {
    let before = free()?;
    let mut all = Vec::new();
    for number in 0..COUNT {
        match idle(number, "locked") {
            Ok(made) => all.push(made),
            Err(error) => check!(false, "{number} run, and no more: {error:?}")?,
        }
    }
    // All of them still do what they are told.
    for (number, made) in (0u8..).zip(&all) {
        let script = alloc::format!("sh\0-c\0exit {}\0", number % 7);
        does(made, &script, number % 7)?;
    }
    let each = (before.bytes - free()?.bytes) / u64::from(COUNT);
    check!(each <= MEMORY, "each takes {each} bytes")?;
    for made in all {
        made.remove()?;
    }
    check_eq!(free()?.bytes, before.bytes)
}
