// SPDX-License-Identifier: BSD-2-Clause
//! A whole machine, run by this thread on the bare kernel: memory, a second stage, a processor, and the vm
//! factory's library in between.

extern crate alloc;

use crate::guest::make;
use crate::machine::{GRANULE, Machine, at, retype};
use alloc::string::String;
use core::arch::x86_64::{__cpuid_count, _rdtsc};
use core::fmt::Write;
use sel4::init_thread::{Slot, slot};
use sel4::{CapRights, ObjectBlueprint, VmAttributes, cap, cap_type};
use spin::Mutex;
use vm_factory::devices::Board;
use vm_factory::kernel::VirtualProcessor;
use vm_factory::loaders::{Image, load};
use vm_factory::machine::{End, World};
use vm_factory::memory::Memory;
use vm_factory::monitor::{IDENTITY, Monitor, Surroundings};
use vm_factory::processor::Leaf;
use xos_test_kit::Outcome;
use xos_vcpu::identity_table;

/// Pages of 2 MiB that a machine has.
const PAGES: usize = 4;
const LARGE: usize = 2 << 20;
/// Bytes of memory that a machine has.
pub const MEMORY: usize = PAGES * LARGE;
/// Where this program sees it: a gigabyte of the address space that nobody else uses.
const WINDOW: usize = 0x6000_0000_0000;
/// Behind the memory, the page with the identity table.
const TABLE_WINDOW: usize = WINDOW + MEMORY;
/// What a guest may run without an exit, in units of the preemption timer.
const TURN: u32 = 1 << 15;
/// Nanoseconds of an instruction, by the clock that Bochs is given.
const NS: u64 = 20;
/// Instructions after which a machine is ended.
const LIMIT: u64 = 500_000_000;
/// Seconds since 1970.
const DATE: u64 = 1_767_225_600;

/// What machines are made of, one after the other.
static ARENAS: Mutex<Option<Pc>> = Mutex::new(None);

/// Objects of one machine after the other.
#[derive(Clone, Copy)]
pub struct Pc {
    memory: Slot,
    objects: Slot,
}

/// How a machine ended, and what it printed.
pub struct Ran {
    pub output: String,
    pub end: End,
}

/// Time passes by the instruction, or by leaps when the guest sleeps. A line of input comes when it does.
struct Around<'a> {
    output: String,
    input: &'a [u8],
    slept: bool,
    began: u64,
    leapt: u64,
    ends: bool,
}

impl World for Around<'_> {
    fn output(&mut self, bytes: &[u8]) {
        // A guest may write without end.
        let room = (16 << 10) - self.output.len().min(16 << 10);
        self.output
            .extend(bytes.iter().take(room).map(|byte| char::from(*byte)));
    }

    fn now(&mut self) -> u64 {
        // SAFETY: every processor with VT-x has it, and this kernel leaves it to everyone.
        let cycles = unsafe { _rdtsc() } - self.began;
        self.ends |= cycles > LIMIT;
        cycles * NS + self.leapt
    }

    fn cpuid(&mut self, leaf: u32) -> Leaf {
        let leaf = __cpuid_count(leaf, 0);
        [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]
    }
}

impl Surroundings for Around<'_> {
    fn feed(&mut self, board: &mut Board) {
        if !core::mem::take(&mut self.slept) {
            return;
        }
        while let Some((first, rest)) = self.input.split_first() {
            let _ = board.receive(*first);
            self.input = rest;
            if *first == b'\r' {
                break;
            }
        }
    }

    fn signalled(&mut self, _bits: u64) {}

    fn sleep(&mut self, until: Option<u64>) {
        self.slept = true;
        match until {
            Some(until) => self.leapt += until.saturating_sub(self.now()),
            // Nothing will ever come.
            None => self.ends = true,
        }
    }

    fn ends(&mut self) -> bool {
        self.ends
    }
}

impl Pc {
    pub fn new(machine: &mut Machine<'_>) -> Outcome<Self> {
        let mut arenas = ARENAS.lock();
        if let Some(made) = *arenas {
            return Ok(made);
        }
        // The tables of the window stay.
        let (vspace, attributes) = (slot::VSPACE.cap(), VmAttributes::DEFAULT);
        machine
            .make::<cap_type::PDPT>()?
            .pdpt_map(vspace, WINDOW, attributes)?;
        machine
            .make::<cap_type::PageDirectory>()?
            .page_directory_map(vspace, WINDOW, attributes)?;
        machine
            .make::<cap_type::PageTable>()?
            .page_table_map(vspace, TABLE_WINDOW, attributes)?;
        let size_bits = MEMORY.ilog2() as usize;
        let made = Self {
            memory: machine.make_sized(&ObjectBlueprint::Untyped { size_bits })?,
            objects: machine.make_sized(&ObjectBlueprint::Untyped { size_bits: 17 })?,
        };
        *arenas = Some(made);
        Ok(made)
    }

    /// Makes a second stage and maps a machine's memory there and here, and the identity table.
    fn compose(&self, machine: &mut Machine<'_>) -> Outcome<cap::VCpu> {
        let attributes = VmAttributes::DEFAULT;
        let (arena, vspace) = (self.objects, slot::VSPACE.cap());
        let root = make::<cap_type::EPTPML4>(machine, arena)?;
        slot::ASID_POOL.cap().asid_pool_assign(root.cast())?;
        make::<cap_type::EPTPDPT>(machine, arena)?.ept_pdpt_map(root, 0, attributes)?;
        for address in [0, IDENTITY as usize] {
            make::<cap_type::EPTPageDirectory>(machine, arena)?
                .ept_page_directory_map(root, address, attributes)?;
        }
        make::<cap_type::EPTPageTable>(machine, arena)?
            .ept_page_table_map(root, IDENTITY as usize, attributes)?;
        for number in 0..PAGES {
            let slot = machine.slot()?;
            let memory = self.memory.cap().cast::<cap_type::Untyped>();
            retype(memory, &sel4::FrameObjectType::LargePage.blueprint(), slot)?;
            let frame = slot.cap().cast::<cap_type::LargePage>();
            let (address, rights) = (number * LARGE, CapRights::all());
            frame.frame_map(vspace, WINDOW + address, rights, attributes)?;
            let copy = machine.slot()?;
            at(copy).copy(&at(slot), CapRights::all())?;
            copy.cap()
                .cast::<cap_type::LargePage>()
                .frame_map_ept(root, address, rights, attributes)?;
        }
        let table = make::<cap_type::Granule>(machine, arena)?;
        table.frame_map(vspace, TABLE_WINDOW, CapRights::all(), attributes)?;
        let words = TABLE_WINDOW as *mut u32;
        for (number, entry) in identity_table().enumerate() {
            // SAFETY: the page that was just mapped.
            unsafe { words.add(number).write(entry) };
        }
        table.frame_unmap()?;
        table.frame_map_ept(root, IDENTITY as usize, CapRights::read_only(), attributes)?;
        let vcpu = make::<cap_type::VCpu>(machine, arena)?;
        vcpu.vcpu_set_tcb(slot::TCB.cap())?;
        slot::TCB.cap().tcb_set_ept_root(root)?;
        Ok(vcpu)
    }

    /// Runs our own kernel with a command line, and what is typed to it.
    pub fn run(&self, machine: &mut Machine<'_>, line: &str, input: &str) -> Outcome<Ran> {
        // Whatever the one before left.
        at(self.objects).revoke()?;
        at(self.memory).revoke()?;
        let vcpu = self.compose(machine)?;
        // SAFETY: the pages that were just mapped, until the arena is revoked. The guest writes to them only
        // while this thread is in it.
        let bytes = unsafe { core::slice::from_raw_parts_mut(WINDOW as *mut u8, MEMORY) };
        let mut memory = Memory::new(bytes);
        let image = Image {
            kernel: guest_kernel::IMAGE,
            module: &[],
            command_line: line,
        };
        let loaded = load(&image, &mut memory)?;
        let board = Board::new(DATE, MEMORY as u64);
        let mut monitor = Monitor::new(VirtualProcessor(vcpu), &loaded, board, TURN)?;
        let mut around = Around {
            output: String::new(),
            input: input.as_bytes(),
            slept: false,
            // SAFETY: as above.
            began: unsafe { _rdtsc() },
            leapt: 0,
            ends: false,
        };
        let end = monitor.run(&mut memory, &mut around)?;
        Ok(Ran {
            output: around.output,
            end,
        })
    }

    /// Runs lines, and fails unless the machine powers off by itself and prints all of these lines, in order.
    pub fn expect(
        &self,
        machine: &mut Machine<'_>,
        line: &str,
        input: &str,
        lines: &[&str],
    ) -> Outcome {
        let ran = self.run(machine, line, input)?;
        let mut printed = ran.output.lines();
        for wanted in lines {
            if !printed.any(|line| line == *wanted) {
                return Err(failed(&ran, wanted));
            }
        }
        match ran.end {
            End::PowerOff(0) => Ok(()),
            _ => Err(failed(&ran, "power-off")),
        }
    }
}

/// A machine that did not do what was wanted.
pub fn failed(ran: &Ran, wanted: &str) -> xos_test_kit::Failure {
    let mut text = String::new();
    let last = ran.output.len().saturating_sub(200);
    let _ = write!(text, "no `{wanted}`; {}; it printed ...", ran.end);
    xos_test_kit::Failure::new(format_args!("{text}{:?}", &ran.output[last..]))
}

const _: () = assert!(GRANULE == 4096 && MEMORY.is_power_of_two());
