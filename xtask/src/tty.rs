// SPDX-License-Identifier: BSD-2-Clause
//! The user's terminal, handed to the guest key by key.

use rustix::io::Result;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr,
};
use std::io::stdin;

/// Whether standard input is a terminal.
#[must_use]
pub fn is_terminal() -> bool {
    isatty(stdin())
}

/// Standard input in raw mode, until this is dropped: every key goes to the guest, Ctrl-C too.
/// Output processing stays on, so that a plain `\n` still begins a new line.
#[derive(Debug)]
pub struct RawTerminal(Termios);

impl RawTerminal {
    /// Switches raw mode on.
    pub fn enter() -> Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN);
        raw.input_modes
            .remove(InputModes::ICRNL | InputModes::INLCR | InputModes::IXON);
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to restore.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

/// Byte of Ctrl-A, the escape key, as in QEMU's own console.
const ESCAPE: u8 = 0x01;

/// Finds the escape sequences in what the user types: Ctrl-A x quits, Ctrl-A Ctrl-A sends one
/// Ctrl-A, Ctrl-A and any other key sends both.
#[derive(Debug, Default)]
pub struct EscapeKey {
    escaped: bool,
}

/// What a piece of typing comes to.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    /// For the guest.
    pub bytes: Vec<u8>,
    /// The user wants to leave; nothing after that counts.
    pub quit: bool,
}

impl EscapeKey {
    /// Takes what was typed.
    pub fn feed(&mut self, typed: &[u8]) -> Typed {
        let mut bytes = Vec::new();
        for &byte in typed {
            match (std::mem::take(&mut self.escaped), byte) {
                (true, b'x' | b'X') => return Typed { bytes, quit: true },
                (true, ESCAPE) => bytes.push(ESCAPE),
                (true, other) => bytes.extend([ESCAPE, other]),
                (false, ESCAPE) => self.escaped = true,
                (false, other) => bytes.push(other),
            }
        }
        Typed { bytes, quit: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut key = EscapeKey::default();
        let mut all = Vec::new();
        for piece in pieces {
            let Typed { bytes, quit } = key.feed(piece);
            all.extend(bytes);
            if quit {
                return (all, true);
            }
        }
        (all, false)
    }

    #[test]
    fn what_is_typed_goes_to_the_guest_control_keys_too() {
        assert_eq!(typed(&[b"ls\r\x03\x04"]), (b"ls\r\x03\x04".to_vec(), false));
    }

    #[test]
    fn the_escape_key_and_x_quit_even_in_two_pieces() {
        assert_eq!(typed(&[b"a\x01", b"xb"]), (b"a".to_vec(), true));
    }

    #[test]
    fn the_escape_key_twice_sends_it_once() {
        assert_eq!(typed(&[b"\x01\x01x"]), (b"\x01x".to_vec(), false));
    }

    #[test]
    fn the_escape_key_before_another_key_hides_nothing() {
        assert_eq!(typed(&[b"\x01b"]), (b"\x01b".to_vec(), false));
    }
}
