// SPDX-License-Identifier: BSD-2-Clause
//! The real-time clock: the MC146818 that every PC has in its chip set (Motorola data sheet, 1988).

use time::{Date, Month, PrimitiveDateTime, Time};

/// Access to the clock's registers, through an index and a data port.
pub trait Cmos {
    /// Reads a register.
    fn read(&mut self, register: u8) -> u8;
}

const SECONDS: u8 = 0x00;
const MINUTES: u8 = 0x02;
const HOURS: u8 = 0x04;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
/// Not Motorola's: where PC firmware keeps the century.
const CENTURY: u8 = 0x32;

/// Status A: the registers are about to change.
const UPDATING: u8 = 1 << 7;
/// Status B: numbers are binary, not BCD.
const BINARY: u8 = 1 << 2;
/// Status B: hours count to 24.
const HOURS_24: u8 = 1 << 1;
/// Hours, when they count to 12.
const AFTERNOON: u8 = 1 << 7;

/// An update takes 2 ms at most, and is announced 244 us before; each attempt costs ten port accesses.
const ATTEMPTS: usize = 10_000;

/// What the registers say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Reading {
    seconds: u8,
    minutes: u8,
    hours: u8,
    day: u8,
    month: u8,
    year: u8,
    century: u8,
    status: u8,
}

impl Reading {
    fn take(cmos: &mut impl Cmos) -> Option<Self> {
        if cmos.read(STATUS_A) & UPDATING != 0 {
            return None;
        }
        Some(Self {
            seconds: cmos.read(SECONDS),
            minutes: cmos.read(MINUTES),
            hours: cmos.read(HOURS),
            day: cmos.read(DAY),
            month: cmos.read(MONTH),
            year: cmos.read(YEAR),
            century: cmos.read(CENTURY),
            status: cmos.read(STATUS_B),
        })
    }

    fn number(&self, value: u8) -> Option<u8> {
        if self.status & BINARY != 0 {
            return Some(value);
        }
        let (tens, ones) = (value >> 4, value & 15);
        (tens <= 9 && ones <= 9).then_some(10 * tens + ones)
    }

    /// Seconds since 1970-01-01, 00:00 UTC; `None` if the registers hold no date.
    fn unix(&self) -> Option<u64> {
        let hour = if self.status & HOURS_24 != 0 {
            self.number(self.hours)?
        } else {
            let hour = self.number(self.hours & !AFTERNOON)?;
            if !(1..=12).contains(&hour) {
                return None;
            }
            hour % 12 + if self.hours & AFTERNOON != 0 { 12 } else { 0 }
        };
        // Clocks without that register have anything there.
        let century = self.number(self.century);
        let century = century.filter(|c| (19..=29).contains(c)).unwrap_or(20);
        let year = i32::from(century) * 100 + i32::from(self.number(self.year)?);
        let month = Month::try_from(self.number(self.month)?).ok()?;
        let date = Date::from_calendar_date(year, month, self.number(self.day)?).ok()?;
        let (minutes, seconds) = (self.number(self.minutes)?, self.number(self.seconds)?);
        // A leap second is told as the second after it, which is what POSIX does.
        let leap = u64::from(seconds == 60);
        let time = Time::from_hms(hour, minutes, seconds - leap as u8).ok()?;
        let stamp = PrimitiveDateTime::new(date, time)
            .assume_utc()
            .unix_timestamp();
        u64::try_from(stamp).ok().map(|stamp| stamp + leap)
    }
}

/// Reads the date, as seconds since 1970-01-01, 00:00 UTC; right to a second. `None` if the clock has
/// none, or is never at rest.
///
/// It takes two readings that agree, since an update may fall between two registers.
pub fn read(cmos: &mut impl Cmos) -> Option<u64> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let reading = Reading::take(cmos);
        if reading.is_some() && reading == last {
            return reading.and_then(|r| r.unix());
        }
        last = reading;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bcd(value: u8) -> u8 {
        ((value / 10) << 4) | (value % 10)
    }

    /// The registers at a date, in one of the four formats.
    fn registers(stamp: u64, binary: bool, hours_24: bool) -> Reading {
        let date = time::OffsetDateTime::from_unix_timestamp(stamp as i64).unwrap();
        let number = |value: u8| if binary { value } else { bcd(value) };
        let hours = if hours_24 {
            number(date.hour())
        } else {
            let hour = (date.hour() + 11) % 12 + 1;
            number(hour) | if date.hour() >= 12 { AFTERNOON } else { 0 }
        };
        Reading {
            seconds: number(date.second()),
            minutes: number(date.minute()),
            hours,
            day: number(date.day()),
            month: number(date.month().into()),
            year: number((date.year() % 100) as u8),
            century: number((date.year() / 100) as u8),
            status: if binary { BINARY } else { 0 } | if hours_24 { HOURS_24 } else { 0 },
        }
    }

    /// Moves on by a second after every so many accesses.
    struct Clock {
        now: u64,
        accesses: u32,
        pace: u32,
    }

    impl Cmos for Clock {
        fn read(&mut self, register: u8) -> u8 {
            self.accesses += 1;
            if self.accesses.is_multiple_of(self.pace) {
                self.now += 1;
            }
            let all = registers(self.now, false, true);
            match register {
                SECONDS => all.seconds,
                MINUTES => all.minutes,
                HOURS => all.hours,
                DAY => all.day,
                MONTH => all.month,
                YEAR => all.year,
                CENTURY => all.century,
                STATUS_A => u8::from(self.accesses % self.pace == self.pace - 1) << 7,
                STATUS_B => all.status,
                _ => 0xff,
            }
        }
    }

    proptest! {
        #[test]
        fn a_date_is_read_in_every_format(stamp in 0u64..31_000_000_000, binary: bool, hours_24: bool) {
            prop_assert_eq!(registers(stamp, binary, hours_24).unix(), Some(stamp));
        }

        #[test]
        fn any_registers_are_a_date_or_none(bytes: [u8; 8]) {
            let [seconds, minutes, hours, day, month, year, century, status] = bytes;
            let _ = Reading { seconds, minutes, hours, day, month, year, century, status }.unix();
        }

        #[test]
        fn a_clock_that_moves_on_while_it_is_read_is_read_right(start in 0u64..4_000_000_000, pace in 19u32..60) {
            let mut clock = Clock { now: start, accesses: 0, pace };
            let seen = read(&mut clock).unwrap();
            prop_assert!((start..=clock.now).contains(&seen) && clock.now - seen <= 1);
        }
    }

    #[test]
    fn a_clock_without_a_century_is_in_this_one() {
        let mut reading = registers(1_767_225_600, false, true);
        reading.century = 0xff;
        assert_eq!(reading.unix(), Some(1_767_225_600));
    }

    #[test]
    fn a_clock_that_is_not_there_has_no_date() {
        struct Absent;
        impl Cmos for Absent {
            fn read(&mut self, _: u8) -> u8 {
                0xff
            }
        }
        assert_eq!(read(&mut Absent), None);
    }
}
