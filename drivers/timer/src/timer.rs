// SPDX-License-Identifier: BSD-2-Clause
//! The timer: the device and who waits for it.

use xos_protocol::{Result, Who};

use crate::hpet::{Hpet, Registers};
use crate::{Deadlines, Due};

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The time has come already.
    Done,
    /// The client has to wait: call [`Timer::wait_to_wake`] with this count and its reply.
    Wait(u64),
}

/// Device and deadlines. `R` stands for a reply that is due later; every one that is handed in comes
/// back exactly once.
pub struct Timer<'a, D: Registers, R> {
    hpet: Hpet<D>,
    /// Some 25 KiB, for which a driver's stack is no place.
    deadlines: &'a mut Deadlines<R>,
    /// Seconds since 1970 when the counter was at zero, in nanoseconds; 0 without a clock.
    epoch: u64,
}

impl<'a, D: Registers, R> Timer<'a, D, R> {
    /// `date` is what the real-time clock says now, in seconds since 1970-01-01.
    pub fn new(mut hpet: Hpet<D>, deadlines: &'a mut Deadlines<R>, date: Option<u64>) -> Self {
        let now = hpet.clock().nanoseconds(hpet.count());
        let date = date.map_or(0, |date| date.saturating_mul(NANOSECONDS));
        Self {
            hpet,
            deadlines,
            epoch: date.saturating_sub(now),
        }
    }

    /// Nanoseconds since the device's counter was started.
    pub fn now(&mut self) -> u64 {
        self.hpet.clock().nanoseconds(self.hpet.count())
    }

    /// Seconds since 1970-01-01 UTC, and nanoseconds. The real-time clock is read once and has no
    /// fractions: right to a second, and exactly in step with [`now`](Self::now) from then on.
    pub fn real_time(&mut self) -> (u64, u64) {
        let time = self.epoch.saturating_add(self.now());
        (time / NANOSECONDS, time % NANOSECONDS)
    }

    /// A client wants to sleep for `time` nanoseconds.
    pub fn sleep(&mut self, client: Who, time: u64) -> Result<Progress> {
        if time == 0 {
            return Ok(Progress::Done);
        }
        self.deadlines.may_sleep(client)?;
        let now = self.hpet.count();
        Ok(Progress::Wait(self.hpet.clock().count_after(now, time)))
    }

    /// Lets a client sleep, after [`sleep`](Self::sleep) has said [`Progress::Wait`].
    pub fn wait_to_wake(
        &mut self,
        client: Who,
        count: u64,
        reply: R,
    ) -> core::result::Result<(), R> {
        self.deadlines.sleep(client, count, reply)?;
        self.hpet.arm(self.deadlines.next());
        Ok(())
    }

    /// Sets the alarm of a client to an absolute time in nanoseconds; 0 cancels it.
    pub fn alarm(&mut self, client: Who, time: u64) -> Result<()> {
        let count = (time != 0).then(|| self.hpet.clock().count_at(time));
        self.deadlines.alarm(client, count)?;
        self.hpet.arm(self.deadlines.next());
        Ok(())
    }

    /// The interrupt has come. It has to be acknowledged at the kernel before, not after: the line is
    /// edge-triggered, and this sets the next deadline.
    pub fn interrupt(&mut self, mut due: impl FnMut(Due<R>)) {
        self.hpet.fired();
        let now = self.hpet.count();
        while let Some(one) = self.deadlines.due(now) {
            due(one);
        }
        self.hpet.arm(self.deadlines.next());
    }

    /// Cancels everything that a client waits for: its session has ended, or it was restarted.
    pub fn forget(&mut self, client: Who, mut gone: impl FnMut(R)) {
        while let Some(reply) = self.deadlines.forget(client) {
            gone(reply);
        }
        self.hpet.arm(self.deadlines.next());
    }
}

const NANOSECONDS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpet::model::Model;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn timer(deadlines: &mut Deadlines<usize>) -> Timer<'_, Model, usize> {
        let hpet = Hpet::start(Model::default(), 2).unwrap();
        Timer::new(hpet, deadlines, Some(1000))
    }

    /// Lets ticks pass one by one, with an interrupt whenever the device asks for it.
    fn pass(timer: &mut Timer<'_, Model, usize>, ticks: u64, mut due: impl FnMut(u64, Due<usize>)) {
        let until = timer.hpet.model().count + ticks;
        while timer.hpet.model().count < until {
            timer.hpet.model().pass(1);
            if core::mem::take(&mut timer.hpet.model().interrupts) > 0 {
                let now = timer.now();
                timer.interrupt(|one| due(now, one));
            }
        }
    }

    proptest! {
        #[test]
        fn sleepers_wake_by_interrupt_never_early_and_within_microseconds(
            times in proptest::collection::vec((0u64..20_000, 0u64..500), 1..30),
        ) {
            let mut deadlines = Deadlines::new();
        let mut timer = timer(&mut deadlines);
            let mut until = Vec::new();
            let mut woken = Vec::new();
            for (number, (time, pause)) in times.into_iter().enumerate() {
                let start = timer.now();
                let who = Who::Session(number as u32);
                match timer.sleep(who, time).unwrap() {
                    Progress::Done => woken.push((number, start)),
                    Progress::Wait(count) => timer.wait_to_wake(who, count, number).unwrap(),
                }
                until.push(start + time);
                pass(&mut timer, pause, |now, due| if let Due::Wake(number) = due { woken.push((number, now)) });
            }
            pass(&mut timer, 10_000, |now, due| if let Due::Wake(number) = due { woken.push((number, now)) });
            prop_assert_eq!(woken.len(), until.len());
            for (number, now) in woken {
                prop_assert!(now >= until[number], "early");
                prop_assert!(now < until[number] + 5_000, "{} ns late", now - until[number]);
            }
        }
    }

    #[test]
    fn an_alarm_signals_once_at_its_time() {
        let mut deadlines = Deadlines::new();
        let mut timer = timer(&mut deadlines);
        timer.alarm(Who::Channel(3), 50_000).unwrap();
        let mut signals = Vec::new();
        pass(&mut timer, 20_000, |now, due| signals.push((now, due)));
        assert_eq!(signals.len(), 1);
        assert!((50_000..55_000).contains(&signals[0].0));
        assert_eq!(signals[0].1, Due::Alarm(Who::Channel(3)));
    }

    #[test]
    fn who_has_gone_is_not_woken() {
        let mut deadlines = Deadlines::new();
        let mut timer = timer(&mut deadlines);
        let Ok(Progress::Wait(count)) = timer.sleep(Who::Session(1), 50_000) else {
            panic!("a sleep of 50 us is over at once");
        };
        timer.wait_to_wake(Who::Session(1), count, 7).unwrap();
        let mut gone = Vec::new();
        timer.forget(Who::Session(1), |reply| gone.push(reply));
        assert_eq!(gone, [7]);
        pass(&mut timer, 20_000, |_, due| {
            panic!("{due:?} after its client had gone")
        });
    }

    #[test]
    fn real_time_goes_on_from_the_date_of_the_clock() {
        let mut deadlines = Deadlines::new();
        let mut timer = timer(&mut deadlines);
        timer.hpet.model().pass(250_000_000);
        let (seconds, nanoseconds) = timer.real_time();
        assert_eq!(seconds, 1002);
        assert!((499_000_000..501_000_000).contains(&nanoseconds));
    }

    #[test]
    fn an_endless_sleep_does_not_overflow() {
        let mut deadlines = Deadlines::new();
        let mut timer = timer(&mut deadlines);
        let progress = timer.sleep(Who::Session(1), u64::MAX).unwrap();
        let Progress::Wait(count) = progress else {
            panic!("an endless sleep is over at once");
        };
        timer.wait_to_wake(Who::Session(1), count, 0).unwrap();
        pass(&mut timer, 1000, |_, due| panic!("{due:?}"));
    }
}
