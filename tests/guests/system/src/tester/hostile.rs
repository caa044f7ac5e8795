// SPDX-License-Identifier: BSD-2-Clause
//! Attacks on the manager's invariants by those who have rights: factories, and whoever can kill.

use test_system::rogue::{ASK, DIE, HARM, KEEP, MAKE, PRY, RELEASE};
use test_system::{Harm, Step};
use xos_client::{Answer, Port};
use xos_protocol::manager::{
    Connect, Create, CreateWithin, Grow, Op, Payer, RegionCreate, Register, ServiceKind, Successor,
};
use xos_protocol::wire::MAX_WORDS;
use xos_test_kit::check_eq;

use super::*;

/// The rogue that lives.
const ROGUE: &str = "rogue_factory";
/// Rogues that die, each as often as the root task starts it again.
const MORTAL: &str = "mortal_factory";
const DOOMED: &str = "doomed_factory";

/// What somebody else would ask of the manager: 0 or the label of the error, and the answer's words.
fn ask(rogue: Session, op: Op, words: [u64; 4]) -> Outcome<Result<[u64; 4], Error>> {
    let mut message = [0; MAX_WORDS];
    message[0] = op.label();
    message[1..5].copy_from_slice(&words);
    let length = rogue.endpoint.exchange(ASK, &mut message, 5)?;
    check_eq!(length, 5)?;
    let answer = [message[1], message[2], message[3], message[4]];
    Ok(Error::from_label(message[0]).map(|()| answer))
}

/// An IC of a rogue's.
struct Victim {
    id: IcId,
    /// Root slot of the tester's for the handle.
    slot: u32,
    /// Root slot of the rogue's for the parts node.
    place: u32,
}

fn tell(rogue: Session, label: u64, words: [u64; 4]) -> Result<Answer, Error> {
    Port::call(&rogue.endpoint, label, words, 4)
}

fn victim(t: &mut Tester, rogue: Session) -> Outcome<Victim> {
    let slot = t.slot()?;
    let [id, place, ..] = tell(rogue, MAKE, [slot.into(), 0, 0, 0])?.at_least(2)?;
    Ok(Victim {
        id: IcId::from_word(id),
        slot,
        place: place as u32,
    })
}

pub fn a_factory_cannot_touch_what_others_made(t: &mut Tester) -> Outcome {
    let rogue = t.open(ROGUE)?;
    let job = t.start("crash", "crash\0spin\0")?;
    let id = job.id.word();
    let target = Subject::Ic(job.id);
    let grow = Grow {
        id: job.id,
        pages: 1,
        slot: 5,
    };
    let connect = Connect {
        source: 0,
        slot: 20,
        target,
    };
    for (op, words) in [
        (Op::Destroy, [id, 0, 0, 0]),
        (Op::Suspend, [id, 0, 0, 0]),
        (Op::Resume, [id, 0, 0, 0]),
        (Op::Stat, [id, 0, 0, 0]),
        (Op::Ended, [id, 0, 0, 0]),
        (Op::Watch, [id, 0, 0, 0]),
        (Op::Annotate, [id, 0x4141, 0, 0]),
        (Op::Budget, [id, 0, 0, 0]),
        (Op::Grow, grow.words()),
        (Op::Connect, connect.words()),
        (Op::Free, [0; 4]),
        (Op::PowerOff, [0; 4]),
    ] {
        let answer = ask(rogue, op, words)?;
        check!(
            matches!(
                answer,
                Err(Error::NotAllowed | Error::Gone | Error::NoConsent)
            ),
            "{op:?}: {answer:?}"
        )?;
    }
    // A region of its own into an IC that is not.
    let region = ask(
        rogue,
        Op::RegionCreate,
        RegionCreate {
            payer: Payer::Myself,
            pages: 1,
            large: false,
            place: 0,
        }
        .words(),
    )?;
    let region = RegionId::from_word(region?[0]);
    let share = Share {
        region,
        target,
        address: SHARED_ADDRESS,
        rights: Rights::RW,
    };
    let answer = ask(rogue, Op::Share, share.words())?;
    check!(matches!(answer, Err(Error::NotAllowed)), "{answer:?}")?;
    ask(rogue, Op::RegionDestroy, [region.word(), 0, 0, 0])??;
    // The name of another factory.
    let register = Register {
        name: Name::new("process"),
        endpoint: 0,
        kind: ServiceKind::Factory,
        successor: Successor::None,
    };
    check_eq!(
        ask(rogue, Op::Register, register.words())?.err(),
        Some(Error::NameTaken)
    )?;
    check_eq!(job.handle().stat()?.0, xos_protocol::IcState::Running)?;
    t.kill(job)?;
    t.close(rogue);
    Ok(())
}

const SHARED_ADDRESS: u64 = test_system::SHARED;

pub fn a_factory_charges_nobody_who_has_not_asked_it(t: &mut Tester) -> Outcome {
    let rogue = t.open(ROGUE)?;
    let before = t.quiet()?;
    // Sessions of others, of nobody, and its own client's without consent to a place within it.
    for session in (0..64).filter(|session| *session != rogue.index) {
        let create = Create {
            payer: Payer::Client(session),
            place: 2000,
            handle: 0,
            session: false,
            memory: 1,
            quota: 0,
            ics: 0,
            parts_radix: 5,
            cspace_radix: 5,
        };
        let answer = ask(rogue, Op::Create, create.words())?;
        check!(
            matches!(answer, Err(Error::NotAllowed | Error::Gone)),
            "session {session}: {answer:?}"
        )?;
    }
    let within = CreateWithin {
        host: rogue.index,
        place: 2000,
        handle: 3000,
        window: WINDOW,
        pages: 2,
        memory: 0,
        parts_radix: 1,
        runs: false,
    };
    let answer = ask(rogue, Op::CreateWithin, within.words())?;
    check_eq!(answer.err(), Some(Error::NoConsent))?;
    t.settles(before)?;
    t.close(rogue);
    Ok(())
}

pub fn a_factory_reaches_nothing_beyond_its_parts_nodes(t: &mut Tester) -> Outcome {
    let rogue = t.open(ROGUE)?;
    t.level(|t| {
        let victim = victim(t, rogue)?;
        let [succeeded, ..] = tell(rogue, PRY, [victim.place.into(), 0, 0, 0])?.at_least(1)?;
        t.manager.destroy(victim.id)?;
        t.slots.give(victim.slot);
        check_eq!(succeeded, 0)
    })?;
    t.close(rogue);
    Ok(())
}

/// Everything that changes something of the manager's.
const OPS: [Op; 24] = [
    Op::Suspend,
    Op::Resume,
    Op::Stat,
    Op::Annotate,
    Op::Grow,
    Op::Connect,
    Op::Share,
    Op::Watch,
    Op::Budget,
    Op::Ended,
    Op::CreateWithin,
    Op::RegionResize,
    Op::Unshare,
    Op::Close,
    Op::Make,
    Op::Register,
    Op::Raise,
    Op::SecondStage,
    Op::Declare,
    Op::Pass,
    Op::Agree,
    Op::Keep,
    Op::Bind,
    Op::Destroy,
];

// Root slots of the rogue's, for what it asks for beside its victims.
const PLACE_WITHIN: u32 = 2000;
const PLACES_OF_REGION: [u32; 2] = [2001, 2002];
const PLACE_OF_OBJECT: u32 = 2003;

/// Does one kind of harm to the parts of an IC before every operation of the manager's, and checks that
/// each is answered and that in the end nothing is missing.
fn harmed(t: &mut Tester, harm: Harm) -> Outcome {
    let within = Consent {
        within: true,
        ..Consent::default()
    };
    let rogue = t.open_with(ROGUE, within)?;
    for op in OPS {
        // Once for what is made once.
        attacked(t, rogue, op, harm)?;
        t.level(|t| attacked(t, rogue, op, harm))?;
    }
    t.close(rogue);
    check_eq!(t.run("hello", "")?, ExitStatus::Code(0))
}

fn attacked(t: &mut Tester, rogue: Session, op: Op, harm: Harm) -> Outcome {
    let victim = victim(t, rogue)?;
    let injure = |place: u32| tell(rogue, HARM, [place.into(), harm as u64, 0, 0]).map(|_| ());
    injure(victim.place)?;
    asked(t, rogue, op, &victim, &injure)?;
    injure(victim.place)?;
    match t.manager.destroy(victim.id) {
        Ok(_) => {}
        Err(Error::Gone) if op == Op::Destroy => {}
        Err(error) => return Err(error.into()),
    }
    check_eq!(
        t.manager.stat(Subject::Ic(victim.id)).err(),
        Some(Error::Gone)
    )?;
    t.slots.give(victim.slot);
    Ok(())
}

/// Has an operation done on an IC whose parts were harmed, or on something else of the rogue's that is
/// harmed as well. What comes of it is not the point: it is answered.
fn asked(
    t: &mut Tester,
    rogue: Session,
    op: Op,
    victim: &Victim,
    injure: &impl Fn(u32) -> Result<(), Error>,
) -> Outcome {
    let id = victim.id.word();
    let target = Subject::Ic(victim.id);
    let region = |pages, place| RegionCreate {
        payer: Payer::Myself,
        pages,
        large: false,
        place,
    };
    let share = |region| Share {
        region,
        target,
        address: SHARED_ADDRESS,
        rights: Rights::RW,
    };
    let connect = Connect {
        source: 0,
        slot: 20,
        target,
    };
    match op {
        Op::Share => {
            let region = t.region(4096)?;
            let _ = t.manager.share(&share(region));
            injure(victim.place)?;
            t.manager.region_destroy(region)?;
        }
        Op::Grow => {
            let grow = Grow {
                id: victim.id,
                pages: 2,
                slot: 20,
            };
            let _ = ask(rogue, op, grow.words())?;
        }
        Op::Connect => {
            let _ = ask(rogue, op, connect.words())?;
        }
        Op::Close => {
            if let Ok([session, ..]) = ask(rogue, Op::Connect, connect.words())? {
                injure(victim.place)?;
                ask(rogue, op, [session, 0, 0, 0])??;
            }
        }
        Op::CreateWithin => {
            let slot = t.slot()?;
            let within = CreateWithin {
                host: rogue.index,
                place: PLACE_WITHIN,
                handle: slot,
                window: WINDOW,
                pages: 2,
                memory: 8,
                parts_radix: 5,
                runs: false,
            };
            let [id, ..] = ask(rogue, op, within.words())??;
            injure(PLACE_WITHIN)?;
            t.manager.destroy(IcId::from_word(id))?;
            t.slots.give(slot);
        }
        Op::RegionResize | Op::Unshare => {
            let [first, second] = PLACES_OF_REGION;
            let words = region(1, first).words();
            let [made, ..] = ask(rogue, Op::RegionCreate, words)??;
            injure(first)?;
            if op == Op::RegionResize {
                ask(rogue, op, [made, 40, second.into(), 0])??;
                injure(second)?;
            } else {
                let shared = ask(rogue, Op::Share, share(RegionId::from_word(made)).words())?;
                injure(victim.place)?;
                if shared.is_ok() {
                    ask(rogue, op, [made, target.word(), 0, 0])??;
                }
            }
            ask(rogue, Op::RegionDestroy, [made, 0, 0, 0])??;
        }
        Op::Make => {
            // Made once, and after that refused, for the slot is taken.
            let _ = ask(rogue, op, [0, PLACE_OF_OBJECT.into(), 0, 0])?;
        }
        Op::Register => {
            let register = Register {
                name: Name::new("another of the rogue's"),
                endpoint: 0,
                kind: ServiceKind::Factory,
                successor: Successor::None,
            };
            let _ = ask(rogue, op, register.words())?;
        }
        Op::Raise => {
            // Somebody else pays for it.
            check_eq!(
                ask(rogue, op, [id, 2, 0, 0])?.err(),
                Some(Error::NotAllowed)
            )?;
        }
        Op::SecondStage => {
            let _ = ask(rogue, op, [id, 20, 0, 0])?;
        }
        _ => {
            let _ = ask(rogue, op, [id, 0, 0, 0])?;
        }
    }
    Ok(())
}

/// Where an IC within this domain has its memory.
const WINDOW: u64 = 0x7000_0000_0000;

pub fn parts_that_were_deleted_are_reclaimed_by_every_operation(t: &mut Tester) -> Outcome {
    harmed(t, Harm::Delete)
}

pub fn parts_that_were_overwritten_are_reclaimed_by_every_operation(t: &mut Tester) -> Outcome {
    harmed(t, Harm::Overwrite)
}

pub fn parts_that_were_rotated_are_reclaimed_by_every_operation(t: &mut Tester) -> Outcome {
    harmed(t, Harm::Rotate)
}

pub fn parts_that_were_stolen_are_reclaimed_by_every_operation(t: &mut Tester) -> Outcome {
    harmed(t, Harm::Steal)
}

pub fn parts_that_were_revoked_are_reclaimed_by_every_operation(t: &mut Tester) -> Outcome {
    harmed(t, Harm::Revoke)
}

pub fn parts_that_were_replaced_are_reclaimed_by_every_operation(t: &mut Tester) -> Outcome {
    harmed(t, Harm::Impersonate)
}

/// Waits until a domain that died serves again.
fn reborn(t: &mut Tester, name: &str) -> Outcome<Session> {
    let begin = t.timer.now()?;
    loop {
        let session = t.open(name)?;
        // It may be the one that is just dying.
        if tell(session, RELEASE, [0; 4]).is_ok() {
            return Ok(session);
        }
        t.close(session);
        check!(
            t.timer.now()? < begin + PATIENCE,
            "{name} does not come back"
        )?;
        t.timer.sleep(MS)?;
    }
}

pub fn a_factory_that_dies_after_any_step_of_a_creation_leaves_nothing(t: &mut Tester) -> Outcome {
    let session = reborn(t, MORTAL)?;
    let warm = victim(t, session)?;
    t.manager.destroy(warm.id)?;
    t.slots.give(warm.slot);
    t.close(session);
    for step in Step::ALL.iter().filter(|step| **step != Step::None) {
        t.level(|t| {
            let rogue = reborn(t, MORTAL)?;
            let slot = t.slot()?;
            let made = tell(rogue, MAKE, [slot.into(), *step as u64, 0, 0]);
            check!(
                matches!(made, Err(Error::ServerDied | Error::Gone)),
                "{step:?}: {made:?}"
            )?;
            t.slots.give(slot);
            t.close(rogue);
            Ok(())
        })?;
    }
    Ok(())
}

/// Starts a probe that calls a server and ends with the label of the error that it gets.
fn caller(t: &mut Tester, line: &str) -> Outcome<Job> {
    t.start(PROBE, line)
}

pub fn a_factory_that_dies_answers_everybody_who_waits(t: &mut Tester) -> Outcome {
    // Four that are kept, one whose request is served, and one behind it.
    let died = ExitStatus::Code(Error::ServerDied.label() as i32);
    for how in [0, 1] {
        let session = reborn(t, DOOMED)?;
        let mut kept = heapless::Vec::<Job, 4>::new();
        for _ in 0..4 {
            let job = caller(t, "p\0part\0call\0doomed_factory\x00keep\0")?;
            kept.push(job).map_err(|_| "too many")?;
        }
        // They have their turn.
        t.timer.sleep(50 * MS)?;
        for job in &kept {
            check_eq!(job.handle().stat()?.0, xos_protocol::IcState::Running)?;
        }
        check_eq!(
            tell(session, DIE, [how, 0, 0, 0]).err(),
            Some(Error::ServerDied)
        )?;
        while let Some(job) = kept.pop() {
            check_eq!(t.wait(job)?, died)?;
        }
        t.close(session);
    }
    check!(KEEP != DIE)
}

pub fn the_ics_of_a_factory_that_dies_die_with_it(t: &mut Tester) -> Outcome {
    t.level(|t| {
        let rogue = reborn(t, DOOMED)?;
        let victims = [victim(t, rogue)?, victim(t, rogue)?];
        check_eq!(
            tell(rogue, DIE, [2, 0, 0, 0]).err(),
            Some(Error::ServerDied)
        )?;
        let begin = t.timer.now()?;
        for victim in victims {
            while t.manager.stat(Subject::Ic(victim.id)).err() != Some(Error::Gone) {
                check!(t.timer.now()? < begin + PATIENCE, "it lives on")?;
                t.timer.sleep(MS)?;
            }
            let handle = Handle::new(cap::Endpoint::from_bits(leaf(victim.slot)));
            check_eq!(handle.stat().err(), Some(Error::Gone))?;
            t.slots.give(victim.slot);
        }
        t.close(rogue);
        // It serves again before what is free is compared.
        let rogue = reborn(t, DOOMED)?;
        t.close(rogue);
        Ok(())
    })
}

/// Microseconds after which somebody is killed: other ones each time, the same in each run.
fn moments() -> impl Iterator<Item = u64> {
    (0..40).map(|n: u64| n * n * 7 % 3_001 + n * 13)
}

pub fn processes_that_are_killed_at_any_moment_leave_nothing(t: &mut Tester) -> Outcome {
    t.run("hello", "hello\0--thread\0")?;
    t.level(|t| {
        for moment in moments() {
            let job = t.start("hello", "hello\0--thread\0")?;
            t.timer.sleep(Duration::from_micros(moment))?;
            job.handle().kill()?;
            let status = t.wait(job)?;
            check!(
                matches!(status, ExitStatus::Killed | ExitStatus::Code(0)),
                "{status}"
            )?;
        }
        Ok(())
    })
}

pub fn clients_that_die_at_any_moment_leave_nothing(t: &mut Tester) -> Outcome {
    let job = t.start(PROBE, "p\0part\0churn\0")?;
    t.timer.sleep(200 * MS)?;
    t.kill(job)?;
    t.level(|t| {
        for moment in moments() {
            let mut job = t.start(PROBE, "p\0part\0churn\0")?;
            t.timer.sleep(Duration::from_micros(moment * 4))?;
            // By the handle and by the supervisor, in turn.
            if moment % 2 == 0 {
                check_eq!(t.kill(job)?, ExitStatus::Killed)?;
            } else {
                t.manager.destroy(job.id)?;
                t.gone(&mut job);
            }
        }
        Ok(())
    })?;
    check_eq!(t.run("hello", "")?, ExitStatus::Code(0))
}

pub fn after_all_that_the_system_works_and_nothing_is_missing(t: &mut Tester) -> Outcome {
    let begin = t.timer.now()?;
    // All that was made is gone: what is left are the domains.
    loop {
        let (mut all, mut domains) = (0, 0);
        t.manager.each_ic(|ic| {
            all += 1;
            domains += u64::from(ic.creator == IcId::NONE);
        })?;
        if all == domains && all == t.manager.free()?.ics {
            break;
        }
        check!(
            t.timer.now()? < begin + PATIENCE,
            "{all} ICs, {domains} domains"
        )?;
        t.timer.sleep(MS)?;
    }
    t.level(|t| {
        check_eq!(t.run("kv", "kv\0")?, ExitStatus::Code(0))?;
        check_eq!(
            t.run("parallel", "parallel\x004\x0010000\0")?,
            ExitStatus::Code(0)
        )
    })
}
