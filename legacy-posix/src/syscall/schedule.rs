// SPDX-License-Identifier: BSD-2-Clause
//! Calls about scheduling, which is what the kernel does: round robin among all that is ready.

use alloc::vec::Vec;

use linux_raw_sys::general as linux;

use super::process::named;
use super::{Args, thread_id};
use crate::kernel::Kernel;
use crate::pages::Pages;
use crate::server::Server;
use crate::{Errno, ProcessId, Result, ThreadId};

pub(super) fn sched_yield<K: Kernel, P: Pages>(
    _: &mut Server<K, P>,
    _: ThreadId,
    _: Args,
) -> Result<u64> {
    // Whoever is resumed is the last in the kernel's queue.
    Ok(0)
}

/// Processors of the machine, as a mask: one.
pub(super) fn sched_getaffinity<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [of, size, mask, ..]: Args,
) -> Result<u64> {
    if of as u32 != 0 {
        s.tasks.thread(thread_id(of)?)?;
    }
    if size < 8 || !size.is_multiple_of(8) {
        return Err(Errno::INVAL);
    }
    s.write_words(t, mask, &[1])?;
    Ok(8)
}

pub(super) fn sched_setaffinity<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [of, size, mask, ..]: Args,
) -> Result<u64> {
    if of as u32 != 0 {
        s.tasks.thread(thread_id(of)?)?;
    }
    let mut bytes = [0; 1];
    let length = size.min(1) as usize;
    s.read_bytes(t, mask, &mut bytes[..length])?;
    if bytes[0] & 1 == 0 {
        Err(Errno::INVAL)
    } else {
        Ok(0)
    }
}

/// Scheduling is what the kernel does: round robin. The policy that has no parameters is the only one.
pub(super) fn sched_getscheduler<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [of, ..]: Args,
) -> Result<u64> {
    named_thread(s, t, of)?;
    Ok(linux::SCHED_NORMAL.into())
}

pub(super) fn sched_setscheduler<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [of, policy, parameters, ..]: Args,
) -> Result<u64> {
    named_thread(s, t, of)?;
    let priority = s.read_u32(t, parameters)?;
    match policy as u32 {
        linux::SCHED_NORMAL | linux::SCHED_BATCH | linux::SCHED_IDLE if priority == 0 => Ok(0),
        linux::SCHED_FIFO | linux::SCHED_RR if (1..100).contains(&priority) => Err(Errno::PERM),
        _ => Err(Errno::INVAL),
    }
}

pub(super) fn sched_getparam<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [of, parameters, ..]: Args,
) -> Result<u64> {
    named_thread(s, t, of)?;
    s.write_u32(t, parameters, 0)?;
    Ok(0)
}

pub(super) fn sched_priority<K: Kernel, P: Pages>(
    _: &mut Server<K, P>,
    _: ThreadId,
    [policy, ..]: Args,
) -> Result<(u64, u64)> {
    match policy as u32 {
        linux::SCHED_FIFO | linux::SCHED_RR => Ok((1, 99)),
        linux::SCHED_NORMAL | linux::SCHED_BATCH | linux::SCHED_IDLE => Ok((0, 0)),
        _ => Err(Errno::INVAL),
    }
}

pub(super) fn sched_get_priority_min<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    args: Args,
) -> Result<u64> {
    sched_priority(s, t, args).map(|(min, _)| min)
}

pub(super) fn sched_get_priority_max<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    args: Args,
) -> Result<u64> {
    sched_priority(s, t, args).map(|(_, max)| max)
}

fn named_thread<K: Kernel, P: Pages>(
    s: &Server<K, P>,
    t: ThreadId,
    number: u64,
) -> Result<ThreadId> {
    match number as u32 {
        0 => Ok(t),
        number => {
            let id = ThreadId::new(number).ok_or(Errno::INVAL)?;
            s.tasks.thread(id).map(|thread| thread.id)
        }
    }
}

pub(super) fn getpriority<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [kind, who, ..]: Args,
) -> Result<u64> {
    let nices = niced(s, t, kind, who)?;
    let lowest = nices
        .iter()
        .filter_map(|id| s.tasks.process(*id).ok())
        .map(|p| p.nice)
        .min();
    Ok((20 - lowest.ok_or(Errno::SRCH)?) as u64)
}

pub(super) fn setpriority<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [kind, who, nice, ..]: Args,
) -> Result<u64> {
    let nice = (nice as i32).clamp(-20, 19);
    let own = s.tasks.process_of(t)?.credentials.clone();
    let processes = niced(s, t, kind, who)?;
    let mut outcome = Err(Errno::SRCH);
    for id in processes {
        let process = s.tasks.process_mut(id)?;
        let may = own.can(linux::CAP_SYS_NICE);
        if !may && ![process.credentials.uid, process.credentials.euid].contains(&own.euid) {
            outcome = Err(Errno::PERM);
        } else if !may && nice < process.nice {
            outcome = Err(Errno::ACCES);
        } else {
            process.nice = nice;
            outcome = Ok(0);
        }
    }
    outcome
}

fn niced<K: Kernel, P: Pages>(
    s: &Server<K, P>,
    t: ThreadId,
    kind: u64,
    who: u64,
) -> Result<Vec<ProcessId>> {
    let own = s.tasks.process_of(t)?;
    match kind as u32 {
        linux::PRIO_PROCESS => Ok(alloc::vec![named(s, t, who)?]),
        linux::PRIO_PGRP => {
            let group = match who as u32 {
                0 => own.group,
                number => ProcessId::new(number).ok_or(Errno::SRCH)?,
            };
            let group = s.tasks.groups.get(&group).ok_or(Errno::SRCH)?;
            Ok(group.members.iter().copied().collect())
        }
        linux::PRIO_USER => {
            let uid = match who as u32 {
                0 => own.credentials.uid,
                uid => uid,
            };
            let all = s.tasks.processes.values();
            Ok(all
                .filter(|p| p.credentials.uid == uid)
                .map(|p| p.id)
                .collect())
        }
        _ => Err(Errno::INVAL),
    }
}
