// SPDX-License-Identifier: BSD-2-Clause
//! Pairs of connected sockets (socketpair(2), unix(7)).
//!
//! There are no other sockets yet: a network stack will bring its own.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;

use slab::Slab;

use crate::pipe::{Promised, Ring};
use crate::wait::{QueueId, Queues};
use crate::{Buffer, Errno, Pages, Result};

/// Bytes that wait for one reader at most (`wmem_default`).
const CAPACITY: usize = 212_992;
/// Messages that wait for one reader at most, so that empty ones are bounded too.
const MESSAGES: usize = 1024;

/// A socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SocketId(u32);

impl SocketId {
    /// A number that tells it from others, for `stat` and `/proc`.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// What a socket keeps of what it sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Bytes.
    Stream,
    /// Messages, with an end.
    Sequence,
    /// Messages.
    Datagram,
}

#[derive(Debug)]
enum Inbox {
    Bytes(Ring),
    Messages {
        queue: VecDeque<Box<[u8]>>,
        bytes: usize,
    },
}

#[derive(Debug)]
struct Socket {
    style: Style,
    inbox: Inbox,
    peer: Option<SocketId>,
    shut_read: bool,
    shut_write: bool,
    queue: QueueId,
}

/// All sockets.
#[derive(Debug)]
pub struct Sockets {
    sockets: Slab<Socket>,
    promised: Promised,
    /// Bytes of all messages that nobody has received yet, and how many there may be. They are in the server's
    /// own memory.
    messages: (usize, usize),
}

/// A message of so many bytes is taken by a socket that has none, whatever the others have.
const ALWAYS_ROOM: usize = 4096;

/// What a socket is ready for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Ready {
    pub read: bool,
    pub write: bool,
    /// The other end will send no more.
    pub ended: bool,
    /// Nothing goes either way.
    pub hung_up: bool,
}

impl Sockets {
    /// None; together they will hold about so many bytes, and so many bytes of messages, at most.
    pub const fn new(most: usize, messages: usize) -> Self {
        Self {
            sockets: Slab::new(),
            promised: Promised::new(most),
            messages: (0, messages),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.sockets.len()
    }

    /// Two that are connected.
    pub fn pair(&mut self, queues: &mut Queues, style: Style) -> [SocketId; 2] {
        let mut one = |peer| {
            SocketId(self.sockets.insert(Socket {
                style,
                inbox: match style {
                    Style::Stream => Inbox::Bytes(self.promised.ring()),
                    _ => Inbox::Messages {
                        queue: VecDeque::new(),
                        bytes: 0,
                    },
                },
                peer,
                shut_read: false,
                shut_write: false,
                queue: queues.create(),
            }) as u32)
        };
        let first = one(None);
        let second = one(Some(first));
        self.get_mut(first).peer = Some(second);
        [first, second]
    }

    fn get(&self, socket: SocketId) -> &Socket {
        &self.sockets[socket.0 as usize]
    }

    fn get_mut(&mut self, socket: SocketId) -> &mut Socket {
        &mut self.sockets[socket.0 as usize]
    }

    /// What it keeps.
    pub fn style(&self, socket: SocketId) -> Style {
        self.get(socket).style
    }

    /// Ends one; the other end learns it.
    pub fn destroy(&mut self, pages: &mut dyn Pages, queues: &mut Queues, socket: SocketId) {
        let mut socket = self.sockets.remove(socket.0 as usize);
        match &mut socket.inbox {
            Inbox::Bytes(ring) => {
                self.promised.back(ring);
                ring.clear(pages);
            }
            Inbox::Messages { bytes, .. } => self.messages.0 -= *bytes,
        }
        queues.destroy(socket.queue);
        if let Some(peer) = socket.peer {
            let peer = self.get_mut(peer);
            peer.peer = None;
            queues.wake(peer.queue);
        }
    }

    /// No more is received, or sent.
    pub fn shut(&mut self, queues: &mut Queues, id: SocketId, read: bool, write: bool) {
        let socket = self.get_mut(id);
        socket.shut_read |= read;
        socket.shut_write |= write;
        queues.wake(socket.queue);
        if let Some(peer) = socket.peer {
            queues.wake(self.get(peer).queue);
        }
    }

    /// Whether nothing more will come.
    fn ended(&self, socket: &Socket) -> bool {
        socket.shut_read || socket.peer.is_none_or(|peer| self.get(peer).shut_write)
    }

    /// Takes bytes, or a message, of which what the buffer has no room for is lost. Gives how many bytes, and
    /// how long the message was; `None` if nothing is there yet. With `peek`, it is left there.
    pub fn receive(
        &mut self,
        pages: &mut dyn Pages,
        queues: &mut Queues,
        id: SocketId,
        into: &mut Buffer,
        peek: bool,
    ) -> Option<(usize, usize)> {
        let ended = self.ended(self.get(id));
        let socket = self.get_mut(id);
        let datagrams = socket.style == Style::Datagram;
        let mut freed = 0;
        let (moved, whole) = match &mut socket.inbox {
            Inbox::Bytes(ring) if ring.filled() > 0 || into.is_empty() => {
                let moved = if peek {
                    ring.peek(pages, into)
                } else {
                    ring.get(pages, into)
                };
                (moved, moved)
            }
            Inbox::Messages { queue, bytes } if !queue.is_empty() => {
                let message = &queue[0];
                let moved = (into.put(pages, message), message.len());
                if !peek {
                    *bytes -= moved.1;
                    freed = moved.1;
                    queue.pop_front();
                }
                moved
            }
            // A datagram socket does not end with its peer, unless it was shut itself.
            _ if datagrams && !socket.shut_read => return None,
            _ => return ended.then_some((0, 0)),
        };
        let peer = socket.peer;
        self.messages.0 -= freed;
        if !peek && let Some(peer) = peer {
            queues.wake(self.get(peer).queue);
        }
        Some((moved, whole))
    }

    /// Sends bytes, as many as there is room for, or a message. `None` if there is no room now.
    ///
    /// # Errors
    /// `EPIPE` if nobody will receive; `ECONNREFUSED`, for datagrams; `EMSGSIZE` for a message that is
    /// too long ever, `ENOBUFS` for one that is now; `ENOMEM`.
    pub fn send(
        &mut self,
        pages: &mut dyn Pages,
        queues: &mut Queues,
        id: SocketId,
        from: &mut Buffer,
    ) -> Result<Option<usize>> {
        let socket = self.get(id);
        if socket.shut_write {
            return Err(Errno::PIPE);
        }
        let Some(peer) = socket.peer else {
            return Err(match socket.style {
                Style::Datagram => Errno::CONNREFUSED,
                _ => Errno::PIPE,
            });
        };
        let all = &mut self.messages;
        let peer = &mut self.sockets[peer.0 as usize];
        if peer.shut_read {
            return Err(Errno::PIPE);
        }
        let sent = match &mut peer.inbox {
            Inbox::Bytes(_) if from.is_empty() => return Ok(Some(0)),
            Inbox::Bytes(ring) => ring.put(pages, from)?,
            Inbox::Messages { queue, bytes } => {
                let length = from.left();
                if length > CAPACITY {
                    return Err(Errno::MSGSIZE);
                }
                if *bytes + length > CAPACITY || queue.len() == MESSAGES {
                    return Ok(None);
                }
                if all.0 + length > all.1 {
                    match (queue.is_empty(), length <= ALWAYS_ROOM) {
                        (true, true) => {}
                        // What is there is received some time.
                        (false, _) => return Ok(None),
                        (true, false) => return Err(Errno::NOBUFS),
                    }
                }
                let mut message = vec![0; length];
                from.take(pages, &mut message);
                *bytes += length;
                all.0 += length;
                queue.push_back(message.into());
                queues.wake(peer.queue);
                return Ok(Some(length));
            }
        };
        if sent == 0 {
            return Ok(None);
        }
        queues.wake(peer.queue);
        Ok(Some(sent))
    }

    /// What it is ready for.
    pub fn ready(&self, id: SocketId) -> Ready {
        let socket = self.get(id);
        let ended = self.ended(socket) && socket.style != Style::Datagram || socket.shut_read;
        let waiting = match &socket.inbox {
            Inbox::Bytes(ring) => ring.filled() > 0,
            Inbox::Messages { queue, .. } => !queue.is_empty(),
        };
        let room = match socket.peer.map(|peer| &self.get(peer).inbox) {
            Some(Inbox::Bytes(ring)) => ring.room() > ring.capacity() / 4,
            Some(Inbox::Messages { queue, bytes }) => *bytes < CAPACITY && queue.len() < MESSAGES,
            None => true,
        };
        Ready {
            read: waiting || ended,
            write: room,
            ended,
            hung_up: socket.peer.is_none() && socket.style != Style::Datagram
                || socket.shut_read && socket.shut_write,
        }
    }

    /// Bytes of what would be received next.
    pub fn readable(&self, id: SocketId) -> usize {
        match &self.get(id).inbox {
            Inbox::Bytes(ring) => ring.filled(),
            Inbox::Messages { queue, .. } => queue.front().map_or(0, |message| message.len()),
        }
    }

    /// What wakes when its readiness changes.
    pub fn queue(&self, id: SocketId) -> QueueId {
        self.get(id).queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::model::HeapPages;
    use crate::{PAGE, Segment};
    use alloc::vec::Vec;

    struct Fixture {
        pages: HeapPages,
        queues: Queues,
        sockets: Sockets,
        memory: Segment,
    }

    impl Fixture {
        fn new() -> Self {
            let mut pages = HeapPages::new(100);
            let memory = Segment {
                page: pages.allocate().unwrap(),
                offset: 0,
                length: PAGE as u16,
            };
            Self {
                pages,
                queues: Queues::default(),
                sockets: Sockets::new(1 << 20, 1 << 20),
                memory,
            }
        }

        fn send(&mut self, socket: SocketId, bytes: &[u8]) -> Result<Option<usize>> {
            self.pages.write(self.memory.page, 0, bytes);
            let memory = [self.memory];
            let mut buffer = Buffer::new(&memory);
            buffer.limit(bytes.len());
            self.sockets
                .send(&mut self.pages, &mut self.queues, socket, &mut buffer)
        }

        fn receive(&mut self, socket: SocketId, most: usize) -> Option<Vec<u8>> {
            let memory = [self.memory];
            let mut buffer = Buffer::new(&memory);
            buffer.limit(most);
            let (count, _) = self.sockets.receive(
                &mut self.pages,
                &mut self.queues,
                socket,
                &mut buffer,
                false,
            )?;
            let mut bytes = vec![0; count];
            self.pages.read(self.memory.page, 0, &mut bytes);
            Some(bytes)
        }
    }

    #[test]
    fn a_stream_forgets_where_writes_ended_and_messages_do_not() {
        for (style, first) in [(Style::Stream, "abcdef"), (Style::Sequence, "abc")] {
            let mut f = Fixture::new();
            let [a, b] = f.sockets.pair(&mut f.queues, style);
            assert_eq!(f.receive(b, 10), None);
            assert_eq!(f.send(a, b"abc"), Ok(Some(3)));
            assert_eq!(f.send(a, b"def"), Ok(Some(3)));
            assert_eq!(f.receive(b, 10).as_deref(), Some(first.as_bytes()));
        }
    }

    #[test]
    fn what_a_buffer_has_no_room_for_of_a_message_is_lost() {
        let mut f = Fixture::new();
        let [a, b] = f.sockets.pair(&mut f.queues, Style::Datagram);
        let _ = f.send(a, b"abc");
        let _ = f.send(a, b"");
        let _ = f.send(a, b"d");
        assert_eq!(f.receive(b, 1).as_deref(), Some(&b"a"[..]));
        assert_eq!(f.receive(b, 9).as_deref(), Some(&b""[..]));
        assert_eq!(f.receive(b, 9).as_deref(), Some(&b"d"[..]));
        assert_eq!(f.receive(b, 9), None);
    }

    #[test]
    fn the_end_of_one_socket_ends_the_other_after_what_was_sent() {
        let mut f = Fixture::new();
        let [a, b] = f.sockets.pair(&mut f.queues, Style::Stream);
        let _ = f.send(a, b"x");
        f.sockets.destroy(&mut f.pages, &mut f.queues, a);
        assert_eq!(f.receive(b, 9).as_deref(), Some(&b"x"[..]));
        assert_eq!(f.receive(b, 9).as_deref(), Some(&b""[..]));
        assert_eq!(f.send(b, b"x"), Err(Errno::PIPE));
        assert!(f.sockets.ready(b).hung_up);
        f.sockets.destroy(&mut f.pages, &mut f.queues, b);
        assert_eq!((f.pages.used(), f.queues.in_use()), (1, (0, 0, 0)));
    }

    #[test]
    fn an_end_that_was_shut_sends_no_more_but_still_receives() {
        let mut f = Fixture::new();
        let [a, b] = f.sockets.pair(&mut f.queues, Style::Stream);
        f.sockets.shut(&mut f.queues, a, false, true);
        assert_eq!(f.send(a, b"x"), Err(Errno::PIPE));
        assert_eq!(f.receive(b, 9).as_deref(), Some(&b""[..]));
        assert_eq!(f.send(b, b"y"), Ok(Some(1)));
        assert_eq!(f.receive(a, 9).as_deref(), Some(&b"y"[..]));
    }

    #[test]
    fn a_full_socket_waits_until_something_is_received() {
        let mut f = Fixture::new();
        let [a, b] = f.sockets.pair(&mut f.queues, Style::Stream);
        let block = [7; PAGE];
        while f.send(a, &block).unwrap().is_some() {}
        assert!(!f.sockets.ready(a).write);
        while f.receive(b, PAGE).is_some() {}
        assert!(f.sockets.ready(a).write);
    }
}
