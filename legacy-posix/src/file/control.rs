// SPDX-License-Identifier: BSD-2-Clause
//! `fcntl`, `ioctl` and `flock`.

use linux_raw_sys::general::{
    F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_GETLK, F_GETOWN, F_GETPIPE_SZ, F_OFD_GETLK,
    F_OFD_SETLK, F_OFD_SETLKW, F_RDLCK, F_SETFD, F_SETFL, F_SETLK, F_SETLKW, F_SETOWN,
    F_SETPIPE_SZ, F_UNLCK, F_WRLCK, FD_CLOEXEC, LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, O_APPEND,
    O_DIRECT, O_NOATIME, O_NOCTTY, O_NONBLOCK, O_PATH, O_RDWR, SEEK_CUR, SEEK_END, SEEK_SET,
    TCIFLUSH, TCIOFF, TCIOFLUSH, TCION, TCOFLUSH, TCOOFF, TCOON,
};
use linux_raw_sys::ioctl::{
    FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD, TCFLSH, TCGETS, TCGETS2, TCSBRK, TCSBRKP,
    TCSETS, TCSETS2, TCSETSF, TCSETSF2, TCSETSW, TCSETSW2, TCXONC, TIOCGPGRP, TIOCGPTLCK, TIOCGPTN,
    TIOCGPTPEER, TIOCGSID, TIOCGWINSZ, TIOCNOTTY, TIOCOUTQ, TIOCSCTTY, TIOCSPGRP, TIOCSPTLCK,
    TIOCSTI, TIOCSWINSZ,
};

use super::abi::{Flock, u16_at, u32_at};
use super::locks::{Lock, Owner};
use super::{Files, Moved, Object, OpenId};
use crate::tty::{TerminalId, Want, termios};
use crate::vfs::{Call, Node};
use crate::{Errno, ProcessId, Result};

/// Flags that `F_SETFL` changes.
const CHANGEABLE: u32 = O_APPEND | O_NONBLOCK | O_NOATIME | O_DIRECT;

/// What an `ioctl` moves: bytes that are copied in from its argument, and out to it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[allow(missing_docs)]
pub struct Shape {
    pub read: usize,
    pub write: usize,
}

/// The most bytes that an `ioctl` moves.
pub const SHAPE_MAX: usize = termios::BYTES2;

/// What a request moves. For requests that are not known, nothing; their argument is a number.
pub const fn shape(request: u32) -> Shape {
    let (read, write) = match request {
        TCGETS => (0, termios::BYTES),
        TCGETS2 => (0, termios::BYTES2),
        TCSETS | TCSETSW | TCSETSF => (termios::BYTES, 0),
        TCSETS2 | TCSETSW2 | TCSETSF2 => (termios::BYTES2, 0),
        TIOCGWINSZ => (0, 8),
        TIOCSWINSZ => (8, 0),
        TIOCGPGRP | TIOCGSID | FIONREAD | TIOCOUTQ | TIOCGPTN | TIOCGPTLCK => (0, 4),
        TIOCSPGRP | TIOCSPTLCK | FIONBIO | FIOASYNC => (4, 0),
        _ => (0, 0),
    };
    Shape { read, write }
}

impl Files {
    /// `fcntl`, but for locks.
    ///
    /// # Errors
    /// `EBADF`; `EINVAL` for unknown commands; those of [`Files::dup`]; `EBUSY`, `EPERM` for sizes of pipes.
    pub fn fcntl(&mut self, call: &mut Call, fd: i32, command: u32, argument: u64) -> Result<u64> {
        let id = self.open_of(call, fd)?;
        let number = fd as u32;
        let table = call.caller.table;
        let open = self.descriptors.get(id);
        let named_only = open.flags & O_PATH != 0;
        match command {
            F_DUPFD => return Ok(self.dup(call, fd, argument, false)? as u64),
            F_DUPFD_CLOEXEC => return Ok(self.dup(call, fd, argument, true)? as u64),
            F_GETFD => {
                let close = self.descriptors.table(table).close_on_exec(number);
                return Ok(if close { u64::from(FD_CLOEXEC) } else { 0 });
            }
            F_SETFD => {
                let close = argument & u64::from(FD_CLOEXEC) != 0;
                self.descriptors
                    .table_mut(table)
                    .set_close_on_exec(number, close);
                return Ok(0);
            }
            F_GETFL => return Ok(open.flags.into()),
            _ if named_only => return Err(Errno::BADF),
            _ => {}
        }
        match (command, &open.object) {
            (F_SETFL, _) => {
                let open = self.descriptors.get_mut(id);
                open.flags = open.flags & !CHANGEABLE | argument as u32 & CHANGEABLE;
                Ok(0)
            }
            (F_GETOWN | F_SETOWN, _) => Ok(0),
            (F_GETPIPE_SZ, Object::Pipe(pipe)) => Ok(self.pipes.capacity(*pipe) as u64),
            (F_SETPIPE_SZ, &Object::Pipe(pipe)) => {
                let size = usize::try_from(argument & 0xffff_ffff).unwrap_or(usize::MAX);
                let set = self
                    .pipes
                    .set_capacity(call.pages, &mut self.queues, pipe, size)?;
                Ok(set as u64)
            }
            (F_GETPIPE_SZ | F_SETPIPE_SZ, _) => Err(Errno::BADF),
            _ => Err(Errno::INVAL),
        }
    }

    /// Whether a command of `fcntl` is about locks, and must go to [`Files::record_lock`] with the structure that its
    /// argument points to.
    pub const fn is_lock_command(command: u32) -> bool {
        matches!(
            command,
            F_GETLK | F_SETLK | F_SETLKW | F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW
        )
    }

    /// Locks of `fcntl`. Gives the lock that is in the way of what a `GETLK` asked for (or that none is), to be written back.
    ///
    /// # Errors
    /// `EBADF` also for the wrong access mode; `EINVAL`, `EOVERFLOW`; `EAGAIN` if a lock is in the way, `EDEADLK`,
    /// `ENOLCK`.
    pub fn record_lock(
        &mut self,
        call: &mut Call,
        fd: i32,
        command: u32,
        wanted: Flock,
    ) -> Result<(Moved, Option<Flock>)> {
        let id = self.usable(call, fd)?;
        let open = self.descriptors.get(id);
        let by_open = matches!(command, F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW);
        let only_asks = matches!(command, F_GETLK | F_OFD_GETLK);
        if by_open && wanted.process != 0 {
            return Err(Errno::INVAL);
        }
        let kind = u32::from(wanted.kind);
        let exclusive = match kind {
            F_RDLCK if !open.reads() && !only_asks => return Err(Errno::BADF),
            F_WRLCK if !open.writes() && !only_asks => return Err(Errno::BADF),
            F_UNLCK if only_asks && !by_open => return Err(Errno::INVAL),
            F_RDLCK | F_UNLCK => false,
            F_WRLCK => true,
            _ => return Err(Errno::INVAL),
        };
        let node = open.node.ok_or(Errno::BADF)?;
        let position = open.position;
        let (start, end) = self.range(call, node, position, &wanted)?;
        let owner = if by_open {
            Owner::Open(id)
        } else {
            Owner::Process(call.caller.process)
        };
        let lock = Lock {
            owner,
            exclusive,
            start,
            end,
        };
        if only_asks {
            let mut answer = wanted;
            match self.locks.conflict(node, &lock) {
                None => answer.kind = F_UNLCK as u16,
                Some(other) => {
                    answer = Flock {
                        kind: if other.exclusive { F_WRLCK } else { F_RDLCK } as u16,
                        whence: SEEK_SET as u16,
                        start: other.start as i64,
                        length: if other.end == u64::MAX {
                            0
                        } else {
                            (other.end - other.start) as i64
                        },
                        process: match other.owner {
                            Owner::Process(process) => process.number() as i32,
                            Owner::Open(_) => -1,
                        },
                    };
                }
            }
            return Ok((Moved::Done(0), Some(answer)));
        }
        let set = kind != F_UNLCK;
        let most = self.limits.locks;
        let wait = self.locks.set(&mut self.queues, node, lock, set, most)?;
        match wait {
            None => Ok((Moved::Done(0), None)),
            Some(_) if matches!(command, F_SETLK | F_OFD_SETLK) => {
                self.locks.abandon(call.caller.process);
                Err(Errno::AGAIN)
            }
            Some(queue) => {
                self.queues.wait(queue, call.caller.thread);
                Ok((Moved::Wait, None))
            }
        }
    }

    /// The bytes that a lock is about.
    fn range(
        &self,
        call: &mut Call,
        node: Node,
        position: u64,
        lock: &Flock,
    ) -> Result<(u64, u64)> {
        let base = match u32::from(lock.whence) {
            SEEK_SET => 0,
            SEEK_CUR => position as i64,
            SEEK_END => self.size(call, node)? as i64,
            _ => return Err(Errno::INVAL),
        };
        let start = base.checked_add(lock.start).ok_or(Errno::OVERFLOW)?;
        if start < 0 {
            return Err(Errno::INVAL);
        }
        let (start, end) = match lock.length {
            0 => return Ok((start as u64, u64::MAX)),
            length if length > 0 => {
                let last = start.checked_add(length - 1).ok_or(Errno::OVERFLOW)?;
                (start, last as u64 + 1)
            }
            length => {
                let first = start.checked_add(length).ok_or(Errno::INVAL)?;
                (first, start as u64)
            }
        };
        if start < 0 {
            return Err(Errno::INVAL);
        }
        Ok((start as u64, end))
    }

    /// `flock`.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL`, `EAGAIN` with `LOCK_NB`, `ENOLCK`.
    pub fn flock(&mut self, call: &mut Call, fd: i32, operation: u32) -> Result<Moved> {
        let id = self.usable(call, fd)?;
        let node = self.descriptors.get(id).node.ok_or(Errno::BADF)?;
        let how = match operation & !LOCK_NB {
            LOCK_SH => Some(false),
            LOCK_EX => Some(true),
            LOCK_UN => None,
            _ => return Err(Errno::INVAL),
        };
        let most = self.limits.locks;
        match self
            .locks
            .set_whole(&mut self.queues, node, id, how, most)?
        {
            None => Ok(Moved::Done(0)),
            Some(_) if operation & LOCK_NB != 0 => Err(Errno::AGAIN),
            Some(queue) => {
                self.queues.wait(queue, call.caller.thread);
                Ok(Moved::Wait)
            }
        }
    }

    /// `ioctl`. `bytes` has the bytes that [`shape`] says are read from the argument, and gets those that are written
    /// to it; it is as long as the longer of the two.
    ///
    /// # Errors
    /// `EBADF`; `ENOTTY` for what the file does not know; and each request's own.
    pub fn ioctl(
        &mut self,
        call: &mut Call,
        fd: i32,
        request: u32,
        argument: u64,
        bytes: &mut [u8],
    ) -> Result<Moved> {
        let id = self.usable(call, fd)?;
        let done = Ok(Moved::Done(0));
        let table = call.caller.table;
        match request {
            FIOCLEX | FIONCLEX => {
                self.descriptors
                    .table_mut(table)
                    .set_close_on_exec(fd as u32, request == FIOCLEX);
                return done;
            }
            FIONBIO => {
                let set = if u32_at(bytes, 0) != 0 { O_NONBLOCK } else { 0 };
                let open = self.descriptors.get_mut(id);
                open.flags = open.flags & !O_NONBLOCK | set;
                return done;
            }
            FIOASYNC => return done,
            FIONREAD => {
                let count = self.readable(call, id)?;
                put_u32(bytes, u32::try_from(count).unwrap_or(i32::MAX as u32));
                return done;
            }
            _ => {}
        }
        match self.descriptors.get(id).object {
            Object::Terminal(terminal) => {
                self.terminal_ioctl(call, terminal, false, request, argument, bytes)
            }
            Object::Master(terminal) => {
                self.terminal_ioctl(call, terminal, true, request, argument, bytes)
            }
            // It has requests of its own, and none that is known here.
            Object::Random => Err(Errno::INVAL),
            _ => Err(Errno::NOTTY),
        }
    }

    /// Bytes that can be read now.
    fn readable(&self, call: &mut Call, id: OpenId) -> Result<usize> {
        let open = self.descriptors.get(id);
        Ok(match &open.object {
            Object::Regular => {
                let node = open.node.ok_or(Errno::NOTTY)?;
                let left = self.size(call, node)?.saturating_sub(open.position);
                usize::try_from(left).unwrap_or(usize::MAX)
            }
            Object::Pipe(pipe) => self.pipes.readable(*pipe),
            Object::Socket(socket) => self.sockets.readable(*socket),
            Object::Terminal(terminal) => self.terminals.readable(*terminal).0,
            Object::Master(terminal) => self.terminals.readable(*terminal).1,
            _ => return Err(Errno::NOTTY),
        })
    }

    fn terminal_ioctl(
        &mut self,
        call: &mut Call,
        id: TerminalId,
        master: bool,
        request: u32,
        argument: u64,
        bytes: &mut [u8],
    ) -> Result<Moved> {
        let who = call.caller;
        let done = Ok(Moved::Done(0));
        let number = |group: Option<ProcessId>| group.map_or(0, ProcessId::number);
        let changes = matches!(
            request,
            TCSETS
                | TCSETSW
                | TCSETSF
                | TCSETS2
                | TCSETSW2
                | TCSETSF2
                | TCFLSH
                | TCXONC
                | TCSBRK
                | TCSBRKP
                | TIOCSPGRP
        );
        if changes
            && !master
            && let Some(stop) = self.terminals.judge(id, &who, Want::Change)?
        {
            return Ok(stop);
        }
        let controls = self.terminals.controlling(who.session) == Some(id);
        match request {
            TCGETS | TCGETS2 => {
                let settings = self.terminals.settings(id).to_bytes();
                let length = bytes.len().min(settings.len());
                bytes[..length].copy_from_slice(&settings[..length]);
            }
            TCSETS | TCSETSW | TCSETSF | TCSETS2 | TCSETSW2 | TCSETSF2 => {
                let settings = self.terminals.settings(id).from_bytes(bytes);
                let flush = matches!(request, TCSETSF | TCSETSF2);
                self.terminals.set(&mut self.queues, id, settings, flush);
            }
            TIOCGWINSZ => {
                for (at, number) in self.terminals.size(id).into_iter().enumerate() {
                    bytes[at * 2..at * 2 + 2].copy_from_slice(&number.to_ne_bytes());
                }
            }
            TIOCSWINSZ => {
                let size = [0, 2, 4, 6].map(|at| u16_at(bytes, at));
                self.terminals.resize(&mut self.requests, id, size);
            }
            TIOCGPGRP | TIOCGSID if !master && !controls => return Err(Errno::NOTTY),
            TIOCGPGRP => put_u32(bytes, number(self.terminals.owners(id).1)),
            TIOCGSID => match self.terminals.owners(id).0 {
                Some(session) => put_u32(bytes, session.number()),
                None => return Err(Errno::NOTTY),
            },
            TIOCSPGRP => {
                if !controls {
                    return Err(Errno::NOTTY);
                }
                let group = ProcessId::new(u32_at(bytes, 0)).ok_or(Errno::INVAL)?;
                let session = call.processes.session_of_group(group);
                if session.ok_or(Errno::SRCH)? != who.session {
                    return Err(Errno::PERM);
                }
                self.terminals.set_group(id, group);
            }
            TIOCSCTTY if master => return Err(Errno::IO),
            TIOCSCTTY => {
                let steal = argument == 1 && self.administers(call).is_ok();
                self.terminals.adopt(id, &who, steal)?;
            }
            TIOCNOTTY => {
                if !controls {
                    return Err(Errno::NOTTY);
                }
                // The terminal is the whole session's: only its leader gives it up.
                if who.process == who.session {
                    self.terminals.disown(&mut self.requests, who.session);
                }
            }
            TIOCOUTQ => put_u32(bytes, self.terminals.readable(id).1 as u32),
            TCSBRK | TCSBRKP => {}
            TCXONC => match u32::try_from(argument) {
                Ok(TCOOFF) => self.terminals.stop(&mut self.queues, id, true),
                Ok(TCOON) => self.terminals.stop(&mut self.queues, id, false),
                Ok(TCIOFF | TCION) => {}
                _ => return Err(Errno::INVAL),
            },
            TCFLSH => {
                let (input, output) = match u32::try_from(argument) {
                    Ok(TCIFLUSH) => (true, false),
                    Ok(TCOFLUSH) => (false, true),
                    Ok(TCIOFLUSH) => (true, true),
                    _ => return Err(Errno::INVAL),
                };
                self.terminals.flush(&mut self.queues, id, input, output);
            }
            TIOCSTI => return Err(Errno::IO),
            TIOCGPTN if master => {
                put_u32(bytes, self.terminals.number(id).ok_or(Errno::NOTTY)?);
            }
            TIOCSPTLCK if master => self.terminals.lock(id, u32_at(bytes, 0) != 0),
            TIOCGPTLCK if master => put_u32(bytes, self.terminals.is_locked(id).into()),
            TIOCGPTPEER if master => {
                let flags = argument as u32 & (O_RDWR | O_NONBLOCK | O_NOCTTY);
                let path = self.name_of(id);
                let close = argument as u32 & linux_raw_sys::general::O_CLOEXEC;
                let here = linux_raw_sys::general::AT_FDCWD;
                return self.openat(call, here, path.as_bytes(), flags | close, 0);
            }
            _ => return Err(Errno::NOTTY),
        }
        done
    }
}

fn put_u32(bytes: &mut [u8], value: u32) {
    bytes[..4].copy_from_slice(&value.to_ne_bytes());
}
