// SPDX-License-Identifier: BSD-2-Clause
//! Snapshots and their clones.

use super::*;
use crate::kernel::Context;

/// The root slot of a parts node, by the order of creation.
const fn place(n: u32) -> u32 {
    PLACE + n
}

/// Where the program has a system call.
const CALL_AT: usize = 0x400;

/// A process that stands in a system call.
fn context() -> Context {
    let mut registers: [u64; Context::REGISTERS] = core::array::from_fn(|i| 100 + i as u64);
    registers[0] = TEXT.vaddr + CALL_AT as u64;
    Context(registers)
}

impl Test<'_> {
    fn stands_in_a_call(&mut self, place: u32) {
        let mut world = self.world.borrow_mut();
        world.spaces.get_mut(&place).unwrap().context = Some(context());
    }

    fn freezes(&mut self, id: IcId, place: u32) {
        self.stands_in_a_call(place);
        assert_eq!(self.ask(id, HandleOp::Snapshot), Came::Answer(Ok(vec![])));
    }

    fn clones(&mut self, model: IcId) -> Result<IcId, Error> {
        let who = Who::Handle(model.index());
        match self.bench.call(who, HandleOp::Clone.label(), &[20]) {
            Came::Answer(told) => told.map(|words| IcId::from_word(words[0])),
            other => panic!("{other:?}"),
        }
    }

    fn cloned(&mut self, model: IcId) -> IcId {
        let id = self.clones(model).unwrap();
        assert_eq!(self.ask(id, HandleOp::Start), Came::Answer(Ok(vec![])));
        id
    }

    /// What the processor does for a process that reads a byte, or writes it: whether that one is still there.
    fn uses(&mut self, id: IcId, place: u32, address: u64, write: bool) -> bool {
        for _ in 0..3 {
            let page = address & !(PAGE - 1);
            let there = self.world.borrow().spaces[&place].pages.get(&page).copied();
            let code = match (there, write) {
                (Some((_, true)), _) | (Some((_, false)), false) => return true,
                (Some((_, false)), true) => WRITE | PRESENT,
                (None, true) => WRITE,
                (None, false) => READ,
            };
            if !self.faults(id, address, code) {
                return false;
            }
        }
        panic!("a touch of {address:#x} is answered again and again");
    }

    fn reads(&mut self, id: IcId, place: u32, address: u64) -> u8 {
        assert!(self.uses(id, place, address, false));
        self.world.borrow().byte(place, address).unwrap()
    }

    fn writes(&mut self, id: IcId, place: u32, address: u64, byte: u8) {
        assert!(self.uses(id, place, address, true));
        self.world.borrow_mut().set_byte(place, address, byte);
    }

    fn killed(&mut self, id: IcId) {
        self.ask(id, HandleOp::Kill);
        assert_eq!(self.waits(id), ExitStatus::Killed);
    }
}

/// A program with `pages` pages of data, all but the first of them zero.
fn program(pages: u64) -> Vec<u8> {
    let data = Header {
        memsz: pages * PAGE - 0x800,
        ..DATA
    };
    let mut file = image(&[TEXT, data], ENTRY);
    file[CALL_AT..][..2].copy_from_slice(&Context::CALL);
    file
}

const DATA_START: u64 = DATA.vaddr & !(PAGE - 1);

#[test]
fn a_clone_begins_where_its_model_stands() {
    let file = program(4);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let (_, layout) = layout_of(&file);
    let model = test.started(&Spec {
        arguments: "hello\0world\0",
        composes: true,
        cspace_radix: 9,
        ..spec("hello")
    });
    // A message that it was about to send.
    test.writes(model, place(0), layout.ipc_buffer + 40, 77);
    test.freezes(model, place(0));
    let clone = test.clones(model).unwrap();
    {
        let world = world.borrow();
        let (space, original) = (&world.spaces[&place(1)], &world.spaces[&place(0)]);
        let begin = space.context.unwrap().0;
        // By the convention of the call.
        assert_eq!((begin[5], begin[6]), (begin[1], begin[0]));
        let mut begin = begin;
        (begin[5], begin[6]) = (context().0[5], context().0[6]);
        assert_eq!(Context(begin), context());
        assert!(!space.running);
        let [own, other] = [space, original].map(|space| space.execution.unwrap());
        assert_eq!((own.cspace_radix, own.composes), (other.cspace_radix, true));
        assert!(own.root_node.is_some());
        assert_eq!(own.buffer_address, layout.ipc_buffer);
        assert_eq!(space.pages.len(), 1);
        assert_eq!(world.byte(place(1), layout.ipc_buffer + 40), Some(77));
        assert_ne!(
            space.pages[&layout.ipc_buffer].0,
            original.pages[&layout.ipc_buffer].0
        );
    }
    test.ask(clone, HandleOp::Start);
    assert!(world.borrow().spaces[&place(1)].running);
    let told = test.says(clone, SelfOp::Arguments.label(), &[]);
    let Came::Answer(Ok(words)) = told else {
        panic!("{told:?}");
    };
    let bytes: Vec<u8> = (words[0]..words[0] + words[1])
        .map(|at| test.reads(clone, place(1), at))
        .collect();
    let info = StartInfo::read(&bytes).unwrap();
    assert_eq!(info.arguments, "hello\0world\0");
    test.ends(clone);
}

#[test]
fn a_clone_costs_the_same_whatever_the_size_of_its_model() {
    let mut costs = Vec::new();
    for pages in [600, 3000] {
        let file = program(pages);
        let files = archive(&[("bin/hello", &file)]);
        let world = World::new();
        let mut test = Test::new(&world, &files);
        let model = test.started(&spec("hello"));
        for page in 0..pages {
            test.writes(model, place(0), DATA_START + page * PAGE, page as u8);
        }
        test.freezes(model, place(0));
        world.borrow_mut().entries = 0;
        let clone = test.cloned(model);
        assert_eq!(test.reads(clone, place(1), DATA_START + PAGE), 1);
        test.writes(clone, place(1), DATA_START + 3 * PAGE, 1);
        costs.push((world.borrow().entries, world.borrow().arena(clone).0));
    }
    assert_eq!(costs[0], costs[1]);
    let [(entries, pages), _] = costs[..] else {
        panic!("two costs");
    };
    assert!(
        entries < 40 && pages <= 12,
        "{entries} entries, {pages} pages"
    );
}

#[test]
fn what_a_clone_only_reads_takes_no_page() {
    let file = program(600);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let model = test.started(&spec("hello"));
    for page in 0..600 {
        test.writes(model, place(0), DATA_START + page * PAGE, page as u8);
    }
    test.freezes(model, place(0));
    let clone = test.cloned(model);
    for page in 0..600 {
        assert_eq!(
            test.reads(clone, place(1), DATA_START + page * PAGE),
            page as u8
        );
    }
    let (pages, quota) = world.borrow().arena(clone);
    // A page for 128 of slots, and a table for 512 pages.
    assert!(pages <= 2 + 8 + 8, "{pages}");
    for page in 0..600 {
        test.writes(clone, place(1), DATA_START + page * PAGE, !page as u8);
    }
    let (pages, _) = world.borrow().arena(clone);
    assert!(pages <= quota, "{pages} of {quota}");
    test.ends(clone);
    test.killed(model);
}

#[test]
fn a_clone_can_do_no_more_than_its_model_could() {
    let file = program(600);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let (_, layout) = layout_of(&file);
    let model = test.started(&spec("hello"));
    test.freezes(model, place(0));
    for address in [0, layout.stack_low - 1, layout.end(), u64::MAX] {
        for code in [READ, WRITE] {
            let clone = test.cloned(model);
            assert!(!test.faults(clone, address, code), "{address:#x}");
            test.waits(clone);
        }
    }
    // Code can be read and not written to, whether it was touched or not.
    for touched in [false, true] {
        let clone = test.cloned(model);
        if touched {
            assert_eq!(test.reads(clone, place(1), TEXT.vaddr + 0x300), file[0x300]);
        }
        assert!(!test.uses(clone, place(1), TEXT.vaddr + 0x300, true));
        test.waits(clone);
    }
    // What it has it is not given again, though it says so.
    let clone = test.cloned(model);
    test.writes(clone, place(1), DATA_START, 1);
    let before = world.borrow().frames();
    assert!(test.faults(clone, DATA_START, WRITE | PRESENT));
    assert_eq!(world.borrow().frames(), before);
    test.ends(clone);
}

#[test]
fn a_mapping_that_was_lost_is_made_again() {
    let file = program(4);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let model = test.started(&spec("hello"));
    test.writes(model, place(0), DATA_START + 5, 9);
    test.freezes(model, place(0));
    let clone = test.cloned(model);
    for address in [DATA_START + 5, TEXT.vaddr + 0x300] {
        let byte = test.reads(clone, place(1), address);
        let page = address & !(PAGE - 1);
        let mut world = world.borrow_mut();
        let pages = &mut world.spaces.get_mut(&place(1)).unwrap().pages;
        assert!(pages.remove(&page).is_some());
        assert_eq!(byte, if address < DATA_START { file[0x300] } else { 9 });
    }
    for address in [DATA_START + 5, TEXT.vaddr + 0x300] {
        test.reads(clone, place(1), address);
    }
    test.writes(clone, place(1), DATA_START + 5, 10);
    assert_eq!(test.reads(clone, place(1), DATA_START + 5), 10);
}

#[test]
fn a_process_that_does_not_stand_in_a_call_is_not_frozen_and_goes_on() {
    let file = program(4);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let id = test.started(&spec("hello"));
    let mut context = context();
    context.0[0] += 2;
    world
        .borrow_mut()
        .spaces
        .get_mut(&place(0))
        .unwrap()
        .context = Some(context);
    let refused = Came::Answer(Err(Error::BadState));
    assert_eq!(test.ask(id, HandleOp::Snapshot), refused);
    assert_eq!(test.clones(id), Err(Error::BadState));
    assert!(world.borrow().spaces[&place(0)].running);
    test.freezes(id, place(0));
}

#[test]
fn a_clone_is_no_model() {
    let file = program(4);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let model = test.started(&spec("hello"));
    test.freezes(model, place(0));
    let clone = test.cloned(model);
    test.stands_in_a_call(place(1));
    let refused = Came::Answer(Err(Error::NotSupported));
    assert_eq!(test.ask(clone, HandleOp::Snapshot), refused);
    test.ends(clone);
}

#[test]
fn a_process_with_pages_that_nobody_remembers_is_not_frozen() {
    let file = program(100);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    test.bench.server.factory().set_pages(Pages::none());
    let [touched, untouched] = [0, 1].map(|i| (test.started(&spec("hello")), place(i)));
    test.writes(touched.0, touched.1, DATA_START + 50 * PAGE, 1);
    test.stands_in_a_call(touched.1);
    let refused = Came::Answer(Err(Error::NotSupported));
    assert_eq!(test.ask(touched.0, HandleOp::Snapshot), refused);
    test.freezes(untouched.0, untouched.1);
}

#[test]
fn whatever_the_kernel_refuses_nothing_is_left_of_a_half_made_clone() {
    let file = program(4);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let model = test.started(&spec("hello"));
    test.freezes(model, place(0));
    let (places, client) = (world.borrow().places(), world.borrow().client);
    let mut refused = 0;
    for step in 0.. {
        world.borrow_mut().refuse_after = Some(step);
        let made = test.clones(model);
        if world.borrow_mut().refuse_after.take().is_some() {
            test.killed(made.unwrap());
            break;
        }
        assert_eq!(made, Err(Error::Kernel));
        refused += 1;
        let world = world.borrow();
        assert_eq!(
            (world.alive(), world.places(), world.client),
            (1, places, client)
        );
    }
    assert!(refused > 10);
    world.borrow_mut().client = 5;
    assert_eq!(test.clones(model), Err(Error::OverBudget));
    world.borrow_mut().client = client;
    let clone = test.cloned(model);
    assert_eq!(
        test.reads(clone, place(1), DATA_START + 0x800),
        file[0x1800]
    );
}

#[test]
fn a_clone_whose_model_has_died_ends() {
    let file = program(4);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let model = test.started(&spec("hello"));
    test.freezes(model, place(0));
    let [quiet, reader, writer] = [(); 3].map(|()| test.cloned(model));
    assert_eq!(test.reads(quiet, place(1), DATA_START), 0);
    test.reads(writer, place(3), DATA_START);
    world.borrow_mut().kill(model);
    // Before the factory knows: nothing of the model is mapped any more, and what is touched is not there.
    assert!(
        !world.borrow().spaces[&place(1)]
            .pages
            .contains_key(&DATA_START)
    );
    assert!(!test.uses(reader, place(2), DATA_START, false));
    assert!(!test.uses(writer, place(3), DATA_START, true));
    for id in [reader, writer] {
        assert_eq!(test.waits(id), ExitStatus::Killed);
    }
    test.bench.notify(1);
    assert_eq!(test.waits(quiet), ExitStatus::Killed);
    assert_eq!((world.borrow().alive(), world.borrow().places()), (0, 1));
    let again = test.started(&spec("hello"));
    test.ends(again);
}

#[test]
fn a_panic_of_a_clone_is_logged() {
    let file = program(4);
    let files = archive(&[("bin/hello", &file)]);
    let world = World::new();
    let mut test = Test::new(&world, &files);
    let (_, layout) = layout_of(&file);
    let model = test.started(&spec("hello"));
    test.freezes(model, place(0));
    let clone = test.cloned(model);
    let text = "panicked at src/main.rs: oh";
    for (i, byte) in text.bytes().enumerate() {
        test.writes(clone, place(1), layout.stack_top - 0x100 + i as u64, byte);
    }
    world.borrow_mut().stopped_with = [MAGIC, layout.stack_top - 0x100, text.len() as u64];
    test.says(clone, 3, &[ENTRY, 0, 0, 6, 0]);
    let line = std::format!("bin/hello {clone} {text}");
    assert_eq!(world.borrow_mut().log.pop(), Some(line));
}

/// What is done to the memory of a clone, or of the model before it is frozen.
#[derive(Clone, Debug)]
struct Access {
    clone: usize,
    page: u64,
    write: Option<u8>,
}

fn accesses() -> impl Strategy<Value = Vec<Access>> {
    let one = (0usize..3, 0u64..180, proptest::option::of(any::<u8>()));
    let access = one.prop_map(|(clone, page, write)| Access { clone, page, write });
    proptest::collection::vec(access, 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Each clone sees what the model had and what it wrote itself, and nothing of its siblings.
    #[test]
    fn a_clone_has_its_models_memory_and_its_own_writes(before in accesses(), after in accesses()) {
        let file = program(180);
        let files = archive(&[("bin/hello", &file)]);
        let world = World::new();
        let mut test = Test::new(&world, &files);
        let model = test.started(&spec("hello"));
        let address = |page: u64| DATA_START + page * PAGE + 0x10;
        let mut memory = [0u8; 180];
        for Access { page, write, .. } in before {
            match write {
                Some(byte) => {
                    test.writes(model, place(0), address(page), byte);
                    memory[page as usize] = byte;
                }
                None => drop(test.reads(model, place(0), address(page))),
            }
        }
        test.freezes(model, place(0));
        let clones = [(); 3].map(|()| test.cloned(model));
        let mut memories = [memory; 3];
        for Access { clone, page, write } in after {
            let (id, at, memory) = (clones[clone], place(1 + clone as u32), &mut memories[clone]);
            match write {
                Some(byte) => {
                    test.writes(id, at, address(page), byte);
                    memory[page as usize] = byte;
                }
                None => prop_assert_eq!(test.reads(id, at, address(page)), memory[page as usize]),
            }
        }
        for (i, id) in clones.into_iter().enumerate() {
            for page in 0..180 {
                let byte = test.reads(id, place(1 + i as u32), address(page));
                prop_assert_eq!(byte, memories[i][page as usize]);
            }
        }
        for id in clones {
            test.ends(id);
        }
        test.killed(model);
        let world = world.borrow();
        prop_assert_eq!((world.alive(), world.client, world.places()), (0, 1 << 20, 1));
    }
}
