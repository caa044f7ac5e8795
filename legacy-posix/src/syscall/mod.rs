// SPDX-License-Identifier: BSD-2-Clause
//! System calls: from a number and six words to a function.
//!
//! Functions copy what pointers point to, in and out, and leave all decisions to the modules that
//! have them. They are run again from the beginning when a thread that waited is woken.

mod file;
mod futex;
mod identity;
mod memory;
mod path;
mod poll;
mod process;
mod schedule;
mod signal;
pub mod table;
mod time;

use crate::flow::Flow;
use crate::kernel::Kernel;
use crate::pages::Pages;
use crate::server::Server;
use crate::{Errno, Result, ThreadId};

pub use table::when_interrupted;
pub(crate) use time::{TICK, note_left};

/// The arguments of a call.
type Args = [u64; 6];

/// What a call came to.
pub enum Outcome {
    /// As [`Flow`] says.
    Flow(Flow),
    /// It is done, and more registers than the result have changed.
    DoneWithAll(Result<u64>),
    /// The thread has other registers now, or is no more.
    Left,
}

impl From<Flow> for Outcome {
    fn from(flow: Flow) -> Self {
        Self::Flow(flow)
    }
}

impl From<Result<u64>> for Outcome {
    fn from(result: Result<u64>) -> Self {
        Self::Flow(Flow::Done(result))
    }
}

/// The thread that a call names.
fn thread_id(number: u64) -> Result<ThreadId> {
    let number = u32::try_from(number).map_err(|_| Errno::SRCH)?;
    ThreadId::new(number).ok_or(Errno::SRCH)
}

/// Does a call.
pub fn dispatch<K: Kernel, P: Pages>(
    server: &mut Server<K, P>,
    thread: ThreadId,
    number: u64,
    args: Args,
) -> Outcome {
    table::call(server, thread, number, args)
}
