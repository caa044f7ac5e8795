// SPDX-License-Identifier: BSD-2-Clause
//! Cases that send anything to servers. What comes back is an answer or a refusal; whether the server
//! is well, and nothing is missing, the tester finds out.

use xos::client::Port;
use xos::protocol::factory::{HandleOp, SelfOp, SessionOp, Spec as WireSpec};
use xos::protocol::manager::{Consent, Op};
use xos::protocol::wire::{MAX_WORDS, encode};
use xos::protocol::{console, timer};
use xos::{MiB, Spec, factory, factory_with};
use xos_test_kit::check;

use super::*;

/// Messages to each server.
const COUNT: u32 = 2000;

/// Numbers that are the same in each run (Marsaglia's xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A word as an attacker would choose it.
    fn word(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => self.below(64),
            2 => self.below(1 << 12),
            3 => u64::MAX - self.below(4),
            4 => 1 << self.below(64),
            _ => self.next(),
        }
    }
}

/// The words of a message.
type Message = [u64; MAX_WORDS];

/// Sends so many messages: labels from `first..end` mostly, any words, any lengths, which `shape` may
/// change. `spare` says of which messages the answer would never come.
fn storm<P: Port>(
    port: &P,
    (first, end): (u64, u64),
    mut shape: impl FnMut(&mut Random, &mut Message, usize) -> usize,
    spare: impl Fn(u64, &[u64]) -> bool,
) -> Outcome {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut answers, mut refusals) = (0, 0);
    for _ in 0..COUNT {
        let label = match random.below(8) {
            0 => random.word() & ((1 << 50) - 1),
            _ => first + random.below(end - first),
        };
        let mut message = [0; MAX_WORDS];
        message.fill_with(|| random.word());
        // Short ones mostly: long ones are all alike.
        let most = if random.below(4) == 0 { 121 } else { 6 };
        let length = random.below(most) as usize;
        let length = shape(&mut random, &mut message, length);
        if spare(label, &message[..length]) {
            continue;
        }
        match port.exchange(label, &mut message, length) {
            Ok(_) => answers += 1,
            Err(_) => refusals += 1,
        }
    }
    check!(
        refusals > COUNT / 8,
        "{answers} answers, {refusals} refusals"
    )
}

fn any(_: &mut Random, _: &mut Message, length: usize) -> usize {
    length
}

pub fn the_manager_survives_any_message(_: &mut ()) -> Outcome {
    let me = xos::id()?.word();
    let manager = xos::manager();
    let labels = (Op::Ping.label(), Op::Ended.label() + 2);
    storm(manager.port(), labels, any, |label, words| {
        // It may end itself.
        let ends = [Op::Destroy.label(), Op::Suspend.label()];
        ends.contains(&label) && words.first().is_none_or(|word| *word == me || *word == 0)
    })?;
    // Ids of ICs instead of any words.
    let id = |random: &mut Random, message: &mut Message, length: usize| {
        message[0] = random.below(100) << 12 | random.below(24);
        if message[0] == me {
            message[0] = u64::MAX;
        }
        length.max(1)
    };
    storm(manager.port(), labels, id, |_, _| false)?;
    check!(xos::id()?.word() == me)
}

pub fn the_process_factory_survives_any_message(_: &mut ()) -> Outcome {
    let processes = factory("process")?;
    let port = processes.session().endpoint();
    let labels = (
        SessionOp::Describe.label() - 2,
        SessionOp::Spawn.label() + 4,
    );
    storm(&port, labels, any, |_, _| false)?;
    // A sound request in which something is changed.
    let spec = |random: &mut Random, message: &mut Message, _: usize| {
        *message = [0; MAX_WORDS];
        message[0] = 60 + random.below(100);
        let spec = WireSpec {
            image: "nothing",
            arguments: "a\0b\0",
            environment: "A=b\0",
            channels: "c\0",
            memory: random.word(),
            ics: random.word() as u16,
            stack: random.word() as u32,
            cspace_radix: random.below(12) as u8,
            composes: random.below(2) == 0,
        };
        let used = encode(&spec, &mut message[1..]).unwrap_or(1);
        let place = 1 + random.below(used as u64) as usize;
        if random.below(2) == 0 {
            message[place] ^= 1 << random.below(64);
        }
        1 + used - random.below(2) as usize
    };
    storm(&port, labels, spec, |_, _| false)
}

pub fn the_thread_factory_survives_any_message(_: &mut ()) -> Outcome {
    let consent = Consent {
        within: true,
        ..Consent::default()
    };
    let threads = factory_with("thread", consent)?;
    let port = threads.session().endpoint();
    let labels = (
        SessionOp::Describe.label() - 2,
        SessionOp::Spawn.label() + 4,
    );
    storm(&port, labels, any, |_, _| false)?;
    // Threads that begin nowhere.
    let entry = |random: &mut Random, message: &mut Message, _: usize| {
        message[0] = random.next() | 1 << 63;
        message[2] = (60 + random.below(100)) | random.below(600) << 16;
        message[3] = 0;
        4
    };
    storm(&port, labels, entry, |_, _| false)
}

pub fn handles_survive_any_message(_: &mut ()) -> Outcome {
    let spec = Spec::image("crash").arg("sleep").memory(MiB(1));
    let child = factory("process")?.create(&spec)?;
    child.start()?;
    let thread = xos::thread::spawn(|| xos::timer::sleep(Duration::MAX))?;
    // Where a handle lies is this library's secret: it is found by what it answers.
    for id in [child.id(), thread.id()] {
        let handle = (15..256)
            .map(|slot| sel4::cap::Endpoint::from_bits(slot << 8))
            .find(|handle| {
                let stat = Port::call(handle, HandleOp::Stat.label(), [0; 4], 0);
                stat.is_ok_and(|answer| answer.len == 2 && answer.words[1] == id.word())
            });
        let handle = handle.ok_or("no handle")?;
        let labels = (HandleOp::Start.label(), HandleOp::Clone.label() + 4);
        storm(&handle, labels, any, |label, _| {
            // By its handle the thread speaks as well: it would die, or it would fault, and in its place
            // this one would get no answer.
            let itself = id == thread.id() && (label < 0x20 || label == SelfOp::Exit.label());
            label == HandleOp::Wait.label() || itself
        })?;
    }
    child.kill()?;
    child.wait()?;
    let _ = thread.ic().kill();
    check!(thread.join().is_err())
}

pub fn the_console_survives_any_message(_: &mut ()) -> Outcome {
    let session = xos::service::open("console")?;
    let port = session.endpoint();
    let labels = (
        console::Op::Write.label() - 2,
        console::Op::Flush.label() + 4,
    );
    storm(&port, labels, any, |label, words| {
        // Nobody types, and nobody wants to read much of this.
        label == console::Op::Read.label() && words.get(1) == Some(&1)
            || label == console::Op::Write.label()
                && words.first().is_some_and(|n| (40..=944).contains(n))
    })?;
    xos::println!();
    Ok(())
}

pub fn the_timer_survives_any_message(_: &mut ()) -> Outcome {
    let session = xos::service::open("timer")?;
    let port = session.endpoint();
    let labels = (timer::Op::Now.label() - 2, timer::Op::RealTime.label() + 4);
    storm(&port, labels, any, |label, words| {
        label == timer::Op::Sleep.label() && words.first().is_some_and(|time| *time > 1 << 16)
    })?;
    xos::timer::sleep(MS)?;
    Ok(())
}
