// SPDX-License-Identifier: BSD-2-Clause
//! The conformance suite: whether a factory keeps what its contract promises.
//!
//! It is run against every factory, as one suite of tests is run against every file system. Three
//! programs take part:
//!
//! | program | what it is |
//! | --- | --- |
//! | judge | a boot domain in the monitor's place, the supervisor: runs the cases, does what only a supervisor can (ends boot domains, counts what the manager has left), reports to the host machine |
//! | examiner | `conformance-probe` as a program: a client of the factory under test, and the creator of its ICs |
//! | probe | the same program (or a part of it, where ICs execute within their creator) in an IC of the factory under test: tries from inside what the contract says is impossible |
//!
//! Examiners are made by a process factory of their own, so that they outlive the factory under test.
//! After each case everything of the examiner is gone, and the manager has to have exactly the bytes
//! and slots that it had before: that is checked in every case, whatever it is about.
//!
//! Examiner and judge talk through a [`Board`], a page that both map.
#![no_std]

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};

/// The examiner's and probe's file.
pub const PROBE: &str = "conformance-probe";
/// The factory that makes examiners.
pub const NURSERY: &str = "nursery";
/// The file of the initial tree that names the factory under test, behind `conformance_`.
pub const FACTORY_FILE: &str = "etc/suite";
/// First argument of an examiner. The others: the factory, the case.
pub const EXAMINE: &str = "examine";
/// An examiner's case that is none: it has one IC made.
pub const WARM_UP: &str = "warm_up";
/// First argument of a probe. The others: what it does and two numbers.
pub const DO: &str = "do";

/// Where a board is in the examiner.
pub const EXAMINERS_BOARD: u64 = 0x5000_0000_0000;
/// Where it is in the judge.
pub const JUDGES_BOARD: u64 = 0x5000_0000_0000;

/// What an examiner asks of the judge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Ask {
    /// To end the server of the factory under test: a crash at whatever it is doing.
    EndFactory = 1,
    /// The same, once the examiner has had time to block.
    EndFactorySoon,
    /// To have the manager end the IC whose id is the argument.
    Destroy,
    /// The same, once the examiner has had time to block.
    DestroySoon,
}

impl Ask {
    /// The request of that number.
    pub fn of(number: u64) -> Option<Self> {
        [
            Self::EndFactory,
            Self::EndFactorySoon,
            Self::Destroy,
            Self::DestroySoon,
        ]
        .into_iter()
        .find(|ask| *ask as u64 == number)
    }
}

/// Longest reason of a failure, in bytes.
const TEXT: usize = 400;

/// The page that an examiner and the judge share.
#[repr(C)]
pub struct Board {
    request: AtomicU64,
    argument: AtomicU64,
    length: AtomicU64,
    text: [AtomicU8; TEXT],
}

impl Board {
    /// The board at an address.
    ///
    /// # Safety
    /// A page of a region is mapped there, readable and writable, for as long as the reference is used,
    /// and everybody uses it as a board.
    pub unsafe fn at(address: u64) -> &'static Self {
        // SAFETY: as the caller says; all fields are atomic.
        unsafe { &*(address as *const Self) }
    }

    /// Asks the judge for something; it is done some time after this.
    pub fn ask_soon(&self, ask: Ask, argument: u64) {
        self.argument.store(argument, SeqCst);
        self.request.store(ask as u64, SeqCst);
    }

    /// Asks the judge for something, and waits until it is done.
    pub fn ask(&self, ask: Ask, argument: u64) {
        self.ask_soon(ask, argument);
        while self.request.load(SeqCst) != 0 {
            sel4::r#yield();
        }
    }

    /// What is asked, if anything.
    pub fn asked(&self) -> Option<(Ask, u64)> {
        let ask = Ask::of(self.request.load(SeqCst))?;
        Some((ask, self.argument.load(SeqCst)))
    }

    /// It is done.
    pub fn done(&self) {
        self.request.store(0, SeqCst);
    }

    /// Leaves the reason of a failure.
    pub fn fail(&self, reason: &str) {
        let reason = &reason[..reason.floor_char_boundary(TEXT)];
        for (to, byte) in self.text.iter().zip(reason.bytes()) {
            to.store(byte, SeqCst);
        }
        self.length.store(reason.len() as u64, SeqCst);
    }

    /// The reason, if there is one, put into `buffer`.
    pub fn reason<'a>(&self, buffer: &'a mut [u8; TEXT]) -> Option<&'a str> {
        let length = usize::try_from(self.length.load(SeqCst)).ok()?.min(TEXT);
        for (to, byte) in buffer.iter_mut().zip(&self.text) {
            *to = byte.load(SeqCst);
        }
        let text = core::str::from_utf8(&buffer[..length]).ok()?;
        (!text.is_empty()).then_some(text)
    }
}

/// What the judge tells a factory that is broken on purpose, and hears from it: a page that system
/// descriptions map in both.
#[repr(C)]
pub struct Knob {
    /// Which defect is on: its number, from 1; 0 for none.
    pub defect: AtomicU64,
    /// The step, counted from 1, at which the factory stands still or crashes; 0 for none.
    pub step: AtomicU64,
    /// Whether it crashes there (1) or stands still until this is 2.
    pub deed: AtomicU64,
    /// Steps that it has taken since this was set to 0.
    pub taken: AtomicU64,
    /// 1 while it stands still.
    pub standing: AtomicU64,
}

/// Where it is mapped.
const KNOB: u64 = 0x1000_0000;

impl Knob {
    /// The page of this domain.
    ///
    /// # Safety
    /// The description of the system maps a region of one page at `0x1000_0000`, writable.
    pub unsafe fn of_domain() -> &'static Self {
        // SAFETY: as the caller says; all fields are atomic.
        unsafe { &*(KNOB as *const Self) }
    }
}
