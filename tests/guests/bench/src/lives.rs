// SPDX-License-Identifier: BSD-2-Clause
//! What factories and the end of ICs cost: a factory found by its name, memory that is taken back, and
//! whom that delays.

use core::sync::atomic::{AtomicU64, Ordering};

use bench_loops::ticks;
use sel4::cap;
use sel4_microkit::Channel;
use xos_protocol::factory::{Spec, When};
use xos_protocol::manager::{PAGE, Payer, RegionCreate, Rights, Share};
use xos_protocol::slots::domain;
use xos_protocol::{Error, Subject};
use xos_test_kit::{Outcome, check_eq};

use crate::core_costs::NOTHING;
use crate::host::{Bench, open};

/// The clock's channel, and the word that it writes.
const CLOCK: Channel = Channel::new(3);
const BOARD: *const AtomicU64 = 0x1000_0000 as *const AtomicU64;

/// Where a region is mapped while it lives.
const ADDRESS: u64 = 0x6200_0000_0000;
/// Pages of a large and of a small region.
const LARGE: u32 = (16 << 20) / PAGE as u32;
const SMALL: u32 = LARGE / 16;

const ROUNDS: u64 = 16;
/// The program of the process that is cloned.
const LARGE_PROCESS: &str = "bench-large";

pub fn measure(bench: &mut Bench) -> Outcome {
    opening(bench)?;
    cloning(bench)?;
    ending(bench)?;
    delaying(bench)
}

/// A factory opened by its name for one process, against a session that is there.
fn opening(bench: &mut Bench) -> Outcome {
    let spec = Spec {
        image: NOTHING,
        ..Spec::default()
    };
    let (mut direct, mut opened) = (0, 0);
    for round in 0..2 * ROUNDS {
        let start = ticks();
        let process = bench.create_from(&spec)?;
        direct += if round < ROUNDS { 0 } else { ticks() - start };
        bench.end(process)?;

        let slot = bench.slots.take().ok_or(Error::TableFull)?;
        let start = ticks();
        let (session, factory) = open(&bench.manager, "process", slot)?;
        let process = bench.create_at(factory, &spec)?;
        opened += if round < ROUNDS { 0 } else { ticks() - start };
        bench.end(process)?;
        bench.manager.close(session.index)?;
        bench.slots.give(slot);
    }
    bench.ticks("open-create", opened / ROUNDS);
    // A round trip, and the two capabilities that a session consists of.
    let by_hand = bench.by_hand.session()? + bench.round_trip;
    bench.ticks("open-create-raw", direct / ROUNDS + by_hand);
    Ok(())
}

/// A clone of a process of 16 MiB, from its making until it is gone, against the making of such a process
/// anew, until it stands there.
fn cloning(bench: &mut Bench) -> Outcome {
    let spec = Spec {
        image: LARGE_PROCESS,
        ..Spec::default()
    };
    // Once for its image, and for the memory to be laid out.
    let first = bench.create_from(&spec)?;
    first.handle().start()?;
    first.handle().snapshot(When::Stands)?;
    bench.end(first)?;

    let start = ticks();
    let model = bench.create_from(&spec)?;
    model.handle().start()?;
    model.handle().snapshot(When::Stands)?;
    bench.ticks("create-16mib", ticks() - start);
    let mut cloned = 0;
    for round in 0..2 * ROUNDS {
        let start = ticks();
        let clone = bench.clone_of(model)?;
        clone.handle().start()?;
        let code = bench.wait(clone)?;
        cloned += if round < ROUNDS { 0 } else { ticks() - start };
        check_eq!(code, 0)?;
    }
    bench.ticks("clone-16mib", cloned / ROUNDS);
    bench.end(model)
}

/// Makes a region that is mapped, and begins to take it back.
fn begin_to_end(bench: &Bench, pages: u32) -> Outcome {
    let region = bench.manager.region_create(&RegionCreate {
        payer: Payer::Myself,
        pages,
        large: false,
        place: 0,
    })?;
    bench.manager.share(&Share {
        region,
        target: Subject::Myself,
        address: ADDRESS,
        rights: Rights::RW,
    })?;
    bench.manager.region_destroy(region)?;
    Ok(())
}

/// Waits until this domain has spent no more than `spent` pages.
fn wait_for_end(bench: &Bench, spent: u64) -> Outcome {
    while bench.manager.budget(Subject::Myself)?.spent > spent {
        sel4::r#yield();
    }
    Ok(())
}

/// Memory that is taken back: it costs in proportion to itself, whatever else is there.
fn ending(bench: &mut Bench) -> Outcome {
    let end = |bench: &Bench, pages: u32| -> Outcome<u64> {
        let spent = bench.manager.budget(Subject::Myself)?.spent;
        let region = bench.manager.region_create(&RegionCreate {
            payer: Payer::Myself,
            pages,
            large: false,
            place: 0,
        })?;
        let start = ticks();
        bench.manager.region_destroy(region)?;
        wait_for_end(bench, spent)?;
        Ok(ticks() - start)
    };
    // Once for the memory to be laid out.
    end(bench, LARGE)?;
    let large = end(bench, LARGE)?;
    bench.ticks("destroy-16mib", large);
    let mut small = 0;
    for _ in 0..16 {
        small += end(bench, SMALL)?;
    }
    bench.ticks("destroy-16x1mib", small);
    Ok(())
}

/// How late the timer wakes somebody, at worst, while nothing else happens and while 16 MiB are revoked.
fn delaying(bench: &mut Bench) -> Outcome {
    bench.ticks("delay-idle", worst_delay());
    begin_to_end(bench, LARGE)?;
    bench.ticks("delay-revoking", worst_delay());
    Ok(())
}

/// Has the clock measure: nanoseconds, which are ticks where instructions are counted.
fn worst_delay() -> u64 {
    CLOCK.notify();
    loop {
        let ((), bits) = cap::Notification::from_bits(domain::NOTIFICATION).wait();
        if bits & 1 << CLOCK.index() != 0 {
            // SAFETY: the description maps it, and everybody uses it as this word.
            return unsafe { &*BOARD }.load(Ordering::SeqCst);
        }
    }
}
