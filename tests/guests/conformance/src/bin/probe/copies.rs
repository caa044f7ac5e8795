// SPDX-License-Identifier: BSD-2-Clause
//! ICs that begin in a copy of this program, as light-weight contexts do.
//!
//! Of those that have a session in common, one runs at a time, and its creator stands still meanwhile. So
//! that several can run, beside this program, each has a session of its own, and a thread that stands still
//! for it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;

use lwc_factory::client::{Lwc, Lwcs};
use xos::protocol::Subject;
use xos::protocol::manager::PAGE;
use xos::thread::JoinHandle;
use xos::{ExitStatus, Ic, Result};

use crate::tasks::Task;

/// Pages of stack, as many as other ICs have.
const STACK: u16 = (xos::thread::DEFAULT_STACK as u64 / PAGE) as u16;
/// Bytes of stack of a thread that only stands still.
const WAITING: usize = 2 * PAGE as usize;

/// Sessions that no IC uses. They stay open for the next ones.
type Unused = Arc<RefCell<Vec<&'static Lwcs>>>;

/// What makes them.
pub struct Copies {
    factory: &'static str,
    unused: Unused,
}

/// One of them. Dropping it ends it.
pub struct Copy {
    lwc: Arc<Lwc<'static>>,
    waiting: RefCell<Option<JoinHandle<()>>>,
    /// Given back last.
    _lent: Lent,
}

/// A session that is in use.
struct Lent {
    session: &'static Lwcs,
    unused: Unused,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.unused.borrow_mut().push(self.session);
    }
}

impl Copies {
    pub fn new(factory: &'static str) -> Self {
        Self {
            factory,
            unused: Unused::default(),
        }
    }

    /// Makes what stays, so that the first IC costs what the others do.
    pub fn prepare(&self) -> Result<()> {
        let first = self.make(Task::NOTHING)?;
        first.start()?;
        first.wait()?;
        settle()
    }

    /// One that does this when it is started.
    pub fn make(&self, task: Task) -> Result<Copy> {
        let unused = self.unused.borrow_mut().pop();
        let session: &Lwcs = match unused {
            Some(session) => session,
            None => Box::leak(Box::new(Lwcs::by(xos::factory(self.factory)?))),
        };
        let lent = Lent {
            session,
            unused: Arc::clone(&self.unused),
        };
        let lwc = session.create(STACK, move |_, _| task.perform())?;
        Ok(Copy {
            lwc: Arc::new(lwc),
            waiting: RefCell::default(),
            _lent: lent,
        })
    }
}

/// Waits until the manager has given back what this program has destroyed: regions need not be gone when that
/// is answered.
///
/// # Errors
/// The manager's.
pub fn settle() -> Result<()> {
    let spent = || {
        let budget = xos::manager().budget(Subject::Myself);
        budget.map(|budget| budget.spent)
    };
    let mut before = None;
    while before != Some(spent()?) {
        before = Some(spent()?);
        (0..200).for_each(|_| xos::thread::yield_now());
    }
    Ok(())
}

impl Copy {
    pub fn ic(&self) -> &Ic {
        self.lwc.ic()
    }

    pub fn start(&self) -> Result<()> {
        let lwc = Arc::clone(&self.lwc);
        let waiting = xos::thread::spawn_with_stack(WAITING, move || {
            // Should it give control back, it gets it again; the end of it is told as an error.
            while lwc.switch(0).is_ok() {}
        })?;
        self.waiting.replace(Some(waiting));
        Ok(())
    }

    pub fn wait(self) -> Result<ExitStatus> {
        let status = self.lwc.wait();
        if let Some(waiting) = self.waiting.take() {
            // It has no more to say than the status has.
            let _ = waiting.join();
        }
        status
    }

    pub fn leave(self) {
        // Nor is its session for others any more.
        drop(self.waiting.take());
        core::mem::forget(self);
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            // Else the next one of its session would be refused control, which this one has or is about to get. It
            // may have ended by itself.
            let _ = self.ic().kill();
            let _ = waiting.join();
        }
    }
}
