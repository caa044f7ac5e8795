// SPDX-License-Identifier: BSD-2-Clause
//! Printing on the console, line by line.
//!
//! A message to the console is printed in one piece, so a line that is sent in
//! one message is never torn apart by what others print. What does not end in a
//! newline waits for the rest of its line, or for [`flush`].

use core::fmt;

use xos_client::Console;
use xos_protocol::console::MAX_BYTES;
use xos_protocol::slots::ic;

use crate::cspace::OUTPUT_LOCK;
use crate::session::Cached;
use crate::{sync, tls};

use sel4_sync::{RawLazyNotificationMutex, lock_api};

/// Bytes that are collected at most: as many as one message carries.
const CAPACITY: usize = MAX_BYTES;

/// Collects text until a line is complete.
struct Lines<const N: usize> {
    bytes: heapless::Vec<u8, N>,
}

impl<const N: usize> Lines<N> {
    const fn new() -> Self {
        Self {
            bytes: heapless::Vec::new(),
        }
    }

    /// Adds text; what is complete, and what there is no more room for, goes to `out`.
    fn add(&mut self, text: &str, mut out: impl FnMut(&[u8])) {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let room = N - self.bytes.len();
            let (now, later) = rest.split_at(rest.len().min(room));
            // It fits: `now` is no longer than the room.
            let _ = self.bytes.extend_from_slice(now);
            rest = later;
            if self.bytes.is_full() {
                self.flush(&mut out);
            }
        }
        if let Some(end) = self.bytes.iter().rposition(|byte| *byte == b'\n') {
            out(&self.bytes[..=end]);
            self.bytes.drain(..=end);
        }
    }

    /// All that is there goes to `out`.
    fn flush(&mut self, mut out: impl FnMut(&[u8])) {
        if !self.bytes.is_empty() {
            out(&self.bytes);
            self.bytes.clear();
        }
    }
}

static CONSOLE: Cached = Cached::new("console");

static LINES: lock_api::Mutex<RawLazyNotificationMutex, Lines<CAPACITY>> =
    lock_api::Mutex::from_raw(
        RawLazyNotificationMutex::new(|| sync::fixed(OUTPUT_LOCK)),
        Lines::new(),
    );

/// Sends bytes. A program whose console is not there is silent: there is nobody to be told.
fn send(bytes: &[u8]) {
    let _ = CONSOLE.with(|endpoint| Console::new(endpoint).write(bytes));
}

struct Writer<'a>(&'a mut Lines<CAPACITY>);

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.add(text, send);
        Ok(())
    }
}

/// The body of [`print!`](crate::print).
#[doc(hidden)]
pub fn print(text: fmt::Arguments<'_>) {
    keep_last_words();
    // `Writer` never fails; a `Display` that does has printed what it could.
    let _ = fmt::write(&mut Writer(&mut LINES.lock()), text);
}

/// From now on, the message of a panic comes after what was printed before it. That of a thread is printed
/// here: a factory reads and logs the main thread's, and cannot read those of the others.
pub(crate) fn keep_last_words() {
    xos_runtime::panicking::set_printer(|words| {
        last_words(tls::own().exit == ic::ITSELF, words);
    });
}

fn last_words(in_main: bool, words: fmt::Arguments<'_>) {
    // Whoever holds the lock may be who panics.
    let Some(mut lines) = LINES.try_lock() else {
        return;
    };
    if !in_main {
        let mut writer = Writer(&mut lines);
        let _ = fmt::write(&mut writer, format_args!("thread {words}\n"));
    }
    lines.flush(send);
}

/// Sends what waits for the rest of its line.
pub fn flush() {
    LINES.lock().flush(send);
}

/// The same, unless another thread is printing: it will not be waited for.
pub(crate) fn flush_unless_busy() {
    if let Some(mut lines) = LINES.try_lock() {
        lines.flush(send);
    }
}

/// Prints like `std::print!`, on the console.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => ($crate::_private::print(::core::format_args!($($arg)*)));
}

/// Prints like `std::println!`, on the console.
#[macro_export]
macro_rules! println {
    () => ($crate::print!("\n"));
    ($($arg:tt)*) => ($crate::print!("{}\n", ::core::format_args!($($arg)*)));
}

/// Prints like `std::eprintln!`. There is one console, so it goes where [`println!`] goes.
#[macro_export]
macro_rules! eprintln {
    ($($arg:tt)*) => ($crate::println!($($arg)*));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn nothing_is_lost_or_reordered_and_every_message_fits(texts in proptest::collection::vec("[ab\n]{0,40}", 0..20)) {
            let mut lines = Lines::<16>::new();
            let mut sent = Vec::new();
            let mut out = |bytes: &[u8]| {
                assert!(!bytes.is_empty() && bytes.len() <= 16);
                sent.extend_from_slice(bytes);
            };
            for text in &texts {
                lines.add(text, &mut out);
            }
            lines.flush(&mut out);
            prop_assert_eq!(sent, texts.concat().into_bytes());
        }
    }

    #[test]
    fn a_line_is_one_message() {
        let mut lines = Lines::<16>::new();
        let mut sent = Vec::new();
        for text in ["ab", "c", "d\nef"] {
            lines.add(text, |bytes| sent.push(bytes.to_vec()));
        }
        assert_eq!(sent, [b"abcd\n".to_vec()]);
    }
}
