// SPDX-License-Identifier: BSD-2-Clause
//! The loop, on the kernel.

use sel4::{AbsoluteCPtr, MessageInfo, cap};
use xos_protocol::slots::{NODE_BITS, cptr, domain, leaf};
use xos_protocol::wire::{MAX_WORDS, Words};
use xos_protocol::{Badge, Error, Result};

use crate::deferred::{self, SavedReplies};
use crate::run::Loop;
use crate::{Kernel, Received, Reply, Server, Space};

/// Where reply capabilities are kept.
#[derive(Clone, Copy, Debug)]
enum Replies {
    /// In the replies node of a boot domain.
    Node,
    /// In root slots of a CSpace that the program can operate on, from this one on.
    Root(Space, u32),
}

impl Replies {
    fn slot(self, index: u32) -> AbsoluteCPtr {
        match self {
            Self::Node => cap::CNode::from_bits(domain::REPLIES)
                .absolute_cptr_from_bits_with_depth(index.into(), NODE_BITS as usize),
            Self::Root(space, first) => space.slot(first + index),
        }
    }

    fn cap(self, index: u32) -> cap::Endpoint {
        cap::Endpoint::from_bits(match self {
            Self::Node => cptr(domain::REPLIES_ROOT, index),
            Self::Root(_, first) => leaf(first + index),
        })
    }
}

/// Where a server receives, and where it keeps callers that wait.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    endpoint: cap::Endpoint,
    replies: Replies,
    callers: u32,
}

impl Input {
    /// A boot domain's.
    pub const DOMAIN: Self = Self {
        endpoint: cap::Endpoint::from_bits(domain::INPUT),
        replies: Replies::Node,
        callers: deferred::MAX,
    };

    /// An endpoint that a program in an IC made; it can keep no callers.
    pub const fn new(endpoint: cap::Endpoint) -> Self {
        Self {
            endpoint,
            replies: Replies::Node,
            callers: 0,
        }
    }

    /// The same, keeping up to `count` callers in root slots from `first` on, which nobody else uses. That
    /// takes the CSpace's own root (an IC that composes has it). The manager has to be told where they are
    /// ([`Manager::keep`](xos_client::Manager::keep)): should this program die, they are answered then.
    pub const fn keeping(self, space: Space, first: u32, count: u32) -> Self {
        Self {
            endpoint: self.endpoint,
            replies: Replies::Root(space, first),
            callers: count,
        }
    }
}

impl SavedReplies for Input {
    fn save(&mut self, slot: u32) -> Result<()> {
        self.replies
            .slot(slot)
            .save_caller()
            .map_err(|_| Error::Kernel)
    }

    fn answer(&mut self, slot: u32, label: u64, words: &[u64]) {
        put_long(words);
        // A plain send on a reply capability blocks nobody. When the caller has died the slot is empty,
        // and a send to an empty slot is ignored by the kernel.
        self.replies
            .cap(slot)
            .send_with_mrs(info(label, words), first(words));
    }
}

impl Kernel for Input {
    #[inline]
    fn next(&mut self, reply: Option<&Reply>, words: &mut Words) -> Received {
        let message = match reply {
            Some(reply) => {
                put_long(reply.words());
                self.endpoint.reply_recv_with_mrs(
                    info(reply.label(), reply.words()),
                    reply.registers(),
                    (),
                )
            }
            None => self.endpoint.recv_with_mrs(()),
        };
        let len = message.info.length().min(MAX_WORDS);
        words[..4].copy_from_slice(&message.msg);
        if len > 4 {
            sel4::with_ipc_buffer(|buffer| {
                words[4..len].copy_from_slice(&buffer.msg_regs()[4..len]);
            });
        }
        Received {
            badge: Badge::from_word(message.badge),
            label: message.info.label(),
            len,
        }
    }

    fn reply(&mut self, reply: &Reply) {
        put_long(reply.words());
        sel4::reply_with_mrs(info(reply.label(), reply.words()), reply.registers());
    }
}

/// Runs a server on another endpoint until `on`, which is asked after each message, says no; the last
/// caller is answered.
pub fn serve_while<S: Server>(
    mut input: Input,
    server: &mut S,
    mut on: impl FnMut(&mut S) -> bool,
) {
    let mut state = Loop::new(input.callers);
    loop {
        state.turn(&mut input, server);
        if !on(server) {
            break;
        }
    }
    state.finish(&mut input);
}

fn info(label: u64, words: &[u64]) -> MessageInfo {
    MessageInfo::new(label, 0, 0, words.len())
}

/// The words that travel in registers.
fn first(words: &[u64]) -> [u64; 4] {
    core::array::from_fn(|i| words.get(i).copied().unwrap_or(0))
}

/// Puts the words that do not travel in registers into the IPC buffer.
#[inline]
fn put_long(words: &[u64]) {
    if words.len() > 4 {
        sel4::with_ipc_buffer_mut(|buffer| {
            buffer.msg_regs_mut()[4..words.len()].copy_from_slice(&words[4..]);
        });
    }
}

/// Runs a server on a boot domain's endpoint, for ever.
pub fn serve(server: &mut impl Server) -> ! {
    serve_on(Input::DOMAIN, server)
}

/// Runs a server on another endpoint, for ever.
pub fn serve_on(mut input: Input, server: &mut impl Server) -> ! {
    let mut state = Loop::new(input.callers);
    loop {
        state.turn(&mut input, server);
    }
}
