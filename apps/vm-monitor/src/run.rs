// SPDX-License-Identifier: BSD-2-Clause
//! The machine's surroundings: console, time, and the thread that waits for input.

use core::arch::x86_64::{__cpuid_count, _rdtsc};
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use heapless::{Deque, Vec};
use sel4::cap::{Notification, VCpu};
use vm_factory::devices::Board;
use vm_factory::kernel::VirtualProcessor;
use vm_factory::links::Link;
use vm_factory::loaders::{Image, load};
use vm_factory::machine::{End, World};
use vm_factory::memory::Memory;
use vm_factory::monitor::{Monitor, Processor, Surroundings};
use vm_factory::plan::{self, WINDOW};
use vm_factory::processor::Leaf;
use vm_factory::start::{KERNEL, MODULE, Start};
use vm_factory::clock::Clock;
use xos::client::Console;
use xos::protocol::manager::Consent;
use xos::protocol::slots::leaf;
use xos::sync::{Mutex, mutex};
use xos::{Session, eprintln, thread, timer};

use crate::links::Links;

/// What a guest may run without an exit, in units of the preemption timer: less than a tick of its own timer
/// takes on any processor.
const TURN: u32 = 1 << 15;
/// How long a machine sleeps at most before it looks for input.
const NAP: Duration = Duration::from_millis(10);
/// Bytes of output that are collected.
const LINE: usize = 256;

/// Exit code when a machine cannot be started.
const NOT_STARTED: i32 = 125;

/// What was typed and is not the guest's yet.
static INPUT: Mutex<Deque<u8, 1024>> = mutex(Deque::new());
/// Whether something is there.
static TYPED: AtomicBool = AtomicBool::new(false);

struct Around {
    clock: Clock,
    begun: u64,
    console: Session,
    line: Vec<u8, LINE>,
    links: Links,
}

fn driver() -> u64 {
    // Without a timer, time stands still.
    timer::now().map_or(0, |now| now.as_nanos() as u64)
}

impl Around {
    fn time(&mut self) -> u64 {
        // SAFETY: every processor with VT-x has it, and this kernel leaves it to everyone.
        let cycles = unsafe { _rdtsc() };
        self.clock.now(cycles, driver)
    }

    fn flush(&mut self) {
        if !self.line.is_empty() {
            // A console that is gone takes nothing: the guest goes on.
            let _ = Console::new(self.console.endpoint()).write(&self.line);
            self.line.clear();
        }
    }
}

impl World for Around {
    fn output(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.line.is_full() {
                self.flush();
            }
            // The console returns to the beginning of a line by itself.
            if *byte == b'\n' && self.line.last() == Some(&b'\r') {
                self.line.pop();
            }
            // There is room.
            let _ = self.line.push(*byte);
            if *byte == b'\n' {
                self.flush();
            }
        }
    }

    fn now(&mut self) -> u64 {
        let begun = self.begun;
        self.time().saturating_sub(begun)
    }

    fn cpuid(&mut self, leaf: u32) -> Leaf {
        let leaf = __cpuid_count(leaf, 0);
        [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]
    }

    fn link(&mut self, link: Link<'_>) -> u32 {
        // Whoever is talked to may print as well, and afterwards.
        self.flush();
        self.links.link(link)
    }
}

impl Surroundings for Around {
    fn feed(&mut self, board: &mut Board) {
        self.links.feed(board);
        if !TYPED.load(Ordering::Acquire) {
            return;
        }
        let mut input = INPUT.lock();
        while board.room() != 0
            && let Some(byte) = input.pop_front()
        {
            // There is room, unless the guest has connected the line to itself.
            let _ = board.receive(byte);
        }
        TYPED.store(!input.is_empty(), Ordering::Release);
    }

    fn signalled(&mut self, bits: u64) {
        self.links.signalled(bits);
    }

    fn sleep(&mut self, until: Option<u64>) {
        self.flush();
        match until {
            Some(until) => {
                let time = Duration::from_nanos(until.saturating_sub(self.now())).min(NAP);
                let _ = timer::sleep(time);
                let (_, bits) = self.links.wakes().poll();
                self.links.signalled(bits);
            }
            None => {
                let ((), bits) = self.links.wakes().wait();
                self.links.signalled(bits);
            }
        }
    }

    fn ends(&mut self) -> bool {
        false
    }
}

/// Waits for what is typed, and says so.
fn wait_for_input(wakes: Notification) {
    let Ok(session) = Session::open("console", Consent::default()) else {
        return;
    };
    let mut buffer = [0; 64];
    while let Ok(bytes) = Console::new(session.endpoint()).read(&mut buffer, true) {
        if bytes.is_empty() {
            // The end of input.
            return;
        }
        for byte in bytes {
            while INPUT.lock().push_back(*byte).is_err() {
                let _ = timer::sleep(NAP);
            }
        }
        TYPED.store(true, Ordering::Release);
        wakes.signal();
    }
}

/// Bytes that the factory has mapped.
///
/// # Safety
/// They are mapped, readable, for as long as this program lives, and nobody writes to them.
unsafe fn region(address: u64, bytes: u64) -> &'static [u8] {
    match bytes {
        0 => &[],
        // SAFETY: the caller's.
        bytes => unsafe { core::slice::from_raw_parts(address as *const u8, bytes as usize) },
    }
}

/// Runs the machine that the factory has told of, on what is made of its processor: the exit code.
pub fn run<P: Processor>(with: impl FnOnce(VirtualProcessor) -> P) -> i32 {
    let Some(start) = xos::var(vm_factory::start::VARIABLE).and_then(Start::read) else {
        eprintln!("this program runs a virtual machine for the vm factory, and nothing else");
        return NOT_STARTED;
    };
    match machine(&start, with) {
        Ok(end) => {
            if !matches!(end, End::PowerOff(_)) {
                eprintln!("the machine ended: {end}");
            }
            end.code()
        }
        Err(why) => {
            eprintln!("the machine cannot be started: {why}");
            NOT_STARTED
        }
    }
}

fn machine<P: Processor>(
    start: &Start,
    with: impl FnOnce(VirtualProcessor) -> P,
) -> Result<End, heapless::String<96>> {
    let told = |why: &dyn core::fmt::Display| {
        let mut text = heapless::String::new();
        let _ = write!(text, "{why}");
        text
    };
    let mut line = heapless::String::<2048>::new();
    for (number, word) in xos::args().skip(1).enumerate() {
        let space = if number == 0 { "" } else { " " };
        write!(line, "{space}{word}").map_err(|_| told(&"the command line is too long"))?;
    }
    // SAFETY: what the factory mapped before it started this program, which it tells the size of. The guest
    // writes to its memory only while this thread is in it.
    let (kernel, module, bytes) = unsafe {
        (
            region(KERNEL, start.kernel),
            region(MODULE, start.module),
            core::slice::from_raw_parts_mut(WINDOW as *mut u8, start.memory as usize),
        )
    };
    let mut memory = Memory::new(bytes);
    let image = Image {
        kernel,
        module,
        command_line: &line,
    };
    let loaded = load(&image, &mut memory).map_err(|why| told(&why))?;
    let date = timer::real_time().map_or(0, |time| time.as_secs());
    let board = Board::new(date, start.memory);
    let processor = with(VirtualProcessor(VCpu::from_bits(leaf(plan::PROCESSOR_SLOT))));
    let mut monitor =
        Monitor::new(processor, &loaded, board, TURN).map_err(|_| told(&"no virtual processor"))?;

    let links = Links::new().map_err(|why| told(&why))?;
    let wakes = links.wakes();
    if start.input {
        let waits = thread::spawn(move || wait_for_input(wakes));
        core::mem::forget(waits.map_err(|why| told(&why))?);
    }
    let console = Session::open("console", Consent::default()).map_err(|why| told(&why))?;
    let mut around = Around {
        clock: Clock::default(),
        begun: 0,
        console,
        line: Vec::new(),
        links,
    };
    around.begun = around.time();
    let end = monitor.run(&mut memory, &mut around);
    around.flush();
    end.map_err(|_| told(&"the virtual processor is gone"))
}
