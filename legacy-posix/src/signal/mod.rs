// SPDX-License-Identifier: BSD-2-Clause
//! Signals: what is pending, what is done about it (signal(7)).
//!
//! This module decides; [`frame`] lays out what a handler finds on its stack, and the server moves
//! registers.

pub mod frame;

use alloc::collections::VecDeque;

use linux_raw_sys::general as linux;
use linux_raw_sys::general::{
    SIGCHLD, SIGCONT, SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH,
};

use crate::errno::{Errno, Result};

/// The highest signal.
pub const LAST: u32 = 64;
/// The first real-time signal: from here on each instance is queued.
pub const FIRST_REAL_TIME: u32 = 32;
/// Real-time signals that a process may have queued (`RLIMIT_SIGPENDING`).
pub const MAX_QUEUED: usize = 1024;

/// A signal: 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Signal(u8);

impl Signal {
    /// The signal of this number.
    ///
    /// # Errors
    /// [`Errno::INVAL`].
    pub const fn new(number: u32) -> Result<Self> {
        if number >= 1 && number <= LAST {
            Ok(Self(number as u8))
        } else {
            Err(Errno::INVAL)
        }
    }

    /// One of Linux's constants.
    pub const fn of(number: u32) -> Self {
        match Self::new(number) {
            Ok(signal) => signal,
            Err(_) => panic!("no signal"),
        }
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0 as u32
    }

    /// Its bit in a mask.
    pub const fn bit(self) -> u64 {
        1 << (self.0 - 1)
    }

    /// What happens if the program does not care.
    pub const fn default(self) -> Default {
        match self.number() {
            SIGCHLD | SIGURG | SIGWINCH => Default::Ignore,
            SIGCONT => Default::Continue,
            SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU => Default::Stop,
            linux::SIGQUIT
            | linux::SIGILL
            | linux::SIGTRAP
            | linux::SIGABRT
            | linux::SIGBUS
            | linux::SIGFPE
            | linux::SIGSEGV
            | linux::SIGXCPU
            | linux::SIGXFSZ
            | linux::SIGSYS => Default::Core,
            _ => Default::Terminate,
        }
    }
}

/// What a signal does by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Default {
    /// Nothing.
    Ignore,
    /// The process ends.
    Terminate,
    /// The process ends, and wait says that there would be a core.
    Core,
    /// The process stops.
    Stop,
    /// The process goes on if it had stopped.
    Continue,
}

/// Signals that stop a process.
pub const STOPS: u64 = Signal::of(SIGSTOP).bit()
    | Signal::of(SIGTSTP).bit()
    | Signal::of(SIGTTIN).bit()
    | Signal::of(SIGTTOU).bit();
/// Signals that cannot be blocked, caught or ignored.
pub const UNSTOPPABLE: u64 = Signal::of(SIGKILL).bit() | Signal::of(SIGSTOP).bit();

/// Signals that come from what the thread itself did: delivered first.
const SYNCHRONOUS: u64 = Signal::of(linux::SIGSEGV).bit()
    | Signal::of(linux::SIGBUS).bit()
    | Signal::of(linux::SIGILL).bit()
    | Signal::of(linux::SIGTRAP).bit()
    | Signal::of(linux::SIGFPE).bit()
    | Signal::of(linux::SIGSYS).bit();

/// What a handler learns about a signal (`siginfo_t`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Info {
    /// The signal.
    pub signal: Signal,
    /// An error number, mostly 0.
    pub errno: i32,
    /// Why (`SI_x`, `CLD_x`, `SEGV_x`, ...).
    pub code: i32,
    /// The rest, as its words lie in memory behind the first three numbers.
    pub fields: [u64; 3],
}

impl Info {
    /// From a process: `kill`, `tgkill`.
    pub const fn from_process(signal: Signal, code: i32, pid: u32, uid: u32) -> Self {
        Self {
            signal,
            errno: 0,
            code,
            fields: [pid as u64 | (uid as u64) << 32, 0, 0],
        }
    }

    /// From the kernel, for no other reason than that.
    pub const fn from_kernel(signal: Signal) -> Self {
        Self::from_process(signal, linux::SI_KERNEL as i32, 0, 0)
    }

    /// Because of an address.
    pub const fn fault(signal: Signal, code: u32, address: u64) -> Self {
        Self {
            signal,
            errno: 0,
            code: code as i32,
            fields: [address, 0, 0],
        }
    }

    /// Because of a child.
    pub const fn child(code: u32, pid: u32, uid: u32, status: i32, user: u64, system: u64) -> Self {
        Self {
            signal: Signal::of(SIGCHLD),
            errno: 0,
            code: code as i32,
            fields: [
                pid as u64 | (uid as u64) << 32,
                status as u32 as u64,
                user | system << 32,
            ],
        }
    }

    /// As it lies in memory: 128 bytes, of which the rest is 0.
    pub const fn words(&self) -> [u64; 5] {
        [
            self.signal.number() as u64 | (self.errno as u32 as u64) << 32,
            self.code as u32 as u64,
            self.fields[0],
            self.fields[1],
            self.fields[2],
        ]
    }

    /// From memory, for a signal that the caller names.
    pub const fn from_words(signal: Signal, words: [u64; 5]) -> Self {
        Self {
            signal,
            errno: (words[0] >> 32) as i32,
            code: words[1] as i32,
            fields: [words[2], words[3], words[4]],
        }
    }
}

/// What a program wants done about a signal (`struct kernel_sigaction`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Action {
    /// `SIG_DFL` (0), `SIG_IGN` (1), or the handler's address.
    pub handler: u64,
    /// `SA_x`.
    pub flags: u64,
    /// Where the handler returns to.
    pub restorer: u64,
    /// What is blocked meanwhile.
    pub mask: u64,
}

/// `SIG_DFL`.
pub const DEFAULT: u64 = 0;
/// `SIG_IGN`.
pub const IGNORE: u64 = 1;

impl Action {
    /// The default.
    pub const NONE: Self = Self {
        handler: DEFAULT,
        flags: 0,
        restorer: 0,
        mask: 0,
    };

    /// Whether a flag is set.
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag as u64 != 0
    }
}

/// The actions of a process, or of several that share them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actions([Action; LAST as usize]);

impl core::default::Default for Actions {
    fn default() -> Self {
        Self([Action::NONE; LAST as usize])
    }
}

impl Actions {
    /// What is done about a signal.
    pub const fn get(&self, signal: Signal) -> &Action {
        &self.0[signal.0 as usize - 1]
    }

    /// Sets what is done about a signal.
    pub const fn set(&mut self, signal: Signal, action: Action) {
        self.0[signal.0 as usize - 1] = action;
    }

    /// Whether a signal has no effect.
    pub fn ignores(&self, signal: Signal) -> bool {
        match self.get(signal).handler {
            IGNORE => true,
            DEFAULT => signal.default() == Default::Ignore,
            _ => false,
        }
    }

    /// A new program has none of the old one's handlers; what was ignored stays so.
    pub fn reset_handlers(&mut self) {
        for action in &mut self.0 {
            if action.handler != IGNORE {
                *action = Action::NONE;
            } else {
                *action = Action {
                    handler: IGNORE,
                    ..Action::NONE
                };
            }
        }
    }

    /// Signals that are ignored by the program's wish, a bit each.
    pub fn ignored(&self) -> u64 {
        self.bits(|action| action.handler == IGNORE)
    }

    /// Signals with a handler, a bit each.
    pub fn caught(&self) -> u64 {
        self.bits(|action| action.handler > IGNORE)
    }

    fn bits(&self, f: impl Fn(&Action) -> bool) -> u64 {
        let bits = self.0.iter().enumerate();
        bits.fold(0, |bits, (i, action)| bits | u64::from(f(action)) << i)
    }
}

/// Signals that wait to be delivered, to a thread or to a process.
#[derive(Clone, core::default::Default, Debug)]
pub struct Pending {
    set: u64,
    queue: VecDeque<Info>,
}

impl Pending {
    /// Which, a bit each.
    pub const fn set(&self) -> u64 {
        self.set
    }

    /// Adds one. One that is pending already is not added again, unless it is a real-time signal.
    ///
    /// # Errors
    /// [`Errno::AGAIN`] when too many are queued.
    pub fn add(&mut self, info: Info) -> Result<()> {
        let bit = info.signal.bit();
        if self.set & bit != 0 && info.signal.number() < FIRST_REAL_TIME {
            return Ok(());
        }
        if self.queue.len() >= MAX_QUEUED {
            if info.signal.number() >= FIRST_REAL_TIME {
                return Err(Errno::AGAIN);
            }
            // Delivered all the same, without its details.
            self.set |= bit;
            return Ok(());
        }
        self.set |= bit;
        self.queue.push_back(info);
        Ok(())
    }

    /// Takes the next of those in `wanted`.
    pub fn take(&mut self, wanted: u64) -> Option<Info> {
        let ready = self.set & wanted;
        let first = match ready & SYNCHRONOUS {
            0 => ready,
            synchronous => synchronous,
        };
        if first == 0 {
            return None;
        }
        let signal = Signal(first.trailing_zeros() as u8 + 1);
        let at = self.queue.iter().position(|info| info.signal == signal);
        let info = match at.and_then(|at| self.queue.remove(at)) {
            Some(info) => info,
            None => Info::from_process(signal, linux::SI_USER as i32, 0, 0),
        };
        if !self.queue.iter().any(|info| info.signal == signal) {
            self.set &= !signal.bit();
        }
        Some(info)
    }

    /// Forgets those in `which`.
    pub fn remove(&mut self, which: u64) {
        if self.set & which != 0 {
            self.set &= !which;
            self.queue.retain(|info| info.signal.bit() & which == 0);
        }
    }
}

/// An alternate stack (`stack_t`).
#[derive(Clone, Copy, PartialEq, Eq, core::default::Default, Debug)]
pub struct AlternateStack {
    /// Its lowest address.
    pub start: u64,
    /// Its bytes; 0 for none.
    pub bytes: u64,
    /// `SS_AUTODISARM` or 0.
    pub flags: u32,
}

impl AlternateStack {
    /// Whether a stack pointer is on it.
    pub const fn has(&self, sp: u64) -> bool {
        self.bytes != 0 && sp > self.start && sp - self.start <= self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(number: u32, code: i32) -> Info {
        Info::from_process(Signal::of(number), code, 1, 0)
    }

    #[test]
    fn a_signal_is_pending_once_and_a_real_time_signal_as_often_as_sent() {
        let mut pending = Pending::default();
        for code in 1..4 {
            pending.add(info(10, code)).unwrap();
            pending.add(info(40, code)).unwrap();
        }
        assert_eq!(pending.take(!0).unwrap().code, 1);
        for code in 1..4 {
            let info = pending.take(!0).unwrap();
            assert_eq!((info.signal.number(), info.code), (40, code));
        }
        assert_eq!((pending.take(!0), pending.set()), (None, 0));
    }

    #[test]
    fn what_is_not_wanted_stays_and_faults_come_first() {
        let mut pending = Pending::default();
        pending.add(info(2, 0)).unwrap();
        pending.add(info(linux::SIGSEGV, 0)).unwrap();
        assert_eq!(pending.take(!0).unwrap().signal.number(), linux::SIGSEGV);
        assert_eq!(pending.take(!Signal::of(2).bit()), None);
        pending.remove(Signal::of(2).bit());
        assert_eq!(pending.take(!0), None);
    }

    #[test]
    fn a_flood_of_real_time_signals_is_refused_and_others_get_through() {
        let mut pending = Pending::default();
        while pending.add(info(40, 0)).is_ok() {}
        assert_eq!(pending.queue.len(), MAX_QUEUED);
        pending.add(info(linux::SIGTERM, 5)).unwrap();
        let info = pending.take(Signal::of(linux::SIGTERM).bit()).unwrap();
        assert_eq!(info.signal.number(), linux::SIGTERM);
    }

    #[test]
    fn a_new_program_keeps_what_is_ignored_and_loses_handlers() {
        let mut actions = Actions::default();
        for (number, handler) in [(1, IGNORE), (2, 0x1000)] {
            let action = Action {
                handler,
                ..Action::NONE
            };
            actions.set(Signal::of(number), action);
        }
        assert_eq!((actions.ignored(), actions.caught()), (1, 2));
        actions.reset_handlers();
        assert_eq!((actions.ignored(), actions.caught()), (1, 0));
        assert!(actions.ignores(Signal::of(SIGCHLD)) && actions.ignores(Signal::of(1)));
        assert!(!actions.ignores(Signal::of(2)));
    }

    #[test]
    fn there_are_sixty_four_signals() {
        assert!(Signal::new(0).is_err() && Signal::new(65).is_err());
        assert_eq!(Signal::new(64).map(Signal::bit), Ok(1 << 63));
    }
}
