// SPDX-License-Identifier: BSD-2-Clause
//! Sending signals, and delivering them on the way back to a program.

use alloc::vec::Vec;

use linux_raw_sys::general as linux;

use super::{SIGCHLD, SIGCONT, SIGKILL, SIGSEGV, SYSCALL, Server};
use crate::flow::Progress;
use crate::kernel::{Extent, Kernel};
use crate::mm::{END, PAGE_BYTES};
use crate::pages::{Page, Pages};
use crate::signal::frame::{self, Place, Saved};
use crate::signal::{
    AlternateStack, DEFAULT, Default as Fate, IGNORE, Info, STOPS, Signal, UNSTOPPABLE,
};
use crate::syscall;
use crate::task::{Life, State};
use crate::{Errno, ProcessId, Result, ThreadId};

/// Where every program has the code that handlers start with and return to: the last page, above the stack.
pub const TRAMPOLINE: u64 = END - PAGE_BYTES;
/// Offset in it of what handlers return to.
const LEAVE: u64 = 32;
/// Saves the floating-point registers, which no one else can save, and goes to the handler, which is in RAX, with
/// its arguments; restores them and ends the handler. A frame has the state 440 bytes behind its first word.
///
/// It takes the handler's arguments from the frame itself, so that no more registers have to be written for
/// a handler than for a call's result.
///
/// ```text
///     fxsave64 [rsp + 440]
///     lea rsi, [rsp + 312]       ; siginfo_t *
///     mov edi, [rsi]             ; the signal
///     lea rdx, [rsp + 8]         ; ucontext_t *
///     mov r11, rax
///     xor eax, eax
///     jmp r11
/// leave:                     ; a word was taken off the stack by `ret`
///     fxrstor64 [rsp + 432]
///     mov eax, 15            ; rt_sigreturn
///     syscall
/// ```
const CODE: [u8; 48] = {
    let mut code = [0xcc; 48];
    let enter = [
        0x48, 0x0f, 0xae, 0x84, 0x24, 0xb8, 0x01, 0, 0, // fxsave64
        0x48, 0x8d, 0xb4, 0x24, 0x38, 0x01, 0, 0, 0x8b, 0x3e, // lea, mov
        0x48, 0x8d, 0x54, 0x24, 0x08, // lea
        0x49, 0x89, 0xc3, 0x31, 0xc0, 0x41, 0xff, 0xe3, // mov, xor, jmp
    ];
    let leave = [
        0x48, 0x0f, 0xae, 0x8c, 0x24, 0xb0, 0x01, 0, 0, 0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05,
    ];
    let mut i = 0;
    while i < enter.len() {
        code[i] = enter[i];
        i += 1;
    }
    i = 0;
    while i < leave.len() {
        code[LEAVE as usize + i] = leave[i];
        i += 1;
    }
    code
};
const _: () = assert!(8 * frame::WORDS == 440 && frame::INFO_AT == 312 && frame::CONTEXT_AT == 8);

impl<K: Kernel, P: Pages> Server<K, P> {
    /// The frame with the code of [`TRAMPOLINE`].
    ///
    /// # Errors
    /// [`Errno::NOMEM`].
    pub(crate) fn trampoline(&mut self) -> Result<Page> {
        if let Some(page) = self.trampoline {
            return Ok(page);
        }
        let page = self.pages.allocate()?;
        self.pages.write(page, 0, &CODE);
        self.trampoline = Some(page);
        Ok(page)
    }

    /// Whether a thread has a signal to deal with before it runs.
    pub(crate) fn has_signal(&self, thread: ThreadId) -> bool {
        let Ok(t) = self.tasks.thread(thread) else {
            return false;
        };
        let process = self.tasks.processes.get(&t.process);
        let pending = t.pending.set() | process.map_or(0, |p| p.pending.set());
        pending & !t.mask != 0
    }

    /// Sends a signal to each process of a group.
    pub(crate) fn signal_group(&mut self, group: ProcessId, info: Info) {
        let members: Vec<_> = match self.tasks.groups.get(&group) {
            Some(group) => group.members.iter().copied().collect(),
            None => return,
        };
        for process in members {
            self.signal_process(process, info);
        }
    }

    /// Sends a signal to a process.
    pub(crate) fn signal_process(&mut self, id: ProcessId, info: Info) {
        let _ = self.send(id, None, info);
    }

    /// Sends a signal to a process, or to one of its threads.
    ///
    /// # Errors
    /// [`Errno::AGAIN`] when too many are queued already.
    pub(crate) fn send(&mut self, id: ProcessId, to: Option<ThreadId>, info: Info) -> Result<()> {
        let signal = info.signal;
        let Some(process) = self.tasks.processes.get_mut(&id) else {
            return Ok(());
        };
        if process.threads.is_empty() {
            return Ok(());
        }
        // What stops and what lets go on rule each other out.
        if signal == SIGCONT {
            process.pending.remove(STOPS);
            for thread in process.threads.clone() {
                if let Ok(t) = self.tasks.thread_mut(thread) {
                    t.pending.remove(STOPS);
                }
            }
            self.go_on(id);
        } else if signal.bit() & STOPS != 0 {
            process.pending.remove(SIGCONT.bit());
            for thread in process.threads.clone() {
                if let Ok(t) = self.tasks.thread_mut(thread) {
                    t.pending.remove(SIGCONT.bit());
                }
            }
        }
        let Ok(process) = self.tasks.process(id) else {
            return Ok(());
        };
        let threads = process.threads.clone();
        let ignored = process.actions.borrow().ignores(signal);
        let init_is_safe = id == ProcessId::INIT
            && process.actions.borrow().get(signal).handler == DEFAULT
            && info.code <= 0;
        let is_blocked = |server: &Self, thread: ThreadId| {
            let t = server.tasks.thread(thread);
            t.is_ok_and(|t| (t.mask | t.awaited) & signal.bit() != 0)
        };
        let candidates: Vec<ThreadId> = match to {
            Some(thread) => alloc::vec![thread],
            None => threads,
        };
        let blocked = candidates.iter().all(|thread| is_blocked(self, *thread));
        if (ignored || init_is_safe) && !blocked {
            return Ok(());
        }
        match to {
            Some(thread) => self.tasks.thread_mut(thread)?.pending.add(info)?,
            None => self.tasks.process_mut(id)?.pending.add(info)?,
        }
        // Whoever waits for it by `sigtimedwait` gets it, else the first who does not block it.
        let waits = |thread: &&ThreadId| {
            let t = self.tasks.thread(**thread);
            t.is_ok_and(|t| t.awaited & signal.bit() != 0)
        };
        if let Some(thread) = candidates.iter().find(waits).copied() {
            self.files.queues.rouse(thread);
            return Ok(());
        }
        if signal == SIGKILL {
            // Nothing is left of it to be asked.
            self.end_process(id, SIGKILL.number() as i32);
            return Ok(());
        }
        let awake = |thread: &&ThreadId| {
            let t = self.tasks.thread(**thread);
            t.is_ok_and(|t| t.mask & signal.bit() == 0)
        };
        if let Some(thread) = candidates.iter().find(awake).copied() {
            self.notice(thread);
        }
        Ok(())
    }

    /// Has a thread look at its signals.
    pub(crate) fn notice(&mut self, thread: ThreadId) {
        if !self.has_signal(thread) {
            return;
        }
        let Ok(t) = self.tasks.thread_mut(thread) else {
            return;
        };
        match t.state {
            State::Blocked if t.lends_memory => {}
            State::Blocked => {
                let stopped = self.tasks.process_of(thread).is_ok_and(|p| p.stopped);
                if !stopped {
                    self.interrupt(thread);
                }
            }
            // The one whose call is being seen to looks at its signals when it is done.
            State::Running if Some(thread) == self.current => {}
            State::Running => {
                t.registers = self.kernel.stop(t.execution);
                self.go(thread, Extent::All, None);
            }
            State::Held => {}
        }
    }

    /// Sends a thread a signal because of what it did itself: it cannot be blocked or ignored.
    pub(crate) fn force(&mut self, thread: ThreadId, info: Info) {
        let bit = info.signal.bit();
        let Ok(t) = self.tasks.thread_mut(thread) else {
            return;
        };
        let blocked = t.mask & bit != 0;
        t.mask &= !bit;
        let _ = t.pending.add(info);
        let Ok(process) = self.tasks.process_of(thread) else {
            return;
        };
        let mut actions = process.actions.borrow_mut();
        if blocked || actions.get(info.signal).handler == IGNORE {
            actions.set(info.signal, crate::signal::Action::NONE);
        }
    }

    /// Back to the program, past all signals. `restart` is why its call gave up, if it did.
    pub(crate) fn go(&mut self, thread: ThreadId, mut extent: Extent, mut restart: Option<Errno>) {
        loop {
            let tasks = &mut self.tasks;
            let Some(t) = tasks.threads.get_mut(&thread) else {
                return;
            };
            let Some(process) = tasks.processes.get_mut(&t.process) else {
                return;
            };
            if process.stopped {
                if t.state == State::Running {
                    self.kernel.hold(t.execution);
                }
                if extent == Extent::Nothing {
                    t.registers = self.kernel.registers(t.execution);
                }
                t.state = match restart {
                    Some(_) => State::Blocked,
                    None => State::Held,
                };
                return;
            }
            let ready = (t.pending.set() | process.pending.set()) & !t.mask;
            if ready == 0 {
                // Nothing is in the way of most.
                if restart.is_none() && t.later_mask.is_none() {
                    t.state = State::Running;
                    self.kernel.run(t.execution, &t.registers, extent);
                    return;
                }
                break;
            }
            if extent == Extent::Nothing {
                // A handler begins where the program stopped.
                t.registers = self.kernel.registers(t.execution);
                extent = Extent::Result;
            }
            let Some(info) = t
                .pending
                .take(!t.mask)
                .or_else(|| process.pending.take(!t.mask))
            else {
                break;
            };
            let (id, signal) = (process.id, info.signal);
            let action = *process.actions.borrow().get(signal);
            let orphaned = |server: &Self| {
                let group = server.tasks.process(id).map(|p| p.group);
                group.is_ok_and(|group| server.tasks.is_orphaned(group, None))
            };
            match (action.handler, signal.default()) {
                (IGNORE, _) | (DEFAULT, Fate::Ignore | Fate::Continue) => {}
                (DEFAULT, Fate::Terminate) => {
                    return self.end_process(id, signal.number() as i32);
                }
                (DEFAULT, Fate::Core) => {
                    return self.end_process(id, signal.number() as i32 | 0x80);
                }
                (DEFAULT, Fate::Stop) => {
                    // Nobody would let an orphan go on.
                    if signal == super::SIGSTOP || !orphaned(self) {
                        self.stop_process(id, signal);
                    }
                }
                _ => {
                    let restarts = match restart.take() {
                        Some(Errno::RESTARTSYS) => action.has(linux::SA_RESTART),
                        Some(_) => false,
                        None => true,
                    };
                    if !restarts {
                        syscall::note_left(self, thread);
                    }
                    if let Ok(t) = self.tasks.thread_mut(thread) {
                        if !restarts {
                            t.registers.rax = Errno::INTR.to_register();
                            t.registers.rip = t.registers.rip.wrapping_add(SYSCALL);
                        }
                        t.progress = Progress::default();
                    }
                    self.attend(thread);
                    let entered = self.enter_handler(thread, &info);
                    // Whoever sent it may be in the middle of a call.
                    if let Some(current) = self.current {
                        self.attend(current);
                    }
                    if entered.is_err() {
                        // Its stack cannot be used: nothing is left to ask it.
                        return self.end_process(id, SIGSEGV.number() as i32 | 0x80);
                    }
                }
            }
        }
        let Ok(t) = self.tasks.thread_mut(thread) else {
            return;
        };
        if let Some(mask) = t.later_mask.take() {
            if restart.is_some() {
                // The call is done again, with the mask that it asks for.
                t.later_mask = Some(mask);
            } else {
                t.mask = mask;
                if self.has_signal(thread) {
                    return self.go(thread, extent, restart);
                }
            }
        }
        if restart.is_some() {
            // No handler ran: as if nothing had happened.
            t_again(self, thread);
            return;
        }
        let Ok(t) = self.tasks.thread_mut(thread) else {
            return;
        };
        t.state = State::Running;
        self.kernel.run(t.execution, &t.registers, extent);
    }

    /// Lets a thread's handler run next.
    fn enter_handler(&mut self, thread: ThreadId, info: &Info) -> Result<()> {
        let process = self.tasks.process_of(thread)?;
        let actions = process.actions.clone();
        let action = *actions.borrow().get(info.signal);
        if action.has(linux::SA_RESETHAND) {
            actions
                .borrow_mut()
                .set(info.signal, crate::signal::Action::NONE);
        }
        let t = self.tasks.thread_mut(thread)?;
        let place = Place::new(t.registers.rsp, &t.alternate, action.has(linux::SA_ONSTACK));
        let saved = Saved {
            registers: t.registers,
            mask: t.later_mask.take().unwrap_or(t.mask),
            alternate: t.alternate,
            float: place.float,
        };
        let words = frame::compose(&place, &saved, TRAMPOLINE + LEAVE, info, t.trap);
        t.mask |= action.mask & !UNSTOPPABLE;
        if !action.has(linux::SA_NODEFER) {
            t.mask |= info.signal.bit();
        }
        if t.alternate.flags & linux::SS_AUTODISARM != 0 {
            t.alternate = AlternateStack::default();
        }
        let r = &mut t.registers;
        r.rip = TRAMPOLINE;
        r.rax = action.handler;
        r.rsp = place.frame;
        // Direction and trap flags are clear when a function begins.
        r.rflags &= !0x500;
        self.write_words(thread, place.frame, &words)?;
        // `siginfo_t` is longer than what it says.
        let rest = place.info() + 40;
        self.write_words(thread, rest, &[0; 11])
    }

    /// `rt_sigreturn`: a thread's handler has ended.
    pub(crate) fn leave_handler(&mut self, thread: ThreadId) -> Result<()> {
        let t = self.tasks.thread(thread)?;
        // The return address was taken off the stack.
        let (frame, fs_base) = (t.registers.rsp.wrapping_sub(8), t.registers.fs_base);
        let words = self.read_words(thread, frame)?;
        let saved = frame::read(&words, fs_base);
        let t = self.tasks.thread_mut(thread)?;
        t.registers = saved.registers;
        t.mask = saved.mask & !UNSTOPPABLE;
        if !saved.alternate.has(t.registers.rsp) && saved.alternate.bytes < END {
            t.alternate = AlternateStack {
                flags: saved.alternate.flags & linux::SS_AUTODISARM,
                ..saved.alternate
            };
            if saved.alternate.flags & linux::SS_DISABLE != 0 {
                t.alternate = AlternateStack::default();
            }
        }
        Ok(())
    }

    /// Stops all threads of a process.
    fn stop_process(&mut self, id: ProcessId, signal: Signal) {
        let Ok(process) = self.tasks.process_mut(id) else {
            return;
        };
        if process.stopped {
            return;
        }
        process.stop_news = Some(signal.number());
        process.continue_news = false;
        let threads = process.threads.clone();
        self.tasks.set_stopped(id, true);
        for thread in threads {
            if let Ok(t) = self.tasks.thread_mut(thread)
                && t.state == State::Running
                && Some(thread) != self.current
            {
                t.registers = self.kernel.stop(t.execution);
                t.state = State::Held;
            }
        }
        self.tell_parent(id, linux::CLD_STOPPED, signal.number() as i32);
    }

    /// Lets a process go on that has stopped.
    fn go_on(&mut self, id: ProcessId) {
        let Ok(process) = self.tasks.process_mut(id) else {
            return;
        };
        if !process.stopped {
            return;
        }
        process.stop_news = None;
        process.continue_news = true;
        let threads = process.threads.clone();
        self.tasks.set_stopped(id, false);
        for thread in threads {
            match self.tasks.thread(thread).map(|t| t.state) {
                Ok(State::Held) => self.go(thread, Extent::All, None),
                Ok(State::Blocked) => self.files.queues.rouse(thread),
                _ => {}
            }
        }
        self.tell_parent(id, linux::CLD_CONTINUED, SIGCONT.number() as i32);
    }

    /// Tells a process's parent what became of it.
    pub(super) fn tell_parent(&mut self, id: ProcessId, code: u32, status: i32) {
        let Ok(process) = self.tasks.process(id) else {
            return;
        };
        let parent = process.parent;
        if parent == id {
            return;
        }
        const TICK: u64 = 10_000_000;
        let times = process.usage.times;
        let mut info = Info::child(
            code,
            id.number(),
            process.credentials.uid,
            status,
            times.user / TICK,
            times.system / TICK,
        );
        let ended = matches!(process.life, Life::Zombie(_));
        let signal = if ended {
            process.exit_signal
        } else {
            SIGCHLD.number()
        };
        let Ok(parent_) = self.tasks.process_mut(parent) else {
            return;
        };
        if parent_.life != Life::Alive {
            // Nobody waits there, nor ever will.
            return;
        }
        parent_.news.insert(id);
        let waiters = parent_.waiters;
        let no_stops = parent_
            .actions
            .borrow()
            .get(SIGCHLD)
            .has(linux::SA_NOCLDSTOP);
        // Before the signal, which may be the parent's end, and its queue's.
        self.files.queues.wake(waiters);
        if let Ok(signal) = Signal::new(signal)
            && (ended || !no_stops)
        {
            info.signal = signal;
            self.signal_process(parent, info);
        }
    }
}

/// A thread's call is done again at once.
fn t_again<K: Kernel, P: Pages>(server: &mut Server<K, P>, thread: ThreadId) {
    if let Ok(t) = server.tasks.thread_mut(thread)
        && core::mem::replace(&mut t.state, State::Blocked) == State::Running
    {
        server.kernel.hold(t.execution);
    }
    server.files.queues.rouse(thread);
}
