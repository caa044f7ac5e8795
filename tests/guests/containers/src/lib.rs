// SPDX-License-Identifier: BSD-2-Clause
//! What the stand-in for a personality's server understands: the first argument of its container.
//!
//! It is no Linux: it makes no processes. It does to its factory what a server does, the things that a
//! bad one would do included.
#![no_std]
#![forbid(unsafe_code)]

/// Prints a file of the root, whose path is the second argument.
pub const PRINT: &str = "print";
/// Prints the arguments behind the first, the environment and the host name, a line each.
pub const TELL: &str = "tell";
/// Does what it is told from outside, until a signal comes, and ends as if killed by it.
pub const SERVE: &str = "serve";
/// Writes to its root.
pub const WRITE: &str = "write";
/// Takes memory until there is no more, and prints how many MiB it got.
pub const EAT: &str = "eat";

/// The file of the initial tree that says which cases are run, if not all that need few containers.
pub const CASES: &str = "etc/cases";
/// What it says for the claims of the contract.
pub const CLAIMS: &str = "claims";
/// What it says for those that need many.
pub const CROWD: &str = "crowd";
/// What it says for the benchmark.
pub const BENCH: &str = "bench";
