// SPDX-License-Identifier: BSD-2-Clause
//! Numbers of processes and threads.

use core::fmt;
use core::num::NonZeroU32;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(NonZeroU32);

        impl $name {
            /// The one with this number; `None` for what is no number of any.
            pub const fn new(number: u32) -> Option<Self> {
                match NonZeroU32::new(number) {
                    Some(number) if number.get() <= i32::MAX as u32 => Some(Self(number)),
                    _ => None,
                }
            }

            /// The number as Linux's calls give it.
            pub const fn number(self) -> u32 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A process: Linux's thread group id, `getpid`. Also names process groups and sessions, by their leader.
    ProcessId
}
id! {
    /// A thread, `gettid`. The first of a process has the process's number.
    ThreadId
}

impl ProcessId {
    /// The first process, which adopts orphans.
    pub const INIT: Self = Self(NonZeroU32::MIN);

    /// Its first thread.
    pub const fn leader(self) -> ThreadId {
        ThreadId(self.0)
    }
}

impl ThreadId {
    /// The process that has this number.
    pub const fn process(self) -> ProcessId {
        ProcessId(self.0)
    }
}
