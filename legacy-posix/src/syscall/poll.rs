// SPDX-License-Identifier: BSD-2-Clause
//! Calls that wait until files are ready.

use alloc::vec::Vec;

use linux_raw_sys::general as linux;

use super::file::{descriptor, done};
use super::{Args, time};
use crate::file::Moved;
use crate::file::abi;
use crate::file::poll::{EpollEvent, PollEntry};
use crate::flow::Flow;
use crate::kernel::Kernel;
use crate::pages::Pages;
use crate::server::Server;
use crate::{Errno, Result, ThreadId};

/// Whether a call that waits at most so long has waited long enough; `None` is for ever.
fn is_over<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    timeout: Option<u64>,
) -> Result<bool> {
    let now = s.entered;
    let thread = s.tasks.thread_mut(t)?;
    if let Some(time) = timeout
        && thread.progress.deadline.is_none()
    {
        thread.progress.deadline = Some(now.saturating_add(time).max(1));
    }
    Ok(thread.progress.is_over(now))
}

/// A time-out in milliseconds, as `poll` has it.
fn milliseconds(timeout: u64) -> Option<u64> {
    match timeout as i32 {
        ..0 => None,
        time => Some(time as u64 * 1_000_000),
    }
}

fn poll_for<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
    count: u64,
    timeout: Option<u64>,
) -> Flow {
    let outcome = (|| {
        let limit = s.tasks.process_of(t)?.limit(linux::RLIMIT_NOFILE);
        if count > limit {
            return Err(Errno::INVAL);
        }
        let mut bytes = alloc::vec![0; count as usize * abi::POLLFD];
        s.read_bytes(t, address, &mut bytes)?;
        let mut entries: Vec<_> = bytes.chunks_exact(abi::POLLFD).map(PollEntry::of).collect();
        let wait = !is_over(s, t, timeout)?;
        let moved = s.with_files(t, |f, c| Ok(f.poll(c, &mut entries, wait)))?;
        if let Moved::Done(_) = moved {
            for (i, entry) in entries.iter().enumerate() {
                let at = address.wrapping_add((i * abi::POLLFD + 6) as u64);
                s.write_bytes(t, at, &entry.ready.to_le_bytes())?;
            }
        }
        Ok(moved)
    })();
    s.moved(t, outcome)
}

pub(super) fn poll<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, count, timeout, ..]: Args,
) -> Flow {
    poll_for(s, t, address, count & 0xffff_ffff, milliseconds(timeout))
}

/// A time-out as a `struct timespec`, if there is one.
fn timeout<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
) -> Result<Option<u64>> {
    match address {
        0 => Ok(None),
        address => time::read_timespec(s, t, address).map(Some),
    }
}

/// Has a thread block other signals during its call, if it wants that.
fn with_mask<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    mask: u64,
    size: u64,
) -> Result<()> {
    if mask != 0 {
        let mask = super::signal::read_mask(s, t, mask, size)?;
        super::signal::borrow_mask(s, t, mask);
    }
    Ok(())
}

pub(super) fn ppoll<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, count, time, mask, size, _]: Args,
) -> Flow {
    let timeout = match timeout(s, t, time) {
        Ok(timeout) => timeout,
        Err(error) => return error.into(),
    };
    match with_mask(s, t, mask, size) {
        Ok(()) => poll_for(s, t, address, count & 0xffff_ffff, timeout),
        Err(error) => error.into(),
    }
}

fn select_for<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    count: u64,
    addresses: [u64; 3],
    timeout: Option<u64>,
) -> Flow {
    let outcome = (|| {
        if (count as i32) < 0 {
            return Err(Errno::INVAL);
        }
        let count = (count as u32).min(1 << 16);
        let words = count.div_ceil(64) as usize;
        let mut sets = [const { Vec::new() }; 3];
        for (set, address) in sets.iter_mut().zip(addresses) {
            if address != 0 {
                set.resize(words, 0u64);
                for (i, word) in set.iter_mut().enumerate() {
                    [*word] = s.read_words(t, address.wrapping_add(8 * i as u64))?;
                }
            }
        }
        let wait = !is_over(s, t, timeout)?;
        let moved = s.with_files(t, |f, c| {
            let [a, b, d] = &mut sets;
            f.select(c, count, [a, b, d], wait)
        })?;
        if let Moved::Done(_) = moved {
            for (set, address) in sets.iter().zip(addresses) {
                for (i, word) in set.iter().enumerate() {
                    s.write_words(t, address.wrapping_add(8 * i as u64), &[*word])?;
                }
            }
        }
        Ok(moved)
    })();
    s.moved(t, outcome)
}

pub(super) fn select<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [count, read, write, other, time, _]: Args,
) -> Flow {
    let timeout = match time {
        0 => Ok(None),
        time => time::read_timeval(s, t, time).map(Some),
    };
    match timeout {
        Ok(timeout) => select_for(s, t, count, [read, write, other], timeout),
        Err(error) => error.into(),
    }
}

pub(super) fn pselect6<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [count, read, write, other, time, mask]: Args,
) -> Flow {
    let timeout: Result<_> = (|| {
        let timeout = timeout(s, t, time)?;
        if mask != 0 {
            let [mask, size] = s.read_words(t, mask)?;
            with_mask(s, t, mask, size)?;
        }
        Ok(timeout)
    })();
    match timeout {
        Ok(timeout) => select_for(s, t, count, [read, write, other], timeout),
        Err(error) => error.into(),
    }
}

pub(super) fn epoll_create<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [size, ..]: Args,
) -> Result<u64> {
    if (size as i32) <= 0 {
        return Err(Errno::INVAL);
    }
    descriptor(s, t, |f, c| f.epoll_create1(c, 0))
}

pub(super) fn epoll_create1<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [flags, ..]: Args,
) -> Result<u64> {
    descriptor(s, t, |f, c| f.epoll_create1(c, flags as u32))
}

pub(super) fn epoll_ctl<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [epfd, operation, fd, event, ..]: Args,
) -> Result<u64> {
    let mut bytes = [0; abi::EPOLL_EVENT];
    if operation as u32 != linux::EPOLL_CTL_DEL {
        s.read_bytes(t, event, &mut bytes)?;
    }
    let event = EpollEvent::of(&bytes);
    done(s, t, |f, c| {
        f.epoll_ctl(c, epfd as i32, operation as u32, fd as i32, event)
    })
}

fn epoll_for<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    (epfd, address, most): (u64, u64, u64),
    timeout: Option<u64>,
) -> Flow {
    let outcome = (|| {
        let wait = !is_over(s, t, timeout)?;
        let mut events = Vec::new();
        let most = most as i32;
        let moved = s.with_files(t, |f, c| {
            f.epoll_wait(c, epfd as i32, &mut events, most, wait)
        })?;
        if let Moved::Done(_) = moved {
            for (i, event) in events.iter().enumerate() {
                let at = address.wrapping_add((i * abi::EPOLL_EVENT) as u64);
                s.write_bytes(t, at, &event.to_bytes())?;
            }
        }
        Ok(moved)
    })();
    s.moved(t, outcome)
}

pub(super) fn epoll_wait<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [epfd, address, most, time, ..]: Args,
) -> Flow {
    epoll_for(s, t, (epfd, address, most), milliseconds(time))
}

pub(super) fn epoll_pwait<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [epfd, address, most, time, mask, size]: Args,
) -> Flow {
    match with_mask(s, t, mask, size) {
        Ok(()) => epoll_for(s, t, (epfd, address, most), milliseconds(time)),
        Err(error) => error.into(),
    }
}

pub(super) fn epoll_pwait2<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [epfd, address, most, time, mask, size]: Args,
) -> Flow {
    let timeout = timeout(s, t, time).and_then(|timeout| {
        with_mask(s, t, mask, size)?;
        Ok(timeout)
    });
    match timeout {
        Ok(timeout) => epoll_for(s, t, (epfd, address, most), timeout),
        Err(error) => error.into(),
    }
}
