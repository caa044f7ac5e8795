// SPDX-License-Identifier: BSD-2-Clause
//! What the factory tells a machine's monitor.

use core::fmt::Write;

use xos_protocol::start::SHARES;

/// Where the monitor finds the kernel, and its module: nobody else maps anything there.
pub const KERNEL: u64 = SHARES.end - (1 << 40);
/// See [`KERNEL`].
pub const MODULE: u64 = SHARES.end - (1 << 39);

/// Words that a client can tell a monitor, and the label by which the monitor asks its factory for them.
pub const TOLD: usize = 2;
/// See [`TOLD`].
pub const ASK_TOLD: u64 = 0x260;

/// The environment variable with the numbers of [`Start`].
pub const VARIABLE: &str = "XOS_VM";

/// What a monitor is told: sizes, in bytes, and how it is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// The guest's memory.
    pub memory: u64,
    /// The kernel.
    pub kernel: u64,
    /// Its module; 0 for none.
    pub module: u64,
    /// What was asked for as stack; 0 when nothing was.
    pub stack: u64,
    /// Whether what is typed at the console is for the guest.
    pub input: bool,
}

impl Start {
    /// The environment that says this: ended by a NUL byte.
    #[must_use]
    pub fn environment(&self) -> heapless::String<104> {
        let mut text = heapless::String::new();
        let Self {
            memory,
            kernel,
            module,
            stack,
            input,
        } = self;
        let input = u8::from(*input);
        // Four numbers of at most 20 digits, and a bit.
        let _ = write!(
            text,
            "{VARIABLE}={memory} {kernel} {module} {stack} {input}\0"
        );
        text
    }

    /// Reads the value of the variable.
    #[must_use]
    pub fn read(value: &str) -> Option<Self> {
        let mut numbers = value.split(' ').map(|number| number.parse().ok());
        let mut next = || numbers.next().flatten();
        let start = Self {
            memory: next()?,
            kernel: next()?,
            module: next()?,
            stack: next()?,
            input: match next()? {
                0 => false,
                1 => true,
                _ => return None,
            },
        };
        numbers.next().is_none().then_some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_told_is_read(memory: u64, kernel: u64, module: u64, stack: u64, input: bool) {
            let start = Start { memory, kernel, module, stack, input };
            let text = start.environment();
            let value = text.strip_prefix("XOS_VM=").unwrap().strip_suffix('\0').unwrap();
            prop_assert_eq!(Start::read(value), Some(start));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = Start::read(&text);
        }
    }
}
