// SPDX-License-Identifier: BSD-2-Clause
//! The server: from an event to what is done about it.
//!
//! Everything begins with one of three events: a thread [faulted](Server::fault) (a system call is a
//! fault, too), a [time](Server::tick) has come, or [input](Server::input) has. Each is seen to, and with it all that it
//! woke; then the server waits for the next.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`signals`] | sends signals, and delivers them on the way back to a program |
//! | [`life`] | makes and ends processes and threads |
//! | [`exec`] | starts programs |
//! | [`glue`] | gives processes their files |
//! | [`memory`] | moves values to and from programs |
//! | [`view`] | what `/proc` shows |

pub mod exec;
pub mod glue;
pub mod life;
pub mod memory;
pub mod signals;
pub mod view;

use alloc::vec::Vec;
use core::fmt;

use hashbrown::HashSet;
use linux_raw_sys::general as linux;

use crate::buffer::Segment;
use crate::file::{Files, Request};
use crate::flow::{Flow, Progress};
use crate::futex::Futexes;
use crate::kernel::{Execution, Extent, Kernel, Registers};
use crate::mm::{Access, Resources, Trap};
use crate::pages::{Claim, Page, Pages};
use crate::signal::{Info, Signal};
use crate::syscall::{self, Outcome};
use crate::task::{MAX_NUMBER, Process, State, Tasks};
use crate::timers::{Event, Timers};
use crate::tty::TerminalId;
use crate::{Errno, ProcessId, Result, ThreadId};

/// Bytes of the `syscall` instruction.
const SYSCALL: u64 = 2;
/// Vector of the invalid-opcode exception.
const INVALID_OPCODE: u64 = 6;
/// Vector of the general-protection exception.
const PROTECTION: u64 = 13;
/// Bit of its error code: what is named is in the interrupt descriptor table (Intel SDM volume 3, section 6.13).
const IN_IDT: u64 = 1 << 1;
/// Numbers of calls without a name that the log is told of.
const MAX_NAMELESS: u32 = 8;
/// The `int N` instruction's first byte.
const INT: u8 = 0xcd;

/// What stopped a thread, as the kernel tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A processor exception: its vector, and the error code.
    Exception(u64, u64),
    /// A page fault: the address, and how it was accessed.
    Page(u64, Access),
    /// Anything else: an attempt to use the kernel that programs do not have.
    Foreign,
}

/// The server of one tree of processes.
pub struct Server<K, P> {
    /// The machine.
    pub kernel: K,
    /// Frames.
    pub pages: P,
    /// Files.
    pub files: Files,
    /// Processes and threads.
    pub tasks: Tasks,
    /// Who waits on which word.
    pub futexes: Futexes,
    /// What is to happen when.
    pub timers: Timers,
    /// The frame with the code that signal handlers return to.
    trampoline: Option<Page>,
    /// The thread whose call or fault is being seen to.
    pub(crate) current: Option<ThreadId>,
    /// When the server last gave the processor away.
    left: u64,
    /// When the event that it sees to began.
    pub(crate) entered: u64,
    /// The terminal that is the machine's console.
    pub(crate) console: Option<TerminalId>,
    /// What `uname` says of the domain.
    pub domain: Vec<u8>,
    /// Calls that nobody knows, of which the log has been told.
    unknown: HashSet<u32>,
    /// How many of them have no name.
    nameless: u32,
    /// Pieces of a program's memory; kept so that no call has to allocate.
    pub(crate) segments: Vec<Segment>,
    /// What the first process ended with, once it has.
    pub ended: Option<i32>,
    /// Other processes without a parent that have ended, and how.
    pub finished: Vec<(ProcessId, i32)>,
}

impl<K: Kernel, P: Pages> Server<K, P> {
    /// A server without processes.
    pub fn new(mut kernel: K, pages: P, files: Files) -> Self {
        let now = kernel.now();
        let mut tasks = Tasks::default();
        tasks.processes.reserve(MAX_NUMBER as usize);
        tasks.threads.reserve(MAX_NUMBER as usize);
        tasks.system.host = b"xos".to_vec();
        tasks.system.epoch = kernel.epoch();
        tasks.system.processor = kernel.processor();
        Self {
            kernel,
            pages,
            files,
            tasks,
            futexes: Futexes::default(),
            timers: Timers::default(),
            trampoline: None,
            current: None,
            left: now,
            entered: now,
            console: None,
            domain: b"(none)".to_vec(),
            unknown: HashSet::new(),
            nameless: 0,
            segments: Vec::new(),
            ended: None,
            finished: Vec::new(),
        }
    }

    /// A thread has stopped.
    pub fn fault(&mut self, execution: Execution, fault: Fault) {
        // An execution that nobody has any more: its fault was on the way when it ended.
        let Some(thread) = self.tasks.executions.get(&execution).copied() else {
            return;
        };
        self.enter(Some(thread));
        self.tasks.system.traps += 1;
        if let Ok(t) = self.tasks.thread_mut(thread) {
            if t.state != State::Running {
                // It says that it faults while it waits for us: made up, by a message of its own.
                return;
            }
            if !matches!(fault, Fault::Page(..)) {
                // A page that is supplied is nothing to the registers.
                t.registers = self.kernel.registers(execution);
                t.progress = Progress::default();
            }
        }
        match fault {
            Fault::Exception(INVALID_OPCODE, _) if self.is_at_syscall(thread) => self.call(thread),
            Fault::Page(address, access) => self.page_fault(thread, address, access),
            Fault::Exception(vector, error) => self.exception(thread, vector, error),
            // An interrupt of software's, whose gate is for nobody.
            Fault::Foreign if let Some([INT, vector]) = self.instruction(thread) => {
                self.exception(thread, PROTECTION, u64::from(vector) << 3 | IN_IDT);
            }
            Fault::Foreign => {
                let ip = self.tasks.thread(thread).map_or(0, |t| t.registers.rip);
                self.force(thread, Info::fault(SIGILL, linux::ILL_ILLOPC, ip));
                self.go(thread, Extent::All, None);
            }
        }
        self.settle();
    }

    /// The time for which [`Kernel::alarm`] was asked may have come.
    pub fn tick(&mut self) {
        self.enter(None);
        self.expire();
        self.settle();
    }

    /// Input came from the console.
    pub fn input(&mut self, bytes: &[u8]) {
        if let Some(console) = self.console {
            self.input_of(console, bytes);
        }
    }

    /// Input came from the other side of a terminal.
    pub(crate) fn input_of(&mut self, terminal: TerminalId, bytes: &[u8]) {
        self.intervene(|server| {
            let files = &mut server.files;
            files
                .terminals
                .input(&mut files.queues, &mut files.requests, terminal, bytes);
        });
    }

    /// Does something that nobody here asked for.
    pub fn intervene<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> R {
        self.enter(None);
        let result = f(self);
        self.settle();
        result
    }

    /// Makes `/dev/console` be the machine's.
    pub fn make_console(&mut self) {
        let files = &mut self.files;
        self.console = Some(files.terminals.console(&mut files.queues, 0));
    }

    /// What is done from now on is done for a thread, which gets what memory it may.
    fn attend(&mut self, thread: ThreadId) {
        let claim = self.claim(thread);
        self.pages.serve(claim);
        self.kernel.serve(claim);
    }

    /// What a thread may claim when something is scarce.
    pub(crate) fn claim(&self, thread: ThreadId) -> Claim {
        self.tasks
            .process_of(thread)
            .map_or(Claim::Any, Process::claim)
    }

    /// Whether the server's own memory has room for what a thread's call may make.
    ///
    /// There is no telling a call in the middle that there is none, so nothing is begun that might need it. About
    /// half is for a table that grows, whose old and new place are there at once.
    pub(crate) fn has_room(&mut self, thread: ThreadId) -> bool {
        self.has_room_for(thread, 0)
    }

    /// The same for a call that is known to need so many bytes: more than a call usually does.
    pub(crate) fn has_room_for(&mut self, thread: ThreadId, bytes: usize) -> bool {
        let (used, all) = self.kernel.heap();
        self.tasks.system.heap = used;
        // What is between two claims is more than one call may take.
        used + bytes < all / 16 * 6
            || match self.claim(thread) {
                Claim::Any => false,
                Claim::Superuser => used + bytes < all / 16 * 8,
                Claim::First => used + bytes < all / 16 * 9,
            }
    }

    /// Whether a thread's page can be supplied: that takes little, and what had begun goes on for longer.
    fn has_room_for_page(&mut self, thread: ThreadId) -> bool {
        let (used, all) = self.kernel.heap();
        used < all / 16 * (9 + self.claim(thread) as usize)
    }

    /// Takes note of the time, which the program that ran since the last event has used, and attends to its thread.
    fn enter(&mut self, thread: Option<ThreadId>) {
        let now = self.kernel.now();
        self.entered = now;
        self.tasks.system.now = now;
        let used = now.saturating_sub(self.left);
        if let Some(thread) = thread
            && let Some(t) = self.tasks.threads.get_mut(&thread)
        {
            t.time += used;
            self.tasks.system.user += used;
            let process = t.process;
            if let Some(process) = self.tasks.processes.get_mut(&process) {
                process.usage.times.user += used;
                let claim = process.claim();
                self.pages.serve(claim);
                self.kernel.serve(claim);
            }
        }
    }

    /// Sees to everything that follows from what was done, until nothing is left.
    pub fn settle(&mut self) {
        loop {
            if !self.files.requests.is_empty() {
                for request in core::mem::take(&mut self.files.requests) {
                    self.request(request);
                }
            } else if let Some(thread) = self.files.queues.next_woken() {
                self.again(thread);
            } else {
                break;
            }
        }
        self.kernel.alarm(self.timers.next());
        self.left = self.kernel.now();
        self.tasks.system.system += self.left.saturating_sub(self.entered);
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::SignalGroup(group, signal) => {
                if let Ok(signal) = Signal::new(signal) {
                    self.signal_group(group, Info::from_kernel(signal));
                }
            }
            Request::SignalProcess(process, signal) => {
                if let Ok(signal) = Signal::new(signal) {
                    self.signal_process(process, Info::from_kernel(signal));
                }
            }
            Request::Cut(node, first) => self.cut(node, first),
        }
    }

    /// Does the call that the registers of a thread ask for, which is attended to.
    fn call(&mut self, thread: ThreadId) {
        let Ok(t) = self.tasks.thread(thread) else {
            return;
        };
        let (number, args) = (t.registers.rax, t.registers.arguments());
        let before = self.current.replace(thread);
        let flow = syscall::dispatch(self, thread, number, args);
        self.current = before;
        match flow {
            Outcome::Flow(Flow::Done(result)) => self.finish(thread, result, Extent::Result),
            Outcome::Flow(Flow::Block) => self.block(thread),
            Outcome::DoneWithAll(result) => self.finish(thread, result, Extent::All),
            Outcome::Left => {}
        }
    }

    /// Does a thread's call again, since something has happened that it waited for.
    fn again(&mut self, thread: ThreadId) {
        let Ok(t) = self.tasks.thread_mut(thread) else {
            return;
        };
        if t.state != State::Blocked {
            return;
        }
        let (alarm, process) = (t.alarm.take(), t.process);
        if let Some(at) = alarm {
            self.timers.remove(at, Event::Deadline(thread));
        }
        if self.tasks.process(process).is_ok_and(|p| p.stopped) {
            // It is done when the process goes on.
            return;
        }
        self.attend(thread);
        self.call(thread);
    }

    /// A thread's call waits.
    fn block(&mut self, thread: ThreadId) {
        let Ok(t) = self.tasks.thread_mut(thread) else {
            return;
        };
        if t.state != State::Blocked {
            t.state = State::Blocked;
            self.kernel.hold(t.execution);
            let process = t.process;
            if let Some(process) = self.tasks.processes.get_mut(&process) {
                process.usage.waits += 1;
            }
        }
        if self.has_signal(thread) {
            self.interrupt(thread);
            return;
        }
        if let Ok(t) = self.tasks.thread_mut(thread)
            && let Some(at) = t.progress.deadline
            && at != u64::MAX
        {
            t.alarm = Some(at);
            self.timers.add(at, Event::Deadline(thread));
        }
    }

    /// A thread's call ends before what it waits for has happened: a signal is there.
    pub(crate) fn interrupt(&mut self, thread: ThreadId) {
        self.forget(thread);
        let Ok(t) = self.tasks.thread(thread) else {
            return;
        };
        let result = match t.progress.bytes {
            0 => Err(syscall::when_interrupted(t.registers.rax)),
            bytes => Ok(bytes),
        };
        self.finish(thread, result, Extent::Result);
    }

    /// A thread does not wait for anything any more.
    pub(crate) fn forget(&mut self, thread: ThreadId) {
        let process = self.tasks.thread(thread).map(|t| t.process);
        if let Ok(process) = process {
            self.files.abandon(&mut self.pages, process, thread);
        }
        self.futexes.forget(thread);
        if let Ok(t) = self.tasks.thread_mut(thread) {
            t.awaited = 0;
            if let Some(at) = t.alarm.take() {
                self.timers.remove(at, Event::Deadline(thread));
            }
        }
    }

    /// A thread's call is done.
    fn finish(&mut self, thread: ThreadId, result: Result<u64>, extent: Extent) {
        let Ok(t) = self.tasks.thread_mut(thread) else {
            return;
        };
        let restart = match result {
            Err(
                error @ (Errno::RESTARTSYS | Errno::RESTARTNOHAND | Errno::RESTART_RESTARTBLOCK),
            ) => Some(error),
            result => {
                t.registers.rax = match result {
                    Ok(value) => value,
                    Err(error) => error.to_register(),
                };
                t.registers.rip = t.registers.rip.wrapping_add(SYSCALL);
                t.progress = Progress::default();
                None
            }
        };
        self.go(thread, extent, restart);
    }

    /// Whether what a thread stopped at is a `syscall` instruction. (What it is now: it may be another one
    /// than the processor saw, which is up to the program.)
    fn is_at_syscall(&mut self, thread: ThreadId) -> bool {
        self.instruction(thread) == Some([0x0f, 0x05])
    }

    /// The first bytes of what a thread stopped at.
    fn instruction(&mut self, thread: ThreadId) -> Option<[u8; SYSCALL as usize]> {
        let t = self.tasks.thread(thread).ok()?;
        let memory = &self.tasks.process(t.process).ok()?.memory;
        let mut resources = Resources {
            kernel: &mut self.kernel,
            pages: &mut self.pages,
            files: &mut self.files,
        };
        let mut instruction = [0; SYSCALL as usize];
        let read = memory
            .borrow_mut()
            .read(&mut resources, t.registers.rip, &mut instruction);
        read.ok().map(|()| instruction)
    }

    /// A thread touched a page that is not there.
    fn page_fault(&mut self, thread: ThreadId, address: u64, access: Access) {
        let Ok(process) = self.tasks.process_of_mut(thread) else {
            return;
        };
        process.usage.faults += 1;
        let memory = process.memory.clone();
        let outcome = if !self.has_room_for_page(thread) {
            Err(Trap::NoMemory)
        } else {
            let mut memory = memory.borrow_mut();
            let outcome = memory.fault(&mut self.resources(), address, access);
            if let Ok(process) = self.tasks.process_of_mut(thread) {
                let resident = memory.resident() as u64;
                process.usage.most_resident = process.usage.most_resident.max(resident);
            }
            outcome
        };
        // It may be the end of the process, which then is the last to have it.
        drop(memory);
        // Linux's error code: present, write, user, fetch.
        let code =
            |present: bool| u64::from(present) | u64::from(access == Access::Write) << 1 | 1 << 2;
        let (info, error) = match outcome {
            Ok(()) => {
                self.resume(thread);
                return;
            }
            Err(Trap::Unmapped) => (
                Info::fault(SIGSEGV, linux::SEGV_MAPERR, address),
                code(false),
            ),
            Err(Trap::Forbidden) => (
                Info::fault(SIGSEGV, linux::SEGV_ACCERR, address),
                code(true),
            ),
            Err(Trap::BeyondFile) => (Info::fault(SIGBUS, linux::BUS_ADRERR, address), code(false)),
            Err(Trap::NoMemory) => {
                self.out_of_memory(thread);
                return;
            }
        };
        if let Ok(t) = self.tasks.thread_mut(thread) {
            t.registers = self.kernel.registers(t.execution);
            t.trap = [error, 14, address];
        }
        self.force(thread, info);
        self.go(thread, Extent::All, None);
    }

    /// A thread made a processor exception.
    fn exception(&mut self, thread: ThreadId, vector: u64, error: u64) {
        let Ok(t) = self.tasks.thread_mut(thread) else {
            return;
        };
        let ip = t.registers.rip;
        t.trap = [error, vector, 0];
        // As arch/x86/kernel/traps.c has it.
        let info = match vector {
            0 => Info::fault(SIGFPE, linux::FPE_INTDIV, ip),
            1 => Info::fault(SIGTRAP, linux::TRAP_TRACE, ip),
            3 => Info::from_kernel(SIGTRAP),
            4 | 5 | 10 | 11 | 12 | 13 => Info::from_kernel(if matches!(vector, 11 | 12) {
                SIGBUS
            } else {
                SIGSEGV
            }),
            6 => Info::fault(SIGILL, linux::ILL_ILLOPN, ip),
            16 | 19 => Info::fault(SIGFPE, linux::FPE_FLTINV, ip),
            17 => Info::fault(SIGBUS, linux::BUS_ADRALN, 0),
            _ => Info::from_kernel(SIGSEGV),
        };
        self.force(thread, info);
        self.go(thread, Extent::All, None);
    }

    /// There is no memory for what a thread needs: its process ends, and no other.
    pub(crate) fn out_of_memory(&mut self, thread: ThreadId) {
        let Ok(process) = self.tasks.process_of(thread) else {
            return;
        };
        let id = process.id;
        self.kernel
            .log(format_args!("out of memory: process {id} is killed"));
        self.end_process(id, SIGKILL.number() as i32);
    }

    /// Lets a thread go on where it stopped.
    fn resume(&mut self, thread: ThreadId) {
        self.go(thread, Extent::Nothing, None);
    }

    /// Does what was due by now.
    fn expire(&mut self) {
        let now = self.entered;
        while let Some((at, event)) = self.timers.take(now) {
            match event {
                Event::Deadline(thread) => {
                    if let Ok(t) = self.tasks.thread_mut(thread) {
                        t.alarm = None;
                    }
                    self.files.queues.rouse(thread);
                }
                Event::Alarm(process) => self.alarm_expired(process, at),
                Event::Timer(process, number) => self.timer_expired(process, number, at),
            }
        }
    }

    /// A line for the log, about a thread.
    pub(crate) fn complain(&mut self, thread: ThreadId, what: fmt::Arguments<'_>) {
        let name = self.tasks.thread(thread).map_or([0; 16], |t| t.name);
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(16);
        let name = alloc::string::String::from_utf8_lossy(&name[..end]).into_owned();
        self.kernel
            .log(format_args!("{} ({thread}): {what}", name.escape_debug()));
    }

    /// Says once that a call is not there.
    pub(crate) fn note_unknown(&mut self, thread: ThreadId, number: u32) {
        match syscall::table::name(number) {
            Some(name) if self.unknown.insert(number) => {
                self.complain(thread, format_args!("system call {name} is not there"));
            }
            // A program that tries them all is not worth as many lines.
            None if self.nameless < MAX_NAMELESS && self.unknown.insert(number) => {
                self.nameless += 1;
                let number = number as i32;
                self.complain(thread, format_args!("no system call has number {number}"));
            }
            _ => {}
        }
    }

    /// A process that is alive.
    pub(crate) fn alive(&self, id: ProcessId) -> Result<()> {
        match self.tasks.process(id)?.threads.is_empty() {
            false => Ok(()),
            true => Err(Errno::SRCH),
        }
    }

    /// Registers of a thread.
    pub(crate) fn registers_mut(&mut self, thread: ThreadId) -> Result<&mut Registers> {
        self.tasks.thread_mut(thread).map(|t| &mut t.registers)
    }
}

macro_rules! signals {
    ($($name:ident),+) => { $(pub(crate) const $name: Signal = Signal::of(linux::$name);)+ };
}
signals!(
    SIGHUP, SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGKILL, SIGSEGV, SIGALRM, SIGCHLD, SIGCONT, SIGSTOP
);

#[cfg(test)]
pub(crate) mod tests;
