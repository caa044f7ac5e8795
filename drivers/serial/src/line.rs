// SPDX-License-Identifier: BSD-2-Clause
//! The device: a 16550 that tells by interrupt when it can take or has given bytes.
//!
//! Register definitions and access sequences are those of the `uart_16550` crate, whose
//! `Backend` reaches the registers through whatever has the authority: in the driver an I/O port
//! capability, in tests a model of the device.

use uart_16550::backend::Backend;
use uart_16550::spec::FIFO_SIZE;
use uart_16550::spec::registers::{FifoTriggerLevel, IER, LSR};
use uart_16550::{BaudRate, Config, InitError, Uart16550};

/// A running 16550.
pub struct Line<B: Backend> {
    uart: Uart16550<B>,
    /// Whether the device may interrupt because of input; off while nobody has room for it.
    receiving: bool,
}

impl<B: Backend> Line<B> {
    /// Most bytes that [`send`](Self::send) takes at once.
    pub const BURST: usize = FIFO_SIZE;

    /// Sets the device up: 115,200 baud, 8 data bits, no parity, FIFOs on, interrupts for input and for
    /// output that has left.
    ///
    /// `uart` is a fresh handle to the device that nobody else uses.
    pub fn start(mut uart: Uart16550<B>) -> Result<Self, InitError> {
        uart.init(Config {
            interrupts: IER::DATA_READY | IER::THR_EMPTY | IER::RECEIVER_LINE_STATUS,
            // One byte is enough to interrupt: a person types one at a time.
            fifo_trigger_level: Some(FifoTriggerLevel::One),
            baud_rate: BaudRate::Baud115200,
            ..Config::DEFAULT
        })?;
        Ok(Self {
            uart,
            receiving: true,
        })
    }

    /// Whether an interrupt is pending. Asking acknowledges "output has left".
    ///
    /// The handler goes on until the answer is no: the interrupt controller sees edges, and there is
    /// none while one cause follows another.
    pub fn interrupting(&mut self) -> bool {
        self.uart.isr().has_pending_interrupt()
    }

    /// Hands bytes to the device, if it has sent all that it had; gives how many it took.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        self.uart.send_bytes(bytes)
    }

    /// Whether the last bit has left. Between the interrupt that the FIFO is empty and that lies one
    /// character (87 us), for which there is no interrupt: that long, and no longer, this asks again.
    pub fn drained(&mut self) -> bool {
        const ASK: usize = 200;
        (0..ASK).any(|_| self.uart.lsr().contains(LSR::TRANSMITTER_EMPTY))
    }

    /// A byte that has arrived.
    pub fn receive(&mut self) -> Option<u8> {
        self.uart.try_receive_byte().ok()
    }

    /// Says whether there is room for input. Without, the device keeps what it has and does not
    /// interrupt for it.
    pub fn set_receiving(&mut self, on: bool) {
        if on == self.receiving {
            return;
        }
        self.receiving = on;
        let input = IER::DATA_READY | IER::RECEIVER_LINE_STATUS;
        if on {
            self.uart.enable_interrupts(input);
        } else {
            self.uart.disable_interrupts(input);
        }
    }

    #[cfg(test)]
    pub(crate) fn model(&mut self) -> &mut B {
        self.uart.backend_mut()
    }
}
