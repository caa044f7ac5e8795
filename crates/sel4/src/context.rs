// SPDX-License-Identifier: BSD-2-Clause
//! How an invocation finds the current thread's IPC buffer.

use core::cell::RefCell;

use crate::IpcBuffer;

/// A way to find the current thread's IPC buffer.
pub trait InvocationContext {
    /// Calls `f` with the buffer.
    fn with_context<T>(&mut self, f: impl FnOnce(&mut IpcBuffer) -> T) -> T;
}

/// No way to find it: capabilities with this context cannot be invoked.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoInvocationContext;

impl NoInvocationContext {
    /// No context.
    pub const fn new() -> Self {
        Self
    }
}

impl InvocationContext for &mut IpcBuffer {
    fn with_context<T>(&mut self, f: impl FnOnce(&mut IpcBuffer) -> T) -> T {
        f(self)
    }
}

impl<U: InvocationContext> InvocationContext for &mut U {
    fn with_context<T>(&mut self, f: impl FnOnce(&mut IpcBuffer) -> T) -> T {
        U::with_context(self, f)
    }
}

impl<U: InvocationContext> InvocationContext for &RefCell<U> {
    fn with_context<T>(&mut self, f: impl FnOnce(&mut IpcBuffer) -> T) -> T {
        U::with_context(&mut self.borrow_mut(), f)
    }
}

/// The context of capabilities that were given no other: [`ImplicitInvocationContext`] with the
/// feature `state`, which is on by default, else [`NoInvocationContext`].
///
/// [`ImplicitInvocationContext`]: crate::ImplicitInvocationContext
#[cfg(feature = "state")]
pub type NoExplicitInvocationContext = crate::ImplicitInvocationContext;

/// The context of capabilities that were given no other: this crate was built without `state`.
#[cfg(not(feature = "state"))]
pub type NoExplicitInvocationContext = NoInvocationContext;
