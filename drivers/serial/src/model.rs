// SPDX-License-Identifier: BSD-2-Clause
//! A model of a 16550 for tests: the registers that the driver uses, two FIFOs, and the interrupt
//! line with its edges. After the data sheet of the PC16550D (National Semiconductor, 1995).

use std::collections::VecDeque;
use std::vec::Vec;
use uart_16550::Uart16550;
use uart_16550::backend::Backend;

const FIFO: usize = 16;

#[derive(Default)]
pub struct Model {
    ier: u8,
    lcr: u8,
    mcr: u8,
    scratch: u8,
    divisor: [u8; 2],
    /// Bytes that the remote end wants to send; they enter the FIFO as it has room (flow control).
    remote: VecDeque<u8>,
    received: VecDeque<u8>,
    sending: VecDeque<u8>,
    /// The interrupt "transmitter empty" is pending.
    empty_pending: bool,
    level: bool,
    edge: bool,
    /// All that has left.
    pub printed: Vec<u8>,
}

impl Model {
    pub fn uart() -> Uart16550<Self> {
        // SAFETY: there is no device; the model takes any access.
        unsafe { Uart16550::new_with_backend(Self::default()) }
    }

    pub fn type_in(&mut self, bytes: &[u8]) {
        self.remote.extend(bytes);
        self.update();
    }

    /// All that is in the transmitter leaves.
    pub fn transmit(&mut self) {
        if !self.sending.is_empty() {
            self.printed.extend(self.sending.drain(..));
            self.empty_pending = true;
        }
        self.update();
    }

    /// Whether the interrupt line has risen since this was asked last.
    pub fn take_edge(&mut self) -> bool {
        core::mem::take(&mut self.edge)
    }

    fn cause(&self) -> u8 {
        if self.ier & 1 != 0 && !self.received.is_empty() {
            0b0100
        } else if self.ier & 2 != 0 && self.empty_pending {
            0b0010
        } else {
            0b0001
        }
    }

    fn update(&mut self) {
        while self.received.len() < FIFO {
            match self.remote.pop_front() {
                Some(byte) => self.received.push_back(byte),
                None => break,
            }
        }
        let level = self.cause() != 1 && self.mcr & 8 != 0;
        self.edge |= level && !self.level;
        self.level = level;
    }
}

impl Backend for Model {
    unsafe fn read(&mut self, register: u8) -> u8 {
        let latch = self.lcr & 0x80 != 0;
        let value = match register {
            0 | 1 if latch => self.divisor[register as usize],
            0 => self.received.pop_front().unwrap_or(0),
            1 => self.ier,
            2 => {
                let cause = self.cause();
                if cause == 0b0010 {
                    self.empty_pending = false;
                }
                0xc0 | cause
            }
            3 => self.lcr,
            4 => self.mcr,
            5 => {
                let empty = self.sending.is_empty();
                u8::from(!self.received.is_empty()) | if empty { 0x60 } else { 0 }
            }
            6 => 0xb0,
            _ => self.scratch,
        };
        self.update();
        value
    }

    unsafe fn write(&mut self, register: u8, value: u8) {
        match register {
            0 | 1 if self.lcr & 0x80 != 0 => self.divisor[register as usize] = value,
            0 => {
                assert!(self.sending.len() < FIFO, "the driver overran the device");
                self.sending.push_back(value);
                self.empty_pending = false;
            }
            1 => {
                if value & 2 != 0 && self.ier & 2 == 0 && self.sending.is_empty() {
                    self.empty_pending = true;
                }
                self.ier = value & 0x0f;
            }
            3 => self.lcr = value,
            4 => self.mcr = value,
            7 => self.scratch = value,
            _ => {}
        }
        self.update();
    }
}
