// SPDX-License-Identifier: BSD-2-Clause
//! Calls about memory.

use linux_raw_sys::general as linux;

use super::Args;
use crate::kernel::Kernel;
use crate::mm::{Access, AddressSpace, Advice, Map, PAGE_BYTES, Place, Protection, Resources};
use crate::pages::Pages;
use crate::server::Server;
use crate::{Errno, Result, ThreadId};

const fn has(flags: u64, flag: u32) -> bool {
    flags & flag as u64 != 0
}

fn with<K: Kernel, P: Pages, R>(
    s: &mut Server<K, P>,
    thread: ThreadId,
    f: impl FnOnce(&mut AddressSpace, &mut Resources<'_>) -> Result<R>,
) -> Result<R> {
    let memory = s.tasks.process_of(thread)?.memory.clone();
    let mut memory = memory.borrow_mut();
    f(&mut memory, &mut s.resources())
}

fn protection(bits: u64) -> Result<Protection> {
    let known = bits & !u64::from(linux::PROT_SEM);
    Protection::from_bits(known as u32)
        .filter(|_| known >> 32 == 0)
        .ok_or(Errno::INVAL)
}

pub(super) fn brk<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [end, ..]: Args,
) -> Result<u64> {
    with(s, t, |memory, r| Ok(memory.set_heap_end(r, end)))
}

pub(super) fn mmap<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, length, bits, flags, fd, offset]: Args,
) -> Result<u64> {
    if !offset.is_multiple_of(PAGE_BYTES) {
        return Err(Errno::INVAL);
    }
    let protection = Protection::from_bits_truncate(bits as u32);
    let shared = match flags as u32 & linux::MAP_TYPE {
        linux::MAP_SHARED => true,
        linux::MAP_SHARED_VALIDATE => {
            if flags
                & !u64::from(
                    linux::MAP_TYPE
                        | linux::MAP_FIXED
                        | linux::MAP_FIXED_NOREPLACE
                        | linux::MAP_ANONYMOUS
                        | linux::MAP_NORESERVE
                        | linux::MAP_POPULATE
                        | linux::MAP_LOCKED
                        | linux::MAP_GROWSDOWN
                        | linux::MAP_STACK,
                )
                != 0
            {
                return Err(Errno::OPNOTSUPP);
            }
            true
        }
        linux::MAP_PRIVATE => false,
        _ => return Err(Errno::INVAL),
    };
    let anonymous = has(flags, linux::MAP_ANONYMOUS);
    let (file, most) = if anonymous {
        (None, Protection::all())
    } else {
        let writes = protection.contains(Protection::WRITE);
        let (node, mode) = s.with_files(t, |files, call| {
            let node = files.mappable(call, fd as i32, shared && writes)?;
            Ok((node, files.access_mode(call, fd as i32)?))
        })?;
        let mut most = Protection::all();
        if shared && mode == linux::O_RDONLY {
            most.remove(Protection::WRITE);
        }
        // What has no pages of its own, like `/dev/zero`, is anonymous memory.
        (node.map(|node| (node, offset / PAGE_BYTES)), most)
    };
    if length == 0 {
        return Err(Errno::INVAL);
    }
    let place = if has(flags, linux::MAP_FIXED_NOREPLACE) {
        Place::Free(address)
    } else if has(flags, linux::MAP_FIXED) {
        Place::Fixed(address)
    } else {
        Place::Anywhere(address)
    };
    let map = Map {
        length,
        protection,
        most,
        shared,
        file,
        place,
        grows_down: has(flags, linux::MAP_GROWSDOWN) && !shared,
        unreserved: has(flags, linux::MAP_NORESERVE),
    };
    let start = with(s, t, |memory, r| memory.map(r, &map))?;
    if has(flags, linux::MAP_POPULATE) {
        let access = if protection.contains(Protection::WRITE) {
            Access::Write
        } else {
            Access::Read
        };
        // What cannot be supplied is when it is touched.
        let _ = with(s, t, |memory, r| {
            memory.advise(r, start, length, Advice::Populate(access))
        });
    }
    Ok(start)
}

pub(super) fn munmap<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, length, ..]: Args,
) -> Result<u64> {
    with(s, t, |memory, r| memory.unmap(r, address, length)).map(|()| 0)
}

pub(super) fn mprotect<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, length, bits, ..]: Args,
) -> Result<u64> {
    let grows = u64::from(linux::PROT_GROWSDOWN) | u64::from(linux::PROT_GROWSUP);
    let protection = protection(bits & !grows)?;
    with(s, t, |memory, r| {
        memory.protect(r, address, length, protection)
    })
    .map(|()| 0)
}

pub(super) fn mremap<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, old, new, flags, target, _]: Args,
) -> Result<u64> {
    let known = linux::MREMAP_MAYMOVE | linux::MREMAP_FIXED;
    let may_move = has(flags, linux::MREMAP_MAYMOVE);
    if flags & !u64::from(known) != 0 || has(flags, linux::MREMAP_FIXED) && !may_move {
        return Err(Errno::INVAL);
    }
    if new > crate::mm::END {
        return Err(Errno::INVAL);
    }
    let place = if has(flags, linux::MREMAP_FIXED) {
        Some(Place::Fixed(target))
    } else if may_move {
        Some(Place::Anywhere(0))
    } else {
        None
    };
    with(s, t, |memory, r| memory.remap(r, address, old, new, place))
}

pub(super) fn madvise<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, length, advice, ..]: Args,
) -> Result<u64> {
    let advice = match advice as u32 {
        linux::MADV_DONTNEED | linux::MADV_FREE | linux::MADV_DONTNEED_LOCKED => Advice::Drop,
        linux::MADV_DONTFORK => Advice::Inherit(false),
        linux::MADV_DOFORK => Advice::Inherit(true),
        linux::MADV_WIPEONFORK => Advice::WipeOnFork(true),
        linux::MADV_KEEPONFORK => Advice::WipeOnFork(false),
        linux::MADV_POPULATE_READ => Advice::Populate(Access::Read),
        linux::MADV_POPULATE_WRITE => Advice::Populate(Access::Write),
        linux::MADV_NORMAL
        | linux::MADV_RANDOM
        | linux::MADV_SEQUENTIAL
        | linux::MADV_WILLNEED
        | linux::MADV_COLD
        | linux::MADV_PAGEOUT
        | linux::MADV_DONTDUMP
        | linux::MADV_DODUMP => {
            // About times that do not matter here: the range is checked, as it always is.
            return covered(s, t, address, length);
        }
        _ => return Err(Errno::INVAL),
    };
    with(s, t, |memory, r| memory.advise(r, address, length, advice)).map(|()| 0)
}

/// Whether all of a range is mapped.
fn covered<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
    length: u64,
) -> Result<u64> {
    if !address.is_multiple_of(PAGE_BYTES) {
        return Err(Errno::INVAL);
    }
    let end = length
        .checked_next_multiple_of(PAGE_BYTES)
        .and_then(|length| address.checked_add(length))
        .ok_or(Errno::INVAL)?;
    with(s, t, |memory, _| match memory.is_covered(&(address..end)) {
        true => Ok(0),
        false => Err(Errno::NOMEM),
    })
}

pub(super) fn msync<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, length, flags, ..]: Args,
) -> Result<u64> {
    let (sync, later) = (u64::from(linux::MS_SYNC), u64::from(linux::MS_ASYNC));
    let known = sync | later | u64::from(linux::MS_INVALIDATE);
    if flags & !known != 0 || flags & sync != 0 && flags & later != 0 {
        return Err(Errno::INVAL);
    }
    // Files and what maps them are the same frames.
    covered(s, t, address, length)
}

pub(super) fn mincore<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, length, mut vector, ..]: Args,
) -> Result<u64> {
    covered(s, t, address, length)?;
    for at in (address..address + length).step_by(PAGE_BYTES as usize) {
        let there = with(s, t, |memory, _| Ok(memory.resident_in(at..at + 1)))?;
        s.write_bytes(t, vector, &[there as u8])?;
        vector = vector.wrapping_add(1);
    }
    Ok(0)
}

pub(super) fn mlock<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, length, ..]: Args,
) -> Result<u64> {
    // Nothing is ever swapped out; what is locked is only supplied.
    let start = address & !(PAGE_BYTES - 1);
    let length = length.checked_add(address - start).ok_or(Errno::INVAL)?;
    let advice = Advice::Populate(Access::Read);
    with(s, t, |memory, r| memory.advise(r, start, length, advice)).map(|()| 0)
}

pub(super) fn munlock<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, length, ..]: Args,
) -> Result<u64> {
    covered(s, t, address & !(PAGE_BYTES - 1), length)
}
