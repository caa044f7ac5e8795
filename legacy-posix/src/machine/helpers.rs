// SPDX-License-Identifier: BSD-2-Clause
//! Threads that wait where the server must not: for time, for the console, for what a container's factory
//! wants. Each says what it has
//! waited for in a call to the server's endpoint, so that the server waits in one place.

use alloc::vec::Vec;
use core::time::Duration;

use legacy_posix::PAGE;
use legacy_posix::machine_api::{MAX_NAP, NO_ALARM};
use sel4::cap::{Endpoint, Notification};
use sel4::{CapRights, MessageInfo, RecvWithMRs};
use xos::client::{Console, ContainerServer, Port};
use xos::protocol::manager::Consent;
use xos::protocol::wire::{self, MAX_WORDS};
use xos::sync::{Mutex, mutex};
use xos::{Session, thread};

use crate::kernel::{KIND_HELPER, own};

/// Badge of the thread that waits for time.
pub const TIMER_BADGE: u64 = KIND_HELPER | 1;
/// Badge of the thread that waits for input.
pub const CONSOLE_BADGE: u64 = KIND_HELPER | 2;

/// Badge of the thread that waits for commands.
pub const COMMAND_BADGE: u64 = KIND_HELPER | 3;

/// Bytes of stack of each: a few messages. With what else a thread takes, it is 32 KiB.
const STACK: usize = 5 * PAGE;

/// Signalled when there is something to wait for again.
static ARMED: Mutex<Option<Notification>> = mutex(None);

/// Wakes the thread that waits for time, if it has nothing to wait for.
pub fn arm() {
    if let Some(notification) = *ARMED.lock() {
        notification.signal();
    }
}

/// A copy of the server's endpoint with a badge.
fn badged(endpoint: Endpoint, badge: u64) -> xos::Result<Endpoint> {
    let slot = xos::take_slot()?;
    let space = own();
    let place = (endpoint.bits() >> xos::protocol::slots::NODE_BITS) as u32;
    space
        .slot(slot.number())
        .mint(
            &space.slot(place),
            CapRights::new(true, true, false, true),
            badge,
        )
        .map_err(|_| xos::Error::new(xos::Tried::Slot, xos::protocol::Error::Kernel))?;
    slot.keep();
    Ok(space.leaf(slot.number()))
}

/// Starts the one that waits for time.
pub fn start_timer(endpoint: Endpoint) -> xos::Result<()> {
    let notification = xos::sync::notification()?;
    *ARMED.lock() = Some(notification);
    let timer = badged(endpoint, TIMER_BADGE)?;
    let wait = move || wait_for_time(timer, notification);
    core::mem::forget(thread::spawn_with_stack(STACK, wait)?);
    Ok(())
}

/// Starts the one that waits for the console.
pub fn start_input(endpoint: Endpoint) -> xos::Result<()> {
    let input = badged(endpoint, CONSOLE_BADGE)?;
    let wait = move || wait_for_input(input);
    core::mem::forget(thread::spawn_with_stack(STACK, wait)?);
    Ok(())
}

/// Starts the one that waits for what a container's factory wants.
pub fn start_commands(endpoint: Endpoint, factory: ContainerServer) -> xos::Result<()> {
    let commands = badged(endpoint, COMMAND_BADGE)?;
    let wait = move || wait_for_commands(commands, factory);
    core::mem::forget(thread::spawn_with_stack(STACK, wait)?);
    Ok(())
}

fn wait_for_time(endpoint: Endpoint, notification: Notification) {
    loop {
        let answer = endpoint.call_with_mrs(MessageInfo::new(0, 0, 0, 0), []);
        match answer.msg[0] {
            NO_ALARM => {
                notification.wait();
            }
            // Not longer than that: something may be due sooner meanwhile.
            nanoseconds => {
                let _ = xos::timer::sleep(Duration::from_nanos(nanoseconds.min(MAX_NAP)));
            }
        }
    }
}

fn console() -> xos::Result<Session> {
    Session::open("console", Consent::default())
}

fn wait_for_input(endpoint: Endpoint) {
    loop {
        let Ok(session) = console() else {
            let _ = xos::timer::sleep(Duration::from_millis(100));
            continue;
        };
        let mut buffer = [0; 256];
        while let Ok(bytes) = Console::new(session.endpoint()).read(&mut buffer, true) {
            hand_in(endpoint, bytes);
        }
    }
}

fn wait_for_commands(endpoint: Endpoint, factory: ContainerServer) {
    let mut buffer = [0; wire::MAX_BYTES];
    // Until there is nobody any more who would want anything.
    while let Ok(bytes) = factory.next_bytes(&mut buffer) {
        hand_in(endpoint, bytes);
    }
}

/// Gives bytes to the server.
fn hand_in(endpoint: Endpoint, bytes: &[u8]) {
    let mut words = [0; MAX_WORDS];
    words[0] = bytes.len() as u64;
    if let Ok(used) = wire::put_bytes(&mut words[1..], bytes) {
        let _ = endpoint.exchange(0, &mut words, 1 + used);
    }
}

/// The bytes in a message of a thread that waits.
pub fn handed_in(received: &RecvWithMRs) -> Vec<u8> {
    let mut words = [0; MAX_WORDS];
    let length = received.info.length().min(MAX_WORDS);
    sel4::with_ipc_buffer(|buffer| words[..length].copy_from_slice(&buffer.msg_regs()[..length]));
    words[..4].copy_from_slice(&received.msg);
    let mut bytes = [0; wire::MAX_BYTES];
    let count = words[0] as usize;
    let given = wire::get_bytes(&words[1..length.max(1)], &mut bytes);
    given[..count.min(given.len())].to_vec()
}

/// Writes to the console.
pub fn print(bytes: &[u8]) {
    static CONSOLE: Mutex<Option<Session>> = mutex(None);
    let mut session = CONSOLE.lock();
    for _ in 0..2 {
        if session.is_none() {
            *session = console().ok();
        }
        let Some(open) = &*session else {
            return;
        };
        match Console::new(open.endpoint()).write(bytes) {
            Err(xos::protocol::Error::Gone) => *session = None,
            _ => return,
        }
    }
}
