// SPDX-License-Identifier: BSD-2-Clause
//! Whether, and when, a domain that crashed is started again.
//!
//! A domain that crashes once in a while is worth restarting for ever, at once; one that crashes as soon
//! as it starts only burns the processor. So [`AT_ONCE`] restarts in a row are at once. Before each that
//! follows, the domain rests, twice as long as before the last one; its callers get an error meanwhile.
//! When [`LIMIT`] restarts in a row were in vain, there are no more. A domain that ran for [`CALM_SECONDS`] begins
//! anew.
//!
//! The root task itself must never wait: it is the one that everybody's rescue depends on. Nor has it
//! a timer, whose driver may be the one that crashed. Who rests watches the clock itself: see
//! [`Start::Resting`](crate::supervise::Start::Resting).

/// Restarts in a row that are at once.
pub const AT_ONCE: u32 = 5;
/// Restarts in a row.
pub const LIMIT: u32 = AT_ONCE + 6;
/// The first rest, in seconds; each that follows is twice as long: 1, 2, 4, 8, 16, 32.
pub const FIRST_REST_SECONDS: u64 = 1;
/// Restarts are in a row if the domain ran for less than this, in seconds, after each.
pub const CALM_SECONDS: u64 = 60;

/// What becomes of a domain that crashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is started again.
    Restart {
        /// Restarts in a row, this one included.
        attempt: u32,
        /// After so many seconds; 0 for at once.
        rest: u64,
    },
    /// It is not.
    GiveUp,
}

/// The restarts of one domain.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// When it began to run the last time.
    started: u64,
    /// Restarts in a row.
    attempts: u32,
}

impl History {
    /// Decides about a crash at time `now`, where `second` is the length of a second, both in ticks of
    /// the same clock, and remembers the restart, if it is one.
    pub fn crashed(&mut self, now: u64, second: u64) -> Verdict {
        let ran = now.saturating_sub(self.started);
        if ran >= CALM_SECONDS.saturating_mul(second) {
            self.attempts = 0;
        }
        if self.attempts == LIMIT {
            return Verdict::GiveUp;
        }
        self.attempts += 1;
        let attempt = self.attempts;
        let rest = match attempt.checked_sub(AT_ONCE + 1) {
            Some(doubled) => FIRST_REST_SECONDS << doubled,
            None => 0,
        };
        self.started = now.saturating_add(rest.saturating_mul(second));
        Verdict::Restart { attempt, rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1000;

    /// What becomes of a domain that crashes when it has run for so long.
    fn after(runs: impl IntoIterator<Item = u64>) -> Vec<Verdict> {
        let mut history = History::default();
        let mut now = 0;
        let crash = |run| {
            now += run;
            let verdict = history.crashed(now, SECOND);
            if let Verdict::Restart { rest, .. } = verdict {
                now += rest * SECOND;
            }
            verdict
        };
        runs.into_iter().map(crash).collect()
    }

    fn rests(verdicts: &[Verdict]) -> Vec<Option<u64>> {
        let rest = |verdict: &Verdict| match verdict {
            Verdict::Restart { rest, .. } => Some(*rest),
            Verdict::GiveUp => None,
        };
        verdicts.iter().map(rest).collect()
    }

    #[test]
    fn a_domain_that_keeps_crashing_rests_longer_and_longer_and_is_given_up() {
        let expected = [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32].map(Some);
        let verdicts = after([5; LIMIT as usize + 2]);
        assert_eq!(rests(&verdicts[..LIMIT as usize]), expected);
        assert_eq!(verdicts[LIMIT as usize..], [Verdict::GiveUp; 2]);
    }

    #[test]
    fn a_domain_that_crashes_rarely_is_always_restarted_at_once() {
        let verdicts = after([CALM_SECONDS * SECOND; 100]);
        let first = Verdict::Restart {
            attempt: 1,
            rest: 0,
        };
        assert_eq!(verdicts, [first; 100]);
    }

    #[test]
    fn a_rest_is_no_time_in_which_a_domain_has_run() {
        // The last rest alone is longer than half of what makes a domain calm.
        let run = (CALM_SECONDS - 31) * SECOND;
        let verdicts = after([run; LIMIT as usize + 1]);
        assert_eq!(verdicts.last(), Some(&Verdict::GiveUp));
    }

    #[test]
    fn a_clock_that_goes_back_does_not_forgive() {
        let mut history = History::default();
        for now in (0..LIMIT as u64).rev() {
            history.crashed(now, SECOND);
        }
        assert_eq!(history.crashed(0, SECOND), Verdict::GiveUp);
    }

    proptest! {
        #[test]
        fn attempts_count_up_until_the_domain_was_calm(
            runs in prop::collection::vec(0u64..2 * CALM_SECONDS * SECOND, 1..60)
        ) {
            let mut row = 0;
            for (run, verdict) in runs.iter().zip(after(runs.clone())) {
                if *run >= CALM_SECONDS * SECOND {
                    row = 0;
                }
                match verdict {
                    Verdict::Restart { attempt, .. } => {
                        row += 1;
                        prop_assert_eq!(attempt, row);
                    }
                    Verdict::GiveUp => {
                        // It never crashes again.
                        prop_assert_eq!(row, LIMIT);
                        break;
                    }
                }
            }
        }
    }
}
