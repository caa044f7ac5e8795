// SPDX-License-Identifier: BSD-2-Clause
//! The monitor's beginning, and its loop.

use core::arch::x86_64::{__cpuid_count, _rdtsc};

use sel4::cap::{Endpoint, Notification, VCpu};
use sel4::{MessageInfo, cap};
use virtine_factory::vcpu::call::{Virtine, World};
use virtine_factory::vcpu::layout::PAGE;
use virtine_factory::vcpu::memory::Memory;
use vm_factory::clock::Clock;
use vm_factory::kernel::VirtualProcessor;
use vm_factory::monitor::Processor;
use vm_factory::plan::{self, WINDOW};
use vm_factory::processor::Leaf;
use vm_factory::start::{ASK_TOLD, KERNEL, Start, VARIABLE};
use xos::client::Port;
use xos::link::Peer;
use xos::protocol::factory::HandleOp;
use xos::protocol::slots::{ic, leaf};
use xos::protocol::virtine::DOOR;
use xos::protocol::wire::{MAX_WORDS, Words};
use xos::protocol::{Badge, Error, Result, Who};
use xos::{eprintln, service, timer};

/// Units of the preemption timer, some cycles each, after which the time is looked at: less than a tick of the
/// kernel's takes on any processor, since each tick begins a turn anew.
const TURN: u32 = 1 << 14;
/// Exit code when there is no virtine in the image.
const NOT_STARTED: i32 = 125;
/// Words of a message that travel in registers.
const SHORT: usize = 4;

/// Time, and the processor.
#[derive(Default)]
struct Machine {
    clock: Clock,
}

impl World for Machine {
    fn now(&mut self) -> u64 {
        // SAFETY: every processor with VT-x has it, and this kernel leaves it to everyone.
        let cycles = unsafe { _rdtsc() };
        // Without a timer, time stands still.
        self.clock.now(cycles, || {
            timer::now().map_or(0, |now| now.as_nanos() as u64)
        })
    }

    fn cpuid(&mut self, leaf: u32) -> Leaf {
        let leaf = __cpuid_count(leaf, 0);
        [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]
    }
}

/// Runs the virtine on a processor that `of` makes of the real one: itself, but in tests.
pub fn run<P: Processor>(of: impl FnOnce(VirtualProcessor) -> P) -> i32 {
    let Some(start) = xos::var(VARIABLE).and_then(Start::read) else {
        eprintln!("this program runs a virtine for its factory, and nothing else");
        return NOT_STARTED;
    };
    // SAFETY: what the factory mapped before it started this program, which it tells the size of: bytes that
    // nobody writes, and the virtine's memory, to which it writes only while this thread is in it.
    let (image, bytes) = unsafe {
        (
            core::slice::from_raw_parts(KERNEL as *const u8, start.kernel as usize),
            core::slice::from_raw_parts_mut(WINDOW as *mut u8, start.memory as usize),
        )
    };
    let stack = (start.stack as u32).div_ceil(PAGE);
    let (memory, begin) = match Memory::load(bytes, image, stack) {
        Ok(loaded) => loaded,
        Err(why) => {
            eprintln!("the image is no virtine: {why}");
            return NOT_STARTED;
        }
    };
    let processor = VirtualProcessor(VCpu::from_bits(leaf(plan::PROCESSOR_SLOT)));
    let mut virtine = Virtine::new(memory, of(processor), Machine::default(), TURN);
    let (endpoint, link) = match connect() {
        Ok(connected) => connected,
        Err(why) => {
            eprintln!("the virtine's client cannot be reached: {why}");
            return NOT_STARTED;
        }
    };
    if virtine.prepare(begin).is_err() {
        eprintln!("no virtual processor");
        return NOT_STARTED;
    }
    serve(endpoint, link, &mut virtine)
}

/// Gives the client an endpoint of this program's, as it told the factory: that, and the connection's index.
fn connect() -> xos::Result<(Endpoint, u32)> {
    let factory = cap::Endpoint::from_bits(leaf(ic::ITSELF));
    let told = Port::call(&factory, ASK_TOLD, [0; SHORT], 0)?;
    let [client, slot, ..] = told.at_least(2)?;
    let endpoint = service::endpoint()?;
    let link = Peer::other_end(client as u32).connect(endpoint, slot as u32)?;
    Notification::from_bits(leaf(ic::FIRST_CHANNEL + DOOR)).signal();
    Ok((endpoint, link))
}

/// Answers the client's requests, for ever. The words that do not travel in registers are in the IPC buffer, in
/// which the kernel tells of the virtine's exits as well: so they are taken out first, and put back last.
fn serve<P: Processor>(
    endpoint: Endpoint,
    link: u32,
    virtine: &mut Virtine<'_, P, Machine>,
) -> ! {
    let mut words: Words = [0; MAX_WORDS];
    let mut message = endpoint.recv_with_mrs(());
    loop {
        let len = message.info.length().min(MAX_WORDS);
        words[..SHORT].copy_from_slice(&message.msg);
        if len > SHORT {
            sel4::with_ipc_buffer(|buffer| {
                words[SHORT..len].copy_from_slice(&buffer.msg_regs()[SHORT..len]);
            });
        }
        let result: Result<usize> = match Badge::from_word(message.badge).who() {
            Who::Session(session) if session == link => {
                match message.info.label() == HandleOp::Invoke.label() {
                    true => virtine.request(&mut words, len),
                    false => Err(Error::NoSuchOperation),
                }
            }
            _ => Err(Error::NotAllowed),
        };
        let (label, len) = match result {
            Ok(len) => (0, len),
            Err(error) => (error.label(), 0),
        };
        if len > SHORT {
            sel4::with_ipc_buffer_mut(|buffer| {
                buffer.msg_regs_mut()[SHORT..len].copy_from_slice(&words[SHORT..len]);
            });
        }
        let first = [words[0], words[1], words[2], words[3]];
        message = endpoint.reply_recv_with_mrs(MessageInfo::new(label, 0, 0, len), first, ());
    }
}
