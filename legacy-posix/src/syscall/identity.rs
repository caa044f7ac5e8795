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

/// The ids that a process has, as a user or as a group: what calls come in pairs for.
struct Ids<'c> {
    real: &'c mut u32,
    effective: &'c mut u32,
    saved: &'c mut u32,
    /// The one for files, which follows the effective one unless set on its own.
    files: &'c mut u32,
    /// Whether it may have any.
    may: bool,
}

const fn users(c: &mut Credentials) -> Ids<'_> {
    let may = c.can(linux::CAP_SETUID);
    Ids {
        real: &mut c.uid,
        effective: &mut c.euid,
        saved: &mut c.suid,
        files: &mut c.fsuid,
        may,
    }
}

const fn groups(c: &mut Credentials) -> Ids<'_> {
    let may = c.can(linux::CAP_SETGID);
    Ids {
        real: &mut c.gid,
        effective: &mut c.egid,
        saved: &mut c.sgid,
        files: &mut c.fsgid,
        may,
    }
}

impl Ids<'_> {
    fn all(&self) -> [u32; 3] {
        [*self.real, *self.effective, *self.saved]
    }

    fn set(&mut self, real: u32, effective: u32, saved: u32) -> Result<()> {
        let (new, own) = ([real, effective, saved], self.all());
        if !self.may && new.iter().any(|id| *id != SAME && !own.contains(id)) {
            return Err(Errno::PERM);
        }
        let ids = [&mut *self.real, &mut *self.effective, &mut *self.saved];
        for (id, new) in ids.into_iter().zip(new) {
            if new != SAME {
                *id = new;
            }
        }
        *self.files = *self.effective;
        Ok(())
    }
}

/// Which ids a call is about.
type Whose = for<'c> fn(&'c mut Credentials) -> Ids<'c>;

macro_rules! pairs {
    ($($of_users:ident, $of_groups:ident = $both:ident;)+) => { $(
        pub(super) fn $of_users<K: Kernel, P: Pages>(
            s: &mut Server<K, P>,
            t: ThreadId,
            args: Args,
        ) -> Result<u64> {
            $both(s, t, args, users)
        }

        pub(super) fn $of_groups<K: Kernel, P: Pages>(
            s: &mut Server<K, P>,
            t: ThreadId,
            args: Args,
        ) -> Result<u64> {
            $both(s, t, args, groups)
        }
    )+ };
}
pairs! {
    setuid, setgid = set;
    setreuid, setregid = set_two;
    setresuid, setresgid = set_three;
    getresuid, getresgid = get_three;
    setfsuid, setfsgid = set_for_files;
}

fn set<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [id, ..]: Args,
    whose: Whose,
) -> Result<u64> {
    let id = id as u32;
    if id == SAME {
        return Err(Errno::INVAL);
    }
    change(s, t, |c| {
        let mut ids = whose(c);
        let all = if ids.may { id } else { SAME };
        ids.set(all, id, all).map(|()| 0)
    })
}

fn set_two<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [real, effective, ..]: Args,
    whose: Whose,
) -> Result<u64> {
    let (real, effective) = (real as u32, effective as u32);
    change(s, t, |c| {
        let mut ids = whose(c);
        let before = *ids.real;
        if !ids.may && ![SAME, before, *ids.effective].contains(&real) {
            return Err(Errno::PERM);
        }
        ids.set(real, effective, SAME)?;
        if real != SAME || effective != SAME && effective != before {
            *ids.saved = *ids.effective;
        }
        Ok(0)
    })
}

fn set_three<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [real, effective, saved, ..]: Args,
    whose: Whose,
) -> Result<u64> {
    change(s, t, |c| {
        let set = whose(c).set(real as u32, effective as u32, saved as u32);
        set.map(|()| 0)
    })
}

fn get_three<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    addresses: Args,
    whose: Whose,
) -> Result<u64> {
    let mut credentials = (*s.tasks.process_of(t)?.credentials).clone();
    for (address, id) in addresses.into_iter().zip(whose(&mut credentials).all()) {
        s.write_u32(t, address, id)?;
    }
    Ok(0)
}

/// Gives the id that there was, whether or not it is another one now.
fn set_for_files<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [id, ..]: Args,
    whose: Whose,
) -> Result<u64> {
    let id = id as u32;
    change(s, t, |c| {
        let ids = whose(c);
        let before = *ids.files;
        if id != SAME && (ids.may || before == id || ids.all().contains(&id)) {
            *ids.files = id;
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
