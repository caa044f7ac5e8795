// SPDX-License-Identifier: BSD-2-Clause
//! Who has control, and who may pass it to whom.
//!
//! A *program* is a client of the factory. It and its lwCs are the *contexts*
//! between which control is passed; exactly one of them has it. All others stand
//! still: each is a caller that was not answered yet (a `W`, which is used up by
//! answering), or an lwC that has not run yet.
//!
//! An lwC may always switch to its program, the program to each of its lwCs, and
//! one lwC to another if the program [allowed](Control::allow) it.

use heapless::Vec;
use heapless::index_map::FnvIndexMap;
use xos_protocol::{Error, IcId, Result};

/// Stands for the program itself where an lwC is named.
pub const PROGRAM: IcId = IcId::NONE;
/// Other lwCs that one may switch to.
const ALLOWED: usize = 8;

/// A context that is not in control.
#[derive(Debug)]
enum Rest<W> {
    /// It has not run yet.
    New,
    /// It has switched away.
    Waits(W),
    /// It is in control.
    Runs,
}

#[derive(Debug)]
struct Lwc<W> {
    client: u32,
    rest: Rest<W>,
    allowed: Vec<IcId, ALLOWED>,
}

#[derive(Debug)]
struct Program<W> {
    /// Who has control.
    control: IcId,
    /// The program, when it has not.
    waits: Option<W>,
}

/// Who is to go on.
#[derive(PartialEq, Eq, Debug)]
pub enum Next<W> {
    /// Answer this caller.
    Answer(W),
    /// Start this lwC.
    Start(IcId),
}

/// A caller that is to be told of an end, if somebody still waits there.
#[derive(PartialEq, Eq, Debug)]
pub struct Due<W> {
    /// The caller.
    pub waiter: W,
    /// What it is told.
    pub why: Error,
}

/// All contexts: at most `N` lwCs, a power of two, and the programs that have some.
#[derive(Debug)]
pub struct Control<W, const N: usize> {
    lwcs: FnvIndexMap<IcId, Lwc<W>, N>,
    programs: FnvIndexMap<u32, Program<W>, N>,
}

impl<W, const N: usize> Control<W, N> {
    /// Nobody.
    pub const fn new() -> Self {
        Self {
            lwcs: FnvIndexMap::new(),
            programs: FnvIndexMap::new(),
        }
    }

    /// A new lwC of the program behind a session.
    ///
    /// # Errors
    /// [`Error::TableFull`].
    pub fn add(&mut self, client: u32, id: IcId) -> Result<()> {
        let lwc = Lwc {
            client,
            rest: Rest::New,
            allowed: Vec::new(),
        };
        let added = self.lwcs.insert(id, lwc);
        added.map_err(|_| Error::TableFull)?;
        if !self.programs.contains_key(&client) {
            let program = Program {
                control: PROGRAM,
                waits: None,
            };
            // There is room: each program has an lwC.
            let _ = self.programs.insert(client, program);
        }
        Ok(())
    }

    /// Lets `from` switch to `to` from now on; both are lwCs of the same program.
    ///
    /// # Errors
    /// [`Error::Gone`] when one of them is not there, [`Error::NotAllowed`] when they belong to different
    /// programs, [`Error::TableFull`] when `from` may switch to too many already.
    pub fn allow(&mut self, from: IcId, to: IcId) -> Result<()> {
        let client = self.lwcs.get(&to).ok_or(Error::Gone)?.client;
        let lwc = self.lwcs.get_mut(&from).ok_or(Error::Gone)?;
        if lwc.client != client {
            return Err(Error::NotAllowed);
        }
        if lwc.allowed.contains(&to) {
            return Ok(());
        }
        lwc.allowed.push(to).map_err(|_| Error::TableFull)
    }

    /// Whether `from` may switch to `to` now. `from` is an lwC, or the program of which `to` is one.
    ///
    /// # Errors
    /// [`Error::Gone`] when one of the two is not there, [`Error::NotAllowed`] when it may never,
    /// [`Error::BadState`] when `from` is not in control, as happens when another thread of it switched
    /// away.
    pub fn check(&self, from: IcId, to: IcId) -> Result<()> {
        let one = if from == PROGRAM { to } else { from };
        let client = self.lwcs.get(&one).ok_or(Error::Gone)?.client;
        let program = self.programs.get(&client).ok_or(Error::Gone)?;
        if from == to {
            return Err(Error::NotAllowed);
        }
        if from != PROGRAM && to != PROGRAM {
            let lwc = self.lwcs.get(&from).ok_or(Error::Gone)?;
            if !lwc.allowed.contains(&to) {
                return Err(Error::NotAllowed);
            }
            self.lwcs.get(&to).ok_or(Error::Gone)?;
        }
        if program.control != from {
            return Err(Error::BadState);
        }
        Ok(())
    }

    /// Passes control from `from`, which is `waiter` from now on, to `to`: who is to go on.
    ///
    /// # Errors
    /// As [`check`](Self::check) says, and the waiter is back.
    pub fn switch(
        &mut self,
        from: IcId,
        to: IcId,
        waiter: W,
    ) -> core::result::Result<Next<W>, (Error, W)> {
        if let Err(error) = self.check(from, to) {
            return Err((error, waiter));
        }
        let one = if from == PROGRAM { to } else { from };
        let Some(client) = self.lwcs.get(&one).map(|lwc| lwc.client) else {
            return Err((Error::Gone, waiter));
        };
        // Whoever is not in control waits or is new: `check` has seen that `to` is not.
        let next = if to == PROGRAM {
            let program = self.programs.get_mut(&client);
            program
                .and_then(|program| program.waits.take())
                .map(Next::Answer)
        } else {
            let lwc = self.lwcs.get_mut(&to);
            lwc.and_then(|lwc| match core::mem::replace(&mut lwc.rest, Rest::Runs) {
                Rest::New => Some(Next::Start(to)),
                Rest::Waits(waiter) => Some(Next::Answer(waiter)),
                Rest::Runs => None,
            })
        };
        let Some(next) = next else {
            return Err((Error::BadState, waiter));
        };
        if let Some(program) = self.programs.get_mut(&client) {
            program.control = to;
            if from == PROGRAM {
                program.waits = Some(waiter);
                return Ok(next);
            }
        }
        if let Some(lwc) = self.lwcs.get_mut(&from) {
            lwc.rest = Rest::Waits(waiter);
        }
        Ok(next)
    }

    /// An lwC has ended. If it had control, its program has it again, and is told by being answered.
    pub fn ended(&mut self, id: IcId, mut due: impl FnMut(Due<W>)) {
        let Some(lwc) = self.lwcs.swap_remove(&id) else {
            return;
        };
        let why = Error::Gone;
        if let Rest::Waits(waiter) = lwc.rest {
            // Nobody is there; but what the waiter takes is to be given back.
            due(Due { waiter, why });
        }
        if let Some(program) = self.programs.get_mut(&lwc.client)
            && program.control == id
        {
            program.control = PROGRAM;
            if let Some(waiter) = program.waits.take() {
                due(Due { waiter, why });
            }
        }
        let mut last = true;
        for other in self.lwcs.values_mut() {
            other.allowed.retain(|allowed| *allowed != id);
            last &= other.client != lwc.client;
        }
        if last {
            // Its session may stay open for ever: that is to take no place from others.
            self.programs.swap_remove(&lwc.client);
        }
    }

    /// A program's session has ended: nobody has anything to do with its lwCs any more.
    pub fn closed(&mut self, client: u32, mut due: impl FnMut(Due<W>)) {
        let why = Error::Gone;
        if let Some(program) = self.programs.swap_remove(&client)
            && let Some(waiter) = program.waits
        {
            due(Due { waiter, why });
        }
        while let Some(id) = self
            .lwcs
            .iter()
            .find_map(|(id, lwc)| (lwc.client == client).then_some(*id))
        {
            self.ended(id, &mut due);
        }
    }

    /// How many lwCs there are.
    pub fn len(&self) -> usize {
        self.lwcs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lwcs.is_empty()
    }
}

impl<W, const N: usize> Default for Control<W, N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn id(n: u64) -> IcId {
        IcId::new(n, n as u32).unwrap()
    }

    /// A program with two lwCs.
    fn two() -> Control<u32, 8> {
        let mut control = Control::new();
        control.add(7, id(1)).unwrap();
        control.add(7, id(2)).unwrap();
        control
    }

    #[test]
    fn control_goes_to_an_lwc_and_back_and_to_where_it_was() {
        let mut control = two();
        assert_eq!(control.switch(PROGRAM, id(1), 10), Ok(Next::Start(id(1))));
        assert_eq!(control.switch(id(1), PROGRAM, 11), Ok(Next::Answer(10)));
        assert_eq!(control.switch(PROGRAM, id(1), 12), Ok(Next::Answer(11)));
    }

    #[test]
    fn only_the_one_in_control_switches() {
        let mut control = two();
        let no = Err((Error::BadState, 5));
        assert_eq!(control.switch(id(1), PROGRAM, 5), no);
        control.switch(PROGRAM, id(1), 10).unwrap();
        assert_eq!(control.switch(PROGRAM, id(2), 5), no);
        assert_eq!(control.switch(id(2), PROGRAM, 5), no);
    }

    #[test]
    fn lwcs_switch_to_each_other_only_if_they_were_allowed_to() {
        let mut control = two();
        control.switch(PROGRAM, id(1), 10).unwrap();
        let no = Err((Error::NotAllowed, 5));
        assert_eq!(control.switch(id(1), id(2), 5), no);
        control.allow(id(1), id(2)).unwrap();
        assert_eq!(control.switch(id(1), id(2), 11), Ok(Next::Start(id(2))));
        assert_eq!(control.switch(id(2), id(1), 5), no);
        assert_eq!(control.switch(id(2), PROGRAM, 12), Ok(Next::Answer(10)));
    }

    #[test]
    fn lwcs_of_another_program_are_nobody() {
        let mut control = two();
        control.add(8, id(3)).unwrap();
        assert_eq!(control.allow(id(1), id(3)), Err(Error::NotAllowed));
        assert_eq!(control.allow(id(1), id(4)), Err(Error::Gone));
        control.switch(PROGRAM, id(1), 10).unwrap();
        // One program's control is not the other's.
        assert_eq!(control.switch(PROGRAM, id(3), 20), Ok(Next::Start(id(3))));
        assert_eq!(control.switch(id(1), id(3), 5), Err((Error::NotAllowed, 5)));
    }

    #[test]
    fn an_lwc_that_ends_in_control_gives_it_back_to_its_program() {
        let mut control = two();
        control.switch(PROGRAM, id(1), 10).unwrap();
        let mut due = Vec::<_, 4>::new();
        control.ended(id(1), |d| due.push(d).unwrap());
        let why = Error::Gone;
        assert_eq!(due, [Due { waiter: 10, why }]);
        assert_eq!(control.switch(PROGRAM, id(1), 5), Err((Error::Gone, 5)));
        assert_eq!(control.switch(PROGRAM, id(2), 12), Ok(Next::Start(id(2))));
    }

    #[test]
    fn a_program_without_lwcs_takes_no_place_from_others() {
        let mut control = Control::<u32, 8>::new();
        for (client, number) in (0..20).zip(1..) {
            control.add(client, id(number)).unwrap();
            control.ended(id(number), |due| panic!("{due:?}"));
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add(u32),
        Switch(u64, u64),
        Allow(u64, u64),
        End(u64),
        Close(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        let id = 0u64..12;
        prop_oneof![
            3 => (0u32..3).prop_map(Step::Add),
            12 => (id.clone(), id.clone()).prop_map(|(from, to)| Step::Switch(from, to)),
            3 => (id.clone(), id.clone()).prop_map(|(from, to)| Step::Allow(from, to)),
            1 => id.prop_map(Step::End),
            1 => (0u32..3).prop_map(Step::Close),
        ]
    }

    proptest! {
        /// Whoever waits is answered exactly once, and one context of each program runs.
        #[test]
        fn no_waiter_is_lost_and_none_is_answered_twice(steps in proptest::collection::vec(step(), 0..120)) {
            let mut control = Control::<u32, 8>::new();
            let mut waiting = BTreeSet::new();
            let (mut next_id, mut next_waiter) = (1, 0);
            for step in steps {
                let mut due = std::vec::Vec::new();
                match step {
                    Step::Add(client) => {
                        if control.add(client, self::id(next_id)).is_ok() {
                            next_id += 1;
                        }
                    }
                    Step::Switch(from, to) => {
                        let name = |n: u64| if n == 0 { PROGRAM } else { self::id(n) };
                        next_waiter += 1;
                        match control.switch(name(from), name(to), next_waiter) {
                            Ok(next) => {
                                waiting.insert(next_waiter);
                                if let Next::Answer(waiter) = next {
                                    prop_assert!(waiting.remove(&waiter));
                                }
                            }
                            Err((_, waiter)) => prop_assert_eq!(waiter, next_waiter),
                        }
                    }
                    Step::Allow(from, to) if from != 0 && to != 0 => {
                        let _ = control.allow(self::id(from), self::id(to));
                    }
                    Step::Allow(..) => {}
                    Step::End(n) if n != 0 => control.ended(self::id(n), |d| due.push(d)),
                    Step::End(_) => {}
                    Step::Close(client) => control.closed(client, |d| due.push(d)),
                }
                for due in due {
                    prop_assert!(waiting.remove(&due.waiter));
                }
                for (client, program) in &control.programs {
                    prop_assert!(control.lwcs.values().any(|lwc| lwc.client == *client));
                    let running = control.lwcs.values().filter(|lwc| {
                        lwc.client == *client && matches!(lwc.rest, Rest::Runs)
                    });
                    let running = running.count() + usize::from(program.waits.is_none());
                    prop_assert_eq!(running, 1);
                }
            }
            for client in 0..3 {
                control.closed(client, |due| assert!(waiting.remove(&due.waiter)));
            }
            prop_assert!(waiting.is_empty() && control.is_empty());
        }
    }
}
