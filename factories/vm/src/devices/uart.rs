// SPDX-License-Identifier: BSD-2-Clause
//! A serial port: a 16550A with an infinitely fast line.
//!
//! What the guest sends is there at once, so its transmitter is always empty; what it receives waits in a
//! queue of [`RECEIVED`] bytes, of which the guest's own FIFO is the front.

use heapless::Deque;

/// Bytes that wait for the guest to read them.
pub const RECEIVED: usize = 256;

mod enable {
    pub const RECEIVED: u8 = 1;
    pub const EMPTY: u8 = 2;
}

/// Modem control: the line is connected to itself.
const LOOP: u8 = 0x10;
/// Line control: the divisor is at offsets 0 and 1.
const DIVISOR: u8 = 0x80;

/// The port.
#[derive(Debug, Default)]
pub struct Uart {
    received: Deque<u8, RECEIVED>,
    enabled: u8,
    fifo: bool,
    line: u8,
    modem: u8,
    scratch: u8,
    divisor: [u8; 2],
    /// Whether it is to be told that the transmitter is empty.
    tells_empty: bool,
    overrun: bool,
}

impl Uart {
    /// Adds a byte from outside. One that there is no room for is lost, and the guest can see that.
    ///
    /// # Errors
    /// The byte, if there is no room.
    pub fn receive(&mut self, byte: u8) -> Result<(), u8> {
        if self.modem & LOOP != 0 {
            // Nothing from outside reaches it.
            return Ok(());
        }
        self.queue(byte)
    }

    fn queue(&mut self, byte: u8) -> Result<(), u8> {
        self.received.push_back(byte).inspect_err(|_| {
            self.overrun = true;
        })
    }

    /// Takes what waits, as far as there is room for it: how many bytes.
    pub fn take(&mut self, into: &mut [u8]) -> usize {
        let mut taken = 0;
        for (place, byte) in into
            .iter_mut()
            .zip(core::iter::from_fn(|| self.received.pop_front()))
        {
            *place = byte;
            taken += 1;
        }
        taken
    }

    /// Bytes that there is room for.
    #[must_use]
    pub fn room(&self) -> usize {
        RECEIVED - self.received.len()
    }

    /// Whether its interrupt line is high.
    #[must_use]
    pub fn interrupts(&self) -> bool {
        // Bit 3 of the modem control connects the line on a PC.
        self.modem & 8 != 0 && self.identification() & 1 == 0
    }

    fn identification(&self) -> u8 {
        let fifo = if self.fifo { 0xc0 } else { 0 };
        fifo | if self.enabled & enable::RECEIVED != 0 && !self.received.is_empty() {
            4
        } else if self.enabled & enable::EMPTY != 0 && self.tells_empty {
            2
        } else {
            1
        }
    }

    /// Reads register `offset`, 0 to 7.
    pub fn read(&mut self, offset: u8) -> u8 {
        match (offset, self.line & DIVISOR != 0) {
            (0 | 1, true) => self.divisor[usize::from(offset)],
            (0, _) => self.received.pop_front().unwrap_or(0),
            (1, _) => self.enabled,
            (2, _) => {
                let identification = self.identification();
                if identification & 0x0f == 2 {
                    self.tells_empty = false;
                }
                identification
            }
            (3, _) => self.line,
            (4, _) => self.modem,
            (5, _) => {
                let overrun = core::mem::take(&mut self.overrun);
                0x60 | u8::from(overrun) << 1 | u8::from(!self.received.is_empty())
            }
            (6, _) if self.modem & LOOP != 0 => {
                // Outputs come back as inputs: DTR as DSR, RTS as CTS, OUT1 as RI, OUT2 as DCD.
                let out = self.modem;
                (out & 1) << 5 | (out & 2) << 3 | (out & 0xc) << 4
            }
            // Somebody is there: carrier, ready, clear to send.
            (6, _) => 0xb0,
            _ => self.scratch,
        }
    }

    /// Writes register `offset`: a byte that goes out.
    pub fn write(&mut self, offset: u8, value: u8) -> Option<u8> {
        match (offset, self.line & DIVISOR != 0) {
            (0 | 1, true) => self.divisor[usize::from(offset)] = value,
            (0, _) => {
                self.tells_empty = true;
                if self.modem & LOOP == 0 {
                    return Some(value);
                }
                let _ = self.queue(value);
            }
            (1, _) => {
                // The emptiness is told again to whoever asks anew.
                self.tells_empty |= value & enable::EMPTY & !self.enabled != 0;
                self.enabled = value & 0x0f;
            }
            (2, _) => {
                self.fifo = value & 1 != 0;
                if value & 2 != 0 {
                    self.received.clear();
                }
            }
            (3, _) => self.line = value,
            (4, _) => self.modem = value & 0x1f,
            (7, _) => self.scratch = value,
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_guest_writes_goes_out_and_it_may_write_on_at_once() {
        let mut uart = Uart::default();
        assert_eq!(uart.write(0, b'x'), Some(b'x'));
        assert_eq!(uart.read(5) & 0x60, 0x60);
    }

    #[test]
    fn the_divisor_is_not_sent() {
        let mut uart = Uart::default();
        uart.write(3, 0x83);
        assert_eq!((uart.write(0, 1), uart.write(1, 2)), (None, None));
        assert_eq!((uart.read(0), uart.read(1)), (1, 2));
        uart.write(3, 3);
        assert_eq!(uart.write(0, 1), Some(1));
    }

    #[test]
    fn what_arrives_interrupts_until_it_is_read() {
        let mut uart = Uart::default();
        uart.write(4, 8);
        uart.write(1, 1);
        assert!(!uart.interrupts());
        uart.receive(b'a').unwrap();
        uart.receive(b'b').unwrap();
        assert!(uart.interrupts());
        assert_eq!(uart.read(2) & 0x0f, 4);
        assert_eq!((uart.read(0), uart.read(0)), (b'a', b'b'));
        assert!(!uart.interrupts());
        assert_eq!(uart.read(5) & 1, 0);
    }

    #[test]
    fn an_empty_transmitter_is_told_once_for_each_byte() {
        let mut uart = Uart::default();
        uart.write(4, 8);
        uart.write(1, 2);
        assert!(uart.interrupts());
        assert_eq!(uart.read(2), 2);
        assert!(!uart.interrupts());
        uart.write(0, b'x');
        assert!(uart.interrupts());
    }

    #[test]
    fn a_port_connected_to_itself_hears_itself_and_nobody_else() {
        let mut uart = Uart::default();
        uart.write(4, LOOP | 0x0a);
        assert_eq!(uart.write(0, b'x'), None);
        uart.receive(b'y').unwrap();
        assert_eq!(uart.read(0), b'x');
        assert_eq!(uart.read(5) & 1, 0);
        assert_eq!(uart.read(6), 0x90);
    }

    #[test]
    fn more_than_there_is_room_for_is_refused_and_the_guest_can_see_it() {
        let mut uart = Uart::default();
        for _ in 0..RECEIVED {
            uart.receive(0).unwrap();
        }
        assert_eq!(uart.receive(7), Err(7));
        assert_eq!(uart.read(5) & 2, 2);
        assert_eq!(uart.read(5) & 2, 0);
    }

    proptest! {
        #[test]
        fn whatever_is_written_something_is_read(
            accesses in proptest::collection::vec((0u8..8, any::<u8>()), 0..100)
        ) {
            let mut uart = Uart::default();
            for (offset, value) in accesses {
                uart.write(offset, value);
                let _ = uart.receive(value);
                uart.read(offset);
                let _ = uart.interrupts();
            }
        }
    }
}
