// SPDX-License-Identifier: BSD-2-Clause
//! The factory as a whole, on a model of kernel and manager.

use std::cell::RefCell;
use std::vec;
use std::vec::Vec;

use process_factory::files::Files;
use process_factory::kernel::{At, Outcome};
use process_factory::model::{Model, World};
use process_factory::program::Program;
use proptest::prelude::*;
use xos_client::Manager;
use xos_protocol::factory::{HandleOp, SessionOp, Spec};
use xos_protocol::manager::{PAGE, Payer, RegionCreate};
use xos_protocol::slots::domain::FIRST_FREE_ROOT;
use xos_protocol::virtine::{
    Answer, Ask, BUFFER, HEAP, HEAP_END, Hypercall, MAX_PAGES, PLAN, Plan, Put, SAVED, STACK_END,
    TRAMPOLINE,
};
use xos_protocol::wire::{self, MAX_WORDS};
use xos_protocol::{Error, ExitStatus, IcId, Result, Who};
use xos_server::Space;
use xos_server::factory::FactoryServer;
use xos_server::fake::{Bench, Came};

use crate::factory::{MAX_VIRTINES, ROOT_SLOTS_OF_PROGRAM, VirtineFactory};
use crate::kernel::Kernel;
use crate::memory::{Numbers, Shape};

const CLIENT: Who = Who::Session(7);
const PLACE: u32 = FIRST_FREE_ROOT;
const ENTRY: u64 = 0x20_0100;
const FUNCTION: u64 = 0x20_0200;
/// The page of the test image's variables that has values, and the first of those that are zero.
const FILLED: u64 = 0x20_3000;
const ZERO: u64 = 0x20_4000;

/// A program header: type, flags, offset, address, bytes in the file, bytes in memory.
type Header = (u32, u32, u64, u64, u64, u64);
const TEXT: Header = (1, 5, 0, 0x20_0000, 0x1234, 0x1234);
const DATA: Header = (1, 6, 0x1800, 0x20_3800, 0x100, 0x5000);

/// An image of two pages (ELF-64 Object File Format, version 1.5).
fn image(headers: &[Header]) -> Vec<u8> {
    let mut file = vec![0u8; 0x2000];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
    for (at, half) in [
        (16, 2u16),
        (18, 62),
        (52, 64),
        (54, 56),
        (56, headers.len() as u16),
        (58, 64),
    ] {
        put(at, &half.to_le_bytes());
    }
    put(20, &1u32.to_le_bytes());
    put(24, &ENTRY.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    for (i, (kind, flags, offset, address, bytes, memory)) in headers.iter().enumerate() {
        let at = 64 + 56 * i;
        put(at, &kind.to_le_bytes());
        put(at + 4, &flags.to_le_bytes());
        let align = if *kind == 7 { 8 } else { PAGE };
        for (j, word) in [offset, address, address, bytes, memory, &align]
            .into_iter()
            .enumerate()
        {
            put(at + 8 + 8 * j, &word.to_le_bytes());
        }
    }
    file
}

fn program(headers: &[Header]) -> Program {
    Program::parse(&image(headers)).unwrap()
}

/// What a virtine was told to begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Begun {
    entry: u64,
    pages: u128,
    now: bool,
}

/// The model, with what virtines need beside processes.
struct Machine<'w> {
    model: Model<'w>,
    plans: Vec<Plan>,
    begun: Vec<Begun>,
    stopped: u32,
    alarms: u32,
}

impl<'w> Kernel for Machine<'w> {
    type Composing = Model<'w>;

    fn composing(&mut self) -> &mut Model<'w> {
        &mut self.model
    }

    fn protect(&mut self, frame: At, parts: u32, writable: bool) -> Outcome {
        self.model.0.borrow_mut().protect(frame, parts, writable)
    }

    fn revoke(&mut self, untyped: At) -> Outcome {
        self.model.0.borrow_mut().revoke(untyped)
    }

    fn begin(&mut self, parts: u32, pages: u128, now: bool) -> Outcome {
        let plan = &self.plans[(parts - PLACE) as usize];
        let world = self.model.0.borrow();
        for number in (0..MAX_PAGES).filter(|number| pages & 1 << number != 0) {
            let (page, put) = (plan.pages[number] & !(PAGE - 1), plan.pages[number] & 3);
            // What the trampoline is to do, it can do.
            let (to, from) = match put {
                put if put == Put::Zero as u64 => (page, None),
                put if put == Put::Back as u64 => (page, Some(page + SAVED)),
                _ => (page + SAVED, Some(page)),
            };
            assert_eq!(world.is_writable(parts, to), Some(true), "{to:x}");
            if let Some(from) = from {
                assert!(world.is_writable(parts, from).is_some(), "{from:x}");
            }
        }
        self.begun.push(Begun {
            entry: plan.entry,
            pages,
            now,
        });
        Ok(())
    }

    fn stop(&mut self, _parts: u32) -> Outcome {
        self.stopped += 1;
        Ok(())
    }

    fn plan(&mut self, index: usize) -> &mut Plan {
        &mut self.plans[index]
    }

    fn plan_frame(&self, index: usize) -> At {
        At {
            node: ROOT_SLOTS_OF_PROGRAM[2],
            index: index as u32,
        }
    }

    fn trampoline_frame(&self) -> At {
        At {
            node: ROOT_SLOTS_OF_PROGRAM[3],
            index: 0,
        }
    }

    fn alarm(&mut self) -> Result<()> {
        self.alarms += 1;
        Ok(())
    }
}

type Server<'w> =
    FactoryServer<VirtineFactory<'w, Machine<'w>, Model<'w>>, MAX_VIRTINES, Model<'w>>;

struct Test<'w> {
    bench: Box<Bench<Server<'w>>>,
}

fn files(images: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in images {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

impl<'w> Test<'w> {
    fn new(world: &'w RefCell<World>, files: &'w [u8]) -> Self {
        let manager = Manager::new(Model(world));
        for (pages, place) in [
            (MAX_VIRTINES as u32, ROOT_SLOTS_OF_PROGRAM[2]),
            (1, ROOT_SLOTS_OF_PROGRAM[3]),
        ] {
            let region = RegionCreate {
                payer: Payer::Myself,
                pages,
                large: false,
                place,
            };
            manager.region_create(&region).unwrap();
        }
        let machine = Machine {
            model: Model(world),
            plans: vec![Plan::EMPTY; MAX_VIRTINES],
            begun: Vec::new(),
            stopped: 0,
            alarms: 0,
        };
        let mut factory = VirtineFactory::new(machine, manager);
        factory.set_files(Files::new(files).unwrap());
        let server = FactoryServer::new(factory, manager, Space::DOMAIN);
        Self {
            bench: Box::new(Bench::new(server, 16)),
        }
    }

    fn machine(&mut self) -> &mut Machine<'w> {
        self.bench.server.factory().kernel()
    }

    fn begun(&mut self) -> Vec<Begun> {
        core::mem::take(&mut self.machine().begun)
    }

    fn create(&mut self, spec: &Spec<'_>) -> Result<IcId> {
        let mut message = [0; MAX_WORDS];
        message[0] = 20;
        let used = wire::encode(spec, &mut message[1..]).unwrap();
        match self
            .bench
            .call(CLIENT, SessionOp::Create.label(), &message[..1 + used])
        {
            Came::Answer(told) => told.map(|words| IcId::from_word(words[0])),
            other => panic!("{other:?}"),
        }
    }

    fn asks(&mut self, id: IcId, op: HandleOp, words: &[u64]) -> Came {
        self.bench.call(Who::Handle(id.index()), op.label(), words)
    }

    fn says(&mut self, id: IcId, what: Hypercall, words: &[u64]) -> Came {
        self.bench
            .call(Who::Itself(id.index()), what.label(), words)
    }

    fn writes(&mut self, id: IcId, address: u64) -> Came {
        self.bench
            .call(Who::Itself(id.index()), 5, &[ENTRY, address, 0, 7])
    }

    fn calls(&mut self, id: IcId, words: &[u64]) -> Came {
        let ask = Ask::Call {
            granted: 1 << 3,
            limit: 25,
            long: false,
        };
        let mut message = vec![8 + 8 * words.len() as u64, ask.word()];
        message.extend(words);
        self.asks(id, HandleOp::Invoke, &message)
    }

    fn answers(&mut self, id: IcId, words: &[u64]) -> Came {
        let mut message = vec![8 + 8 * words.len() as u64, Ask::Answer.word()];
        message.extend(words);
        self.asks(id, HandleOp::Invoke, &message)
    }

    /// One that has been prepared, writing to these pages meanwhile.
    fn ready(&mut self, writes: &[u64]) -> IcId {
        let id = self.create(&spec("f")).unwrap();
        assert_eq!(
            self.asks(id, HandleOp::Start, &[]),
            Came::Answer(Ok(vec![]))
        );
        assert_eq!(self.says(id, Hypercall::Restored, &[]), Came::Nothing);
        for address in writes {
            assert_eq!(
                self.writes(id, *address),
                Came::Answer(Ok(vec![])),
                "{address:x}"
            );
        }
        assert_eq!(self.says(id, Hypercall::Ready, &[FUNCTION]), Came::Nothing);
        if writes
            .iter()
            .any(|address| !(BUFFER..STACK_END).contains(address))
        {
            assert_eq!(self.says(id, Hypercall::Restored, &[]), Came::Nothing);
        }
        self.begun();
        id
    }

    /// A whole call that writes to these pages: which pages it put back.
    fn call(&mut self, id: IcId, writes: &[u64]) -> u128 {
        self.begun();
        let Came::Kept(slot) = self.calls(id, &[1, 2]) else {
            panic!("not kept");
        };
        let begun = self.begun();
        assert_eq!(begun.len(), 1);
        assert_eq!((begun[0].entry, begun[0].now), (FUNCTION, true));
        for address in writes {
            assert_eq!(
                self.writes(id, *address),
                Came::Answer(Ok(vec![])),
                "{address:x}"
            );
        }
        assert_eq!(self.says(id, Hypercall::Return, &[8, 99]), Came::Nothing);
        let told = vec![16, Answer::Returned.word(), 99];
        assert_eq!(self.bench.answers(), [(slot, Ok(told))]);
        begun[0].pages
    }
}

fn spec(image: &str) -> Spec<'_> {
    Spec {
        image,
        ..Spec::default()
    }
}

fn number(address: u64) -> u128 {
    let number = Numbers::new(16).of(&program(&[TEXT, DATA]), address);
    1 << number.unwrap()
}

macro_rules! test {
    ($world:ident, $test:ident) => {
        let file = image(&[TEXT, DATA]);
        let files = files(&[("bin/f", &file), ("bin/text", b"no image")]);
        let $world = World::new();
        #[allow(unused_mut)]
        let mut $test = Test::new(&$world, &files);
    };
}

#[test]
fn an_image_is_filled_prepared_and_saved_before_its_first_call() {
    test!(world, test);
    let id = test.create(&spec("f")).unwrap();
    assert_eq!(
        test.asks(id, HandleOp::Start, &[]),
        Came::Answer(Ok(vec![]))
    );
    // The one page with values, while it can be written.
    let filled = number(FILLED);
    let begun = Begun {
        entry: 0,
        pages: filled,
        now: false,
    };
    assert_eq!(test.begun(), [begun]);
    assert!(world.borrow().spaces[&PLACE].running);

    assert_eq!(test.says(id, Hypercall::Restored, &[]), Came::Nothing);
    assert_eq!(
        test.begun(),
        [Begun {
            entry: ENTRY,
            pages: 0,
            now: true
        }]
    );
    assert_eq!(world.borrow().is_writable(PLACE, FILLED), Some(false));

    for address in [FILLED + 8, STACK_END - 8, HEAP, ZERO] {
        assert_eq!(test.writes(id, address), Came::Answer(Ok(vec![])));
    }
    assert_eq!(test.says(id, Hypercall::Ready, &[FUNCTION]), Came::Nothing);
    // What is on the stack is nobody's.
    let saved = filled | number(HEAP) | number(ZERO);
    assert_eq!(
        test.begun(),
        [Begun {
            entry: 0,
            pages: saved,
            now: true
        }]
    );

    assert_eq!(test.says(id, Hypercall::Restored, &[]), Came::Nothing);
    for address in [
        FILLED,
        HEAP,
        ZERO,
        FILLED + SAVED,
        HEAP + SAVED,
        PLAN,
        TRAMPOLINE,
    ] {
        assert_eq!(
            world.borrow().is_writable(PLACE, address),
            Some(false),
            "{address:x}"
        );
    }
    assert_eq!(test.begun(), []);
    // The stack alone is put back, before anything else is written.
    assert_eq!(test.call(id, &[]), number(STACK_END - 8));
}

#[test]
fn what_a_call_writes_is_put_back_before_all_that_follow() {
    test!(world, test);
    let id = test.ready(&[]);
    assert_eq!(test.call(id, &[FILLED, HEAP + PAGE]), 0);
    let both = number(FILLED) | number(HEAP + PAGE);
    assert_eq!(test.call(id, &[BUFFER]), both);
    assert_eq!(test.call(id, &[]), both | number(BUFFER));
    let plan = &test.machine().plans[0];
    let of = |page: u64| {
        plan.pages
            .iter()
            .find(|entry| **entry & !0xfff == page)
            .unwrap()
            & 3
    };
    assert_eq!(of(FILLED), Put::Back as u64);
    assert_eq!(of(HEAP + PAGE), Put::Zero as u64);
}

#[test]
fn what_is_too_much_to_be_put_back_is_given_back() {
    test!(world, test);
    let id = test.ready(&[]);
    let pages: Vec<u64> = (0..180).map(|page| HEAP + page * PAGE).collect();
    for _ in 0..3 {
        let back = test.call(id, &pages);
        assert!(back.count_ones() <= 64, "{back:b}");
        // Of the last page nothing is left when the call has ended.
        assert_eq!(world.borrow().is_writable(PLACE, pages[179]), None);
    }
}

#[test]
fn a_call_that_touches_more_than_its_quota_ends() {
    test!(_world, test);
    let id = test.ready(&[]);
    let Came::Kept(slot) = test.calls(id, &[]) else {
        panic!("not kept");
    };
    let mut page = HEAP;
    while test.writes(id, page) == Came::Answer(Ok(vec![])) {
        page += PAGE;
        assert!(page < HEAP + 1000 * PAGE);
    }
    let told = vec![8, Answer::OutOfMemory.word()];
    assert_eq!(test.bench.answers(), [(slot, Ok(told))]);
    test.call(id, &[HEAP]);
}

#[test]
fn addresses_that_are_not_its_own_are_no_memory() {
    test!(_world, test);
    for address in [
        0,
        0x20_0000,
        0x20_9000,
        PLAN,
        TRAMPOLINE,
        STACK_END,
        STACK_END - 17 * PAGE,
        HEAP_END,
        HEAP + SAVED,
        u64::MAX,
    ] {
        let id = test.ready(&[]);
        let Came::Kept(slot) = test.calls(id, &[]) else {
            panic!("not kept");
        };
        assert_eq!(test.writes(id, address), Came::Nothing);
        let answers = test.bench.answers();
        assert!(
            matches!(&answers[..], [(at, Ok(words))] if *at == slot && words[1] == Answer::Crashed.word()),
            "{address:x}"
        );
        test.call(id, &[]);
    }
}

#[test]
fn a_hypercall_goes_to_the_client_and_its_answer_back_if_it_is_granted() {
    test!(_world, test);
    let id = test.ready(&[]);
    let Came::Kept(first) = test.calls(id, &[]) else {
        panic!("not kept");
    };
    let Came::Kept(virtine) = test.says(id, Hypercall::Ask, &[8 | 3 << 32, 5]) else {
        panic!("not kept");
    };
    assert_eq!(
        test.bench.answers(),
        [(first, Ok(vec![16, Answer::Asks(3).word(), 5]))]
    );
    // While it waits it can be called by nobody else.
    assert_eq!(test.calls(id, &[]), Came::Answer(Err(Error::BadState)));
    // A long answer is written to the buffer, which has to be put back therefore.
    let Came::Kept(second) = test.answers(id, &[1, 2, 3, 4, 5]) else {
        panic!("not kept");
    };
    assert_eq!(
        test.bench.answers(),
        [(virtine, Ok(vec![40, 1, 2, 3, 4, 5]))]
    );
    assert_eq!(
        test.says(id, Hypercall::Ask, &[8 | 4 << 32, 5]),
        Came::Nothing
    );
    let told = vec![8, Answer::NotGranted(4).word()];
    assert_eq!(test.bench.answers(), [(second, Ok(told))]);
    assert_eq!(test.call(id, &[]), number(BUFFER));
}

#[test]
fn time_passes_while_it_runs_and_ends_the_call() {
    test!(_world, test);
    let id = test.ready(&[]);
    let Came::Kept(slot) = test.calls(id, &[]) else {
        panic!("not kept");
    };
    for _ in 0..4 {
        test.bench.notify(4);
        assert_eq!(test.bench.answers(), []);
    }
    test.bench.notify(4);
    let told = vec![8, Answer::OutOfTime.word()];
    assert_eq!(test.bench.answers(), [(slot, Ok(told))]);
    assert_eq!(test.machine().stopped, 1);
    // Nothing runs: the last tick is not followed by another.
    let alarms = test.machine().alarms;
    test.bench.notify(4);
    assert_eq!(test.machine().alarms, alarms);
    test.call(id, &[]);
    assert_eq!(test.machine().alarms, alarms + 1);
}

#[test]
fn an_image_that_is_not_ready_in_time_fails_every_call() {
    test!(_world, test);
    let id = test.create(&spec("f")).unwrap();
    test.asks(id, HandleOp::Start, &[]);
    let Came::Kept(slot) = test.calls(id, &[]) else {
        panic!("not kept");
    };
    (0..200).for_each(|_| test.bench.notify(4));
    let told = vec![8, Answer::OutOfTime.word()];
    assert_eq!(test.bench.answers(), [(slot, Ok(told.clone()))]);
    assert_eq!(test.calls(id, &[]), Came::Answer(Ok(told)));
}

#[test]
fn nothing_of_a_long_argument_is_left_behind_a_short_one() {
    test!(_world, test);
    let id = test.ready(&[]);
    let lengths = [100, 3, 118, 0, 7];
    for length in lengths {
        let words = vec![u64::MAX; length];
        let bytes = 8 + (8 * length as u64).saturating_sub(3);
        let ask = Ask::Call {
            granted: 0,
            limit: 0,
            long: false,
        };
        let mut message = vec![bytes, ask.word()];
        message.extend(words);
        assert!(matches!(
            test.asks(id, HandleOp::Invoke, &message),
            Came::Kept(_)
        ));
        let plan = &test.machine().plans[0];
        assert_eq!(plan.length, bytes - 8);
        let (argument, rest) = plan.argument.split_at(bytes as usize - 8);
        assert!(
            argument.iter().all(|byte| *byte == 0xff) && rest.iter().all(|byte| *byte == 0),
            "{length}"
        );
        test.says(id, Hypercall::Return, &[0]);
    }
}

#[test]
fn who_calls_one_that_dies_is_told() {
    test!(world, test);
    let id = test.ready(&[]);
    let Came::Kept(slot) = test.calls(id, &[]) else {
        panic!("not kept");
    };
    world.borrow_mut().kill(id);
    test.bench.notify(1);
    assert_eq!(test.bench.answers(), [(slot, Err(Error::Gone))]);
    assert_eq!(test.bench.kept(), 0);
}

#[test]
fn a_crash_before_the_first_call_ends_it() {
    test!(_world, test);
    let id = test.create(&spec("f")).unwrap();
    test.asks(id, HandleOp::Start, &[]);
    test.says(id, Hypercall::Restored, &[]);
    let Came::Kept(slot) = test.calls(id, &[]) else {
        panic!("not kept");
    };
    assert_eq!(test.writes(id, 0), Came::Nothing);
    let answers = test.bench.answers();
    assert!(
        matches!(&answers[..], [(at, Ok(words))] if *at == slot && words[1] == Answer::Crashed.word())
    );
    let Came::Answer(Ok(words)) = test.asks(id, HandleOp::Wait, &[]) else {
        panic!("no status");
    };
    assert!(matches!(
        ExitStatus::from_words(words.try_into().unwrap()),
        Some(ExitStatus::Fault(_))
    ));
}

#[test]
fn a_refusal_at_any_entry_is_an_error_and_leaves_nothing() {
    test!(world, test);
    let places = world.borrow().places();
    let mut after = 0;
    loop {
        world.borrow_mut().refuse_after = Some(after);
        let made = test.create(&spec("f"));
        let all = world.borrow_mut().refuse_after.take().is_some();
        if let Ok(id) = made {
            test.asks(id, HandleOp::Kill, &[]);
            test.asks(id, HandleOp::Wait, &[]);
        }
        // The image's pages stay, in a node of their own.
        assert!(world.borrow().places() <= places + 1, "after {after}");
        assert_eq!(world.borrow().alive(), 0);
        if all {
            break;
        }
        after += 1;
    }
    assert!(after > 15);
}

#[test]
fn images_and_specifications_that_cannot_be_are_refused() {
    test!(_world, test);
    assert_eq!(test.create(&spec("text")), Err(Error::BadImage));
    assert_eq!(test.create(&spec("nothing")), Err(Error::NoImage));
    for bad in [
        Spec {
            arguments: "x\0",
            ..spec("f")
        },
        Spec {
            environment: "A=b\0",
            ..spec("f")
        },
        Spec {
            channels: "c\0",
            ..spec("f")
        },
        Spec {
            composes: true,
            ..spec("f")
        },
        Spec {
            cspace_radix: 5,
            ..spec("f")
        },
        Spec {
            stack: 1 << 20,
            ..spec("f")
        },
    ] {
        assert_eq!(test.create(&bad), Err(Error::Malformed));
    }
    assert_eq!(
        test.create(&Spec {
            memory: 4096,
            ..spec("f")
        }),
        Err(Error::OverBudget)
    );
    let shape = |headers: &[Header]| Shape::new(&program(headers), &Spec::default()).map(drop);
    assert_eq!(shape(&[TEXT, DATA]), Ok(()));
    // In the place of the factory's own pages, with thread-local variables.
    assert_eq!(shape(&[TEXT, (1, 6, 0, PLAN, 0, 1)]), Err(Error::BadImage));
    assert_eq!(
        shape(&[TEXT, DATA, (7, 4, 0x1800, 0x20_3800, 8, 8)]),
        Err(Error::BadImage)
    );
    // Zero pages may be as many as there are addresses.
    assert_eq!(shape(&[TEXT, (1, 6, 0, 0x30_0000, 0, 0x800_0000)]), Ok(()));
}

proptest! {
    #[test]
    fn numbers_and_addresses_are_one_to_one(stack in 1u64..120, pages in 1u64..400) {
        let program = program(&[TEXT, (1, 6, 0, 0x30_0000, 0, pages * PAGE)]);
        let numbers = Numbers::new(stack);
        for number in 0..MAX_PAGES {
            let address = numbers.address(&program, number);
            prop_assert_eq!(numbers.of(&program, address + 5), Some(number as u64));
        }
    }

    /// Whatever virtine and client say: every caller is answered at most once, and when all has ended nothing
    /// is left.
    #[test]
    fn any_messages_leave_nothing(
        steps in proptest::collection::vec((0u8..9, any::<u64>(), any::<prop::sample::Index>(), proptest::collection::vec(any::<u64>(), 0..7)), 1..60)
    ) {
        test!(world, test);
        let places = world.borrow().places();
        let mut all = vec![test.ready(&[]), test.create(&spec("f")).unwrap()];
        test.asks(all[1], HandleOp::Start, &[]);
        for (deed, word, which, words) in steps {
            let id = all[which.index(all.len())];
            let _ = match deed {
                0 => test.calls(id, &words),
                1 => test.answers(id, &words),
                2 => test.says(id, Hypercall::Return, &words),
                3 => {
                    let mut message = vec![(word & 0x3ff) | (word >> 60) << 32];
                    message.extend(words);
                    test.says(id, Hypercall::Ask, &message)
                }
                4 => test.says(id, [Hypercall::Restored, Hypercall::Ready][which.index(2)], &words),
                5 => test.writes(id, [FILLED, ZERO, HEAP, STACK_END - 8, BUFFER, word & 0x3fff_ffff][which.index(6)] ^ (word & 0x3f000)),
                6 => test.bench.call(Who::Itself(id.index()), word & 0x2ff, &words),
                7 => test.asks(id, HandleOp::Invoke, &words),
                _ => {
                    test.bench.notify(4);
                    Came::Nothing
                }
            };
            test.bench.answers();
        }
        for id in all.drain(..) {
            test.asks(id, HandleOp::Kill, &[]);
            test.asks(id, HandleOp::Wait, &[]);
        }
        prop_assert_eq!(world.borrow().alive(), 0);
        prop_assert_eq!(test.bench.kept(), 0);
        prop_assert_eq!(world.borrow().places(), places + 1);
    }
}
