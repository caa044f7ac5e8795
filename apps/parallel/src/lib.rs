// SPDX-License-Identifier: BSD-2-Clause
//! Work that threads share: counting primes.
//!
//! A [`Job`] is a range of numbers that is given out in pieces. Whoever is free takes the next piece, so
//! that nobody waits for the slowest; under a mutex, which is what the program shows. The answer does
//! not depend on who did what, so that it can be checked against a count by one alone.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

use core::ops::Range;

/// How it is used.
pub const USAGE: &str = "usage: parallel [THREADS [LIMIT]]\n\
    counts the primes below LIMIT (100000) on THREADS threads (4, at most 16)";
/// Threads that there can be: what a program's budget allows unless somebody asks for more.
pub const MAX_THREADS: u32 = 16;
/// The largest limit: what is counted in seconds, not hours.
pub const MAX_LIMIT: u32 = 10_000_000;
/// Numbers that are taken at a time.
pub const PIECE: u32 = 1000;

/// Reads the arguments, of which the program's own name is not one: threads and limit.
pub fn parse<'a>(mut arguments: impl Iterator<Item = &'a str>) -> Option<(u32, u32)> {
    let mut number = |default, most| match arguments.next() {
        None => Some(default),
        Some(text) => text.parse().ok().filter(|n| (1..=most).contains(n)),
    };
    let threads = number(4, MAX_THREADS)?;
    let limit = number(100_000, MAX_LIMIT)?;
    arguments.next().is_none().then_some((threads, limit))
}

/// What is left to be counted, and what was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    next: u32,
    limit: u32,
    found: u32,
}

impl Job {
    /// The primes below `limit` are to be counted.
    pub const fn new(limit: u32) -> Self {
        Self {
            next: 0,
            limit,
            found: 0,
        }
    }

    /// The next piece, if there is one.
    pub fn take(&mut self) -> Option<Range<u32>> {
        if self.next >= self.limit {
            return None;
        }
        let start = self.next;
        self.next = start.saturating_add(PIECE).min(self.limit);
        Some(start..self.next)
    }

    /// So many primes were in a piece.
    pub fn give(&mut self, found: u32) {
        self.found += found;
    }

    /// How many were found in all.
    pub const fn found(&self) -> u32 {
        self.found
    }
}

/// How many primes there are in a range: each number is divided by all that could divide it.
pub fn primes(range: Range<u32>) -> u32 {
    range.filter(|n| is_prime(*n)).count() as u32
}

fn is_prime(n: u32) -> bool {
    if n < 4 {
        return n > 1;
    }
    let root = n.isqrt();
    !n.is_multiple_of(2)
        && (3..=root)
            .step_by(2)
            .all(|divisor| !n.is_multiple_of(divisor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The number of primes below powers of ten (OEIS A006880).
    #[test]
    fn the_counts_are_those_of_the_tables() {
        for (limit, count) in [(0, 0), (2, 0), (3, 1), (10, 4), (100, 25), (1000, 168)] {
            assert_eq!(primes(0..limit), count, "below {limit}");
        }
        assert_eq!(primes(0..100_000), 9592);
    }

    #[test]
    fn arguments_out_of_range_make_no_sense() {
        let parsed = |line: &'static str| parse(line.split_whitespace());
        assert_eq!(parsed(""), Some((4, 100_000)));
        assert_eq!(parsed("2 50"), Some((2, 50)));
        for line in ["0", "17", "x", "1 0", "1 10000001", "1 2 3", "-1"] {
            assert_eq!(parsed(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn pieces_cover_all_numbers_once_and_end(limit in 0..100_000u32) {
            let mut job = Job::new(limit);
            let mut end = 0;
            while let Some(piece) = job.take() {
                prop_assert!(piece.start == end && !piece.is_empty());
                end = piece.end;
            }
            prop_assert_eq!(end, limit);
        }

        #[test]
        fn whoever_counts_which_piece_the_sum_is_the_same(limit in 0..20_000u32, turns: u64) {
            let mut job = Job::new(limit);
            // Two workers, of which the one that has its turn gives what it counted and takes more.
            let mut held = [0, 0];
            for turn in 0.. {
                let worker = &mut held[(turns >> (turn % 64) & 1) as usize];
                job.give(core::mem::take(worker));
                match job.take() {
                    Some(piece) => *worker = primes(piece),
                    None => break,
                }
            }
            held.into_iter().for_each(|found| job.give(found));
            prop_assert_eq!(job.found(), primes(0..limit));
        }
    }

    #[test]
    fn a_job_at_the_end_of_the_numbers_ends() {
        let mut job = Job::new(u32::MAX);
        job.next = u32::MAX - 1;
        assert_eq!(job.take(), Some(u32::MAX - 1..u32::MAX));
        assert_eq!(job.take(), None);
    }
}
