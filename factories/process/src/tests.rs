// SPDX-License-Identifier: BSD-2-Clause
//! The factory as a whole, on a model of kernel and manager.

mod clones;

use std::boxed::Box;
use std::cell::RefCell;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use elf::abi;
use proptest::prelude::*;
use xos_client::Manager;
use xos_protocol::factory::{HandleOp, SelfOp, SessionOp, Spec};
use xos_protocol::ic::FaultKind;
use xos_protocol::manager::PAGE;
use xos_protocol::slots::domain::FIRST_FREE_ROOT;
use xos_protocol::start::{StartInfo, TLS_BYTES};
use xos_protocol::wire::{self, MAX_WORDS};
use xos_protocol::{Error, ExitStatus, IcId, Who};
use xos_runtime::panic_report::MAGIC;
use xos_server::Space;
use xos_server::factory::FactoryServer;
use xos_server::fake::{Bench, Came};

use crate::arena::{NODE_SLOTS, Nodes};
use crate::factory::{FIRST_NODE, ProcessFactory};
use crate::files::Files;
use crate::files::tests::archive;
use crate::images::MAX_IMAGES;
use crate::layout::{EAGER_ZERO_PAGES, Layout};
use crate::model::{Model, World};
use crate::pages::{Books, Pages};
use crate::program::Program;
use crate::program::tests::{DATA, Header, TEXT, VARIABLES, image, image_of};

const CLIENT: Who = Who::Session(7);
/// Root slot of the first process's parts node.
const PLACE: u32 = FIRST_FREE_ROOT;
const ENTRY: u64 = 0x20_0100;
/// Bits of the processor's error code: user mode, and what was tried.
const READ: u64 = 4;
const WRITE: u64 = 6;
const PRESENT: u64 = 1;

type Factory<'w> = FactoryServer<ProcessFactory<'w, Model<'w>, Model<'w>>, 16, Model<'w>>;

struct Test<'w> {
    world: &'w RefCell<World>,
    bench: Bench<Factory<'w>>,
}

impl<'w> Test<'w> {
    fn new(world: &'w RefCell<World>, files: &'w [u8]) -> Self {
        let manager = Manager::new(Model(world));
        let mut factory = ProcessFactory::new(Model(world), manager);
        factory.set_files(Files::new(files).unwrap());
        let books = Box::leak(Box::new(Books::<16, 64, 16>::new()));
        factory.set_pages(books.open(FIRST_NODE));
        let server = FactoryServer::new(factory, manager, Space::DOMAIN);
        Self {
            world,
            bench: Bench::new(server, 8),
        }
    }

    fn create(&mut self, spec: &Spec<'_>) -> Result<IcId, Error> {
        self.create_by(CLIENT, spec)
    }

    fn create_by(&mut self, client: Who, spec: &Spec<'_>) -> Result<IcId, Error> {
        let mut message = [0; MAX_WORDS];
        message[0] = 20;
        let used = wire::encode(spec, &mut message[1..]).unwrap();
        let label = SessionOp::Create.label();
        match self.bench.call(client, label, &message[..1 + used]) {
            Came::Answer(told) => told.map(|words| IcId::from_word(words[0])),
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, id: IcId, op: HandleOp) -> Came {
        self.bench.call(Who::Handle(id.index()), op.label(), &[])
    }

    fn started(&mut self, spec: &Spec<'_>) -> IcId {
        let id = self.create(spec).unwrap();
        assert_eq!(self.ask(id, HandleOp::Start), Came::Answer(Ok(vec![])));
        id
    }

    /// What comes of a message with the process's own badge.
    fn says(&mut self, id: IcId, label: u64, words: &[u64]) -> Came {
        self.bench.call(Who::Itself(id.index()), label, words)
    }

    /// The process touches an address whose page is missing: whether it goes on.
    fn touches(&mut self, id: IcId, address: u64) -> bool {
        self.faults(id, address, WRITE)
    }

    /// The processor does not let the process do something at an address: whether it goes on.
    fn faults(&mut self, id: IcId, address: u64, code: u64) -> bool {
        match self.says(id, 5, &[ENTRY, address, 0, code]) {
            Came::Answer(told) => told == Ok(vec![]),
            Came::Nothing => false,
            other => panic!("{other:?}"),
        }
    }

    fn waits(&mut self, id: IcId) -> ExitStatus {
        match self.ask(id, HandleOp::Wait) {
            Came::Answer(Ok(words)) => ExitStatus::from_words(words.try_into().unwrap()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn ends(&mut self, id: IcId) {
        self.says(id, SelfOp::Exit.label(), &[0]);
        assert_eq!(self.waits(id), ExitStatus::Code(0));
    }
}

fn spec(image: &str) -> Spec<'_> {
    Spec {
        image,
        ..Spec::default()
    }
}

fn layout_of(file: &[u8]) -> (Program, Layout) {
    let program = Program::parse(file).unwrap();
    let layout = Layout::new(&program, 0).unwrap();
    (program, layout)
}

/// What a byte of an image's address space is at the start, by the ELF format; `None` where nothing is.
fn expected(headers: &[Header], file: &[u8], address: u64) -> Option<u8> {
    headers.iter().find_map(|h| {
        let pages = h.vaddr & !(PAGE - 1)..(h.vaddr + h.memsz).next_multiple_of(PAGE);
        let in_file = h.vaddr..h.vaddr + h.filesz;
        match (pages.contains(&address), in_file.contains(&address)) {
            (false, _) => None,
            (true, false) => Some(0),
            (true, true) => Some(file[(h.offset + address - h.vaddr) as usize]),
        }
    })
}

#[test]
fn a_process_starts_as_the_convention_says() {
    let file = image(&[TEXT, DATA], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let id = test.started(&spec("hello"));
    let (_, layout) = layout_of(&file);
    {
        let world = world.borrow();
        let space = &world.spaces[&PLACE];
        let registers = space.registers.unwrap();
        assert_eq!((registers.ip, registers.sp), (ENTRY, layout.stack_top));
        assert_eq!((registers.info, registers.info_bytes), (0, 0));
        assert_eq!(registers.buffer, layout.ipc_buffer);
        assert_eq!(registers.thread_pointer, layout.ipc_buffer + 1024);
        let execution = space.execution.unwrap();
        assert_eq!((execution.cspace_radix, execution.composes), (5, false));
        assert!(space.running);
        assert!(!space.pages.contains_key(&layout.start_info));
    }
    test.ends(id);
}

#[test]
fn arguments_are_on_the_page_that_the_process_is_told_of() {
    let file = image(&[TEXT], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let id = test.started(&Spec {
        arguments: "hello\0world\0",
        channels: "store\0",
        cspace_radix: 6,
        ..spec("hello")
    });
    let registers = world.borrow().spaces[&PLACE].registers.unwrap();
    let bytes: Vec<u8> = (registers.info..registers.info + registers.info_bytes)
        .map(|at| world.borrow().byte(PLACE, at).unwrap())
        .collect();
    let info = StartInfo::read(&bytes).unwrap();
    assert_eq!(info.arguments, "hello\0world\0");
    assert_eq!((info.channels, info.cspace_radix), ("store\0", 6));
    let told = test.says(id, SelfOp::Arguments.label(), &[]);
    let expected = vec![registers.info, registers.info_bytes];
    assert_eq!(told, Came::Answer(Ok(expected)));
}

#[test]
fn a_program_that_composes_in_a_large_cspace_gets_its_root_in_a_node() {
    let file = image(&[TEXT], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    for (cspace_radix, composes, in_node) in
        [(12, true, true), (12, false, false), (8, true, false)]
    {
        let world = World::new();
        let mut test = Test::new(&world, &files);
        let id = test.started(&Spec {
            cspace_radix,
            composes,
            ..spec("hello")
        });
        let execution = world.borrow().spaces[&PLACE].execution.unwrap();
        assert_eq!(execution.cspace_radix, u32::from(cspace_radix));
        assert_eq!(execution.root_node.is_some(), in_node);
        test.ends(id);
    }
}

#[test]
fn thread_local_variables_lie_before_the_thread_pointer() {
    let file = image(&[TEXT, DATA, VARIABLES], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    Test::new(&world, &files).started(&spec("hello"));
    let world = world.borrow();
    let registers = world.spaces[&PLACE].registers.unwrap();
    let pointer = registers.thread_pointer;
    assert!(registers.sp <= pointer - 0x30 && registers.sp.is_multiple_of(16));
    // VARIABLES: 0x30 bytes, of which 0x10 come from the file, at 0x1800.
    for i in 0..0x30 {
        let byte = if i < 0x10 {
            file[0x1800 + i as usize]
        } else {
            0
        };
        assert_eq!(world.byte(PLACE, pointer - 0x30 + i), Some(byte));
    }
    for i in 0..TLS_BYTES {
        assert_eq!(world.byte(PLACE, pointer + i), Some(0));
    }
}

#[test]
fn instances_share_what_nobody_can_write_and_nothing_else() {
    let file = image(&[TEXT, DATA], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    test.started(&spec("hello"));
    test.started(&spec("bin/hello"));
    let world = world.borrow();
    assert_eq!(world.regions(), 1);
    let [a, b] = [PLACE, PLACE + 1].map(|place| &world.spaces[&place].pages);
    assert_eq!(a.len(), b.len());
    for (address, (frame, writable)) in a {
        assert_eq!(b[address].0 == *frame, !writable);
        assert_eq!(*writable, *address >= DATA.vaddr & !(PAGE - 1));
    }
}

#[test]
fn a_minimal_process_takes_as_many_kernel_entries_as_documented() {
    let minimal = Header {
        filesz: 0x200,
        memsz: 0x200,
        ..TEXT
    };
    let file = image(&[minimal], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let first = test.create(&spec("hello")).unwrap();
    test.ask(first, HandleOp::Kill);
    test.waits(first);

    world.borrow_mut().entries = 0;
    let id = test.create(&spec("hello")).unwrap();
    assert_eq!(core::mem::take(&mut world.borrow_mut().entries), 13);
    // Two pages for the parts, eight asked for; 15 of the stack may come, and one for their slots; three
    // are left of the eight.
    assert_eq!(world.borrow().arena(id), (2 + 8, 2 + 8 + 15 + 1 - 3));
    test.ask(id, HandleOp::Start);
    assert_eq!(core::mem::take(&mut world.borrow_mut().entries), 2);
}

#[test]
fn whatever_the_kernel_refuses_nothing_is_left_of_what_was_half_made() {
    let large = Header {
        memsz: 0x20_0000,
        filesz: 0x20_0000,
        ..TEXT
    };
    let data = Header {
        vaddr: 0x50_0800,
        offset: 0x800,
        ..DATA
    };
    let file = image_of(&[large, data], ENTRY, 0x20_0000);
    let files = archive(&[("bin/large", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let id = test.create(&spec("large")).unwrap();
    test.ask(id, HandleOp::Kill);
    assert_eq!(test.waits(id), ExitStatus::Killed);
    let places = world.borrow().places();
    let mut refused = 0;
    for step in 0.. {
        world.borrow_mut().refuse_after = Some(step);
        let made = test.create(&spec("large"));
        if world.borrow_mut().refuse_after.take().is_some() {
            let id = made.unwrap();
            test.ask(id, HandleOp::Kill);
            test.waits(id);
            break;
        }
        assert_eq!(made, Err(Error::Kernel));
        refused += 1;
        let world = world.borrow();
        assert_eq!((world.alive(), world.places()), (0, places));
    }
    // 512 shared pages to copy and to map, at least.
    assert!(refused > 1024);
}

#[test]
fn pages_come_when_they_are_touched_as_far_as_the_quota_goes() {
    let data = Header {
        filesz: 0,
        memsz: 100 * PAGE,
        ..DATA
    };
    let file = image(&[TEXT, data], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let (program, layout) = layout_of(&file);
    let lazy = layout.lazy_pages(&program);

    let id = test.started(&spec("hello"));
    let first = (DATA.vaddr & !(PAGE - 1)) + EAGER_ZERO_PAGES * PAGE;
    let mut touched = 0;
    for address in (first..layout.stack_top).step_by(PAGE as usize) {
        if layout.is_lazy(&program, address) {
            assert!(test.touches(id, address + 5), "page {touched} of {lazy}");
            assert_eq!(world.borrow().byte(PLACE, address + 5), Some(0));
            touched += 1;
        }
    }
    assert_eq!(touched, lazy);
    let (pages, quota) = world.borrow().arena(id);
    assert!(pages <= quota);
    test.ends(id);
    assert_eq!((world.borrow().alive(), world.borrow().places()), (0, 1));

    let id = test.started(&Spec {
        memory: 40 * PAGE,
        ..spec("hello")
    });
    let last = layout.stack_low;
    let end = (first..)
        .step_by(PAGE as usize)
        .find(|at| !test.touches(id, *at));
    assert!(end.unwrap() < last);
    let kind = FaultKind::Write(end.unwrap());
    let fault = xos_protocol::Fault { ip: ENTRY, kind };
    assert_eq!(test.waits(id), ExitStatus::Fault(fault));
    assert_eq!((world.borrow().alive(), world.borrow().places()), (0, 1));
}

#[test]
fn a_process_that_may_cost_less_than_its_image_takes_is_not_made() {
    let file = image(&[TEXT, DATA], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let spec = Spec {
        memory: 2 * PAGE,
        ..spec("hello")
    };
    assert_eq!(test.create(&spec), Err(Error::OverBudget));
    assert_eq!((world.borrow().alive(), world.borrow().places()), (0, 1));
}

#[test]
fn tables_for_what_is_touched_are_made_on_the_way() {
    let far = Header {
        memsz: 0x1_0000_0000,
        ..DATA
    };
    let file = image(&[TEXT, far], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let id = test.started(&Spec {
        memory: 64 * PAGE,
        ..spec("hello")
    });
    assert!(test.touches(id, DATA.vaddr + 0x8000_0000));
    assert!(test.touches(id, DATA.vaddr + 0x8000_0000 + PAGE));
    assert!(test.touches(id, DATA.vaddr + 0x8040_0000));
}

#[test]
fn a_client_cannot_take_the_nodes_of_others_however_many_sessions_it_has() {
    const NODES: u32 = 48;
    const PAGES: u64 = (NODES * NODE_SLOTS) as u64;
    let large = Header {
        memsz: PAGES * PAGE,
        ..DATA
    };
    let file = image(&[TEXT, large], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    test.bench.server.factory().nodes = Nodes::new(FIRST_NODE, 4096, NODES);
    // Two sessions of the same client's, and one of another's.
    world.borrow_mut().payers = [(7, 7), (8, 7), (9, 9)].into();
    let mut takes = |session| {
        let client = Who::Session(session);
        let id = test.create_by(client, &spec("hello")).unwrap();
        test.ask(id, HandleOp::Start);
        let before = world.borrow().places();
        let first = DATA.vaddr / PAGE + 1 + EAGER_ZERO_PAGES;
        let more = (first..).take_while(|page| test.touches(id, page * PAGE));
        assert!(more.count() < PAGES as usize);
        world.borrow().places() - before
    };
    let [one, again, other] = [7, 8, 9].map(&mut takes);
    assert_eq!([one, again, other], [24, 0, 12]);
}

#[test]
fn a_page_that_is_there_is_not_supplied_again() {
    let file = image(&[TEXT], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let (_, layout) = layout_of(&file);
    let id = test.started(&spec("hello"));
    assert!(test.touches(id, layout.stack_low));
    let before = (world.borrow().arena(id), world.borrow().frames());
    // A process can make up such a message, and several executions within it can touch a page at once.
    assert!(test.touches(id, layout.stack_low));
    assert_eq!(before, (world.borrow().arena(id), world.borrow().frames()));
}

#[test]
fn an_execution_within_a_process_gets_the_pages_that_the_process_would() {
    let file = image(&[TEXT, DATA], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let (_, layout) = layout_of(&file);
    let id = test.started(&spec("hello"));
    let told = test.says(id, SelfOp::Touch.label(), &[layout.stack_low + 8, WRITE]);
    assert_eq!(told, Came::Answer(Ok(vec![])));
    assert_eq!(world.borrow().byte(PLACE, layout.stack_low), Some(0));
    for (address, code) in [
        (0, READ),
        (TEXT.vaddr, WRITE),
        (layout.stack_low - 1, WRITE),
    ] {
        let told = test.says(id, SelfOp::Touch.label(), &[address, code]);
        assert_eq!(told, Came::Answer(Err(Error::BadAddress)), "{address:#x}");
    }
    // It is asked, and does not end over it.
    test.ends(id);
}

#[test]
fn code_whose_mapping_was_lost_is_mapped_again() {
    let file = image(&[TEXT, DATA], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let id = test.started(&spec("hello"));
    let page = TEXT.vaddr;
    for lost in [true, false] {
        if lost {
            let space = &mut *world.borrow_mut();
            let pages = &mut space.spaces.get_mut(&PLACE).unwrap().pages;
            assert!(pages.remove(&page).is_some());
        }
        // If nothing was lost, the message is made up: it changes nothing.
        assert!(test.faults(id, page + 0x100, READ));
        assert_eq!(world.borrow().byte(PLACE, ENTRY), Some(file[0x100]));
        assert_eq!(world.borrow().is_writable(PLACE, page), Some(false));
    }
    test.ends(id);
}

#[test]
fn a_process_that_copies_what_is_not_there_goes_on() {
    let file = image(&[TEXT], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let id = test.started(&spec("hello"));
    world.borrow_mut().lands = true;
    test.faults(id, 0xdead_0000, READ);
    test.ends(id);
}

#[test]
fn what_a_process_may_not_touch_ends_it() {
    let file = image(&[TEXT, DATA], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let (_, layout) = layout_of(&file);
    for address in [0, TEXT.vaddr, layout.stack_low - 1, layout.end(), u64::MAX] {
        let id = test.started(&spec("hello"));
        assert!(!test.touches(id, address), "{address:#x}");
        test.waits(id);
    }
    // Protection: the page is present.
    let id = test.started(&spec("hello"));
    let write = [ENTRY, layout.stack_low, 0, 7];
    assert_eq!(test.says(id, 5, &write), Came::Nothing);
}

#[test]
fn a_panic_is_logged_with_the_programs_name() {
    let file = image(&[TEXT, DATA], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let (_, layout) = layout_of(&file);
    // In the topmost page, in a page that was touched, and across the border of the two.
    for address in [0x800, 0x1800, 0x1004].map(|down| layout.stack_top - down) {
        let id = test.started(&spec("hello"));
        assert!(test.touches(id, layout.stack_top - 0x2000));
        let text = "panicked at src/main.rs:\x1b[2J oh";
        for (i, byte) in text.bytes().enumerate() {
            let place = PLACE;
            world.borrow_mut().set_byte(place, address + i as u64, byte);
        }
        world.borrow_mut().stopped_with = [MAGIC, address, text.len() as u64];
        assert_eq!(test.says(id, 3, &[ENTRY, 0, 0, 6, 0]), Came::Nothing);
        let kind = FaultKind::Panic;
        let fault = xos_protocol::Fault { ip: ENTRY, kind };
        assert_eq!(test.waits(id), ExitStatus::Fault(fault));
        let line = std::format!("bin/hello {id} panicked at src/main.rs:?[2J oh");
        assert_eq!(world.borrow_mut().log.pop(), Some(line));
    }
    // From the read-only data, and from nowhere.
    for (address, expected) in [
        (TEXT.vaddr + 0x200, None),
        (u64::MAX - 2, Some("cannot be read")),
    ] {
        let id = test.started(&spec("hello"));
        world.borrow_mut().stopped_with = [MAGIC, address, 9];
        test.says(id, 3, &[ENTRY, 0, 0, 6, 0]);
        test.waits(id);
        let line = world.borrow_mut().log.pop().unwrap();
        assert_eq!(
            line.contains("cannot be read"),
            expected.is_some(),
            "{line}"
        );
    }
}

#[test]
fn another_invalid_instruction_is_no_panic() {
    let file = image(&[TEXT], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let id = test.started(&spec("hello"));
    world.borrow_mut().stopped_with = [MAGIC + 1, 0, 0];
    test.says(id, 3, &[ENTRY, 0, 0, 6, 0]);
    let kind = FaultKind::Exception(6);
    let fault = xos_protocol::Fault { ip: ENTRY, kind };
    assert_eq!(test.waits(id), ExitStatus::Fault(fault));
}

#[test]
fn a_call_through_nothing_is_answered_with_gone() {
    let file = image(&[TEXT], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let id = test.started(&spec("hello"));
    // Instruction, CPtr, phase, kind of failure, bits left.
    assert_eq!(test.says(id, 1, &[ENTRY, 77, 0, 2, 64]), Came::Nothing);
    assert_eq!(test.world.borrow().refused, [Error::Gone]);
    assert_eq!(test.says(id, 1, &[ENTRY, 77, 1, 2, 64]), Came::Nothing);
    let kind = FaultKind::Capability(77);
    let fault = xos_protocol::Fault { ip: ENTRY, kind };
    assert_eq!(test.waits(id), ExitStatus::Fault(fault));
}

#[test]
fn what_is_no_program_is_refused() {
    let damaged = image(&[Header { vaddr: 0, ..TEXT }], ENTRY);
    let huge = Header {
        memsz: 1 << 25,
        ..TEXT
    };
    let huge = image(&[huge], ENTRY);
    let files = archive(&[("bin/bad", &damaged), ("bin/huge", &huge), ("etc/x", b"x")]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    for (name, error) in [
        ("bad", Error::BadImage),
        ("huge", Error::BadImage),
        ("etc/x", Error::BadImage),
        ("x", Error::NoImage),
        ("", Error::NoImage),
    ] {
        assert_eq!(test.create(&spec(name)), Err(error), "{name}");
    }
    assert_eq!((world.borrow().places(), world.borrow().regions()), (0, 0));
    assert!(world.borrow().log[0].starts_with("bin/bad cannot be run: a segment lies"));
}

#[test]
fn an_image_of_which_no_process_can_be_leaves_nothing_behind() {
    // Well-formed, but with pages all over the address space.
    let headers: Vec<_> = (0..10)
        .map(|n| Header {
            vaddr: TEXT.vaddr + (n << 40),
            ..TEXT
        })
        .collect();
    let file = image_of(&headers, ENTRY, 0x4000);
    assert!(Program::parse(&file).is_ok());
    let files = archive(&[("bin/far", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    assert_eq!(test.create(&spec("far")), Err(Error::BadImage));
    let world = world.borrow();
    assert_eq!(
        (world.places(), world.regions(), world.budget),
        (0, 0, 1 << 20)
    );
    assert!(world.log[0].starts_with("bin/far cannot be run: the image or the stack"));
}

#[test]
fn specifications_out_of_range_are_refused() {
    let file = image(&[TEXT], ENTRY);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let change = |change: fn(&mut Spec<'static>)| {
        let mut spec = spec("hello");
        change(&mut spec);
        spec
    };
    for (spec, error) in [
        (change(|s| s.cspace_radix = 3), Error::Malformed),
        (change(|s| s.cspace_radix = 13), Error::Malformed),
        (change(|s| s.ics = 4096), Error::Malformed),
        (change(|s| s.stack = u32::MAX), Error::Malformed),
        (change(|s| s.channels = "a\0b\0c\0d\0e\0"), Error::Malformed),
        (change(|s| s.memory = u64::MAX), Error::OverBudget),
    ] {
        assert_eq!(test.create(&spec), Err(error));
    }
    world.borrow_mut().client = 5;
    assert_eq!(test.create(&spec("hello")), Err(Error::OverBudget));
    assert_eq!(world.borrow().alive(), 0);
}

#[test]
fn images_that_nobody_uses_make_room_for_others() {
    let file = image(&[TEXT], ENTRY);
    let names: Vec<String> = (0..2 * MAX_IMAGES)
        .map(|i| std::format!("bin/{i}"))
        .collect();
    let all: Vec<(&str, &[u8])> = names.iter().map(|name| (&name[..], &file[..])).collect();
    let files = archive(&all);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let kept = test.started(&spec("0"));
    for name in &names {
        let id = test.started(&spec(name));
        test.ends(id);
    }
    assert_eq!(world.borrow().regions(), MAX_IMAGES);

    // Two pages an image: there is room for one beside the one in use.
    world.borrow_mut().budget = 0;
    for name in &names[1..] {
        let id = test.started(&spec(name));
        test.ends(id);
    }
    test.ends(kept);
}

#[test]
fn the_cache_full_of_images_in_use_refuses_another() {
    let file = image(&[TEXT], ENTRY);
    let files = archive(&[("bin/a", &file), ("bin/b", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let a = test.started(&spec("a"));
    world.borrow_mut().budget = 1;
    assert_eq!(test.create(&spec("b")), Err(Error::OverBudget));
    test.ends(a);
    let b = test.started(&spec("b"));
    test.ends(b);
    assert_eq!(world.borrow().regions(), 1);
}

#[test]
fn a_process_that_died_by_itself_leaves_its_image_and_slots() {
    let large = Header {
        memsz: 0x20_0000,
        filesz: 0x20_0000,
        ..TEXT
    };
    let file = image_of(&[large], ENTRY, 0x20_0000);
    let files = archive(&[("bin/large", &file), ("bin/other", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    for _ in 0..1000 {
        let id = test.started(&spec("large"));
        world.borrow_mut().kill(id);
        test.bench.notify(1);
    }
    world.borrow_mut().budget = 0;
    let id = test.started(&spec("other"));
    test.ends(id);
    assert_eq!(world.borrow().regions(), 1);
}

/// Segments in order, with gaps and odd sizes.
fn segments() -> impl Strategy<Value = Vec<Header>> {
    let one = (
        0u64..8,
        0u64..PAGE,
        1u64..20 * PAGE,
        0u64..30 * PAGE,
        any::<bool>(),
    );
    proptest::collection::vec(one, 1..6).prop_map(|all| {
        let (mut vaddr, mut offset) = (0x20_0000, 0);
        let mut headers = Vec::new();
        for (i, (gap, shift, filesz, zero, writable)) in all.into_iter().enumerate() {
            let shift = if i == 0 { 0 } else { shift };
            vaddr += gap * PAGE * (i != 0) as u64 + shift;
            offset += shift;
            let memsz = filesz + zero * writable as u64;
            headers.push(Header {
                kind: abi::PT_LOAD,
                flags: if writable { 6 } else { 5 },
                offset,
                vaddr,
                filesz,
                memsz,
            });
            vaddr = (vaddr + memsz).next_multiple_of(PAGE);
            offset = (offset + filesz).next_multiple_of(PAGE);
        }
        headers[0].flags = 5;
        headers[0].filesz = headers[0].filesz.max(0x400);
        headers[0].memsz = headers[0].filesz;
        headers
    })
}

/// A program header that may be anything, and is often nearly right.
fn hostile() -> impl Strategy<Value = Header> {
    let word = || {
        prop_oneof![
            4 => Just(0u64),
            4 => (0u64..8).prop_map(|n| n * PAGE),
            2 => 0u64..0x4000,
            1 => Just(u64::MAX),
            1 => any::<u64>(),
        ]
    };
    let kind = prop_oneof![8 => Just(abi::PT_LOAD), 1 => Just(abi::PT_TLS), 1 => 0u32..8];
    (kind, 0u32..8, word(), word(), word(), word()).prop_map(
        |(kind, flags, offset, vaddr, filesz, memsz)| Header {
            kind,
            flags,
            offset,
            // Those at the usual place are what can be loaded.
            vaddr: TEXT.vaddr.wrapping_add(vaddr),
            filesz,
            memsz: memsz.max(if memsz % 3 == 0 { filesz } else { 0 }),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_process_has_the_memory_that_its_image_says(headers in segments(), arguments in "[a-z]{0,20}") {
        let end = headers.iter().map(|h| h.offset + h.filesz).max();
        let file = image_of(&headers, 0x20_0200, end.unwrap() as usize);
        let files = archive(&[("bin/a", &file)]);
        let world = World::new();
        let mut test = Test::new(&world, &files);
        let id = test.started(&Spec { arguments: &arguments, ..spec("a") });
        let (program, layout) = layout_of(&file);
        for header in &headers {
            let start = header.vaddr & !(PAGE - 1);
            let end = (header.vaddr + header.memsz).next_multiple_of(PAGE);
            for page in (start..end).step_by(PAGE as usize) {
                if layout.is_lazy(&program, page) {
                    prop_assert_eq!(world.borrow().byte(PLACE, page), None);
                    prop_assert!(test.touches(id, page));
                }
                let writable = world.borrow().spaces[&PLACE].pages[&page].1;
                prop_assert_eq!(writable, header.flags & 2 != 0);
                for at in (page..page + PAGE).step_by(61).chain([page + PAGE - 1]) {
                    let byte = world.borrow().byte(PLACE, at);
                    prop_assert_eq!(byte, expected(&headers, &file, at), "{:#x}", at);
                }
            }
        }
        test.ends(id);
        let world = world.borrow();
        prop_assert_eq!((world.alive(), world.client), (0, 1 << 20));
        prop_assert!(world.places() <= 1);
    }

    #[test]
    fn a_hostile_image_is_refused_and_changes_nothing_or_lives_and_leaves_nothing(
        headers in proptest::collection::vec(hostile(), 0..20),
        entry in prop_oneof![Just(ENTRY), any::<u64>()],
        length in 0x800usize..0x4000,
        damage in proptest::collection::vec((0usize..0x800, any::<u8>()), 0..3),
    ) {
        let mut file = image_of(&headers, entry, length.max(0x2000));
        for (at, byte) in damage {
            file[at] = byte;
        }
        file.truncate(length);
        let files = archive(&[("bin/a", &file)]);
        let world = World::new();
        let mut test = Test::new(&world, &files);
        match test.create(&Spec { memory: 4 << 20, ..spec("a") }) {
            Ok(id) => {
                test.ask(id, HandleOp::Start);
                test.ends(id);
                prop_assert!(world.borrow().regions() <= 1);
            }
            Err(error) => {
                prop_assert!(matches!(error, Error::BadImage | Error::OverBudget), "{:?}", error);
                if error == Error::BadImage {
                    let world = world.borrow();
                    prop_assert_eq!((world.places(), world.regions(), world.budget), (0, 0, 1 << 20));
                    prop_assert!(world.log[0].starts_with("bin/a cannot be run: "));
                }
            }
        }
        prop_assert_eq!((world.borrow().alive(), world.borrow().client), (0, 1 << 20));
    }

    #[test]
    fn no_message_of_a_process_harms_the_factory(
        messages in proptest::collection::vec((prop_oneof![0u64..8, 0x220u64..0x224], proptest::collection::vec(any::<u64>(), 0..20)), 0..20)
    ) {
        let file = image(&[TEXT, DATA], ENTRY);
        let files = archive(&[("bin/a", &file)]);
        let world = World::new();
        let mut test = Test::new(&world, &files);
        let id = test.started(&spec("a"));
        for (label, words) in messages {
            world.borrow_mut().stopped_with = [MAGIC, words.first().copied().unwrap_or(0), u64::MAX];
            test.says(id, label, &words);
        }
        test.ask(id, HandleOp::Kill);
        test.ask(id, HandleOp::Wait);
        prop_assert_eq!((world.borrow().alive(), world.borrow().places()), (0, 1));
        let other = test.started(&spec("a"));
        test.ends(other);
    }
}

#[test]
fn the_name_in_the_log_is_that_of_the_tree() {
    let (path, _) = Files::new(&archive(&[("./bin/a", b"x")]))
        .unwrap()
        .find("a")
        .map(|(path, data)| (path.to_string(), data.len()))
        .unwrap();
    assert_eq!(path, "bin/a");
}
