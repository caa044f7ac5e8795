// SPDX-License-Identifier: BSD-2-Clause
//! A program step by step: each of its entries into the kernel can be its last, or somebody else's.
//!
//! Between two entries into the kernel nobody sees anything of a program, so that whatever happens to it
//! anywhere between the same two is the same. (Where it has memory of somebody else's meanwhile it says so:
//! [`pause`].) Who wants to know that nothing goes wrong, at whatever
//! moment a program or somebody it deals with dies, has to try these moments only, and can try all.
//!
//! With the feature `steps` each system call is preceded by a look at a page, [`Steps`], which whoever
//! directs the program has mapped as well. Its address is in `sel4_steps`, a variable that a system
//! description sets (`setvar_vaddr`); a program of whose description nothing is said takes no steps.
//! Without the feature nothing of this is in any program.

use core::sync::atomic::AtomicU64;
#[cfg(feature = "steps")]
use core::sync::atomic::Ordering::SeqCst;

/// What a program is told about its steps, and tells.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Steps {
    /// Steps that were taken since this was set to 0.
    pub taken: AtomicU64,
    /// The step, counted from 1, at which the program stands still until its deed is another one than
    /// [`STAND`]; 0 for none.
    pub at: AtomicU64,
    /// What it does then.
    pub deed: AtomicU64,
    /// 1 while it stands.
    pub standing: AtomicU64,
    /// For [`STRIKE`]: the capability to a thread, in the program's CSpace.
    pub victim: AtomicU64,
}

/// Stands still.
pub const STAND: u64 = 0;
/// Goes on.
pub const GO_ON: u64 = 1;
/// Crashes: an illegal instruction.
pub const CRASH: u64 = 2;
/// Makes another thread crash, lets everybody know who learns of that, and goes on.
pub const STRIKE: u64 = 3;

/// The address of the program's page; 0 if it has none.
#[cfg(feature = "steps")]
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.patched")]
pub static sel4_steps: AtomicU64 = AtomicU64::new(0);

/// A step that is none of the kernel's: for a moment at which a program has something that others can take from it,
/// between two entries into the kernel. Without the feature it is nothing.
#[inline]
pub fn pause() {
    #[cfg(feature = "steps")]
    step();
}

/// A step: called before each entry into the kernel.
#[cfg(feature = "steps")]
#[inline(never)]
pub(crate) fn step() {
    // SAFETY: a read of a static; volatile, since nothing in the program writes it, and yet it is not what
    // the compiler sees.
    let page = unsafe { sel4_steps.as_ptr().read_volatile() } as *const Steps;
    // SAFETY: the system description has set the variable to the address of a page that is mapped for
    // good, or it is null. All fields are atomic.
    let Some(steps) = (unsafe { page.as_ref() }) else {
        return;
    };
    let taken = steps.taken.fetch_add(1, SeqCst) + 1;
    if taken != steps.at.load(SeqCst) {
        return;
    }
    steps.standing.store(1, SeqCst);
    let deed = loop {
        match steps.deed.load(SeqCst) {
            STAND => crate::arch::yield_unseen(),
            deed => break deed,
        }
    };
    match deed {
        // SAFETY: the program ends here.
        CRASH => unsafe { core::arch::asm!("ud2", options(noreturn)) },
        STRIKE => strike(steps.victim.load(SeqCst)),
        _ => {}
    }
    steps.standing.store(0, SeqCst);
}

/// Turns that others get after somebody was struck: a fault goes to who handles it, which calls others.
#[cfg(feature = "steps")]
const TURNS: u32 = 16;

/// Makes a thread go on at address 0, where nothing is. If there is no such thread, nothing happens.
#[cfg(feature = "steps")]
fn strike(thread: crate::seL4_Word) {
    // Whether to resume it, the number of registers, and the first of them, which is the instruction
    // pointer: all in registers, so that the IPC buffer stays what the program has made it.
    let words = [1, 1, 0, 0];
    let info =
        crate::seL4_MessageInfo::new(crate::invocation_label::TCBWriteRegisters as _, 0, 0, 3);
    crate::arch::call_unseen(thread, info.into_words()[0], words);
    for _ in 0..TURNS {
        crate::arch::yield_unseen();
    }
}
