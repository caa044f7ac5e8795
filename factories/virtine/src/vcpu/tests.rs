// SPDX-License-Identifier: BSD-2-Clause
//! Calls, on a processor that is a script: what each entry comes to.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::vec::Vec;

use proptest::prelude::*;
use vm_factory::machine::{Entry, Exit, Registers, reason};
use vm_factory::monitor::{Left, Processor};
use vm_factory::processor::Leaf;
use xos_protocol::ic::FaultKind;
use xos_protocol::virtine::{Answer, Ask, MORE};
use xos_protocol::wire::{MAX_WORDS, Words};
use xos_protocol::{Error, ExitStatus, Fault};
use xos_vcpu::{Vmcs, exit as field_of_exit, field, guest};

use super::call::{DEFAULT_LIMIT, Virtine, World};
use super::layout::{HEAP, IMAGE, MAX_PART, PANIC, STACK_END, says};
use super::memory::Memory;
use super::trampoline;

/// What is seen of the processor: fields, and the instructions at which it was entered.
#[derive(Default)]
struct Seen {
    fields: BTreeMap<u32, u64>,
    script: VecDeque<Exit>,
    entered: Vec<u32>,
    now: u64,
}

#[derive(Clone, Default)]
struct Script(Rc<RefCell<Seen>>);

impl Vmcs for Script {
    type Error = ();

    fn read(&mut self, field: u32) -> Result<u64, ()> {
        Ok(self.0.borrow().fields.get(&field).copied().unwrap_or(0))
    }

    fn write(&mut self, field: u32, value: u64) -> Result<(), ()> {
        self.0.borrow_mut().fields.insert(field, value);
        Ok(())
    }
}

impl Processor for Script {
    fn set_registers(&mut self, _registers: &Registers) -> Result<(), ()> {
        Ok(())
    }

    fn enter(&mut self, entry: &Entry) -> Left {
        let mut seen = self.0.borrow_mut();
        seen.entered.push(entry.ip);
        seen.now += 1000;
        // What has come to its end returns nothing.
        Left::Exit(
            seen.script
                .pop_front()
                .unwrap_or(say(says::RETURN, 0, IMAGE, 0)),
        )
    }
}

impl World for Script {
    fn now(&mut self) -> u64 {
        self.0.borrow().now
    }

    fn cpuid(&mut self, _leaf: u32) -> Leaf {
        [0; 4]
    }
}

fn say(what: u32, number: u32, address: u32, bytes: u32) -> Exit {
    Exit {
        reason: reason::VMCALL,
        ip: trampoline::exit(),
        registers: Registers {
            eax: what,
            ebx: number,
            esi: address,
            edi: bytes,
            ebp: HEAP,
            ..Registers::default()
        },
        ..Exit::default()
    }
}

/// Has a virtine that was prepared do something, on this script.
fn with<R>(then: impl FnOnce(&mut Virtine<'_, Script, Script>, &Script) -> R) -> R {
    let script = Script::default();
    script.0.borrow_mut().script =
        [say(says::READY, IMAGE, 0, 0), say(says::RESTORED, 0, 0, 0)].into();
    let mut bytes = vec![0; 2 << 20];
    let (memory, begin) = Memory::load(&mut bytes, &super::memory::an_image(), 0).unwrap();
    let mut virtine = Virtine::new(memory, script.clone(), script.clone(), 100);
    virtine.prepare(begin).unwrap();
    script.0.borrow_mut().entered.clear();
    then(&mut virtine, &script)
}

fn call(granted: u32, limit: u32) -> Words {
    let mut words = [0; MAX_WORDS];
    let ask = Ask::Call {
        granted,
        limit,
        long: false,
    };
    words[..3].copy_from_slice(&[9, ask.word(), 0x41]);
    words
}

/// What comes of a call on this script.
fn calls(script: &[Exit]) -> Result<Vec<u64>, Error> {
    with(|virtine, seen| {
        seen.0.borrow_mut().script = script.to_vec().into();
        let mut words = call(1, 0);
        let len = virtine.request(&mut words, 3)?;
        Ok(words[..len].to_vec())
    })
}

fn exception(vector: u8, qualification: u64) -> Exit {
    Exit {
        reason: 0,
        ip: IMAGE,
        qualification,
        interruptibility: vector.into(),
        ..Exit::default()
    }
}

#[test]
fn a_result_is_what_the_virtine_names() {
    assert_eq!(
        calls(&[say(says::RETURN, 0, IMAGE, 3)]),
        Ok(vec![11, 0, 0x909090])
    );
    assert_eq!(calls(&[]), Ok(vec![8, 0]));
}

#[test]
fn what_it_names_and_has_not_is_nonsense() {
    let nonsense = Ok(vec![8, Answer::Nonsense.word()]);
    for (address, bytes) in [
        (0, 1),
        (IMAGE, MAX_PART + 1),
        (STACK_END - 1, 2),
        (u32::MAX, 2),
    ] {
        assert_eq!(calls(&[say(says::RETURN, 0, address, bytes)]), nonsense);
    }
    for what in [says::RESTORED, says::READY, 4, u32::MAX] {
        assert_eq!(calls(&[say(what, 0, 0, 0)]), nonsense);
    }
    let elsewhere = Exit {
        ip: IMAGE,
        ..say(says::RETURN, 0, IMAGE, 0)
    };
    assert_eq!(calls(&[elsewhere]), nonsense);
}

#[test]
fn a_crash_is_told_and_the_next_call_begins_at_the_beginning() {
    with(|virtine, seen| {
        seen.0.borrow_mut().script = [Exit {
            reason: reason::IO,
            ip: 0x10_0008,
            ..Exit::default()
        }]
        .into();
        let mut words = call(0, 0);
        let len = virtine.request(&mut words, 3).unwrap();
        let status = ExitStatus::Fault(Fault {
            ip: 0x10_0008,
            kind: FaultKind::Exception(13),
        });
        assert_eq!(words[1], Answer::Crashed.word());
        assert_eq!(words[2..len], status.words());
        // Whatever it did to its processor is gone.
        seen.0.borrow_mut().fields.clear();
        let mut words = call(0, 0);
        assert_eq!(virtine.request(&mut words, 3), Ok(2));
        let seen = seen.0.borrow();
        assert_eq!(seen.entered, [trampoline::begin(), trampoline::begin()]);
        assert_eq!(seen.fields[&guest::CS_SELECTOR] & 3, 0);
        assert_eq!(seen.fields[&guest::TR_LIMIT], 0);
        assert_eq!(seen.fields[&field::EXCEPTION_BITMAP] as u32, u32::MAX);
    });
}

#[test]
fn calls_that_end_well_write_no_field() {
    with(|virtine, seen| {
        seen.0.borrow_mut().fields.clear();
        for _ in 0..3 {
            assert_eq!(virtine.request(&mut call(0, 0), 3), Ok(2));
        }
        assert!(seen.0.borrow().fields.is_empty());
    });
}

#[test]
fn a_page_is_given_and_an_address_that_is_none_is_told() {
    let fault = |address: u32, error: u64, registers: Registers| {
        with(|virtine, seen| {
            seen.0.borrow_mut().fields.extend([
                (field_of_exit::VMEXIT_INTERRUPTION_INFO, 14),
                (field_of_exit::VMEXIT_INTERRUPTION_ERR_CODE, error),
            ]);
            seen.0.borrow_mut().script = [Exit {
                registers,
                ..exception(14, address.into())
            }]
            .into();
            let mut words = call(0, 0);
            let len = virtine.request(&mut words, 3).unwrap();
            let words = words[2..len]
                .first_chunk()
                .and_then(|w| ExitStatus::from_words(*w));
            (words, seen.0.borrow().entered.len())
        })
    };
    assert_eq!(fault(HEAP + 7, 6, Registers::default()), (None, 2));
    let told = |kind| {
        Some(ExitStatus::Fault(Fault {
            ip: IMAGE.into(),
            kind,
        }))
    };
    assert_eq!(
        fault(0, 4, Registers::default()),
        (told(FaultKind::Read(0)), 1)
    );
    assert_eq!(
        fault(IMAGE + 0x10_0000, 6, Registers::default()),
        (told(FaultKind::Write(u64::from(IMAGE) + 0x10_0000)), 1)
    );
}

#[test]
fn a_panic_is_told_as_one() {
    with(|virtine, seen| {
        let panic = Exit {
            registers: Registers {
                eax: PANIC,
                ..Registers::default()
            },
            ..exception(6, 0)
        };
        seen.0
            .borrow_mut()
            .fields
            .insert(field_of_exit::VMEXIT_INTERRUPTION_INFO, 6);
        seen.0.borrow_mut().script = [panic].into();
        let mut words = call(0, 0);
        assert_eq!(virtine.request(&mut words, 3), Ok(5));
        let status = ExitStatus::from_words([words[2], words[3], words[4]]);
        assert!(matches!(
            status,
            Some(ExitStatus::Fault(Fault {
                kind: FaultKind::Panic,
                ..
            }))
        ));
    });
}

#[test]
fn floating_point_registers_are_put_back_once_a_call_has_used_them() {
    with(|virtine, seen| {
        seen.0
            .borrow_mut()
            .fields
            .insert(field_of_exit::VMEXIT_INTERRUPTION_INFO, 7);
        seen.0.borrow_mut().script = [exception(7, 0)].into();
        assert_eq!(virtine.request(&mut call(0, 0), 3), Ok(2));
        assert_eq!(virtine.request(&mut call(0, 0), 3), Ok(2));
        let entered = seen.0.borrow().entered.clone();
        assert_eq!(
            entered,
            [trampoline::begin(), IMAGE, trampoline::begin_floating()]
        );
    });
}

#[test]
fn a_hypercall_waits_for_its_answer_and_only_for_that() {
    with(|virtine, seen| {
        seen.0.borrow_mut().script =
            [say(says::ASK, 0, IMAGE, 2), say(says::RETURN, 0, HEAP, 3)].into();
        let mut words = call(1, 0);
        assert_eq!(virtine.request(&mut words, 3), Ok(3));
        assert_eq!(words[..3], [10, Answer::Asks(0).word(), 0x9090]);
        assert_eq!(virtine.request(&mut call(1, 0), 3), Err(Error::BadState));
        words[..3].copy_from_slice(&[11, Ask::Answer.word(), 0x636261]);
        assert_eq!(virtine.request(&mut words, 3), Ok(3));
        assert_eq!(words[..3], [11, Answer::Returned.word(), 0x636261]);
        assert_eq!(seen.0.borrow().entered[1], trampoline::exit() + 3);
        words[..2].copy_from_slice(&[8, Ask::Answer.word()]);
        assert_eq!(virtine.request(&mut words, 2), Err(Error::BadState));
    });
}

#[test]
fn hypercalls_that_are_not_granted_end_the_call() {
    for (number, granted) in [
        (0, true),
        (1, false),
        (31, false),
        (u32::from(MORE), true),
        (34, false),
        (u32::MAX, false),
    ] {
        let answer = calls(&[say(says::ASK, number, IMAGE, 0)]).unwrap()[1];
        let expected = match granted {
            true => Answer::Asks(number as u8),
            false => Answer::NotGranted(number.min(255) as u8),
        };
        assert_eq!(answer, expected.word());
    }
}

#[test]
fn time_is_what_it_runs_and_not_what_its_client_takes() {
    let turn = Exit {
        reason: reason::PREEMPTION_TIMER,
        ip: IMAGE,
        ..Exit::default()
    };
    with(|virtine, seen| {
        // A millisecond is a thousand turns of this clock.
        seen.0.borrow_mut().script = vec![turn; 1100].into();
        let mut words = call(0, 1);
        assert_eq!(virtine.request(&mut words, 3), Ok(2));
        assert_eq!(words[1], Answer::OutOfTime.word());
        let turns = seen.0.borrow().entered.len();
        assert!((1000..1010).contains(&turns), "{turns}");
    });
    with(|virtine, seen| {
        let mut words = call(1, 1);
        seen.0.borrow_mut().script = vec![say(says::ASK, 0, IMAGE, 0); 3000].into();
        let mut answers = 0;
        while virtine.request(&mut words, 3).is_ok() && words[1] == Answer::Asks(0).word() {
            // The client takes its time.
            seen.0.borrow_mut().now += 10 * DEFAULT_LIMIT;
            words[..2].copy_from_slice(&[8, Ask::Answer.word()]);
            answers += 1;
        }
        assert_eq!(words[1], Answer::OutOfTime.word());
        assert!((990..1010).contains(&answers), "{answers}");
    });
}

#[test]
fn an_image_that_cannot_be_prepared_says_so_in_every_call() {
    let script = Script::default();
    let mut bytes = vec![0; 2 << 20];
    let (memory, begin) = Memory::load(&mut bytes, &super::memory::an_image(), 0).unwrap();
    let mut virtine = Virtine::new(memory, script.clone(), script, 100);
    virtine.prepare(begin).unwrap();
    for _ in 0..2 {
        let mut words = call(0, 0);
        assert_eq!(virtine.request(&mut words, 3), Ok(2));
        assert_eq!(words[1], Answer::Nonsense.word());
    }
}

fn exits() -> impl Strategy<Value = Exit> {
    let address = prop_oneof![
        IMAGE - 8..IMAGE + 0x5000,
        HEAP..HEAP + 0x40_0000,
        any::<u32>()
    ];
    let said = (
        0u32..5,
        0u32..40,
        address.clone(),
        0u32..1000,
        address.clone(),
    )
        .prop_map(|(what, number, at, bytes, ebp)| {
            let mut exit = say(what, number, at, bytes);
            exit.registers.ebp = ebp;
            exit
        });
    let other = (0u32..70, any::<u32>(), address).prop_map(|(reason, ip, at)| Exit {
        reason,
        ip,
        qualification: at.into(),
        ..Exit::default()
    });
    prop_oneof![said, other]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any requests, and a virtine that does anything.
    #[test]
    fn every_request_has_an_answer_and_none_a_panic(
        requests in proptest::collection::vec(
            (proptest::collection::vec(prop_oneof![0u64..1000, any::<u64>()], 0..MAX_WORDS), exits(), 0u64..20), 1..60),
    ) {
        with(|virtine, seen| {
            for (given, exit, vector) in requests {
                {
                    let mut seen = seen.0.borrow_mut();
                    seen.script.push_back(exit);
                    seen.fields.insert(field_of_exit::VMEXIT_INTERRUPTION_INFO, vector);
                }
                let mut words = [0; MAX_WORDS];
                words[..given.len()].copy_from_slice(&given);
                if let Ok(len) = virtine.request(&mut words, given.len()) {
                    assert!((2..=MAX_WORDS).contains(&len));
                    assert!(Answer::from_word(words[1]).is_ok());
                }
            }
            // It goes on: at worst a call is ended that waits.
            let _ = virtine.request(&mut [8, Ask::Stop.word()].into_iter().chain([0; MAX_WORDS - 2]).collect::<Vec<_>>().try_into().unwrap(), 2);
            seen.0.borrow_mut().script.clear();
            assert_eq!(virtine.request(&mut call(0, 0), 3), Ok(2));
        });
    }
}
