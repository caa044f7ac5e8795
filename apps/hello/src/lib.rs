// SPDX-License-Identifier: BSD-2-Clause
//! `hello`: says what it was started with, and ends with the code that it was told.
//!
//! It is the first program that anyone runs, and what tests run when they need one that can be
//! predicted to the byte: so it prints its arguments and its environment, and nothing that differs
//! from one run to the next.
//!
//! ```text
//! hello [--stand] [--thread] [--list] [--exit CODE] [--] [WORD...]
//!
//!   --stand       stands first, for good: its clones go on
//!   --thread      a thread does the work, and the main thread waits for it
//!   --list        each word on a line of its own, in quotes
//!   --exit CODE   ends with this code
//! ```
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

use core::fmt;

/// How it is used.
pub const USAGE: &str = "usage: hello [--stand] [--thread] [--list] [--exit CODE] [--] [WORD...]";
/// What a program ends with that was used wrongly.
pub const WRONG_USAGE: i32 = 2;

/// Why the arguments make no sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Misuse<'a> {
    /// An option that there is none of.
    #[error("there is no option `{0}`; put -- before words that begin with a hyphen")]
    Option(&'a str),
    /// An exit code that is no number.
    #[error("`{0}` is no exit code; it is a whole number of 32 bits")]
    Code(&'a str),
    /// Nothing behind `--exit`.
    #[error("--exit needs a code")]
    NoCode,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Greeting<W> {
    /// Whether clones do it.
    pub stand: bool,
    /// Whether a thread does it.
    pub thread: bool,
    /// What the program ends with.
    pub code: i32,
    /// Whether each word has a line of its own.
    list: bool,
    words: W,
}

impl<'a, W: Iterator<Item = &'a str> + Clone> Greeting<W> {
    /// Reads the arguments, of which the program's own name is not one.
    ///
    /// # Errors
    /// The first one that makes no sense.
    pub fn new(mut arguments: W) -> Result<Self, Misuse<'a>> {
        let mut greeting = Self {
            stand: false,
            thread: false,
            code: 0,
            list: false,
            words: arguments.clone(),
        };
        while let Some(argument) = arguments.next() {
            match argument {
                "--stand" => greeting.stand = true,
                "--thread" => greeting.thread = true,
                "--list" => greeting.list = true,
                "--exit" => {
                    let code = arguments.next().ok_or(Misuse::NoCode)?;
                    greeting.code = code.parse().map_err(|_| Misuse::Code(code))?;
                }
                "--" => {
                    greeting.words = arguments;
                    break;
                }
                option if option.starts_with('-') && option.len() > 1 => {
                    return Err(Misuse::Option(option));
                }
                _ => break,
            }
            greeting.words = arguments.clone();
        }
        Ok(greeting)
    }

    /// Says it: the words, then the environment.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn say<'e>(
        &self,
        environment: impl Iterator<Item = (&'e str, &'e str)>,
        out: &mut impl fmt::Write,
    ) -> fmt::Result {
        out.write_str("hello")?;
        for word in self.words.clone() {
            if self.list {
                write!(out, "\n  {word:?}")?;
            } else {
                write!(out, " {word}")?;
            }
        }
        out.write_str("\n")?;
        for (name, value) in environment {
            writeln!(out, "{name}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let greeting = Greeting::new(arguments.iter().copied()).unwrap();
        let mut text = String::new();
        greeting
            .say(environment.iter().copied(), &mut text)
            .unwrap();
        text
    }

    #[test]
    fn words_are_said_in_one_line_and_variables_behind_it() {
        assert_eq!(said(&["a", "b c"], &[]), "hello a b c\n");
        assert_eq!(said(&[], &[("A", "1"), ("B", "")]), "hello\nA=1\nB=\n");
    }

    #[test]
    fn in_a_list_words_with_blanks_can_be_told_apart() {
        assert_eq!(
            said(&["--list", "a", "b c", ""], &[]),
            "hello\n  \"a\"\n  \"b c\"\n  \"\"\n"
        );
    }

    #[test]
    fn options_end_where_words_begin() {
        let greeting = Greeting::new(["--exit", "-3", "--thread", "x", "--exit"].into_iter());
        let greeting = greeting.unwrap();
        assert_eq!((greeting.thread, greeting.code), (true, -3));
        assert_eq!(said(&["--thread", "x", "--list"], &[]), "hello x --list\n");
        assert_eq!(said(&["--", "--exit"], &[]), "hello --exit\n");
        assert_eq!(said(&["-"], &[]), "hello -\n");
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let misuse = |arguments: &[&'static str]| Greeting::new(arguments.iter().copied()).err();
        assert_eq!(misuse(&["--exit"]), Some(Misuse::NoCode));
        assert_eq!(misuse(&["--exit", "x"]), Some(Misuse::Code("x")));
        assert_eq!(
            misuse(&["--exit", "2147483648"]),
            Some(Misuse::Code("2147483648"))
        );
        assert_eq!(misuse(&["--loud"]), Some(Misuse::Option("--loud")));
    }

    proptest! {
        #[test]
        fn words_behind_two_hyphens_arrive_whatever_they_are(words in proptest::collection::vec("\\PC{0,9}", 0..9)) {
            let mut arguments = vec!["--"];
            arguments.extend(words.iter().map(String::as_str));
            let expected = words.iter().fold(String::from("hello"), |text, word| text + " " + word);
            prop_assert_eq!(said(&arguments, &[]), expected + "\n");
        }
    }
}
