// SPDX-License-Identifier: BSD-2-Clause
//! Whether a domain that crashed is started again.
//!
//! A domain that crashes once in a while is worth restarting for ever; one that crashes as soon as it
//! starts only burns the processor. The usual answer is to wait longer before each attempt, but the
//! root task must never wait: it is the one that everybody's rescue depends on, and it has no timer,
//! whose driver may be the one that crashed. So attempts are rationed instead: a domain that used up
//! [`LIMIT`] of them within [`WINDOW_SECONDS`] is not started again.

/// Restarts that a domain gets within the window.
pub const LIMIT: usize = 5;
/// The window, in seconds.
pub const WINDOW_SECONDS: u64 = 60;

/// What becomes of a domain that crashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is started again.
    Restart {
        /// Restarts within the window, this one included.
        attempt: usize,
    },
    /// It is not.
    GiveUp,
}

/// The restarts of one domain.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Times of the last restarts, oldest first; the first `count` are valid.
    times: [u64; LIMIT],
    count: usize,
}

impl History {
    /// Decides about a crash at time `now`, where `window` is the length of the window, both in
    /// ticks of the same clock, and remembers the restart, if it is one.
    pub fn crashed(&mut self, now: u64, window: u64) -> Verdict {
        let old = self.times[..self.count]
            .iter()
            .filter(|time| now.saturating_sub(**time) >= window)
            .count();
        self.times.copy_within(old..self.count, 0);
        self.count -= old;
        if self.count == LIMIT {
            return Verdict::GiveUp;
        }
        self.times[self.count] = now;
        self.count += 1;
        Verdict::Restart {
            attempt: self.count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_window_has_more_restarts_than_the_limit(
            gaps in prop::collection::vec(0u64..40, 1..60), window in 1u64..100
        ) {
            let mut history = History::default();
            let mut now = 0;
            let mut restarts = Vec::new();
            for gap in gaps {
                now += gap;
                let recent = restarts.iter().filter(|time| now - **time < window).count();
                match history.crashed(now, window) {
                    Verdict::Restart { attempt } => {
                        prop_assert_eq!(attempt, recent + 1);
                        restarts.push(now);
                    }
                    Verdict::GiveUp => prop_assert_eq!(recent, LIMIT),
                }
            }
        }
    }

    #[test]
    fn a_domain_that_crashes_rarely_is_always_restarted() {
        let mut history = History::default();
        for crash in 0..100 {
            assert!(matches!(
                history.crashed(crash * 20, 100),
                Verdict::Restart { .. }
            ));
        }
    }

    #[test]
    fn a_clock_that_goes_back_does_not_forgive() {
        let mut history = History::default();
        for now in (0..LIMIT as u64).rev() {
            history.crashed(now, 100);
        }
        assert_eq!(history.crashed(0, 100), Verdict::GiveUp);
    }
}
