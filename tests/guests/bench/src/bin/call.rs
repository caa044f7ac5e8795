// SPDX-License-Identifier: BSD-2-Clause
//! What a program pays for calls of a virtine, and for threads and processes: `bench-call WHAT FACTORY` exits with
//! the ticks of the shortest of some rounds, so that a tick of the timer in the way of one is not counted.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;

use bench_loops::ticks;
use xos::virtine::{Function, Grants};
use xos::{ExitStatus, Spec, thread};
use xos_test_kit::{Failure, Outcome, check, check_eq};

xos::main!(main, heap = 64 * 1024);

/// The image, of either kind.
const IMAGE: &str = "bench-virtine";
const ROUNDS: u64 = 64;
/// Pages that the larger call writes beside its stack, and hypercalls of one that makes some.
const PAGES: u8 = 8;
const HYPERCALLS: u8 = 50;

fn main() -> Result<i32, String> {
    let mut args = xos::args().skip(1);
    let (what, factory) = (args.next().unwrap_or_default(), args.next());
    let ticks = match what {
        "call" => call(factory, 0),
        "call-8-pages" => call(factory, PAGES),
        "call-to-heap" => call_to_heap(factory),
        "hypercall" => hypercall(factory),
        "thread" => thread(),
        "process" => process(),
        _ => Err(Failure::new(format_args!("{what} is nothing to measure"))),
    };
    ticks
        .map(|ticks| ticks as i32)
        .map_err(|failure| failure.reason().into())
}

fn least(mut round: impl FnMut() -> Outcome) -> Outcome<u64> {
    let mut least = u64::MAX;
    for _ in 0..ROUNDS {
        let begun = ticks();
        round()?;
        least = least.min(ticks() - begun);
    }
    Ok(least)
}

fn load(factory: Option<&str>) -> Outcome<Function> {
    let factory = xos::factory(factory.ok_or("which factory?")?)?;
    Ok(Function::load_by(factory, Spec::image(IMAGE))?)
}

/// A call from the pool that writes its stack and so many pages more.
fn call(factory: Option<&str>, pages: u8) -> Outcome<u64> {
    let function = load(factory)?;
    let argument = [pages, 0, 1, 2, 3, 4, 5, 6];
    let mut result = Vec::new();
    least(|| {
        function.invoke_into(&argument, &mut result)?;
        check!(*result == argument)
    })
}

/// A call whose result is on the heap each time.
fn call_to_heap(factory: Option<&str>) -> Outcome<u64> {
    let function = load(factory)?;
    let argument = [0, 0, 1, 2, 3, 4, 5, 6];
    least(|| check!(*function.invoke(&argument)? == argument))
}

/// A hypercall that the caller answers.
fn hypercall(factory: Option<&str>) -> Outcome<u64> {
    let function = load(factory)?;
    let of = |count: u8| {
        let argument = [0, count, 1, 2, 3, 4, 5, 6];
        least(|| {
            let mut answer = |_: u8, bytes: &[u8]| Some(bytes.to_vec());
            let grants = Grants::new(&[1], &mut answer);
            check_eq!(function.invoke_with(&argument, grants)?, argument)
        })
    };
    Ok((of(1 + HYPERCALLS)? - of(1)?) / u64::from(HYPERCALLS))
}

/// A thread as the library makes it, with a stack of its usual size.
fn thread() -> Outcome<u64> {
    least(|| check_eq!(thread::spawn(|| 7)?.join(), Ok(7)))
}

/// The smallest process: create, start, wait.
fn process() -> Outcome<u64> {
    let processes = xos::factory("process")?;
    let spec = Spec::image("nothing");
    least(|| {
        let process = processes.create(&spec)?;
        process.start()?;
        check_eq!(process.wait()?, ExitStatus::Code(0))
    })
}
