// SPDX-License-Identifier: BSD-2-Clause
//! The life of a call, as the monitor of a virtine has it.
//!
//! ```text
//!   request (Ask::Call)   -> the virtine runs, until it
//!       returns           -> Answer::Returned
//!       makes a hypercall -> Answer::Asks, and stands still until Ask::Answer or Ask::Stop
//!       does what it may not, for too long, or to too much memory -> the answer that says so
//! ```
//! The protocol is that of all virtines ([`xos_protocol::virtine`]), spoken on the monitor's own endpoint.
//! Requests are the client's, who pays for the virtine; the virtine is anybody's.

use vm_factory::machine::{Entry, Exit, Registers, reason};
use vm_factory::monitor::{Left, PREEMPTION_TIMER, Processor};
use vm_factory::processor::{self, Leaf};
use xos_protocol::ic::FaultKind;
use xos_protocol::virtine::{Answer, Ask, MAX_BYTES, MAX_HYPERCALLS, MORE, PART};
use xos_protocol::wire::{MAX_WORDS, Words};
use xos_protocol::{Error, ExitStatus, Fault, Result};
use xos_vcpu::{Start, cr0, exit as field_of_exit, field, guest, primary, start};

use super::layout::{DESCRIPTORS, DIRECTORY, MAX_PART, PAGE, PANIC, mailbox, says, selector};
use super::memory::{Memory, Reach, Touch};
use super::trampoline;

/// Nanoseconds that a call may take if its caller says nothing, and that preparing an image may take.
pub const DEFAULT_LIMIT: u64 = 1_000_000_000;
/// Nanoseconds of a millisecond.
const MILLISECOND: u64 = 1_000_000;

/// CR4: SSE instructions and their exceptions.
const OSFXSR: u32 = 1 << 9;
const OSXMMEXCPT: u32 = 1 << 10;

/// Exceptions by their vectors.
mod vector {
    pub const INVALID_OPCODE: u8 = 6;
    pub const NO_FPU: u8 = 7;
    pub const PROTECTION: u8 = 13;
    pub const PAGE_FAULT: u8 = 14;
}

/// Bits of a page fault's error code: a write, an instruction fetch.
const WRITE: u64 = 1 << 1;
const FETCH: u64 = 1 << 4;
/// Exit reason: an exception.
const EXCEPTION: u32 = 0;
/// Exit reasons of instructions that are none in ring 3.
const GETSEC: u32 = 11;
const INVEPT: u32 = 50;
const INVVPID: u32 = 53;

/// What a monitor needs of the world.
pub trait World {
    /// Nanoseconds since some time.
    fn now(&mut self) -> u64;

    /// `CPUID` of the machine that it runs on.
    fn cpuid(&mut self, leaf: u32) -> Leaf;
}

/// Where a virtine is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Its image runs until it says that it is ready.
    Preparing,
    /// It stands still until it is called.
    Idle,
    /// It waits for the answer to a hypercall, which is to be written there.
    Asking(u32),
    /// It could not be prepared, for this reason.
    Failed(Answer, Option<ExitStatus>),
}

/// How a stay in the virtine ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ended {
    /// It says something ([`says`]), with these registers.
    Says(Registers),
    /// It crashed.
    Crashed(Fault),
    /// It ran for too long.
    OutOfTime,
    /// It touched too much memory.
    OutOfMemory,
    /// It left by a way that is none.
    Nonsense,
}

/// A virtine, its processor and its memory.
#[derive(Debug)]
pub struct Virtine<'m, P, W> {
    memory: Memory<'m>,
    processor: P,
    world: W,
    phase: Phase,
    function: u32,
    /// Hypercalls that are granted in this call.
    granted: u32,
    /// Nanoseconds that it may take, and when that is over, once somebody has looked.
    limit: u64,
    deadline: Option<u64>,
    /// When it went on after its last hypercall.
    since: Option<u64>,
    /// Whether the processor is where it leaves ring 0, so that a call can begin.
    at_exit: bool,
    /// Whether a call has used floating-point registers.
    floats: bool,
    /// Bytes of the argument's page that are not zero.
    argument: usize,
    /// Units of the preemption timer after which the monitor looks at the time.
    turn: u32,
}

impl<'m, P: Processor, W: World> Virtine<'m, P, W> {
    /// One whose image is in its memory. Nothing of it has run.
    pub fn new(memory: Memory<'m>, processor: P, world: W, turn: u32) -> Self {
        Self {
            memory,
            processor,
            world,
            phase: Phase::Preparing,
            function: 0,
            granted: 0,
            limit: DEFAULT_LIMIT,
            deadline: None,
            since: None,
            at_exit: false,
            floats: true,
            argument: 0,
            turn,
        }
    }

    /// Has the image prepared that begins at `begin`. That it cannot be is told by every call.
    ///
    /// # Errors
    /// When there is no virtual processor.
    pub fn prepare(&mut self, begin: u32) -> core::result::Result<(), P::Error> {
        self.memory.tell(mailbox::ENTRY, begin);
        let failed = match self.begin()? {
            Ended::Says(said) if said.eax == says::READY => {
                self.function = said.ebx;
                match self.memory.save() {
                    true => None,
                    false => Some((Answer::OutOfMemory, None)),
                }
            }
            Ended::Says(_) | Ended::Nonsense => Some((Answer::Nonsense, None)),
            Ended::Crashed(fault) => Some((Answer::Crashed, Some(ExitStatus::Fault(fault)))),
            Ended::OutOfTime => Some((Answer::OutOfTime, None)),
            Ended::OutOfMemory => Some((Answer::OutOfMemory, None)),
        };
        if let Some((answer, status)) = failed {
            self.phase = Phase::Failed(answer, status);
            return Ok(());
        }
        // Its floating-point registers once more as after a reset; from then on their use is noticed.
        self.memory.tell(mailbox::ENTRY, 0);
        self.begin()?;
        self.float(false)?;
        self.memory.tell(mailbox::ENTRY, self.function);
        self.phase = Phase::Idle;
        Ok(())
    }

    /// Lets calls use floating-point registers, or has their first use noticed.
    fn float(&mut self, floats: bool) -> core::result::Result<(), P::Error> {
        self.floats = floats;
        let (exceptions, task_switched) = match floats {
            // The kernel's: who uses the registers gets them.
            true => (!(1 << vector::NO_FPU), 0),
            false => (u32::MAX, cr0::TS),
        };
        let forced = cr0::PE | cr0::PG | cr0::NE | cr0::ET;
        self.processor
            .write(field::EXCEPTION_BITMAP, exceptions.into())?;
        self.processor
            .write(guest::CR0, (forced | task_switched).into())
    }

    /// Puts the processor where a call can begin, whatever it was left in.
    fn reset(&mut self) -> core::result::Result<(), P::Error> {
        start(
            &mut self.processor,
            &Start {
                ip: trampoline::begin(),
                sp: mailbox::STACK_END,
                cr3: DIRECTORY * PAGE,
                cr4: OSFXSR | OSXMMEXCPT,
                cr0: 0,
                gdt: (DESCRIPTORS, 8 * 5 - 1),
                selectors: (selector::CODE_0, selector::DATA_0),
            },
        )?;
        // No port is allowed by a task state segment as short as that.
        self.processor.write(guest::TR_LIMIT, 0)?;
        // The registers of `SYSENTER`: ring 0, at its one door.
        for (field, value) in [
            (guest::IA32_SYSENTER_CS, u32::from(selector::CODE_0)),
            (guest::IA32_SYSENTER_ESP, mailbox::STACK_END),
            (guest::IA32_SYSENTER_EIP, trampoline::exit()),
        ] {
            self.processor.write(field, value.into())?;
        }
        // What ring 3 can read of control registers does not change.
        let shown = cr0::PE | cr0::PG | cr0::NE | cr0::ET;
        for (field, value) in [
            (field::CR0_GUEST_HOST_MASK, u32::MAX),
            (field::CR0_READ_SHADOW, shown),
            (field::CR4_GUEST_HOST_MASK, u32::MAX),
            (field::CR4_READ_SHADOW, OSFXSR | OSXMMEXCPT),
        ] {
            self.processor.write(field, value.into())?;
        }
        let pins = self.processor.read(field::PINBASED_EXEC_CONTROLS)?;
        self.processor
            .write(field::PINBASED_EXEC_CONTROLS, pins | PREEMPTION_TIMER)?;
        self.processor
            .write(guest::VMX_PREEMPTION_TIMER_VALUE, self.turn.into())?;
        self.float(self.floats)?;
        self.at_exit = true;
        Ok(())
    }

    /// Runs the virtine from its beginning.
    #[inline]
    fn begin(&mut self) -> core::result::Result<Ended, P::Error> {
        if !self.at_exit {
            self.reset()?;
        }
        (self.deadline, self.since) = (None, None);
        let ip = match self.floats {
            true => trampoline::begin_floating(),
            false => trampoline::begin(),
        };
        self.run(ip)
    }

    /// Runs the virtine from an instruction on.
    #[inline]
    fn run(&mut self, mut ip: u32) -> core::result::Result<Ended, P::Error> {
        self.at_exit = false;
        loop {
            let left = self.processor.enter(&Entry {
                ip,
                controls: primary::ALWAYS,
                interruption: 0,
            });
            let exit = match left {
                Left::Exit(exit) => exit,
                Left::Signal { ip: at, .. } => {
                    ip = at;
                    continue;
                }
            };
            if exit.reason == reason::VMCALL {
                self.at_exit = exit.ip == trampoline::exit();
                return Ok(match self.at_exit {
                    true => Ended::Says(exit.registers),
                    false => Ended::Nonsense,
                });
            }
            match self.other(&exit)? {
                Ok(at) => ip = at,
                Err(ended) => return Ok(ended),
            }
        }
    }

    /// It left in another way than by calling: where it goes on, or how it ended.
    #[cold]
    fn other(
        &mut self,
        exit: &Exit,
    ) -> core::result::Result<core::result::Result<u32, Ended>, P::Error> {
        let crash = |kind| {
            Ok(Err(Ended::Crashed(Fault {
                ip: exit.ip.into(),
                kind,
            })))
        };
        match exit.reason {
            EXCEPTION => self.exception(exit),
            reason::PREEMPTION_TIMER => {
                let now = self.world.now();
                let deadline = *self.deadline.get_or_insert(now + self.limit);
                Ok(match now >= deadline {
                    true => Err(Ended::OutOfTime),
                    false => Ok(exit.ip),
                })
            }
            reason::EXTERNAL_INTERRUPT | reason::INTERRUPT_WINDOW => Ok(Ok(exit.ip)),
            reason::CPUID => {
                let world = &mut self.world;
                let leaf = processor::cpuid(exit.registers.eax, |leaf| world.cpuid(leaf));
                let mut registers = exit.registers;
                [registers.eax, registers.ebx, registers.ecx, registers.edx] = leaf;
                self.processor.set_registers(&registers)?;
                Ok(Ok(exit.ip.wrapping_add(exit.length)))
            }
            reason::PAUSE => Ok(Ok(exit.ip.wrapping_add(exit.length))),
            reason::VMCLEAR..=reason::VMXON | GETSEC | INVEPT | INVVPID => {
                crash(FaultKind::Exception(vector::INVALID_OPCODE))
            }
            // No table leads there.
            reason::EPT_VIOLATION => crash(FaultKind::Read(exit.physical)),
            _ => crash(FaultKind::Exception(vector::PROTECTION)),
        }
    }

    fn exception(
        &mut self,
        exit: &Exit,
    ) -> core::result::Result<core::result::Result<u32, Ended>, P::Error> {
        let what = self
            .processor
            .read(field_of_exit::VMEXIT_INTERRUPTION_INFO)?;
        let crash = |kind| {
            Ok(Err(Ended::Crashed(Fault {
                ip: exit.ip.into(),
                kind,
            })))
        };
        match what as u8 {
            vector::NO_FPU => {
                self.float(true)?;
                Ok(Ok(exit.ip))
            }
            vector::PAGE_FAULT => {
                let address = exit.qualification as u32;
                let prepares = self.phase == Phase::Preparing;
                match self.memory.touch(address, prepares) {
                    Touch::Given => Ok(Ok(exit.ip)),
                    Touch::TooMuch => Ok(Err(Ended::OutOfMemory)),
                    Touch::Refused => {
                        let error = self
                            .processor
                            .read(field_of_exit::VMEXIT_INTERRUPTION_ERR_CODE)?;
                        crash(FaultKind::page_fault(
                            exit.ip.into(),
                            address.into(),
                            error & WRITE != 0,
                            error & FETCH != 0,
                        ))
                    }
                }
            }
            vector::INVALID_OPCODE if exit.registers.eax == PANIC => crash(FaultKind::Panic),
            vector => crash(FaultKind::Exception(vector)),
        }
    }

    /// A request of the client's: an invocation with these words. Its answer is in the same place: the number
    /// of words.
    ///
    /// # Errors
    /// What the client is told: [`Error::Malformed`] and [`Error::BadState`] as they mean, [`Error::Kernel`]
    /// when there is no virtual processor any more.
    pub fn request(&mut self, words: &mut Words, len: usize) -> Result<usize> {
        let (2..) = len else {
            return Err(Error::Malformed);
        };
        if let Phase::Failed(answer, status) = self.phase {
            return Ok(tell(words, answer, status));
        }
        let bytes = words[0].checked_sub(8).ok_or(Error::Malformed)?;
        let ended = match Ask::from_word(words[1])? {
            Ask::Call {
                granted,
                limit,
                long,
            } => {
                if self.phase != Phase::Idle {
                    return Err(Error::BadState);
                }
                let (length, first, bytes) = match long {
                    false => (bytes, 2, bytes),
                    true => {
                        let bytes = bytes.checked_sub(8).ok_or(Error::Malformed)?;
                        (*words.get(2).ok_or(Error::Malformed)?, 3, bytes)
                    }
                };
                if length > MAX_BYTES || (long && length <= bytes) {
                    return Err(Error::Malformed);
                }
                let part = counted(&words[..len.min(MAX_WORDS)], first, bytes)?;
                self.granted = granted;
                self.limit = match limit {
                    0 => DEFAULT_LIMIT,
                    limit => u64::from(limit) * MILLISECOND,
                };
                self.take_argument(part, bytes as usize, length as u32);
                self.begin()
            }
            Ask::Answer => {
                let Phase::Asking(at) = self.phase else {
                    return Err(Error::BadState);
                };
                let part = counted(&words[..len.min(MAX_WORDS)], 2, bytes)?;
                match self.memory.write_words(at, bytes as usize, part) {
                    Ok(()) => {
                        self.memory.tell(mailbox::ANSWER, bytes as u32);
                        self.since = Some(self.world.now());
                        self.phase = Phase::Idle;
                        // Behind the call of the monitor.
                        self.run(trampoline::exit() + 3)
                    }
                    Err(reach) => Ok(out_of_reach(reach)),
                }
            }
            Ask::Stop => {
                let Phase::Asking(_) = self.phase else {
                    return Err(Error::BadState);
                };
                self.end();
                return Ok(tell(words, Answer::Returned, None));
            }
        };
        let ended = ended.map_err(|_| Error::Kernel)?;
        Ok(self.ended(ended, words))
    }

    /// Puts the argument's first part where the virtine finds it, and nothing of an earlier one.
    #[inline]
    fn take_argument(&mut self, part: &[u64], bytes: usize, length: u32) {
        let left = self.argument;
        let place = self.memory.argument();
        // In whole words, the last of which the client may have filled with anything.
        for (to, word) in place.chunks_exact_mut(8).zip(part) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        let end = left.max(8 * part.len());
        if bytes < end {
            place[bytes..end].fill(0);
        }
        self.argument = bytes;
        self.memory.tell(mailbox::LENGTH, length);
    }

    /// A call is over.
    #[inline]
    fn end(&mut self) {
        self.phase = Phase::Idle;
        self.memory.put_back();
    }

    /// The virtine was left: what the client is told.
    #[inline]
    fn ended(&mut self, ended: Ended, words: &mut Words) -> usize {
        let (answer, status) = match ended {
            Ended::Says(said) if said.eax == says::RETURN => {
                match self.pass(&said, Answer::Returned, words) {
                    Ok(len) => {
                        self.end();
                        return len;
                    }
                    Err(ended) => (ended, None),
                }
            }
            Ended::Says(said) if said.eax == says::ASK => {
                let number = said.ebx.min(255) as u8;
                let granted = match number {
                    MORE | PART => true,
                    number if number < MAX_HYPERCALLS => self.granted & 1 << number != 0,
                    _ => false,
                };
                match granted {
                    true if !self.stops() => (Answer::OutOfTime, None),
                    true => match self.pass(&said, Answer::Asks(number), words) {
                        Ok(len) => {
                            self.phase = Phase::Asking(said.ebp);
                            return len;
                        }
                        Err(ended) => (ended, None),
                    },
                    false => (Answer::NotGranted(number), None),
                }
            }
            Ended::Says(_) | Ended::Nonsense => (Answer::Nonsense, None),
            Ended::Crashed(fault) => (Answer::Crashed, Some(ExitStatus::Fault(fault))),
            Ended::OutOfTime => (Answer::OutOfTime, None),
            Ended::OutOfMemory => (Answer::OutOfMemory, None),
        };
        self.end();
        tell(words, answer, status)
    }

    /// It waits for an answer, which does not count to its time. Whether some of that is left.
    fn stops(&mut self) -> bool {
        let now = self.world.now();
        self.limit = match (self.deadline.take(), self.since) {
            (Some(deadline), _) => deadline.saturating_sub(now),
            (None, Some(since)) => self.limit.saturating_sub(now.saturating_sub(since)),
            // Not as long as a turn.
            (None, None) => self.limit,
        };
        self.limit != 0
    }

    /// The answer, and the bytes that the virtine names.
    #[inline]
    fn pass(
        &mut self,
        said: &Registers,
        answer: Answer,
        words: &mut Words,
    ) -> core::result::Result<usize, Answer> {
        if said.edi > MAX_PART {
            return Err(Answer::Nonsense);
        }
        let bytes = said.edi as usize;
        let into = &mut words[2..2 + bytes.div_ceil(8)];
        match self.memory.read_words(said.esi, bytes, into) {
            Ok(()) => {}
            Err(Reach::Outside) => return Err(Answer::Nonsense),
            Err(Reach::TooMuch) => return Err(Answer::OutOfMemory),
        }
        words[0] = 8 + bytes as u64;
        words[1] = answer.word();
        Ok(2 + bytes.div_ceil(8))
    }
}

fn out_of_reach(reach: Reach) -> Ended {
    match reach {
        Reach::Outside => Ended::Nonsense,
        Reach::TooMuch => Ended::OutOfMemory,
    }
}

/// An answer without bytes, or with a status.
fn tell(words: &mut Words, answer: Answer, status: Option<ExitStatus>) -> usize {
    words[1] = answer.word();
    match status {
        None => {
            words[0] = 8;
            2
        }
        Some(status) => {
            words[0] = 8 + 24;
            words[2..5].copy_from_slice(&status.words());
            5
        }
    }
}

/// The words of so many bytes from word `from` on.
fn counted(words: &[u64], from: usize, bytes: u64) -> Result<&[u64]> {
    if bytes > MAX_PART.into() {
        return Err(Error::Malformed);
    }
    words
        .get(from..from + (bytes as usize).div_ceil(8))
        .ok_or(Error::Malformed)
}
