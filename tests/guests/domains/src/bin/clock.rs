// SPDX-License-Identifier: BSD-2-Clause
//! Counts the periodic interrupts of the real-time clock (Motorola MC146818A data sheet), and dies
//! when it is told to, in the middle of handling one.
#![no_std]
#![no_main]

use core::sync::atomic::Ordering;
use sel4_microkit::{Channel, ChannelSet, Handler, Infallible, IoPort, protection_domain};
use test_domains::{Deed, HEAP_SIZE, Note, note};

const IRQ: Channel = Channel::new(8);
const PORTS: IoPort = IoPort::new(0);
/// Register select and data.
const SELECT: u16 = 0x70;
const DATA: u16 = 0x71;
/// Register B: the periodic interrupt is enabled.
const PERIODIC: u8 = 1 << 6;

fn get(register: u8) -> u8 {
    PORTS
        .cap()
        .ioport_out8(SELECT, register)
        .expect("ports of this domain");
    PORTS.cap().ioport_in8(DATA).expect("ports of this domain")
}

#[protection_domain(heap_size = HEAP_SIZE)]
fn init() -> Clock {
    let b = get(0x0b);
    PORTS
        .cap()
        .ioport_out8(SELECT, 0x0b)
        .expect("ports of this domain");
    PORTS
        .cap()
        .ioport_out8(DATA, b | PERIODIC)
        .expect("ports of this domain");
    // Reading register C lets the next interrupt come.
    get(0x0c);
    Clock
}

struct Clock;

impl Handler for Clock {
    type Error = Infallible;

    fn notified(&mut self, channels: ChannelSet) -> Result<(), Self::Error> {
        assert!(channels.contains(IRQ));
        if note(Note::ClockDies).swap(0, Ordering::SeqCst) != 0 {
            Deed::Divide.commit();
        }
        note(Note::Ticks).fetch_add(1, Ordering::SeqCst);
        get(0x0c);
        IRQ.irq_ack().expect("interrupt of this domain");
        Ok(())
    }
}
