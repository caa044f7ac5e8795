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
/// The file of the initial tree that names the factory under test.
pub const FACTORY_FILE: &str = "etc/factory";
/// The file that names the program which registers it, if no boot domain does.
pub const PROGRAM_FILE: &str = "etc/program";
/// First argument of an examiner. The others: the factory, the case.
pub const EXAMINE: &str = "examine";
/// An examiner's case that is none: it has one IC made.
pub const WARM_UP: &str = "warm_up";
/// The same: a life whose steps count, beside a sibling.
pub const LIFE: &str = "a_life";
/// The same when nobody dies.
pub const WHOLE_LIFE: &str = "a_whole_life";
/// The same: the life of a clone, whose steps count, beside its snapshot.
pub const CLONES_LIFE: &str = "a_clones_life";
/// The same: everything that can be done with ICs, whose steps count, beside a sibling.
pub const OPERATIONS: &str = "operations";
/// The same when nobody dies.
pub const WHOLE_OPERATIONS: &str = "whole_operations";
/// The same: it uses the driver that is named in the factory's place, while others wait for it.
pub const USE: &str = "use";
/// The same: it blocks on the driver that is named in the factory's place.
pub const BLOCKED: &str = "blocked";
/// The same: it keeps all servers busy.
pub const LOAD: &str = "load";
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
    /// From here on, the factory's steps count.
    Begin,
    /// They do no more.
    End,
    /// To rest for a while: who is not as important can run when the examiner rests too.
    Rest,
}

impl Ask {
    /// The request of that number.
    pub fn of(number: u64) -> Option<Self> {
        [
            Self::EndFactory,
            Self::EndFactorySoon,
            Self::Destroy,
            Self::DestroySoon,
            Self::Begin,
            Self::End,
            Self::Rest,
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
    subject: AtomicU64,
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

    /// Says whom the case is about.
    pub fn tell(&self, subject: u64) {
        self.subject.store(subject, SeqCst);
    }

    /// Whom it is about, if that was said.
    pub fn subject(&self) -> u64 {
        self.subject.load(SeqCst)
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

/// A way in which a factory may be broken.
#[derive(Clone, Copy, Debug)]
pub struct Defect {
    /// What is wrong: the name of the case of the mutants' suite too.
    pub name: &'static str,
    /// The factory that has it when it is told.
    pub factory: &'static str,
    /// The case of the conformance suite that has to fail then.
    pub case: &'static str,
}

/// The mutant of the process factory.
pub const PROCESS: &str = "mutant_process";
/// Another one of that, for defects by which it crashes: it has its own count of restarts.
pub const CRASHING: &str = "mutant_19";
/// The mutant of the thread factory.
pub const THREAD: &str = "mutant_thread";

macro_rules! list {
    ($(#[$doc:meta])* $list:ident { $($name:ident: $factory:ident, $case:ident;)* }) => {
        $(#[$doc])*
        pub const $list: &[Defect] = &[$(Defect {
            name: stringify!($name),
            factory: $factory,
            case: stringify!($case),
        }),*];
    };
}

list! {
    /// All defects; a defect's number is its position plus 1.
    DEFECTS {
        code_is_mapped_writable: PROCESS, what_it_promises_of_memory_holds;
        a_page_of_the_factory_is_mapped_in_every_ic: PROCESS, no_address_beyond_its_memory_can_be_read;
        a_page_is_used_again_without_being_cleared: PROCESS, no_byte_of_a_dead_ic_is_seen_in_a_new_one;
        private_memory_is_promised_and_the_creators_is_given: THREAD, what_it_promises_of_memory_holds;
        the_creators_memory_is_promised_and_private_is_given: PROCESS, what_it_promises_of_memory_holds;
        an_execution_is_among_an_ics_capabilities: PROCESS, what_it_promises_of_capabilities_holds;
        a_frame_is_among_an_ics_capabilities: PROCESS, no_kernel_object_can_be_invoked_through_any_cptr;
        own_capabilities_are_promised_and_the_creators_are_given: THREAD, what_it_promises_of_capabilities_holds;
        the_creators_capabilities_are_promised_and_own_are_given: PROCESS, what_it_promises_of_capabilities_holds;
        no_names_are_promised_and_the_creators_are_given: THREAD, what_it_promises_of_names_holds;
        the_creators_names_are_promised_and_none_are_given: PROCESS, what_it_promises_of_names_holds;
        linux_system_calls_are_answered: PROCESS, what_it_promises_of_the_kernel_interface_holds;
        the_limit_of_memory_is_ignored: PROCESS, what_it_promises_of_the_memory_quota_holds;
        ics_run_at_a_lower_priority: PROCESS, what_it_promises_of_the_processor_holds;
        a_fault_is_reported_as_an_exit: PROCESS, what_it_promises_of_faults_holds;
        a_fault_ends_a_sibling_as_well: PROCESS, what_it_promises_of_faults_holds;
        a_fault_ends_the_factory: PROCESS, what_it_promises_of_faults_holds;
        containment_is_promised_and_the_creators_memory_is_open: THREAD, what_it_promises_of_faults_holds;
        open_memory_is_promised_and_faults_are_contained: PROCESS, what_it_promises_of_faults_holds;
        memory_stays_when_an_ic_is_destroyed: PROCESS, what_it_promises_of_teardown_holds;
        clones_write_to_their_snapshot: PROCESS, a_clone_has_what_its_snapshot_had_and_nothing_of_others;
        what_clones_write_to_is_empty: PROCESS, a_clone_has_what_its_snapshot_had_and_nothing_of_others;
        all_ics_have_a_channel_in_common: PROCESS, what_it_promises_of_channels_holds;
        granted_channels_are_promised_and_memory_is_shared: THREAD, what_it_promises_of_channels_holds;
        channels_through_memory_are_promised_and_there_are_none: PROCESS, what_it_promises_of_channels_holds;
        a_message_ends_the_factory: PROCESS, no_message_harms_the_factory;
        a_refusal_by_the_manager_ends_the_factory: PROCESS, running_out_of_ics_is_an_error_that_passes;
        an_address_space_is_among_an_ics_capabilities: PROCESS, what_it_promises_of_capabilities_holds;
        its_own_parts_are_among_an_ics_capabilities: PROCESS, what_it_promises_of_capabilities_holds;
        a_page_of_the_factory_is_writable_in_every_ic: PROCESS, no_address_beyond_its_memory_can_be_written;
        a_page_of_the_factory_is_executed_in_every_ic: PROCESS, no_address_beyond_its_memory_can_be_executed;
        unknown_kernel_calls_are_answered: PROCESS, kernel_calls_that_do_not_exist_end_their_caller_alone;
        a_forged_fault_ends_the_factory: CRASHING, a_forged_fault_message_harms_only_its_sender;
        a_slot_that_is_taken_ends_the_factory: CRASHING, running_out_of_slots_is_an_error_that_passes;
        the_end_of_a_session_ends_the_factory: CRASHING, running_out_of_sessions_is_an_error_that_passes;
        an_exit_code_is_told_wrong: PROCESS, an_ics_exit_status_reaches_who_waits;
        an_ic_is_started_twice: PROCESS, operations_in_the_wrong_state_are_refused;
        who_is_suspended_runs_on: PROCESS, a_suspended_ic_stands_still_until_it_is_resumed;
        a_kill_is_told_as_a_return: PROCESS, who_is_killed_ends_as_killed_and_only_once;
        few_ics_live_at_once: PROCESS, many_ics_live_at_once_and_end_in_any_order;
        a_life_leaves_memory_behind: PROCESS, a_hundred_lives_leave_nothing_behind;
        an_image_that_is_not_there_is_replaced: PROCESS, requests_that_make_no_sense_are_refused;
        a_value_is_promised_that_has_no_probe: PROCESS, every_value_of_its_contract_has_a_probe;
        the_creators_quota_is_promised_and_an_own_one_is_given: PROCESS, what_it_promises_of_the_memory_quota_holds;
        an_own_priority_is_promised_and_the_creators_is_given: PROCESS, what_it_promises_of_the_processor_holds;
        the_factorys_help_is_promised_and_does_not_come: PROCESS, what_it_promises_of_teardown_holds;
    }
}

list! {
    /// What is no defect: other promises than those of the factories that there are, and kept. The case has to
    /// pass. Their numbers follow those of the defects.
    VARIANTS {
        the_creators_quota_is_promised_and_given: THREAD, what_it_promises_of_the_memory_quota_holds;
        an_own_priority_is_promised_and_given: PROCESS, what_it_promises_of_the_processor_holds;
        the_factorys_help_is_promised_and_comes: PROCESS, what_it_promises_of_teardown_holds;
    }
}

/// What the judge tells a factory that is broken on purpose, and hears from it: a page that system
/// descriptions map in both.
#[repr(C)]
pub struct Knob {
    /// Which defect or variant is on: its number, from 1; 0 for none.
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
    /// The defect or variant that is on.
    pub fn defect(&self) -> &'static str {
        let number = self.defect.load(SeqCst) as usize;
        let mut all = DEFECTS.iter().chain(VARIANTS);
        number
            .checked_sub(1)
            .and_then(|position| all.nth(position))
            .map_or("", |defect| defect.name)
    }

    /// A factory begins a step: an entry into the kernel. Between two of them nobody sees anything of it,
    /// so that whatever happens to it between the same two is the same.
    ///
    /// # Panics
    /// If it is to crash at this step.
    pub fn step(&self) {
        let taken = self.taken.fetch_add(1, SeqCst) + 1;
        if taken != self.step.load(SeqCst) {
            return;
        }
        assert!(self.deed.load(SeqCst) != 1, "told to crash at step {taken}");
        self.standing.store(1, SeqCst);
        while self.deed.load(SeqCst) != 2 {
            sel4::r#yield();
        }
        self.standing.store(0, SeqCst);
    }

    /// The page of this domain.
    ///
    /// # Safety
    /// The description of the system maps a region of one page at `0x1000_0000`, writable.
    pub unsafe fn of_domain() -> &'static Self {
        // SAFETY: as the caller says; all fields are atomic.
        unsafe { &*(KNOB as *const Self) }
    }
}
