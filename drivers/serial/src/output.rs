// SPDX-License-Identifier: BSD-2-Clause
//! Output: a bounded queue of bytes, and the messages that wait for room in it.
//!
//! Whoever waits is served in turns. Each waiting message has a *round*: the
//! first message of a client that waits is in the round after the current one
//! (in which that client may just have been served), its next one in the round
//! after that, and so on; the queue takes the lowest round first, and within a
//! round who came first. So a client with ten threads that print gets as much
//! of the line as a client with one. (This is start-time fair queuing, Goyal
//! et al. 1996, with messages as the unit, and no memory of who waits not.)

use heapless::{Deque, Vec};
use xos_protocol::console::MAX_BYTES;
use xos_protocol::{Error, Result, Who};

use crate::{OUTPUT_QUEUE, SHARE, WAITING_FLUSHES, WAITING_WRITERS};

/// A message that waits for room.
struct Waiting<R> {
    client: Who,
    round: u64,
    arrival: u64,
    length: usize,
    bytes: [u8; MAX_BYTES],
    reply: R,
}

/// A client that waits for all that was queued before it asked.
struct Flush<R> {
    client: Who,
    /// Value of [`Output::sent`] from which on it is served.
    until: u64,
    reply: R,
}

/// See the [module](self). `R` stands for the reply that a waiting client gets later.
pub struct Output<R> {
    queue: Deque<u8, OUTPUT_QUEUE>,
    /// The carriage return for the line feed at the queue's head has been sent.
    returned: bool,
    /// Bytes ever queued, and of these, bytes ever sent (without inserted carriage returns).
    queued: u64,
    sent: u64,
    waiting: Vec<Waiting<R>, WAITING_WRITERS>,
    round: u64,
    arrivals: u64,
    flushes: Vec<Flush<R>, WAITING_FLUSHES>,
}

impl<R> Default for Output<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> Output<R> {
    /// Nothing queued, nobody waiting.
    pub const fn new() -> Self {
        Self {
            queue: Deque::new(),
            returned: false,
            queued: 0,
            sent: 0,
            waiting: Vec::new(),
            round: 0,
            arrivals: 0,
            flushes: Vec::new(),
        }
    }

    fn enqueue(&mut self, bytes: &[u8]) {
        for byte in bytes {
            // There is room: both callers have compared.
            if self.queue.push_back(*byte).is_ok() {
                self.queued += 1;
            }
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        bytes <= OUTPUT_QUEUE - self.queue.len()
    }

    /// Queues a message of `client` if nobody waits and there is room: `true`. `false` means that the
    /// client has to [wait](Self::wait).
    ///
    /// Fails with [`Error::Malformed`] if the message is longer than a message can be, with
    /// [`Error::TableFull`] if it would have to wait and cannot.
    pub fn offer(&mut self, client: Who, bytes: &[u8]) -> Result<bool> {
        if bytes.len() > MAX_BYTES {
            return Err(Error::Malformed);
        }
        if self.waiting.is_empty() && self.has_room(bytes.len()) {
            self.enqueue(bytes);
            return Ok(true);
        }
        let of_client = self.waiting.iter().filter(|w| w.client == client).count();
        if self.waiting.is_full() || of_client >= WAITING_WRITERS / SHARE {
            return Err(Error::TableFull);
        }
        Ok(false)
    }

    /// Keeps a message for which [`offer`](Self::offer) has just said `false`. Gives the reply back
    /// if it did not.
    pub fn wait(&mut self, client: Who, message: &[u8], reply: R) -> core::result::Result<(), R> {
        if message.len() > MAX_BYTES {
            return Err(reply);
        }
        let earlier = self.waiting.iter().filter(|w| w.client == client);
        let last = earlier.map(|w| w.round).max().unwrap_or(self.round);
        let mut bytes = [0; MAX_BYTES];
        bytes[..message.len()].copy_from_slice(message);
        self.arrivals += 1;
        let waiting = Waiting {
            client,
            round: last + 1,
            arrival: self.arrivals,
            length: message.len(),
            bytes,
            reply,
        };
        self.waiting.push(waiting).map_err(|w| w.reply)
    }

    /// Queues the waiting message whose turn it is, if there is room; gives its length and its
    /// client's reply.
    pub fn admit(&mut self) -> Option<(usize, R)> {
        let (index, next) = self
            .waiting
            .iter()
            .enumerate()
            .min_by_key(|(_, w)| (w.round, w.arrival))?;
        if !self.has_room(next.length) {
            return None;
        }
        let next = self.waiting.swap_remove(index);
        self.round = next.round;
        self.enqueue(&next.bytes[..next.length]);
        Some((next.length, next.reply))
    }

    /// Fills `chunk` with what the device is to send next, a carriage return before every line feed;
    /// gives how many bytes that is. Nothing is taken out before [`sent`](Self::sent).
    pub fn peek(&self, chunk: &mut [u8]) -> usize {
        let mut used = 0;
        let mut returned = self.returned;
        for &byte in &self.queue {
            if byte == b'\n' && !returned {
                let Some(place) = chunk.get_mut(used) else {
                    break;
                };
                *place = b'\r';
                used += 1;
            }
            returned = false;
            let Some(place) = chunk.get_mut(used) else {
                break;
            };
            *place = byte;
            used += 1;
        }
        used
    }

    /// The device took the first `count` bytes of what [`peek`](Self::peek) gave.
    pub fn sent(&mut self, count: usize) {
        for _ in 0..count {
            match self.queue.front() {
                None => break,
                Some(b'\n') if !self.returned => self.returned = true,
                Some(_) => {
                    self.queue.pop_front();
                    self.returned = false;
                    self.sent += 1;
                }
            }
        }
    }

    /// Whether everything queued has been handed to the device.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether `client` may wait for the output to drain.
    pub fn may_flush(&self, client: Who) -> Result<()> {
        let of_client = self.flushes.iter().filter(|f| f.client == client).count();
        if self.flushes.is_full() || of_client >= WAITING_FLUSHES / SHARE {
            return Err(Error::TableFull);
        }
        Ok(())
    }

    /// Lets a client wait until all that is queued now has been sent. Gives the reply back if no
    /// more can wait.
    pub fn wait_for_flush(&mut self, client: Who, reply: R) -> core::result::Result<(), R> {
        let until = self.queued;
        let flush = Flush {
            client,
            until,
            reply,
        };
        self.flushes.push(flush).map_err(|f| f.reply)
    }

    /// Whether somebody waits for bytes of which all have been handed to the device.
    pub fn flush_due(&self) -> bool {
        self.flushes.iter().any(|f| f.until <= self.sent)
    }

    /// The reply of a client whose bytes have all been handed to the device.
    pub fn flushed(&mut self) -> Option<R> {
        let index = self.flushes.iter().position(|f| f.until <= self.sent)?;
        Some(self.flushes.remove(index).reply)
    }

    /// Takes out something that `client` waits for, if it waits. Bytes that are queued already are
    /// printed all the same; a message that waits was never accepted and is dropped.
    pub fn forget(&mut self, client: Who) -> Option<R> {
        if let Some(index) = self.waiting.iter().position(|w| w.client == client) {
            return Some(self.waiting.swap_remove(index).reply);
        }
        let index = self.flushes.iter().position(|f| f.client == client)?;
        Some(self.flushes.remove(index).reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::vec::Vec as StdVec;

    /// Sends all that is queued, in chunks of `chunk` of which the device takes all but `refused`.
    fn drain<R>(output: &mut Output<R>, chunk: usize) -> StdVec<u8> {
        let mut line = StdVec::new();
        let mut buffer = vec![0; chunk];
        loop {
            let used = output.peek(&mut buffer);
            if used == 0 {
                return line;
            }
            // A device that takes less than it is offered must not make a difference.
            let taken = used.div_ceil(2);
            line.extend(&buffer[..taken]);
            output.sent(taken);
        }
    }

    fn without_returns(line: &[u8]) -> StdVec<u8> {
        let mut bytes = StdVec::new();
        let mut previous = 0;
        for &byte in line {
            if byte == b'\n' {
                assert_eq!(previous, b'\r', "a line feed without a carriage return");
                bytes.pop();
            }
            bytes.push(byte);
            previous = byte;
        }
        bytes
    }

    proptest! {
        #[test]
        fn every_line_feed_gets_exactly_one_carriage_return(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a')], 0..200),
            chunk in 1..20usize,
        ) {
            let mut output = Output::<()>::new();
            prop_assert_eq!(output.offer(Who::Session(1), &text), Ok(true));
            let line = drain(&mut output, chunk);
            prop_assert_eq!(without_returns(&line), text);
        }

        /// Each message carries its writer and number; the line must be whole messages, each accepted
        /// one once, and each writer's in its order.
        #[test]
        fn no_byte_is_lost_doubled_or_reordered_and_messages_stay_whole(
            messages in proptest::collection::vec((0u32..6, 2usize..=MAX_BYTES, any::<bool>()), 1..60),
            chunk in 8..40usize,
        ) {
            let mut output = Output::<()>::new();
            let mut expected: HashMap<u8, StdVec<u8>> = HashMap::new();
            let mut line = StdVec::new();
            let mut number = [0u8; 6];
            for (client, length, drain_now) in messages {
                let who = Who::Session(client);
                let writer = client as usize;
                let mut bytes = vec![0x80 + number[writer] % 100; length];
                bytes[0] = client as u8;
                bytes[length - 1] = 0x40 | client as u8;
                match output.offer(who, &bytes) {
                    Ok(true) => {}
                    Ok(false) => prop_assert_eq!(output.wait(who, &bytes, ()), Ok(())),
                    Err(error) => {
                        prop_assert_eq!(error, Error::TableFull);
                        continue;
                    }
                }
                number[writer] += 1;
                expected.entry(client as u8).or_default().extend(&bytes);
                if drain_now {
                    line.extend(drain(&mut output, chunk));
                    while output.admit().is_some() {}
                }
            }
            loop {
                line.extend(drain(&mut output, chunk));
                if output.admit().is_none() && output.is_empty() {
                    break;
                }
            }
            let mut seen: HashMap<u8, StdVec<u8>> = HashMap::new();
            let mut rest = &line[..];
            while let Some(&client) = rest.first() {
                let end = 1 + rest.iter().position(|b| *b == 0x40 | client).unwrap();
                prop_assert!(rest[1..end - 1].windows(2).all(|w| w[0] == w[1]), "a message was interrupted");
                seen.entry(client).or_default().extend(&rest[..end]);
                rest = &rest[end..];
            }
            prop_assert_eq!(seen, expected);
        }

        /// Clients with different numbers of threads that all print without end.
        #[test]
        fn every_waiting_client_gets_its_turn(threads in proptest::collection::vec(1usize..=8, 2..8)) {
            let mut output = Output::<u32>::new();
            let message = [b'x'; 900];
            while output.offer(Who::Session(99), &message) == Ok(true) {}
            for (client, count) in threads.iter().enumerate() {
                for _ in 0..*count {
                    let client = client as u32;
                    output.wait(Who::Session(client), &message, client).unwrap();
                }
            }
            let mut served = vec![0u32; threads.len()];
            for _ in 0..10 * threads.len() {
                drain(&mut output, 1024);
                let (_, client) = output.admit().unwrap();
                served[client as usize] += 1;
                output.wait(Who::Session(client), &message, client).unwrap();
            }
            let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
            prop_assert!(most - least <= 1, "{served:?} with {threads:?} threads");
        }
    }

    #[test]
    fn one_client_cannot_fill_the_table() {
        let mut output = Output::<()>::new();
        let message = [0; MAX_BYTES];
        while output.offer(Who::Session(1), &message) == Ok(true) {}
        for _ in 0..WAITING_WRITERS / SHARE {
            assert_eq!(output.offer(Who::Session(1), &message), Ok(false));
            output.wait(Who::Session(1), &message, ()).unwrap();
        }
        assert_eq!(
            output.offer(Who::Session(1), &message),
            Err(Error::TableFull)
        );
        assert_eq!(output.offer(Who::Session(2), &message), Ok(false));
    }

    #[test]
    fn a_flush_waits_for_what_was_queued_before_it_and_not_for_more() {
        let mut output = Output::new();
        output.offer(Who::Session(1), b"before").unwrap();
        output.wait_for_flush(Who::Session(1), "flush").unwrap();
        output.offer(Who::Session(2), b"after").unwrap();
        output.sent(5);
        assert_eq!(output.flushed(), None);
        output.sent(1);
        assert_eq!(output.flushed(), Some("flush"));
    }

    #[test]
    fn a_client_that_is_gone_leaves_nothing_waiting() {
        let mut output = Output::new();
        let message = [0; MAX_BYTES];
        while output.offer(Who::Session(1), &message) == Ok(true) {}
        output.wait(Who::Session(1), &message, 'w').unwrap();
        output.wait_for_flush(Who::Session(1), 'f').unwrap();
        output.wait(Who::Session(2), b"other", 'o').unwrap();
        assert_eq!(output.forget(Who::Session(1)), Some('w'));
        assert_eq!(output.forget(Who::Session(1)), Some('f'));
        assert_eq!(output.forget(Who::Session(1)), None);
        drain(&mut output, 16);
        assert_eq!(output.admit(), Some((5, 'o')));
    }
}
