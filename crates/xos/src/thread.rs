// SPDX-License-Identifier: BSD-2-Clause
//! Threads: ICs that execute in this program's memory, with its capabilities.
//!
//! The thread factory makes them, with this program's consent: what a thread
//! needs (its TCB, stack, IPC buffer) lies in an arena of its own, and is gone
//! when it has been joined. A thread that crashes takes nothing else down; but
//! what it wrote before, it wrote in everybody's memory.

use alloc::sync::Arc;
use core::arch::naked_asm;
use core::cell::UnsafeCell;
use core::mem::ManuallyDrop;

use xos_protocol::factory::Entry;
use xos_protocol::manager::{Consent, PAGE};
use xos_protocol::{Error as Why, ExitStatus, IcId};

use crate::error::{Error, Result, Tried, Trying};
use crate::session::Cached;
use crate::{Factory, Ic, output, program, take_slot, tls};

static FACTORY: Cached = Cached::with_consent(
    "thread",
    Consent {
        within: true,
        share: false,
        connect: false,
    },
);

/// Bytes of a thread's stack when nobody asks for another size.
pub const DEFAULT_STACK: usize = 16 * PAGE as usize;
/// Bytes of the largest stack.
pub const MAX_STACK: usize = 509 * PAGE as usize;

/// What a thread is started with: the part that does not depend on what it runs.
#[repr(C)]
struct Head {
    own: tls::Own,
    /// Runs what the thread is for. Takes over the reference that the pointer stands for.
    run: unsafe fn(*const Head),
}

/// What a thread and who joins it have in common.
#[repr(C)]
struct Packet<F, T> {
    head: Head,
    /// Taken by the thread.
    function: UnsafeCell<ManuallyDrop<F>>,
    /// Written by the thread before it ends, read after it has.
    result: UnsafeCell<Option<T>>,
}

// SAFETY: `function` is used by the thread alone, `result` by the thread and then, after the kernel has
// reported its end, by who joins it.
unsafe impl<F: Send, T: Send> Sync for Packet<F, T> {}
// SAFETY: as above.
unsafe impl<F: Send, T: Send> Send for Packet<F, T> {}

/// A thread that was started.
///
/// Dropping it lets the thread run on; its memory, and a slot of this program's CSpace, come back when the
/// program ends.
#[must_use = "dropping it detaches the thread"]
pub struct JoinHandle<T> {
    /// Dropped by nobody: a thread that is killed leaves locks and half-written values behind.
    ic: ManuallyDrop<Ic>,
    result: Arc<dyn TakeResult<T> + Send + Sync>,
}

/// What is left of a packet's type for who joins.
trait TakeResult<T> {
    /// # Safety
    /// The thread has ended.
    unsafe fn take(&self) -> Option<T>;
}

impl<F, T> TakeResult<T> for Packet<F, T> {
    unsafe fn take(&self) -> Option<T> {
        // SAFETY: the thread has ended, so nobody else uses the cell.
        unsafe { (*self.result.get()).take() }
    }
}

/// A thread did not come to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JoinError {
    /// It crashed or was killed.
    #[error("the thread did not finish: {0}")]
    Ended(ExitStatus),
    /// The thread factory does not know.
    #[error(transparent)]
    Refused(#[from] Error),
}

impl<T> JoinHandle<T> {
    /// Its IC.
    pub fn id(&self) -> IcId {
        self.ic.id()
    }

    /// The IC, to suspend or kill it: what it holds or is about to change then stays as it is.
    pub fn ic(&self) -> &Ic {
        &self.ic
    }

    /// Waits until it has ended, and gives what it returned.
    ///
    /// # Errors
    /// [`JoinError::Ended`] when it did not return.
    pub fn join(mut self) -> core::result::Result<T, JoinError> {
        let status = self.ic.wait()?;
        // SAFETY: this is the end of the handle. There is nothing left to end, just a slot to give back.
        unsafe { ManuallyDrop::drop(&mut self.ic) };
        // SAFETY: it has ended.
        match unsafe { self.result.take() } {
            Some(result) if status == ExitStatus::Code(0) => Ok(result),
            _ => Err(JoinError::Ended(status)),
        }
    }
}

/// Starts a thread that runs `f`, with a stack of [`DEFAULT_STACK`] bytes.
///
/// # Errors
/// The thread factory's and the manager's.
pub fn spawn<F, T>(f: F) -> Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn_with_stack(DEFAULT_STACK, f)
}

/// Starts a thread that runs `f`, with a stack of so many bytes (rounded up to pages).
///
/// # Errors
/// [`Malformed`](Why::Malformed) for a stack of 0 or of more than [`MAX_STACK`] bytes; the thread
/// factory's and the manager's.
pub fn spawn_with_stack<F, T>(stack: usize, f: F) -> Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    start(stack, f, |entry| {
        FACTORY.with(|endpoint| xos_client::Factory::new(endpoint).spawn(entry))
    })
}

/// The same by another factory than that of threads, which makes ICs within this program too: it was opened
/// with consent to that.
///
/// # Errors
/// As for [`spawn_with_stack`], and the factory's.
pub fn spawn_by<F, T>(factory: &Factory, stack: usize, f: F) -> Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    start(stack, f, |entry| {
        xos_client::Factory::new(factory.session().endpoint()).spawn(entry)
    })
}

fn start<F, T>(
    stack: usize,
    f: F,
    spawn: impl FnOnce(&Entry) -> xos_protocol::Result<IcId>,
) -> Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if stack == 0 || stack > MAX_STACK {
        return Err(Error::new(Tried::Spawn, Why::Malformed));
    }
    output::keep_last_words();
    let slot = take_slot()?;
    let packet = Arc::new(Packet {
        head: Head {
            own: tls::Own {
                exit: slot.number(),
                ..tls::own()
            },
            run: run::<F, T>,
        },
        function: UnsafeCell::new(ManuallyDrop::new(f)),
        result: UnsafeCell::new(None),
    });
    let argument = Arc::into_raw(Arc::clone(&packet));
    let entry = Entry {
        ip: thread_start as *const () as u64,
        argument: argument as u64,
        handle: slot.number() as u16,
        stack: stack.div_ceil(PAGE as usize) as u16,
        pager: thread_pager as *const () as u64,
    };
    match spawn(&entry) {
        Ok(id) => Ok(JoinHandle {
            ic: ManuallyDrop::new(Ic::new(id, slot)),
            result: packet,
        }),
        Err(why) => {
            // SAFETY: no thread took over the reference or the function.
            unsafe {
                drop(Arc::from_raw(argument));
                ManuallyDrop::drop(&mut *packet.function.get());
            }
            Err(why).trying(Tried::Spawn)
        }
    }
}

/// Lets another thread of the same priority run.
pub fn yield_now() {
    sel4::r#yield();
}

/// Where a thread begins: the registers are those of [`xos_protocol::start`].
#[unsafe(naked)]
unsafe extern "C" fn thread_start() -> ! {
    naked_asm!(
        "xor ebp, ebp",
        "call {main}",
        "ud2",
        main = sym thread_main,
    )
}

/// Where a thread asks for a page: [`Entry::pager`]. It executes nothing else here.
#[unsafe(naked)]
unsafe extern "C" fn thread_pager() -> ! {
    naked_asm!("sysenter", "ud2")
}

/// # Safety
/// To be called by [`thread_start`] alone.
unsafe extern "C" fn thread_main(head: *const Head, _: usize, buffer: usize, block: usize) -> ! {
    // SAFETY: the argument is the one that `spawn_with_stack` made, and the others are this thread's.
    let exit = unsafe {
        let own = (*head).own;
        program::begin(buffer, block, own);
        ((*head).run)(head);
        tls::end();
        own.exit
    };
    output::flush_unless_busy();
    program::end(exit, 0)
}

/// # Safety
/// `head` is the beginning of a `Packet<F, T>` in an [`Arc`], of which one reference is this pointer.
unsafe fn run<F: FnOnce() -> T, T>(head: *const Head) {
    // SAFETY: see above; the function is taken once, and only here.
    unsafe {
        let packet = Arc::from_raw(head.cast::<Packet<F, T>>());
        let function = ManuallyDrop::take(&mut *packet.function.get());
        *packet.result.get() = Some(function());
    }
}
