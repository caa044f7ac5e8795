// SPDX-License-Identifier: BSD-2-Clause
//! The interval timer of a PC: Intel 8254, three counters at 1,193,182 Hz, and the port (0x61) through
//! which the third is switched and seen.
//!
//! A counter is a start time and a length: nothing is counted, and what its value or its output is at a
//! given time is computed when somebody asks.

/// Ticks in a second.
pub const HERTZ: u64 = 1_193_182;
const SECOND: u64 = 1_000_000_000;

/// Ticks in so many nanoseconds.
const fn ticks(nanoseconds: u64) -> u64 {
    (nanoseconds as u128 * HERTZ as u128 / SECOND as u128) as u64
}

/// The first nanosecond at which so many ticks are over.
const fn nanoseconds(ticks: u64) -> u64 {
    (ticks as u128 * SECOND as u128).div_ceil(HERTZ as u128) as u64
}

/// Which bytes of a count are transferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Access {
    Low,
    High,
    #[default]
    Both,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counter {
    mode: u8,
    bcd: bool,
    access: Access,
    /// Ticks of one round, 1 to 65,536; 0 until a count is written.
    length: u32,
    /// When it was loaded, in nanoseconds.
    since: u64,
    /// The low byte of a count of which the high one is to come.
    low: Option<u8>,
    latched: Option<u16>,
    status: Option<u8>,
    /// Whether the next byte read is the high one.
    high_next: bool,
    /// Whether its gate is closed: a count stands still.
    closed: bool,
    /// Rounds whose end has been told.
    told: u64,
}

impl Counter {
    const fn is_periodic(&self) -> bool {
        matches!(self.mode, 2 | 3)
    }

    const fn elapsed(&self, now: u64) -> u64 {
        match self.closed {
            true => 0,
            false => ticks(now.saturating_sub(self.since)),
        }
    }

    /// Ends of rounds until now.
    const fn rounds(&self, now: u64) -> u64 {
        if self.length == 0 {
            return 0;
        }
        let rounds = self.elapsed(now) / self.length as u64;
        match self.is_periodic() || rounds == 0 {
            true => rounds,
            false => 1,
        }
    }

    fn value(&self, now: u64) -> u16 {
        let length = u64::from(self.length.max(1));
        let elapsed = self.elapsed(now);
        let left = match self.mode {
            2 => length - elapsed % length,
            // It counts by two, twice in a round.
            3 => (length - elapsed * 2 % length) & !1,
            _ => (length + 0x1_0000 - elapsed % 0x1_0000) % 0x1_0000,
        };
        match self.bcd {
            true => to_bcd(left % 10_000),
            false => left as u16,
        }
    }

    fn output(&self, now: u64) -> bool {
        let length = u64::from(self.length.max(1));
        let elapsed = self.elapsed(now);
        match self.mode {
            0 | 1 => self.length != 0 && elapsed >= length,
            2 => elapsed % length != length - 1,
            3 => elapsed % length < length.div_ceil(2),
            _ => elapsed != length,
        }
    }

    fn load(&mut self, count: u16, now: u64) {
        let count = match self.bcd {
            true => from_bcd(count),
            false => count.into(),
        };
        self.length = match (count, self.bcd) {
            (0, true) => 10_000,
            (0, false) => 0x1_0000,
            // A round of one tick is not possible where it repeats.
            (1, _) if self.is_periodic() => 2,
            (count, _) => count,
        };
        self.since = now;
        self.told = 0;
    }

    fn write(&mut self, value: u8, now: u64) {
        let high = u16::from(value) << 8;
        match (self.access, self.low.take()) {
            (Access::Low, _) => self.load(value.into(), now),
            (Access::High, _) => self.load(high, now),
            (Access::Both, None) => self.low = Some(value),
            (Access::Both, Some(low)) => self.load(high | u16::from(low), now),
        }
    }

    fn read(&mut self, now: u64) -> u8 {
        if let Some(status) = self.status.take() {
            return status;
        }
        let value = self.latched.unwrap_or_else(|| self.value(now));
        let [low, high] = value.to_le_bytes();
        match self.access {
            Access::Both => {
                let byte = if self.high_next { high } else { low };
                if self.high_next {
                    self.latched = None;
                }
                self.high_next = !self.high_next;
                byte
            }
            access => {
                self.latched = None;
                if access == Access::Low { low } else { high }
            }
        }
    }

    fn latch(&mut self, now: u64) {
        let value = self.value(now);
        self.latched.get_or_insert(value);
    }

    fn latch_status(&mut self, now: u64) {
        let access = match self.access {
            Access::Low => 1,
            Access::High => 2,
            Access::Both => 3,
        };
        let status = u8::from(self.output(now)) << 7
            | u8::from(self.length == 0) << 6
            | access << 4
            | self.mode << 1
            | u8::from(self.bcd);
        self.status.get_or_insert(status);
    }
}

/// Four decimal digits.
fn to_bcd(value: u64) -> u16 {
    (0..4).fold(0, |digits, place| {
        digits | ((value / 10u64.pow(place) % 10) as u16) << (4 * place)
    })
}

fn from_bcd(digits: u16) -> u32 {
    (0..4).fold(0, |value, place| {
        value + u32::from(digits >> (4 * place) & 15).min(9) * 10u32.pow(place)
    })
}

/// The timer. All times are nanoseconds of one clock that never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pit {
    counters: [Counter; 3],
    /// The bits of port 0x61 that can be written.
    control: u8,
}

impl Pit {
    /// Ends of rounds of counter 0 that nobody has been told of: each is an interrupt. No more than `most`
    /// are remembered.
    pub fn due(&mut self, now: u64, most: u64) -> u64 {
        let counter = &mut self.counters[0];
        let rounds = counter.rounds(now);
        counter.told = counter.told.max(rounds.saturating_sub(most));
        rounds - counter.told
    }

    /// One of those that are due has been told.
    pub const fn tell(&mut self) {
        self.counters[0].told += 1;
    }

    /// When the next interrupt is due, if ever.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        let counter = &self.counters[0];
        if counter.length == 0 || (!counter.is_periodic() && counter.told != 0) {
            return None;
        }
        let ticks = (counter.told + 1).saturating_mul(counter.length.into());
        Some(counter.since.saturating_add(nanoseconds(ticks)))
    }

    /// Reads a port, if it is one of the timer's.
    pub fn read(&mut self, port: u16, now: u64) -> Option<u8> {
        match port {
            0x40..=0x42 => Some(self.counters[usize::from(port - 0x40)].read(now)),
            0x43 => Some(0xff),
            // Bit 4 changes with every refresh of memory, each 15 microseconds.
            0x61 => Some(
                self.control
                    | u8::from(self.counters[2].output(now)) << 5
                    | (((now / 15_085) & 1) as u8) << 4,
            ),
            _ => None,
        }
    }

    /// Writes to a port: whether it is one of the timer's.
    pub fn write(&mut self, port: u16, value: u8, now: u64) -> bool {
        match port {
            0x40..=0x42 => self.counters[usize::from(port - 0x40)].write(value, now),
            0x43 => self.command(value, now),
            0x61 => {
                let opens = value & 1 != 0;
                let counter = &mut self.counters[2];
                if opens && counter.closed {
                    counter.since = now;
                    counter.told = 0;
                }
                counter.closed = !opens;
                self.control = value & 0x0f;
            }
            _ => return false,
        }
        true
    }

    fn command(&mut self, value: u8, now: u64) {
        let which = usize::from(value >> 6);
        let Some(counter) = self.counters.get_mut(which) else {
            // Read back: bits 1 to 3 choose counters, what is 0 of bits 4 and 5 is latched.
            for (number, counter) in self.counters.iter_mut().enumerate() {
                if value & 2 << number != 0 {
                    if value & 0x20 == 0 {
                        counter.latch(now);
                    }
                    if value & 0x10 == 0 {
                        counter.latch_status(now);
                    }
                }
            }
            return;
        };
        let access = match value >> 4 & 3 {
            0 => return counter.latch(now),
            1 => Access::Low,
            2 => Access::High,
            _ => Access::Both,
        };
        let mode = value >> 1 & 7;
        *counter = Counter {
            // 6 and 7 are 2 and 3.
            mode: if mode > 5 { mode - 4 } else { mode },
            bcd: value & 1 != 0,
            access,
            closed: counter.closed,
            ..Counter::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn periodic(count: u16) -> Pit {
        let mut pit = Pit::default();
        pit.write(0x43, 0x34, 0);
        for byte in count.to_le_bytes() {
            pit.write(0x40, byte, 0);
        }
        pit
    }

    #[test]
    fn a_hundred_hertz_are_a_hundred_interrupts_in_a_second() {
        let mut pit = periodic(11_932);
        assert_eq!(pit.due(9 * MS, 1000), 0);
        assert_eq!(pit.due(11 * MS, 1000), 1);
        assert_eq!(pit.due(1001 * MS, 1000), 100);
        assert_eq!(
            pit.due(1001 * MS, 5),
            5,
            "what nobody took is not kept for ever"
        );
        pit.tell();
        assert_eq!(pit.due(1001 * MS, 5), 4);
    }

    #[test]
    fn the_next_interrupt_is_due_exactly_when_it_is_said_to_be() {
        let mut pit = periodic(1000);
        for _ in 0..100 {
            let next = pit.next().unwrap();
            assert_eq!(pit.due(next - 1, 9), 0);
            assert_eq!(pit.due(next, 9), 1);
            pit.tell();
        }
    }

    #[test]
    fn a_single_shot_comes_once() {
        let mut pit = Pit::default();
        pit.write(0x43, 0x30, 0);
        pit.write(0x40, 0x10, MS);
        assert_eq!(pit.next(), None, "half a count is none");
        pit.write(0x40, 0x00, MS);
        assert_eq!(pit.due(9 * MS, 9), 1);
        pit.tell();
        assert_eq!(pit.due(99 * MS, 9), 0);
        assert_eq!(pit.next(), None);
    }

    #[test]
    fn a_latched_count_stays_until_both_bytes_are_read() {
        let mut pit = periodic(0);
        pit.write(0x43, 0, MS);
        let latched = [pit.read(0x40, 2 * MS), pit.read(0x40, 3 * MS)].map(Option::unwrap);
        assert_eq!(u16::from_le_bytes(latched), (0x1_0000 - ticks(MS)) as u16);
        let read = [pit.read(0x40, 5 * MS), pit.read(0x40, 5 * MS)].map(Option::unwrap);
        assert_eq!(u16::from_le_bytes(read), (0x1_0000 - ticks(5 * MS)) as u16);
    }

    #[test]
    fn the_third_counter_is_gated_and_seen_at_its_port_as_calibrations_of_processors_do() {
        let mut pit = Pit::default();
        pit.write(0x61, 0, 0);
        pit.write(0x43, 0xb0, 0);
        let count = (HERTZ / 20) as u16;
        for byte in count.to_le_bytes() {
            pit.write(0x42, byte, 0);
        }
        let done = |pit: &mut Pit, now| pit.read(0x61, now).unwrap() & 0x20 != 0;
        assert!(!done(&mut pit, 100 * MS), "the gate is closed");
        pit.write(0x61, 1, 200 * MS);
        assert!(!done(&mut pit, 249 * MS));
        assert!(done(&mut pit, 251 * MS));
    }

    #[test]
    fn a_read_back_tells_mode_and_output() {
        let mut pit = periodic(100);
        pit.write(0x43, 0xe2, 0);
        assert_eq!(pit.read(0x40, 0), Some(0x80 | 0x30 | 2 << 1));
    }

    proptest! {
        #[test]
        fn decimal_digits_are_read_as_they_are_written(value in 0u64..10_000) {
            prop_assert_eq!(u64::from(from_bcd(to_bcd(value))), value);
        }

        #[test]
        fn whatever_is_written_time_goes_on(
            writes in proptest::collection::vec((0x40u16..0x45, any::<u8>(), 0u64..1 << 40), 0..40)
        ) {
            let mut pit = Pit::default();
            let mut now = 0;
            for (port, value, later) in writes {
                now += later;
                let port = if port == 0x44 { 0x61 } else { port };
                pit.write(port, value, now);
                pit.read(port, now);
                prop_assert!(pit.due(now, 7) <= 7);
                if let Some(next) = pit.next() {
                    prop_assert!(pit.due(next, 7) > 0);
                }
            }
        }
    }
}
