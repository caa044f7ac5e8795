// SPDX-License-Identifier: BSD-2-Clause
//! What a virtine's call costs a program, beside what it cannot do without, done by hand, and beside other lives.
//!
//! The same is measured where there are virtual processors and where virtines are address spaces: what it takes
//! to enter a context and to leave it is another thing there, and another factory makes them.

use alloc::format;

use sel4::MessageInfo;
use xos_protocol::factory::Spec;
use xos_test_kit::{Failure, Outcome};

use crate::host::Bench;
use crate::virtines::page_by_hand;

/// Messages that are counted together, in less than a tick of the kernel's timer.
const MESSAGES: u64 = 100;
/// Such counts, of which the least is taken.
const COUNTS: u64 = 8;
/// What the program measures.
const PROGRAM: &str = "bench-call";

/// Contexts by hand.
struct Contexts {
    /// Into one and out of it.
    entry: u64,
    /// A page put back by the second stage, without its copy; where there is one.
    second_stage: Option<u64>,
    /// The factory of virtines whose contexts are such.
    factory: &'static str,
}

sel4::sel4_cfg_if! {
    if #[sel4_cfg(VTX)] {
        fn contexts(bench: &Bench) -> Outcome<Contexts> {
            let floors = crate::processor::measure(bench)?;
            Ok(Contexts {
                entry: floors.entry,
                second_stage: Some(floors.page),
                factory: "virtine-vcpu",
            })
        }
    } else {
        fn contexts(bench: &Bench) -> Outcome<Contexts> {
            Ok(Contexts {
                entry: bench.by_hand.context(256)?,
                second_stage: None,
                factory: "virtine",
            })
        }
    }
}

pub fn measure(bench: &mut Bench) -> Outcome {
    let tag = MessageInfo::new(0, 0, 0, 4);
    let mut message = u64::MAX;
    for _ in 0..COUNTS {
        message = message.min(bench.by_hand.messages(tag, MESSAGES)? / MESSAGES);
    }
    bench.ticks("message", message);
    let copy = page_by_hand();
    bench.ticks("page-copy", copy);
    let contexts = contexts(bench)?;
    bench.ticks("context", contexts.entry);
    if let Some(page) = contexts.second_stage {
        bench.ticks("page-second-stage", page + copy);
    }
    // One and a half times what a call consists of, and the putting back of what it has written, its stack at
    // least.
    let both = 3 * (message + contexts.entry) / 2;
    for (name, pages) in [("call", 1), ("call-8-pages", 9)] {
        bench.ticks(&format!("{name}-copied"), both + pages * copy);
        if let Some(page) = contexts.second_stage {
            bench.ticks(
                &format!("{name}-second-stage"),
                both + pages * (page + copy),
            );
        }
    }
    for what in [
        "call",
        "call-8-pages",
        "call-to-heap",
        "hypercall",
        "thread",
        "process",
    ] {
        let ticks = program(bench, what, contexts.factory)?;
        bench.ticks(what, ticks);
    }
    Ok(())
}

/// What the program has measured.
fn program(bench: &mut Bench, what: &str, factory: &str) -> Outcome<u64> {
    let process = bench.create_from(&Spec {
        image: PROGRAM,
        arguments: &format!("{PROGRAM}\0{what}\0{factory}\0"),
        memory: 16 << 20,
        ics: 16,
        ..Spec::default()
    })?;
    process.handle().start()?;
    match bench.wait(process)? {
        // It has said why.
        ..=1 => Err(Failure::new(format_args!("{what} was not measured"))),
        ticks => Ok(ticks as u64),
    }
}
