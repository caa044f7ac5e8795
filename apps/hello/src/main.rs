// SPDX-License-Identifier: BSD-2-Clause
//! Says what it was started with. The same function does so in the main thread and in another one.
#![no_std]
#![no_main]

use core::fmt;

use hello::{Greeting, USAGE, WRONG_USAGE};
use xos::{eprintln, print};

xos::main!(main, heap = 16 * 1024);

/// The console.
struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        print!("{text}");
        Ok(())
    }
}

fn say<'a>(greeting: &Greeting<impl Iterator<Item = &'a str> + Clone>) -> i32 {
    match greeting.say(xos::env(), &mut Console) {
        Ok(()) => greeting.code,
        Err(fmt::Error) => 1,
    }
}

fn main() -> i32 {
    let greeting = match Greeting::new(xos::args().skip(1)) {
        Ok(greeting) => greeting,
        Err(misuse) => {
            eprintln!("hello: {misuse}\n{USAGE}");
            return WRONG_USAGE;
        }
    };
    if greeting.stand
        && let Err(error) = xos::stand()
    {
        eprintln!("hello: {error}");
        return 1;
    }
    if !greeting.thread {
        return say(&greeting);
    }
    let worker = match xos::thread::spawn(move || say(&greeting)) {
        Ok(worker) => worker,
        Err(error) => {
            eprintln!("hello: {error}");
            return 1;
        }
    };
    match worker.join() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hello: {error}");
            1
        }
    }
}
