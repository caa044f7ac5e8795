// SPDX-License-Identifier: BSD-2-Clause
//! Terminals: consoles and pseudo-terminals, their sessions and foreground groups.
//!
//! A terminal is a [`Line`] and what is around it. A console's other side is the machine: bytes that
//! come from it go to [`Terminals::input`], what is to be shown is taken with [`Terminals::output`]. The
//! other side of a pseudo-terminal is its master.
//!
//! Signals that a terminal sends are given to the caller as [`Request`]s; whether a process in the background may
//! read, write or change settings is decided by [`Terminals::judge`].

pub mod line;
pub mod termios;

use alloc::vec::Vec;

use hashbrown::HashMap;
use linux_raw_sys::general::{SIGCONT, SIGHUP, SIGTTIN, SIGTTOU, SIGWINCH, TOSTOP, VMIN, VTIME};
use slab::Slab;

use crate::file::{Moved, Request};
use crate::vfs::{Caller, device_number};
use crate::wait::{QueueId, Queues};
use crate::{Buffer, Errno, Pages, ProcessId, Result};
use line::Line;
use termios::Termios;

/// A terminal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TerminalId(pub u32);

/// Rows, columns, and pixels across and down.
pub type Size = [u16; 4];

/// Bytes that a read or write moves before it looks whether to wait.
const STEP: usize = 512;

/// The other side.
#[derive(Debug)]
enum Side {
    Console(u32),
    Master {
        number: u32,
        open: bool,
        locked: bool,
        queue: QueueId,
    },
}

#[derive(Debug)]
struct Terminal {
    line: Line,
    size: Size,
    side: Side,
    session: Option<ProcessId>,
    group: Option<ProcessId>,
    /// Open descriptions of the terminal, masters apart.
    opens: u32,
    /// Whether there ever was one.
    opened: bool,
    queue: QueueId,
}

/// What a terminal has that nobody says anything about.
pub const USUAL_SIZE: Size = [24, 80, 0, 0];

/// All terminals.
#[derive(Default, Debug)]
pub struct Terminals {
    list: Slab<Terminal>,
    sessions: HashMap<ProcessId, TerminalId>,
    /// Pseudo-terminals by their number.
    numbers: Slab<TerminalId>,
}

/// What a process wants to do with its terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Want {
    Read,
    Write,
    Change,
}

impl Terminals {
    /// A terminal whose other side is the machine; `/dev/console` is number 0.
    pub fn console(&mut self, queues: &mut Queues, number: u32) -> TerminalId {
        self.insert(queues, Side::Console(number))
    }

    /// A pseudo-terminal, whose master is open.
    pub fn pseudo(&mut self, queues: &mut Queues) -> TerminalId {
        let number = self.numbers.vacant_key() as u32;
        let queue = queues.create();
        let terminal = self.insert(
            queues,
            Side::Master {
                number,
                open: true,
                locked: true,
                queue,
            },
        );
        self.numbers.insert(terminal);
        terminal
    }

    fn insert(&mut self, queues: &mut Queues, side: Side) -> TerminalId {
        TerminalId(self.list.insert(Terminal {
            line: Line::new(match side {
                Side::Console(_) => Termios::default(),
                Side::Master { .. } => Termios::pseudo(),
            }),
            size: match side {
                Side::Console(_) => USUAL_SIZE,
                Side::Master { .. } => [0; 4],
            },
            side,
            session: None,
            group: None,
            opens: 0,
            opened: false,
            queue: queues.create(),
        }) as u32)
    }

    fn get(&self, terminal: TerminalId) -> &Terminal {
        &self.list[terminal.0 as usize]
    }

    fn get_mut(&mut self, terminal: TerminalId) -> &mut Terminal {
        &mut self.list[terminal.0 as usize]
    }

    /// How many pseudo-terminals there are.
    pub fn pseudos(&self) -> usize {
        self.numbers.len()
    }

    /// The pseudo-terminal of a number.
    pub fn by_number(&self, number: u32) -> Option<TerminalId> {
        self.numbers.get(number as usize).copied()
    }

    /// The console of a number.
    pub fn console_of(&self, number: u32) -> Option<TerminalId> {
        self.list
            .iter()
            .find(|(_, terminal)| matches!(terminal.side, Side::Console(n) if n == number))
            .map(|(index, _)| TerminalId(index as u32))
    }

    /// The number of a pseudo-terminal.
    pub fn number(&self, terminal: TerminalId) -> Option<u32> {
        match self.get(terminal).side {
            Side::Console(_) => None,
            Side::Master { number, .. } => Some(number),
        }
    }

    /// Its device number.
    pub fn device(&self, terminal: TerminalId) -> u64 {
        match self.get(terminal).side {
            Side::Console(0) => device_number(5, 1),
            Side::Console(number) => device_number(4, number),
            Side::Master { number, .. } => device_number(136, number),
        }
    }

    /// What wakes when the terminal may be read or written.
    pub fn queue(&self, terminal: TerminalId) -> QueueId {
        self.get(terminal).queue
    }

    /// What wakes when its master may be.
    pub fn master_queue(&self, terminal: TerminalId) -> QueueId {
        match self.get(terminal).side {
            Side::Master { queue, .. } => queue,
            Side::Console(_) => self.get(terminal).queue,
        }
    }

    /// Device and foreground group of a session's terminal.
    pub fn of_session(&self, session: ProcessId) -> Option<(u64, Option<ProcessId>)> {
        let &terminal = self.sessions.get(&session)?;
        Some((self.device(terminal), self.get(terminal).group))
    }

    /// A session's terminal.
    pub fn controlling(&self, session: ProcessId) -> Option<TerminalId> {
        self.sessions.get(&session).copied()
    }

    /// One more open description of the terminal.
    ///
    /// # Errors
    /// `EIO` if it is locked, or its master is gone.
    pub fn open(&mut self, terminal: TerminalId) -> Result<()> {
        let terminal = self.get_mut(terminal);
        if let Side::Master { open, locked, .. } = terminal.side
            && (!open || locked)
        {
            return Err(Errno::IO);
        }
        terminal.opens += 1;
        terminal.opened = true;
        Ok(())
    }

    /// One less.
    pub fn close(&mut self, queues: &mut Queues, id: TerminalId) {
        let terminal = self.get_mut(id);
        terminal.opens -= 1;
        if terminal.opens == 0
            && let Side::Master { queue, open, .. } = terminal.side
        {
            queues.wake(queue);
            if !open {
                self.remove(queues, id);
            }
        }
    }

    /// The master is closed: the terminal hangs up. Gives its number, which is free then.
    pub fn close_master(
        &mut self,
        queues: &mut Queues,
        requests: &mut Vec<Request>,
        id: TerminalId,
    ) -> Option<u32> {
        let terminal = self.get_mut(id);
        let Side::Master { number, open, .. } = &mut terminal.side else {
            return None;
        };
        *open = false;
        let number = *number;
        let (session, group) = (terminal.session.take(), terminal.group.take());
        let (queue, opens) = (terminal.queue, terminal.opens);
        if let Some(session) = session {
            self.sessions.remove(&session);
            requests.push(Request::SignalProcess(session, SIGHUP));
            requests.push(Request::SignalProcess(session, SIGCONT));
        }
        if let Some(group) = group.filter(|&group| Some(group) != session) {
            requests.push(Request::SignalGroup(group, SIGHUP));
            requests.push(Request::SignalGroup(group, SIGCONT));
        }
        queues.wake(queue);
        self.numbers.try_remove(number as usize);
        if opens == 0 {
            self.remove(queues, id);
        }
        Some(number)
    }

    fn remove(&mut self, queues: &mut Queues, id: TerminalId) {
        let terminal = self.list.remove(id.0 as usize);
        if let Some(session) = terminal.session {
            self.sessions.remove(&session);
        }
        queues.destroy(terminal.queue);
        if let Side::Master { queue, .. } = terminal.side {
            queues.destroy(queue);
        }
    }

    fn hung_up(&self, terminal: TerminalId) -> bool {
        matches!(self.get(terminal).side, Side::Master { open: false, .. })
    }

    /// Whether a process in the background may go on: `None` that it may, else what comes of it.
    ///
    /// # Errors
    /// `EIO` to read while the signal is blocked or ignored.
    pub fn judge(&self, id: TerminalId, who: &Caller, want: Want) -> Result<Option<Moved>> {
        let terminal = self.get(id);
        if terminal.session != Some(who.session)
            || terminal.group.is_none_or(|group| group == who.group)
        {
            return Ok(None);
        }
        let signal = if want == Want::Read { SIGTTIN } else { SIGTTOU };
        let quiet = who.quiet & 1 << (signal - 1) != 0;
        match want {
            Want::Write if terminal.line.settings.local & TOSTOP == 0 => Ok(None),
            Want::Read if quiet => Err(Errno::IO),
            _ if quiet => Ok(None),
            _ => Ok(Some(Moved::Background(signal))),
        }
    }

    /// `read` from the terminal. `expired` says that the time that an earlier run wanted to wait for has
    /// passed.
    ///
    /// # Errors
    /// As [`Terminals::judge`].
    pub fn read(
        &mut self,
        pages: &mut dyn Pages,
        queues: &mut Queues,
        id: TerminalId,
        who: &Caller,
        into: &mut Buffer,
        expired: bool,
    ) -> Result<Moved> {
        if let Some(stop) = self.judge(id, who, Want::Read)? {
            return Ok(stop);
        }
        if self.hung_up(id) || into.is_empty() {
            return Ok(Moved::Done(0));
        }
        let line = &mut self.get_mut(id).line;
        if line.settings.local & linux_raw_sys::general::ICANON == 0 {
            let [least, tenths] = [VMIN, VTIME].map(|at| line.settings.characters[at as usize]);
            let there = line.readable();
            let wanted = usize::from(least).min(into.left());
            if there < wanted.max(1) && !(least == 0 && tenths == 0) && !expired {
                let timed = tenths > 0 && (least == 0 || there > 0);
                return Ok(if timed {
                    Moved::WaitFor(u64::from(tenths) * 100_000_000)
                } else {
                    Moved::Wait
                });
            }
            let bytes = line.read(into.left()).unwrap_or_default();
            into.put(pages, &bytes);
            self.wake_master(queues, id);
            return Ok(Moved::Done(bytes.len()));
        }
        match line.read(into.left()) {
            Some(bytes) => {
                into.put(pages, &bytes);
                self.wake_master(queues, id);
                Ok(Moved::Done(bytes.len()))
            }
            None => Ok(Moved::Wait),
        }
    }

    /// `write` to the terminal.
    ///
    /// # Errors
    /// `EIO` if it has hung up.
    pub fn write(
        &mut self,
        pages: &mut dyn Pages,
        queues: &mut Queues,
        id: TerminalId,
        who: &Caller,
        from: &mut Buffer,
    ) -> Result<Moved> {
        if let Some(stop) = self.judge(id, who, Want::Write)? {
            return Ok(stop);
        }
        if self.hung_up(id) {
            return Err(Errno::IO);
        }
        let line = &mut self.get_mut(id).line;
        let mut done = 0;
        let mut bytes = [0; STEP];
        while !from.is_empty() && line.room() > 0 {
            // One byte may be shown as up to eight, of which the last ones are let through.
            let most = STEP.min(line.room());
            let mut ahead = from.clone();
            let count = ahead.take(pages, &mut bytes[..most]);
            let written = line.write(&bytes[..count]);
            from.skip(written);
            done += written;
        }
        if done > 0 {
            self.wake_master(queues, id);
        }
        Ok(if from.is_empty() {
            Moved::Done(done)
        } else {
            Moved::Wait
        })
    }

    fn wake_master(&self, queues: &mut Queues, id: TerminalId) {
        if let Side::Master { queue, .. } = self.get(id).side {
            queues.wake(queue);
        }
    }

    /// Bytes were typed.
    pub fn input(
        &mut self,
        queues: &mut Queues,
        requests: &mut Vec<Request>,
        id: TerminalId,
        bytes: &[u8],
    ) {
        let terminal = self.get_mut(id);
        for &byte in bytes {
            let signal = terminal.line.typed(byte);
            if let (Some(signal), Some(group)) = (signal, terminal.group) {
                requests.push(Request::SignalGroup(group, signal));
            }
        }
        let queue = terminal.queue;
        queues.wake(queue);
        self.wake_master(queues, id);
    }

    /// Whether a console has something to show.
    pub fn has_output(&self, id: TerminalId) -> bool {
        self.get(id).line.has_output()
    }

    /// Takes what a console is to show; gives how many bytes.
    pub fn output(&mut self, queues: &mut Queues, id: TerminalId, into: &mut [u8]) -> usize {
        let terminal = self.get_mut(id);
        let was_full = terminal.line.room() == 0;
        let count = terminal.line.take(into);
        if was_full && count > 0 {
            queues.wake(terminal.queue);
        }
        count
    }

    /// `read` from the master.
    ///
    /// # Errors
    /// `EIO` when nobody has the terminal open.
    pub fn read_master(
        &mut self,
        pages: &mut dyn Pages,
        queues: &mut Queues,
        id: TerminalId,
        into: &mut Buffer,
    ) -> Result<Moved> {
        let mut done = 0;
        let mut bytes = [0; STEP];
        while !into.is_empty() {
            let most = STEP.min(into.left());
            let count = self.output(queues, id, &mut bytes[..most]);
            if count == 0 {
                break;
            }
            into.put(pages, &bytes[..count]);
            done += count;
        }
        match done {
            0 if into.is_empty() => Ok(Moved::Done(0)),
            0 if self.get(id).opened && self.get(id).opens == 0 => Err(Errno::IO),
            0 => Ok(Moved::Wait),
            done => Ok(Moved::Done(done)),
        }
    }

    /// `write` to the master: what is typed.
    ///
    /// # Errors
    /// None.
    pub fn write_master(
        &mut self,
        pages: &mut dyn Pages,
        queues: &mut Queues,
        requests: &mut Vec<Request>,
        id: TerminalId,
        from: &mut Buffer,
    ) -> Result<Moved> {
        let mut done = 0;
        let mut bytes = [0; STEP];
        while !from.is_empty() {
            let count = from.take(pages, &mut bytes);
            self.input(queues, requests, id, &bytes[..count]);
            done += count;
        }
        Ok(Moved::Done(done))
    }

    /// Whether the terminal can be read, can be written, has hung up.
    pub fn ready(&self, id: TerminalId) -> (bool, bool, bool) {
        let line = &self.get(id).line;
        let hung_up = self.hung_up(id);
        (
            line.is_ready() || hung_up,
            line.room() > 0 || hung_up,
            hung_up,
        )
    }

    /// The same of its master.
    pub fn master_ready(&self, id: TerminalId) -> (bool, bool, bool) {
        let terminal = self.get(id);
        let closed = terminal.opened && terminal.opens == 0;
        (
            terminal.line.shown() > 0 && !terminal.line.stopped || closed,
            true,
            closed,
        )
    }

    /// Bytes that can be read: of the terminal, and of its master.
    pub fn readable(&self, id: TerminalId) -> (usize, usize) {
        let line = &self.get(id).line;
        (line.readable(), line.shown())
    }

    /// How it is set.
    pub fn settings(&self, id: TerminalId) -> Termios {
        self.get(id).line.settings
    }

    /// Sets it; with `flush`, what was typed is dropped.
    pub fn set(&mut self, queues: &mut Queues, id: TerminalId, settings: Termios, flush: bool) {
        let terminal = self.get_mut(id);
        if flush {
            terminal.line.flush_input();
        }
        terminal.line.set(settings);
        let queue = terminal.queue;
        queues.wake(queue);
        self.wake_master(queues, id);
    }

    /// Drops what was typed, or is to be shown.
    pub fn flush(&mut self, queues: &mut Queues, id: TerminalId, input: bool, output: bool) {
        let terminal = self.get_mut(id);
        if input {
            terminal.line.flush_input();
        }
        if output {
            terminal.line.flush_output();
        }
        queues.wake(terminal.queue);
    }

    /// Stops output, or lets it go on.
    pub fn stop(&mut self, queues: &mut Queues, id: TerminalId, stop: bool) {
        self.get_mut(id).line.stopped = stop;
        self.wake_master(queues, id);
    }

    /// Its size.
    pub fn size(&self, id: TerminalId) -> Size {
        self.get(id).size
    }

    /// Changes its size; the foreground group learns it.
    pub fn resize(&mut self, requests: &mut Vec<Request>, id: TerminalId, size: Size) {
        let terminal = self.get_mut(id);
        if terminal.size != size {
            terminal.size = size;
            if let Some(group) = terminal.group {
                requests.push(Request::SignalGroup(group, SIGWINCH));
            }
        }
    }

    /// Session and foreground group.
    pub fn owners(&self, id: TerminalId) -> (Option<ProcessId>, Option<ProcessId>) {
        let terminal = self.get(id);
        (terminal.session, terminal.group)
    }

    /// Makes a group of the caller's session the foreground group. Whether it is one of the session is the
    /// caller's business.
    pub fn set_group(&mut self, id: TerminalId, group: ProcessId) {
        self.get_mut(id).group = Some(group);
    }

    /// Makes it the terminal of the caller's session, whose leader the caller must be and which must have
    /// none. With `steal`, it is taken from another session.
    ///
    /// # Errors
    /// `EPERM`.
    pub fn adopt(&mut self, id: TerminalId, who: &Caller, steal: bool) -> Result<()> {
        let taken = self.get(id).session;
        if taken == Some(who.session) && who.process == who.session {
            return Ok(());
        }
        if who.process != who.session || self.sessions.contains_key(&who.session) {
            return Err(Errno::PERM);
        }
        if let Some(other) = taken {
            if !steal {
                return Err(Errno::PERM);
            }
            self.sessions.remove(&other);
        }
        self.sessions.insert(who.session, id);
        let terminal = self.get_mut(id);
        terminal.session = Some(who.session);
        terminal.group = Some(who.group);
        Ok(())
    }

    /// A session gives its terminal up, since its leader says so or has ended: its foreground group learns it.
    pub fn disown(&mut self, requests: &mut Vec<Request>, session: ProcessId) {
        let Some(id) = self.sessions.remove(&session) else {
            return;
        };
        let terminal = self.get_mut(id);
        terminal.session = None;
        if let Some(group) = terminal.group.take() {
            requests.push(Request::SignalGroup(group, SIGHUP));
            requests.push(Request::SignalGroup(group, SIGCONT));
        }
    }

    /// Lets a pseudo-terminal be opened, or not.
    pub fn lock(&mut self, id: TerminalId, lock: bool) {
        if let Side::Master { locked, .. } = &mut self.get_mut(id).side {
            *locked = lock;
        }
    }

    /// Whether it may not be opened.
    pub fn is_locked(&self, id: TerminalId) -> bool {
        matches!(self.get(id).side, Side::Master { locked: true, .. })
    }
}
