// SPDX-License-Identifier: BSD-2-Clause
//! What a call on a virtual processor costs, beside the raw code that it consists of and beside other lives, all in one
//! run: cycles, which Bochs counts one for an instruction.

use core::arch::asm;
use core::arch::x86_64::_rdtsc;

use sel4::MessageInfo;
use xos::virtine::{Function, Grants};
use xos::{ExitStatus, KiB, MiB, Spec, println, service, thread};
use xos_test_kit::{Outcome, check, check_eq};

/// The image: `vcpu/bench.c`.
const IMAGE: &str = "bench-virtine";
/// Rounds of what is counted.
const ROUNDS: u64 = 64;
/// Pages that the larger call writes beside its stack, and hypercalls of one that makes some.
const PAGES: u8 = 8;
const HYPERCALLS: u8 = 50;
/// Cycles that a call may cost beside what it consists of: no more than it did.
const BESIDE: u64 = 1_000;
/// The same for each page that is put back.
const BESIDE_PAGE: u64 = 50;

/// Tells whoever reads along: these are what docs/benchmarks-virtual.md has.
fn tell(name: &str, cycles: u64) -> u64 {
    println!("cost of {name}: {cycles} cycles");
    cycles
}

/// The least of some rounds: a tick of the timer in the way of one is not what is measured.
fn least(mut round: impl FnMut() -> Outcome) -> Outcome<u64> {
    let mut least = u64::MAX;
    for _ in 0..ROUNDS {
        // SAFETY: every processor with VT-x has it, and this kernel leaves it to everyone.
        let begun = unsafe { _rdtsc() };
        round()?;
        // SAFETY: the same.
        least = least.min(unsafe { _rdtsc() } - begun);
    }
    Ok(least)
}

/// A message to another thread and its answer, and nothing else.
fn message() -> Outcome<u64> {
    let endpoint = service::endpoint()?;
    let tag = MessageInfo::new(0, 0, 0, 3);
    let other = thread::spawn(move || {
        let mut message = endpoint.recv_with_mrs(());
        for _ in 0..ROUNDS {
            message = endpoint.reply_recv_with_mrs(tag, message.msg, ());
        }
        sel4::reply_with_mrs(tag, message.msg);
    })?;
    let least = least(|| {
        endpoint.call_with_mrs(tag, [1u64, 2, 3]);
        Ok(())
    });
    endpoint.call_with_mrs(tag, [1u64, 2, 3]);
    let _ = other.join();
    least
}

/// Putting back a page: 512 words.
fn page() -> Outcome<u64> {
    let (from, mut to) = (alloc::vec![1u64; 512], alloc::vec![0u64; 512]);
    least(|| {
        // SAFETY: both have 512 words.
        unsafe {
            asm!("rep movsq", inout("rcx") 512 => _, inout("rsi") from.as_ptr() => _,
                 inout("rdi") to.as_mut_ptr() => _);
        }
        Ok(())
    })
}

/// Entering a virtual processor and leaving it, which another program has measured.
fn processor() -> Outcome<u64> {
    let ic = xos::factory("floor")?.create(&Spec::image(IMAGE))?;
    ic.start()?;
    let status = ic.wait()?;
    let ExitStatus::Code(cycles @ 1..) = status else {
        return Err(xos_test_kit::Failure::new(format_args!("floor {status}")));
    };
    Ok(cycles as u64)
}

/// Does nothing: a process for who wants to know what one costs.
pub fn nothing(_: &str) -> Outcome {
    Ok(())
}

pub fn costs(factory: &str) -> Outcome {
    let message = tell("message", message()?);
    let processor = tell("processor", processor()?);
    let page = tell("page", page()?);

    let spec = Spec::image(IMAGE).memory(MiB(4));
    let function = Function::load_by(xos::factory(factory)?, spec)?;
    let call = |pages: u8| {
        let argument = [pages, 0, 1, 2, 3, 4, 5, 6];
        // What is touched for the first time is not what is measured.
        check_eq!(function.invoke(&argument)?, argument)?;
        least(|| check_eq!(function.invoke(&argument)?, argument))
    };
    let alone = tell("call", call(0)?);
    let more = tell("call-8-pages", call(PAGES)?);
    let asking = [0, HYPERCALLS, 0, 0, 0, 0, 0, 0];
    let all = least(|| {
        let mut answer = |_: u8, bytes: &[u8]| Some(bytes.to_vec());
        let grants = Grants::new(&[1], &mut answer);
        check_eq!(function.invoke_with(&asking, grants)?, asking)
    })?;
    tell("hypercall", (all - alone) / u64::from(HYPERCALLS));

    let thread = least(|| check_eq!(thread::spawn(|| 7)?.join(), Ok(7)))?;
    tell("thread", thread);
    let processes = xos::factory("process")?;
    let spec = Spec::image("test-virtines-app")
        .args(["nothing"])
        .stack(KiB(64));
    let process = least(|| {
        let process = processes.create(&spec)?;
        process.start()?;
        check_eq!(process.wait()?, ExitStatus::Code(0))
    })?;
    tell("process", process);

    // The stack is written in any case, and its page is put back.
    for (what, cost, pages) in [
        ("a call", alone, 1),
        ("eight pages", more, 1 + u64::from(PAGES)),
    ] {
        let most = message + processor + BESIDE + pages * (page + BESIDE_PAGE);
        check!(
            cost <= most,
            "{what}: {cost} cycles, and {most} are allowed"
        )?;
    }
    Ok(())
}
