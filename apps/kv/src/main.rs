// SPDX-License-Identifier: BSD-2-Clause
//! The server, a client, or a program that starts some of both and shows what comes of it.
#![no_std]
#![no_main]

use core::fmt::Write;

use heapless::String;
use kv::command::{Command, USAGE, parse};
use kv::wire::{DELETE, GET, PUT};
use kv::{Client, KvServer, MAX_KEY};
use sel4::cap::{Endpoint, Notification};
use xos::protocol::manager::WATCH_BADGE;
use xos::protocol::slots::NODE_BITS;
use xos::protocol::wire::MAX_WORDS;
use xos::protocol::{Error, Name, Subject};
use xos::{ExitStatus, Ic, KiB, Session, Spec, eprintln, println, service, sync};

xos::main!(main);

/// Clients in the demonstration.
const CLIENTS: u32 = 3;
/// Entries that each has.
const EACH: u32 = 8;
/// An entry of the one who starts all.
const NOTICE: &[u8] = b"notice";
/// The server's channel through which it says that it serves.
const READY: &str = "ready";
/// Messages of the vandal's.
const BLOWS: u32 = 300;

/// In a static because of its size; taken once.
static SERVER: sync::Mutex<KvServer> = sync::mutex(KvServer::new(xos::manager()));

fn main() -> i32 {
    let Some((name, command)) = parse(xos::args().skip(1)) else {
        eprintln!("{USAGE}");
        return 2;
    };
    match run(name, command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("kv: {error}");
            1
        }
    }
}

/// A session with the server, as the program uses it.
struct Store {
    session: Session,
}

impl Store {
    fn open(name: &str) -> xos::Result<Self> {
        service::open(name).map(|session| Self { session })
    }

    fn client(&self) -> Client<Endpoint> {
        Client::new(self.session.endpoint())
    }

    /// What was refused, and with what.
    fn tell<T>(&self, result: Result<T, Error>) -> xos::Result<T> {
        result.map_err(|why| xos::Error::new(xos::Tried::Call(self.session.name()), why))
    }
}

fn run(name: &str, command: Command<'_>) -> xos::Result<i32> {
    match command {
        Command::Demonstrate => demonstrate(),
        Command::Serve => serve(name),
        Command::Client(number) => work(&Store::open(name)?, number),
        Command::Vandal => rage(&Store::open(name)?),
        Command::Put(key, value) => {
            let store = Store::open(name)?;
            store.tell(store.client().put(key.as_bytes(), value.as_bytes()))?;
            Ok(0)
        }
        Command::Delete(key) => {
            let store = Store::open(name)?;
            store.tell(store.client().delete(key.as_bytes()))?;
            Ok(0)
        }
        Command::Get(key) => {
            let store = Store::open(name)?;
            let value = store.tell(store.client().get(key.as_bytes()))?;
            match core::str::from_utf8(&value) {
                Ok(text) => println!("{text}"),
                Err(_) => println!("{value:02x?}"),
            }
            Ok(0)
        }
        Command::Usage => {
            let store = Store::open(name)?;
            let usage = store.tell(store.client().usage())?;
            println!(
                "{} entries, {} requests, of which {} were refused",
                usage.entries, usage.requests, usage.refused
            );
            Ok(0)
        }
    }
}

fn serve(name: &str) -> xos::Result<i32> {
    let listener = service::register(name)?;
    if let Some(ready) = xos::channel(READY) {
        Notification::from_bits(ready.bits()).signal();
    }
    listener.serve(&mut *SERVER.lock())
}

/// The n-th key of a client.
fn key(client: u32, n: u32) -> String<MAX_KEY> {
    let mut key = String::new();
    // Two numbers and a dot fit.
    let _ = write!(key, "{client}.{n}");
    key
}

/// What a client that behaves does.
fn work(store: &Store, number: u32) -> xos::Result<i32> {
    let client = store.client();
    for n in 0..EACH {
        let key = key(number, n);
        store.tell(client.put(key.as_bytes(), key.as_bytes()))?;
        // The others have their turn.
        xos::thread::yield_now();
    }
    let mut right = 0;
    for n in 0..EACH {
        let key = key(number, n);
        let value = store.tell(client.get(key.as_bytes()))?;
        right += u32::from(value == key.as_bytes());
    }
    let told = match client.get(NOTICE) {
        Ok(_) => "is read",
        Err(Error::NotFound) => "is not there",
        Err(error) => return store.tell(Err(error)),
    };
    let changed = match client.put(NOTICE, b"changed") {
        Err(Error::NotAllowed) => "cannot be changed",
        Err(Error::NotFound) => "is gone",
        Err(error) => return store.tell(Err(error)),
        Ok(()) => "was changed",
    };
    println!(
        "client {number}  put {EACH} entries and got {right} of them back; another's entry {told} and {changed}"
    );
    Ok(i32::from(right != EACH || changed != "cannot be changed"))
}

/// What one does that does not.
fn rage(store: &Store) -> xos::Result<i32> {
    let endpoint = store.session.endpoint();
    // A generator of Marsaglia's (xorshift64): any numbers do, but the same ones each time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut refused = 0;
    for blow in 0..BLOWS {
        let mut message = [0; MAX_WORDS];
        message.fill_with(&mut random);
        let label = match blow % 4 {
            0 => PUT,
            1 => GET,
            2 => DELETE,
            _ => random() >> 12,
        };
        let len = random() as usize % (MAX_WORDS + 1);
        let outcome = xos::client::Port::exchange(&endpoint, label, &mut message, len);
        match outcome {
            Err(Error::Gone | Error::ServerDied) => {
                println!("vandal    the server is gone");
                return Ok(0);
            }
            Err(_) => refused += 1,
            Ok(_) => {}
        }
    }
    println!("vandal    sent {BLOWS} messages that make no sense; {refused} were refused");
    Ok(0)
}

/// Starts everything and shows what comes of it.
fn demonstrate() -> xos::Result<i32> {
    // Two demonstrations at the same time have a server each.
    let mut name = String::<{ Name::MAX }>::new();
    let _ = write!(name, "kv-{}", xos::id()?);

    let processes = xos::factory("process")?;
    let ready = sync::notification()?;
    let spec = |command: &str| {
        Spec::image("kv")
            .args(["--at", &name, command])
            .memory(KiB(512))
    };

    let server = processes.create(&spec("serve").channel(READY))?;
    server.connect(ready, 0)?;
    let slot = (ready.bits() >> NODE_BITS) as u32;
    xos::manager().watch(Subject::Ic(server.id()), slot)?;
    server.start()?;
    let ((), bits) = ready.wait();
    if bits & WATCH_BADGE != 0 {
        println!("server    {}", server.wait()?);
        return Ok(1);
    }
    println!("server    isolation context {}, `{name}`", server.id());

    let store = Store::open(&name)?;
    let client = store.client();
    store.tell(client.put(NOTICE, b"do not change"))?;

    let mut others = heapless::Vec::<Ic, { CLIENTS as usize + 1 }>::new();
    for number in 1..=CLIENTS {
        let mut digits = String::<10>::new();
        let _ = write!(digits, "{number}");
        // As many as there is room for.
        let _ = others.push(processes.create(&spec("client").arg(&digits))?);
    }
    let _ = others.push(processes.create(&spec("vandal"))?);
    for other in &others {
        other.start()?;
    }
    let mut well = true;
    for other in &others {
        well &= other.wait()? == ExitStatus::Code(0);
    }

    well &= store.tell(client.get(NOTICE))? == b"do not change";
    // The client has gone, its entry has not; now it can be somebody else's.
    let left = key(1, 0);
    well &= store.tell(client.get(left.as_bytes()))? == left.as_bytes();
    store.tell(client.put(left.as_bytes(), b"taken over"))?;
    let usage = store.tell(client.usage())?;
    println!(
        "server    {} entries of all, {} requests, of which {} were refused",
        usage.entries, usage.requests, usage.refused
    );
    well &= usage.entries == u64::from(CLIENTS * EACH) + 1;
    server.kill()?;
    well &= server.wait()? == ExitStatus::Killed;
    well &= client.usage() == Err(Error::Gone);
    println!(
        "server    {}",
        if well {
            "killed; all went as it should"
        } else {
            "killed; something went wrong"
        }
    );
    Ok(i32::from(!well))
}
