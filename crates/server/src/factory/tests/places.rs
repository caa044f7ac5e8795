// SPDX-License-Identifier: BSD-2-Clause
//! Nobody can take all the places that a factory has.

use super::*;

/// Makes as many as it gets, of one kind or the other.
fn takes(bench: &mut Under<'_>, session: u32, within: bool) -> Vec<IcId> {
    let client = Who::Session(session);
    let one = |bench: &mut Under<'_>| match within {
        false => create_by(bench, client, "hello"),
        true => match bench.call(client, SessionOp::Spawn.label(), &START.words()) {
            Came::Answer(told) => told.map(|words| IcId::from_word(words[0])),
            other => panic!("{other:?}"),
        },
    };
    let mut made = Vec::new();
    loop {
        match one(bench) {
            Ok(id) => made.push(id),
            Err(error) => {
                assert_eq!(error, Error::TableFull);
                return made;
            }
        }
    }
}

#[test]
fn a_client_cannot_take_the_places_of_others_however_many_sessions_it_has() {
    for within in [false, true] {
        let manager = FakeManager::default();
        let mut bench = bench(&manager);
        // Two sessions of the same client's, and one of another's.
        for (session, payer) in [(7, 7), (8, 7), (9, 9)] {
            manager.set_payer(session, payer);
        }
        let all = [7, 8, 9].map(|session| takes(&mut bench, session, within));
        assert_eq!(
            all.each_ref().map(Vec::len),
            [ICS / 2, 0, ICS / 4],
            "within: {within}"
        );
        // Whoever was refused has left nothing behind.
        assert_eq!(manager.alive().len(), ICS / 2 + ICS / 4);
        // What was given back can be taken again, however it went, and what could not be made takes nothing.
        for (number, id) in all.into_iter().flatten().enumerate() {
            match number % 2 {
                0 => {
                    ask(&mut bench, id, HandleOp::Kill);
                    ask(&mut bench, id, HandleOp::Wait);
                }
                _ => manager.kill(id),
            }
        }
        bench.notify(MANAGER_BIT);
        for _ in 0..ICS {
            assert_eq!(
                create_by(&mut bench, Who::Session(9), "broken"),
                Err(Error::BadImage)
            );
        }
        assert_eq!(manager.alive(), []);
        assert_eq!(takes(&mut bench, 9, within).len(), ICS / 2);
    }
}

#[test]
fn who_pays_for_a_snapshot_has_places_for_its_clones_as_for_others() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    let model = frozen(&mut bench);
    let made = (0..).map_while(|_| clone(&mut bench, model).ok()).count();
    // One place is the model's.
    assert_eq!(made, ICS / 2 - 1);
}

#[test]
fn a_client_cannot_take_the_places_for_callers_of_others() {
    let manager = FakeManager::default();
    let mut bench = bench(&manager);
    for session in [7, 9] {
        manager.set_payer(session, session);
    }
    let run = |bench: &mut Under<'_>, session| {
        let id = create_by(bench, Who::Session(session), "hello").unwrap();
        assert_eq!(ask(bench, id, HandleOp::Start), done());
        id
    };
    let mine: Vec<_> = (0..4).map(|_| run(&mut bench, 7)).collect();
    let others = [run(&mut bench, 9), run(&mut bench, 9)];
    let waits = |bench: &mut Under<'_>, ids: &[IcId]| {
        let mut kept = 0;
        for id in ids {
            for _ in 0..table::WAITERS {
                match ask(bench, *id, HandleOp::Wait) {
                    Came::Kept(_) => kept += 1,
                    came => assert_eq!(came, refused(Error::TableFull)),
                }
            }
        }
        kept
    };
    assert_eq!(waits(&mut bench, &mine), CALLERS / 2);
    assert_eq!(waits(&mut bench, &others), CALLERS / 4);
    // What comes to an end while no more can be kept is not lost.
    let last = *mine.last().unwrap();
    exit(&mut bench, last, 5);
    manager.set_reaper(true);
    let came = ask(&mut bench, last, HandleOp::Wait);
    assert_eq!(came, refused(Error::TableFull));
    manager.set_reaper(false);
    // Who was answered takes no place any more.
    exit(&mut bench, mine[0], 6);
    assert_eq!(bench.answers().len(), table::WAITERS);
    let came = ask(&mut bench, last, HandleOp::Wait);
    assert_eq!(came, Came::Answer(status(ExitStatus::Code(5))));
}
