// SPDX-License-Identifier: BSD-2-Clause
//! The line editor: keys of a terminal to lines, with what the terminal has to show for it.
//!
//! It asks the terminal nothing, not even its width, since at the other end there may be a program
//! that feeds lines and answers no questions (the reason why no ready-made editor serves: they wait
//! for a cursor position report). A line that is longer than the screen scrolls sideways.
//!
//! Escape sequences are taken apart by `vte`; what keys mean is here.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Columns of the narrowest terminal that is served.
const WIDTH: usize = 80;
/// Most characters of a line; more are refused with the bell.
const LONGEST: usize = 1024;
/// Lines that are remembered.
const HISTORY: usize = 64;

/// What came of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A line is complete.
    Line(String),
    /// Ctrl-C: the line is given up.
    Interrupt,
    /// Ctrl-D on an empty line: there is no more.
    End,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Key {
    Char(char),
    Enter,
    Interrupt,
    /// Ctrl-D: the end on an empty line, else the delete key.
    End,
    Backspace,
    Delete,
    Left,
    Right,
    LineStart,
    LineEnd,
    WordLeft,
    WordRight,
    Up,
    Down,
    KillLine,
    KillToEnd,
    KillWord,
    Redraw,
}

/// Collects the keys that escape sequences stand for.
#[derive(Default)]
struct Keys {
    keys: VecDeque<Key>,
    /// `ESC O` has come: the next letter is a key (keypads in application mode).
    single_shift: bool,
    /// The last byte was a carriage return: a line feed right after it is part of it.
    returned: bool,
}

impl Keys {
    fn cursor(letter: char) -> Option<Key> {
        Some(match letter {
            'A' => Key::Up,
            'B' => Key::Down,
            'C' => Key::Right,
            'D' => Key::Left,
            'F' => Key::LineEnd,
            'H' => Key::LineStart,
            _ => return None,
        })
    }
}

impl vte::Perform for Keys {
    fn print(&mut self, c: char) {
        let key = if core::mem::take(&mut self.single_shift) {
            Self::cursor(c)
        } else if c == '\u{7f}' {
            Some(Key::Backspace)
        } else if c.is_control() {
            None
        } else {
            Some(Key::Char(c))
        };
        self.keys.extend(key);
    }

    fn execute(&mut self, byte: u8) {
        let returned = core::mem::replace(&mut self.returned, byte == b'\r');
        self.keys.extend(match byte {
            b'\n' if returned => None,
            b'\r' | b'\n' => Some(Key::Enter),
            0x01 => Some(Key::LineStart),
            0x02 => Some(Key::Left),
            0x03 => Some(Key::Interrupt),
            0x04 => Some(Key::End),
            0x05 => Some(Key::LineEnd),
            0x06 => Some(Key::Right),
            0x08 => Some(Key::Backspace),
            0x0b => Some(Key::KillToEnd),
            0x0c => Some(Key::Redraw),
            0x0e => Some(Key::Down),
            0x10 => Some(Key::Up),
            0x15 => Some(Key::KillLine),
            0x17 => Some(Key::KillWord),
            _ => None,
        });
    }

    fn csi_dispatch(&mut self, parameters: &vte::Params, _: &[u8], ignore: bool, action: char) {
        if ignore {
            return;
        }
        let mut numbers = parameters.iter().map(|p| p.first().copied().unwrap_or(0));
        let first = numbers.next().unwrap_or(0);
        // xterm: the second parameter is 1 + modifiers; 5 is Ctrl.
        let control = numbers.next() == Some(5);
        self.keys.extend(match (action, first) {
            ('C', _) if control => Some(Key::WordRight),
            ('D', _) if control => Some(Key::WordLeft),
            ('~', 1 | 7) => Some(Key::LineStart),
            ('~', 4 | 8) => Some(Key::LineEnd),
            ('~', 3) => Some(Key::Delete),
            (letter, _) => Self::cursor(letter),
        });
    }

    fn esc_dispatch(&mut self, _: &[u8], ignore: bool, byte: u8) {
        match byte {
            b'O' if !ignore => self.single_shift = true,
            b'b' => self.keys.push_back(Key::WordLeft),
            b'f' => self.keys.push_back(Key::WordRight),
            _ => {}
        }
    }
}

/// See the [module](self).
pub struct Editor {
    parser: vte::Parser<16>,
    keys: Keys,
    prompt: &'static str,
    line: Vec<char>,
    /// Characters before the cursor.
    cursor: usize,
    /// First character that is shown.
    left: usize,
    history: VecDeque<Vec<char>>,
    /// Which line of the history is shown, and the one that was being typed before.
    recalled: Option<(usize, Vec<char>)>,
}

impl Editor {
    /// An editor that shows `prompt` before each line.
    pub fn new(prompt: &'static str) -> Self {
        Self {
            parser: vte::Parser::default(),
            keys: Keys::default(),
            prompt,
            line: Vec::new(),
            cursor: 0,
            left: 0,
            history: VecDeque::new(),
            recalled: None,
        }
    }

    /// What to print when a new line begins.
    pub fn prompt(&self) -> &'static str {
        self.prompt
    }

    /// Takes a byte from the terminal. What the terminal is to show is added to `screen`.
    pub fn feed(&mut self, byte: u8, screen: &mut String) -> Option<Event> {
        if byte != b'\n' && byte != b'\r' {
            self.keys.returned = false;
        }
        // Delete, as terminals send it for the backspace key, is no control character to `vte`.
        self.parser.advance(&mut self.keys, &[byte]);
        let mut event = None;
        while let Some(key) = self.keys.keys.pop_front() {
            event = event.or(self.key(key, screen));
        }
        event
    }

    fn key(&mut self, key: Key, screen: &mut String) -> Option<Event> {
        match key {
            Key::Char(c) if self.line.len() < LONGEST => {
                self.line.insert(self.cursor, c);
                self.cursor += 1;
                // At the end of a line that fits, the terminal does by itself what is needed.
                if self.cursor == self.line.len() && self.cursor - self.left < self.room() {
                    screen.push(c);
                    return None;
                }
            }
            Key::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.line.remove(self.cursor);
            }
            Key::Delete if self.cursor < self.line.len() => {
                self.line.remove(self.cursor);
            }
            Key::End if self.line.is_empty() => {
                *screen += "\n";
                return Some(Event::End);
            }
            Key::End if self.cursor < self.line.len() => {
                self.line.remove(self.cursor);
            }
            Key::Left if self.cursor > 0 => self.cursor -= 1,
            Key::Right if self.cursor < self.line.len() => self.cursor += 1,
            Key::LineStart => self.cursor = 0,
            Key::LineEnd => self.cursor = self.line.len(),
            Key::WordLeft => self.cursor = self.word_left(),
            Key::WordRight => self.cursor = self.word_right(),
            Key::KillLine => {
                self.line.drain(..self.cursor);
                self.cursor = 0;
            }
            Key::KillToEnd => self.line.truncate(self.cursor),
            Key::KillWord => {
                let start = self.word_left();
                self.line.drain(start..self.cursor);
                self.cursor = start;
            }
            Key::Up => {
                if !self.recall(true) {
                    screen.push('\x07');
                    return None;
                }
            }
            Key::Down => {
                if !self.recall(false) {
                    screen.push('\x07');
                    return None;
                }
            }
            Key::Redraw => *screen += "\x1b[H\x1b[2J",
            Key::Enter => {
                self.cursor = self.line.len();
                let line: String = self.line.iter().collect();
                self.remember();
                self.reset();
                *screen += "\n";
                return Some(Event::Line(line));
            }
            Key::Interrupt => {
                self.reset();
                *screen += "^C\n";
                return Some(Event::Interrupt);
            }
            _ => {
                screen.push('\x07');
                return None;
            }
        }
        self.draw(screen);
        None
    }

    /// Characters of the line that fit on the screen, with a column left for the cursor behind the last.
    fn room(&self) -> usize {
        WIDTH - 1 - self.prompt.chars().count().min(WIDTH / 2)
    }

    /// Shows the line anew.
    fn draw(&mut self, screen: &mut String) {
        let room = self.room();
        if self.cursor < self.left {
            self.left = self.cursor;
        } else if self.cursor - self.left >= room {
            self.left = self.cursor + 1 - room;
        }
        if self.line.len() < room {
            self.left = 0;
        }
        let shown = self.line[self.left..].iter().take(room);
        *screen += "\r";
        *screen += self.prompt;
        screen.extend(shown);
        *screen += "\x1b[K\r";
        let column = self.prompt.chars().count() + self.cursor - self.left;
        if column > 0 {
            *screen += &format!("\x1b[{column}C");
        }
    }

    fn reset(&mut self) {
        self.line.clear();
        self.cursor = 0;
        self.left = 0;
        self.recalled = None;
    }

    fn remember(&mut self) {
        let blank = self.line.iter().all(|c| c.is_whitespace());
        if blank || self.history.back() == Some(&self.line) {
            return;
        }
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(self.line.clone());
    }

    /// Shows the line before (or after) the one that is shown; `false` if there is none.
    fn recall(&mut self, back: bool) -> bool {
        let (index, typed) = match (self.recalled.take(), back) {
            (None, false) => return false,
            (None, true) if self.history.is_empty() => return false,
            (None, true) => (self.history.len() - 1, core::mem::take(&mut self.line)),
            (Some((0, typed)), true) => {
                self.recalled = Some((0, typed));
                return false;
            }
            (Some((index, typed)), true) => (index - 1, typed),
            (Some((index, typed)), false) => (index + 1, typed),
        };
        match self.history.get(index) {
            Some(line) => {
                self.line = line.clone();
                self.recalled = Some((index, typed));
            }
            None => self.line = typed,
        }
        self.cursor = self.line.len();
        true
    }

    fn word_left(&self) -> usize {
        let before = &self.line[..self.cursor];
        let word = before.iter().rposition(|c| !c.is_whitespace());
        let start = word.and_then(|end| before[..end].iter().rposition(|c| c.is_whitespace()));
        match (word, start) {
            (None, _) | (_, None) => 0,
            (_, Some(blank)) => blank + 1,
        }
    }

    fn word_right(&self) -> usize {
        let after = &self.line[self.cursor..];
        let word = after.iter().position(|c| !c.is_whitespace());
        let end = word.and_then(|start| {
            let blank = after[start..].iter().position(|c| c.is_whitespace())?;
            Some(self.cursor + start + blank)
        });
        end.unwrap_or(self.line.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROMPT: &str = "xos> ";

    /// A terminal of 80 columns, one line high, that knows what the editor uses.
    #[derive(Default)]
    struct Screen {
        line: Vec<char>,
        column: usize,
    }

    impl vte::Perform for Screen {
        fn print(&mut self, c: char) {
            assert!(self.column < WIDTH, "the line wraps");
            self.line.resize(self.line.len().max(self.column + 1), ' ');
            self.line[self.column] = c;
            self.column += 1;
        }

        fn execute(&mut self, byte: u8) {
            match byte {
                b'\r' => self.column = 0,
                b'\n' => *self = Self::default(),
                _ => {}
            }
        }

        fn csi_dispatch(&mut self, parameters: &vte::Params, _: &[u8], _: bool, action: char) {
            let first = parameters.iter().next().map_or(0, |p| usize::from(p[0]));
            match action {
                'K' => self.line.truncate(self.column),
                'C' => self.column += first.max(1),
                'H' => self.column = 0,
                'J' => self.line.clear(),
                other => panic!("the terminal does not know {other}"),
            }
        }
    }

    struct Bench {
        editor: Editor,
        screen: Screen,
        parser: vte::Parser<16>,
        events: Vec<Event>,
    }

    impl Bench {
        fn new() -> Self {
            let mut bench = Self {
                editor: Editor::new(PROMPT),
                screen: Screen::default(),
                parser: vte::Parser::default(),
                events: Vec::new(),
            };
            bench.show(PROMPT);
            bench
        }

        fn show(&mut self, text: &str) {
            self.parser.advance(&mut self.screen, text.as_bytes());
        }

        fn type_in(&mut self, keys: impl AsRef<[u8]>) {
            for byte in keys.as_ref() {
                let mut screen = String::new();
                let event = self.editor.feed(*byte, &mut screen);
                self.show(&screen);
                if event.is_some() {
                    self.show(PROMPT);
                }
                self.events.extend(event);
            }
        }

        /// What the screen shows must be what the editor has.
        fn check(&self) {
            let editor = &self.editor;
            let shown: String = self.screen.line.iter().collect();
            let window: String = editor.line[editor.left..]
                .iter()
                .take(editor.room())
                .collect();
            assert_eq!(shown, format!("{PROMPT}{window}"));
            assert_eq!(
                self.screen.column,
                PROMPT.len() + editor.cursor - editor.left
            );
            assert!(editor.cursor <= editor.line.len());
        }
    }

    fn line(keys: impl AsRef<[u8]>) -> String {
        let mut bench = Bench::new();
        bench.type_in(keys);
        bench.check();
        bench.type_in("\r");
        match bench.events.last() {
            Some(Event::Line(line)) => line.clone(),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn the_screen_shows_the_line_whatever_is_typed(
            keys in proptest::collection::vec(
                prop_oneof![
                    6 => "[a-zé ]{1,30}".prop_map(|s| s.into_bytes()),
                    1 => proptest::sample::select(vec![
                        &b"\x1b[A"[..], b"\x1b[B", b"\x1b[C", b"\x1b[D", b"\x1b[H", b"\x1b[F", b"\x1bOH", b"\x1bOF",
                        b"\x1b[3~", b"\x1b[1~", b"\x1b[4~", b"\x1b[1;5C", b"\x1b[1;5D", b"\x7f", b"\x08", b"\x01",
                        b"\x05", b"\x0b", b"\x15", b"\x17", b"\x03", b"\r", b"\x0c", b"\x04",
                    ]).prop_map(<[u8]>::to_vec),
                ],
                0..60,
            ),
        ) {
            let mut bench = Bench::new();
            for key in keys {
                bench.type_in(key);
                bench.check();
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut editor = Editor::new(PROMPT);
            let mut screen = String::new();
            for byte in bytes {
                let _ = editor.feed(byte, &mut screen);
            }
        }

        #[test]
        fn what_is_typed_plainly_is_the_line(text in "[^\\x00-\\x1f\\x7f-\\x9f]{0,200}") {
            prop_assert_eq!(line(&text), text);
        }
    }

    #[test]
    fn keys_move_and_delete() {
        for (keys, expected) in [
            ("helo\x1b[Dl", "hello"),
            ("ello\x1b[Hh", "hello"),
            ("ello\x01h\x05!", "hello!"),
            ("hellox\x7f", "hello"),
            ("hxello\x1b[1~\x1b[C\x1b[3~", "hello"),
            ("hxello\x1bOH\x1b[C\x04", "hello"),
            ("rubbish\x15hello", "hello"),
            ("hello world\x1b[1;5D\x0b\x7f", "hello"),
            ("hello big world\x17\x17world", "hello world"),
            ("big world\x1bb\x1bbhello \x1bf\x0b", "hello big"),
        ] {
            assert_eq!(line(keys), expected, "{keys:?}");
        }
    }

    #[test]
    fn history_goes_back_and_comes_forward_again() {
        let mut bench = Bench::new();
        bench.type_in("one\rtwo\rtwo\r \rthr\x1b[A\x1b[A");
        assert_eq!(bench.editor.line, ['o', 'n', 'e']);
        bench.type_in("\x1b[A\x1b[B\x1b[B");
        assert_eq!(bench.editor.line, ['t', 'h', 'r']);
        bench.check();
    }

    #[test]
    fn one_end_of_line_of_any_kind_is_one_line() {
        for keys in ["a\rb\r", "a\nb\n", "a\r\nb\r\n"] {
            let mut bench = Bench::new();
            bench.type_in(keys);
            let expected = ["a", "b"].map(|line| Event::Line(line.into()));
            assert_eq!(bench.events, expected, "{keys:?}");
        }
    }

    #[test]
    fn ctrl_c_gives_up_the_line_and_ctrl_d_on_an_empty_one_is_the_end() {
        let mut bench = Bench::new();
        bench.type_in("abc\x03\x04");
        assert_eq!(bench.events, [Event::Interrupt, Event::End]);
    }

    #[test]
    fn a_line_without_end_is_refused_with_the_bell() {
        assert_eq!(line("x".repeat(LONGEST + 10)).len(), LONGEST);
    }
}
