// SPDX-License-Identifier: BSD-2-Clause
//! Virtines: what a call from the pool costs, and what it consists of, done by hand in the same run.

use core::arch::asm;

use bench_loops::ticks;
use sel4::{MessageInfo, cap};
use xos_client::{Handle, Port};
use xos_protocol::factory::{HandleOp, Spec};
use xos_protocol::manager::PAGE;
use xos_protocol::slots::leaf;
use xos_protocol::virtine::{Answer, Ask};
use xos_protocol::{Error, ExitStatus};
use xos_test_kit::{Outcome, check_eq};

use crate::by_hand::ByHand;
use crate::host::{Bench, open};

/// The image: a function that writes to as many pages as its argument says.
const IMAGE: &str = "bench-virtine";
/// Calls that are counted together.
const CALLS: u64 = 256;
/// Messages that are counted together.
const MESSAGES: u64 = 1000;
/// Pages that the larger call writes beside its stack.
const PAGES: u64 = 8;

/// A virtine, made and started.
struct Virtine {
    slot: u32,
}

impl Virtine {
    fn new(bench: &mut Bench, factory: xos_client::Factory) -> Outcome<Self> {
        let slot = bench.slots.take().ok_or(Error::TableFull)?;
        let spec = Spec {
            image: IMAGE,
            ..Spec::default()
        };
        factory.create(slot, &spec)?;
        let virtine = Self { slot };
        virtine.handle().start()?;
        Ok(virtine)
    }

    fn handle(&self) -> Handle {
        Handle::new(cap::Endpoint::from_bits(leaf(self.slot)))
    }

    /// A call that writes to so many pages of heap, in messages that travel in registers.
    fn call(&self, pages: u64) -> Outcome {
        let ask = Ask::Call {
            granted: 0,
            limit: 0,
            long: false,
        };
        let endpoint = cap::Endpoint::from_bits(leaf(self.slot));
        let words = [16, ask.word(), pages, 0];
        let answer = Port::call(&endpoint, HandleOp::Invoke.label(), words, 3)?;
        check_eq!(answer.words[..3], [16, Answer::Returned.word(), pages])
    }

    fn end(self, bench: &mut Bench) -> Outcome {
        self.handle().kill()?;
        let status = self.handle().wait()?;
        bench.slots.give(self.slot);
        check_eq!(status, ExitStatus::Killed)
    }
}

pub fn measure(bench: &mut Bench) -> Outcome {
    let slot = bench.slots.take().ok_or(Error::TableFull)?;
    let (_, factory) = open(&bench.manager, "virtine", slot)?;

    let page = page_by_hand();
    bench.ticks("virtine-page", page);
    let context = bench.by_hand.context(CALLS)?;
    bench.ticks("virtine-context", context);
    // Messages whose callers are kept while something else runs, and are answered then.
    let tag = MessageInfo::new(0, 0, 0, 4);
    let message = bench.by_hand.kept_messages(tag, MESSAGES)? / MESSAGES;
    bench.ticks("virtine-message", message);
    let floor = message + context;

    let virtine = Virtine::new(bench, factory)?;
    // The first call waits until the image is prepared.
    virtine.call(0)?;
    for (name, pages) in [("virtine-call", 0), ("virtine-call-8-pages", PAGES)] {
        let start = ticks();
        virtine.call(pages)?;
        let first = ticks() - start;
        let call = ByHand::average(CALLS, || virtine.call(pages))?;
        bench.ticks(name, call);
        // The stack is written in any case.
        let by_hand = floor + (1 + pages) * page;
        match pages {
            0 => bench.ticks("virtine-call-raw", by_hand),
            _ => {
                bench.ticks("virtine-call-8-pages-raw", by_hand);
                bench.ticks("virtine-first-write", (first - call) / pages);
            }
        }
    }
    virtine.end(bench)?;

    // From its creation to its end, for one call: what the pool saves.
    let alone = ByHand::average(16, || {
        let virtine = Virtine::new(bench, factory)?;
        virtine.call(0)?;
        virtine.end(bench)
    })?;
    bench.ticks("virtine-unpooled", alone);
    Ok(())
}

/// A page put back by hand: copied, as fast as this processor does without vector registers.
pub fn page_by_hand() -> u64 {
    const COUNT: u64 = 64;
    static FROM: [u64; 512] = [7; 512];
    let mut to = [0u64; 512];
    let start = ticks();
    for _ in 0..COUNT {
        // SAFETY: both are as long as is copied.
        unsafe {
            asm!(
                "rep movsq",
                inout("rcx") PAGE / 8 => _,
                inout("rsi") FROM.as_ptr() => _,
                inout("rdi") to.as_mut_ptr() => _,
                options(nostack, preserves_flags),
            );
        }
    }
    let took = ticks() - start;
    core::hint::black_box(&to);
    took / COUNT
}
