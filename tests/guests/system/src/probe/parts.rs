// SPDX-License-Identifier: BSD-2-Clause
//! Parts that a probe plays in the cases of others.

use alloc::vec::Vec;

use test_system::SHARED;
use xos::client::Port;
use xos::protocol::Who;
use xos::protocol::manager::Rights;
use xos::protocol::slots::{ic, leaf};
use xos::region::Region;
use xos::server::{Deferred, Outcome as Answered, Reply, Request, Server};
use xos::{ExitStatus, KiB, Spec, service, sync, thread};

use super::*;

/// Plays a part; gives the code to end with.
pub fn play<'a>(name: &str, mut rest: impl Iterator<Item = &'a str>) -> i32 {
    let mut word = || rest.next().unwrap_or_default();
    let done = match name {
        "wait" => wait(),
        "yield" => loop {
            thread::yield_now();
        },
        "eat" => eat(),
        "family" => family(),
        "churn" => churn(),
        "greedy" => greedy(),
        "lie" => lie(),
        "answer" => return answer(),
        "watch" => watch(),
        "ring" => ring(),
        "call" => call(word()),
        "serve" => serve(word(), word()),
        _ => Err("no such part".into()),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{name}: {}", failure.reason());
            1
        }
    }
}

/// Waits for ever.
fn wait() -> Outcome<i32> {
    loop {
        sync::notification()?.wait();
    }
}

/// Uses its stack, page by page, downward without end.
fn eat() -> Outcome<i32> {
    let here = 0u8;
    let mut page = &raw const here as u64 & !0xfff;
    loop {
        page -= 4096;
        // SAFETY: the stack of this program is larger than what its budget pays for; nothing is there yet.
        unsafe { (page as *mut u8).write_volatile(1) };
    }
}

/// Has three processes and three threads, all of which wait.
fn family() -> Outcome<i32> {
    let processes = xos::factory("process")?;
    for _ in 0..3 {
        let child = processes.create(
            &Spec::image("test-probe")
                .args(["part", "wait"])
                .memory(KiB(192)),
        )?;
        child.start()?;
        child.leave();
        let _ = thread::spawn(wait)?;
    }
    wait()
}

/// Does everything that makes and ends things, again and again.
fn churn() -> Outcome<i32> {
    let processes = xos::factory("process")?;
    loop {
        let child = processes.create(&Spec::image("nothing"))?;
        let region = Region::new(3)?;
        let mapping = region.map(Rights::RW)?;
        region.share(child.id(), SHARED, Rights::R)?;
        child.start()?;
        let worker = thread::spawn(|| 7)?;
        let session = service::open("timer")?;
        let _ = xos::client::Timer::new(session.endpoint()).now()?;
        if worker.join()? != 7 || child.wait()? != ExitStatus::Code(0) {
            return Ok(1);
        }
        drop(mapping);
    }
}

/// Makes ICs until that is refused; the code is the refusal.
fn greedy() -> Outcome<i32> {
    let processes = xos::factory("process")?;
    let mut all = Vec::new();
    loop {
        match processes.create(&Spec::image("nothing")) {
            Ok(ic) => all.push(ic),
            Err(error) => return Ok(error.why.label() as i32),
        }
    }
}

/// Sends fault messages that no fault made.
fn lie() -> Outcome<i32> {
    let itself = sel4::cap::Endpoint::from_bits(leaf(ic::ITSELF));
    // A label that says nothing, a page fault where a page is, and where none ever is.
    for (label, words) in [
        (0x2ff, [0; 4]),
        (5, [0x20_1000, 0x20_1000, 0, 4]),
        (1, [0x20_1000, 0, 0, 0]),
        (5, [u64::MAX, u64::MAX, 1, u64::MAX]),
    ] {
        let _ = Port::call(&itself, label, words, 4);
    }
    Ok(0)
}

/// Gives the first word of what is shared, and adds one to it there.
fn answer() -> i32 {
    let word = SHARED as *mut u64;
    // SAFETY: who started this program maps memory there; if not, that is what is to be shown.
    unsafe {
        let value = word.read_volatile();
        word.write_volatile(value + 1);
        value as i32
    }
}

/// Writes and reads what is shared for ever.
fn watch() -> Outcome<i32> {
    let word = SHARED as *mut u64;
    loop {
        // SAFETY: as in `answer`.
        unsafe { word.write_volatile(word.read_volatile() | 1) };
        thread::yield_now();
    }
}

/// Calls whoever is behind the channel `door`; the code is from the answer.
fn ring() -> Outcome<i32> {
    let door = xos::channel("door").ok_or("no door")?;
    let answer = Port::call(&door, 30, [1, 2, 0, 0], 3)?;
    Ok((answer.words[0] + answer.words[1]) as i32)
}

/// Calls a rogue that keeps its callers; the code is the label of the error.
fn call(name: &str) -> Outcome<i32> {
    let session = service::open(name)?;
    Ok(match session.call(test_system::rogue::KEEP, []) {
        Ok(_) => 0,
        Err(error) => error.why.label() as i32,
    })
}

/// Answers nobody: it ends within the first request, as it is told.
struct Mortal<'a>(&'a str);

impl Server for Mortal<'_> {
    fn call(&mut self, _: Who, _: Request<'_>, _: &mut Reply, _: &mut Deferred<'_>) -> Answered {
        // The others arrive meanwhile.
        let _ = xos::timer::sleep(5 * MS);
        match self.0 {
            "crash" => panic!("as asked"),
            "exit" => xos::exit(0),
            _ => loop {
                thread::yield_now();
            },
        }
    }
}

fn serve(name: &str, how: &str) -> Outcome<i32> {
    service::register(name)?.serve(&mut Mortal(how))
}
