// SPDX-License-Identifier: BSD-2-Clause
//! What a container promises, claim for claim, tried from inside by programs of Linux's: those of
//! `tests/linux/hostile`, and scripts. Beside it there always is another container, which has to go on.

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;

use xos_protocol::container::Stream;
use xos_protocol::contract::{
    Capabilities, Channels, Cpu, FaultContainment, KernelInterface, Memory, Names, Quota, Teardown,
};
use xos_protocol::factory::Spec;
use xos_protocol::wire::MAX_BYTES;
use xos_protocol::{Contract, Error, ExitStatus, Result};
use xos_test_kit::{Outcome, check, check_eq};

use super::{MANAGER, Made, TIMER, create, factory, free};

/// A container with all rights that one can have, busybox, and the program that means harm.
const IMAGE: &str = "hostile";
/// Bytes that it may cost in all.
const MEMORY: u64 = 32 << 20;
/// What the other container keeps for itself.
const SECRET: &str = "Gringotts-713";

/// The values that the cases here are about. To promise something else, a container needs other cases.
const PROMISED: Contract = Contract {
    memory: Memory::Private,
    capabilities: Capabilities::Own,
    names: Names::Own,
    kernel_interface: KernelInterface::Linux,
    quota: Quota::Own,
    cpu: Cpu::CreatorsPriority,
    fault_containment: FaultContainment::Itself,
    teardown: Teardown::ManagerAlone,
    channels: Channels::Granted,
};

/// A container that runs a script.
fn shell(number: u32, script: &str) -> Result<Made> {
    let arguments = alloc::format!("sh\0-c\0{script}\0");
    let spec = Spec {
        image: IMAGE,
        arguments: &arguments,
        ..Spec::default()
    };
    let made = create(number, &spec)?;
    made.start()?;
    Ok(made)
}

/// How long somebody may take to end who is not to be waited for forever, in seconds: a container that does not keep its
/// contract may stand still. That is what the claims wait for in vain where a defect is on: there it is shorter.
pub static PATIENCE: AtomicU64 = AtomicU64::new(120);
/// How often it is looked whether it has.
const PAUSE: Duration = Duration::from_millis(2);

/// Whether there is patience left.
fn waits(begin: Duration) -> Outcome<bool> {
    Ok(TIMER.now()? - begin < Duration::from_secs(PATIENCE.load(Relaxed)))
}

/// All that somebody in a container prints until its end: 0 for the container itself, or a program by its number.
fn streams(made: &Made, of: u32) -> Outcome<(String, String)> {
    let begin = TIMER.now()?;
    let (mut from, mut output, mut errors) = (0, Vec::new(), Vec::new());
    let mut buffer = [0; MAX_BYTES];
    loop {
        let log = made.container.log(of, from, false, &mut buffer)?;
        if log.end {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            return Ok((text(&output), text(&errors)));
        }
        match log.stream {
            Stream::Output => output.extend_from_slice(log.bytes),
            Stream::Error => errors.extend_from_slice(log.bytes),
        }
        from = log.next;
        if log.bytes.is_empty() {
            check!(waits(begin)?, "it does not end")?;
            TIMER.sleep(PAUSE)?;
        }
    }
}

/// Waits for a container's end: its status.
fn status(made: &Made) -> Outcome<u8> {
    streams(made, 0)?;
    Ok(made.container.wait()?)
}

/// Runs a script in a container to its end: what it prints.
fn output(script: &str) -> Outcome<String> {
    let made = shell(0, script)?;
    let (output, _) = streams(&made, 0)?;
    made.remove()?;
    Ok(output)
}

/// The other container: it keeps its secret in memory and in a file, and counts.
struct Other(Made);

impl Other {
    fn begin() -> Outcome<Self> {
        let script = alloc::format!(
            "s={SECRET}; echo $s > /srv/secret; hostname other; sleep 9999 & \
             while :; do : $s; sleep 0.01; echo >> /tmp/count; done"
        );
        let other = Self(shell(1, &script)?);
        other.goes_on()?;
        Ok(other)
    }

    /// Runs a script in it: its status.
    fn does(&self, script: &str) -> Outcome<u8> {
        let container = &self.0.container;
        let number = container.exec(&alloc::format!("sh\0-c\0{script}\0"), "", "")?;
        streams(&self.0, number)?;
        Ok(container.exec_wait(number)?)
    }

    /// It is as it was, does what it is told, and has all that is its own.
    fn goes_on(&self) -> Outcome {
        let script = alloc::format!(
            "n=$(wc -l < /tmp/count || echo 0); i=0; \
             while [ $(wc -l < /tmp/count || echo 0) = $n ]; do i=$((i+1)); [ $i = 500 ] && exit 1; sleep 0.01; done; \
             i=0; until [ $(cat /srv/secret) = {SECRET} ]; do i=$((i+1)); [ $i = 500 ] && exit 2; sleep 0.01; done; \
             dd if=/dev/zero of=/tmp/x bs=1k count=200 2>/dev/null || exit 3; rm /tmp/x; exit 42"
        );
        check_eq!(self.does(&script)?, 42)
    }

    fn end(self) -> Outcome {
        self.goes_on()?;
        check_eq!(self.0.remove()?, ExitStatus::Killed)
    }
}

/// Lets the hostile program try some of its attacks in a container, beside another one.
fn survives(attacks: &[&str]) -> Outcome {
    let other = Other::begin()?;
    let script = alloc::format!("cd /tmp; exec /bin/hostile {}", attacks.join(" "));
    let made = shell(0, &script)?;
    // Which may take long.
    let (output, errors) = made.streams(0)?;
    let status = made.container.wait()?;
    made.remove()?;
    let mut expected = String::new();
    for attack in attacks {
        expected += &alloc::format!("==== hostile_{attack}\nsurvived\n");
    }
    check!(
        output == expected && status == 0,
        "status {status}: {output}{errors}"
    )?;
    other.end()
}

pub fn every_value_of_its_contract_has_a_case(_: &mut ()) -> Outcome {
    check_eq!(factory().describe()?, PROMISED)
}

pub fn what_it_writes_nobody_else_reads(_: &mut ()) -> Outcome {
    // The other one's memory is nowhere: not below any pointer, not in what files and memory begin as, and not in
    // what one that has ended has left.
    let other = Other::begin()?;
    // (This pattern is none of what it finds.)
    let script = "dd if=/dev/zero of=/srv/room bs=1k count=2000 2>/dev/null; \
                  cat /srv/* /tmp/* /proc/*/environ /proc/*/cmdline 2>/dev/null | grep -c '[G]ringotts'; \
                  ls /srv; cat /proc/2/mem /proc/kcore /dev/mem /dev/kmem 2>/dev/null | wc -c";
    let expected = "0\nroom\n0\n";
    check_eq!(output(script)?, expected)?;
    other.end()?;
    check_eq!(output(script)?, expected)?;
    survives(&[
        "pointers_into_the_kernel_into_holes_and_to_what_is_read_only",
        "memory_that_others_have_left",
    ])
}

pub fn it_has_no_capability_that_it_could_name(_: &mut ()) -> Outcome {
    survives(&[
        "the_systems_own_calls_with_every_number_and_register_state",
        "the_systems_own_calls_with_strange_flags",
    ])
}

pub fn its_names_are_its_own(_: &mut ()) -> Outcome {
    let other = Other::begin()?;
    let script = "hostname mine; hostname; cat /proc/sys/kernel/hostname; ls /proc | grep -c '^[0-9]'; \
                  for i in 2 3 4 5 6 7 8 9; do kill -0 $i 2>/dev/null && echo $i; done; \
                  ls /srv; grep -c . /proc/net/unix 2>/dev/null; ls /proc/ic 2>/dev/null | wc -l";
    check_eq!(output(script)?, "mine\nmine\n3\n0\n")?;
    // While this one is called otherwise.
    let made = shell(0, "hostname mine; hostname; sleep 9999")?;
    let mut buffer = [0; MAX_BYTES];
    let log = made.container.log(0, 0, true, &mut buffer)?;
    check_eq!(log.bytes, b"mine\n")?;
    check_eq!(other.does("[ $(hostname) = other ]")?, 0)?;
    made.remove()?;
    other.end()
}

pub fn its_kernel_interface_is_linuxs_and_no_other(_: &mut ()) -> Outcome {
    survives(&[
        "interrupts_of_software",
        "privileged_instructions",
        "segments_and_far_jumps",
        "corrupted_stacks_at_the_return_from_a_handler",
    ])
}

pub fn it_cannot_spend_more_than_its_budget(_: &mut ()) -> Outcome {
    let other = Other::begin()?;
    let before = free()?;
    for script in [
        // Memory, by one process and by many; files; names; processes; open files.
        "x=0123456789; while :; do x=$x$x; done",
        "for i in 1 2 3 4 5 6; do sh -c 'x=0123456789; while :; do x=$x$x; done' & done; wait",
        "while dd if=/dev/zero of=/srv/big bs=64k count=64 oflag=append conv=notrunc 2>/dev/null; do :; done; wc -c < /srv/big",
        "i=0; while mkdir -p /srv/d$i/e/f/g && [ $i -lt 2000 ]; do i=$((i+1)); done 2>/dev/null",
        "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 1",
        "i=3; while [ $i -lt 300 ]; do eval \"exec $i</proc/self/status\"; i=$((i+1)); done 2>/dev/null",
    ] {
        let made = shell(0, script)?;
        let _ = made.container.wait()?;
        let (output, _) = streams(&made, 0)?;
        let written = output.trim().parse::<u64>().unwrap_or(0);
        check!(written < MEMORY, "it has written {written} bytes")?;
        other.goes_on()?;
        made.remove()?;
        settle(before.bytes)?;
    }
    other.end()
}

/// Waits until so much is free again: what is large is taken back in the background.
fn settle(bytes: u64) -> Outcome {
    let begin = TIMER.now()?;
    while free()?.bytes != bytes && waits(begin)? {
        TIMER.sleep(PAUSE)?;
    }
    check_eq!(free()?.bytes, bytes)
}

pub fn those_who_spin_take_turns(_: &mut ()) -> Outcome {
    let other = Other::begin()?;
    // In many processes, one of which does nothing but calls.
    let made = shell(
        0,
        "for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done; while :; do echo; done > /dev/null",
    )?;
    for _ in 0..3 {
        TIMER.sleep(Duration::from_millis(50))?;
        other.goes_on()?;
    }
    check_eq!(made.remove()?, ExitStatus::Killed)?;
    other.end()
}

pub fn its_faults_end_it_alone(_: &mut ()) -> Outcome {
    let other = Other::begin()?;
    // A process that dies is its container's affair.
    let script = "sh -c 'kill -SEGV $$'; echo $?; sh -c 'kill -ABRT $$'; echo $?";
    let made = shell(0, script)?;
    let (output, _) = streams(&made, 0)?;
    made.remove()?;
    check_eq!(output, "139\n134\n")?;
    // The first one's death is the container's end, and nobody else's.
    let made = shell(0, "sleep 0.1; exit 9")?;
    check_eq!(status(&made)?, 9)?;
    made.remove()?;
    other.end()
}

pub fn the_manager_alone_gets_all_back(_: &mut ()) -> Outcome {
    let other = Other::begin()?;
    let before = free()?;
    for pause in [0, 1, 5, 20, 100, 300] {
        let made = shell(
            0,
            "(while :; do echo x; done | cat > /dev/null) & sleep 1000 & while :; do :; done",
        )?;
        TIMER.sleep(Duration::from_millis(pause))?;
        // At whatever it is doing, and however far it has come.
        MANAGER.destroy(made.id)?;
        check_eq!(made.container.wait(), Err(Error::Gone))?;
        settle(before.bytes)?;
    }
    other.end()
}

pub fn it_reaches_nobody_and_nobody_reaches_it(_: &mut ()) -> Outcome {
    let other = Other::begin()?;
    // A socket of the other one's, a pipe with a name, and no network.
    check_eq!(other.does("mkfifo /tmp/pipe; ls /tmp/pipe > /dev/null")?, 0)?;
    let script = "ls /tmp; nc -w 1 127.0.0.1 80 2>/dev/null || echo none; ping -c 1 127.0.0.1 >/dev/null 2>&1 || echo none; \
                  ifconfig 2>/dev/null || echo none; cat /proc/net/tcp 2>/dev/null || echo none; \
                  mount -o bind / /mnt 2>/dev/null || echo none; ls -l /proc/1/fd/0 > /dev/null && echo own";
    check_eq!(output(script)?, "none\nnone\nnone\nnone\nnone\nown\n")?;
    // Nor does what it prints come to the other one's log.
    let mut buffer = [0; MAX_BYTES];
    check_eq!(other.0.container.log(0, 0, false, &mut buffer)?.bytes, b"")?;
    other.end()
}

pub fn two_containers_cannot_see_signal_name_starve_or_fill_each_other(_: &mut ()) -> Outcome {
    let other = Other::begin()?;
    // It sees its own processes only, signals all that it can, fills all that it can.
    let script = "ps | grep -c '[s]leep 9999'; kill -9 -1 2>/dev/null; killall -9 sleep 2>/dev/null; \
                  for i in 2 3 4 5 6 7 8 9 10 11 12; do kill -9 $i 2>/dev/null; done; \
                  ls /srv | wc -l; grep -rc Gringotts /srv /tmp 2>/dev/null | wc -l; \
                  (while :; do :; done) & (while :; do :; done) & \
                  while dd if=/dev/zero of=/srv/full bs=64k count=16 oflag=append conv=notrunc 2>/dev/null; do :; done; \
                  while dd if=/dev/zero of=/tmp/full bs=64k count=16 oflag=append conv=notrunc 2>/dev/null; do :; done; \
                  echo full; sleep 8888";
    let made = shell(0, script)?;
    let mut buffer = [0; MAX_BYTES];
    let (mut from, mut text) = (0, Vec::new());
    while !text.ends_with(b"full\n") {
        let log = made.container.log(0, from, true, &mut buffer)?;
        check!(!log.end, "it ended: {}", String::from_utf8_lossy(&text))?;
        text.extend_from_slice(log.bytes);
        from = log.next;
        // While it does all that.
        other.goes_on()?;
    }
    check_eq!(String::from_utf8_lossy(&text), "0\n0\n0\nfull\n")?;
    // What it is told from outside is for it alone.
    made.container.signal(9)?;
    check_eq!(status(&made)?, 137)?;
    made.remove()?;
    other.end()
}
