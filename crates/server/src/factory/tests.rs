// SPDX-License-Identifier: BSD-2-Clause
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use xos_client::Manager;
use xos_protocol::contract::{
    Capabilities, Channels, Cpu, FaultContainment, KernelInterface, Memory, Names, Quota, Teardown,
};
use xos_protocol::factory::{HandleOp, SelfOp, SessionOp, When};
use xos_protocol::ic::FaultKind;
use xos_protocol::manager::{Create, Op, Payer};
use xos_protocol::wire::{self, MAX_WORDS};
use xos_protocol::{IcState, Who};

use super::*;
use crate::Space;
use crate::fake::{Bench, Came, FakeManager};

mod places;

const CONTRACT: Contract = Contract {
    memory: Memory::Private,
    capabilities: Capabilities::Own,
    names: Names::None,
    kernel_interface: KernelInterface::Sel4,
    quota: Quota::Own,
    cpu: Cpu::CreatorsPriority,
    fault_containment: FaultContainment::Itself,
    teardown: Teardown::ManagerAlone,
    channels: Channels::Granted,
};

/// Counts what it is told, and makes ICs of nothing.
#[derive(Default)]
struct Toy {
    started: Vec<IcId>,
    gone: Vec<IcId>,
    ended: Vec<ExitStatus>,
    closed: Vec<u32>,
}

impl Factory for Toy {
    type Ic = u64;

    const CLONES: bool = true;

    fn describe(&self) -> Contract {
        CONTRACT
    }

    fn create(&mut self, maker: &mut Maker<'_>, spec: &Spec<'_>) -> Result<u64> {
        match spec.image {
            "nothing" => return Ok(0),
            "unknown" => return Err(Error::NotFound),
            _ => {}
        }
        maker.create(&Needs::default())?;
        assert_eq!(maker.create(&Needs::default()), Err(Error::BadState));
        match spec.image {
            "broken" => Err(Error::BadImage),
            "busy" => Ok(BUSY),
            _ => Ok(spec.memory),
        }
    }

    fn spawn(&mut self, maker: &mut Maker<'_>, entry: &Entry) -> Result<u64> {
        maker.create_within(&NeedsWithin {
            window: 0x7000_0000_0000,
            pages: 2,
            memory: 0,
            parts_radix: 1,
            runs: false,
        })?;
        Ok(entry.argument)
    }

    fn start(&mut self, ic: Member<'_, u64>) -> Result<()> {
        self.started.push(ic.id);
        Ok(())
    }

    fn fault(&mut self, _ic: Member<'_, u64>, fault: &sel4::Fault) -> Fate {
        let fault = faults::describe(fault);
        match fault.kind {
            FaultKind::Write(0x5000) => Fate::Retry,
            FaultKind::Write(0x6000) => Fate::GoesOn,
            _ => Fate::Ends(ExitStatus::Fault(fault)),
        }
    }

    fn invoke(
        &mut self,
        ic: Member<'_, u64>,
        _request: Request<'_>,
        reply: &mut Reply,
        _deferred: &mut Deferred<'_>,
    ) -> Outcome {
        reply.ok(&[*ic.data])
    }

    fn snapshot(&mut self, ic: Member<'_, u64>) -> Result<()> {
        match *ic.data {
            BUSY => Err(Error::BadState),
            _ => Ok(()),
        }
    }

    fn clone(&mut self, maker: &mut Maker<'_>, model: Member<'_, u64>) -> Result<u64> {
        maker.create(&Needs::default())?;
        assert!(!self.gone.contains(&model.id));
        Ok(*model.data + 1)
    }

    fn ended(&mut self, _ic: Member<'_, u64>, status: ExitStatus) {
        self.ended.push(status);
    }

    fn gone(&mut self, id: IcId, _data: u64) {
        self.gone.push(id);
    }

    fn closed(&mut self, client: u32) {
        self.closed.push(client);
    }
}

/// Memory of an IC that cannot be frozen.
const BUSY: u64 = 13;
const ICS: usize = 16;
/// Callers that can be kept.
const CALLERS: u32 = 16;
const CLIENT: Who = Who::Session(5);
const MANAGER_BIT: u64 = 1;
/// How an IC within its client begins.
const START: Entry = Entry {
    ip: 0x40_0000,
    argument: 123,
    handle: 30,
    stack: 4,
    pager: 0,
};

type Under<'a> = Bench<FactoryServer<Toy, ICS, &'a FakeManager>>;

fn bench(manager: &FakeManager) -> Under<'_> {
    let server = FactoryServer::new(Toy::default(), Manager::new(manager), Space::DOMAIN);
    Bench::new(server, CALLERS)
}

fn create(bench: &mut Under<'_>, image: &str) -> Result<IcId> {
    create_by(bench, CLIENT, image)
}

fn create_by(bench: &mut Under<'_>, client: Who, image: &str) -> Result<IcId> {
    let mut message = [0; MAX_WORDS];
    message[0] = 20;
    let spec = Spec {
        image,
        memory: 77,
        ..Spec::default()
    };
    let used = wire::encode(&spec, &mut message[1..]).unwrap();
    match bench.call(client, SessionOp::Create.label(), &message[..1 + used]) {
        Came::Answer(Ok(words)) => Ok(IcId::from_word(words[0])),
        Came::Answer(Err(error)) => Err(error),
        other => panic!("{other:?}"),
    }
}

fn ask(bench: &mut Under<'_>, id: IcId, op: HandleOp) -> Came {
    bench.call(Who::Handle(id.index()), op.label(), &[])
}

fn running(bench: &mut Under<'_>) -> IcId {
    let id = create(bench, "hello").unwrap();
    assert_eq!(ask(bench, id, HandleOp::Start), done());
    id
}

fn done() -> Came {
    Came::Answer(Ok(Vec::new()))
}

fn refused(error: Error) -> Came {
    Came::Answer(Err(error))
}

fn status(status: ExitStatus) -> crate::fake::Told {
    Ok(status.words().to_vec())
}

fn exit(bench: &mut Under<'_>, id: IcId, code: u64) {
    let came = bench.call(Who::Itself(id.index()), SelfOp::Exit.label(), &[code]);
    assert_eq!(came, Came::Nothing);
}

fn state(bench: &mut Under<'_>, id: IcId) -> Result<IcState> {
    match ask(bench, id, HandleOp::Stat) {
        Came::Answer(Ok(words)) => {
            assert_eq!(words[1], id.word());
            Ok(IcState::from_word(words[0]).unwrap())
        }
        Came::Answer(Err(error)) => Err(error),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_waits_first_is_answered_when_the_ic_exits() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let id = running(&mut bench);
    let Came::Kept(slot) = ask(&mut bench, id, HandleOp::Wait) else {
        panic!("answered at once");
    };
    exit(&mut bench, id, 3);
    assert_eq!(bench.answers(), [(slot, status(ExitStatus::Code(3)))]);
    assert_eq!(manager.alive(), []);
    assert_eq!(bench.server.factory().gone, [id]);
    assert_eq!(ask(&mut bench, id, HandleOp::Stat), refused(Error::Gone));
}

#[test]
fn who_waits_afterwards_is_answered_at_once() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let id = running(&mut bench);
    exit(&mut bench, id, u64::from(u32::MAX));
    assert_eq!(state(&mut bench, id), Ok(IcState::Dead));
    assert_eq!(manager.alive(), [id]);
    let came = ask(&mut bench, id, HandleOp::Wait);
    assert_eq!(came, Came::Answer(status(ExitStatus::Code(-1))));
    assert_eq!(manager.alive(), []);
}

#[test]
fn several_can_wait_for_one_and_one_too_many_is_told_so() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let id = running(&mut bench);
    for _ in 0..table::WAITERS {
        assert!(matches!(ask(&mut bench, id, HandleOp::Wait), Came::Kept(_)));
    }
    assert_eq!(
        ask(&mut bench, id, HandleOp::Wait),
        refused(Error::TableFull)
    );
    exit(&mut bench, id, 0);
    assert_eq!(bench.answers().len(), table::WAITERS);
    assert_eq!(bench.kept(), 0);
}

#[test]
fn who_waits_is_answered_when_the_reaper_is_done_and_not_before() {
    let manager = FakeManager::default();
    manager.set_reaper(true);
    let mut bench = bench(&manager);
    let id = running(&mut bench);
    let Came::Kept(slot) = ask(&mut bench, id, HandleOp::Wait) else {
        panic!("answered at once");
    };
    exit(&mut bench, id, 9);
    assert_eq!(bench.answers(), []);
    assert_eq!(state(&mut bench, id), Ok(IcState::Dead));
    manager.reap();
    bench.notify(MANAGER_BIT);
    assert_eq!(bench.answers(), [(slot, status(ExitStatus::Code(9)))]);
}

#[test]
fn who_asks_after_the_end_waits_for_the_reaper_too() {
    let manager = FakeManager::default();
    manager.set_reaper(true);
    let mut bench = bench(&manager);
    let id = running(&mut bench);
    exit(&mut bench, id, 9);
    let Came::Kept(slot) = ask(&mut bench, id, HandleOp::Wait) else {
        panic!("answered at once");
    };
    manager.reap();
    bench.notify(MANAGER_BIT);
    assert_eq!(bench.answers(), [(slot, status(ExitStatus::Code(9)))]);
}

#[test]
fn who_cannot_be_kept_learns_it_before_the_status_is_lost() {
    let manager = FakeManager::default();
    let server = FactoryServer::new(Toy::default(), Manager::new(&manager), Space::DOMAIN);
    let mut bench: Under<'_> = Bench::new(server, 1);
    let first = running(&mut bench);
    assert!(matches!(
        ask(&mut bench, first, HandleOp::Wait),
        Came::Kept(_)
    ));
    let second = running(&mut bench);
    exit(&mut bench, second, 2);
    assert_eq!(
        ask(&mut bench, second, HandleOp::Wait),
        refused(Error::TableFull)
    );
    exit(&mut bench, first, 1);
    let came = ask(&mut bench, second, HandleOp::Wait);
    assert_eq!(came, Came::Answer(status(ExitStatus::Code(2))));
}

#[test]
fn a_killed_ic_stands_still_and_its_waiter_learns_it() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let id = running(&mut bench);
    assert_eq!(ask(&mut bench, id, HandleOp::Kill), done());
    assert!(manager.asked().contains(&(Op::Suspend, vec![id.word()])));
    assert_eq!(ask(&mut bench, id, HandleOp::Kill), done());
    let came = ask(&mut bench, id, HandleOp::Wait);
    assert_eq!(came, Came::Answer(status(ExitStatus::Killed)));
}

#[test]
fn an_ic_that_dies_without_the_factorys_doing_was_killed() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let id = running(&mut bench);
    let Came::Kept(slot) = ask(&mut bench, id, HandleOp::Wait) else {
        panic!("answered at once");
    };
    manager.kill(id);
    manager.close(5);
    bench.notify(MANAGER_BIT);
    assert_eq!(bench.answers(), [(slot, status(ExitStatus::Killed))]);
    assert_eq!(bench.server.factory().gone, [id]);
    assert_eq!(bench.server.factory().closed, [5]);
}

#[test]
fn an_index_that_is_used_again_before_the_death_is_known_names_the_new_ic() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let old = running(&mut bench);
    let Came::Kept(slot) = ask(&mut bench, old, HandleOp::Wait) else {
        panic!("answered at once");
    };
    manager.kill(old);
    let new = create(&mut bench, "hello").unwrap();
    assert_eq!((new.index(), new == old), (old.index(), false));
    assert_eq!(bench.answers(), [(slot, status(ExitStatus::Killed))]);
    bench.notify(MANAGER_BIT);
    assert_eq!(state(&mut bench, new), Ok(IcState::Ready));
    assert_eq!(bench.server.factory().gone, [old]);
}

#[test]
fn what_was_half_made_is_destroyed_and_its_place_free_again() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    for _ in 0..3 * ICS {
        assert_eq!(create(&mut bench, "broken"), Err(Error::BadImage));
        assert_eq!(create(&mut bench, "unknown"), Err(Error::NotFound));
        assert_eq!(create(&mut bench, "nothing"), Err(Error::Kernel));
    }
    assert_eq!(manager.alive(), []);
    assert_eq!(bench.server.available() as usize, ICS);
    assert_eq!(bench.server.factory().gone, []);
}

#[test]
fn a_place_comes_back_only_when_the_reaper_is_done() {
    let manager = FakeManager::default();
    manager.set_reaper(true);
    let mut bench = bench(&manager);
    // As many as one client can have.
    for _ in 0..ICS / 2 {
        assert_eq!(create(&mut bench, "broken"), Err(Error::BadImage));
    }
    assert_eq!(create(&mut bench, "hello"), Err(Error::TableFull));
    manager.reap();
    bench.notify(MANAGER_BIT);
    assert_eq!(bench.server.available() as usize, ICS);
}

#[test]
fn a_budget_that_is_exhausted_is_the_clients_error_and_nothing_is_left_over() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    manager.refuse(Op::Create, Error::OverBudget);
    assert_eq!(create(&mut bench, "hello"), Err(Error::OverBudget));
    assert_eq!(bench.server.available() as usize, ICS);
}

#[test]
fn a_manager_that_refuses_to_destroy_is_the_waiters_error() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let id = running(&mut bench);
    let Came::Kept(slot) = ask(&mut bench, id, HandleOp::Wait) else {
        panic!("answered at once");
    };
    manager.refuse(Op::Destroy, Error::Kernel);
    exit(&mut bench, id, 1);
    assert_eq!(bench.answers(), [(slot, Err(Error::Kernel))]);
    let came = ask(&mut bench, id, HandleOp::Wait);
    assert_eq!(came, Came::Answer(status(ExitStatus::Code(1))));
}

#[test]
fn states_allow_what_they_allow() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let id = create(&mut bench, "hello").unwrap();
    let no = refused(Error::BadState);
    assert_eq!(state(&mut bench, id), Ok(IcState::Ready));
    assert_eq!(ask(&mut bench, id, HandleOp::Suspend), no);
    assert_eq!(ask(&mut bench, id, HandleOp::Start), done());
    assert_eq!(ask(&mut bench, id, HandleOp::Start), no);
    assert_eq!(ask(&mut bench, id, HandleOp::Resume), no);
    assert_eq!(ask(&mut bench, id, HandleOp::Suspend), done());
    assert_eq!(state(&mut bench, id), Ok(IcState::Suspended));
    assert_eq!(ask(&mut bench, id, HandleOp::Resume), done());
    assert_eq!(state(&mut bench, id), Ok(IcState::Running));
    exit(&mut bench, id, 0);
    for op in [
        HandleOp::Start,
        HandleOp::Suspend,
        HandleOp::Resume,
        HandleOp::Invoke,
    ] {
        assert_eq!(ask(&mut bench, id, op), no);
    }
}

#[test]
fn a_fault_is_mended_or_is_the_end() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let id = running(&mut bench);
    let me = Who::Itself(id.index());
    // Words: instruction, address, instruction fetch, error code (a write).
    assert_eq!(bench.call(me, 5, &[1, 0x5000, 0, 6]), done());
    assert_eq!(bench.call(me, 5, &[1, 0x6000, 0, 6]), Came::Nothing);
    assert_eq!(state(&mut bench, id), Ok(IcState::Running));
    assert_eq!(bench.call(me, 5, &[1, 0x7000, 0, 6]), Came::Nothing);
    let fault = ExitStatus::Fault(xos_protocol::Fault {
        ip: 1,
        kind: FaultKind::Write(0x7000),
    });
    assert_eq!(bench.server.factory().ended, [fault]);
    let came = ask(&mut bench, id, HandleOp::Wait);
    assert_eq!(came, Came::Answer(status(fault)));
}

#[test]
fn an_ic_within_its_client_exits_and_faults_by_its_handle() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let came = bench.call(CLIENT, SessionOp::Spawn.label(), &START.words());
    let Came::Answer(Ok(words)) = came else {
        panic!("{came:?}");
    };
    let id = IcId::from_word(words[0]);
    assert_eq!(
        ask(&mut bench, id, HandleOp::Invoke),
        Came::Answer(Ok(vec![123]))
    );
    let Came::Kept(slot) = ask(&mut bench, id, HandleOp::Wait) else {
        panic!("answered at once");
    };
    let me = Who::Handle(id.index());
    assert_eq!(bench.call(me, 5, &[1, 0x5000, 0, 6]), done());
    assert_eq!(bench.call(me, SelfOp::Exit.label(), &[4]), Came::Nothing);
    assert_eq!(bench.answers(), [(slot, status(ExitStatus::Code(4)))]);
}

#[test]
fn who_speaks_for_an_execution_that_has_ended_is_answered() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let came = bench.call(CLIENT, SessionOp::Spawn.label(), &START.words());
    let Came::Answer(Ok(words)) = came else {
        panic!("{came:?}");
    };
    let id = IcId::from_word(words[0]);
    assert_eq!(ask(&mut bench, id, HandleOp::Kill), done());
    // Within one CSpace others hold the same capability, and would wait for ever.
    let me = Who::Handle(id.index());
    for label in [5, 0x7777, SelfOp::Exit.label()] {
        let came = bench.call(me, label, &[1, 0x5000, 0, 6]);
        assert_eq!(came, Came::Answer(Err(Error::Gone)), "{label:#x}");
    }
}

#[test]
fn a_fault_of_one_that_does_not_run_is_not_answered_and_so_not_repeated() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let id = running(&mut bench);
    let fault = [1, 0x5000, 0, 6];
    assert_eq!(ask(&mut bench, id, HandleOp::Kill), done());
    let itself = Who::Itself(id.index());
    assert_eq!(bench.call(itself, 5, &fault), Came::Nothing);
    assert_eq!(
        bench.call(itself, SelfOp::Exit.label(), &[0]),
        refused(Error::Gone)
    );
}

#[test]
fn who_holds_a_handle_cannot_speak_for_the_ic() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let id = running(&mut bench);
    let holder = Who::Handle(id.index());
    let no = refused(Error::NoSuchOperation);
    assert_eq!(bench.call(holder, SelfOp::Exit.label(), &[0]), no);
    assert_eq!(bench.call(holder, 5, &[1, 0x5000, 0, 6]), no);
    assert_eq!(state(&mut bench, id), Ok(IcState::Running));
}

#[test]
fn an_ic_cannot_use_its_own_fault_endpoint_as_a_handle() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let id = running(&mut bench);
    let me = Who::Itself(id.index());
    for op in [HandleOp::Kill, HandleOp::Wait, HandleOp::Suspend] {
        assert_eq!(
            bench.call(me, op.label(), &[]),
            refused(Error::NoSuchOperation)
        );
    }
}

#[test]
fn a_handle_slot_that_is_none_is_refused_before_anything_is_made() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let mut message = [0; MAX_WORDS];
    let used = wire::encode(&Spec::default(), &mut message[1..]).unwrap();
    for slot in [0, 4096, u64::MAX] {
        message[0] = slot;
        let came = bench.call(CLIENT, SessionOp::Create.label(), &message[..1 + used]);
        assert_eq!(came, refused(Error::BadSlot));
    }
    assert_eq!(manager.asked(), []);
}

/// Has nothing that is optional.
struct Plain;

impl Factory for Plain {
    type Ic = ();

    fn describe(&self) -> Contract {
        CONTRACT
    }

    fn create(&mut self, maker: &mut Maker<'_>, _spec: &Spec<'_>) -> Result<()> {
        maker.create(&Needs::default()).map(drop)
    }

    fn start(&mut self, _ic: Member<'_, ()>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn what_is_optional_is_refused_by_name_and_stops_nothing() {
    let manager = FakeManager::default();
    let server: FactoryServer<Plain, ICS, _> =
        FactoryServer::new(Plain, Manager::new(&manager), Space::DOMAIN);
    let mut bench = Bench::new(server, 16);
    let mut message = [0; MAX_WORDS];
    message[0] = 20;
    let used = wire::encode(&Spec::default(), &mut message[1..]).unwrap();
    let created = bench.call(CLIENT, SessionOp::Create.label(), &message[..1 + used]);
    let Came::Answer(Ok(words)) = created else {
        panic!("{created:?}");
    };
    let index = IcId::from_word(words[0]).index();
    let start = bench.call(Who::Handle(index), HandleOp::Start.label(), &[]);
    assert_eq!(start, done());
    manager.asked();
    for op in [HandleOp::Snapshot, HandleOp::Clone, HandleOp::Invoke] {
        let came = bench.call(Who::Handle(index), op.label(), &[20]);
        assert_eq!(came, refused(Error::NotSupported));
    }
    let arguments = bench.call(Who::Itself(index), SelfOp::Arguments.label(), &[]);
    assert_eq!(arguments, refused(Error::NotSupported));
    assert_eq!(manager.asked(), []);
}

fn frozen(bench: &mut Under<'_>) -> IcId {
    let id = running(bench);
    assert_eq!(ask(bench, id, HandleOp::Snapshot), done());
    id
}

fn clone(bench: &mut Under<'_>, model: IcId) -> Result<IcId> {
    match bench.call(Who::Handle(model.index()), HandleOp::Clone.label(), &[20]) {
        Came::Answer(told) => told.map(|words| IcId::from_word(words[0])),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_snapshot_never_runs_again_and_its_clones_do() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let model = frozen(&mut bench);
    assert!(manager.asked().ends_with(&[
        (Op::Suspend, vec![model.word()]),
        (Op::Ended, vec![model.word()])
    ]));
    assert_eq!(state(&mut bench, model), Ok(IcState::Suspended));
    let no = refused(Error::BadState);
    for op in [
        HandleOp::Start,
        HandleOp::Resume,
        HandleOp::Suspend,
        HandleOp::Snapshot,
    ] {
        assert_eq!(ask(&mut bench, model, op), no);
    }
    let clones = [(); 2].map(|()| clone(&mut bench, model).unwrap());
    for clone in clones {
        assert_eq!(state(&mut bench, clone), Ok(IcState::Ready));
        assert_eq!(ask(&mut bench, clone, HandleOp::Start), done());
        let word = bench.call(Who::Handle(clone.index()), HandleOp::Invoke.label(), &[]);
        assert_eq!(word, Came::Answer(Ok(vec![78])));
    }
    assert_eq!(
        bench.server.factory().started,
        [model, clones[0], clones[1]]
    );
}

#[test]
fn a_clone_is_paid_by_who_pays_for_its_snapshot_whoever_has_that_ones_session_now() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let model = frozen(&mut bench);
    manager.close(5);
    bench.notify(MANAGER_BIT);
    manager.asked();
    clone(&mut bench, model).unwrap();
    let asked = manager.asked();
    let created: Vec<_> = asked.iter().filter(|(op, _)| *op == Op::Create).collect();
    let [(_, words)] = created[..] else {
        panic!("{asked:?}");
    };
    let args = Create::from_words(words[..4].try_into().unwrap()).unwrap();
    assert_eq!(args.payer, Payer::PayerOf(model.index()));
}

#[test]
fn what_is_no_snapshot_has_no_clones() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let ready = create(&mut bench, "hello").unwrap();
    assert_eq!(
        ask(&mut bench, ready, HandleOp::Snapshot),
        refused(Error::BadState)
    );
    assert_eq!(clone(&mut bench, ready), Err(Error::BadState));
    let running = running(&mut bench);
    assert_eq!(clone(&mut bench, running), Err(Error::BadState));
    exit(&mut bench, running, 0);
    assert_eq!(
        ask(&mut bench, running, HandleOp::Snapshot),
        refused(Error::BadState)
    );
}

#[test]
fn who_cannot_be_frozen_goes_on() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let id = create(&mut bench, "busy").unwrap();
    ask(&mut bench, id, HandleOp::Start);
    assert_eq!(
        ask(&mut bench, id, HandleOp::Snapshot),
        refused(Error::BadState)
    );
    assert!(manager.asked().ends_with(&[
        (Op::Suspend, vec![id.word()]),
        (Op::Resume, vec![id.word()])
    ]));
    assert_eq!(state(&mut bench, id), Ok(IcState::Running));
    // One that stood still stays so.
    ask(&mut bench, id, HandleOp::Suspend);
    assert_eq!(
        ask(&mut bench, id, HandleOp::Snapshot),
        refused(Error::BadState)
    );
    assert_eq!(state(&mut bench, id), Ok(IcState::Suspended));
}

fn freeze_when_it_stands(bench: &mut Under<'_>, id: IcId) -> Came {
    let (who, label) = (Who::Handle(id.index()), HandleOp::Snapshot.label());
    bench.call(who, label, &[When::Stands as u64])
}

fn stand(bench: &mut Under<'_>, id: IcId) -> Came {
    bench.call(Who::Itself(id.index()), SelfOp::Stand.label(), &[])
}

#[test]
fn who_wants_an_ic_frozen_that_does_not_stand_yet_is_answered_when_it_does() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    for early in [false, true] {
        let id = running(&mut bench);
        if early {
            assert_eq!(stand(&mut bench, id), Came::Nothing);
            assert_eq!(freeze_when_it_stands(&mut bench, id), done());
        } else {
            let Came::Kept(slot) = freeze_when_it_stands(&mut bench, id) else {
                panic!("answered at once");
            };
            // One at a time.
            let second = freeze_when_it_stands(&mut bench, id);
            assert_eq!(second, refused(Error::TableFull));
            assert_eq!(stand(&mut bench, id), Came::Nothing);
            assert_eq!(bench.answers(), [(slot, Ok(vec![]))]);
        }
        let clone = clone(&mut bench, id).unwrap();
        ask(&mut bench, clone, HandleOp::Start);
        assert_eq!(stand(&mut bench, clone), done());
    }
    let id = running(&mut bench);
    let when = bench.call(Who::Handle(id.index()), HandleOp::Snapshot.label(), &[2]);
    assert_eq!(when, refused(Error::Malformed));
}

#[test]
fn who_wants_an_ic_frozen_that_never_stands_is_told_at_its_end() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    for (killed, error) in [(false, Error::BadState), (true, Error::Gone)] {
        let id = running(&mut bench);
        let Came::Kept(slot) = freeze_when_it_stands(&mut bench, id) else {
            panic!("answered at once");
        };
        if killed {
            manager.kill(id);
            bench.notify(MANAGER_BIT);
        } else {
            exit(&mut bench, id, 0);
        }
        assert_eq!(bench.answers(), [(slot, Err(error))]);
    }
    let busy = create(&mut bench, "busy").unwrap();
    ask(&mut bench, busy, HandleOp::Start);
    let Came::Kept(slot) = freeze_when_it_stands(&mut bench, busy) else {
        panic!("answered at once");
    };
    stand(&mut bench, busy);
    assert_eq!(bench.answers(), [(slot, Err(Error::BadState))]);
    assert_eq!(state(&mut bench, busy), Ok(IcState::Running));
    assert_eq!(bench.kept(), 0);
}

#[test]
fn clones_end_before_their_snapshot_is_gone() {
    let manager = FakeManager::default();
    for killed in [false, true] {
        let mut bench = bench(&manager);
        let model = frozen(&mut bench);
        let [run, ready, over] = [(); 3].map(|()| clone(&mut bench, model).unwrap());
        let other = frozen(&mut bench);
        let apart = clone(&mut bench, other).unwrap();
        for clone in [run, over] {
            ask(&mut bench, clone, HandleOp::Start);
        }
        exit(&mut bench, over, 4);
        let Came::Kept(slot) = ask(&mut bench, run, HandleOp::Wait) else {
            panic!("answered at once");
        };
        if killed {
            assert_eq!(ask(&mut bench, model, HandleOp::Kill), done());
            // Its memory is there until somebody has waited for it.
            assert_eq!(state(&mut bench, run), Ok(IcState::Running));
            assert_eq!(clone(&mut bench, model), Err(Error::BadState));
            let came = ask(&mut bench, model, HandleOp::Wait);
            assert_eq!(came, Came::Answer(status(ExitStatus::Killed)));
        } else {
            manager.kill(model);
            bench.notify(MANAGER_BIT);
        }
        assert_eq!(bench.server.factory().gone, [run, model]);
        assert_eq!(bench.answers(), [(slot, status(ExitStatus::Killed))]);
        for (id, how) in [(ready, ExitStatus::Killed), (over, ExitStatus::Code(4))] {
            assert_eq!(
                ask(&mut bench, id, HandleOp::Wait),
                Came::Answer(status(how))
            );
        }
        assert_eq!(state(&mut bench, apart), Ok(IcState::Ready));
        assert_eq!(
            ask(&mut bench, model, HandleOp::Clone),
            refused(Error::Gone)
        );
        for id in [apart, other] {
            ask(&mut bench, id, HandleOp::Kill);
            ask(&mut bench, id, HandleOp::Wait);
        }
        assert_eq!(bench.server.available() as usize, ICS);
    }
    assert_eq!(manager.alive(), []);
}

#[test]
fn a_snapshot_outlives_its_clones() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let model = frozen(&mut bench);
    for code in 0..3 * ICS as u64 {
        let id = clone(&mut bench, model).unwrap();
        ask(&mut bench, id, HandleOp::Start);
        exit(&mut bench, id, code);
        let came = ask(&mut bench, id, HandleOp::Wait);
        assert_eq!(came, Came::Answer(status(ExitStatus::Code(code as i32))));
    }
    assert_eq!(manager.alive(), [model]);
}

#[test]
fn a_clone_with_the_index_of_its_dead_snapshot_is_not_made() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let model = frozen(&mut bench);
    manager.kill(model);
    assert_eq!(clone(&mut bench, model), Err(Error::Gone));
    bench.notify(MANAGER_BIT);
    assert_eq!(manager.alive(), []);
    assert_eq!(bench.server.available() as usize, ICS);
}

#[test]
fn the_contract_is_told() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let Came::Answer(Ok(words)) = bench.call(CLIENT, SessionOp::Describe.label(), &[]) else {
        panic!("refused");
    };
    assert_eq!(wire::decode(&words), Ok(CONTRACT));
}

/// Something that happens to a factory.
#[derive(Clone, Debug)]
enum Step {
    Create(bool),
    Handle(u32, u64),
    Itself(u32, u64, Vec<u64>),
    Session(u64, Vec<u64>),
    Die(usize),
    Reaper(bool),
    Reap,
    Notify,
}

fn step() -> impl Strategy<Value = Step> {
    let index = 0u32..ICS as u32 + 2;
    let words = proptest::collection::vec(any::<u64>(), 0..8);
    let ic_label = prop_oneof![0u64..8, 0x21fu64..0x225];
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Create),
        8 => (index.clone(), 0x20fu64..0x21a).prop_map(|(i, op)| Step::Handle(i, op)),
        4 => (index, ic_label, words.clone()).prop_map(|(i, op, words)| Step::Itself(i, op, words)),
        1 => (0x1ffu64..0x204, words).prop_map(|(op, words)| Step::Session(op, words)),
        1 => any::<usize>().prop_map(Step::Die),
        1 => any::<bool>().prop_map(Step::Reaper),
        1 => Just(Step::Reap),
        1 => Just(Step::Notify),
    ]
}

proptest! {
    /// Whatever is asked in whatever order: nobody is left waiting and no place is lost.
    #[test]
    fn everybody_is_answered_and_every_place_comes_back(steps in proptest::collection::vec(step(), 0..100)) {
        let manager = FakeManager::default();
        let mut bench = bench(&manager);
        for step in steps {
            match step {
                Step::Create(good) => drop(create(&mut bench, if good { "hello" } else { "broken" })),
                Step::Handle(index, label) => drop(bench.call(Who::Handle(index), label, &[index as u64 % 3])),
                Step::Itself(index, label, words) => drop(bench.call(Who::Itself(index), label, &words)),
                Step::Session(label, words) => drop(bench.call(CLIENT, label, &words)),
                Step::Die(which) => {
                    let alive = manager.alive();
                    if !alive.is_empty() {
                        manager.kill(alive[which % alive.len()]);
                    }
                }
                Step::Reaper(on) => manager.set_reaper(on),
                Step::Reap => manager.reap(),
                Step::Notify => bench.notify(MANAGER_BIT),
            }
            let table = ICS - bench.server.available() as usize;
            prop_assert!(table >= manager.alive().len());
        }
        for id in manager.alive() {
            manager.kill(id);
        }
        manager.reap();
        bench.notify(MANAGER_BIT);
        prop_assert_eq!(bench.kept(), 0);
        prop_assert_eq!(bench.server.available() as usize, ICS);
    }
}
