// SPDX-License-Identifier: BSD-2-Clause
//! Messages, requests, processes, threads: what the core costs beside the bare kernel.

use alloc::vec::Vec;

use bench_loops::ticks;
use sel4::MessageInfo;
use sel4_microkit::Channel;
use xos_protocol::factory::Spec;
use xos_protocol::manager::Op;
use xos_test_kit::Outcome;

use crate::by_hand::{ByHand, SMALLEST, Shape};
use crate::host::Bench;
use crate::server;

/// Messages that are counted together.
const MESSAGES: u64 = 1000;
/// Lives that are counted together.
const LIVES: u64 = 64;
/// ICs that are alive while another is made.
const MANY: usize = 1000;
/// The smallest program of the file tree.
pub const NOTHING: &str = "nothing";

/// The process of the floors in the kernel's facts: eight pages of its own, a CSpace that stays.
const FLOOR: Shape = Shape {
    frames: 8,
    shared: 1,
    cspace: false,
    parts: false,
};

pub fn measure(bench: &mut Bench) -> Outcome {
    messages(bench)?;
    requests(bench)?;
    processes(bench)?;
    threads(bench)?;
    many(bench)?;
    served_by_hand(bench)
}

fn messages(bench: &mut Bench) -> Outcome {
    let server = bench.create("bench-pair", "bench-pair\0serve\0")?;
    server.handle().start()?;
    let total = bench.run("bench-pair", "bench-pair\x00call\x001000\x00")?;
    bench.end(server)?;
    bench.ticks("message", total as u64 / MESSAGES);
    let tag = MessageInfo::new(0, 0, 0, 4);
    let total = bench.by_hand.messages(tag, MESSAGES)?;
    bench.round_trip = total / MESSAGES;
    bench.ticks("message-raw", bench.round_trip);
    Ok(())
}

fn requests(bench: &mut Bench) -> Outcome {
    let manager = Channel::new(0).endpoint();
    let tag = MessageInfo::new(Op::Ping.label(), 0, 0, 0);
    let _ = bench_loops::call(manager, tag, MESSAGES);
    let total = bench_loops::call(manager, tag, MESSAGES);
    bench.ticks("request", total / MESSAGES);
    let answer = MessageInfo::new(0, 0, 0, 1);
    let total = bench.by_hand.requests(tag, answer, MESSAGES)?;
    bench.ticks("request-raw", total / MESSAGES);
    Ok(())
}

fn processes(bench: &mut Bench) -> Outcome {
    let process = ByHand::average(LIVES, || {
        let status = bench.run(NOTHING, "")?;
        xos_test_kit::check_eq!(status, 0)
    })?;
    bench.ticks("process", process);
    // The best that can be done, with objects and without messages.
    for (name, shape) in [
        ("process-alone", SMALLEST),
        (
            "process-alone-without-parts-node",
            Shape {
                parts: false,
                ..SMALLEST
            },
        ),
        ("process-floor", FLOOR),
    ] {
        let raw = ByHand::average(LIVES, || bench.by_hand.process(shape))?;
        bench.ticks(name, raw);
    }
    Ok(())
}

/// Last, because from here on the server gets all reports.
fn served_by_hand(bench: &mut Bench) -> Outcome {
    bench.by_hand.start_server()?;
    let server = bench.by_hand.reports();
    let of = |make: fn(sel4::cap::Endpoint)| {
        ByHand::average(LIVES, || {
            make(server);
            Ok(())
        })
    };
    bench.ticks("process-raw", of(server::process)?);
    bench.ticks("thread-raw", of(server::thread)?);
    Ok(())
}

fn threads(bench: &mut Bench) -> Outcome {
    let thread = bench.run("bench-threads", "bench-threads\x0064\x00")?;
    bench.ticks("thread", thread as u64);
    let raw = ByHand::average(LIVES, || bench.by_hand.thread(true))?;
    bench.ticks("thread-alone", raw);
    let raw = ByHand::average(LIVES, || bench.by_hand.thread(false))?;
    bench.ticks("thread-floor", raw);
    Ok(())
}

/// What it takes to make a process while others are alive.
fn many(bench: &mut Bench) -> Outcome {
    let mut alive = Vec::new();
    // It makes nothing itself, so that it needs no entries of the manager's tables.
    let spec = Spec {
        image: NOTHING,
        ics: 0,
        ..Spec::default()
    };
    for (count, name) in [(1, "create-1"), (MANY, "create-1000")] {
        while alive.len() < count {
            alive.push(bench.create_from(&spec)?);
        }
        let mut total = 0;
        for round in 0..LIVES + 4 {
            let start = ticks();
            let process = bench.create_from(&spec)?;
            let took = ticks() - start;
            bench.end(process)?;
            if round >= 4 {
                total += took;
            }
        }
        bench.ticks(name, total / LIVES);
    }
    for process in alive {
        bench.end(process)?;
    }
    Ok(())
}
