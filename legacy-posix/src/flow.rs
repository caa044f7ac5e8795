// SPDX-License-Identifier: BSD-2-Clause
//! How a system call goes on.

use crate::errno::Errno;

/// What a system call came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Flow {
    /// It is done: the value for RAX, or the error.
    Done(Result<u64, Errno>),
    /// It cannot be done yet. The thread is in the wait queues of all that could change this (or has a
    /// deadline in its [`Progress`]), and the call is run again when one of these wakes it.
    Block,
}

impl Flow {
    /// Done, with 0.
    pub const OK: Self = Self::Done(Ok(0));
}

impl From<Result<u64, Errno>> for Flow {
    fn from(result: Result<u64, Errno>) -> Self {
        Self::Done(result)
    }
}

impl From<Errno> for Flow {
    fn from(errno: Errno) -> Self {
        Self::Done(Err(errno))
    }
}

/// What a call that is run again must know of the runs before; nothing in its first run.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Progress {
    /// Bytes moved already: what it gives if no more can be moved because a signal has come.
    pub bytes: u64,
    /// When it gives up waiting: monotonic nanoseconds. Set in the first run from a time that the
    /// program named; the thread is woken then.
    pub deadline: Option<u64>,
    /// Whether one of the things that it waited for has happened, where the call itself cannot see it
    /// in any state that outlasts it (a futex's wake).
    pub woken: bool,
}

impl Progress {
    /// Whether the deadline has passed.
    pub fn is_over(&self, now: u64) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}
