// SPDX-License-Identifier: BSD-2-Clause
//! The line discipline: what becomes of bytes that are typed, and of bytes that are written
//! (termios(3), "canonical and noncanonical mode").

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use linux_raw_sys::general::{
    ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHONL, ICANON, ICRNL, IEXTEN, IGNCR, IMAXBEL, INLCR,
    ISIG, ISTRIP, IUCLC, IUTF8, IXANY, IXON, NOFLSH, OCRNL, OLCUC, ONLCR, ONLRET, ONOCR, OPOST,
    SIGINT, SIGQUIT, SIGTSTP, TABDLY, VEOF, VEOL, VEOL2, VERASE, VINTR, VKILL, VLNEXT, VMIN, VQUIT,
    VREPRINT, VSTART, VSTOP, VSUSP, VWERASE, XTABS,
};

use super::termios::Termios;

/// Bytes that wait to be read, or are being edited, at most (`N_TTY_BUF_SIZE`), with one in reserve for
/// the end of a line.
const INPUT_MAX: usize = 4095;
/// Bytes that wait to be shown before writers have to wait.
pub const OUTPUT_MAX: usize = 16_384;

/// A byte that was typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Typed {
    Byte(u8),
    /// The byte that ends a line.
    Last(u8),
    /// The end of file character: ends a line without being in it.
    End,
}

/// Both directions of a terminal.
#[derive(Default, Debug)]
pub struct Line {
    /// How it is set.
    pub settings: Termios,
    /// What can be read.
    input: VecDeque<Typed>,
    /// Ends of lines in `input`.
    ends: usize,
    /// The line that is being edited.
    editing: Vec<u8>,
    literal: bool,
    /// What is to be shown.
    output: VecDeque<u8>,
    /// Output is held up by the stop character.
    pub stopped: bool,
    column: usize,
    /// Where the cursor was when editing began.
    first_column: usize,
}

impl Line {
    /// With nothing in it.
    pub fn new(settings: Termios) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// Takes in a byte that was typed. Gives the signal that it means for the foreground group.
    pub fn typed(&mut self, mut byte: u8) -> Option<u32> {
        let t = self.settings;
        let (iflag, lflag) = (t.input, t.local);
        let is = |index, byte| t.character(index) == Some(byte);
        if iflag & ISTRIP != 0 {
            byte &= 0x7f;
        }
        if iflag & IUCLC != 0 && lflag & IEXTEN != 0 {
            byte.make_ascii_lowercase();
        }
        if core::mem::take(&mut self.literal) {
            self.store(byte);
            return None;
        }
        if iflag & IXON != 0 {
            if is(VSTART, byte) {
                self.stopped = false;
                return None;
            }
            if is(VSTOP, byte) {
                self.stopped = true;
                return None;
            }
        }
        if lflag & ISIG != 0 {
            for (index, signal) in [(VINTR, SIGINT), (VQUIT, SIGQUIT), (VSUSP, SIGTSTP)] {
                if is(index, byte) {
                    if lflag & NOFLSH == 0 {
                        self.flush_input();
                        self.output.clear();
                    }
                    self.stopped &= iflag & IXON == 0;
                    self.echo(byte);
                    return Some(signal);
                }
            }
        }
        if self.stopped && iflag & IXON != 0 && iflag & IXANY != 0 {
            self.stopped = false;
        }
        match byte {
            b'\r' if iflag & IGNCR != 0 => return None,
            b'\r' if iflag & ICRNL != 0 => byte = b'\n',
            b'\n' if iflag & INLCR != 0 => byte = b'\r',
            _ => {}
        }
        if lflag & ICANON == 0 {
            if self.input.len() < INPUT_MAX {
                self.echo(byte);
                self.input.push_back(Typed::Byte(byte));
            }
            return None;
        }
        let extended = lflag & IEXTEN != 0;
        if is(VERASE, byte) {
            self.erase_character();
        } else if extended && is(VWERASE, byte) {
            self.erase_word();
        } else if is(VKILL, byte) {
            self.kill();
        } else if extended && is(VLNEXT, byte) {
            self.literal = true;
            if lflag & ECHO != 0 && lflag & ECHOCTL != 0 {
                self.show(b"^\x08");
            }
        } else if extended && lflag & ECHO != 0 && is(VREPRINT, byte) {
            self.echo(byte);
            self.show(b"\n");
            for byte in self.editing.clone() {
                self.echo(byte);
            }
        } else if is(VEOF, byte) {
            self.commit(Typed::End);
        } else if byte == b'\n' {
            if lflag & (ECHO | ECHONL) != 0 {
                self.show(b"\n");
            }
            self.commit(Typed::Last(byte));
        } else if is(VEOL, byte) || extended && is(VEOL2, byte) {
            self.echo(byte);
            self.commit(Typed::Last(byte));
        } else {
            self.store(byte);
        }
        None
    }

    /// Takes in a byte that means only itself.
    fn store(&mut self, byte: u8) {
        let canonical = self.settings.local & ICANON != 0;
        if self.editing.len() + self.input.len() >= INPUT_MAX {
            if self.settings.input & IMAXBEL != 0 {
                self.output.push_back(0x07);
            }
            return;
        }
        if !canonical {
            self.echo(byte);
            self.input.push_back(Typed::Byte(byte));
            return;
        }
        if self.editing.is_empty() {
            self.first_column = self.column;
        }
        self.echo(byte);
        self.editing.push(byte);
    }

    fn commit(&mut self, end: Typed) {
        self.input.extend(self.editing.drain(..).map(Typed::Byte));
        self.input.push_back(end);
        self.ends += 1;
    }

    /// Shows a byte that was typed, if that is wanted.
    fn echo(&mut self, byte: u8) {
        let lflag = self.settings.local;
        if lflag & ECHO == 0 {
            return;
        }
        if lflag & ECHOCTL != 0 && is_control(byte) && byte != b'\t' && byte != b'\n' {
            self.show(&[b'^', byte ^ 0x40]);
        } else {
            self.show(&[byte]);
        }
    }

    fn show(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            // What is echoed must not grow without bound when nobody takes it away.
            if self.output.len() < 2 * OUTPUT_MAX {
                self.process(byte);
            }
        }
    }

    /// Columns that the line up to `end` takes on the screen, from where it began.
    fn width(&self, end: usize) -> usize {
        let mut column = self.first_column;
        for &byte in &self.editing[..end] {
            column += match byte {
                b'\t' => 8 - column % 8,
                byte if is_control(byte) && self.settings.local & ECHOCTL != 0 => 2,
                byte if is_control(byte) || self.continues(byte) => 0,
                _ => 1,
            };
        }
        column
    }

    /// Whether a byte is part of the character before it.
    fn continues(&self, byte: u8) -> bool {
        self.settings.input & IUTF8 != 0 && byte & 0xc0 == 0x80
    }

    /// Takes bytes off the end of the line and off the screen.
    fn cut(&mut self, length: usize) {
        let (before, after) = (self.width(self.editing.len()), self.width(length));
        self.editing.truncate(length);
        if self.settings.local & ECHO == 0 {
            return;
        }
        if self.settings.local & ECHOE == 0 {
            if let Some(erase) = self.settings.character(VERASE) {
                self.echo(erase);
            }
            return;
        }
        for _ in after..before {
            self.show(b"\x08 \x08");
        }
    }

    fn last_character(&self) -> usize {
        let mut length = self.editing.len().saturating_sub(1);
        while length > 0 && self.continues(self.editing[length]) {
            length -= 1;
        }
        length
    }

    fn erase_character(&mut self) {
        if !self.editing.is_empty() {
            self.cut(self.last_character());
        }
    }

    fn erase_word(&mut self) {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        let mut length = self.editing.len();
        while length > 0 && !is_word(self.editing[length - 1]) {
            length -= 1;
        }
        while length > 0 && is_word(self.editing[length - 1]) {
            length -= 1;
        }
        if length < self.editing.len() {
            self.cut(length);
        }
    }

    fn kill(&mut self) {
        let lflag = self.settings.local;
        if lflag & ECHOKE != 0 && lflag & ECHOK != 0 && lflag & ECHOE != 0 {
            self.cut(0);
            return;
        }
        self.editing.clear();
        if lflag & ECHO != 0 {
            if let Some(kill) = self.settings.character(VKILL) {
                self.echo(kill);
            }
            if lflag & ECHOK != 0 {
                self.show(b"\n");
            }
        }
    }

    /// Bytes that `read` gives now for a buffer of `most`: a line, or part of it; `Some(0)` is the end
    /// of file, `None` that nothing is there yet.
    pub fn read(&mut self, most: usize) -> Option<Vec<u8>> {
        if self.settings.local & ICANON == 0 {
            if self.input.is_empty() {
                return None;
            }
            let count = most.min(self.input.len());
            let typed: Vec<_> = self.input.drain(..count).collect();
            self.ends -= typed
                .iter()
                .filter(|typed| !matches!(typed, Typed::Byte(_)))
                .count();
            return Some(typed.into_iter().map(as_byte).collect());
        }
        if self.ends == 0 {
            return None;
        }
        let mut bytes = Vec::new();
        while bytes.len() < most || self.input.front() == Some(&Typed::End) {
            match self.input.pop_front() {
                Some(Typed::Byte(byte)) => bytes.push(byte),
                Some(Typed::Last(byte)) => {
                    self.ends -= 1;
                    bytes.push(byte);
                    break;
                }
                Some(Typed::End) => {
                    self.ends -= 1;
                    break;
                }
                None => break,
            }
        }
        Some(bytes)
    }

    /// Bytes that can be read now.
    pub fn readable(&self) -> usize {
        if self.settings.local & ICANON == 0 {
            return self.input.len();
        }
        if self.ends == 0 {
            return 0;
        }
        let last = self
            .input
            .iter()
            .rposition(|typed| !matches!(typed, Typed::Byte(_)))
            .map_or(0, |at| at + 1);
        self.input
            .iter()
            .take(last)
            .filter(|typed| **typed != Typed::End)
            .count()
    }

    /// Whether a read would not wait.
    pub fn is_ready(&self) -> bool {
        if self.settings.local & ICANON != 0 {
            return self.ends > 0;
        }
        let least = match self.settings.characters[linux_raw_sys::general::VTIME as usize] {
            0 => usize::from(self.settings.characters[VMIN as usize]).max(1),
            _ => 1,
        };
        self.input.len() >= least
    }

    /// Changes the settings. What is being edited can be read when lines are no longer waited for.
    pub fn set(&mut self, settings: Termios) {
        let was_canonical = self.settings.local & ICANON != 0;
        self.settings = settings;
        if was_canonical && settings.local & ICANON == 0 {
            self.input.extend(self.editing.drain(..).map(Typed::Byte));
            self.literal = false;
        } else if !was_canonical
            && settings.local & ICANON != 0
            && let Some(last @ Typed::Byte(_)) = self.input.back_mut()
        {
            // What was typed before counts as a line.
            *last = Typed::Last(as_byte(*last));
            self.ends += 1;
        }
        if settings.input & IXON == 0 {
            self.stopped = false;
        }
    }

    /// Drops what was typed.
    pub fn flush_input(&mut self) {
        self.input.clear();
        self.editing.clear();
        self.ends = 0;
        self.literal = false;
    }

    /// Drops what was to be shown.
    pub fn flush_output(&mut self) {
        self.output.clear();
    }

    /// Takes in bytes that a program writes, as many as there is room for; gives how many.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        for (count, &byte) in bytes.iter().enumerate() {
            if self.output.len() >= OUTPUT_MAX {
                return count;
            }
            self.process(byte);
        }
        bytes.len()
    }

    /// Bytes that `write` would take.
    pub fn room(&self) -> usize {
        OUTPUT_MAX.saturating_sub(self.output.len())
    }

    /// Bytes that wait to be shown.
    pub fn shown(&self) -> usize {
        self.output.len()
    }

    fn process(&mut self, byte: u8) {
        let oflag = self.settings.output;
        if oflag & OPOST == 0 {
            self.output.push_back(byte);
            return;
        }
        match byte {
            b'\n' if oflag & ONLCR != 0 => {
                self.output.extend(b"\r\n");
                self.column = 0;
            }
            b'\n' => {
                if oflag & ONLRET != 0 {
                    self.column = 0;
                }
                self.output.push_back(byte);
            }
            b'\r' if oflag & ONOCR != 0 && self.column == 0 => {}
            b'\r' if oflag & OCRNL != 0 => self.output.push_back(b'\n'),
            b'\r' => {
                self.column = 0;
                self.output.push_back(byte);
            }
            b'\t' => {
                let spaces = 8 - self.column % 8;
                self.column += spaces;
                if oflag & TABDLY == XTABS {
                    self.output.extend(core::iter::repeat_n(b' ', spaces));
                } else {
                    self.output.push_back(byte);
                }
            }
            0x08 => {
                self.column = self.column.saturating_sub(1);
                self.output.push_back(byte);
            }
            byte => {
                let byte = if oflag & OLCUC != 0 {
                    byte.to_ascii_uppercase()
                } else {
                    byte
                };
                if !is_control(byte) && !self.continues(byte) {
                    self.column += 1;
                }
                self.output.push_back(byte);
            }
        }
    }

    /// Takes away what is to be shown, as much as `into` holds, unless output is stopped.
    pub fn take(&mut self, into: &mut [u8]) -> usize {
        if !self.has_output() {
            return 0;
        }
        let count = into.len().min(self.output.len());
        for (to, byte) in into.iter_mut().zip(self.output.drain(..count)) {
            *to = byte;
        }
        count
    }

    /// Whether there is something to show now.
    pub fn has_output(&self) -> bool {
        !self.stopped && !self.output.is_empty()
    }
}

const fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

fn as_byte(typed: Typed) -> u8 {
    match typed {
        Typed::Byte(byte) | Typed::Last(byte) => byte,
        Typed::End => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linux_raw_sys::general::{ONLCR, VTIME};
    use proptest::prelude::*;

    fn typed(line: &mut Line, bytes: &[u8]) -> Vec<u32> {
        bytes.iter().filter_map(|&byte| line.typed(byte)).collect()
    }

    fn shown(line: &mut Line) -> Vec<u8> {
        let mut bytes = alloc::vec![0; 100_000];
        let count = line.take(&mut bytes);
        bytes.truncate(count);
        bytes
    }

    /// A name, what is typed, what can be read then, what is shown.
    type Case = (&'static str, &'static [u8], &'static [u8], &'static [u8]);

    const TABLE: &[Case] = &[
        ("a line", b"ls\r", b"ls\n", b"ls\r\n"),
        ("no line yet", b"ls", b"", b"ls"),
        ("erase", b"lx\x7fs\n", b"ls\n", b"lx\x08 \x08s\r\n"),
        ("erase of nothing", b"\x7f\x7fa\n", b"a\n", b"a\r\n"),
        (
            "erase of a letter of two bytes",
            "ä\x7fb\n".as_bytes(),
            b"b\n",
            "ä\x08 \x08b\r\n".as_bytes(),
        ),
        (
            "erase of a tab",
            b"a\t\x7fb\n",
            b"ab\n",
            b"a\t\x08 \x08\x08 \x08\x08 \x08\x08 \x08\x08 \x08\x08 \x08\x08 \x08b\r\n",
        ),
        (
            "erase of a control character",
            b"\x01\x7f\n",
            b"\n",
            b"^A\x08 \x08\x08 \x08\r\n",
        ),
        (
            "erase of a word",
            b"a bc  \x17d\n",
            b"a d\n",
            b"a bc  \x08 \x08\x08 \x08\x08 \x08\x08 \x08d\r\n",
        ),
        (
            "kill",
            b"abc\x15d\n",
            b"d\n",
            b"abc\x08 \x08\x08 \x08\x08 \x08d\r\n",
        ),
        ("end of file in a line", b"ab\x04", b"ab", b"ab"),
        (
            "a literal interrupt",
            b"\x16\x03\n",
            b"\x03\n",
            b"^\x08^C\r\n",
        ),
        (
            "a literal end of line",
            b"a\x16\nb\n",
            b"a\nb\n",
            b"a^\x08\r\nb\r\n",
        ),
        ("reprint", b"ab\x12\n", b"ab\n", b"ab^R\r\nab\r\n"),
    ];

    #[test]
    fn canonical_input_is_edited_as_termios_says() {
        for (name, input, read, echo) in TABLE {
            let mut line = Line::default();
            assert_eq!(typed(&mut line, input), [], "{name}");
            let got = line.read(100).unwrap_or_default();
            assert_eq!((&got[..], &shown(&mut line)[..]), (*read, *echo), "{name}");
        }
    }

    #[test]
    fn control_characters_are_signals_that_drop_what_was_typed() {
        let mut line = Line::default();
        assert_eq!(typed(&mut line, b"abc\x03"), [SIGINT]);
        assert_eq!(typed(&mut line, b"d\x1a\x1c"), [SIGTSTP, SIGQUIT]);
        assert_eq!(line.readable(), 0);
        assert_eq!(shown(&mut line), b"^\\");
        line.settings.local |= NOFLSH;
        assert_eq!(typed(&mut line, b"x\x03y\n"), [SIGINT]);
        assert_eq!(line.read(10).as_deref(), Some(&b"xy\n"[..]));
        line.settings.local &= !ISIG;
        assert_eq!(typed(&mut line, b"\x03\n"), []);
        assert_eq!(line.read(10).as_deref(), Some(&b"\x03\n"[..]));
    }

    #[test]
    fn a_read_gives_one_line_and_a_small_one_part_of_it() {
        let mut line = Line::default();
        typed(&mut line, b"abc\nd\n\x04");
        assert_eq!(line.readable(), 6);
        assert_eq!(line.read(2).as_deref(), Some(&b"ab"[..]));
        assert_eq!(line.read(9).as_deref(), Some(&b"c\n"[..]));
        assert_eq!(line.read(9).as_deref(), Some(&b"d\n"[..]));
        assert_eq!(line.read(9).as_deref(), Some(&b""[..]));
        assert_eq!(line.read(9), None);
    }

    #[test]
    fn an_end_of_file_behind_a_read_that_took_the_whole_line_is_not_seen_again() {
        let mut line = Line::default();
        typed(&mut line, b"ab\x04");
        assert_eq!(line.read(2).as_deref(), Some(&b"ab"[..]));
        assert_eq!(line.read(2), None);
    }

    #[test]
    fn raw_input_comes_as_it_is_when_enough_is_there() {
        let mut line = Line::default();
        let mut raw = line.settings;
        raw.local = 0;
        raw.input = 0;
        raw.characters[VMIN as usize] = 3;
        line.set(raw);
        typed(&mut line, b"\x03\r");
        assert!(!line.is_ready());
        typed(&mut line, b"\x04");
        assert!(line.is_ready());
        assert_eq!(line.read(10).as_deref(), Some(&b"\x03\r\x04"[..]));
        assert_eq!(shown(&mut line), b"");
        raw.characters[VTIME as usize] = 1;
        line.set(raw);
        typed(&mut line, b"x");
        assert!(line.is_ready());
    }

    #[test]
    fn what_was_typed_is_not_lost_when_the_mode_changes() {
        let mut line = Line::default();
        typed(&mut line, b"ab");
        let cooked = line.settings;
        let mut raw = cooked;
        raw.local &= !ICANON;
        line.set(raw);
        assert_eq!(line.read(1).as_deref(), Some(&b"a"[..]));
        line.set(cooked);
        assert_eq!(line.read(9).as_deref(), Some(&b"b"[..]));
    }

    #[test]
    fn nothing_is_added_to_what_was_typed_when_the_mode_changes() {
        let mut line = Line::default();
        let cooked = line.settings;
        let mut raw = cooked;
        raw.local &= !ICANON;
        line.set(raw);
        typed(&mut line, b"4");
        line.set(cooked);
        typed(&mut line, b"2\r");
        line.set(raw);
        assert_eq!(line.read(9).as_deref(), Some(&b"42\n"[..]));
        assert_eq!(line.read(9), None);
    }

    #[test]
    fn output_is_processed_as_set() {
        let mut line = Line::default();
        line.write(b"a\nb");
        line.settings.output &= !ONLCR;
        line.write(b"\n");
        line.settings.output |= XTABS;
        line.write(b"\r12\tx");
        line.settings.output &= !OPOST;
        line.write(b"\t\n");
        assert_eq!(shown(&mut line), b"a\r\nb\n\r12      x\t\n");
    }

    #[test]
    fn the_stop_character_holds_output_up_and_nothing_grows_without_bound() {
        let mut line = Line::default();
        typed(&mut line, b"\x13");
        assert!(line.stopped);
        assert_eq!(line.write(&[b'x'; 2 * OUTPUT_MAX]), OUTPUT_MAX);
        assert_eq!(shown(&mut line), b"");
        for _ in 0..100_000 {
            typed(&mut line, b"y");
        }
        assert!(line.output.len() <= 2 * OUTPUT_MAX + 8);
        assert!(line.editing.len() <= INPUT_MAX);
        typed(&mut line, b"\n\x11");
        assert!(!line.stopped);
        assert_eq!(line.readable(), INPUT_MAX + 1);
    }

    proptest! {
        #[test]
        fn whatever_is_typed_and_set_counts_stay_right(
            steps in prop::collection::vec((0u8..8, any::<u8>(), any::<u16>()), 0..300),
        ) {
            let mut line = Line::default();
            for (what, byte, word) in steps {
                match what {
                    0 => {
                        let _ = line.read(usize::from(byte));
                    }
                    1 => {
                        let mut settings = line.settings;
                        settings.local = u32::from(word);
                        settings.input = u32::from(byte) << 4;
                        line.set(settings);
                    }
                    2 => {
                        line.write(&[byte; 40]);
                    }
                    3 => {
                        let _ = line.typed([0x7f, 0x17, 0x15, 0x04, b'\n', 0x16][usize::from(byte % 6)]);
                    }
                    _ => {
                        let _ = line.typed(byte);
                    }
                }
                let ends = line.input.iter().filter(|t| !matches!(t, Typed::Byte(_))).count();
                prop_assert_eq!(ends, line.ends);
                if line.is_ready() && line.settings.local & ICANON != 0 {
                    prop_assert!(line.ends > 0);
                }
            }
        }
    }
}
