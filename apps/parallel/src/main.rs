// SPDX-License-Identifier: BSD-2-Clause
//! Counts primes by one thread and then by several, and compares.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use parallel::{Job, USAGE, parse, primes};
use xos::thread::{self, JoinError};
use xos::{eprintln, println, sync, timer};

xos::main!(main, heap = 64 * 1024);

fn main() -> i32 {
    let Some((threads, limit)) = parse(xos::args().skip(1)) else {
        eprintln!("{USAGE}");
        return 2;
    };
    match run(threads, limit) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("parallel: {error}");
            1
        }
    }
}

fn run(threads: u32, limit: u32) -> Result<i32, JoinError> {
    let begin = timer::now()?;
    let expected = primes(0..limit);
    let alone = timer::now()? - begin;

    let begin = timer::now()?;
    let job = Arc::new(sync::mutex(Job::new(limit)));
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let job = Arc::clone(&job);
            thread::spawn(move || work(&job))
        })
        .collect::<Result<_, _>>()?;
    let contexts = workers.iter().map(|worker| worker.id());
    println!("threads {}", List(contexts.collect::<Vec<_>>().as_slice()));
    let pieces: Vec<_> = workers
        .into_iter()
        .map(thread::JoinHandle::join)
        .collect::<Result<_, _>>()?;
    let together = timer::now()? - begin;

    let found = job.lock().found();
    println!(
        "{found} primes below {limit}; pieces of the work: {}",
        List(&pieces)
    );
    println!(
        "alone in {}, together in {} (there is one processor)",
        Milliseconds(alone),
        Milliseconds(together)
    );
    if found != expected {
        eprintln!("parallel: counted alone, there are {expected}");
        return Ok(1);
    }
    Ok(0)
}

/// Works until nothing is left; gives the number of pieces that it did.
fn work(job: &sync::Mutex<Job>) -> u32 {
    let mut pieces = 0;
    let mut found = 0;
    loop {
        let piece = {
            let mut job = job.lock();
            job.give(found);
            job.take()
        };
        let Some(piece) = piece else {
            return pieces;
        };
        found = primes(piece);
        pieces += 1;
        // The kernel would let another thread have its turn only when this one's time is up, and all may
        // be done by then.
        thread::yield_now();
    }
}

/// Values with a comma between them.
struct List<'a, T>(&'a [T]);

impl<T: core::fmt::Display> core::fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (number, value) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{value}")?;
        }
        Ok(())
    }
}

/// A duration for people.
struct Milliseconds(Duration);

impl core::fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ms", self.0.as_millis())
    }
}
