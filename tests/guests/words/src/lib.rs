// SPDX-License-Identifier: BSD-2-Clause
//! What the programs of the suites of the whole system say to each other.
//!
//! | program | what it is |
//! | --- | --- |
//! | `tester` | a boot domain in the monitor's place: runs the cases, reports to the host |
//! | `test-probe` | a program for ICs: runs cases from inside, or plays a part in one |
//! | `test-rogue` | a boot domain that does what its clients tell it, harm to itself and others included |
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

/// File of the initial tree that holds the name of the suite to run.
pub const SUITE_FILE: &str = "etc/suite";

/// The probe's file.
pub const PROBE: &str = "test-probe";

/// What a probe says to the tester, through the channel [`TESTER_CHANNEL`].
pub mod say {
    /// Word 0: a count of bytes, then the bytes: why a case failed.
    pub const FAILED: u64 = 0x600;
    /// Any words: the case in the tester knows what they mean, and answers.
    pub const TELL: u64 = 0x601;
}

/// The name of the channel between a probe and the tester.
pub const TESTER_CHANNEL: &str = "tester";
/// Its number among the probe's channels.
pub const TESTER_CHANNEL_NUMBER: u32 = 0;

/// First argument of a probe that runs the case which the second one names.
pub const CASE: &str = "case";
