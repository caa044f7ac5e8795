// SPDX-License-Identifier: BSD-2-Clause
//! Between the counter's ticks and nanoseconds.

/// Femtoseconds in a nanosecond.
const FEMTO: u128 = 1_000_000;

/// How long a tick is. All arithmetic is in 128 bits and saturates: no input overflows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    /// Femtoseconds per tick, not zero.
    period: u32,
}

impl Clock {
    /// A clock of `period` femtoseconds per tick; `None` for zero.
    pub const fn new(period: u32) -> Option<Self> {
        if period == 0 {
            None
        } else {
            Some(Self { period })
        }
    }

    /// The time, in nanoseconds, that has passed for certain when the counter shows `ticks`: rounded down.
    pub fn nanoseconds(self, ticks: u64) -> u64 {
        let time = u128::from(ticks) * u128::from(self.period) / FEMTO;
        u64::try_from(time).unwrap_or(u64::MAX)
    }

    /// The first count at which [`nanoseconds`](Self::nanoseconds) is `time` or more.
    pub fn count_at(self, time: u64) -> u64 {
        let ticks = (u128::from(time) * FEMTO).div_ceil(u128::from(self.period));
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// The first count at which at least `time` nanoseconds have passed since the counter showed `now`.
    ///
    /// When `now` was read, the next tick may have been due already: hence one tick more than `time` has.
    pub fn count_after(self, now: u64, time: u64) -> u64 {
        now.saturating_add(self.count_at(time)).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_absolute_time_is_reached_at_its_count_and_not_before(period in 1u32.., time: u64) {
            let clock = Clock::new(period).unwrap();
            let count = clock.count_at(time);
            if count < u64::MAX {
                prop_assert!(clock.nanoseconds(count) >= time);
            }
            if count > 0 {
                prop_assert!(clock.nanoseconds(count - 1) < time);
            }
        }

        /// The counter is read anywhere within a tick; the time between that and the count's first
        /// instant is what a sleeper gets.
        #[test]
        fn a_sleep_is_never_short_and_at_most_two_ticks_long(
            period in 1u32..=100_000_000, now in 0..1u64 << 40, within in 0.0..1.0f64, time in 0..1u64 << 40,
        ) {
            let clock = Clock::new(period).unwrap();
            let count = clock.count_after(now, time);
            let tick = u128::from(period);
            let asked = u128::from(now) * tick + (within * period as f64) as u128;
            let slept = u128::from(count) * tick - asked;
            prop_assert!(slept >= u128::from(time) * FEMTO);
            prop_assert!(slept <= u128::from(time) * FEMTO + 2 * tick);
        }

        #[test]
        fn no_input_overflows(period in 1u32.., a: u64, b: u64) {
            let clock = Clock::new(period).unwrap();
            prop_assert!(clock.count_after(a, b) >= a);
            let _ = clock.nanoseconds(a);
        }
    }
}
