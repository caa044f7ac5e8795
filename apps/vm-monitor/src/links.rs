// SPDX-License-Identifier: BSD-2-Clause
//! What the guest has to do with others: done for it here, in the machine's IC.
//!
//! One thread receives at the machine's endpoint, once the guest has had that made: the thread that runs the
//! guest is in the guest, or sleeps. It holds one message at a time, and whoever sends meanwhile waits in the
//! kernel's queue.

use core::sync::atomic::{AtomicBool, Ordering};

use sel4::cap::{Endpoint, Notification};
use sel4::{MessageInfo, reply_with_mrs};
use vm_factory::devices::Board;
use vm_factory::interface::{BELL, ENDPOINT, MESSAGE_WORDS};
use vm_factory::links::{Link, Message, asks};
use xos::client::Port;
use xos::protocol::manager::{NOTIFY_BITS, ObjectKind, Op};
use xos::protocol::slots::leaf;
use xos::protocol::{Badge, Error, Who};
use xos::sync::{Mutex, mutex};
use xos::thread;

/// Where a message to the guest is.
enum Post {
    /// There is none.
    Empty,
    /// It waits for the guest.
    Arrived(Message),
    /// The guest has it.
    Read,
    /// The guest's reply waits for its sender.
    Answered(Message),
}

static POST: Mutex<Post> = mutex(Post::Empty);
/// Whether a message waits for the guest.
static ARRIVED: AtomicBool = AtomicBool::new(false);

pub struct Links {
    /// Wakes the thread that runs the guest. Others signal to it, too.
    wakes: Notification,
    /// Wakes the thread that receives.
    answered: Notification,
    /// Whether there is that thread.
    receives: bool,
    /// What others have signalled.
    signals: u64,
}

impl Links {
    /// Nothing to do with anybody. To be called once.
    ///
    /// # Errors
    /// When there is nothing left to make notifications of.
    pub fn new() -> xos::Result<Self> {
        xos::reserve_slots(ENDPOINT, vm_factory::interface::OWN_CHANNELS_END - ENDPOINT)?;
        let made = xos::manager().make(ObjectKind::Notification, BELL);
        made.and_then(|()| xos::manager().bind(BELL))?;
        Ok(Self {
            wakes: Notification::from_bits(leaf(BELL)),
            answered: xos::sync::notification()?,
            receives: false,
            signals: 0,
        })
    }

    /// What wakes the thread that runs the guest.
    pub const fn wakes(&self) -> Notification {
        self.wakes
    }

    /// These bits were signalled. What this program signals to itself has none.
    pub const fn signalled(&mut self, bits: u64) {
        self.signals |= bits & ((1 << NOTIFY_BITS) - 1);
    }

    /// Tells the guest that something is there for it, or is not.
    pub fn feed(&self, board: &mut Board) {
        board.link(self.signals != 0 || ARRIVED.load(Ordering::Acquire));
    }

    pub fn link(&mut self, link: Link<'_>) -> u32 {
        match link {
            Link::Ask(message) => {
                *message = self.ask(message);
                0
            }
            Link::Call(channel, message) => {
                *message = call(&endpoint(channel), message);
                0
            }
            Link::Send(channel, message) => {
                let info = MessageInfo::new(message.label, 0, 0, message.words.len());
                endpoint(channel).send_with_mrs(info, message.words);
                0
            }
            Link::Signal(channel) => {
                Notification::from_bits(leaf(channel)).signal();
                0
            }
            Link::Receive(into) => u32::from(receive(into)),
            Link::Reply(message) => {
                let waits = answer(*message);
                if waits {
                    self.answered.signal();
                }
                u32::from(waits)
            }
            Link::Signals => core::mem::take(&mut self.signals) as u32,
        }
    }

    fn ask(&mut self, message: &Message) -> Message {
        if let Err(error) = asks(message) {
            return Message::reply(Err(error));
        }
        let made = message.label == Op::Make.label();
        if made && !self.receives {
            // Before the endpoint is there: a guest whose messages nobody receives would be worse.
            let (wakes, answered) = (self.wakes, self.answered);
            match thread::spawn(move || receive_for_guest(wakes, answered)) {
                Ok(thread) => core::mem::forget(thread),
                Err(error) => return Message::reply(Err(error.why)),
            }
            self.receives = true;
        }
        let reply = call(xos::manager().port(), message);
        if made && reply.label == 0 {
            // It waits for this to begin.
            self.answered.signal();
        }
        reply
    }
}

const fn endpoint(channel: u32) -> Endpoint {
    Endpoint::from_bits(leaf(channel))
}

/// Calls: the reply.
fn call(port: &impl Port, message: &Message) -> Message {
    let answer = port.call(message.label, message.words, message.words.len());
    Message::reply(answer.map(|answer| answer.words))
}

/// The guest takes its message, if there is one.
fn receive(into: &mut Message) -> bool {
    let mut post = POST.lock();
    let Post::Arrived(message) = *post else {
        return false;
    };
    *into = message;
    *post = Post::Read;
    ARRIVED.store(false, Ordering::Release);
    true
}

/// The guest replies to the message that it took, if it took one.
fn answer(message: Message) -> bool {
    let mut post = POST.lock();
    let waits = matches!(*post, Post::Read);
    if waits {
        *post = Post::Answered(message);
    }
    waits
}

/// Receives, for ever.
fn receive_for_guest(wakes: Notification, answered: Notification) {
    // Until there is an endpoint.
    answered.wait();
    loop {
        let received = endpoint(ENDPOINT).recv_with_mrs(());
        let Who::Session(session) = Badge::from_word(received.badge).who() else {
            // Nobody else has it.
            let info = MessageInfo::new(Error::NoSuchOperation.label(), 0, 0, 0);
            reply_with_mrs(info, [0; MESSAGE_WORDS as usize]);
            continue;
        };
        let mut words = received.msg;
        for word in words.iter_mut().skip(received.info.length()) {
            *word = 0;
        }
        *POST.lock() = Post::Arrived(Message {
            label: received.info.label(),
            words,
            who: session.into(),
        });
        ARRIVED.store(true, Ordering::Release);
        wakes.signal();
        let reply = loop {
            answered.wait();
            let mut post = POST.lock();
            if let Post::Answered(reply) = *post {
                *post = Post::Empty;
                break reply;
            }
        };
        // A refusal has no words.
        let count = match reply.label {
            0 => reply.words.len(),
            _ => 0,
        };
        reply_with_mrs(MessageInfo::new(reply.label, 0, 0, count), reply.words);
    }
}
