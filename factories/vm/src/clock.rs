// SPDX-License-Identifier: BSD-2-Clause
//! Time at the price of an instruction: what the timer driver says, carried on by the processor's cycles.

/// Cycles in which the ratio of the two is learned.
const LEARNED: u64 = 1 << 21;
/// Cycles after which the driver is asked again.
const TRUSTED: u64 = 1 << 26;

/// A clock. It never goes backwards.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// What the driver said first, and the cycles then.
    start: Option<(u64, u64)>,
    /// What it said last, and the cycles then.
    base: (u64, u64),
    /// Nanoseconds of a cycle, times 2^32; 0 while that is not known.
    rate: u64,
    last: u64,
}

impl Clock {
    /// Nanoseconds, by a count of cycles and a driver.
    pub fn now(&mut self, cycles: u64, driver: impl FnOnce() -> u64) -> u64 {
        let since = cycles.saturating_sub(self.base.1);
        let value = if self.rate != 0 && since < TRUSTED {
            // 2^26 cycles of at most 2^6 nanoseconds each.
            self.base.0.saturating_add((since * self.rate) >> 32)
        } else {
            let time = driver();
            self.learn(cycles, time);
            time
        };
        self.last = self.last.max(value);
        self.last
    }

    fn learn(&mut self, cycles: u64, time: u64) {
        self.base = (time, cycles);
        let (first, begun) = *self.start.get_or_insert((time, cycles));
        let (passed, counted) = (time.saturating_sub(first), cycles.saturating_sub(begun));
        if counted >= LEARNED {
            let rate = (u128::from(passed) << 32) / u128::from(counted);
            // A clock that slow is none: it is asked every time.
            self.rate = u64::try_from(rate).unwrap_or(0);
            if self.rate >= 1 << 38 {
                self.rate = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_driver_is_asked_until_the_cycles_are_known_and_then_seldom() {
        let mut clock = Clock::default();
        let mut asked = 0;
        for cycles in (0..TRUSTED).step_by(1 << 16) {
            let now = clock.now(cycles, || {
                asked += 1;
                cycles * 20
            });
            assert_eq!(now, cycles * 20);
        }
        assert!(asked <= (LEARNED >> 16) + 1, "asked {asked} times");
    }

    proptest! {
        #[test]
        fn it_never_goes_backwards_whatever_it_is_told(
            steps in proptest::collection::vec((any::<u64>(), any::<u64>()), 1..50),
        ) {
            let (mut clock, mut last) = (Clock::default(), 0);
            for (cycles, time) in steps {
                let now = clock.now(cycles, || time);
                prop_assert!(now >= last);
                last = now;
            }
        }
    }
}
