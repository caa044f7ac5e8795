// SPDX-License-Identifier: BSD-2-Clause
//! Cases about threads and time.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use xos::protocol::Subject;
use xos::protocol::ic::FaultKind;
use xos::thread::{self, JoinError};
use xos::tls::Key;
use xos::{ExitStatus, sync, timer};
use xos_test_kit::{check, check_eq};

use super::*;

pub fn arguments_and_environment_arrive_as_they_were_given(_: &mut ()) -> Outcome {
    let name = "arguments_and_environment_arrive_as_they_were_given";
    check!(xos::args().eq(["test-probe", "case", name]))?;
    check!(xos::env().eq([("NAME", "a value"), ("EMPTY", "")]))?;
    check_eq!(xos::var("NAME"), Some("a value"))?;
    check_eq!(xos::var("NOTHING"), None)
}

pub fn a_thread_returns_its_value(_: &mut ()) -> Outcome {
    let text = Arc::new([7u64; 9]);
    let held = Arc::clone(&text);
    let worker = thread::spawn(move || held.iter().sum::<u64>())?;
    check_eq!(worker.join()?, 63)?;
    // What it held is dropped.
    check_eq!(Arc::strong_count(&text), 1)
}

pub fn a_thread_that_crashes_takes_nothing_else_down(_: &mut ()) -> Outcome {
    for (deed, kind) in [
        (0, FaultKind::Write(0)),
        (1, FaultKind::Exception(6)),
        (2, FaultKind::Panic),
    ] {
        let other = thread::spawn(|| {
            timer::sleep(20 * MS)?;
            Ok::<_, xos::Error>(5)
        })?;
        let worker = thread::spawn(move || match deed {
            // SAFETY: it ends this thread, which is the purpose.
            0 => unsafe { core::arch::asm!("mov byte ptr [0], 0") },
            // SAFETY: as above.
            1 => unsafe { core::arch::asm!("ud2") },
            _ => panic!("as asked"),
        })?;
        match worker.join() {
            Err(JoinError::Ended(ExitStatus::Fault(fault))) => check_eq!(fault.kind, kind)?,
            joined => check!(false, "{joined:?}")?,
        }
        check_eq!(other.join()?, Ok(5))?;
    }
    Ok(())
}

pub fn threads_exclude_each_other_by_a_mutex(_: &mut ()) -> Outcome {
    const EACH: u64 = 300;
    let value = Arc::new(sync::mutex(0));
    let workers = (0..4)
        .map(|_| {
            let value = Arc::clone(&value);
            thread::spawn(move || {
                for _ in 0..EACH {
                    let mut held = value.lock();
                    let before = *held;
                    // Whoever does not wait for the lock reads the same value now.
                    thread::yield_now();
                    *held = before + 1;
                }
            })
        })
        .collect::<xos::Result<Vec<_>>>()?;
    for worker in workers {
        worker.join()?;
    }
    check_eq!(*value.lock(), 4 * EACH)
}

pub fn each_thread_has_its_own_values(_: &mut ()) -> Outcome {
    static MADE: AtomicU64 = AtomicU64::new(0);
    static DROPPED: AtomicU64 = AtomicU64::new(0);
    struct Counted(Cell<u64>);
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    static KEY: Key<Counted> = Key::new(|| {
        MADE.fetch_add(1, Ordering::SeqCst);
        Counted(Cell::new(0))
    });
    KEY.with(|value| value.0.set(100));
    let workers = (1..=4)
        .map(|n| {
            thread::spawn(move || {
                for _ in 0..10 {
                    KEY.with(|value| value.0.set(value.0.get() + n));
                    thread::yield_now();
                }
                KEY.with(|value| value.0.get())
            })
        })
        .collect::<xos::Result<Vec<_>>>()?;
    for (n, worker) in (1..).zip(workers) {
        check_eq!(worker.join()?, 10 * n)?;
    }
    check_eq!(KEY.with(|value| value.0.get()), 100)?;
    check_eq!(MADE.load(Ordering::SeqCst), 5)?;
    check_eq!(DROPPED.load(Ordering::SeqCst), 4)
}

/// Pages, most of which nobody has touched: a few are there from the start.
static FRESH: [Page; 24] = [const { Page([const { AtomicU64::new(0) }; 512]) }; _];

#[repr(align(4096))]
struct Page([AtomicU64; 512]);

pub fn a_thread_is_given_the_pages_that_its_program_would_be(_: &mut ()) -> Outcome {
    const EACH: usize = 4;
    // All of them touch each page at about the same time.
    let workers = (0..EACH)
        .map(|which| {
            thread::spawn(move || {
                for page in &FRESH[..20] {
                    page.0[which].store(1 + which as u64, Ordering::SeqCst);
                    thread::yield_now();
                }
            })
        })
        .collect::<xos::Result<Vec<_>>>()?;
    for page in &FRESH[..20] {
        page.0[EACH].store(9, Ordering::SeqCst);
        thread::yield_now();
    }
    for worker in workers {
        worker.join()?;
    }
    for page in &FRESH[..20] {
        let words = [0, 1, 2, 3, EACH].map(|i| page.0[i].load(Ordering::SeqCst));
        check_eq!(words, [1, 2, 3, 4, 9])?;
    }
    Ok(())
}

pub fn a_thread_that_touches_a_page_loses_nothing(_: &mut ()) -> Outcome {
    let kept = thread::spawn(|| {
        let page = FRESH[22].0.as_ptr() as u64;
        let (a, b, c, d, e, f, v): (u64, u64, u64, u64, u64, u64, f64);
        let flags: u8;
        // SAFETY: it writes a byte of a page that nobody else uses.
        unsafe {
            core::arch::asm!(
                "stc",
                "mov byte ptr [{page}], 1",
                "setc {flags}",
                page = in(reg) page,
                flags = out(reg_byte) flags,
                inout("rcx") 1u64 => a,
                inout("rdx") 2u64 => b,
                inout("r8") 3u64 => c,
                inout("r9") 4u64 => d,
                inout("r10") 5u64 => e,
                inout("r15") 6u64 => f,
                inout("xmm7") 7.5 => v,
            );
        }
        ([a, b, c, d, e, f], v, flags)
    })?;
    check_eq!(kept.join()?, ([1, 2, 3, 4, 5, 6], 7.5, 1))?;
    check_eq!(FRESH[22].0[0].load(Ordering::SeqCst), 1)
}

pub fn a_copy_of_what_is_not_there_is_an_error(_: &mut ()) -> Outcome {
    fn copies() -> bool {
        let mut word = [0u8; 8];
        let nowhere = 0x10 as *mut u8;
        // SAFETY: where something is missing, that is found out.
        unsafe {
            xos::guarded::copy(word.as_mut_ptr(), nowhere, 8).is_err()
                && xos::guarded::copy(nowhere, word.as_ptr(), 8).is_err()
                && xos::guarded::copy(word.as_mut_ptr(), b"that has".as_ptr(), 8).is_ok()
                && word == *b"that has"
        }
    }
    check!(copies())?;
    check!(thread::spawn(copies)?.join()?)
}

pub fn a_thread_is_suspended_and_goes_on(_: &mut ()) -> Outcome {
    let turns = Arc::new(AtomicU64::new(0));
    let on = Arc::new(AtomicBool::new(true));
    let worker = {
        let (turns, on) = (Arc::clone(&turns), Arc::clone(&on));
        thread::spawn(move || {
            while on.load(Ordering::SeqCst) {
                turns.fetch_add(1, Ordering::SeqCst);
                thread::yield_now();
            }
        })?
    };
    until(|| Ok(turns.load(Ordering::SeqCst) > 10))?;
    worker.ic().suspend()?;
    let count = turns.load(Ordering::SeqCst);
    timer::sleep(30 * MS)?;
    check_eq!(turns.load(Ordering::SeqCst), count)?;
    worker.ic().resume()?;
    until(|| Ok(turns.load(Ordering::SeqCst) > count + 10))?;
    on.store(false, Ordering::SeqCst);
    Ok(worker.join()?)
}

pub fn a_thread_that_is_killed_is_joined_as_killed(_: &mut ()) -> Outcome {
    let worker = thread::spawn(|| {
        loop {
            thread::yield_now();
        }
    })?;
    worker.ic().kill()?;
    let joined: Result<(), _> = worker.join();
    check_eq!(joined, Err(JoinError::Ended(ExitStatus::Killed)))
}

pub fn a_thousand_threads_leave_the_budget_exactly_as_it_was(_: &mut ()) -> Outcome {
    thread::spawn(|| ())?.join()?;
    let before = xos::manager().budget(Subject::Myself)?;
    let slots = xos::available_slots();
    for n in 0..1000 {
        check_eq!(thread::spawn(move || n)?.join()?, n)?;
    }
    check_eq!(xos::manager().budget(Subject::Myself)?, before)?;
    check_eq!(xos::available_slots(), slots)
}

pub fn a_sleep_is_never_short(_: &mut ()) -> Outcome {
    for micros in [0, 1, 100, 5000, 20_000] {
        let time = Duration::from_micros(micros);
        let begin = timer::now()?;
        timer::sleep(time)?;
        let slept = timer::now()? - begin;
        check!(slept >= time, "{slept:?} of {time:?}")?;
    }
    let date = timer::real_time()?;
    timer::sleep(5 * MS)?;
    check!(timer::real_time()? > date)
}
