// SPDX-License-Identifier: BSD-2-Clause
//! Waiting for files to be ready: `poll`, `select`, epoll.
//!
//! Time-outs are the caller's business: what gives [`Moved::Wait`] here is run again when something may have
//! changed, or is not run again when the time has passed (and then gives 0).

use alloc::vec::Vec;

use linux_raw_sys::general::{
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLERR, EPOLLET, EPOLLEXCLUSIVE,
    EPOLLHUP, EPOLLIN, EPOLLMSG, EPOLLONESHOT, EPOLLOUT, EPOLLPRI, EPOLLRDBAND, EPOLLRDHUP,
    EPOLLRDNORM, EPOLLWRBAND, EPOLLWRNORM, O_RDWR, POLLNVAL,
};

use super::{Files, Moved, Object, OpenId, abi};
use crate::poll::EpollId;
use crate::vfs::Call;
use crate::{Errno, Result};

const IN: u32 = EPOLLIN | EPOLLRDNORM;
const OUT: u32 = EPOLLOUT | EPOLLWRNORM;
/// What is told even if nobody asked.
const ALWAYS: u32 = EPOLLERR | EPOLLHUP;
/// Bits of an epoll event that are events, and not how to tell them.
const EVENTS: u32 = EPOLLIN
    | EPOLLPRI
    | EPOLLOUT
    | EPOLLERR
    | EPOLLHUP
    | EPOLLRDNORM
    | EPOLLRDBAND
    | EPOLLWRNORM
    | EPOLLWRBAND
    | EPOLLMSG
    | EPOLLRDHUP;

/// An entry of `poll`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct PollEntry {
    pub fd: i32,
    pub events: u16,
    pub ready: u16,
}

impl PollEntry {
    /// From a program's `struct pollfd`.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            fd: abi::u32_at(bytes, 0) as i32,
            events: abi::u16_at(bytes, 4),
            ready: 0,
        }
    }
}

/// What epoll tells of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct EpollEvent {
    pub events: u32,
    pub data: u64,
}

impl EpollEvent {
    /// From a program's `struct epoll_event`.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            events: abi::u32_at(bytes, 0),
            data: abi::u64_at(bytes, 4),
        }
    }

    /// As a program has it.
    pub fn to_bytes(self) -> [u8; abi::EPOLL_EVENT] {
        let mut bytes = [0; abi::EPOLL_EVENT];
        bytes[..4].copy_from_slice(&self.events.to_ne_bytes());
        bytes[4..].copy_from_slice(&self.data.to_ne_bytes());
        bytes
    }
}

fn select_flags(yes: [(bool, u32); 4]) -> u32 {
    yes.iter()
        .filter(|(yes, _)| *yes)
        .fold(0, |all, (_, flag)| all | flag)
}

impl Files {
    /// What an open description is ready for, `EPOLLx` (whose low bits are those of `POLLx`).
    pub fn ready(&mut self, id: OpenId) -> u32 {
        let open = self.descriptors.get(id);
        let (reads, writes) = (open.reads(), open.writes());
        match open.object {
            Object::Pipe(pipe) => {
                let (readers, writers) = self.pipes.ends(pipe);
                // Who opened a FIFO before any writer did is not told that they are gone.
                let ended = writers == 0 && u64::from(self.pipes.opened(pipe)[1]) != open.position;
                select_flags([
                    (reads && self.pipes.readable(pipe) > 0, IN),
                    (reads && ended, EPOLLHUP),
                    (writes && self.pipes.has_room(pipe), OUT),
                    (writes && readers == 0, EPOLLERR),
                ])
            }
            Object::Terminal(terminal) => {
                let (read, write, hung_up) = self.terminals.ready(terminal);
                select_flags([(read, IN), (write, OUT), (hung_up, EPOLLHUP), (false, 0)])
            }
            Object::Master(terminal) => {
                let (read, write, closed) = self.terminals.master_ready(terminal);
                select_flags([(read, IN), (write, OUT), (closed, EPOLLHUP), (false, 0)])
            }
            Object::Event(event) => {
                let (read, write) = self.events.ready(event);
                select_flags([(read, EPOLLIN), (write, EPOLLOUT), (false, 0), (false, 0)])
            }
            Object::Socket(socket) => {
                let ready = self.sockets.ready(socket);
                select_flags([
                    (ready.read, IN),
                    (ready.write, OUT | EPOLLWRBAND),
                    (ready.ended, EPOLLRDHUP),
                    (ready.hung_up, EPOLLHUP),
                ])
            }
            Object::Epoll(epoll) => {
                if self.has_ready(epoll) {
                    IN
                } else {
                    0
                }
            }
            _ => IN | OUT,
        }
    }

    /// Whether an instance has something to tell; what has not is taken off its list.
    fn has_ready(&mut self, epoll: EpollId) -> bool {
        for _ in 0..self.epolls.candidates(&self.queues, epoll) {
            let Some(item) = self.epolls.next(&mut self.queues, epoll) else {
                break;
            };
            if self.ready(item.open) & (item.events & EVENTS | ALWAYS) != 0 && item.events != 0 {
                self.epolls.put_back(&mut self.queues, &item);
                return true;
            }
        }
        false
    }

    /// `poll`, `ppoll`: fills in what is ready and gives how many entries are; with `wait`, waits if none.
    ///
    /// # Errors
    /// None: a number that is no descriptor is told in its entry.
    pub fn poll(&mut self, call: &Call, entries: &mut [PollEntry], wait: bool) -> Moved {
        let mut count = 0;
        for entry in &mut *entries {
            entry.ready = 0;
            if entry.fd < 0 {
                continue;
            }
            entry.ready = match self.usable(call, entry.fd) {
                Ok(open) => {
                    let wanted = u32::from(entry.events) | ALWAYS;
                    (self.ready(open) & wanted) as u16
                }
                Err(_) => POLLNVAL as u16,
            };
            count += usize::from(entry.ready != 0);
        }
        if count > 0 || !wait {
            return Moved::Done(count);
        }
        for entry in entries {
            if let Ok(open) = self.usable(call, entry.fd) {
                self.wait_for(call, open);
            }
        }
        Moved::Wait
    }

    /// `select`, `pselect6`: sets of descriptors below `count` as bits, which are replaced by those that are ready
    /// when it is done. An empty set may stand for none.
    ///
    /// # Errors
    /// `EBADF` if a set has something that is no descriptor.
    pub fn select(
        &mut self,
        call: &Call,
        count: u32,
        sets: [&mut [u64]; 3],
        wait: bool,
    ) -> Result<Moved> {
        const MEANINGS: [u32; 3] = [
            IN | EPOLLRDBAND | EPOLLHUP | EPOLLERR,
            OUT | EPOLLWRBAND | EPOLLERR,
            EPOLLPRI,
        ];
        let words = count.div_ceil(64) as usize;
        let mut waits: Vec<OpenId> = Vec::new();
        let mut ready: Vec<(usize, u32)> = Vec::new();
        for word in 0..words {
            let bits = sets
                .each_ref()
                .map(|set| set.get(word).copied().unwrap_or(0));
            let mut any = bits[0] | bits[1] | bits[2];
            if word == words - 1 && !count.is_multiple_of(64) {
                any &= (1 << (count % 64)) - 1;
            }
            while any != 0 {
                let bit = any.trailing_zeros();
                any &= any - 1;
                let fd = word as u32 * 64 + bit;
                let open = self.usable(call, fd as i32)?;
                let is = self.ready(open);
                waits.push(open);
                for (set, meaning) in MEANINGS.into_iter().enumerate() {
                    if bits[set] & 1 << bit != 0 && is & meaning != 0 {
                        ready.push((set, fd));
                    }
                }
            }
        }
        if ready.is_empty() && wait {
            for open in waits {
                self.wait_for(call, open);
            }
            return Ok(Moved::Wait);
        }
        let sets = sets.map(|set| {
            set.fill(0);
            set
        });
        for &(set, fd) in &ready {
            sets[set][fd as usize / 64] |= 1 << (fd % 64);
        }
        Ok(Moved::Done(ready.len()))
    }

    /// `epoll_create1`.
    ///
    /// # Errors
    /// `EINVAL`, `EMFILE`, `ENFILE`.
    pub fn epoll_create1(&mut self, call: &mut Call, flags: u32) -> Result<i32> {
        if flags & !EPOLL_CLOEXEC != 0 {
            return Err(Errno::INVAL);
        }
        self.free_descriptor(call, 0)?;
        if self.epolls.count() >= self.limits.objects {
            return Err(Errno::NFILE);
        }
        let epoll = self.epolls.create(&mut self.queues);
        match self.insert(Object::Epoll(epoll), O_RDWR, None, 0) {
            Ok(open) => self.install(call, open, flags & EPOLL_CLOEXEC != 0),
            Err(error) => {
                self.epolls.destroy(&mut self.queues, epoll);
                Err(error)
            }
        }
    }

    fn epoll_of(&self, call: &Call, fd: i32) -> Result<EpollId> {
        match self.descriptors.get(self.usable(call, fd)?).object {
            Object::Epoll(epoll) => Ok(epoll),
            _ => Err(Errno::INVAL),
        }
    }

    /// `epoll_ctl`.
    ///
    /// # Errors
    /// `EBADF`, `EEXIST`, `ENOENT`, `EPERM` for files that are always ready, `EINVAL`; `ELOOP` for
    /// an instance in one that is watched itself, or nested too deep.
    pub fn epoll_ctl(
        &mut self,
        call: &Call,
        epfd: i32,
        operation: u32,
        fd: i32,
        event: EpollEvent,
    ) -> Result<()> {
        let open = self.usable(call, fd)?;
        let instance = self.usable(call, epfd)?;
        if matches!(
            self.descriptors.get(open).object,
            Object::Regular | Object::Directory | Object::Text(_)
        ) {
            return Err(Errno::PERM);
        }
        let epoll = self.epoll_of(call, epfd)?;
        if instance == open {
            return Err(Errno::INVAL);
        }
        let name = (fd as u32, open);
        let events = event.events;
        if events & EPOLLEXCLUSIVE != 0
            && (operation == EPOLL_CTL_MOD
                || matches!(self.descriptors.get(open).object, Object::Epoll(_)))
        {
            return Err(Errno::INVAL);
        }
        match operation {
            EPOLL_CTL_ADD => {
                if let Object::Epoll(below) = self.descriptors.get(open).object {
                    // Nests are built from the bottom: then there can be no circle, and how deep they are
                    // is known without going through them.
                    let watched = !self.descriptors.get(instance).watched.is_empty();
                    if watched || !self.epolls.nest(epoll, below) {
                        return Err(Errno::LOOP);
                    }
                }
                let observed = self.queues_of(self.descriptors.get(open));
                let watch = self.epolls.add(
                    &mut self.queues,
                    epoll,
                    name,
                    (events | ALWAYS, event.data),
                    observed.into_iter().flatten(),
                )?;
                let entry = (epoll, fd as u32);
                self.descriptors.get_mut(open).watched.push(entry);
                if self.ready(open) & (events | ALWAYS) & EVENTS != 0 {
                    self.queues.fire(watch);
                }
            }
            EPOLL_CTL_MOD => {
                let watch = self
                    .epolls
                    .change(epoll, name, events | ALWAYS, event.data)?;
                if self.ready(open) & (events | ALWAYS) & EVENTS != 0 {
                    self.queues.fire(watch);
                }
            }
            EPOLL_CTL_DEL => {
                if !self.epolls.remove(&mut self.queues, epoll, name.0, open) {
                    return Err(Errno::NOENT);
                }
                let watched = &mut self.descriptors.get_mut(open).watched;
                watched.retain(|&entry| entry != (epoll, name.0));
            }
            _ => return Err(Errno::INVAL),
        }
        Ok(())
    }

    /// `epoll_wait`, `epoll_pwait`: appends at most `most` events to `events`; with `wait`, waits if there are none.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL`.
    pub fn epoll_wait(
        &mut self,
        call: &Call,
        epfd: i32,
        events: &mut Vec<EpollEvent>,
        most: i32,
        wait: bool,
    ) -> Result<Moved> {
        let id = self.usable(call, epfd)?;
        let epoll = self.epoll_of(call, epfd)?;
        let most = usize::try_from(most).ok().filter(|&most| most > 0);
        let most = most.ok_or(Errno::INVAL)?;
        for _ in 0..self.epolls.candidates(&self.queues, epoll) {
            if events.len() == most {
                break;
            }
            let Some(item) = self.epolls.next(&mut self.queues, epoll) else {
                break;
            };
            let ready = self.ready(item.open) & item.events & EVENTS;
            if ready == 0 {
                continue;
            }
            events.push(EpollEvent {
                events: ready,
                data: item.data,
            });
            if item.events & EPOLLONESHOT != 0 {
                self.epolls.disable(epoll, &item);
            } else if item.events & EPOLLET == 0 {
                self.epolls.put_back(&mut self.queues, &item);
            }
        }
        if events.is_empty() && wait {
            self.wait_for(call, id);
            return Ok(Moved::Wait);
        }
        Ok(Moved::Done(events.len()))
    }
}
