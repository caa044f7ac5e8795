// SPDX-License-Identifier: BSD-2-Clause
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use xos_protocol::factory::{HandleOp, SelfOp, SessionOp};
use xos_protocol::ic::FaultKind;
use xos_protocol::manager::{CreateWithin, Op};
use xos_protocol::{Fault, IcId, Who};
use xos_runtime::panic_report::MAGIC;
use xos_server::Space;
use xos_server::factory::FactoryServer;
use xos_server::fake::{Bench, Came, FakeManager};

use super::*;

const CLIENT: Who = Who::Session(7);

/// What the kernel was asked to do, by root slot of the thread's parts.
#[derive(Default)]
struct State {
    registers: BTreeMap<u32, Registers>,
    refused: Vec<(u32, Error)>,
    stopped_with: [u64; 3],
    broken: bool,
    /// The registers of whoever stands still.
    context: UserContext,
    /// What was called, and by the instruction where.
    called: Vec<(u64, u64, u64, [u64; 2])>,
    /// What that was answered with.
    answer: Option<Error>,
    /// With which registers a thread goes on.
    goes_on: Vec<UserContext>,
}

impl Kernel for &RefCell<State> {
    fn run(&mut self, thread: Parts, registers: &Registers) -> Result<()> {
        let mut state = self.borrow_mut();
        if state.broken {
            return Err(Error::Kernel);
        }
        state.registers.insert(thread.place(), *registers);
        Ok(())
    }

    fn report(&mut self, _thread: Parts) -> Result<[u64; 3]> {
        Ok(self.borrow().stopped_with)
    }

    fn refuse(&mut self, thread: Parts, error: Error) -> Result<bool> {
        self.borrow_mut().refused.push((thread.place(), error));
        Ok(true)
    }

    fn land(&mut self, _thread: Parts) -> Result<bool> {
        Ok(guarded::landing(self.borrow().context.inner().r8, 0).is_some())
    }

    fn have_call(
        &mut self,
        _thread: Parts,
        at: u64,
        through: u64,
        label: u64,
        words: [u64; 2],
    ) -> Result<UserContext> {
        let mut state = self.borrow_mut();
        state.called.push((at, through, label, words));
        Ok(state.context.clone())
    }

    fn answered(&mut self, _thread: Parts) -> Result<()> {
        self.borrow().answer.map_or(Ok(()), Err)
    }

    fn go_on(&mut self, _thread: Parts, registers: &UserContext) -> Result<()> {
        self.borrow_mut().goes_on.push(registers.clone());
        Ok(())
    }
}

type Factory<'t> = ThreadFactory<&'t RefCell<State>>;

struct Test<'t> {
    bench: Bench<FactoryServer<Factory<'t>, 8, &'t FakeManager>>,
    manager: &'t FakeManager,
}

impl<'t> Test<'t> {
    fn new(state: &'t RefCell<State>, manager: &'t FakeManager) -> Self {
        let client = xos_client::Manager::new(manager);
        let factory = ThreadFactory::new(state);
        Self {
            bench: Bench::new(FactoryServer::new(factory, client, Space::DOMAIN), 8),
            manager,
        }
    }

    fn spawn(&mut self, entry: &Entry) -> Result<IcId> {
        match self
            .bench
            .call(CLIENT, SessionOp::Spawn.label(), &entry.words())
        {
            Came::Answer(told) => told.map(|words| IcId::from_word(words[0])),
            other => panic!("{other:?}"),
        }
    }

    /// A message through the capability that a thread and its creator have in common.
    fn says(&mut self, id: IcId, label: u64, words: &[u64]) -> Came {
        self.bench.call(Who::Handle(id.index()), label, words)
    }

    fn waits(&mut self, id: IcId) -> ExitStatus {
        match self.says(id, HandleOp::Wait.label(), &[]) {
            Came::Answer(Ok(words)) => ExitStatus::from_words(words.try_into().unwrap()).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

fn entry(stack: u16) -> Entry {
    Entry {
        ip: 0x20_1000,
        argument: 77,
        handle: 15,
        stack,
        pager: 0,
    }
}

#[test]
fn a_thread_starts_as_the_convention_says() {
    let (state, manager) = Default::default();
    let mut test = Test::new(&state, &manager);
    let id = test.spawn(&entry(4)).unwrap();
    let asked = manager.asked();
    let ops: Vec<Op> = asked.iter().map(|(op, _)| *op).collect();
    assert_eq!(ops, [Op::CreateWithin]);
    let words: Vec<u64> = [&asked[0].1[..], &[0; 4]].concat();
    let args = CreateWithin::from_words(words[..4].try_into().unwrap()).unwrap();
    assert_eq!((args.host, args.handle, args.pages), (7, 15, 5));
    assert!(args.runs);

    let end = WINDOWS.start + WINDOW;
    assert_eq!(args.window, end - 5 * PAGE);
    let registers = state.borrow().registers[&FIRST_FREE_ROOT];
    let expected = Registers {
        ip: 0x20_1000,
        sp: end - PAGE,
        argument: 77,
        buffer: end - PAGE,
        thread_pointer: end - PAGE + 1024,
    };
    assert_eq!(registers, expected);
    assert_eq!(test.says(id, SelfOp::Exit.label(), &[3]), Came::Nothing);
    assert_eq!(test.waits(id), ExitStatus::Code(3));
}

#[test]
fn a_thread_that_cannot_be_started_is_destroyed() {
    let (state, manager): (RefCell<State>, _) = Default::default();
    let mut test = Test::new(&state, &manager);
    state.borrow_mut().broken = true;
    assert_eq!(test.spawn(&entry(1)), Err(Error::Kernel));
    state.borrow_mut().broken = false;
    assert!(manager.alive().is_empty());
    test.spawn(&entry(1)).unwrap();
}

#[test]
fn a_thread_without_consent_is_refused() {
    let (state, manager) = Default::default();
    let mut test = Test::new(&state, &manager);
    manager.refuse(Op::CreateWithin, Error::NoConsent);
    assert_eq!(test.spawn(&entry(1)), Err(Error::NoConsent));
    assert!(state.borrow().registers.is_empty());
}

#[test]
fn a_thread_is_not_started_twice() {
    let (state, manager) = Default::default();
    let mut test = Test::new(&state, &manager);
    let id = test.spawn(&entry(1)).unwrap();
    let again = test.says(id, HandleOp::Start.label(), &[]);
    assert_eq!(again, Came::Answer(Err(Error::BadState)));
}

#[test]
fn the_fault_of_a_thread_ends_it_and_is_told_who_joins() {
    let (state, manager) = Default::default();
    let mut test = Test::new(&state, &manager);
    let id = test.spawn(&entry(1)).unwrap();
    test.says(id, 5, &[0x20_1000, 0xdead_0000, 0, 6]);
    let kind = FaultKind::Write(0xdead_0000);
    let fault = Fault {
        ip: 0x20_1000,
        kind,
    };
    assert_eq!(test.waits(id), ExitStatus::Fault(fault));
}

/// Where a thread can ask for pages.
const PAGER: u64 = 0x20_2000;
/// Messages of a fault: it wrote to a page that is not there, and an invalid instruction.
const TOUCH: (u64, [u64; 4]) = (5, [0x20_1000, 0xdead_0000, 0, 6]);
const INVALID: (u64, [u64; 5]) = (3, [PAGER + 2, 0, 0, EXCEPTION, 0]);

fn standing_at(ip: u64) -> UserContext {
    let mut context = UserContext::default();
    context.inner_mut().rip = ip;
    context
}

#[test]
fn a_thread_asks_for_the_page_that_it_touched_and_goes_on_where_it_was() {
    let (state, manager): (RefCell<State>, _) = Default::default();
    let mut test = Test::new(&state, &manager);
    let pager = PAGER;
    let id = test.spawn(&Entry { pager, ..entry(1) }).unwrap();
    for _ in 0..2 {
        state.borrow_mut().context = standing_at(0x20_1000);
        assert_eq!(test.says(id, TOUCH.0, &TOUCH.1), Came::Nothing);
        let asked = (
            PAGER,
            leaf(ic::ITSELF),
            SelfOp::Touch.label(),
            [0xdead_0000, 6],
        );
        assert_eq!(state.borrow_mut().called.pop(), Some(asked));
        state.borrow_mut().context = standing_at(PAGER + 2);
        assert_eq!(test.says(id, INVALID.0, &INVALID.1), Came::Nothing);
        let at = state.borrow_mut().goes_on.pop();
        assert_eq!(at, Some(standing_at(0x20_1000)));
    }
}

#[test]
fn a_thread_that_is_given_no_page_ends_by_the_fault_that_it_made() {
    let kind = FaultKind::Write(0xdead_0000);
    let ip = 0x20_1000;
    let ended = ExitStatus::Fault(Fault { ip, kind });
    // It is told so, there is nobody to ask, or it does something else instead.
    for (label, words) in [(3, &INVALID.1[..]), (1, &[PAGER, 256, 0]), (5, &TOUCH.1)] {
        let (state, manager): (RefCell<State>, _) = Default::default();
        let mut test = Test::new(&state, &manager);
        state.borrow_mut().answer = Some(Error::BadAddress);
        let pager = PAGER;
        let id = test.spawn(&Entry { pager, ..entry(1) }).unwrap();
        test.says(id, TOUCH.0, &TOUCH.1);
        test.says(id, label, words);
        assert_eq!(test.waits(id), ended);
        assert!(state.borrow().goes_on.is_empty());
    }
}

#[test]
fn a_guarded_copy_of_a_threads_goes_on_when_there_is_no_page() {
    let (state, manager): (RefCell<State>, _) = Default::default();
    let mut test = Test::new(&state, &manager);
    let pager = PAGER;
    let mut copying = standing_at(0x20_1000);
    (copying.inner_mut().r8, copying.inner_mut().r9) = (guarded::MAGIC, 0x20_1234);
    state.borrow_mut().context = copying;
    state.borrow_mut().answer = Some(Error::BadAddress);
    let id = test.spawn(&Entry { pager, ..entry(1) }).unwrap();
    test.says(id, TOUCH.0, &TOUCH.1);
    test.says(id, INVALID.0, &INVALID.1);
    let at = state.borrow_mut().goes_on.pop().unwrap();
    assert_eq!(at.inner().rip, 0x20_1234);
    // And one that cannot ask.
    let id = test.spawn(&entry(1)).unwrap();
    assert_eq!(test.says(id, TOUCH.0, &TOUCH.1), Came::Nothing);
    assert_eq!(test.says(id, SelfOp::Exit.label(), &[3]), Came::Nothing);
    assert_eq!(test.waits(id), ExitStatus::Code(3));
}

#[test]
fn a_panic_is_told_from_an_invalid_instruction() {
    let (state, manager): (RefCell<State>, _) = Default::default();
    let mut test = Test::new(&state, &manager);
    for (rax, kind) in [(MAGIC, FaultKind::Panic), (0, FaultKind::Exception(6))] {
        let id = test.spawn(&entry(1)).unwrap();
        state.borrow_mut().stopped_with = [rax, 0, 0];
        test.says(id, 3, &[0x20_1000, 0, 0, 6, 0]);
        let fault = Fault {
            ip: 0x20_1000,
            kind,
        };
        assert_eq!(test.waits(id), ExitStatus::Fault(fault));
    }
}

#[test]
fn a_call_through_nothing_is_answered_with_gone() {
    let (state, manager) = Default::default();
    let mut test = Test::new(&state, &manager);
    let id = test.spawn(&entry(1)).unwrap();
    assert_eq!(test.says(id, 1, &[0x20_1000, 99, 0, 2, 64]), Came::Nothing);
    assert_eq!(state.borrow().refused, [(FIRST_FREE_ROOT, Error::Gone)]);
    assert_eq!(test.says(id, 1, &[0x20_1000, 99, 1, 2, 64]), Came::Nothing);
    let kind = FaultKind::Capability(99);
    let fault = Fault {
        ip: 0x20_1000,
        kind,
    };
    assert_eq!(test.waits(id), ExitStatus::Fault(fault));
}

#[test]
fn threads_are_made_of_entries_and_not_of_images() {
    let (state, manager) = Default::default();
    let mut test = Test::new(&state, &manager);
    let spec = xos_protocol::factory::Spec::default();
    let mut message = vec![0; 121];
    message[0] = 15;
    let used = xos_protocol::wire::encode(&spec, &mut message[1..]).unwrap();
    let label = SessionOp::Create.label();
    let told = test.bench.call(CLIENT, label, &message[..1 + used]);
    assert_eq!(told, Came::Answer(Err(Error::NotSupported)));
    assert!(test.manager.alive().is_empty());
}

proptest! {
    #[test]
    fn windows_are_apart_and_have_a_hole_below(place in FIRST_FREE_ROOT..FIRST_FREE_ROOT + MAX_THREADS as u32, stack in 1u16..=509) {
        let window = Window::new(place, stack).unwrap();
        let number = u64::from(place - FIRST_FREE_ROOT);
        let piece = WINDOWS.start + number * WINDOW..WINDOWS.start + (number + 1) * WINDOW;
        let end = window.start + u64::from(window.pages) * PAGE;
        prop_assert!(piece.end <= WINDOWS.end);
        prop_assert!(window.start > piece.start && end == piece.end);
        prop_assert_eq!(window.buffer() + PAGE, end);
        // What the manager checks.
        let args = CreateWithin {
            host: 1,
            place,
            handle: 1,
            window: window.start,
            pages: window.pages,
            memory: 0,
            parts_radix: 1,
            runs: false,
        };
        prop_assert_eq!(CreateWithin::from_words(args.words()), Ok(args));
    }

    #[test]
    fn no_message_harms_the_factory(
        messages in proptest::collection::vec((prop_oneof![0u64..8, 0x200u64..0x224], proptest::collection::vec(any::<u64>(), 0..20)), 0..20)
    ) {
        let (state, manager) = Default::default();
        let mut test = Test::new(&state, &manager);
        let id = test.spawn(&entry(1)).unwrap();
        for (label, words) in messages {
            if label != HandleOp::Wait.label() {
                test.says(id, label, &words);
                test.bench.call(CLIENT, label, &words);
            }
        }
        test.says(id, HandleOp::Kill.label(), &[]);
        test.waits(id);
        prop_assert!(!manager.alive().contains(&id));
    }
}
