// SPDX-License-Identifier: BSD-2-Clause
//! The board: what is at a PC's ports.
//!
//! | ports | what |
//! | --- | --- |
//! | 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1 | interrupt controllers ([`pic`]) |
//! | 0x40 to 0x43, 0x61 | interval timer, interrupt 0 ([`pit`]) |
//! | 0x64, 0x92, 0xcf9 | reset |
//! | 0x70, 0x71 | real-time clock ([`rtc`]) |
//! | 0xf4 | ends the machine with the byte written as its exit code |
//! | 0x3f8 to 0x3ff | serial port, interrupt 4 ([`uart`]) |
//! | 0x604 | ends the machine with exit code 0 (bit 13, as ACPI's) |
//!
//! Interrupt 5 is that of [messages and signals](crate::links): what goes with it is no port, but hypercalls.
//!
//! Whatever else is read is all ones, and what is written there goes nowhere, as on a bus where nothing
//! answers. No port reaches the machine that all this runs on.

pub mod pic;
pub mod pit;
pub mod rtc;
pub mod uart;

use crate::interface::LINK_INTERRUPT;
use pic::Pics;
use pit::Pit;
use rtc::Rtc;
use uart::Uart;

const TIMER: u8 = 0;
const SERIAL: u8 = 4;
const LINK: u8 = LINK_INTERRUPT as u8;
/// Where the serial port's registers begin.
const COM1: u16 = 0x3f8;

/// Interrupts of the timer that a guest which was kept from them gets in one go, at most.
const MOST_DUE: u64 = 64;

/// What a write to a port comes to outside the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A byte leaves the serial port.
    Output(u8),
    /// The machine ends.
    PowerOff(u8),
    /// The machine is reset.
    Reset,
}

/// All devices. Times are nanoseconds since the machine was made.
#[derive(Debug)]
pub struct Board {
    pics: Pics,
    pit: Pit,
    rtc: Rtc,
    uart: Uart,
}

impl Board {
    /// The board of a machine with so many bytes of memory, made at `date`, in seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn new(date: u64, memory: u64) -> Self {
        Self {
            pics: Pics::default(),
            pit: Pit::default(),
            rtc: Rtc::new(date, memory),
            uart: Uart::default(),
        }
    }

    /// Reads `width` bytes (1, 2 or 4) from a port.
    pub fn read(&mut self, port: u16, width: u8, now: u64) -> u32 {
        let mut bytes = [0; 4];
        for (offset, byte) in (0u16..width.min(4).into()).zip(&mut bytes) {
            *byte = self.read_byte(port.wrapping_add(offset), now);
        }
        u32::from_le_bytes(bytes)
    }

    fn read_byte(&mut self, port: u16, now: u64) -> u8 {
        let value = match port {
            COM1..0x400 => Some(self.uart.read((port - COM1) as u8)),
            // The keyboard controller has nothing to say and takes everything. The address line 20 is on.
            0x64 => Some(0),
            0x92 => Some(2),
            _ => None,
        };
        let value = value
            .or_else(|| self.pics.read(port))
            .or_else(|| self.pit.read(port, now))
            .or_else(|| self.rtc.read(port, now));
        self.pics.set(SERIAL, self.uart.interrupts());
        value.unwrap_or(0xff)
    }

    /// Writes `width` bytes (1, 2 or 4) to a port. What comes of it outside goes to `effect`.
    pub fn write(
        &mut self,
        port: u16,
        width: u8,
        value: u32,
        now: u64,
        mut effect: impl FnMut(Effect),
    ) {
        if port == 0x604 && width == 2 {
            if value & 1 << 13 != 0 {
                effect(Effect::PowerOff(0));
            }
            return;
        }
        for (offset, byte) in (0u16..width.min(4).into()).zip(value.to_le_bytes()) {
            if let Some(what) = self.write_byte(port.wrapping_add(offset), byte, now) {
                effect(what);
            }
        }
    }

    fn write_byte(&mut self, port: u16, value: u8, now: u64) -> Option<Effect> {
        let effect = match port {
            COM1..0x400 => self
                .uart
                .write((port - COM1) as u8, value)
                .map(Effect::Output),
            0xf4 => Some(Effect::PowerOff(value)),
            0x64 if value == 0xfe => Some(Effect::Reset),
            0x92 if value & 1 != 0 => Some(Effect::Reset),
            0xcf9 if value & 4 != 0 => Some(Effect::Reset),
            _ => {
                let _ = self.pics.write(port, value)
                    || self.pit.write(port, value, now)
                    || self.rtc.write(port, value);
                None
            }
        };
        self.pics.set(SERIAL, self.uart.interrupts());
        effect
    }

    /// A byte arrives at the serial port.
    ///
    /// # Errors
    /// The byte, if there is no room.
    pub fn receive(&mut self, byte: u8) -> Result<(), u8> {
        let outcome = self.uart.receive(byte);
        self.pics.set(SERIAL, self.uart.interrupts());
        outcome
    }

    /// Takes what waits at the serial port, as far as there is room for it: how many bytes.
    pub fn take(&mut self, into: &mut [u8]) -> usize {
        let taken = self.uart.take(into);
        self.pics.set(SERIAL, self.uart.interrupts());
        taken
    }

    /// Whether there is a message or a signal for the guest.
    pub fn link(&mut self, there_is: bool) {
        self.pics.set(LINK, there_is);
    }

    /// Bytes that there is room for at the serial port.
    #[must_use]
    pub fn room(&self) -> usize {
        self.uart.room()
    }

    /// Time has passed.
    pub fn advance(&mut self, now: u64) {
        // One at a time: a request that still waits would swallow the next.
        if self.pit.due(now, MOST_DUE) > 0 && !self.pics.is_requested(TIMER) {
            self.pit.tell();
            self.pics.pulse(TIMER);
        }
    }

    /// When something happens by itself, if ever.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.pit.next()
    }

    /// Whether the processor is to be interrupted.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.pics.is_pending()
    }

    /// The processor takes the interrupt: its vector.
    pub fn acknowledge(&mut self) -> Option<u8> {
        self.pics.acknowledge()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn board() -> Board {
        let mut board = Board::new(0, 16 << 20);
        for (port, value) in [(0x20, 0x13), (0x21, 0x20), (0x21, 1), (0x21, 0)] {
            write(&mut board, port, value);
        }
        board
    }

    fn write(board: &mut Board, port: u16, value: u8) -> Option<Effect> {
        let mut effect = None;
        board.write(port, 1, value.into(), 0, |what| effect = Some(what));
        effect
    }

    #[test]
    fn ticks_that_a_guest_was_kept_from_come_one_after_the_other() {
        let mut board = board();
        write(&mut board, 0x43, 0x34);
        write(&mut board, 0x40, 0x9c);
        write(&mut board, 0x40, 0x2e);
        let mut taken = 0;
        board.advance(51 * MS);
        while let Some(vector) = board.acknowledge() {
            assert_eq!(vector, 0x20);
            write(&mut board, 0x20, 0x20);
            board.advance(51 * MS);
            taken += 1;
        }
        assert_eq!(taken, 5);
        assert!(board.next().unwrap() > 51 * MS);
    }

    #[test]
    fn input_interrupts_a_guest_that_wants_it() {
        let mut board = board();
        write(&mut board, COM1 + 4, 8);
        write(&mut board, COM1 + 1, 1);
        board.receive(b'x').unwrap();
        assert_eq!(board.acknowledge(), Some(0x24));
        assert_eq!(board.read(COM1, 1, 0), u32::from(b'x'));
    }

    #[test]
    fn a_message_interrupts_a_guest_once_and_the_next_one_again() {
        let mut board = board();
        for _ in 0..2 {
            board.link(true);
            board.link(true);
            assert_eq!(board.acknowledge(), Some(0x25));
            write(&mut board, 0x20, 0x20);
            assert_eq!(board.acknowledge(), None);
            board.link(false);
        }
    }

    #[test]
    fn nothing_answers_at_other_ports() {
        let mut board = board();
        for port in [0u16, 0x60, 0x80, 0x1f0, 0xcf8, 0xcfc, 0x3f7, 0x400, 0xffff] {
            assert_eq!(write(&mut board, port, 0xff), None, "{port:#x}");
            assert_eq!(board.read(port, 1, 0), 0xff, "{port:#x}");
        }
        // Wider than the end of the port space.
        board.write(0xffff, 4, 0, 0, |_| {});
        board.read(0xffff, 4, 0);
    }

    #[test]
    fn the_machine_is_ended_and_reset_by_the_ports_that_guests_use_for_it() {
        let mut board = board();
        assert_eq!(write(&mut board, 0xf4, 7), Some(Effect::PowerOff(7)));
        assert_eq!(write(&mut board, 0x64, 0xfe), Some(Effect::Reset));
        assert_eq!(write(&mut board, 0xcf9, 6), Some(Effect::Reset));
        let mut effect = None;
        board.write(0x604, 2, 0x2000, 0, |what| effect = Some(what));
        assert_eq!(effect, Some(Effect::PowerOff(0)));
    }
}
