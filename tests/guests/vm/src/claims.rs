// SPDX-License-Identifier: BSD-2-Clause
//! What a machine promises, claim for claim, tried from inside by commands of `apps/guest`. Beside it there is another
//! machine, which has to be as it was and go on.

use alloc::format;
use core::time::Duration;

use sel4::cap::Endpoint;
use xos_client::Port;
use xos_protocol::contract::{
    Capabilities, Channels, Cpu, FaultContainment, KernelInterface, Memory, Names, Quota, Teardown,
};
use xos_protocol::manager::{Consent, Free, Open};
use xos_protocol::slots::leaf;
use xos_protocol::{Contract, Error, ExitStatus, IcState, Name, Subject};
use xos_test_kit::{Outcome, check, check_eq};

use super::{
    CHANNEL, MANAGER, Machine, TIMER, create, each_end_of_a_machine_has_a_code, factory, free, run,
    start,
};

/// The values that the cases are about. To promise something else, a machine needs other cases.
const PROMISED: Contract = Contract {
    memory: Memory::SecondStage,
    capabilities: Capabilities::Own,
    names: Names::Own,
    kernel_interface: KernelInterface::Own,
    quota: Quota::Own,
    cpu: Cpu::CreatorsPriority,
    fault_containment: FaultContainment::Itself,
    teardown: Teardown::ManagerAlone,
    channels: Channels::Granted,
};

/// Bytes that a machine here may cost, and those of them that are its guest's.
const COST: u64 = 8 << 20;
const MEMORY: u64 = 6 << 20;
/// What a guest powers off with that has found everything as it should be. What else there is ends in other codes.
const PASSED: ExitStatus = ExitStatus::Code(9);
/// What the other one has in all its memory, and what it is told.
const MARK: u32 = 0x51a7_1057;
const SECRET: &str = "Gringotts-713";
/// What it is registered as when it has that.
const MARKED: &str = "marked";
/// How long somebody may take who is not to be waited for forever.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether something has happened.
const PAUSE: Duration = Duration::from_millis(2);

/// Runs a machine with this command line, which has to find everything as it should be.
fn passes(line: &str) -> Outcome {
    let machine = create(0, "guest", &format!("{line}; off 9"), COST)?;
    machine.handle.start()?;
    check_eq!(machine.handle.wait()?, PASSED)
}

/// How the guest is told what to look for.
fn find(word: u32) -> alloc::string::String {
    format!("find {:#x}", !word)
}

/// The first letters of the secret.
fn secret() -> Outcome<u32> {
    let letters = SECRET.as_bytes().first_chunk().ok_or("it is too short")?;
    Ok(u32::from_le_bytes(*letters))
}

/// The other machine.
struct Other(Machine);

impl Other {
    /// It is there, with its mark in all its memory.
    fn begin() -> Outcome<Self> {
        let line = format!("say {SECRET}; mark {MARK:#x}; await {MARKED}; kept {MARK:#x}; off 5");
        let machine = create(1, "guest", &line, COST)?;
        machine.handle.start()?;
        let open = Open {
            name: Name::new(MARKED),
            slot: CHANNEL,
            consent: Consent::default(),
        };
        let begun = TIMER.now()?;
        while let Err(error) = MANAGER.open(&open) {
            check_eq!(error, Error::NotFound)?;
            check!(TIMER.now()? - begun < PATIENCE, "it does not come up")?;
            TIMER.sleep(PAUSE)?;
        }
        Ok(Self(machine))
    }

    /// It goes on, and has all that it had.
    fn end(self) -> Outcome {
        Port::call(&Endpoint::from_bits(leaf(CHANNEL)), 0x700, [0; 4], 0)?;
        check_eq!(self.0.handle.wait()?, ExitStatus::Code(5))
    }
}

pub fn every_value_of_its_contract_has_a_case(_: &mut ()) -> Outcome {
    check_eq!(factory().describe()?, PROMISED)
}

pub fn what_it_writes_no_other_machine_finds(_: &mut ()) -> Outcome {
    let other = Other::begin()?;
    passes(&format!("{}; mark 0x2222; kept 0x2222", find(MARK)))?;
    // Nor behind its memory, nor where the first table of its second stage ends, and behind that.
    for address in [MEMORY, 256 << 20, (1 << 30) - 4096, 1 << 30, 0xfff0_0000] {
        let machine = create(0, "guest", &format!("die at {address:#x}"), COST)?;
        machine.handle.start()?;
        let status = machine.handle.wait()?;
        check!(status == ExitStatus::Code(131), "{address:#x}: {status}")?;
    }
    other.end()?;
    // Nor in what one that has ended has left.
    passes(&find(MARK))?;
    passes(&find(0x2222))
}

pub fn it_has_no_capability_that_it_could_name(_: &mut ()) -> Outcome {
    let other = Other::begin()?;
    passes("lonely")?;
    other.end()
}

pub fn its_names_are_its_own(_: &mut ()) -> Outcome {
    let other = Other::begin()?;
    passes(&find(secret()?))?;
    other.end()
}

pub fn its_kernel_is_its_own_and_the_systems_is_not_there(_: &mut ()) -> Outcome {
    passes("faults; unpaged; own")
}

/// Waits for a machine's end without ever resting.
fn end_of(machine: &Machine) -> Outcome<ExitStatus> {
    let begun = TIMER.now()?;
    loop {
        let state = MANAGER.stat(Subject::Ic(machine.id)).map(|ic| ic.state);
        if !matches!(state, Ok(IcState::Ready | IcState::Running)) {
            return Ok(machine.handle.wait()?);
        }
        check!(TIMER.now()? - begun < PATIENCE, "it does not end")?;
        sel4::r#yield();
    }
}

pub fn those_who_spin_take_turns(_: &mut ()) -> Outcome {
    // One that lets nothing through, this client, and one that comes to its end between them.
    let spins = start(2, "die spin")?;
    let counts = start(0, "count 200000; off 9")?;
    check_eq!(end_of(&counts)?, PASSED)?;
    spins.handle.kill()?;
    check_eq!(spins.handle.wait()?, ExitStatus::Killed)
}

pub fn its_ends_are_its_own(_: &mut ()) -> Outcome {
    let other = Other::begin()?;
    each_end_of_a_machine_has_a_code(&mut ())?;
    other.end()
}

/// Waits until so much is free again: what is large is taken back in the background.
fn settle(before: Free) -> Outcome {
    let begun = TIMER.now()?;
    while free()? != before && TIMER.now()? - begun < PATIENCE {
        TIMER.sleep(PAUSE)?;
    }
    check_eq!(free()?, before)
}

pub fn the_manager_alone_gets_all_back(_: &mut ()) -> Outcome {
    // The kernel's image stays for the next one.
    run("off 0")?;
    let before = free()?;
    for pause in [0, 1, 5, 20, 100] {
        let machine = start(2, "mark 0x3333; pages 100; tick 1000000")?;
        TIMER.sleep(Duration::from_millis(pause))?;
        // At whatever it is doing, and however far it has come.
        MANAGER.destroy(machine.id)?;
        check_eq!(machine.handle.wait(), Err(Error::Gone))?;
        settle(before)?;
    }
    Ok(())
}

pub fn it_shares_memory_with_nobody_and_reaches_nobody(_: &mut ()) -> Outcome {
    let other = Other::begin()?;
    passes("unshared")?;
    other.end()
}
