// SPDX-License-Identifier: BSD-2-Clause
//! Either side of a measured message between two ICs that the system connected.
//!
//! `bench-pair serve` registers itself and answers; `bench-pair call COUNT` opens the session, calls so
//! often, and exits with the ticks that this took.
#![no_std]
#![no_main]

use bench_loops::{call, serve};
use sel4::MessageInfo;
use xos::protocol::Error;
use xos::service;

xos::main!(main);

/// The name of the answering side.
const NAME: &str = "bench-pair";
/// Label 0 and four words: all that travels in registers.
const TAG: MessageInfo = MessageInfo::new(0, 0, 0, 4);

fn main() -> xos::Result<i32> {
    let mut arguments = xos::args().skip(1);
    match arguments.next() {
        Some("serve") => serve(service::register(NAME)?.endpoint(), TAG),
        _ => {
            let count = arguments.next().and_then(|count| count.parse().ok());
            // The other side may not have registered yet.
            let session = loop {
                match service::open(NAME) {
                    Err(error) if error.why == Error::NotFound => xos::thread::yield_now(),
                    session => break session?,
                }
            };
            let count = count.unwrap_or(1);
            let _ = call(session.endpoint(), TAG, count);
            let ticks = call(session.endpoint(), TAG, count);
            Ok(ticks as i32)
        }
    }
}
