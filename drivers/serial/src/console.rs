// SPDX-License-Identifier: BSD-2-Clause
//! The console: one line shared by any number of clients.

use heapless::Vec;
use uart_16550::backend::Backend;
use xos_protocol::console::LOG;
use xos_protocol::console::MAX_BYTES;
use xos_protocol::{Result, Who};

use crate::{Input, Line, Output};

/// What a frame for the host tool begins with: `xos_image::console::RECORD_SEPARATOR`, whose crate
/// needs an allocator.
const RECORD_SEPARATOR: u8 = 0x1e;
/// What sessions print in its place.
const REPLACEMENT: u8 = b'?';

/// Whether a message is one line for the log, and nothing that could be taken for more.
fn is_log_line(message: &[u8]) -> bool {
    let line = message
        .strip_prefix(LOG.as_bytes())
        .and_then(|rest| rest.strip_suffix(b"\n"));
    line.is_some_and(|line| !line.iter().any(u8::is_ascii_control))
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// It is done; so many bytes.
    Done(usize),
    /// The client has to wait: call the `wait_` method of the same name with its reply.
    Wait,
}

/// What a client that waited is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer<'a> {
    /// Its bytes are queued; so many.
    Written(usize),
    /// The bytes that it is given.
    Read(&'a [u8]),
    /// All output that was queued when it asked has left the device.
    Flushed,
    /// Its session has ended.
    Gone,
}

/// The two directions together. `R` stands for a reply that is due later; every one that is handed in
/// comes back exactly once, with the [`Answer`] to send.
///
/// A value of this type is some 130 KiB large: it belongs into a `static`.
pub struct Console<R> {
    output: Output<R>,
    input: Input<R>,
}

impl<R> Default for Console<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> Console<R> {
    /// Nothing to print, nobody waiting.
    pub const fn new() -> Self {
        Self {
            output: Output::new(),
            input: Input::new(),
        }
    }

    /// Prints a message. It is never interrupted by another's.
    ///
    /// Frames for the host tool are the privilege of the domains of `system.xml`: what a session
    /// prints cannot begin one, unless the whole message is a line for the log, which anyone may have.
    pub fn write(&mut self, client: Who, message: &mut [u8]) -> Result<Progress> {
        if !matches!(client, Who::Channel(_)) && !is_log_line(message) {
            for byte in message.iter_mut().filter(|b| **b == RECORD_SEPARATOR) {
                *byte = REPLACEMENT;
            }
        }
        Ok(if self.output.offer(client, message)? {
            Progress::Done(message.len())
        } else {
            Progress::Wait
        })
    }

    /// Keeps a message for which [`write`](Self::write) has said [`Progress::Wait`], as that left it.
    pub fn wait_to_write(
        &mut self,
        client: Who,
        message: &[u8],
        reply: R,
    ) -> core::result::Result<(), R> {
        self.output.wait(client, message, reply)
    }

    /// Reads what is there into `buffer`, at most a message full. With `wait`, somebody who finds
    /// nothing has to wait.
    pub fn read(&mut self, client: Who, buffer: &mut [u8], wait: bool) -> Result<Progress> {
        let most = buffer.len().min(MAX_BYTES);
        let used = self.input.take(&mut buffer[..most]);
        if used > 0 || most == 0 || !wait {
            return Ok(Progress::Done(used));
        }
        self.input.may_wait(client)?;
        Ok(Progress::Wait)
    }

    /// Lets a client wait for input, after [`read`](Self::read) has said [`Progress::Wait`].
    pub fn wait_to_read(
        &mut self,
        client: Who,
        most: usize,
        reply: R,
    ) -> core::result::Result<(), R> {
        self.input.wait(client, most, reply)
    }

    /// Asks whether all output has left the device.
    pub fn flush<B: Backend>(&mut self, line: &mut Line<B>, client: Who) -> Result<Progress> {
        if self.output.is_empty() && line.drained() {
            return Ok(Progress::Done(0));
        }
        self.output.may_flush(client)?;
        Ok(Progress::Wait)
    }

    /// Lets a client wait for that, after [`flush`](Self::flush) has said [`Progress::Wait`].
    pub fn wait_to_flush(&mut self, client: Who, reply: R) -> core::result::Result<(), R> {
        self.output.wait_for_flush(client, reply)
    }

    /// Sets whether the interrupt character is a signal, and no input.
    pub fn set_intercept(&mut self, on: bool) {
        self.input.set_intercept(on);
    }

    /// Answers everything that `client` waits for with [`Answer::Gone`]: its session has ended; or it
    /// is a domain of `system.xml`, which has one thread, so that a new request means that it was
    /// restarted.
    pub fn forget(&mut self, client: Who, mut answer: impl FnMut(R, Answer<'_>)) {
        while let Some(reply) = self.output.forget(client) {
            answer(reply, Answer::Gone);
        }
        while let Some(reply) = self.input.forget(client) {
            answer(reply, Answer::Gone);
        }
    }

    /// Moves what can be moved between device and queues, and answers who is served by it. To be called
    /// after every request, and by [`interrupt`](Self::interrupt).
    ///
    /// Gives whether the interrupt character has arrived, if it is a signal.
    #[must_use]
    pub fn settle<B: Backend>(
        &mut self,
        line: &mut Line<B>,
        mut answer: impl FnMut(R, Answer<'_>),
    ) -> bool {
        self.receive(line, &mut answer);
        loop {
            self.transmit(line);
            let mut admitted = false;
            while let Some((count, reply)) = self.output.admit() {
                admitted = true;
                answer(reply, Answer::Written(count));
            }
            if !admitted {
                break;
            }
        }
        if self.output.flush_due() && line.drained() {
            while let Some(reply) = self.output.flushed() {
                answer(reply, Answer::Flushed);
            }
        }
        self.input.take_interrupted()
    }

    /// Serves the device until it no longer interrupts. The interrupt has to be acknowledged at the
    /// kernel before, not after: the line is edge-triggered, and this leaves it low.
    ///
    /// Gives whether the interrupt character has arrived, if it is a signal.
    #[must_use]
    pub fn interrupt<B: Backend>(
        &mut self,
        line: &mut Line<B>,
        mut answer: impl FnMut(R, Answer<'_>),
    ) -> bool {
        let mut interrupted = false;
        while line.interrupting() {
            interrupted |= self.settle(line, &mut answer);
        }
        interrupted
    }

    fn receive<B: Backend>(&mut self, line: &mut Line<B>, answer: &mut impl FnMut(R, Answer<'_>)) {
        let mut buffer = [0; MAX_BYTES];
        loop {
            let mut more = false;
            while self.input.has_room() {
                let Some(byte) = line.receive() else { break };
                more = true;
                self.input.arrived(byte);
            }
            while let Some((reply, bytes)) = self.input.serve(&mut buffer) {
                answer(reply, Answer::Read(bytes));
            }
            if !more {
                break;
            }
        }
        line.set_receiving(self.input.has_room());
    }

    fn transmit<B: Backend>(&mut self, line: &mut Line<B>) {
        let mut chunk = Vec::<u8, 16>::new();
        // As large as the device's buffer: what it does not take stays queued.
        let _ = chunk.resize_default(Line::<B>::BURST.min(16));
        let used = self.output.peek(&mut chunk);
        if used > 0 {
            let taken = line.send(&chunk[..used]);
            self.output.sent(taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::{INPUT_QUEUE, OUTPUT_QUEUE};
    use proptest::prelude::*;
    use std::boxed::Box;
    use std::vec::Vec as StdVec;
    use xos_protocol::console::INTERRUPT;

    type Answers = StdVec<(u32, StdVec<u8>)>;

    /// A console, its device, and what clients were told.
    struct Bench {
        console: Box<Console<u32>>,
        line: Line<Model>,
        answers: Answers,
        interrupts: usize,
        replies: u32,
    }

    fn note(answers: &mut Answers, reply: u32, answer: Answer<'_>) {
        let what = match answer {
            Answer::Written(count) => format!("written {count}").into_bytes(),
            Answer::Read(bytes) => bytes.to_vec(),
            Answer::Flushed => b"flushed".to_vec(),
            Answer::Gone => b"gone".to_vec(),
        };
        answers.push((reply, what));
    }

    impl Bench {
        fn new() -> Self {
            let line = Line::start(Model::uart()).unwrap();
            Self {
                console: Box::default(),
                line,
                answers: StdVec::new(),
                interrupts: 0,
                replies: 0,
            }
        }

        fn settle(&mut self) {
            let answers = &mut self.answers;
            let settled = self
                .console
                .settle(&mut self.line, |reply, answer| note(answers, reply, answer));
            self.interrupts += usize::from(settled);
        }

        /// Lets the interrupt controller deliver an edge, if there was one.
        fn deliver(&mut self) -> bool {
            if !self.line.model().take_edge() {
                return false;
            }
            let answers = &mut self.answers;
            let interrupted = self
                .console
                .interrupt(&mut self.line, |reply, answer| note(answers, reply, answer));
            self.interrupts += usize::from(interrupted);
            true
        }

        /// Lets the device send one burst and the driver react.
        fn tick(&mut self) {
            self.line.model().transmit();
            while self.deliver() {}
        }

        fn write(&mut self, client: Who, text: &[u8]) -> Result<Option<u32>> {
            let mut text = text.to_vec();
            let reply = match self.console.write(client, &mut text)? {
                Progress::Done(_) => None,
                Progress::Wait => {
                    self.replies += 1;
                    self.console
                        .wait_to_write(client, &text, self.replies)
                        .unwrap();
                    Some(self.replies)
                }
            };
            self.settle();
            Ok(reply)
        }

        fn read(&mut self, client: Who, most: usize) -> u32 {
            self.replies += 1;
            let mut buffer = vec![0; most];
            match self.console.read(client, &mut buffer, true).unwrap() {
                Progress::Done(used) => self.answers.push((self.replies, buffer[..used].to_vec())),
                Progress::Wait => self
                    .console
                    .wait_to_read(client, most, self.replies)
                    .unwrap(),
            }
            self.settle();
            self.replies
        }
    }

    const MONITOR: Who = Who::Channel(1);
    const APP: Who = Who::Session(7);

    #[test]
    fn output_is_driven_by_interrupts_alone() {
        let mut bench = Bench::new();
        let text = [b'x'; 500];
        bench.write(APP, &text).unwrap();
        for _ in 0..100 {
            bench.tick();
        }
        assert_eq!(bench.line.model().printed, text);
    }

    #[test]
    fn a_writer_waits_while_the_line_stands_still_and_nobody_else_does() {
        let mut bench = Bench::new();
        let text = [b'x'; MAX_BYTES];
        let mut waiting = None;
        while waiting.is_none() {
            waiting = bench.write(APP, &text).unwrap();
        }
        assert!(bench.answers.is_empty());
        assert_eq!(
            bench.console.read(MONITOR, &mut [0; 8], false),
            Ok(Progress::Done(0))
        );
        for _ in 0..OUTPUT_QUEUE / 8 {
            bench.tick();
        }
        assert_eq!(
            bench.answers,
            [(
                waiting.unwrap(),
                format!("written {MAX_BYTES}").into_bytes()
            )]
        );
    }

    #[test]
    fn who_began_to_read_last_is_served_first() {
        let mut bench = Bench::new();
        let monitor = bench.read(MONITOR, 80);
        let app = bench.read(APP, 80);
        bench.line.model().type_in(b"a");
        bench.tick();
        assert_eq!(bench.answers, [(app, b"a".to_vec())]);
        bench.line.model().type_in(b"b");
        bench.tick();
        assert_eq!(bench.answers[1], (monitor, b"b".to_vec()));
    }

    #[test]
    fn a_reader_that_is_gone_eats_no_input() {
        let mut bench = Bench::new();
        let monitor = bench.read(MONITOR, 80);
        let app = bench.read(APP, 80);
        let answers = &mut bench.answers;
        bench
            .console
            .forget(APP, |reply, answer| note(answers, reply, answer));
        assert_eq!(bench.answers, [(app, b"gone".to_vec())]);
        bench.line.model().type_in(b"k");
        bench.tick();
        assert_eq!(bench.answers[1], (monitor, b"k".to_vec()));
    }

    #[test]
    fn input_beyond_the_queue_stays_with_its_sender_until_there_is_room() {
        let mut bench = Bench::new();
        let typed: StdVec<u8> = (0..INPUT_QUEUE + 3000).map(|i| i as u8 | 0x80).collect();
        bench.line.model().type_in(&typed);
        for _ in 0..typed.len() / 8 {
            bench.tick();
        }
        let mut got = StdVec::new();
        while got.len() < typed.len() {
            bench.read(APP, 100);
            bench.tick();
            got.extend(bench.answers.drain(..).flat_map(|(_, bytes)| bytes));
        }
        assert_eq!(got, typed);
    }

    #[test]
    fn the_interrupt_character_signals_even_when_nobody_reads() {
        let mut bench = Bench::new();
        bench.console.set_intercept(true);
        bench.line.model().type_in(&[b'a', INTERRUPT, b'b']);
        bench.tick();
        assert_eq!(bench.interrupts, 1);
        let reply = bench.read(APP, 80);
        assert_eq!(bench.answers, [(reply, b"ab".to_vec())]);
    }

    #[test]
    fn frames_begin_with_the_byte_that_sessions_cannot_print() {
        assert_eq!(RECORD_SEPARATOR, xos_image::console::RECORD_SEPARATOR);
    }

    #[test]
    fn only_domains_of_the_system_description_make_frames() {
        let mut bench = Bench::new();
        bench.write(APP, b"\x1exos:prompt\n").unwrap();
        bench.write(MONITOR, b"\x1exos:prompt\n").unwrap();
        for _ in 0..10 {
            bench.tick();
        }
        assert_eq!(
            bench.line.model().printed,
            b"?xos:prompt\r\n\x1exos:prompt\r\n"
        );
    }

    #[test]
    fn a_session_may_write_whole_lines_for_the_log_and_no_other_frame() {
        let mut bench = Bench::new();
        for message in [
            &b"\x1exos:log one\n"[..],
            b"\x1exos:log two",
            b"\x1exos:log three\n\x1exos:prompt\n",
            b" \x1exos:log four\n",
        ] {
            bench.write(APP, message).unwrap();
        }
        for _ in 0..10 {
            bench.tick();
        }
        let printed = String::from_utf8_lossy(&bench.line.model().printed).into_owned();
        assert_eq!(
            printed,
            "\x1exos:log one\r\n?xos:log two?xos:log three\r\n?xos:prompt\r\n ?xos:log four\r\n"
        );
    }

    #[test]
    fn a_flush_is_answered_when_the_last_bit_has_left() {
        let mut bench = Bench::new();
        bench.write(APP, b"twenty bytes of text").unwrap();
        assert_eq!(
            bench.console.flush(&mut bench.line, APP),
            Ok(Progress::Wait)
        );
        bench.console.wait_to_flush(APP, 1).unwrap();
        bench.tick();
        assert_eq!(bench.answers, []);
        bench.tick();
        assert_eq!(bench.answers, [(1, b"flushed".to_vec())]);
        assert_eq!(
            bench.console.flush(&mut bench.line, APP),
            Ok(Progress::Done(0))
        );
    }

    #[test]
    fn a_message_that_is_too_long_is_refused() {
        let mut bench = Bench::new();
        assert!(bench.write(APP, &[0; MAX_BYTES + 1]).is_err());
    }

    proptest! {
        /// Clients print, read and leave while the device sends and somebody types, in any order.
        #[test]
        fn every_reply_comes_back_once_and_all_bytes_pass(
            steps in proptest::collection::vec((0u8..5, 0u32..4, 1usize..MAX_BYTES), 1..60),
        ) {
            let mut bench = Bench::new();
            let (mut printed, mut typed) = (0, 0);
            let mut issued = StdVec::new();
            for (step, client, size) in steps {
                let who = Who::Session(client);
                match step {
                    0 => match bench.write(who, &vec![b'x'; size]) {
                        Ok(reply) => {
                            printed += size;
                            issued.extend(reply);
                        }
                        Err(error) => prop_assert_eq!(error, xos_protocol::Error::TableFull),
                    },
                    1 if bench.console.input.may_wait(who).is_ok() => issued.push(bench.read(who, size)),
                    2 => {
                        typed += size % 32;
                        bench.line.model().type_in(&vec![b'y'; size % 32]);
                        while bench.deliver() {}
                    }
                    _ => bench.tick(),
                }
            }
            for _ in 0..printed.div_ceil(16) + 1 {
                bench.tick();
            }
            for client in 0..4 {
                let answers = &mut bench.answers;
                bench.console.forget(Who::Session(client), |reply, answer| note(answers, reply, answer));
            }
            let given: usize = bench.answers.iter().filter(|a| a.1.starts_with(b"y")).map(|a| a.1.len()).sum();
            let mut rest = vec![0; INPUT_QUEUE];
            let kept = bench.console.input.take(&mut rest);
            prop_assert_eq!(given + kept, typed);
            prop_assert_eq!(bench.line.model().printed.len(), printed);
            let mut replies: StdVec<u32> = bench.answers.iter().map(|a| a.0).collect();
            replies.sort_unstable();
            prop_assert_eq!(replies, issued);
        }
    }
}
