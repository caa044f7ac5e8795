// SPDX-License-Identifier: BSD-2-Clause
//! futex(2) and its kin.

use linux_raw_sys::general as linux;

use super::{Args, time};
use crate::flow::Flow;
use crate::kernel::Kernel;
use crate::pages::Pages;
use crate::server::Server;
use crate::{Errno, Result, ThreadId};

/// The clock that a word's deadline goes by, and whether it is a point in time.
fn deadline<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
    absolute: bool,
    real: bool,
) -> Result<Option<u64>> {
    if address == 0 {
        return Ok(None);
    }
    let time = time::read_timespec(s, t, address)?;
    let at = match (absolute, real) {
        (false, _) => s.entered.saturating_add(time),
        (true, false) => time,
        (true, true) => time.saturating_sub(s.kernel.epoch()),
    };
    // Never 0, which would be no deadline at all.
    Ok(Some(at.max(1)))
}

pub(super) fn futex<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [address, operation, value, timeout, other, third]: Args,
) -> Flow {
    let operation = operation as u32;
    let private = operation & linux::FUTEX_PRIVATE_FLAG != 0;
    let real = operation & linux::FUTEX_CLOCK_REALTIME != 0;
    let command = operation & linux::FUTEX_CMD_MASK as u32;
    let value = value as u32;
    if real && !matches!(command, linux::FUTEX_WAIT | linux::FUTEX_WAIT_BITSET) {
        return Errno::NOSYS.into();
    }
    match command {
        linux::FUTEX_WAIT => wait(s, t, address, private, value, (timeout, false, real), !0),
        linux::FUTEX_WAIT_BITSET => wait(
            s,
            t,
            address,
            private,
            value,
            (timeout, true, real),
            third as u32,
        ),
        linux::FUTEX_WAKE => wake(s, t, address, private, value, !0).into(),
        linux::FUTEX_WAKE_BITSET => wake(s, t, address, private, value, third as u32).into(),
        linux::FUTEX_REQUEUE | linux::FUTEX_CMP_REQUEUE => {
            let expected = (command == linux::FUTEX_CMP_REQUEUE).then_some(third as u32);
            requeue(
                s,
                t,
                (address, other),
                private,
                (value, timeout as u32),
                expected,
            )
            .into()
        }
        linux::FUTEX_WAKE_OP => wake_op(
            s,
            t,
            (address, other),
            private,
            (value, timeout as u32),
            third as u32,
        )
        .into(),
        _ => Errno::NOSYS.into(),
    }
}

fn wait<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
    private: bool,
    expected: u32,
    (timeout, absolute, real): (u64, bool, bool),
    bits: u32,
) -> Flow {
    let outcome = (|| {
        if bits == 0 {
            return Err(Errno::INVAL);
        }
        let progress = s.tasks.thread(t)?.progress;
        if progress.woken {
            return Ok(true);
        }
        if progress.is_over(s.entered) {
            s.futexes.forget(t);
            return Err(Errno::TIMEDOUT);
        }
        let at = match progress.deadline {
            Some(at) => Some(at),
            None => deadline(s, t, timeout, absolute, real)?,
        };
        let key = s.futex_key(t, address, private)?;
        if s.read_u32(t, address)? != expected {
            return Err(Errno::AGAIN);
        }
        if at.is_some_and(|at| at <= s.entered) {
            return Err(Errno::TIMEDOUT);
        }
        s.futexes.wait(key, t, bits);
        s.tasks.thread_mut(t)?.progress.deadline = at;
        Ok(false)
    })();
    match outcome {
        Ok(true) => Flow::OK,
        Ok(false) => Flow::Block,
        Err(error) => error.into(),
    }
}

fn wake<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    address: u64,
    private: bool,
    count: u32,
    bits: u32,
) -> Result<u64> {
    if bits == 0 {
        return Err(Errno::INVAL);
    }
    let key = s.futex_key(t, address, private)?;
    // As Linux does: 0 and less wakes one.
    let count = if (count as i32) < 1 { 1 } else { count };
    Ok(s.wake_futex(key, count, bits).into())
}

fn requeue<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    (from, to): (u64, u64),
    private: bool,
    (wake, moved): (u32, u32),
    expected: Option<u32>,
) -> Result<u64> {
    if (wake as i32) < 0 || (moved as i32) < 0 {
        return Err(Errno::INVAL);
    }
    let source = s.futex_key(t, from, private)?;
    let target = s.futex_key(t, to, private)?;
    if let Some(expected) = expected
        && s.read_u32(t, from)? != expected
    {
        return Err(Errno::AGAIN);
    }
    let woken = s.wake_futex(source, wake, !0);
    Ok((woken + s.futexes.requeue(source, target, moved)).into())
}

fn wake_op<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    (address, other): (u64, u64),
    private: bool,
    (count, other_count): (u32, u32),
    code: u32,
) -> Result<u64> {
    let first = s.futex_key(t, address, private)?;
    let second = s.futex_key(t, other, private)?;
    let sign = |bits: u32| ((bits << 20) as i32 >> 20) as u32;
    let (operand, compared) = (sign(code >> 12 & 0xfff), sign(code & 0xfff));
    let operand = match code >> 28 & linux::FUTEX_OP_OPARG_SHIFT {
        0 => operand,
        _ => 1u32.wrapping_shl(operand),
    };
    let old = s.read_u32(t, other)?;
    let new = match code >> 28 & 7 {
        linux::FUTEX_OP_SET => operand,
        linux::FUTEX_OP_ADD => old.wrapping_add(operand),
        linux::FUTEX_OP_OR => old | operand,
        linux::FUTEX_OP_ANDN => old & !operand,
        linux::FUTEX_OP_XOR => old ^ operand,
        _ => return Err(Errno::NOSYS),
    };
    let (a, b) = (old as i32, compared as i32);
    let holds = match code >> 24 & 0xf {
        linux::FUTEX_OP_CMP_EQ => a == b,
        linux::FUTEX_OP_CMP_NE => a != b,
        linux::FUTEX_OP_CMP_LT => a < b,
        linux::FUTEX_OP_CMP_LE => a <= b,
        linux::FUTEX_OP_CMP_GT => a > b,
        linux::FUTEX_OP_CMP_GE => a >= b,
        _ => return Err(Errno::NOSYS),
    };
    s.write_u32(t, other, new)?;
    let mut woken = s.wake_futex(first, count, !0);
    if holds {
        woken += s.wake_futex(second, other_count, !0);
    }
    Ok(woken.into())
}

pub(super) fn set_robust_list<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [head, length, ..]: Args,
) -> Result<u64> {
    if length != 24 {
        return Err(Errno::INVAL);
    }
    s.tasks.thread_mut(t)?.robust_list = head;
    Ok(0)
}

pub(super) fn get_robust_list<K: Kernel, P: Pages>(
    s: &mut Server<K, P>,
    t: ThreadId,
    [of, head, length, ..]: Args,
) -> Result<u64> {
    let of = match of {
        0 => t,
        of => super::thread_id(of)?,
    };
    let list = s.tasks.thread(of)?.robust_list;
    s.write_words(t, length, &[24])?;
    s.write_words(t, head, &[list])?;
    Ok(0)
}
