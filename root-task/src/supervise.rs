// SPDX-License-Identifier: BSD-2-Clause
//! What happens to a domain that crashed: the states it goes through, as a table without a kernel.
//!
//! ```text
//! running --fault--> answering --fault--> disposing --Disposed--> running
//!                        |                                         ^  |
//!                        +------- no manager ----------------------+  +-> resting --fault--> running
//!                                                                     +-> undertaken
//! ```
//! *Answering*: the thread itself runs the reply stub, because only it can answer who called it last;
//! that it is done shows as another fault. Then the root task answers everybody whose reply
//! capability the domain had put aside. *Disposing*: the IC manager destroys what the domain's
//! clients had through it. *Resting*: a domain that crashes again and again has to wait for a while;
//! built once more, it runs a part of the stub that answers every caller with an error and faults when the
//! time has come. *Undertaken*: a domain that is not started again is built once more, but
//! runs the stub's undertaker, which answers every caller with an error.
//!
//! The supervisor must never wait for anybody. Whatever arrives is answered at once, and messages that
//! make no sense in the state at hand (a domain can send any through its fault endpoint) change
//! nothing.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use heapless::Vec as BoundedVec;
use xos_protocol::supervisor::{LINE, Op};
use xos_protocol::{Badge, Error, Who};

use crate::cspace::manager_badge;
use crate::restart::{History, Verdict};

/// What is heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Something came on the fault endpoint of this domain.
    Fault {
        /// Its index.
        domain: usize,
    },
    /// The manager asks who crashed.
    NextCrash,
    /// The manager has disposed of this domain's clients.
    Disposed {
        /// Its index.
        domain: u64,
    },
    /// The manager ends the machine.
    PowerOff {
        /// 0 for success.
        code: u64,
    },
    /// The manager has a line for the log.
    Log {
        /// Its bytes, as the message says.
        bytes: u64,
    },
    /// Something of the manager's that is none of these.
    Refused(Error),
    /// Nothing that anybody was given the right to say.
    Nothing,
}

impl Event {
    /// Reads a message. Total.
    pub fn of(badge: u64, label: u64, first_word: u64) -> Self {
        if badge == manager_badge() {
            return match Op::from_label(label) {
                Ok(Op::NextCrash) => Self::NextCrash,
                Ok(Op::Disposed) => Self::Disposed { domain: first_word },
                Ok(Op::PowerOff) => Self::PowerOff { code: first_word },
                Ok(Op::Log) => Self::Log { bytes: first_word },
                Err(error) => Self::Refused(error),
            };
        }
        match Badge::from_word(badge).who() {
            Who::Itself(index) => Self::Fault {
                domain: index as usize,
            },
            _ => Self::Nothing,
        }
    }
}

/// How a domain is built again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// As its program.
    Program,
    /// As one that rests until this time, in ticks, and says so then by a fault.
    Resting(u64),
    /// As the undertaker of its program.
    Undertaker,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Stop the thread and say what happened.
    Report {
        /// The domain's index.
        domain: usize,
        /// What will become of it; nothing is said of the manager.
        verdict: Option<Verdict>,
    },
    /// Let the thread answer who called it last.
    Answer {
        /// The domain's index.
        domain: usize,
    },
    /// Stop the thread and answer those whose reply capabilities it put aside.
    Drain {
        /// The domain's index.
        domain: usize,
    },
    /// Signal the manager.
    Signal,
    /// Destroy the domain and build it again.
    Build {
        /// The domain's index.
        domain: usize,
        /// As what.
        start: Start,
    },
    /// Stop the thread for good.
    Stop {
        /// The domain's index.
        domain: usize,
    },
    /// Print so many bytes of the message, which begin at its second word.
    Log {
        /// At most [`LINE`].
        bytes: usize,
    },
    /// Answer the manager: an error, or success with this first word.
    Reply(Result<u64, Error>),
    /// End the machine.
    PowerOff {
        /// 0 for success.
        code: u64,
    },
}

/// What is to be done, in this order.
pub type Actions = BoundedVec<Action, 3>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Running,
    Answering(Start),
    Disposing(Start),
    Resting,
    Undertaken,
    Dead,
}

#[derive(Clone, Debug)]
struct Entry {
    state: State,
    history: History,
    landings: Landings,
}

/// Times that a domain may go on elsewhere after a fault ([`xos_runtime::guarded`]), in a second: each takes time of
/// ours, which is nobody's.
pub const LANDINGS: u32 = 100;

/// How often a domain went on elsewhere after a fault lately.
#[derive(Clone, Debug, Default)]
struct Landings {
    since: u64,
    count: u32,
}

/// The exit code when the manager crashed.
pub const MANAGER_CRASHED: u64 = 1;

/// The states of all domains.
#[derive(Clone, Debug)]
pub struct Supervisor {
    domains: Vec<Entry>,
    manager: Option<usize>,
    /// Domains in [`State::Disposing`] of which the manager has not yet been told.
    untold: VecDeque<usize>,
    /// Ticks of a second.
    second: u64,
}

impl Supervisor {
    /// All `count` domains run. A second has so many ticks.
    pub fn new(count: usize, manager: Option<usize>, second: u64) -> Self {
        let entry = Entry {
            state: State::Running,
            history: History::default(),
            landings: Landings::default(),
        };
        Self {
            domains: alloc::vec![entry; count],
            manager,
            untold: VecDeque::with_capacity(count),
            second,
        }
    }

    /// Decides what is to be done. `now` is the time in ticks.
    pub fn handle(&mut self, event: Event, now: u64) -> Actions {
        match event {
            Event::Fault { domain } if domain < self.domains.len() => self.fault(domain, now),
            Event::Fault { .. } | Event::Nothing => actions([]),
            Event::NextCrash => {
                let next = self.untold.pop_front();
                actions([Action::Reply(
                    Ok(next.map_or(0, |domain| 1 + domain as u64)),
                )])
            }
            Event::Disposed { domain } => self.disposed(domain),
            Event::PowerOff { code } => actions([Action::PowerOff { code }]),
            Event::Log { bytes } => match usize::try_from(bytes) {
                Ok(bytes) if bytes <= LINE => {
                    actions([Action::Log { bytes }, Action::Reply(Ok(0))])
                }
                _ => actions([Action::Reply(Err(Error::Malformed))]),
            },
            Event::Refused(error) => actions([Action::Reply(Err(error))]),
        }
    }

    /// Whether a domain that faulted at time `now`, in ticks, and wants to go on elsewhere, may. Otherwise its fault
    /// is one like any other.
    pub fn may_land(&mut self, domain: usize, now: u64) -> bool {
        let second = self.second;
        match self.domains.get_mut(domain) {
            Some(entry) if entry.state == State::Running => {
                let landings = &mut entry.landings;
                if now.saturating_sub(landings.since) >= second {
                    *landings = Landings {
                        since: now,
                        count: 0,
                    };
                }
                landings.count += 1;
                landings.count <= LANDINGS
            }
            _ => false,
        }
    }

    /// What is to be done when a domain could not be built again.
    pub fn build_failed(&mut self, domain: usize) {
        self.domains[domain].state = State::Dead;
    }

    fn fault(&mut self, domain: usize, now: u64) -> Actions {
        let manager = self.manager;
        let entry = &mut self.domains[domain];
        match entry.state {
            State::Running if manager == Some(domain) => {
                entry.state = State::Dead;
                actions([
                    Action::Report {
                        domain,
                        verdict: None,
                    },
                    Action::PowerOff {
                        code: MANAGER_CRASHED,
                    },
                ])
            }
            State::Running => {
                let verdict = entry.history.crashed(now, self.second);
                entry.state = State::Answering(match verdict {
                    Verdict::Restart { rest: 0, .. } => Start::Program,
                    Verdict::Restart { rest, .. } => {
                        Start::Resting(now.saturating_add(rest.saturating_mul(self.second)))
                    }
                    Verdict::GiveUp => Start::Undertaker,
                });
                actions([
                    Action::Report {
                        domain,
                        verdict: Some(verdict),
                    },
                    Action::Answer { domain },
                ])
            }
            State::Answering(start) if manager.is_some() => {
                entry.state = State::Disposing(start);
                self.untold.push_back(domain);
                actions([Action::Drain { domain }, Action::Signal])
            }
            State::Answering(start) => {
                actions([Action::Drain { domain }, self.build(domain, start)])
            }
            // Should somebody else hold its fault endpoint, it has rested less: it is that domain's own.
            State::Resting => actions([self.build(domain, Start::Program)]),
            // Its CSpace was as built and its stub is ours, so this is not the stub's doing. Somebody
            // else holds its fault endpoint.
            State::Undertaken => {
                entry.state = State::Dead;
                actions([Action::Stop { domain }])
            }
            State::Disposing(_) | State::Dead => actions([]),
        }
    }

    fn disposed(&mut self, domain: u64) -> Actions {
        let known = usize::try_from(domain)
            .ok()
            .filter(|domain| *domain < self.domains.len());
        let Some(domain) = known else {
            return actions([Action::Reply(Err(Error::Malformed))]);
        };
        match self.domains[domain].state {
            State::Disposing(start) if !self.untold.contains(&domain) => {
                // The manager goes on while the domain is being built.
                actions([Action::Reply(Ok(0)), self.build(domain, start)])
            }
            _ => actions([Action::Reply(Err(Error::BadState))]),
        }
    }

    fn build(&mut self, domain: usize, start: Start) -> Action {
        self.domains[domain].state = match start {
            Start::Program => State::Running,
            Start::Resting(_) => State::Resting,
            Start::Undertaker => State::Undertaken,
        };
        Action::Build { domain, start }
    }
}

fn actions<const N: usize>(list: [Action; N]) -> Actions {
    list.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restart::{AT_ONCE, LIMIT};
    use proptest::prelude::*;

    const MANAGER: usize = 0;
    const DOMAIN: usize = 2;
    const FAULT: Event = Event::Fault { domain: DOMAIN };
    const DISPOSED: Event = Event::Disposed {
        domain: DOMAIN as u64,
    };

    fn with_manager() -> Supervisor {
        Supervisor::new(4, Some(MANAGER), 1000)
    }

    fn has(actions: &Actions, wanted: fn(&Action) -> bool) -> bool {
        actions.iter().any(wanted)
    }

    #[test]
    fn a_crash_is_reported_answered_disposed_of_and_undone_in_this_order() {
        let mut supervisor = with_manager();
        let verdict = Some(Verdict::Restart {
            attempt: 1,
            rest: 0,
        });
        let domain = DOMAIN;
        assert_eq!(
            supervisor.handle(FAULT, 0)[..],
            [
                Action::Report { domain, verdict },
                Action::Answer { domain }
            ]
        );
        assert_eq!(
            supervisor.handle(FAULT, 1)[..],
            [Action::Drain { domain }, Action::Signal]
        );
        assert_eq!(
            supervisor.handle(Event::NextCrash, 2)[..],
            [Action::Reply(Ok(1 + DOMAIN as u64))]
        );
        let start = Start::Program;
        assert_eq!(
            supervisor.handle(DISPOSED, 3)[..],
            [Action::Reply(Ok(0)), Action::Build { domain, start }]
        );
    }

    #[test]
    fn without_a_manager_a_domain_is_built_again_at_once() {
        let mut supervisor = Supervisor::new(4, None, 1000);
        supervisor.handle(FAULT, 0);
        let actions = supervisor.handle(FAULT, 1);
        let domain = DOMAIN;
        let start = Start::Program;
        assert_eq!(
            actions[..],
            [Action::Drain { domain }, Action::Build { domain, start }]
        );
    }

    #[test]
    fn a_domain_that_keeps_crashing_rests_and_gets_an_undertaker_in_the_end() {
        let second = 1000;
        let mut supervisor = Supervisor::new(4, None, second);
        let mut starts = Vec::new();
        for now in 0..4 * (LIMIT as u64 + 1) {
            for action in supervisor.handle(FAULT, now) {
                if let Action::Build { start, .. } = action {
                    starts.push((now, start));
                }
            }
        }
        let all: Vec<_> = starts.iter().map(|(_, start)| *start).collect();
        let (at_once, later) = all.split_at(AT_ONCE as usize);
        assert_eq!(at_once, [Start::Program; AT_ONCE as usize]);
        // After each rest comes the program; the last one is nobody's.
        let (last, rests) = later.split_last().unwrap();
        assert_eq!(*last, Start::Undertaker);
        assert_eq!(rests.len() as u32, 2 * (LIMIT - AT_ONCE));
        for (n, pair) in rests.chunks(2).enumerate() {
            let Start::Resting(until) = pair[0] else {
                panic!("{pair:?}");
            };
            assert!(until >= second << n && until < (second << n) + second);
            assert_eq!(pair[1], Start::Program);
        }
    }

    #[test]
    fn a_domain_goes_on_elsewhere_so_often_in_a_second_and_only_while_it_runs() {
        let mut supervisor = with_manager();
        for now in [0, 1000, 2500] {
            for _ in 0..LANDINGS {
                assert!(supervisor.may_land(DOMAIN, now));
            }
            assert!(!supervisor.may_land(DOMAIN, now + 999));
            assert!(supervisor.may_land(DOMAIN + 1, now));
        }
        assert!(!supervisor.may_land(4, 9000));
        supervisor.handle(FAULT, 9000);
        assert!(!supervisor.may_land(DOMAIN, 9000));
    }

    #[test]
    fn the_managers_crash_ends_the_machine_with_a_failure() {
        let mut supervisor = with_manager();
        let actions = supervisor.handle(Event::Fault { domain: MANAGER }, 0);
        assert!(has(&actions, |action| matches!(
            action,
            Action::Report { .. }
        )));
        assert!(has(&actions, |action| matches!(
            action,
            Action::PowerOff { code: 1.. }
        )));
    }

    #[test]
    fn crashes_are_told_once_and_in_order() {
        let mut supervisor = with_manager();
        for domain in [3, 1] {
            supervisor.handle(Event::Fault { domain }, 0);
            supervisor.handle(Event::Fault { domain }, 0);
        }
        let mut told = || supervisor.handle(Event::NextCrash, 0)[0];
        assert_eq!(
            [told(), told(), told()],
            [4, 2, 0].map(|word| Action::Reply(Ok(word)))
        );
    }

    #[test]
    fn a_domain_is_not_built_before_the_manager_was_told() {
        let mut supervisor = with_manager();
        supervisor.handle(FAULT, 0);
        supervisor.handle(FAULT, 0);
        assert_eq!(
            supervisor.handle(DISPOSED, 0)[..],
            [Action::Reply(Err(Error::BadState))]
        );
    }

    #[test]
    fn only_the_managers_badge_can_end_the_machine() {
        for badge in (0..1 << 28).step_by(4093) {
            let event = Event::of(badge, Op::PowerOff.label(), 0);
            assert!(!matches!(event, Event::PowerOff { .. }), "{badge:#x}");
        }
        assert_eq!(
            Event::of(manager_badge(), Op::PowerOff.label(), 3),
            Event::PowerOff { code: 3 }
        );
    }

    proptest! {
        /// Whatever arrives in whatever order: the manager is always answered, a domain is built only
        /// when its callers have been, and nothing but the manager ends the machine.
        #[test]
        fn no_sequence_of_messages_confuses_the_supervisor(
            messages in prop::collection::vec((0..8usize, 0..6u64), 0..200), manager: bool
        ) {
            let manager = manager.then_some(MANAGER);
            let mut supervisor = Supervisor::new(4, manager, 10);
            let (mut drained, mut resting) = ([false; 4], [false; 4]);
            for (now, (kind, word)) in messages.into_iter().enumerate() {
                let event = match kind {
                    0..4 => Event::of(Badge::new(Who::Itself(kind as u32 + 1)).unwrap().word(), word, word),
                    4 => Event::of(manager_badge(), Op::NextCrash.label(), word),
                    5 => Event::of(manager_badge(), Op::Disposed.label(), word),
                    6 => Event::of(manager_badge(), word, word),
                    _ => Event::of(word, Op::PowerOff.label(), word),
                };
                let asked = matches!(event, Event::NextCrash | Event::Disposed { .. } | Event::Refused(_));
                let actions = supervisor.handle(event, now as u64);
                prop_assert_eq!(asked, has(&actions, |action| matches!(action, Action::Reply(_))));
                for action in actions {
                    match action {
                        Action::Drain { domain } => drained[domain] = true,
                        Action::Build { domain, start } => {
                            let rested = core::mem::replace(
                                &mut resting[domain],
                                matches!(start, Start::Resting(_)),
                            );
                            prop_assert!(core::mem::take(&mut drained[domain]) || rested);
                        }
                        Action::PowerOff { .. } => prop_assert!(false),
                        _ => {}
                    }
                }
            }
        }
    }

    #[test]
    fn a_line_for_the_log_is_printed_and_answered_unless_it_is_too_long() {
        let mut supervisor = with_manager();
        let mut log = |bytes| {
            let event = Event::of(manager_badge(), Op::Log.label(), bytes);
            supervisor.handle(event, 0)
        };
        let bytes = LINE;
        assert_eq!(
            log(LINE as u64)[..],
            [Action::Log { bytes }, Action::Reply(Ok(0))]
        );
        for bytes in [LINE as u64 + 1, u64::MAX] {
            assert_eq!(log(bytes)[..], [Action::Reply(Err(Error::Malformed))]);
        }
    }
}
