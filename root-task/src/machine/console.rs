// SPDX-License-Identifier: BSD-2-Clause
//! The first serial port, and the port that ends a simulation.
//!
//! The root task prints a line when it starts and a few when a domain crashes. It does not ask the
//! serial driver, which may be the domain that crashed, but writes to the device itself, character
//! by character, while it holds the processor. It leaves the device as it is: nothing that it does
//! (a read of the line status, a write to the transmitter) changes what the driver has set up.

use core::fmt::{self, Write};
use core::hint;

use sel4::init_thread::slot;
use xos_image::console;

/// COM1.
const BASE: u16 = 0x3f8;
/// Registers of the 16550 relative to its base (PC16550D data sheet, table II).
const DATA: u16 = BASE;
const INTERRUPT_ENABLE: u16 = BASE + 1;
const FIFO_CONTROL: u16 = BASE + 2;
const LINE_CONTROL: u16 = BASE + 3;
const MODEM_CONTROL: u16 = BASE + 4;
const LINE_STATUS: u16 = BASE + 5;
/// Line status: the transmitter takes a character.
const READY: u8 = 1 << 5;
/// Line status: the transmitter has nothing left to send.
const IDLE: u8 = 1 << 6;
/// Reads of the line status before the device is taken to be absent: at the slowest rate of one
/// read a microsecond much longer than a full FIFO takes.
const PATIENCE: u32 = 100_000;

fn read(port: u16) -> u8 {
    // The root task's capability is to all ports: this cannot fail.
    slot::IO_PORT.cap().ioport_in8(port).unwrap_or(0)
}

fn write(port: u16, value: u8) {
    // As above.
    let _ = slot::IO_PORT.cap().ioport_out8(port, value);
}

/// Sets the device up as boot loaders leave it: 115,200 baud, 8 bits, no parity, one stop bit, no
/// interrupts. Before any driver runs.
pub fn init() {
    write(INTERRUPT_ENABLE, 0);
    // Divisor latch access, divisor 1, then the format.
    write(LINE_CONTROL, 0x80);
    write(DATA, 1);
    write(INTERRUPT_ENABLE, 0);
    write(LINE_CONTROL, 0x03);
    // Enable and clear the FIFOs.
    write(FIFO_CONTROL, 0x07);
    // Ready to send and receive.
    write(MODEM_CONTROL, 0x03);
}

/// Waits, not for ever, for a bit of the line status.
fn wait(bit: u8) {
    for _ in 0..PATIENCE {
        if read(LINE_STATUS) & bit != 0 {
            return;
        }
    }
}

struct Com1;

impl Write for Com1 {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                wait(READY);
                write(DATA, b'\r');
            }
            wait(READY);
            write(DATA, byte);
        }
        Ok(())
    }
}

/// Prints.
pub fn print(text: fmt::Arguments<'_>) {
    // The device accepts everything.
    let _ = Com1.write_fmt(text);
}

/// Ends the machine. Where nothing listens at the port that ends a simulation, the processor is held
/// for good, at the highest priority: nobody runs any more.
pub fn power_off(success: bool) -> ! {
    wait(IDLE);
    for (port, byte) in console::power_off(success) {
        write(port, byte);
    }
    print(format_args!("The machine can be switched off now.\n"));
    loop {
        hint::spin_loop();
    }
}
