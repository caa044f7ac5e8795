// SPDX-License-Identifier: BSD-2-Clause
//! Calls about processes and threads.

use alloc::rc::Rc;
use alloc::vec::Vec;

use linux_raw_sys::general as linux;
use linux_raw_sys::prctl;

use super::{Args, Outcome, time};
use crate::flow::Flow;
use crate::kernel::Kernel;
use crate::pages::Pages;
use crate::server::Server;
use crate::server::exec::Start;
use crate::server::life::{Clone, Which};
use crate::signal::Signal;
use crate::task::{Life, Limits, UNLIMITED, Usage};
use crate::{Errno, ProcessId, Result, ThreadId};

/// The process that a call names by number; 0 is the caller's own.
pub(super) fn named<K: Kernel, P: Pages>(
    s: &Server<K, P>,
    t: ThreadId,
    number: u64,
) -> Result<ProcessId> {
    match number as u32 {
        0 => Ok(s.tasks.process_of(t)?.id),
        number => {
            let id = ProcessId::new(number).ok_or(Errno::SRCH)?;
            s.tasks.process(id).map(|process| process.id)
        }
    }
}

pub(super) fn getpid<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    _: Args,
) -> Result<u64> {
    Ok(s.tasks.thread(t)?.process.number().into())
}

pub(super) fn gettid<K: Kernel, P: Pages>(
    _: &mut Server<K, P>,
    t: ThreadId,
    _: Args,
) -> Result<u64> {
    Ok(t.number().into())
}

pub(super) fn getppid<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    _: Args,
) -> Result<u64> {
    let process = s.tasks.process_of(t)?;
    Ok(match process.parent == process.id {
        true => 0,
        false => process.parent.number().into(),
    })
}

pub(super) fn getpgrp<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    _: Args,
) -> Result<u64> {
    Ok(s.tasks.process_of(t)?.group.number().into())
}

pub(super) fn getpgid<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [of, ..]: Args,
) -> Result<u64> {
    let of = named(s, t, of)?;
    Ok(s.tasks.process(of)?.group.number().into())
}

pub(super) fn getsid<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [of, ..]: Args,
) -> Result<u64> {
    let of = named(s, t, of)?;
    Ok(s.tasks.process(of)?.session.number().into())
}

pub(super) fn setpgid<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [of, group, ..]: Args,
) -> Result<u64> {
    if (group as i32) < 0 {
        return Err(Errno::INVAL);
    }
    let of = named(s, t, of)?;
    let own = s.tasks.process_of(t)?;
    let process = s.tasks.process(of)?;
    if of != own.id {
        if process.parent != own.id {
            return Err(Errno::SRCH);
        }
        if process.session != own.session {
            return Err(Errno::PERM);
        }
        if process.executed {
            return Err(Errno::ACCES);
        }
    }
    let group = match group as u32 {
        0 => of,
        group => ProcessId::new(group).ok_or(Errno::INVAL)?,
    };
    let session = process.session;
    if process.session == of {
        return Err(Errno::PERM);
    }
    if group != of
        && s.tasks
            .groups
            .get(&group)
            .is_none_or(|group| group.session != session)
    {
        return Err(Errno::PERM);
    }
    s.tasks.join(of, group, session);
    Ok(0)
}

pub(super) fn setsid<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    _: Args,
) -> Result<u64> {
    let id = s.tasks.process_of(t)?.id;
    if s.tasks.groups.contains_key(&id) {
        return Err(Errno::PERM);
    }
    s.tasks.join(id, id, id);
    Ok(id.number().into())
}

pub(super) fn fork<K: Kernel, P: Pages>(s: &mut Server<K, P>, t: ThreadId, _: Args) -> Flow {
    let args = Clone {
        exit_signal: linux::SIGCHLD,
        ..Clone::default()
    };
    start(s, t, &args)
}

pub(super) fn vfork<K: Kernel, P: Pages>(s: &mut Server<K, P>, t: ThreadId, _: Args) -> Flow {
    let args = Clone {
        flags: (linux::CLONE_VM | linux::CLONE_VFORK).into(),
        exit_signal: linux::SIGCHLD,
        ..Clone::default()
    };
    start(s, t, &args)
}

pub(super) fn clone<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [flags, stack, parent_tid, child_tid, tls, _]: Args,
) -> Flow {
    let args = Clone {
        flags: flags & 0xffff_ff00,
        exit_signal: flags as u32 & 0xff,
        stack,
        parent_tid,
        child_tid,
        tls,
    };
    start(s, t, &args)
}

pub(super) fn clone3<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, size, ..]: Args,
) -> Flow {
    let args = (|| {
        if size < u64::from(linux::CLONE_ARGS_SIZE_VER0) {
            return Err(Errno::INVAL);
        }
        if size > 4096 {
            return Err(Errno::TOOBIG);
        }
        let [
            flags,
            _pidfd,
            child_tid,
            parent_tid,
            exit_signal,
            stack,
            stack_size,
            tls,
        ] = s.read_words(t, address)?;
        // What is behind what we know has to say nothing.
        for at in (64..size).step_by(8) {
            let [word] = s.read_words(t, address + at)?;
            if word != 0 {
                return Err(if at < 88 { Errno::INVAL } else { Errno::TOOBIG });
            }
        }
        if flags & 0xff != 0
            || exit_signal > crate::signal::LAST.into()
            || (stack == 0) != (stack_size == 0)
            || flags & u64::from(linux::CLONE_THREAD | linux::CLONE_PARENT) != 0 && exit_signal != 0
        {
            return Err(Errno::INVAL);
        }
        Ok(Clone {
            flags,
            exit_signal: exit_signal as u32,
            stack: stack.wrapping_add(stack_size),
            parent_tid,
            child_tid,
            tls,
        })
    })();
    match args {
        Ok(args) => start(s, t, &args),
        Err(error) => error.into(),
    }
}

/// Makes what is wanted. A parent that lends its memory waits for the child to return it.
fn start<K: Kernel, P: Pages>(s: &mut Server<K, P>, t: ThreadId, args: &Clone) -> Flow {
    let outcome: Result<_> = (|| {
        let thread = s.tasks.thread(t)?;
        if thread.progress.bytes != 0 {
            // Run again: the child's number is what it all came to.
            return Ok((thread.progress.bytes, thread.lends_memory));
        }
        let child = s.clone(t, args)?;
        let number = child.number().into();
        let lends = s.tasks.thread(t)?.lends_memory;
        if lends {
            s.tasks.thread_mut(t)?.progress.bytes = number;
        }
        Ok((number, lends))
    })();
    match outcome {
        Ok((_, true)) => Flow::Block,
        Ok((number, false)) => Flow::Done(Ok(number)),
        Err(error) => error.into(),
    }
}

pub(super) fn execve<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [path, arguments, environment, ..]: Args,
) -> Outcome {
    execute(s, t, linux::AT_FDCWD, (path, arguments, environment), 0)
}

pub(super) fn execveat<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [fd, path, arguments, environment, flags, _]: Args,
) -> Outcome {
    let known = linux::AT_EMPTY_PATH | linux::AT_SYMLINK_NOFOLLOW;
    if flags & !u64::from(known) != 0 {
        return Err(Errno::INVAL).into();
    }
    execute(
        s,
        t,
        fd as i32,
        (path, arguments, environment),
        flags as u32,
    )
}

fn execute<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    directory: i32,
    (path, arguments, environment): (u64, u64, u64),
    flags: u32,
) -> Outcome {
    let outcome = (|| {
        let path = s.read_path(t, path)?;
        let mut room = s.room_for_strings(t);
        let mut arguments = s.read_strings(t, arguments, &mut room)?;
        let environment = s.read_strings(t, environment, &mut room)?;
        if arguments.is_empty() {
            // As Linux does since 5.18.
            arguments.push(Vec::new());
        }
        let start = Start {
            directory,
            path,
            flags,
            arguments,
            environment,
        };
        s.execute(t, start)
    })();
    match outcome {
        Ok(()) => Outcome::Left,
        Err(error) => Err(error).into(),
    }
}

pub(super) fn exit<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [status, ..]: Args,
) -> Outcome {
    s.end_thread(t, (status as i32 & 0xff) << 8);
    Outcome::Left
}

pub(super) fn exit_group<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [status, ..]: Args,
) -> Outcome {
    if let Ok(process) = s.tasks.process_of(t) {
        let id = process.id;
        s.end_process(id, (status as i32 & 0xff) << 8);
    }
    Outcome::Left
}

pub(super) fn wait4<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [which, status, options, usage, ..]: Args,
) -> Flow {
    let options = options as u32;
    let outcome = (|| {
        let known = linux::WNOHANG
            | linux::WUNTRACED
            | linux::WCONTINUED
            | linux::__WNOTHREAD
            | linux::__WCLONE
            | linux::__WALL;
        if options & !known != 0 {
            return Err(Errno::INVAL);
        }
        let which = match which as i32 {
            -1 => Which::Any,
            0 => Which::Group(s.tasks.process_of(t)?.group),
            i32::MIN => return Err(Errno::SRCH),
            number @ 1.. => Which::Process(ProcessId::new(number as u32).ok_or(Errno::CHILD)?),
            number => Which::Group(ProcessId::new(-number as u32).ok_or(Errno::CHILD)?),
        };
        let Some(news) = s.news(t, which, options | linux::WEXITED, false)? else {
            return Ok(None);
        };
        if status != 0 {
            s.write_u32(t, status, news.status as u32)?;
        }
        if usage != 0 {
            s.write_words(t, usage, &usage_words(&news.usage))?;
        }
        Ok(Some(news.process.number().into()))
    })();
    waited(s, t, options, outcome)
}

/// What a call for news of children comes to.
fn waited<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    options: u32,
    outcome: Result<Option<u64>>,
) -> Flow {
    match outcome {
        Ok(Some(value)) => Flow::Done(Ok(value)),
        Ok(None) if options & linux::WNOHANG != 0 => Flow::OK,
        Ok(None) => match s.tasks.process_of(t) {
            Ok(process) => {
                let waiters = process.waiters;
                s.files.queues.wait(waiters, t);
                Flow::Block
            }
            Err(error) => error.into(),
        },
        Err(error) => error.into(),
    }
}

pub(super) fn waitid<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [kind, number, info, options, usage, _]: Args,
) -> Flow {
    let options = options as u32;
    let outcome = (|| {
        let news = linux::WEXITED | linux::WSTOPPED | linux::WCONTINUED;
        let known = news
            | linux::WNOHANG
            | linux::WNOWAIT
            | linux::__WNOTHREAD
            | linux::__WCLONE
            | linux::__WALL;
        if options & !known != 0 || options & news == 0 {
            return Err(Errno::INVAL);
        }
        let id = || ProcessId::new(number as u32).ok_or(Errno::INVAL);
        let which = match kind as u32 {
            linux::P_ALL => Which::Any,
            linux::P_PID => Which::Process(id()?),
            linux::P_PGID if number as u32 == 0 => Which::Group(s.tasks.process_of(t)?.group),
            linux::P_PGID => Which::Group(id()?),
            _ => return Err(Errno::INVAL),
        };
        let Some(news) = s.news(t, which, options, options & linux::WNOWAIT != 0)? else {
            if info != 0 && options & linux::WNOHANG != 0 {
                // Nothing: no signal, no process.
                s.write_words(t, info, &[0; 16])?;
            }
            return Ok(None);
        };
        if info != 0 {
            let (code, status) = news.code;
            let pid = news.process.number();
            let child = crate::signal::Info::child(code, pid, news.uid, status, 0, 0);
            s.write_words(t, info, &child.words())?;
        }
        if usage != 0 {
            s.write_words(t, usage, &usage_words(&news.usage))?;
        }
        Ok(Some(0))
    })();
    waited(s, t, options, outcome)
}

/// A `struct rusage`.
fn usage_words(usage: &Usage) -> [u64; 18] {
    let ([a, b], [c, d]) = (
        time::to_timeval(usage.times.user),
        time::to_timeval(usage.times.system),
    );
    let mut words = [0; 18];
    words[..5].copy_from_slice(&[a, b, c, d, usage.most_resident * 4]);
    words[8] = usage.faults;
    words[16] = usage.waits;
    words
}

pub(super) fn getrusage<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [whose, address, ..]: Args,
) -> Result<u64> {
    let process = s.tasks.process_of(t)?;
    let usage = match whose as i32 {
        0 => process.usage,
        -1 => process.children_usage,
        1 => {
            let mut usage = process.usage;
            usage.times.user = s.tasks.thread(t)?.time;
            usage.times.system = 0;
            usage
        }
        _ => return Err(Errno::INVAL),
    };
    s.write_words(t, address, &usage_words(&usage))?;
    Ok(0)
}

pub(super) fn set_tid_address<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, ..]: Args,
) -> Result<u64> {
    s.tasks.thread_mut(t)?.clear_child_tid = address;
    Ok(t.number().into())
}

pub(super) fn arch_prctl<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [code, address, ..]: Args,
) -> Outcome {
    const SET_GS: u64 = 0x1001;
    const SET_FS: u64 = 0x1002;
    const GET_FS: u64 = 0x1003;
    const GET_GS: u64 = 0x1004;
    let outcome = match code {
        SET_FS if address >= crate::mm::END => Err(Errno::PERM),
        SET_FS => {
            let Ok(registers) = s.registers_mut(t) else {
                return Outcome::Left;
            };
            registers.fs_base = address;
            return Outcome::DoneWithAll(Ok(0));
        }
        GET_FS => {
            let base = s
                .tasks
                .thread(t)
                .map_or(0, |thread| thread.registers.fs_base);
            s.write_words(t, address, &[base]).map(|()| 0)
        }
        // The kernel uses the GS base itself.
        SET_GS | GET_GS => Err(Errno::PERM),
        _ => Err(Errno::INVAL),
    };
    outcome.into()
}

/// Sets a process's limit and gives what it was.
fn limit<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    of: ProcessId,
    which: u64,
    new: Option<(u64, u64)>,
) -> Result<(u64, u64)> {
    let own = s.tasks.process_of(t)?;
    let (id, credentials) = (own.id, own.credentials.clone());
    let process = s.tasks.process_mut(of)?;
    let theirs = &process.credentials;
    let same = [theirs.uid, theirs.euid, theirs.suid] == [credentials.uid; 3];
    if of != id && !same && !credentials.can(linux::CAP_SYS_RESOURCE) {
        return Err(Errno::PERM);
    }
    let which = which as usize;
    let before = *process.limits.get(which).ok_or(Errno::INVAL)?;
    if let Some((soft, hard)) = new {
        if soft > hard {
            return Err(Errno::INVAL);
        }
        if hard > before.1 && !credentials.can(linux::CAP_SYS_RESOURCE)
            || which as u32 == linux::RLIMIT_NOFILE && hard > 1 << 16
        {
            return Err(Errno::PERM);
        }
        let limits: &mut Limits = Rc::make_mut(&mut process.limits);
        limits[which] = (soft, hard);
        let mut memory = process.memory.borrow_mut();
        match which as u32 {
            linux::RLIMIT_STACK => memory.stack_limit = soft,
            linux::RLIMIT_AS => memory.size_limit = soft,
            linux::RLIMIT_DATA => memory.data_limit = soft,
            _ => {}
        }
    }
    Ok(before)
}

pub(super) fn prlimit64<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [of, which, new, old, ..]: Args,
) -> Result<u64> {
    let of = named(s, t, of)?;
    if which as usize >= 16 {
        return Err(Errno::INVAL);
    }
    let new = match new {
        0 => None,
        new => {
            let [soft, hard] = s.read_words(t, new)?;
            Some((soft, hard))
        }
    };
    let (soft, hard) = limit(s, t, of, which, new)?;
    if old != 0 {
        s.write_words(t, old, &[soft, hard])?;
    }
    Ok(0)
}

pub(super) fn getrlimit<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [which, address, ..]: Args,
) -> Result<u64> {
    prlimit64(s, t, [0, which & 0xffff_ffff, 0, address, 0, 0])
}

pub(super) fn setrlimit<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [which, address, ..]: Args,
) -> Result<u64> {
    if address == 0 {
        return Err(Errno::FAULT);
    }
    prlimit64(s, t, [0, which & 0xffff_ffff, address, 0, 0, 0])
}

/// The bit of a capability.
fn capability(number: u64) -> Result<u64> {
    match number <= linux::CAP_LAST_CAP.into() {
        true => Ok(1 << number),
        false => Err(Errno::INVAL),
    }
}

/// `PR_CAP_AMBIENT`.
fn ambient<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    what: u32,
    number: u64,
) -> Result<u64> {
    let credentials = Rc::make_mut(&mut s.tasks.process_of_mut(t)?.credentials);
    if what == prctl::PR_CAP_AMBIENT_CLEAR_ALL {
        credentials.ambient = 0;
        return Ok(0);
    }
    let bit = capability(number)?;
    match what {
        prctl::PR_CAP_AMBIENT_IS_SET => return Ok((credentials.ambient & bit != 0).into()),
        prctl::PR_CAP_AMBIENT_LOWER => credentials.ambient &= !bit,
        prctl::PR_CAP_AMBIENT_RAISE
            if credentials.permitted & credentials.inheritable & bit == 0 =>
        {
            return Err(Errno::PERM);
        }
        prctl::PR_CAP_AMBIENT_RAISE => credentials.ambient |= bit,
        _ => return Err(Errno::INVAL),
    }
    Ok(0)
}

pub(super) fn prctl<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [option, a, b, ..]: Args,
) -> Result<u64> {
    match option as u32 {
        prctl::PR_SET_NAME => {
            let mut name = [0; 16];
            for (i, byte) in name.iter_mut().take(15).enumerate() {
                let mut one = [0];
                s.read_bytes(t, a.wrapping_add(i as u64), &mut one)?;
                if one[0] == 0 {
                    break;
                }
                *byte = one[0];
            }
            s.tasks.thread_mut(t)?.name = name;
        }
        prctl::PR_GET_NAME => {
            let name = s.tasks.thread(t)?.name;
            s.write_bytes(t, a, &name)?;
        }
        prctl::PR_SET_PDEATHSIG => {
            if a != 0 {
                Signal::new(u32::try_from(a).map_err(|_| Errno::INVAL)?)?;
            }
            s.tasks.process_of_mut(t)?.parent_signal = a as u32;
        }
        prctl::PR_GET_PDEATHSIG => {
            let signal = s.tasks.process_of(t)?.parent_signal;
            s.write_u32(t, a, signal)?;
        }
        prctl::PR_SET_CHILD_SUBREAPER => s.tasks.process_of_mut(t)?.adopts = a != 0,
        prctl::PR_GET_CHILD_SUBREAPER => {
            let adopts = s.tasks.process_of(t)?.adopts;
            s.write_u32(t, a, adopts.into())?;
        }
        prctl::PR_SET_NO_NEW_PRIVS if a == 1 => s.tasks.process_of_mut(t)?.no_new_rights = true,
        prctl::PR_GET_NO_NEW_PRIVS => return Ok(s.tasks.process_of(t)?.no_new_rights.into()),
        prctl::PR_GET_DUMPABLE => return Ok(1),
        prctl::PR_SET_DUMPABLE if a <= 1 => {}
        prctl::PR_CAPBSET_READ => {
            let bit = capability(a)?;
            return Ok((s.tasks.process_of(t)?.credentials.bounding & bit != 0).into());
        }
        prctl::PR_CAPBSET_DROP => {
            let bit = capability(a)?;
            let credentials = &mut s.tasks.process_of_mut(t)?.credentials;
            if !credentials.can(linux::CAP_SETPCAP) {
                return Err(Errno::PERM);
            }
            Rc::make_mut(credentials).bounding &= !bit;
        }
        prctl::PR_CAP_AMBIENT => return ambient(s, t, a as u32, b),
        prctl::PR_GET_KEEPCAPS => {}
        prctl::PR_SET_TIMERSLACK => {}
        prctl::PR_GET_TIMERSLACK => return Ok(50_000),
        prctl::PR_GET_SECCOMP => {}
        _ => return Err(Errno::INVAL),
    }
    Ok(0)
}

pub(super) fn uname<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, ..]: Args,
) -> Result<u64> {
    const FIELD: usize = 65;
    let mut bytes = [0; 6 * FIELD];
    let (host, domain) = (s.tasks.system.host.clone(), s.domain.clone());
    let fields: [&[u8]; 6] = [
        b"Linux",
        &host,
        crate::server::view::RELEASE.as_bytes(),
        crate::server::view::VERSION.as_bytes(),
        b"x86_64",
        &domain,
    ];
    for (place, field) in bytes.chunks_exact_mut(FIELD).zip(fields) {
        let length = field.len().min(FIELD - 1);
        place[..length].copy_from_slice(&field[..length]);
    }
    s.write_bytes(t, address, &bytes)?;
    Ok(0)
}

fn set_name<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
    length: u64,
) -> Result<Vec<u8>> {
    if !s.tasks.process_of(t)?.credentials.can(linux::CAP_SYS_ADMIN) {
        return Err(Errno::PERM);
    }
    if length > 64 {
        return Err(Errno::INVAL);
    }
    let mut name = alloc::vec![0; length as usize];
    s.read_bytes(t, address, &mut name)?;
    Ok(name)
}

pub(super) fn sethostname<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, length, ..]: Args,
) -> Result<u64> {
    s.tasks.system.host = set_name(s, t, address, length)?;
    Ok(0)
}

pub(super) fn setdomainname<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, length, ..]: Args,
) -> Result<u64> {
    s.domain = set_name(s, t, address, length)?;
    Ok(0)
}

pub(super) fn sysinfo<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, ..]: Args,
) -> Result<u64> {
    let (free, all) = s.pages.available();
    let alive = s.tasks.processes.values().filter(|p| p.life == Life::Alive);
    let page = crate::mm::PAGE_BYTES;
    let words = [
        s.entered / 1_000_000_000,
        0,
        0,
        0,
        all as u64 * page,
        free as u64 * page,
        0,
        0,
        0,
        0,
        alive.count() as u64,
        0,
        0,
        1,
    ];
    s.write_words(t, address, &words)?;
    Ok(0)
}

pub(super) fn getrandom<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, length, flags, ..]: Args,
) -> Result<u64> {
    let known = linux::GRND_NONBLOCK | linux::GRND_RANDOM | linux::GRND_INSECURE;
    if flags & !u64::from(known) != 0 {
        return Err(Errno::INVAL);
    }
    // As much as one call looks up at a time; who wants more asks again.
    let length = length.min(1 << 16);
    let mut done = 0;
    let mut bytes = [0; 256];
    while done < length {
        let here = (length - done).min(256) as usize;
        chacha20::rand_core::Rng::fill_bytes(&mut s.files.random, &mut bytes[..here]);
        match s.write_bytes(t, address.wrapping_add(done), &bytes[..here]) {
            Ok(()) => done += here as u64,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

pub(super) fn getcpu<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [processor, node, ..]: Args,
) -> Result<u64> {
    for address in [processor, node] {
        if address != 0 {
            s.write_u32(t, address, 0)?;
        }
    }
    Ok(0)
}

pub(super) fn personality<K: Kernel, P: Pages>(
    _: &mut Server<K, P>,
    _: ThreadId,
    [persona, ..]: Args,
) -> Result<u64> {
    // Linux, and no address is randomised anyway (ADDR_NO_RANDOMIZE).
    const PLAIN: u32 = 0x0040_0000;
    match persona as u32 {
        u32::MAX | 0 | PLAIN => Ok(0),
        _ => Err(Errno::INVAL),
    }
}

pub(super) fn membarrier<K: Kernel, P: Pages>(
    _: &mut Server<K, P>,
    _: ThreadId,
    [command, ..]: Args,
) -> Result<u64> {
    // One processor: whoever runs has seen everything.
    const KNOWN: u64 = 0x1f;
    match command {
        0 => Ok(KNOWN),
        command if command & !KNOWN == 0 && command.count_ones() == 1 => Ok(0),
        _ => Err(Errno::INVAL),
    }
}

/// Sequences that are restarted when the thread is preempted: the kernel does not tell anyone when it
/// preempts. Every C library does without them.
pub(super) fn rseq<K: Kernel, P: Pages>(_: &mut Server<K, P>, _: ThreadId, _: Args) -> Result<u64> {
    Err(Errno::NOSYS)
}

/// A call that waits is run again with what is left of its time by itself: nothing is to be restarted.
pub(super) fn restart_syscall<K: Kernel, P: Pages>(
    _: &mut Server<K, P>,
    _: ThreadId,
    _: Args,
) -> Result<u64> {
    Err(Errno::INTR)
}

/// What is put off is nothing: nothing is written anywhere later.
pub(super) fn nothing<K: Kernel, P: Pages>(
    _: &mut Server<K, P>,
    _: ThreadId,
    _: Args,
) -> Result<u64> {
    Ok(0)
}

pub(super) fn unshare<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [flags, ..]: Args,
) -> Result<u64> {
    let own = linux::CLONE_FILES | linux::CLONE_FS | linux::CLONE_SYSVSEM;
    if flags & !u64::from(own) != 0 {
        return Err(Errno::PERM);
    }
    let id = s.tasks.thread(t)?.process;
    if flags & u64::from(linux::CLONE_FILES) != 0 {
        s.unshare_table(id);
    }
    if flags & u64::from(linux::CLONE_FS) != 0 {
        s.unshare_place(id);
    }
    Ok(0)
}

const _: () = assert!(UNLIMITED == u64::MAX);
