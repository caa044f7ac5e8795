// SPDX-License-Identifier: BSD-2-Clause
//! Input: a bounded queue of bytes, and the readers that wait for one.
//!
//! Never are there both bytes and readers: whoever asks is served at once if
//! there is anything, and whatever arrives goes to the reader who began last.
//! That is what makes a program in the foreground read before the monitor that
//! started it, without either knowing of the other.

use heapless::{Deque, Vec};
use xos_protocol::console::{INTERRUPT, MAX_BYTES};
use xos_protocol::{Error, Result, Who};

use crate::{INPUT_QUEUE, SHARE, WAITING_READERS};

struct Reader<R> {
    client: Who,
    most: usize,
    reply: R,
}

/// See the module. `R` stands for the reply that a waiting reader gets later.
pub struct Input<R> {
    queue: Deque<u8, INPUT_QUEUE>,
    /// A stack: the last one is served first.
    readers: Vec<Reader<R>, WAITING_READERS>,
    /// Whether the interrupt character is taken out of the input.
    intercept: bool,
    interrupted: bool,
}

impl<R> Default for Input<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> Input<R> {
    /// No input, nobody waiting, the interrupt character a byte like any other.
    pub const fn new() -> Self {
        Self {
            queue: Deque::new(),
            readers: Vec::new(),
            intercept: false,
            interrupted: false,
        }
    }

    /// Whether another byte can be taken.
    pub fn has_room(&self) -> bool {
        !self.queue.is_full()
    }

    /// A byte has arrived. Without [room](Self::has_room) it is dropped.
    pub fn arrived(&mut self, byte: u8) {
        if byte == INTERRUPT && self.intercept {
            self.interrupted = true;
        } else {
            let _ = self.queue.push_back(byte);
        }
    }

    /// Sets whether the interrupt character is a signal (and no input) or a byte like any other.
    pub fn set_intercept(&mut self, on: bool) {
        self.intercept = on;
    }

    /// Whether the interrupt character has arrived since the last time this was asked.
    pub fn take_interrupted(&mut self) -> bool {
        core::mem::take(&mut self.interrupted)
    }

    /// Takes up to `buffer.len()` bytes that are there.
    pub fn take(&mut self, buffer: &mut [u8]) -> usize {
        let mut used = 0;
        for place in buffer {
            let Some(byte) = self.queue.pop_front() else {
                break;
            };
            *place = byte;
            used += 1;
        }
        used
    }

    /// Whether `client` may wait for input.
    pub fn may_wait(&self, client: Who) -> Result<()> {
        let of_client = self.readers.iter().filter(|r| r.client == client).count();
        if self.readers.is_full() || of_client >= WAITING_READERS / SHARE {
            return Err(Error::TableFull);
        }
        Ok(())
    }

    /// Lets a client wait for at least one byte and at most `most`. Gives the reply back if no more
    /// can wait.
    pub fn wait(&mut self, client: Who, most: usize, reply: R) -> core::result::Result<(), R> {
        let reader = Reader {
            client,
            most,
            reply,
        };
        self.readers.push(reader).map_err(|r| r.reply)
    }

    /// If there are bytes and readers, takes the reader who began last and the bytes that go to it.
    pub fn serve<'a>(&mut self, buffer: &'a mut [u8; MAX_BYTES]) -> Option<(R, &'a [u8])> {
        if self.queue.is_empty() {
            return None;
        }
        let reader = self.readers.pop()?;
        let used = self.take(&mut buffer[..reader.most.min(MAX_BYTES)]);
        Some((reader.reply, &buffer[..used]))
    }

    /// Takes out a read that `client` waits for, if it waits.
    pub fn forget(&mut self, client: Who) -> Option<R> {
        let index = self.readers.iter().position(|r| r.client == client)?;
        Some(self.readers.remove(index).reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec as StdVec;

    #[derive(Clone, Debug)]
    enum Step {
        Arrive(u8),
        Take(usize),
        Wait(u32, usize),
        Forget(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<u8>().prop_map(Step::Arrive),
            1 => (0..40usize).prop_map(Step::Take),
            2 => ((0..4u32), prop_oneof![1..10usize, Just(usize::MAX)]).prop_map(|(c, n)| Step::Wait(c, n)),
            1 => (0..4u32).prop_map(Step::Forget),
        ]
    }

    proptest! {
        #[test]
        fn input_reaches_readers_once_and_in_order(steps in proptest::collection::vec(step(), 0..200)) {
            let mut input = Input::new();
            let (mut sent, mut got) = (StdVec::<u8>::new(), StdVec::<u8>::new());
            let mut stack = StdVec::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Arrive(byte) => {
                        sent.push(byte);
                        input.arrived(byte);
                    }
                    Step::Take(most) => {
                        let mut buffer = vec![0; most];
                        let used = input.take(&mut buffer);
                        got.extend(&buffer[..used]);
                    }
                    Step::Wait(client, most) => {
                        let who = Who::Session(client);
                        if input.may_wait(who).is_ok() {
                            input.wait(who, most, number).unwrap();
                            stack.push((client, number));
                        }
                    }
                    Step::Forget(client) => {
                        let mut expected: StdVec<_> = stack.iter().filter(|s| s.0 == client).collect();
                        while let Some(reply) = input.forget(Who::Session(client)) {
                            prop_assert_eq!(reply, expected.remove(0).1);
                        }
                        prop_assert!(expected.is_empty());
                        stack.retain(|s| s.0 != client);
                    }
                }
                let mut buffer = [0; MAX_BYTES];
                while let Some((reply, bytes)) = input.serve(&mut buffer) {
                    prop_assert!(!bytes.is_empty());
                    prop_assert_eq!(Some(reply), stack.pop().map(|s| s.1), "not the one who began last");
                    got.extend(bytes);
                }
            }
            let mut rest = vec![0; sent.len()];
            let used = input.take(&mut rest);
            got.extend(&rest[..used]);
            prop_assert_eq!(got, sent);
        }
    }

    #[test]
    fn the_interrupt_character_is_input_unless_it_is_asked_for() {
        let mut input = Input::<()>::new();
        input.arrived(INTERRUPT);
        assert!(!input.take_interrupted());
        input.set_intercept(true);
        input.arrived(b'a');
        input.arrived(INTERRUPT);
        assert!(input.take_interrupted());
        assert!(!input.take_interrupted());
        let mut buffer = [0; 4];
        assert_eq!(input.take(&mut buffer), 2);
        assert_eq!(&buffer[..2], [INTERRUPT, b'a']);
    }

    #[test]
    fn one_client_cannot_take_all_places_of_readers() {
        let mut input = Input::new();
        for _ in 0..WAITING_READERS / SHARE {
            input.may_wait(Who::Session(1)).unwrap();
            input.wait(Who::Session(1), 1, ()).unwrap();
        }
        assert_eq!(input.may_wait(Who::Session(1)), Err(Error::TableFull));
        assert_eq!(input.may_wait(Who::Session(2)), Ok(()));
    }
}
