// SPDX-License-Identifier: BSD-2-Clause
//! The image of a virtine on a virtual processor: parses an HTTP request, as `apps/parse`'s does where virtines are
//! address spaces. The program that calls it is the same, and does not know which of the two it calls.
//!
//! The parser is picohttpparser, which many use, in C: the toolchain has no Rust libraries for 32-bit code.
#![no_std]

/// The image, `vcpu/parse-http` in the file tree.
pub const IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/parse-http"));
