// SPDX-License-Identifier: BSD-2-Clause

use core::fmt;

/// What a main function declared with [`#[root_task]`](crate::root_task) may return: a root task
/// has nobody to return to, so a value of such a type is an error or does not exist.
pub trait Termination {
    /// What is printed before the thread ends.
    type Error: fmt::Debug;

    /// The error.
    fn report(self) -> Self::Error;
}

/// `!`, under a name that stable Rust accepts in an `impl`: the return type of a function pointer
/// that never returns.
type Bang = <fn() -> ! as Returns>::Value;

/// Public only because implementations of a public trait name it.
pub trait Returns {
    type Value;
}

impl<T> Returns for fn() -> T {
    type Value = T;
}

impl Termination for Bang {
    type Error = Self;

    fn report(self) -> Self::Error {
        self
    }
}

impl Termination for Never {
    type Error = Self;

    fn report(self) -> Self::Error {
        self
    }
}

impl<E: fmt::Debug> Termination for Result<Bang, E> {
    type Error = E;

    fn report(self) -> Self::Error {
        let Err(error) = self;
        error
    }
}

impl<E: fmt::Debug> Termination for Result<Never, E> {
    type Error = E;

    fn report(self) -> Self::Error {
        let Err(error) = self;
        error
    }
}

/// `!` for return types such as `sel4::Result<Never>` on stable Rust: it has no values.
#[derive(Debug, Copy, Clone, PartialOrd, Ord, PartialEq, Eq, Hash)]
pub enum Never {}

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_of_a_result_is_what_is_reported() {
        let result: Result<Never, &str> = Err("no memory");
        assert_eq!(result.report(), "no memory");
    }

    #[test]
    fn functions_that_never_return_may_be_main() {
        fn takes<T: Termination>(_: fn() -> T) {}
        takes::<Bang>(|| panic!("not called"));
        takes(|| -> ! { panic!("not called") } as fn() -> !);
    }
}
