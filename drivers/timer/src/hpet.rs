// SPDX-License-Identifier: BSD-2-Clause
//! The HPET: its counter, and its first comparator as a one-shot timer.
//!
//! Registers and bits are those of the IA-PC HPET specification 1.0a, chapter 2. All accesses are 32
//! bits wide: QEMU's model takes no others.

use crate::Clock;

/// Access to the device's registers.
pub trait Registers {
    /// Reads the 32-bit register at `offset`.
    fn read(&mut self, offset: usize) -> u32;
    /// Writes the 32-bit register at `offset`.
    fn write(&mut self, offset: usize, value: u32);
}

/// General capabilities; the upper half is the period in femtoseconds.
const CAPABILITIES: usize = 0x000;
const PERIOD: usize = 0x004;
const COUNTER_64: u32 = 1 << 13;
const LEGACY_CAPABLE: u32 = 1 << 15;
/// The longest period that the specification allows; a device that is not there reads as all ones.
const MAX_PERIOD: u32 = 0x05f5_e100;

/// General configuration.
const CONFIGURATION: usize = 0x010;
const ENABLE: u32 = 1 << 0;
/// Comparator 0 takes the place of the PIT, comparator 1 that of the real-time clock, on the interrupt lines.
const LEGACY: u32 = 1 << 1;

const COUNTER: usize = 0x0f0;

/// Comparator 0: configuration (upper half: lines that it can be routed to), value.
const COMPARATOR_CONFIGURATION: usize = 0x100;
const COMPARATOR_ROUTES: usize = 0x104;
const COMPARATOR: usize = 0x108;
const INTERRUPT: u32 = 1 << 2;
const COMPARATOR_64: u32 = 1 << 5;
const ROUTE: u32 = 9;

/// Why the device cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoHpet {
    /// Nothing answers at its address.
    #[error(
        "no HPET at this address (period {0:#x} fs); check phys_addr of its region in system.xml"
    )]
    Absent(u32),
    /// It would wrap within minutes.
    #[error("the HPET has only 32 bits, which this driver does not support")]
    Short,
    /// It cannot interrupt where the system description says.
    #[error(
        "the HPET cannot be routed to I/O APIC pin {pin}, only to those of mask {routes:#x}; change system.xml"
    )]
    NoRoute {
        /// The pin asked for.
        pin: u8,
        /// A bit for each pin that is possible.
        routes: u32,
    },
}

/// A running HPET.
pub struct Hpet<R: Registers> {
    registers: R,
    clock: Clock,
    /// What the comparator is set to interrupt at, as far as anybody waits for it.
    armed: Option<u64>,
}

/// The pin at which a PC has interrupt 0, which legacy routing gives to comparator 0.
const LEGACY_PIN: u8 = 2;

impl<R: Registers> Hpet<R> {
    /// Sets the device up to interrupt at `pin` of the I/O APIC, edge-triggered.
    ///
    /// If the counter runs already, because the driver was restarted, it is left running: time goes on
    /// for the clients.
    pub fn start(mut registers: R, pin: u8) -> Result<Self, NoHpet> {
        let period = registers.read(PERIOD);
        if period > MAX_PERIOD {
            return Err(NoHpet::Absent(period));
        }
        let clock = Clock::new(period).ok_or(NoHpet::Absent(0))?;
        let capabilities = registers.read(CAPABILITIES);
        if capabilities & COUNTER_64 == 0
            || registers.read(COMPARATOR_CONFIGURATION) & COMPARATOR_64 == 0
        {
            return Err(NoHpet::Short);
        }
        let routes = registers.read(COMPARATOR_ROUTES);
        // Legacy routing is preferred for its pin, since it takes the PIT off that pin.
        let legacy = pin == LEGACY_PIN && capabilities & LEGACY_CAPABLE != 0;
        if !legacy && (pin >= 32 || routes & 1 << pin == 0) {
            return Err(NoHpet::NoRoute { pin, routes });
        }
        // Edge-triggered, one-shot, 64 bits: all those bits zero.
        registers.write(COMPARATOR_CONFIGURATION, u32::from(pin & 31) << ROUTE);
        if registers.read(CONFIGURATION) & ENABLE == 0 {
            registers.write(COUNTER, 0);
            registers.write(COUNTER + 4, 0);
        }
        registers.write(CONFIGURATION, ENABLE | if legacy { LEGACY } else { 0 });
        registers.write(
            COMPARATOR_CONFIGURATION,
            u32::from(pin & 31) << ROUTE | INTERRUPT,
        );
        Ok(Self {
            registers,
            clock,
            armed: None,
        })
    }

    /// How its ticks relate to nanoseconds.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// What the counter shows.
    pub fn count(&mut self) -> u64 {
        loop {
            let high = self.registers.read(COUNTER + 4);
            let low = self.registers.read(COUNTER);
            if self.registers.read(COUNTER + 4) == high {
                return u64::from(high) << 32 | u64::from(low);
            }
        }
    }

    /// Makes it interrupt at `deadline` or as soon after it as it can; `None` lets it rest. An
    /// interrupt that comes for an earlier deadline is harmless.
    ///
    /// The counter goes on while the comparator is written, and some chips look at a new value only a
    /// few ticks later (Linux, `arch/x86/kernel/hpet.c`, on `HPET_MIN_CYCLES`). So the value is never
    /// closer than a margin, which is widened until the counter was seen well before it afterwards.
    pub fn arm(&mut self, deadline: Option<u64>) {
        if deadline == self.armed {
            return;
        }
        self.armed = deadline;
        let Some(deadline) = deadline else { return };
        let mut margin = 128;
        loop {
            let value = deadline.max(self.count().saturating_add(margin));
            self.registers.write(COMPARATOR, value as u32);
            self.registers.write(COMPARATOR + 4, (value >> 32) as u32);
            if self.count().saturating_add(margin / 2) < value || value == u64::MAX {
                return;
            }
            margin *= 2;
        }
    }

    /// The interrupt has come: whatever was armed is no longer.
    pub fn fired(&mut self) {
        self.armed = None;
    }

    #[cfg(test)]
    pub(crate) fn model(&mut self) -> &mut R {
        &mut self.registers
    }
}

#[cfg(test)]
pub(crate) mod model {
    use super::*;

    /// A device that counts `step` ticks with every access, and one tick less than it needs to see a
    /// comparator value that is written less than `blind` ticks before it.
    pub struct Model {
        pub count: u64,
        pub step: u64,
        pub blind: u64,
        pub period: u32,
        pub capabilities: u32,
        pub configuration: u32,
        pub comparator_configuration: u32,
        pub comparator: u64,
        /// The comparator is looked at from this count on.
        pub seen_from: u64,
        pub interrupts: u32,
    }

    impl Default for Model {
        fn default() -> Self {
            Self {
                count: 0,
                step: 1,
                blind: 20,
                period: 10_000_000,
                capabilities: 0x8086_a201,
                configuration: 0,
                comparator_configuration: 0x30,
                comparator: u64::MAX,
                seen_from: 0,
                interrupts: 0,
            }
        }
    }

    impl Model {
        pub fn pass(&mut self, ticks: u64) {
            if self.configuration & ENABLE == 0 {
                return;
            }
            let until = self.count.saturating_add(ticks);
            let reached = self.comparator > self.count && self.comparator <= until;
            if reached
                && self.comparator >= self.seen_from
                && self.comparator_configuration & INTERRUPT != 0
            {
                self.interrupts += 1;
            }
            self.count = until;
        }
    }

    fn set_half(value: &mut u64, high: bool, half: u32) {
        let shift = if high { 32 } else { 0 };
        *value = *value & !(0xffff_ffff << shift) | u64::from(half) << shift;
    }

    impl Registers for Model {
        fn read(&mut self, offset: usize) -> u32 {
            self.pass(self.step);
            match offset {
                CAPABILITIES => self.capabilities,
                PERIOD => self.period,
                CONFIGURATION => self.configuration,
                0xf0 => self.count as u32,
                0xf4 => (self.count >> 32) as u32,
                COMPARATOR_CONFIGURATION => self.comparator_configuration,
                COMPARATOR_ROUTES => 1 << 2 | 1 << 20,
                0x108 => self.comparator as u32,
                0x10c => (self.comparator >> 32) as u32,
                _ => panic!("read of {offset:#x}"),
            }
        }

        fn write(&mut self, offset: usize, value: u32) {
            self.pass(self.step);
            match offset {
                CONFIGURATION => self.configuration = value,
                0xf0 | 0xf4 => set_half(&mut self.count, offset == 0xf4, value),
                COMPARATOR_CONFIGURATION => {
                    self.comparator_configuration =
                        value & !0x30 | self.comparator_configuration & 0x30;
                }
                0x108 | 0x10c => {
                    set_half(&mut self.comparator, offset == 0x10c, value);
                    self.seen_from = self.count + self.blind;
                }
                _ => panic!("write of {offset:#x}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::model::Model;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_is_armed_interrupts_not_before_its_time_and_soon_after(
            start in 0..1u64 << 34, deadline in 0..1u64 << 35, step in 1..300u64, blind in 0..60u64,
        ) {
            let mut hpet = Hpet::start(Model { step, blind, ..Model::default() }, 2).unwrap();
            hpet.model().count = start;
            hpet.arm(Some(deadline));
            let model = hpet.model();
            model.interrupts = 0;
            let wait = deadline.saturating_sub(model.count);
            if wait > 1 {
                model.pass(wait - 1);
                prop_assert_eq!(model.interrupts, 0, "early");
            }
            model.pass(1 << 20);
            prop_assert_eq!(model.interrupts, 1);
        }
    }

    #[test]
    fn an_absent_device_is_told_from_a_slow_one() {
        for period in [0, u32::MAX] {
            let model = Model {
                period,
                ..Model::default()
            };
            assert_eq!(Hpet::start(model, 2).err(), Some(NoHpet::Absent(period)));
        }
    }

    #[test]
    fn a_pin_that_it_cannot_reach_is_refused() {
        assert!(Hpet::start(Model::default(), 20).is_ok());
        let error = Hpet::start(Model::default(), 5).err();
        assert!(matches!(error, Some(NoHpet::NoRoute { pin: 5, .. })));
    }

    #[test]
    fn on_the_pin_of_the_pit_it_takes_the_place_of_the_pit() {
        let mut hpet = Hpet::start(Model::default(), 2).unwrap();
        assert_eq!(hpet.model().configuration, ENABLE | LEGACY);
        let mut hpet = Hpet::start(Model::default(), 20).unwrap();
        assert_eq!(hpet.model().configuration, ENABLE);
        assert_eq!(hpet.model().comparator_configuration >> ROUTE & 31, 20);
    }

    #[test]
    fn a_restart_of_the_driver_does_not_turn_time_back() {
        let running = Model {
            count: 5000,
            configuration: ENABLE,
            ..Model::default()
        };
        assert!(Hpet::start(running, 2).unwrap().count() > 5000);
        let stopped = Model {
            count: 5000,
            ..Model::default()
        };
        assert!(Hpet::start(stopped, 2).unwrap().count() < 100);
    }

    #[test]
    fn the_counter_is_read_whole_while_its_halves_change() {
        for start in (1u64 << 32) - 10..(1 << 32) + 10 {
            let mut hpet = Hpet::start(Model::default(), 2).unwrap();
            hpet.model().count = start;
            let count = hpet.count();
            assert!(count > start && count < start + 20, "{count:#x}");
        }
    }
}
