// SPDX-License-Identifier: BSD-2-Clause
//! `clones`: what takes long is done once, by one process; what is done with it, by clones of it.
//!
//! The table says of each number whether it is prime. Each clone counts the primes in a part of it: it
//! has the table at once, and takes no memory for it.
//!
//! ```text
//! clones [COUNT]
//!
//!   COUNT   clones to make, 1 to 64; 4 if it is not given
//! ```
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

use core::ops::Range;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// How it is used.
pub const USAGE: &str = "usage: clones [COUNT]";
/// The first argument of the process that is cloned.
pub const MODEL: &str = "model";
/// Numbers in the table.
pub const LIMIT: usize = 1 << 20;

/// How many clones are wanted; `None` when that makes no sense.
pub fn parse<'a>(mut arguments: impl Iterator<Item = &'a str>) -> Option<usize> {
    let count = match arguments.next() {
        None => 4,
        Some(text) => text.parse().ok()?,
    };
    ((1..=64).contains(&count) && arguments.next().is_none()).then_some(count)
}

/// The part of the table that is clone `number`'s, of `count`.
pub fn part(number: usize, count: usize) -> Range<usize> {
    LIMIT * number / count..LIMIT * (number + 1) / count
}

/// A table of primes: a byte for each number, which is 1 for those that are not.
pub struct Table(pub [AtomicU8; LIMIT]);

impl Table {
    /// A table in which nothing is crossed out.
    pub const fn new() -> Self {
        Self([const { AtomicU8::new(0) }; LIMIT])
    }

    /// Crosses out what is no prime (Eratosthenes).
    pub fn prepare(&self) {
        for number in 0..2 {
            self.0[number].store(1, Relaxed);
        }
        for number in (2..).take_while(|n| n * n < LIMIT) {
            if self.0[number].load(Relaxed) == 0 {
                for multiple in (number * number..LIMIT).step_by(number) {
                    self.0[multiple].store(1, Relaxed);
                }
            }
        }
    }

    /// How many primes there are in a part of it.
    pub fn count(&self, part: Range<usize>) -> usize {
        let part = &self.0[part];
        part.iter().filter(|entry| entry.load(Relaxed) == 0).count()
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    static TABLE: Table = Table::new();

    #[test]
    fn primes_are_counted() {
        TABLE.prepare();
        // Known values of the prime-counting function.
        for (end, primes) in [(10, 4), (100, 25), (100_000, 9592), (LIMIT, 82_025)] {
            assert_eq!(TABLE.count(0..end), primes);
        }
    }

    #[test]
    fn a_count_that_makes_no_sense_is_refused() {
        let parse = |text: &'static str| parse(text.split_whitespace());
        assert_eq!((parse(""), parse("64")), (Some(4), Some(64)));
        for text in ["0", "65", "x", "-1", "1 2"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn parts_are_the_whole(count in 1usize..=64) {
            let mut end = 0;
            for number in 0..count {
                let part = part(number, count);
                prop_assert_eq!(part.start, end);
                end = part.end;
            }
            prop_assert_eq!(end, LIMIT);
        }
    }
}
