// SPDX-License-Identifier: BSD-2-Clause
//! What the factory needs of the kernel, beside what the process factory does.

use process_factory::kernel::{At, Kernel as Composing, Outcome};
use xos_protocol::Result;
use xos_protocol::virtine::Plan;

/// The invocations that the factory makes, one system call each where nothing else is said.
pub trait Kernel {
    /// What composes.
    type Composing: Composing;

    /// What composes.
    fn composing(&mut self) -> &mut Self::Composing;

    /// Changes the rights to a page that is mapped in the virtine whose parts node is in root slot `parts`.
    fn protect(&mut self, frame: At, parts: u32, writable: bool) -> Outcome;

    /// Ends everything that was made of untyped memory. The kernel clears it before it is used again.
    fn revoke(&mut self, untyped: At) -> Outcome;

    /// Has a virtine begin at the trampoline, whatever it was at: `pages` says which of the plan's pages are
    /// put back. It runs at once, or when it is resumed.
    fn begin(&mut self, parts: u32, pages: u128, now: bool) -> Outcome;

    /// Stops a virtine. (Two calls: should somebody resume it, it begins at the trampoline and says so.)
    fn stop(&mut self, parts: u32) -> Outcome;

    /// The plan number `index`, of as many as there can be virtines. (No call: a page of the factory's own.)
    fn plan(&mut self, index: usize) -> &mut Plan;

    /// Where the frame of plan number `index` is.
    fn plan_frame(&self, index: usize) -> At;

    /// Where the frame of the trampoline is.
    fn trampoline_frame(&self) -> At;

    /// Has the factory notified after a [`TICK`](crate::factory::TICK). (Two calls at the timer.)
    ///
    /// # Errors
    /// The timer's.
    fn alarm(&mut self) -> Result<()>;
}
