// SPDX-License-Identifier: BSD-2-Clause
//! Calls about signals.

use linux_raw_sys::general as linux;

use super::{Args, Outcome, time};
use crate::flow::Flow;
use crate::kernel::Kernel;
use crate::pages::Pages;
use crate::server::Server;
use crate::signal::frame::stack_words;
use crate::signal::{Action, AlternateStack, Info, Signal, UNSTOPPABLE};
use crate::{Credentials, Errno, ProcessId, Result, ThreadId};

/// Bytes of a signal mask.
const MASK: u64 = 8;

fn check_size(size: u64) -> Result<()> {
    if size == MASK {
        Ok(())
    } else {
        Err(Errno::INVAL)
    }
}

/// A mask in a thread's memory; what cannot be blocked is not.
pub(super) fn read_mask<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
    size: u64,
) -> Result<u64> {
    check_size(size)?;
    let [mask] = s.read_words(t, address)?;
    Ok(mask & !UNSTOPPABLE)
}

pub(super) fn rt_sigaction<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [signal, new, old, size, ..]: Args,
) -> Result<u64> {
    check_size(size)?;
    let signal = Signal::new(signal as u32)?;
    let action = match new {
        0 => None,
        _ if UNSTOPPABLE & signal.bit() != 0 => return Err(Errno::INVAL),
        new => {
            let [handler, flags, restorer, mask] = s.read_words(t, new)?;
            Some(Action {
                handler,
                flags,
                restorer,
                mask: mask & !UNSTOPPABLE,
            })
        }
    };
    let process = s.tasks.process_of(t)?;
    let actions = process.actions.clone();
    let before = *actions.borrow().get(signal);
    if let Some(action) = action {
        actions.borrow_mut().set(signal, action);
        if actions.borrow().ignores(signal) {
            // What is pending is ignored as well.
            let process = s.tasks.process_of_mut(t)?;
            process.pending.remove(signal.bit());
            for thread in process.threads.clone() {
                s.tasks.thread_mut(thread)?.pending.remove(signal.bit());
            }
        }
    }
    if old != 0 {
        let words = [before.handler, before.flags, before.restorer, before.mask];
        s.write_words(t, old, &words)?;
    }
    Ok(0)
}

pub(super) fn rt_sigprocmask<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [how, new, old, size, ..]: Args,
) -> Result<u64> {
    check_size(size)?;
    let before = s.tasks.thread(t)?.mask;
    if new != 0 {
        let set = read_mask(s, t, new, size)?;
        let mask = match how as u32 {
            linux::SIG_BLOCK => before | set,
            linux::SIG_UNBLOCK => before & !set,
            linux::SIG_SETMASK => set,
            _ => return Err(Errno::INVAL),
        };
        s.tasks.thread_mut(t)?.mask = mask;
    }
    if old != 0 {
        s.write_words(t, old, &[before])?;
    }
    Ok(0)
}

pub(super) fn rt_sigpending<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, size, ..]: Args,
) -> Result<u64> {
    if size > MASK {
        return Err(Errno::INVAL);
    }
    let thread = s.tasks.thread(t)?;
    let pending = (thread.pending.set() | s.tasks.process_of(t)?.pending.set()) & thread.mask;
    s.write_bytes(t, address, &pending.to_le_bytes()[..size as usize])?;
    Ok(0)
}

pub(super) fn rt_sigsuspend<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [mask, size, ..]: Args,
) -> Flow {
    match read_mask(s, t, mask, size) {
        Ok(mask) => {
            borrow_mask(s, t, mask);
            Flow::Block
        }
        Err(error) => error.into(),
    }
}

/// Has a thread block these signals until its call has ended.
pub(super) fn borrow_mask<K: Kernel, P: Pages>(s: &mut Server<K, P>, t: ThreadId, mask: u64) {
    if let Ok(thread) = s.tasks.thread_mut(t) {
        thread.later_mask.get_or_insert(thread.mask);
        thread.mask = mask;
    }
}

pub(super) fn pause<K: Kernel, P: Pages>(_: &mut Server<K, P>, _: ThreadId, _: Args) -> Flow {
    Flow::Block
}

pub(super) fn rt_sigreturn<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    _: Args,
) -> Outcome {
    if s.leave_handler(t).is_err() {
        let address = s.tasks.thread(t).map_or(0, |thread| thread.registers.rsp);
        let segv = Signal::of(linux::SIGSEGV);
        s.force(t, Info::fault(segv, linux::SEGV_MAPERR, address));
    }
    s.go(t, crate::kernel::Extent::All, None);
    Outcome::Left
}

pub(super) fn sigaltstack<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [new, old, ..]: Args,
) -> Result<u64> {
    let thread = s.tasks.thread(t)?;
    let (before, on) = (thread.alternate, thread.alternate.has(thread.registers.rsp));
    if new != 0 {
        let [start, flags, bytes] = s.read_words(t, new)?;
        let flags = flags as u32;
        let kept = flags & linux::SS_AUTODISARM;
        if on && before.flags & linux::SS_AUTODISARM == 0 {
            return Err(Errno::PERM);
        }
        let stack = match flags & !linux::SS_AUTODISARM {
            linux::SS_DISABLE => AlternateStack::default(),
            0 | linux::SS_ONSTACK => {
                if bytes < u64::from(linux::MINSIGSTKSZ) {
                    return Err(Errno::NOMEM);
                }
                AlternateStack {
                    start,
                    bytes,
                    flags: kept,
                }
            }
            _ => return Err(Errno::INVAL),
        };
        s.tasks.thread_mut(t)?.alternate = stack;
    }
    if old != 0 {
        s.write_words(t, old, &stack_words(&before, on))?;
    }
    Ok(0)
}

pub(super) fn rt_sigtimedwait<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [set, info, timeout, size, ..]: Args,
) -> Flow {
    let outcome = (|| {
        let wanted = read_mask(s, t, set, size)?;
        let thread = s.tasks.thread_mut(t)?;
        thread.awaited = 0;
        let process = thread.process;
        let found = match thread.pending.take(wanted) {
            Some(found) => Some(found),
            None => s.tasks.process_mut(process)?.pending.take(wanted),
        };
        if let Some(found) = found {
            if info != 0 {
                s.write_words(t, info, &found.words())?;
                s.write_words(t, info.wrapping_add(40), &[0; 11])?;
            }
            return Ok(Some(found.signal.number().into()));
        }
        let progress = s.tasks.thread(t)?.progress;
        if progress.is_over(s.entered) {
            return Err(Errno::AGAIN);
        }
        if progress.deadline.is_none() && timeout != 0 {
            let time = time::read_timespec(s, t, timeout)?;
            if time == 0 {
                return Err(Errno::AGAIN);
            }
            let at = s.entered.saturating_add(time);
            s.tasks.thread_mut(t)?.progress.deadline = Some(at);
        }
        s.tasks.thread_mut(t)?.awaited = wanted;
        Ok(None)
    })();
    match outcome {
        Ok(Some(signal)) => Flow::Done(Ok(signal)),
        Ok(None) => Flow::Block,
        Err(error) => error.into(),
    }
}

/// Whether a process may send a signal to another (kill(2)).
fn may_signal<K: Kernel, P: Pages>(
    s: &Server<K, P>,
    t: ThreadId,
    to: ProcessId,
    signal: u32,
) -> Result<bool> {
    let from = s.tasks.process_of(t)?;
    let process = s.tasks.process(to)?;
    let (a, b): (&Credentials, &Credentials) = (&from.credentials, &process.credentials);
    Ok(a.can(linux::CAP_KILL)
        || [a.uid, a.euid]
            .iter()
            .any(|uid| *uid == b.uid || *uid == b.suid)
        || signal == linux::SIGCONT && from.session == process.session)
}

/// A signal from a thread's process. Number 0 sends nothing.
fn from_user<K: Kernel, P: Pages>(
    s: &Server<K, P>,
    t: ThreadId,
    signal: u64,
    code: i32,
) -> Result<Option<Info>> {
    let process = s.tasks.process_of(t)?;
    if signal == 0 {
        return Ok(None);
    }
    let number = u32::try_from(signal).map_err(|_| Errno::INVAL)?;
    let signal = Signal::new(number)?;
    let (pid, uid) = (process.id.number(), process.credentials.uid);
    Ok(Some(Info::from_process(signal, code, pid, uid)))
}

pub(super) fn kill<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [to, signal, ..]: Args,
) -> Result<u64> {
    let info = from_user(s, t, signal & 0xffff_ffff, linux::SI_USER as i32)?;
    let own = s.tasks.process_of(t)?;
    let (own, group) = (own.id, own.group);
    let to = to as i32;
    let targets: alloc::vec::Vec<ProcessId> = match to {
        1.. => {
            let id = ProcessId::new(to as u32).ok_or(Errno::SRCH)?;
            s.tasks.process(id)?;
            alloc::vec![id]
        }
        -1 => s
            .tasks
            .processes
            .keys()
            .filter(|id| *id != ProcessId::INIT && *id != own)
            .collect(),
        i32::MIN => return Err(Errno::SRCH),
        _ => {
            let group = match to {
                0 => group,
                _ => ProcessId::new(-to as u32).ok_or(Errno::SRCH)?,
            };
            let group = s.tasks.groups.get(&group).ok_or(Errno::SRCH)?;
            group.members.iter().copied().collect()
        }
    };
    let mut outcome = Err(Errno::SRCH);
    for id in targets {
        let number = info.map_or(0, |info| info.signal.number());
        if !may_signal(s, t, id, number)? {
            if outcome.is_err() {
                outcome = Err(Errno::PERM);
            }
            continue;
        }
        outcome = Ok(0);
        if let Some(info) = info {
            s.send(id, None, info)?;
        }
        if s.tasks.thread(t).is_err() {
            // It was itself.
            break;
        }
    }
    outcome
}

fn to_thread<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    group: Option<u64>,
    to: u64,
    info: Option<Info>,
) -> Result<u64> {
    let group = group.map(super::thread_id).transpose()?;
    let to = super::thread_id(to)?;
    let process = s.tasks.thread(to)?.process;
    if group.is_some_and(|group| group.process() != process) {
        return Err(Errno::SRCH);
    }
    let number = info.map_or(0, |info| info.signal.number());
    if !may_signal(s, t, process, number)? {
        return Err(Errno::PERM);
    }
    if let Some(info) = info {
        s.send(process, Some(to), info)?;
    }
    Ok(0)
}

pub(super) fn tgkill<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [group, to, signal, ..]: Args,
) -> Result<u64> {
    if (group as i32) <= 0 || (to as i32) <= 0 {
        return Err(Errno::INVAL);
    }
    let info = from_user(s, t, signal & 0xffff_ffff, linux::SI_TKILL)?;
    to_thread(s, t, Some(group & 0xffff_ffff), to & 0xffff_ffff, info)
}

pub(super) fn tkill<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [to, signal, ..]: Args,
) -> Result<u64> {
    if (to as i32) <= 0 {
        return Err(Errno::INVAL);
    }
    let info = from_user(s, t, signal & 0xffff_ffff, linux::SI_TKILL)?;
    to_thread(s, t, None, to & 0xffff_ffff, info)
}

/// The signal that a thread wants to send with information of its own, which must not say that it is from
/// the kernel or from another.
fn queued<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    to: u64,
    signal: u64,
    address: u64,
) -> Result<Info> {
    let signal = Signal::new(signal as u32)?;
    let words = s.read_words(t, address)?;
    let info = Info::from_words(signal, words);
    let own = s.tasks.process_of(t)?.id.number();
    if (info.code >= 0 || info.code == linux::SI_TKILL) && u64::from(own) != to {
        return Err(Errno::PERM);
    }
    Ok(info)
}

pub(super) fn rt_sigqueueinfo<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [to, signal, info, ..]: Args,
) -> Result<u64> {
    let info = queued(s, t, to, signal, info)?;
    let id = super::thread_id(to)?.process();
    s.alive(id)?;
    if !may_signal(s, t, id, info.signal.number())? {
        return Err(Errno::PERM);
    }
    s.send(id, None, info)?;
    Ok(0)
}

pub(super) fn rt_tgsigqueueinfo<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [group, to, signal, info, ..]: Args,
) -> Result<u64> {
    let info = queued(s, t, group, signal, info)?;
    to_thread(s, t, Some(group), to, Some(info))
}
