// SPDX-License-Identifier: BSD-2-Clause
//! Calls about whom a process acts for.

use alloc::rc::Rc;
use alloc::vec::Vec;

use linux_raw_sys::general as linux;

use super::Args;
use super::process::named;
use crate::kernel::Kernel;
use crate::pages::Pages;
use crate::server::Server;
use crate::{Credentials, Errno, ProcessId, Result, ThreadId};

/// Groups that a process may be in.
const MAX_GROUPS: u64 = 65536;
/// "No change" for calls that set ids.
const SAME: u32 = u32::MAX;

macro_rules! ids {
    ($($name:ident = $field:ident),+) => { $(
        pub(super) fn $name<K: Kernel, P: Pages>(
            s: &mut Server<K, P>,
            t: ThreadId,
            _: Args,
        ) -> Result<u64> {
            Ok(s.tasks.process_of(t)?.credentials.$field.into())
        }
    )+ };
}
ids!(getuid = uid, geteuid = euid, getgid = gid, getegid = egid);

/// Changes whom a process acts for.
fn change<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    f: impl FnOnce(&mut Credentials) -> Result<u64>,
) -> Result<u64> {
    let process = s.tasks.process_of_mut(t)?;
    let mut credentials = (*process.credentials).clone();
    let result = f(&mut credentials)?;
    credentials.users_changed(&process.credentials);
    process.credentials = Rc::new(credentials);
    Ok(result)
}

fn set_user(c: &mut Credentials, real: u32, effective: u32, saved: u32) -> Result<u64> {
    let own = [c.uid, c.euid, c.suid];
    let may = c.can(linux::CAP_SETUID);
    if !may
        && [real, effective, saved]
            .iter()
            .any(|id| *id != SAME && !own.contains(id))
    {
        return Err(Errno::PERM);
    }
    for (id, new) in [
        (&mut c.uid, real),
        (&mut c.euid, effective),
        (&mut c.suid, saved),
    ] {
        if new != SAME {
            *id = new;
        }
    }
    c.fsuid = c.euid;
    Ok(0)
}

fn set_group(c: &mut Credentials, real: u32, effective: u32, saved: u32) -> Result<u64> {
    let own = [c.gid, c.egid, c.sgid];
    let may = c.can(linux::CAP_SETGID);
    if !may
        && [real, effective, saved]
            .iter()
            .any(|id| *id != SAME && !own.contains(id))
    {
        return Err(Errno::PERM);
    }
    for (id, new) in [
        (&mut c.gid, real),
        (&mut c.egid, effective),
        (&mut c.sgid, saved),
    ] {
        if new != SAME {
            *id = new;
        }
    }
    c.fsgid = c.egid;
    Ok(0)
}

pub(super) fn setuid<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [id, ..]: Args,
) -> Result<u64> {
    let id = id as u32;
    if id == SAME {
        return Err(Errno::INVAL);
    }
    change(s, t, |c| {
        let all = if c.can(linux::CAP_SETUID) { id } else { SAME };
        set_user(c, all, id, all)
    })
}

pub(super) fn setgid<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [id, ..]: Args,
) -> Result<u64> {
    let id = id as u32;
    if id == SAME {
        return Err(Errno::INVAL);
    }
    change(s, t, |c| {
        let all = if c.can(linux::CAP_SETGID) { id } else { SAME };
        set_group(c, all, id, all)
    })
}

pub(super) fn setreuid<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [real, effective, ..]: Args,
) -> Result<u64> {
    let (real, effective) = (real as u32, effective as u32);
    change(s, t, |c| {
        let before = c.uid;
        let own = [c.uid, c.euid];
        if !c.can(linux::CAP_SETUID) && real != SAME && !own.contains(&real) {
            return Err(Errno::PERM);
        }
        set_user(c, real, effective, SAME)?;
        if real != SAME || effective != SAME && effective != before {
            c.suid = c.euid;
        }
        Ok(0)
    })
}

pub(super) fn setregid<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [real, effective, ..]: Args,
) -> Result<u64> {
    let (real, effective) = (real as u32, effective as u32);
    change(s, t, |c| {
        let before = c.gid;
        let own = [c.gid, c.egid];
        if !c.can(linux::CAP_SETGID) && real != SAME && !own.contains(&real) {
            return Err(Errno::PERM);
        }
        set_group(c, real, effective, SAME)?;
        if real != SAME || effective != SAME && effective != before {
            c.sgid = c.egid;
        }
        Ok(0)
    })
}

pub(super) fn setresuid<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [real, effective, saved, ..]: Args,
) -> Result<u64> {
    change(s, t, |c| {
        set_user(c, real as u32, effective as u32, saved as u32)
    })
}

pub(super) fn setresgid<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [real, effective, saved, ..]: Args,
) -> Result<u64> {
    change(s, t, |c| {
        set_group(c, real as u32, effective as u32, saved as u32)
    })
}

pub(super) fn getresuid<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    addresses: Args,
) -> Result<u64> {
    let c = s.tasks.process_of(t)?.credentials.clone();
    write_ids(s, t, addresses, [c.uid, c.euid, c.suid])
}

pub(super) fn getresgid<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    addresses: Args,
) -> Result<u64> {
    let c = s.tasks.process_of(t)?.credentials.clone();
    write_ids(s, t, addresses, [c.gid, c.egid, c.sgid])
}

fn write_ids<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    addresses: Args,
    ids: [u32; 3],
) -> Result<u64> {
    for (address, id) in addresses.into_iter().zip(ids) {
        s.write_u32(t, address, id)?;
    }
    Ok(0)
}

pub(super) fn setfsuid<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [id, ..]: Args,
) -> Result<u64> {
    let id = id as u32;
    change(s, t, |c| {
        let before = c.fsuid;
        if c.can(linux::CAP_SETUID) || [c.uid, c.euid, c.suid, c.fsuid].contains(&id) {
            c.fsuid = if id == SAME { before } else { id };
        }
        Ok(before.into())
    })
}

pub(super) fn setfsgid<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [id, ..]: Args,
) -> Result<u64> {
    let id = id as u32;
    change(s, t, |c| {
        let before = c.fsgid;
        if c.can(linux::CAP_SETGID) || [c.gid, c.egid, c.sgid, c.fsgid].contains(&id) {
            c.fsgid = if id == SAME { before } else { id };
        }
        Ok(before.into())
    })
}

pub(super) fn getgroups<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [room, address, ..]: Args,
) -> Result<u64> {
    let groups = s.tasks.process_of(t)?.credentials.groups.clone();
    let room = room as i32;
    if room < 0 || room != 0 && (room as usize) < groups.len() {
        return Err(Errno::INVAL);
    }
    if room != 0 {
        for (i, group) in groups.iter().enumerate() {
            s.write_u32(t, address.wrapping_add(4 * i as u64), *group)?;
        }
    }
    Ok(groups.len() as u64)
}

pub(super) fn setgroups<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [count, address, ..]: Args,
) -> Result<u64> {
    if !s.tasks.process_of(t)?.credentials.can(linux::CAP_SETGID) {
        return Err(Errno::PERM);
    }
    if count > MAX_GROUPS {
        return Err(Errno::INVAL);
    }
    let mut groups = Vec::new();
    for i in 0..count {
        groups.push(s.read_u32(t, address.wrapping_add(4 * i))?);
    }
    change(s, t, |c| {
        c.groups = groups.into();
        Ok(0)
    })
}

/// `cap_user_header_t`: version and process.
fn capability_header<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
) -> Result<(u64, ProcessId)> {
    const VERSIONS: [(u32, u64); 3] = [(0x1998_0330, 1), (0x2007_1026, 2), (0x2008_0522, 2)];
    let [word] = s.read_words(t, address)?;
    let version = VERSIONS.iter().find(|(version, _)| *version == word as u32);
    let Some((_, words)) = version else {
        s.write_u32(t, address, VERSIONS[2].0)?;
        return Err(Errno::INVAL);
    };
    Ok((*words, named(s, t, word >> 32)?))
}

pub(super) fn capget<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [header, data, ..]: Args,
) -> Result<u64> {
    let (words, id) = match capability_header(s, t, header) {
        Err(Errno::INVAL) if data == 0 => return Ok(0),
        other => other?,
    };
    let c = s.tasks.process(id)?.credentials.clone();
    for i in 0..words {
        let sets = [c.capabilities, c.permitted, c.inheritable];
        for (j, set) in sets.into_iter().enumerate() {
            let half = (set >> (32 * i)) as u32;
            s.write_u32(t, data.wrapping_add(12 * i + 4 * j as u64), half)?;
        }
    }
    Ok(0)
}

pub(super) fn capset<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [header, data, ..]: Args,
) -> Result<u64> {
    let (words, id) = capability_header(s, t, header)?;
    if id != s.tasks.process_of(t)?.id {
        return Err(Errno::PERM);
    }
    let mut sets = [0; 3];
    for i in 0..words {
        for (j, set) in sets.iter_mut().enumerate() {
            let half = s.read_u32(t, data.wrapping_add(12 * i + 4 * j as u64))?;
            *set |= u64::from(half) << (32 * i);
        }
    }
    let [effective, permitted, inheritable] = sets;
    let c = Rc::make_mut(&mut s.tasks.process_of_mut(t)?.credentials);
    let heritable = match c.can(linux::CAP_SETPCAP) {
        true => c.inheritable | c.bounding,
        false => c.inheritable | c.permitted,
    };
    if permitted & !c.permitted != 0 || effective & !permitted != 0 || inheritable & !heritable != 0
    {
        return Err(Errno::PERM);
    }
    c.capabilities = effective;
    c.permitted = permitted;
    c.inheritable = inheritable;
    c.ambient &= permitted & inheritable;
    Ok(0)
}
