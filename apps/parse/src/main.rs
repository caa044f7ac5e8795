// SPDX-License-Identifier: BSD-2-Clause
//! Reads what strangers have sent: each message is parsed in a context of its own.
//!
//! Without arguments it reads some that it has, of which not all mean well; else each argument is a path that
//! is asked for.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use xos::println;
use xos::protocol::contract::Memory;
use xos::virtine::{Function, Result};

xos::main!(main, heap = 64 * 1024);

/// Characters of a summary that are printed.
const LINE: usize = 100;
/// Milliseconds that a message may take.
const LIMIT: u32 = 100;

/// What came from strangers.
const MESSAGES: &[&[u8]] = &[
    b"GET /index.html HTTP/1.1\r\nHost: example.org\r\n\r\n",
    b"POST /form HTTP/1.1\r\nHost: example.org\r\nContent-Length: 3\r\n\r\na=b",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\r\nX-Exploit: crash\r\n\r\n",
    b"GET / HTTP/1.1\r\nX-Exploit: spin\r\n\r\n",
    b"GET / HTTP/1.1\r\nX-Exploit: bomb\r\n\r\n",
    b"GET / HTTP/1.1\r\nX-Exploit: call\r\n\r\n",
    b"GET /still/here HTTP/1.1\r\nHost: example.org\r\n\r\n",
];

fn main() -> Result<()> {
    let parse = Function::load("parse-http")?;
    let read = |message: &[u8]| match parse.invoke_for(message, LIMIT) {
        Ok(summary) => println!("{}", parse::printable(&summary, LINE)),
        Err(error) => println!("refused: {error}"),
    };
    let mut given = xos::args().skip(1).peekable();
    if given.peek().is_none() {
        let on = match parse.contract().memory {
            Memory::SecondStage => "on a virtual processor",
            _ => "in an address space of its own",
        };
        println!("{} messages, each {on}:", MESSAGES.len());
        MESSAGES.iter().for_each(|message| read(message));
    }
    for path in given {
        read(format!("GET {path} HTTP/1.1\r\nHost: example.org\r\n\r\n").as_bytes());
    }
    Ok(())
}
