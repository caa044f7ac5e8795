// SPDX-License-Identifier: BSD-2-Clause
//! The factory on a model of the kernel and of the manager.

use std::cell::RefCell;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use xos_client::Manager;
use xos_protocol::factory::{Entry, HandleOp, SelfOp, SessionOp};
use xos_protocol::manager::{Create, Op, PAGE, Payer};
use xos_protocol::start::{WINDOW, WINDOWS};
use xos_protocol::{Error, ExitStatus, IcId, Result, Who};
use xos_server::factory::FactoryServer;
use xos_server::fake::{Bench, Came, FakeManager};
use xos_server::{Parts, Space};

use crate::factory::{Kernel, LwcFactory, Object, Registers, Shape};
use crate::{Ask, SWITCH, pair};

const CLIENT: Who = Who::Session(7);
const OTHER: Who = Who::Session(8);

/// What the kernel was asked to do.
#[derive(Default)]
struct State {
    made: Vec<(Object, u32, u32)>,
    mapped: Vec<(u32, u64)>,
    registers: Vec<(u32, Registers)>,
    emptied: Vec<u32>,
    broken: bool,
    lands: bool,
}

impl State {
    fn tried(&self) -> Result<()> {
        match self.broken {
            true => Err(Error::Kernel),
            false => Ok(()),
        }
    }
}

impl Kernel for &RefCell<State> {
    fn make(&mut self, _: Parts, object: Object, first: u32, count: u32) -> Result<()> {
        self.borrow_mut().made.push((object, first, count));
        self.borrow().tried()
    }

    fn map_table(&mut self, _: Parts, _: Object, _: u32, _: u64) -> Result<()> {
        self.borrow().tried()
    }

    fn map_frame(&mut self, _: Parts, index: u32, address: u64) -> Result<()> {
        self.borrow_mut().mapped.push((index, address));
        self.borrow().tried()
    }

    fn configure(&mut self, _: Parts, _: u32, _: u64) -> Result<()> {
        self.borrow().tried()
    }

    fn set_registers(&mut self, lwc: Parts, registers: &Registers) -> Result<()> {
        self.borrow().tried()?;
        self.borrow_mut().registers.push((lwc.place(), *registers));
        Ok(())
    }

    fn empty(&mut self, _: Parts, slot: u32) -> Result<()> {
        self.borrow_mut().emptied.push(slot);
        Ok(())
    }

    fn report(&mut self, _: Parts) -> Result<[u64; 3]> {
        Ok([0; 3])
    }

    fn refuse(&mut self, _: Parts, _: Error) -> Result<bool> {
        Ok(true)
    }

    fn land(&mut self, _: Parts) -> Result<bool> {
        Ok(self.borrow().lands)
    }
}

type Server<'t> =
    FactoryServer<LwcFactory<&'t RefCell<State>, &'t FakeManager>, 8, &'t FakeManager>;

struct Test<'t> {
    bench: Bench<Server<'t>>,
}

impl<'t> Test<'t> {
    fn new(state: &'t RefCell<State>, manager: &'t FakeManager) -> Self {
        let client = Manager::new(manager);
        let factory = LwcFactory::new(state, client);
        Self {
            bench: Bench::new(FactoryServer::new(factory, client, Space::IC), 16),
        }
    }

    fn spawn(&mut self, client: Who) -> Result<IcId> {
        let entry = Entry {
            ip: 0x20_1000,
            argument: 77,
            handle: 15,
            stack: 4,
            pager: 0,
        };
        let came = self
            .bench
            .call(client, SessionOp::Spawn.label(), &entry.words());
        match came {
            Came::Answer(told) => told.map(|words| IcId::from_word(words[0])),
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, lwc: IcId, ask: Ask) -> Came {
        let bytes = ask.bytes();
        let word = |i: usize| u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().unwrap());
        let words = [16, word(0), word(1)];
        let label = HandleOp::Invoke.label();
        self.bench.call(Who::Handle(lwc.index()), label, &words)
    }

    fn switch(&mut self, lwc: IcId, to: IcId, word: u64) -> Came {
        let words = [to.word(), word];
        self.bench.call(Who::Itself(lwc.index()), SWITCH, &words)
    }

    fn kept(came: Came) -> u32 {
        match came {
            Came::Kept(slot) => slot,
            other => panic!("{other:?}"),
        }
    }
}

/// The answer to the program: as bytes, with their count.
fn to_program(from: IcId, word: u64) -> Result<Vec<u64>> {
    let bytes = pair(from.word(), word);
    let word = |i: usize| u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().unwrap());
    Ok(vec![16, word(0), word(1)])
}

#[test]
fn an_lwc_is_composed_and_does_not_run_before_it_is_switched_to() {
    let (state, manager) = Default::default();
    let mut test = Test::new(&state, &manager);
    let lwc = test.spawn(CLIENT).unwrap();
    let asked = manager.asked();
    let words: Vec<u64> = [&asked[0].1[..], &[0; 4]].concat();
    let args = Create::from_words(words[..4].try_into().unwrap()).unwrap();
    assert_eq!(
        (args.payer, args.handle, args.memory),
        (Payer::Client(7), 15, 8)
    );
    assert!(!asked.iter().any(|(op, _)| *op == Op::Resume));
    let frames = (Object::Frame, 11, 5);
    assert_eq!(state.borrow().made.last(), Some(&frames));
    let top = WINDOWS.start;
    let mapped: Vec<_> = (0..5)
        .map(|i| (11 + i, top - (5 - u64::from(i)) * PAGE))
        .collect();
    assert_eq!(state.borrow().mapped, mapped);

    let program = Test::kept(test.ask(lwc, Ask::Switch(5)));
    let (_, registers) = state.borrow().registers[0];
    let expected = Registers {
        ip: 0x20_1000,
        sp: top - PAGE,
        argument: 77,
        from: 0,
        buffer: top - PAGE,
        thread_pointer: top - PAGE + 1024,
        word: 5,
    };
    assert_eq!(registers, expected);
    assert!(manager.asked().iter().any(|(op, _)| *op == Op::Resume));
    let waits = Test::kept(test.switch(lwc, IcId::NONE, 6));
    assert_eq!(test.bench.answers(), [(program, to_program(lwc, 6))]);
    // And in again, where it left.
    Test::kept(test.ask(lwc, Ask::Switch(7)));
    assert_eq!(test.bench.answers(), [(waits, Ok(vec![0, 7]))]);
    assert_eq!(state.borrow().registers.len(), 1);
}

#[test]
fn an_lwc_that_ends_in_control_returns_it_with_an_error() {
    for label in [SelfOp::Exit.label(), 5] {
        let (state, manager) = Default::default();
        let mut test = Test::new(&state, &manager);
        let lwc = test.spawn(CLIENT).unwrap();
        let program = Test::kept(test.ask(lwc, Ask::Switch(5)));
        // An exit, or a fault: instruction, address, instruction fetch, error code.
        let me = Who::Itself(lwc.index());
        let came = test.bench.call(me, label, &[3, 0xdead_0000, 0, 6]);
        assert_eq!(came, Came::Nothing);
        assert_eq!(test.bench.answers(), [(program, Err(Error::Gone))]);
        let holder = Who::Handle(lwc.index());
        let came = test.bench.call(holder, HandleOp::Wait.label(), &[]);
        let Came::Answer(Ok(words)) = came else {
            panic!("{came:?}")
        };
        let status = ExitStatus::from_words(words.try_into().unwrap()).unwrap();
        assert_eq!(status == ExitStatus::Code(3), label != 5);
    }
}

#[test]
fn an_lwc_that_dies_unasked_while_it_waits_takes_nobody_along() {
    let (state, manager) = Default::default();
    let mut test = Test::new(&state, &manager);
    let (one, other) = (test.spawn(CLIENT).unwrap(), test.spawn(CLIENT).unwrap());
    Test::kept(test.ask(one, Ask::Switch(1)));
    Test::kept(test.switch(one, IcId::NONE, 2));
    test.bench.answers();
    manager.kill(one);
    test.bench.notify(xos_protocol::manager::WATCH_BADGE);
    test.bench.answers();
    assert_eq!(test.bench.kept(), 0, "what it waited in is free again");
    assert_eq!(
        test.ask(one, Ask::Switch(3)),
        Came::Answer(Err(Error::Gone))
    );
    Test::kept(test.ask(other, Ask::Switch(4)));
}

#[test]
fn an_lwc_that_cannot_be_composed_is_destroyed() {
    let (state, manager): (RefCell<State>, FakeManager) = Default::default();
    let mut test = Test::new(&state, &manager);
    state.borrow_mut().broken = true;
    assert_eq!(test.spawn(CLIENT), Err(Error::Kernel));
    assert!(manager.alive().is_empty());
    state.borrow_mut().broken = false;
    // One that cannot be started gives control back.
    let lwc = test.spawn(CLIENT).unwrap();
    state.borrow_mut().broken = true;
    let program = Test::kept(test.ask(lwc, Ask::Switch(1)));
    assert_eq!(test.bench.answers(), [(program, Err(Error::Kernel))]);
}

#[test]
fn one_program_has_no_say_in_what_another_does() {
    let (state, manager) = Default::default();
    let mut test = Test::new(&state, &manager);
    let (mine, theirs) = (test.spawn(CLIENT).unwrap(), test.spawn(OTHER).unwrap());
    let no = Came::Answer(Err(Error::NotAllowed));
    assert_eq!(test.ask(mine, Ask::Allow(theirs.word())), no);
    Test::kept(test.ask(mine, Ask::Switch(1)));
    assert_eq!(test.switch(mine, theirs, 2), no);
    // The other's control is not touched.
    Test::kept(test.ask(theirs, Ask::Switch(1)));
}

#[test]
fn a_confined_lwc_has_its_session_on_the_manager_taken_away() {
    let (state, manager) = Default::default();
    let mut test = Test::new(&state, &manager);
    let lwc = test.spawn(CLIENT).unwrap();
    assert_eq!(test.ask(lwc, Ask::Confine), Came::Answer(Ok(vec![0])));
    assert_eq!(state.borrow().emptied, [xos_protocol::slots::ic::MANAGER]);
}

#[test]
fn who_may_switch_to_whom_is_declared() {
    let (state, manager) = Default::default();
    let mut test = Test::new(&state, &manager);
    let (one, other) = (test.spawn(CLIENT).unwrap(), test.spawn(CLIENT).unwrap());
    let declared = |manager: &FakeManager| {
        let all = manager.asked();
        all.iter().filter(|(op, _)| *op == Op::Declare).count()
    };
    assert_eq!(declared(&manager), 4, "each and its program, both ways");
    test.ask(one, Ask::Allow(other.word()));
    assert_eq!(declared(&manager), 1);
}

proptest! {
    #[test]
    fn stack_and_buffer_fit_into_one_page_table_and_one_piece(stack: u16) {
        match Shape::new(stack) {
            Ok(shape) => {
                prop_assert!(shape.stack_start() >= WINDOWS.start - WINDOW + PAGE);
                prop_assert!(shape.memory >= 4 + shape.stack && shape.memory.is_power_of_two());
                prop_assert!(12 + shape.stack <= 1 << shape.parts_radix && shape.parts_radix <= 8);
            }
            Err(_) => prop_assert!(stack == 0 || stack > 244),
        }
    }

    #[test]
    fn an_ask_survives_its_bytes(kind in 0u64..3, word: u64) {
        let ask = [Ask::Switch(word), Ask::Allow(word), Ask::Confine][kind as usize];
        let bytes = ask.bytes();
        let words = [16, u64::from_le_bytes(bytes[..8].try_into().unwrap()), u64::from_le_bytes(bytes[8..].try_into().unwrap())];
        prop_assert_eq!(Ask::from_words(&words), Ok(ask));
    }

    /// Whatever anyone sends: nobody is left waiting when all are gone, and no place is lost.
    #[test]
    fn no_message_harms_the_factory(
        messages in proptest::collection::vec((0u32..6, any::<bool>(), prop_oneof![0u64..8, 0x200u64..0x224, Just(SWITCH)],
            proptest::collection::vec(prop_oneof![0u64..20, any::<u64>()], 0..4)), 0..60)
    ) {
        let (state, manager) = Default::default();
        let mut test = Test::new(&state, &manager);
        let lwcs = [CLIENT, CLIENT, OTHER].map(|client| test.spawn(client).unwrap());
        for (who, inside, label, mut words) in messages {
            if let (Some(first), SWITCH) = (words.first_mut(), label) {
                *first = lwcs.get(*first as usize % 5).map_or(0, |id| id.word());
            }
            let index = lwcs.get(who as usize).map_or(who, |id| id.index());
            let who = if inside { Who::Itself(index) } else { Who::Handle(index) };
            let _ = test.bench.call(who, label, &words);
        }
        for id in manager.alive() {
            manager.kill(id);
        }
        test.bench.notify(xos_protocol::manager::WATCH_BADGE);
        prop_assert_eq!(test.bench.kept(), 0);
        prop_assert_eq!(test.bench.server.available(), 8);
    }
}
