// SPDX-License-Identifier: BSD-2-Clause
//! How a terminal is set (termios(3)).

use linux_raw_sys::general::{
    B38400, CREAD, CS8, ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, HUPCL, ICANON, ICRNL, IEXTEN, ISIG,
    IUTF8, IXON, ONLCR, OPOST, VEOF, VERASE, VINTR, VKILL, VLNEXT, VMIN, VQUIT, VREPRINT, VSTART,
    VSTOP, VSUSP, VWERASE,
};

/// Bytes of Linux's `struct termios` of the `TCGETS` calls.
pub const BYTES: usize = 36;
/// Bytes of `struct termios2`.
pub const BYTES2: usize = 44;
/// Control characters in both.
pub const CHARACTERS: usize = 19;

/// Settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Termios {
    pub input: u32,
    pub output: u32,
    pub control: u32,
    pub local: u32,
    pub discipline: u8,
    pub characters: [u8; CHARACTERS],
    pub input_speed: u32,
    pub output_speed: u32,
}

impl Default for Termios {
    /// As Linux sets up a console, for UTF-8 (`tty_std_termios`).
    fn default() -> Self {
        let mut characters = [0; CHARACTERS];
        for (index, character) in [
            (VINTR, 0x03),
            (VQUIT, 0x1c),
            (VERASE, 0x7f),
            (VKILL, 0x15),
            (VEOF, 0x04),
            (VMIN, 1),
            (VSTART, 0x11),
            (VSTOP, 0x13),
            (VSUSP, 0x1a),
            (VREPRINT, 0x12),
            (linux_raw_sys::general::VDISCARD, 0x0f),
            (VWERASE, 0x17),
            (VLNEXT, 0x16),
        ] {
            characters[index as usize] = character;
        }
        Self {
            input: ICRNL | IXON | IUTF8,
            output: OPOST | ONLCR,
            control: B38400 | CS8 | CREAD | HUPCL,
            local: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
            discipline: 0,
            characters,
            input_speed: 38_400,
            output_speed: 38_400,
        }
    }
}

impl Termios {
    /// As Linux sets up a new pseudo-terminal.
    pub fn pseudo() -> Self {
        let mut settings = Self::default();
        settings.input &= !IUTF8;
        settings.control &= !HUPCL;
        settings
    }

    /// A control character; none if it is disabled (0).
    pub const fn character(&self, index: u32) -> Option<u8> {
        match self.characters[index as usize] {
            0 => None,
            character => Some(character),
        }
    }

    /// As programs have it.
    pub fn to_bytes(self) -> [u8; BYTES2] {
        let mut bytes = [0; BYTES2];
        for (index, word) in [self.input, self.output, self.control, self.local]
            .into_iter()
            .enumerate()
        {
            bytes[index * 4..][..4].copy_from_slice(&word.to_ne_bytes());
        }
        bytes[16] = self.discipline;
        bytes[17..36].copy_from_slice(&self.characters);
        bytes[36..40].copy_from_slice(&self.input_speed.to_ne_bytes());
        bytes[40..].copy_from_slice(&self.output_speed.to_ne_bytes());
        bytes
    }

    /// What a program sets, over what was set before. The short form has no speeds.
    pub fn from_bytes(self, bytes: &[u8]) -> Self {
        let word = |at: usize| {
            let word = bytes.get(at..at + 4)?;
            Some(u32::from_ne_bytes(word.try_into().ok()?))
        };
        let mut characters = self.characters;
        if let Some(new) = bytes.get(17..36) {
            characters.copy_from_slice(new);
        }
        Self {
            input: word(0).unwrap_or(self.input),
            output: word(4).unwrap_or(self.output),
            control: word(8).unwrap_or(self.control),
            local: word(12).unwrap_or(self.local),
            discipline: bytes.get(16).copied().unwrap_or(self.discipline),
            characters,
            input_speed: word(36).unwrap_or(self.input_speed),
            output_speed: word(40).unwrap_or(self.output_speed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_reads_and_sets_again_changes_nothing() {
        let settings = Termios::default();
        let bytes = settings.to_bytes();
        assert_eq!(settings.from_bytes(&bytes), settings);
        let mut other = settings;
        other.local = 0;
        other.characters[0] = 9;
        assert_eq!(other.from_bytes(&bytes[..BYTES]), settings);
    }
}
