// SPDX-License-Identifier: BSD-2-Clause
//! The bare machine: objects from the largest untyped, COM1, power-off, a second thread.
#![allow(dead_code)] // not every suite on the bare kernel uses all of it

use core::cell::UnsafeCell;
use core::fmt;
use core::ops::Range;
use sel4::init_thread::{Slot, slot};
use sel4::{BootInfo, CapTypeForObjectOfFixedSize, ObjectBlueprint, cap};
use xos_image::console;
use xos_test_kit::Outcome;

/// First port of COM1; its line status register is five ports on.
const COM1: u16 = 0x3f8;
const LINE_STATUS: u16 = COM1 + 5;
const LINE_CONTROL: u16 = COM1 + 3;
/// In the line control register: words of eight bits, without parity.
const EIGHT_BITS: u8 = 3;
/// In the line status register: the next byte may be written.
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// In the same: nothing is left to send.
const TRANSMITTER_IDLE: u8 = 1 << 6;

/// COM1, polled: there is nobody else.
pub struct Serial;

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let ports = slot::IO_PORT.cap();
        ports
            .ioport_out8(LINE_CONTROL, EIGHT_BITS)
            .map_err(|_| fmt::Error)?;
        let put = |byte| {
            while ports.ioport_in8(LINE_STATUS).map_err(|_| fmt::Error)? & TRANSMITTER_EMPTY == 0 {}
            ports.ioport_out8(COM1, byte).map_err(|_| fmt::Error)
        };
        for byte in text.bytes() {
            if byte == b'\n' {
                put(b'\r')?;
            }
            put(byte)?;
        }
        Ok(())
    }
}

/// Ends the simulation, once all that was printed is on the line.
pub fn power_off(success: bool) -> ! {
    let ports = slot::IO_PORT.cap();
    while ports
        .ioport_in8(LINE_STATUS)
        .is_ok_and(|status| status & TRANSMITTER_IDLE == 0)
    {}
    for (port, byte) in console::power_off(success) {
        // If that fails, the host sees a machine that hangs.
        let _ = slot::IO_PORT.cap().ioport_out8(port, byte);
    }
    sel4::init_thread::suspend_self()
}

/// What a case works with.
pub struct Machine<'a> {
    pub bootinfo: &'a BootInfo,
    slots: Range<usize>,
    pub memory: cap::Untyped,
}

impl<'a> Machine<'a> {
    pub fn new(bootinfo: &'a BootInfo) -> Option<Self> {
        let (largest, _) = bootinfo
            .untyped_list()
            .iter()
            .enumerate()
            .filter(|(_, untyped)| !untyped.is_device())
            .max_by_key(|(_, untyped)| untyped.size_bits())?;
        let memory = bootinfo.untyped().index(largest).cap();
        Some(Self {
            bootinfo,
            slots: bootinfo.empty().range(),
            memory,
        })
    }

    /// A slot with nothing in it.
    pub fn slot(&mut self) -> Outcome<Slot> {
        Ok(Slot::from_index(self.slots.next().ok_or("no free slot")?))
    }

    /// Makes an object in a new slot.
    pub fn make_sized(&mut self, blueprint: &ObjectBlueprint) -> Outcome<Slot> {
        let slot = self.slot()?;
        retype(self.memory, blueprint, slot)?;
        Ok(slot)
    }

    /// Makes an object of a type that has one size.
    pub fn make<T: CapTypeForObjectOfFixedSize>(&mut self) -> Outcome<sel4::Cap<T>> {
        Ok(self.make_sized(&T::object_blueprint())?.cap().cast())
    }

    /// The frame behind an address of this program's image.
    pub fn frame_of(&self, address: usize) -> cap::Granule {
        unsafe extern "C" {
            static __executable_start: u8;
        }
        let image = &raw const __executable_start as usize;
        let page = address / GRANULE - image / GRANULE;
        self.bootinfo.user_image_frames().index(page).cap()
    }

    /// Starts `function(argument)` in a thread that shares address and capability space with this
    /// one and that has `faults` (a CPtr of both) as its fault endpoint. Every thread uses the same
    /// stack: the one before must have been suspended.
    pub fn start(
        &mut self,
        faults: cap::Endpoint,
        function: extern "C" fn(argument: u64) -> !,
        argument: u64,
    ) -> Outcome<cap::Tcb> {
        let thread = self.make()?;
        self.start_in(thread, faults, function, argument)?;
        Ok(thread)
    }

    /// The same in a thread that has been made already.
    pub fn start_in(
        &mut self,
        thread: cap::Tcb,
        faults: cap::Endpoint,
        function: extern "C" fn(argument: u64) -> !,
        argument: u64,
    ) -> Outcome {
        static STACK: Page<{ 4 * GRANULE }> = Page::new();
        static IPC_BUFFER: Page<GRANULE> = Page::new();

        extern "C" fn entry(
            argument: u64,
            ipc_buffer: *mut sel4::IpcBuffer,
            function: extern "C" fn(u64) -> !,
        ) -> ! {
            // SAFETY: `start` passes a buffer that only this thread uses.
            sel4::set_ipc_buffer(unsafe { &mut *ipc_buffer });
            function(argument)
        }

        let buffer = IPC_BUFFER.start();
        thread.tcb_configure(
            faults.cptr(),
            slot::CNODE.cap(),
            sel4::CNodeCapData::new(0, 0),
            slot::VSPACE.cap(),
            buffer as sel4::Word,
            self.frame_of(buffer as usize),
        )?;
        // That of the initial thread.
        thread.tcb_set_priority(slot::TCB.cap(), 255)?;
        let mut context = sel4::UserContext::default();
        *context.pc_mut() = entry as *const () as sel4::Word;
        // As after a call: 8 below a multiple of 16.
        *context.sp_mut() = (STACK.start() as usize + 4 * GRANULE - 8) as sel4::Word;
        *context.c_param_mut(0) = argument;
        *context.c_param_mut(1) = buffer as sel4::Word;
        *context.c_param_mut(2) = function as *const () as sel4::Word;
        Ok(thread.tcb_write_all_registers(true, &mut context)?)
    }
}

/// The slot as CNode invocations name it.
pub fn at(slot: Slot) -> sel4::AbsoluteCPtr {
    slot::CNODE.cap().absolute_cptr(slot.cptr())
}

/// Makes one object from `memory` at `slot`.
pub fn retype(memory: cap::Untyped, blueprint: &ObjectBlueprint, slot: Slot) -> sel4::Result<()> {
    let cnode = slot::CNODE.cap();
    memory.untyped_retype(blueprint, &cnode.absolute_cptr_for_self(), slot.index(), 1)
}

pub const GRANULE: usize = sel4::FrameObjectType::GRANULE.bytes();

/// Memory on pages of its own.
#[repr(C, align(4096))]
pub struct Page<const SIZE: usize>(UnsafeCell<[u8; SIZE]>);

// SAFETY: only its address is given out.
unsafe impl<const SIZE: usize> Sync for Page<SIZE> {}

impl<const SIZE: usize> Page<SIZE> {
    pub const fn new() -> Self {
        Self(UnsafeCell::new([0; SIZE]))
    }

    pub const fn start(&self) -> *mut u8 {
        self.0.get().cast()
    }
}
