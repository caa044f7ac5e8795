// SPDX-License-Identifier: BSD-2-Clause
//! A container's server that does as it is told: see the library.
#![no_std]
#![no_main]

use core::slice;

use sel4::cap;
use tar_no_std::TarArchiveRef;
use test_containers::{EAT, PRINT, SERVE, TELL, WRITE};
use xos_client::ContainerServer;
use xos_container::{Setup, Span};
use xos_protocol::Error;
use xos_protocol::container::{Command, Stream};
use xos_protocol::slots::{ic, leaf};
use xos_protocol::start::strings;
use xos_protocol::wire::MAX_BYTES;

xos::main!(main);

const FACTORY: ContainerServer = ContainerServer::new(cap::Endpoint::from_bits(leaf(ic::ITSELF)));

/// The status of a stand-in that does not understand.
const CONFUSED: i32 = 100;

fn say(text: &str) {
    let _ = FACTORY.output(0, Stream::Output, text.as_bytes());
}

/// The bytes of a span that this program has mapped for as long as it runs.
fn bytes(span: Span) -> &'static [u8] {
    // SAFETY: the factory says that it is mapped, read-only; nobody writes to it.
    unsafe { slice::from_raw_parts(span.address as *const u8, span.bytes as usize) }
}

fn main() -> i32 {
    let mut buffer = [0; 4096];
    match FACTORY.describe(&mut buffer).map(Setup::read) {
        Ok(Ok(setup)) => run(&setup).unwrap_or(CONFUSED),
        _ => CONFUSED,
    }
}

fn run(setup: &Setup<'_>) -> Result<i32, Error> {
    let mut arguments = setup.arguments();
    match arguments.next().unwrap_or("") {
        PRINT => {
            let path = arguments.next().unwrap_or("").trim_start_matches('/');
            let archive = TarArchiveRef::new(bytes(setup.root)).map_err(|_| Error::BadImage)?;
            let is_it =
                |entry: &tar_no_std::ArchiveEntry<'_>| entry.filename().as_str() == Ok(path);
            let file = archive.entries().find(is_it).ok_or(Error::NoImage)?;
            FACTORY.output(0, Stream::Output, file.data())?;
            Ok(0)
        }
        TELL => {
            for text in arguments
                .chain(setup.environment())
                .chain([setup.hostname()])
            {
                say(text);
                say("\n");
            }
            Ok(0)
        }
        SERVE => serve(),
        WRITE => {
            // SAFETY: there is no page that can be written, so nothing is.
            unsafe { (setup.root.address as *mut u8).write_volatile(0) };
            Ok(0)
        }
        EAT => Ok(eat()),
        _ => Ok(CONFUSED),
    }
}

fn serve() -> Result<i32, Error> {
    say("serving\n");
    let mut buffer = [0; MAX_BYTES];
    loop {
        match FACTORY.next(&mut buffer)? {
            Command::Signal(signal) => return Ok(128 + i32::from(signal)),
            // It reads none.
            Command::Input { .. } => {}
            // The program that it "runs" ends with the number of its arguments.
            Command::Exec {
                number, arguments, ..
            } => FACTORY.done(number, strings(arguments).count() as u8)?,
        }
    }
}

/// How many MiB of memory this container gets.
fn eat() -> i32 {
    let mut count = 0;
    while let Ok(region) = xos::region::Region::new(256) {
        core::mem::forget(region);
        count += 1;
    }
    count
}
