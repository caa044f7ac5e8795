// SPDX-License-Identifier: BSD-2-Clause
//! Calls about time.

use linux_raw_sys::general as linux;

use super::Args;
use crate::flow::Flow;
use crate::kernel::Kernel;
use crate::pages::Pages;
use crate::server::Server;
use crate::signal::Signal;
use crate::task::{Interval, PosixTimer};
use crate::timers::Event;
use crate::{Errno, Result, ThreadId};

const SECOND: u64 = 1_000_000_000;
const MICROSECOND: u64 = 1000;
/// Nanoseconds of a clock tick (`sysconf(_SC_CLK_TCK)` is 100).
pub(crate) const TICK: u64 = SECOND / 100;
/// Timers of a process at most.
const MAX_TIMERS: usize = 128;

/// A `struct timespec` in nanoseconds; what is too long is cut.
pub(crate) fn read_timespec<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
) -> Result<u64> {
    let [seconds, nanoseconds] = s.read_words(t, address)?;
    timespec(seconds, nanoseconds)
}

fn timespec(seconds: u64, nanoseconds: u64) -> Result<u64> {
    if (seconds as i64) < 0 || nanoseconds >= SECOND {
        return Err(Errno::INVAL);
    }
    Ok(seconds.saturating_mul(SECOND).saturating_add(nanoseconds))
}

/// A `struct timeval` in nanoseconds.
pub(crate) fn read_timeval<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
) -> Result<u64> {
    let [seconds, microseconds] = s.read_words(t, address)?;
    if (seconds as i64) < 0 || microseconds >= 1_000_000 {
        return Err(Errno::INVAL);
    }
    Ok(seconds
        .saturating_mul(SECOND)
        .saturating_add(microseconds * MICROSECOND))
}

/// Nanoseconds as a `struct timespec`.
pub(crate) const fn to_timespec(time: u64) -> [u64; 2] {
    [time / SECOND, time % SECOND]
}

/// Nanoseconds as a `struct timeval`.
pub(crate) const fn to_timeval(time: u64) -> [u64; 2] {
    [time / SECOND, time % SECOND / MICROSECOND]
}

/// What a clock shows.
fn read_clock<K: Kernel, P: Pages>(s: &mut Server<K, P>, t: ThreadId, clock: u64) -> Result<u64> {
    Ok(match clock as u32 {
        linux::CLOCK_REALTIME | linux::CLOCK_REALTIME_COARSE | linux::CLOCK_TAI => {
            s.kernel.epoch().saturating_add(s.entered)
        }
        linux::CLOCK_MONOTONIC
        | linux::CLOCK_MONOTONIC_RAW
        | linux::CLOCK_MONOTONIC_COARSE
        | linux::CLOCK_BOOTTIME => s.entered,
        linux::CLOCK_PROCESS_CPUTIME_ID => {
            let times = s.tasks.process_of(t)?.usage.times;
            times.user + times.system
        }
        linux::CLOCK_THREAD_CPUTIME_ID => s.tasks.thread(t)?.time,
        _ => {
            // A clock of a process or thread (`clock_getcpuclockid`): its complement, above three bits.
            let clock = clock as i32;
            if clock >= 0 || clock & 3 != 2 {
                return Err(Errno::INVAL);
            }
            let number = !(clock >> 3) as u32;
            let of_thread = clock & 4 != 0;
            if number == 0 {
                let own = if of_thread {
                    linux::CLOCK_THREAD_CPUTIME_ID
                } else {
                    linux::CLOCK_PROCESS_CPUTIME_ID
                };
                return read_clock(s, t, own.into());
            }
            let id = super::thread_id(number.into()).map_err(|_| Errno::INVAL)?;
            let invalid = |_| Errno::INVAL;
            if of_thread {
                s.tasks.thread(id).map_err(invalid)?.time
            } else {
                let times = s.tasks.process(id.process()).map_err(invalid)?.usage.times;
                times.user + times.system
            }
        }
    })
}

pub(super) fn clock_gettime<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [clock, address, ..]: Args,
) -> Result<u64> {
    let time = read_clock(s, t, clock)?;
    let bytes = to_timespec(time).map(u64::to_le_bytes);
    s.write_bytes(t, address, bytes.as_flattened())?;
    Ok(0)
}

pub(super) fn clock_getres<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [clock, address, ..]: Args,
) -> Result<u64> {
    read_clock(s, t, clock)?;
    if address != 0 {
        s.write_words(t, address, &[0, 1])?;
    }
    Ok(0)
}

pub(super) fn clock_settime<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [clock, address, ..]: Args,
) -> Result<u64> {
    read_timespec(s, t, address)?;
    match clock as u32 {
        // The clock belongs to the machine, not to one of its servers.
        linux::CLOCK_REALTIME => Err(Errno::PERM),
        _ => Err(Errno::INVAL),
    }
}

pub(super) fn gettimeofday<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [time, zone, ..]: Args,
) -> Result<u64> {
    let now = s.kernel.epoch().saturating_add(s.entered);
    if time != 0 {
        s.write_words(t, time, &to_timeval(now))?;
    }
    if zone != 0 {
        s.write_words(t, zone, &[0])?;
    }
    Ok(0)
}

pub(super) fn time<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, ..]: Args,
) -> Result<u64> {
    let seconds = s.kernel.epoch().saturating_add(s.entered) / SECOND;
    if address != 0 {
        s.write_words(t, address, &[seconds])?;
    }
    Ok(seconds)
}

pub(super) fn nanosleep<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [request, left, ..]: Args,
) -> Flow {
    sleep(s, t, linux::CLOCK_MONOTONIC.into(), 0, request, left)
}

pub(super) fn clock_nanosleep<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [clock, flags, request, left, ..]: Args,
) -> Flow {
    sleep(s, t, clock, flags, request, left)
}

fn sleep<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    clock: u64,
    flags: u64,
    request: u64,
    left: u64,
) -> Flow {
    let outcome = (|| {
        let progress = s.tasks.thread(t)?.progress;
        if progress.is_over(s.entered) {
            return Ok(true);
        }
        if progress.deadline.is_some() {
            return Ok(false);
        }
        match clock as u32 {
            linux::CLOCK_THREAD_CPUTIME_ID => return Err(Errno::INVAL),
            linux::CLOCK_PROCESS_CPUTIME_ID => return Err(Errno::OPNOTSUPP),
            _ => read_clock(s, t, clock)?,
        };
        let time = read_timespec(s, t, request)?;
        let absolute = flags & u64::from(linux::TIMER_ABSTIME) != 0;
        let at = match (absolute, clock as u32) {
            (true, linux::CLOCK_REALTIME | linux::CLOCK_TAI) => {
                time.saturating_sub(s.kernel.epoch())
            }
            (true, _) => time,
            (false, _) => s.entered.saturating_add(time),
        };
        // Whoever is interrupted learns how much was left: written before, so that the frame of the
        // handler does not matter.
        let _ = left;
        if at <= s.entered {
            return Ok(true);
        }
        s.tasks.thread_mut(t)?.progress.deadline = Some(at);
        Ok(false)
    })();
    match outcome {
        Ok(true) => Flow::OK,
        Ok(false) => Flow::Block,
        Err(error) => error.into(),
    }
}

/// A sleep is interrupted by a handler: writes what was left of it.
pub(crate) fn note_left<K: Kernel, P: Pages>(s: &mut Server<K, P>, t: ThreadId) {
    let Ok(thread) = s.tasks.thread(t) else {
        return;
    };
    let (registers, deadline) = (thread.registers, thread.progress.deadline);
    let left = match registers.rax as u32 {
        linux::__NR_nanosleep => registers.rsi,
        linux::__NR_clock_nanosleep if registers.rsi & u64::from(linux::TIMER_ABSTIME) == 0 => {
            registers.r10
        }
        _ => return,
    };
    if left != 0
        && let Some(at) = deadline
    {
        let _ = s.write_words(t, left, &to_timespec(at.saturating_sub(s.entered)));
    }
}

/// The two words pairs of an interval timer's time, as nanoseconds.
fn read_interval<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
    read: impl Fn(&mut Server<K, P>, ThreadId, u64) -> Result<u64>,
) -> Result<(u64, u64)> {
    let every = read(s, t, address)?;
    let first = read(s, t, address.wrapping_add(16))?;
    Ok((first, every))
}

pub(super) fn alarm<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [seconds, ..]: Args,
) -> Result<u64> {
    let first = u64::from(seconds as u32) * SECOND;
    let (left, _) = set_alarm(s, t, first, 0)?;
    // As long as there is one it is not 0.
    Ok(if left == 0 {
        0
    } else {
        ((left + SECOND / 2) / SECOND).max(1)
    })
}

fn left<K: Kernel, P: Pages>(s: &Server<K, P>, interval: Interval) -> (u64, u64) {
    match interval.at {
        0 => (0, interval.every),
        at => (at.saturating_sub(s.entered).max(1), interval.every),
    }
}

fn set_alarm<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    first: u64,
    every: u64,
) -> Result<(u64, u64)> {
    let now = s.entered;
    let process = s.tasks.process_of_mut(t)?;
    let (id, old) = (process.id, process.alarm);
    process.alarm = Interval {
        at: if first == 0 {
            0
        } else {
            now.saturating_add(first)
        },
        every,
    };
    let at = process.alarm.at;
    s.timers.remove(old.at, Event::Alarm(id));
    if at != 0 {
        s.timers.add(at, Event::Alarm(id));
    }
    Ok(left(s, old))
}

pub(super) fn setitimer<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [which, new, old, ..]: Args,
) -> Result<u64> {
    if which as u32 != linux::ITIMER_REAL {
        // Time that a program uses is counted, not timed.
        return Err(if which > 2 {
            Errno::INVAL
        } else {
            Errno::NOSYS
        });
    }
    let (first, every) = match new {
        0 => (0, 0),
        new => read_interval(s, t, new, read_timeval)?,
    };
    let before = set_alarm(s, t, first, every)?;
    write_itimer(s, t, old, before)
}

pub(super) fn getitimer<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [which, address, ..]: Args,
) -> Result<u64> {
    let interval = match which as u32 {
        linux::ITIMER_REAL => s.tasks.process_of(t)?.alarm,
        1 | 2 => Interval::default(),
        _ => return Err(Errno::INVAL),
    };
    let now = left(s, interval);
    if address == 0 {
        return Err(Errno::FAULT);
    }
    write_itimer(s, t, address, now)
}

fn write_itimer<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
    (left, every): (u64, u64),
) -> Result<u64> {
    if address != 0 {
        let ([a, b], [c, d]) = (to_timeval(every), to_timeval(left));
        s.write_words(t, address, &[a, b, c, d])?;
    }
    Ok(0)
}

pub(super) fn timer_create<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [clock, event, address, ..]: Args,
) -> Result<u64> {
    match clock as u32 {
        linux::CLOCK_REALTIME | linux::CLOCK_MONOTONIC | linux::CLOCK_BOOTTIME => {}
        linux::CLOCK_PROCESS_CPUTIME_ID | linux::CLOCK_THREAD_CPUTIME_ID => {
            return Err(Errno::OPNOTSUPP);
        }
        _ => return Err(Errno::INVAL),
    }
    let (mut signal, mut value, mut to) = (linux::SIGALRM, None, None);
    if event != 0 {
        // `struct sigevent`: value, signal number, what to do, thread.
        let [given, kind, thread] = s.read_words(t, event)?;
        value = Some(given);
        signal = kind as u32;
        match (kind >> 32) as u32 {
            linux::SIGEV_SIGNAL => {}
            linux::SIGEV_NONE => signal = 0,
            linux::SIGEV_THREAD_ID => {
                let thread = super::thread_id(thread & 0xffff_ffff).map_err(|_| Errno::INVAL)?;
                let own = s.tasks.thread(t)?.process;
                if s.tasks.thread(thread).map_err(|_| Errno::INVAL)?.process != own {
                    return Err(Errno::INVAL);
                }
                to = Some(thread);
            }
            _ => return Err(Errno::INVAL),
        }
        if signal != 0 {
            Signal::new(signal)?;
        }
    }
    let process = s.tasks.process_of_mut(t)?;
    if process.timers.len() >= MAX_TIMERS {
        return Err(Errno::AGAIN);
    }
    let number = (0..).find(|number| !process.timers.contains_key(number));
    let number = number.ok_or(Errno::AGAIN)?;
    let timer = PosixTimer {
        clock: clock as u32,
        interval: Interval::default(),
        signal,
        value: value.unwrap_or(number.into()),
        thread: to,
        overrun: 0,
    };
    process.timers.insert(number, timer);
    if let Err(error) = s.write_u32(t, address, number) {
        s.tasks.process_of_mut(t)?.timers.remove(&number);
        return Err(error);
    }
    Ok(0)
}

pub(super) fn timer_settime<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [number, flags, new, old, ..]: Args,
) -> Result<u64> {
    let number = number as u32;
    let (first, every) = read_interval(s, t, new, read_timespec)?;
    let (now, epoch) = (s.entered, s.kernel.epoch());
    let process = s.tasks.process_of_mut(t)?;
    let id = process.id;
    let timer = process.timers.get_mut(&number).ok_or(Errno::INVAL)?;
    let before = timer.interval;
    let absolute = flags & u64::from(linux::TIMER_ABSTIME) != 0;
    let at = match (first, absolute, timer.clock) {
        (0, ..) => 0,
        (_, true, linux::CLOCK_REALTIME) => first.saturating_sub(epoch).max(1),
        (_, true, _) => first,
        (_, false, _) => now.saturating_add(first),
    };
    timer.interval = Interval { at, every };
    timer.overrun = 0;
    s.timers.remove(before.at, Event::Timer(id, number));
    if at != 0 {
        s.timers.add(at, Event::Timer(id, number));
    }
    let before = left(s, before);
    write_itimerspec(s, t, old, before)
}

fn write_itimerspec<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
    (left, every): (u64, u64),
) -> Result<u64> {
    if address != 0 {
        let ([a, b], [c, d]) = (to_timespec(every), to_timespec(left));
        s.write_words(t, address, &[a, b, c, d])?;
    }
    Ok(0)
}

fn timer<K: Kernel, P: Pages>(s: &Server<K, P>, t: ThreadId, number: u64) -> Result<PosixTimer> {
    let timers = &s.tasks.process_of(t)?.timers;
    timers.get(&(number as u32)).copied().ok_or(Errno::INVAL)
}

pub(super) fn timer_gettime<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [number, address, ..]: Args,
) -> Result<u64> {
    let timer = timer(s, t, number)?;
    let now = left(s, timer.interval);
    write_itimerspec(s, t, address, now)
}

pub(super) fn timer_getoverrun<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [number, ..]: Args,
) -> Result<u64> {
    Ok(timer(s, t, number)?.overrun.into())
}

pub(super) fn timer_delete<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [number, ..]: Args,
) -> Result<u64> {
    let number = number as u32;
    let process = s.tasks.process_of_mut(t)?;
    let id = process.id;
    let timer = process.timers.remove(&number).ok_or(Errno::INVAL)?;
    s.timers.remove(timer.interval.at, Event::Timer(id, number));
    Ok(0)
}

pub(super) fn times<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, ..]: Args,
) -> Result<u64> {
    let process = s.tasks.process_of(t)?;
    let (own, children) = (process.usage.times, process.children_usage.times);
    if address != 0 {
        let ticks = [own.user, own.system, children.user, children.system].map(|time| time / TICK);
        s.write_words(t, address, &ticks)?;
    }
    Ok(s.entered / TICK)
}
