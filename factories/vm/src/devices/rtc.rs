// SPDX-License-Identifier: BSD-2-Clause
//! The real-time clock and its memory: an MC146818 as PC firmware leaves it. The date can be read and not
//! set; it has no alarm and no interrupt.

use time::OffsetDateTime;

const STATUS_B: u8 = 0x0b;
/// Status B: hours count to 24.
const HOURS_24: u8 = 1 << 1;
/// Status B: numbers are binary, not BCD.
const BINARY: u8 = 1 << 2;

/// The clock.
#[derive(Clone, Copy, Debug)]
pub struct Rtc {
    /// Seconds since 1970-01-01 UTC at time 0.
    start: u64,
    /// Bytes of memory from 1 MiB on.
    extended: u64,
    index: u8,
    status_b: u8,
}

impl Rtc {
    /// A clock that shows `start` seconds since 1970-01-01 UTC at time 0, in a machine with so many bytes of
    /// memory.
    #[must_use]
    pub const fn new(start: u64, memory: u64) -> Self {
        Self {
            start,
            extended: memory.saturating_sub(1 << 20),
            index: 0,
            status_b: HOURS_24,
        }
    }

    /// Reads a port, if it is one of the clock's; `now` in nanoseconds.
    #[must_use]
    pub fn read(&self, port: u16, now: u64) -> Option<u8> {
        match port {
            0x70 => Some(0xff),
            0x71 => Some(self.register(now)),
            _ => None,
        }
    }

    /// Writes to a port: whether it is one of the clock's.
    pub const fn write(&mut self, port: u16, value: u8) -> bool {
        match port {
            // Bit 7 is the mask of the non-maskable interrupt, of which there is none.
            0x70 => self.index = value & 0x7f,
            0x71 if self.index == STATUS_B => self.status_b = value & BINARY | HOURS_24,
            0x71 => {}
            _ => return false,
        }
        true
    }

    fn register(&self, now: u64) -> u8 {
        let seconds = self.start.saturating_add(now / 1_000_000_000);
        let date = i64::try_from(seconds)
            .ok()
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let kib = self.extended >> 10;
        let [low, high] = (kib.min(0xfc00) as u16).to_le_bytes();
        let blocks = self.extended.saturating_sub(15 << 20) >> 16;
        let [low_block, high_block] = (blocks.min(0xffff) as u16).to_le_bytes();
        match self.index {
            0x00 => self.number(date.second()),
            0x02 => self.number(date.minute()),
            0x04 => self.number(date.hour()),
            0x06 => self.number(date.weekday().number_from_sunday()),
            0x07 => self.number(date.day()),
            0x08 => self.number(date.month().into()),
            0x09 => self.number((date.year() % 100) as u8),
            // The usual divider; never about to change.
            0x0a => 0x26,
            STATUS_B => self.status_b,
            // The battery is good.
            0x0d => 0x80,
            // A coprocessor.
            0x14 => 0x02,
            // 640 KiB below 1 MiB.
            0x15 => 0x80,
            0x16 => 0x02,
            0x17 | 0x30 => low,
            0x18 | 0x31 => high,
            0x32 => self.number((date.year() / 100) as u8),
            0x34 => low_block,
            0x35 => high_block,
            _ => 0,
        }
    }

    const fn number(&self, value: u8) -> u8 {
        match self.status_b & BINARY {
            0 => ((value / 10) << 4) | (value % 10),
            _ => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rtc: &mut Rtc, register: u8, now: u64) -> u8 {
        rtc.write(0x70, register);
        rtc.read(0x71, now).unwrap()
    }

    #[test]
    fn the_date_is_right_and_goes_on() {
        // 2024-02-28 23:59:58.
        let mut rtc = Rtc::new(1_709_164_798, 16 << 20);
        let date = |rtc: &mut Rtc, now| [0x32, 9, 8, 7, 4, 2, 0].map(|r| read(rtc, r, now));
        assert_eq!(
            date(&mut rtc, 0),
            [0x20, 0x24, 0x02, 0x28, 0x23, 0x59, 0x58]
        );
        assert_eq!(
            date(&mut rtc, 2_000_000_000),
            [0x20, 0x24, 0x02, 0x29, 0, 0, 0]
        );
    }

    #[test]
    fn numbers_are_binary_for_whoever_wants_them_so() {
        let mut rtc = Rtc::new(59, 0);
        rtc.write(0x70, STATUS_B);
        rtc.write(0x71, BINARY);
        assert_eq!(read(&mut rtc, 0, 0), 59);
    }

    #[test]
    fn the_memory_is_where_firmware_writes_it() {
        let mut rtc = Rtc::new(0, 64 << 20);
        assert_eq!(
            (read(&mut rtc, 0x17, 0), read(&mut rtc, 0x18, 0)),
            (0x00, 0xfc)
        );
        assert_eq!(
            (read(&mut rtc, 0x34, 0), read(&mut rtc, 0x35, 0)),
            (0x00, 0x03)
        );
    }

    #[test]
    fn a_date_that_there_is_not_is_no_harm() {
        assert_eq!(read(&mut Rtc::new(u64::MAX, u64::MAX), 9, u64::MAX), 0x70);
    }
}
