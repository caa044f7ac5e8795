// SPDX-License-Identifier: BSD-2-Clause
//! The interrupt controllers of a PC: two Intel 8259A, the second at input 2 of the first.
//!
//! Modelled: initialisation, masks, fixed priorities, specific and non-specific ends, automatic ends,
//! reading of requests and of what is in service, polling, and edge or level by line (ELCR). Not
//! modelled, because nothing that runs on a PC relies on it: rotating priorities and the special mask.

/// The input of the first controller that the second is at.
const CASCADE: u8 = 2;

/// What comes next at the data port, while a controller is initialised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expects {
    #[default]
    Mask,
    Vectors {
        fourth: bool,
        single: bool,
    },
    Cascade {
        fourth: bool,
    },
    Mode,
}

/// One 8259A.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Controller {
    /// Levels of the inputs.
    lines: u8,
    requests: u8,
    in_service: u8,
    mask: u8,
    /// Inputs whose level counts, not its rise.
    level: u8,
    /// Vector of input 0.
    base: u8,
    automatic_end: bool,
    reads_in_service: bool,
    polled: bool,
    expects: Expects,
}

impl Controller {
    fn set(&mut self, input: u8, high: bool) {
        let bit = 1 << input;
        if high {
            if self.level & bit != 0 || self.lines & bit == 0 {
                self.requests |= bit;
            }
            self.lines |= bit;
        } else {
            if self.level & bit != 0 {
                self.requests &= !bit;
            }
            self.lines &= !bit;
        }
    }

    /// The input that would interrupt now.
    fn pending(&self) -> Option<u8> {
        let input = (self.requests & !self.mask).trailing_zeros() as u8;
        let served = self.in_service.trailing_zeros() as u8;
        (input < 8 && input < served).then_some(input)
    }

    fn acknowledge(&mut self, input: u8) -> u8 {
        let bit = 1 << input;
        if self.level & bit == 0 {
            self.requests &= !bit;
        }
        if !self.automatic_end {
            self.in_service |= bit;
        }
        self.base | input
    }

    fn command(&mut self, value: u8) {
        if value & 0x10 != 0 {
            *self = Self {
                lines: self.lines,
                level: self.level,
                expects: Expects::Vectors {
                    fourth: value & 1 != 0,
                    single: value & 2 != 0,
                },
                ..Self::default()
            };
        } else if value & 0x08 != 0 {
            if value & 0x04 != 0 {
                self.polled = true;
            }
            if value & 0x02 != 0 {
                self.reads_in_service = value & 1 != 0;
            }
        } else {
            match value >> 5 {
                // Non-specific end, with rotation or without: of the most urgent one.
                1 | 5 => self.in_service &= self.in_service.wrapping_sub(1),
                3 | 7 => self.in_service &= !(1 << (value & 7)),
                _ => {}
            }
        }
    }

    fn data(&mut self, value: u8) {
        self.expects = match self.expects {
            Expects::Mask => {
                self.mask = value;
                Expects::Mask
            }
            Expects::Vectors { fourth, single } => {
                self.base = value & 0xf8;
                match (single, fourth) {
                    (false, _) => Expects::Cascade { fourth },
                    (true, true) => Expects::Mode,
                    (true, false) => Expects::Mask,
                }
            }
            Expects::Cascade { fourth: true } => Expects::Mode,
            Expects::Cascade { fourth: false } => Expects::Mask,
            Expects::Mode => {
                self.automatic_end = value & 2 != 0;
                Expects::Mask
            }
        };
    }

    fn read_command(&mut self) -> u8 {
        if core::mem::take(&mut self.polled) {
            return match self.pending() {
                Some(input) => {
                    self.acknowledge(input);
                    0x80 | input
                }
                None => 0,
            };
        }
        match self.reads_in_service {
            true => self.in_service,
            false => self.requests,
        }
    }
}

/// The two controllers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pics {
    first: Controller,
    second: Controller,
}

impl Pics {
    /// Sets the level of interrupt line `irq`, 0 to 15. Line 2 is taken.
    pub fn set(&mut self, irq: u8, high: bool) {
        match irq {
            CASCADE => {}
            0..8 => self.first.set(irq, high),
            8..16 => self.second.set(irq - 8, high),
            _ => {}
        }
        self.cascade();
    }

    /// A line rises and falls.
    pub fn pulse(&mut self, irq: u8) {
        self.set(irq, true);
        self.set(irq, false);
    }

    /// Whether a request of line `irq` waits to be taken.
    #[must_use]
    pub const fn is_requested(&self, irq: u8) -> bool {
        match irq {
            0..8 => self.first.requests & 1 << irq != 0,
            8..16 => self.second.requests & 1 << (irq - 8) != 0,
            _ => false,
        }
    }

    fn cascade(&mut self) {
        let high = self.second.pending().is_some();
        // The output of the second falls when it is acknowledged, so each of its interrupts is a rise.
        self.first.set(CASCADE, false);
        match high {
            true => self.first.set(CASCADE, true),
            false => self.first.requests &= !(1 << CASCADE),
        }
    }

    /// Whether the processor is to be interrupted.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.first.pending().is_some()
    }

    /// The processor takes the interrupt: its vector.
    pub fn acknowledge(&mut self) -> Option<u8> {
        let input = self.first.pending()?;
        let vector = self.first.acknowledge(input);
        if input != CASCADE {
            return Some(vector);
        }
        let vector = match self.second.pending() {
            Some(input) => self.second.acknowledge(input),
            // What was there is gone again: spurious, as input 7.
            None => self.second.base | 7,
        };
        self.cascade();
        Some(vector)
    }

    /// Reads a port, if it is one of theirs.
    pub fn read(&mut self, port: u16) -> Option<u8> {
        let value = match port {
            0x20 => self.first.read_command(),
            0x21 => self.first.mask,
            0xa0 => self.second.read_command(),
            0xa1 => self.second.mask,
            0x4d0 => self.first.level,
            0x4d1 => self.second.level,
            _ => return None,
        };
        self.cascade();
        Some(value)
    }

    /// Writes to a port: whether it is one of theirs.
    pub fn write(&mut self, port: u16, value: u8) -> bool {
        match port {
            0x20 => self.first.command(value),
            0x21 => self.first.data(value),
            0xa0 => self.second.command(value),
            0xa1 => self.second.data(value),
            // Timer, keyboard, cascade; clock and coprocessor: always by edge.
            0x4d0 => self.first.level = value & 0xf8,
            0x4d1 => self.second.level = value & 0xde,
            _ => return false,
        }
        self.cascade();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As Linux initialises them, nothing masked.
    fn ready() -> Pics {
        let mut pics = Pics::default();
        for (port, value) in [
            (0x20, 0x11),
            (0x21, 0x30),
            (0x21, 4),
            (0x21, 1),
            (0xa0, 0x11),
            (0xa1, 0x38),
            (0xa1, 2),
            (0xa1, 1),
            (0x21, 0),
            (0xa1, 0),
        ] {
            assert!(pics.write(port, value));
        }
        pics
    }

    #[test]
    fn an_interrupt_has_the_vector_that_the_guest_chose_and_comes_once() {
        let mut pics = ready();
        pics.pulse(4);
        assert!(pics.is_pending());
        assert_eq!(pics.acknowledge(), Some(0x34));
        assert_eq!(pics.acknowledge(), None);
        pics.write(0x20, 0x20);
        assert!(!pics.is_pending());
        pics.pulse(12);
        assert_eq!(pics.acknowledge(), Some(0x3c));
    }

    #[test]
    fn what_is_in_service_holds_back_what_is_less_urgent_until_its_end() {
        let mut pics = ready();
        pics.pulse(4);
        assert_eq!(pics.acknowledge(), Some(0x34));
        pics.pulse(5);
        assert!(!pics.is_pending());
        pics.pulse(0);
        assert_eq!(pics.acknowledge(), Some(0x30));
        pics.write(0x20, 0x60);
        assert!(!pics.is_pending(), "4 is still in service");
        pics.write(0x20, 0x64);
        assert_eq!(pics.acknowledge(), Some(0x35));
    }

    #[test]
    fn a_masked_line_is_remembered_and_comes_when_it_is_unmasked() {
        let mut pics = ready();
        pics.write(0x21, 0xff);
        pics.pulse(0);
        assert!(!pics.is_pending());
        assert!(pics.is_requested(0));
        pics.write(0x21, 0xfe);
        assert_eq!(pics.acknowledge(), Some(0x30));
    }

    #[test]
    fn two_interrupts_of_the_second_controller_come_one_after_the_other() {
        let mut pics = ready();
        pics.pulse(9);
        pics.pulse(8);
        assert_eq!(pics.acknowledge(), Some(0x38));
        pics.write(0xa0, 0x20);
        pics.write(0x20, 0x20);
        assert_eq!(pics.acknowledge(), Some(0x39));
    }

    #[test]
    fn a_line_by_level_interrupts_for_as_long_as_it_is_high() {
        let mut pics = ready();
        pics.write(0x4d1, 0x0c);
        pics.set(10, true);
        for _ in 0..3 {
            assert_eq!(pics.acknowledge(), Some(0x3a));
            pics.write(0xa0, 0x20);
            pics.write(0x20, 0x20);
        }
        pics.set(10, false);
        assert_eq!(pics.acknowledge(), None);
    }

    #[test]
    fn requests_and_what_is_in_service_can_be_read() {
        let mut pics = ready();
        pics.pulse(0);
        pics.acknowledge();
        pics.pulse(1);
        assert_eq!(pics.read(0x20), Some(2));
        pics.write(0x20, 0x0b);
        assert_eq!(pics.read(0x20), Some(1));
        assert_eq!(pics.read(0x22), None);
    }

    proptest! {
        #[test]
        fn whatever_is_written_a_vector_is_one_that_was_chosen(
            ports in proptest::collection::vec((0u16..6, any::<u8>(), 0u8..16), 0..64)
        ) {
            const PORTS: [u16; 6] = [0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1];
            let mut pics = ready();
            for (port, value, irq) in ports {
                pics.write(PORTS[port as usize], value);
                pics.read(PORTS[port as usize]);
                pics.pulse(irq);
                let pending = pics.is_pending();
                let vector = pics.acknowledge();
                prop_assert_eq!(vector.is_some(), pending);
                if let Some(vector) = vector {
                    let base = vector & 0xf8;
                    prop_assert!(base == pics.first.base || base == pics.second.base);
                }
            }
        }
    }
}
