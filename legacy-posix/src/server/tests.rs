// SPDX-License-Identifier: BSD-2-Clause
//! Whole calls of whole processes, on a model of the machine: a thread is its registers, and a test says
//! which call it makes next.

use alloc::string::String;
use core::fmt;
use std::collections::BTreeMap;
use std::vec::Vec;

use linux_raw_sys::general as linux;
use proptest::prelude::*;

use super::*;
use crate::boot::{self, Boot};
use crate::mm::model::PageTables;
use crate::mm::{Paging, Slot, Space};
use crate::pages::model::HeapPages;
use crate::task::Life;

/// Where programs of tests have their code, and their data.
const CODE: u64 = 0x40_0000;
pub(crate) const DATA: u64 = 0x40_2000;

/// The machine.
#[derive(Default)]
pub(crate) struct Model {
    tables: PageTables,
    spaces: u32,
    ended: usize,
    /// Registers of executions, and whether they run.
    executions: BTreeMap<u32, (Registers, bool)>,
    next: u32,
    now: u64,
    alarm: Option<u64>,
    log: Vec<String>,
    heap: usize,
}

impl Paging for Model {
    fn map(&mut self, space: Space, address: u64, page: Page, writable: bool) -> Result<Slot> {
        self.tables.map(space, address, page, writable)
    }
    fn protect(&mut self, space: Space, slot: Slot, writable: bool) {
        self.tables.protect(space, slot, writable);
    }
    fn unmap(&mut self, space: Space, slot: Slot) {
        self.tables.unmap(space, slot);
    }
}

impl Kernel for Model {
    fn create_space(&mut self) -> Result<Space> {
        self.spaces += 1;
        Ok(Space(self.spaces))
    }
    fn end_space(&mut self, space: Space) {
        self.tables.end(space);
        self.ended += 1;
    }
    fn spaces(&self) -> (usize, usize) {
        (64 + self.ended - self.spaces as usize, 64)
    }
    fn serve(&mut self, _: crate::pages::Claim) {}
    fn create_execution(&mut self, _: Space) -> Result<Execution> {
        self.next += 1;
        self.executions.insert(self.next, Default::default());
        Ok(Execution(self.next))
    }
    fn end_execution(&mut self, execution: Execution) {
        self.executions.remove(&execution.0).unwrap();
    }
    fn registers(&mut self, execution: Execution) -> Registers {
        self.executions[&execution.0].0
    }
    fn hold(&mut self, execution: Execution) {
        self.stop(execution);
    }
    fn stop(&mut self, execution: Execution) -> Registers {
        let (registers, runs) = self.executions.get_mut(&execution.0).unwrap();
        *runs = false;
        *registers
    }
    fn run(&mut self, execution: Execution, new: &Registers, extent: Extent) {
        let (registers, runs) = self.executions.get_mut(&execution.0).unwrap();
        assert!(!*runs, "it runs already");
        *runs = true;
        match extent {
            Extent::Nothing => {}
            Extent::All => *registers = *new,
            Extent::Result => {
                registers.rip = new.rip;
                registers.rsp = new.rsp;
                registers.rflags = new.rflags;
                registers.rax = new.rax;
                assert_eq!(registers, new, "more has changed than is written");
            }
        }
    }
    fn heap(&mut self) -> (usize, usize) {
        // In KiB, as if there were 1600.
        (self.heap << 10, 1600 << 10)
    }
    fn now(&mut self) -> u64 {
        self.now
    }
    fn epoch(&mut self) -> u64 {
        1_700_000_000_000_000_000
    }
    fn alarm(&mut self, at: Option<u64>) {
        self.alarm = at;
    }
    fn seed(&mut self) -> [u8; 32] {
        [4; 32]
    }
    fn features(&mut self) -> u64 {
        0
    }
    fn processor(&mut self) -> String {
        "model".into()
    }
    fn log(&mut self, line: fmt::Arguments<'_>) {
        self.log.push(alloc::format!("{line}"));
    }
}

/// A static program: a page of `syscall` instructions, and a page of data that can be written to.
pub(crate) fn program() -> Vec<u8> {
    let mut file = vec![0; 0x3000];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    put(16, &[2, 0, 62, 0, 1, 0, 0, 0]);
    put(24, &CODE.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(52, &[64, 0, 56, 0, 2, 0]);
    for (i, (flags, offset, address, bytes)) in [
        (5u32, 0x1000u64, CODE, 0x1000u64),
        (6, 0x2000, DATA, 0x1000),
    ]
    .into_iter()
    .enumerate()
    {
        let at = 64 + 56 * i;
        put(at, &1u32.to_le_bytes());
        put(at + 4, &flags.to_le_bytes());
        for (j, word) in [offset, address, address, bytes, bytes + 0x800, 0x1000]
            .into_iter()
            .enumerate()
        {
            put(at + 8 + 8 * j, &word.to_le_bytes());
        }
    }
    for at in (0x1000..0x2000).step_by(2) {
        put(at, &[0x0f, 0x05]);
    }
    file
}

pub(crate) struct Test {
    pub(crate) server: Server<Model, HeapPages>,
}

pub(crate) const INIT: ThreadId = ProcessId::INIT.leader();

impl Test {
    fn new() -> Self {
        Self::with(&[("bin/init", &program())])
    }

    fn with(files: &[(&str, &[u8])]) -> Self {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, data) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(data.len() as u64);
            header.set_mode(0o755);
            archive.append_data(&mut header, name, *data).unwrap();
        }
        let archive = archive.into_inner().unwrap();
        let boot = Boot {
            archive: Vec::leak(archive),
            program: vec![b"/bin/init".to_vec(), b"argument".to_vec()],
            environment: Vec::new(),
        };
        let server = boot::start(Model::default(), HeapPages::new(2000), boot).unwrap();
        Self { server }
    }

    fn execution(&self, t: ThreadId) -> Execution {
        self.server.tasks.thread(t).unwrap().execution
    }

    fn registers(&mut self, t: ThreadId) -> &mut Registers {
        let execution = self.execution(t);
        &mut self
            .server
            .kernel
            .executions
            .get_mut(&execution.0)
            .unwrap()
            .0
    }

    fn runs(&self, t: ThreadId) -> bool {
        let execution = self.execution(t);
        self.server.kernel.executions[&execution.0].1
    }

    /// An execution stops because of a fault.
    fn fault(&mut self, execution: Execution, fault: Fault) {
        if let Some((_, runs)) = self.server.kernel.executions.get_mut(&execution.0) {
            *runs = false;
        }
        self.server.fault(execution, fault);
    }

    /// A thread makes a call: the result, if it goes on.
    pub(crate) fn call<const N: usize>(
        &mut self,
        t: ThreadId,
        number: u32,
        args: [u64; N],
    ) -> Option<i64> {
        assert!(self.runs(t), "{t} does not run");
        let all: [u64; 6] = core::array::from_fn(|i| args.get(i).copied().unwrap_or(0));
        let r = self.registers(t);
        r.rip = CODE;
        r.rax = number.into();
        [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9] = all;
        let execution = self.execution(t);
        self.fault(execution, Fault::Exception(INVALID_OPCODE, 0));
        if !self.server.kernel.executions.get(&execution.0)?.1 {
            return None;
        }
        let r = self.server.kernel.executions[&execution.0].0;
        Some(r.rax as i64)
    }

    /// The result of a call that waited.
    pub(crate) fn result(&mut self, t: ThreadId) -> Option<i64> {
        self.runs(t).then(|| self.registers(t).rax as i64)
    }

    pub(crate) fn fork(&mut self, t: ThreadId) -> ThreadId {
        let child = self.call(t, linux::__NR_fork, []).unwrap();
        let child = ThreadId::new(child as u32).unwrap();
        assert_eq!(self.result(child), Some(0));
        child
    }

    pub(crate) fn put(&mut self, t: ThreadId, address: u64, words: &[u64]) {
        self.server.write_words(t, address, words).unwrap();
    }

    pub(crate) fn get<const N: usize>(&mut self, t: ThreadId, address: u64) -> [u64; N] {
        self.server.read_words(t, address).unwrap()
    }

    /// The first words of what the handler that a thread is about to run is told.
    fn handled<const N: usize>(&mut self, t: ThreadId) -> [u64; N] {
        let r = *self.registers(t);
        assert_eq!((r.rip, r.rax), (signals::TRAMPOLINE, HANDLER));
        self.get(t, r.rsp + crate::signal::frame::INFO_AT)
    }

    pub(crate) fn pass(&mut self, nanoseconds: u64) {
        self.server.kernel.now += nanoseconds;
        if self
            .server
            .kernel
            .alarm
            .is_some_and(|at| at <= self.server.kernel.now)
        {
            self.server.tick();
        }
    }

    /// A handler at this address for a signal.
    pub(crate) fn handle(&mut self, t: ThreadId, signal: u32, handler: u64, flags: u32) {
        self.put(t, DATA, &[handler, flags.into(), 0, 0]);
        let args = [signal.into(), DATA, 0, 8];
        assert_eq!(self.call(t, linux::__NR_rt_sigaction, args), Some(0));
    }
}

const HANDLER: u64 = CODE + 0x100;

#[test]
fn the_first_program_finds_its_arguments_and_its_auxiliary_vector() {
    let mut test = Test::new();
    let r = *test.registers(INIT);
    assert_eq!((r.rip, r.rsp % 16), (CODE, 0));
    let [count, name, argument, end] = test.get(INIT, r.rsp);
    assert_eq!((count, end), (2, 0));
    let s = &mut test.server;
    assert_eq!(s.read_string(INIT, name, 99).unwrap(), b"/bin/init");
    assert_eq!(s.read_string(INIT, argument, 99).unwrap(), b"argument");
    // Behind the environment.
    let mut at = r.rsp + 32;
    while test.get::<1>(INIT, at) != [0] {
        at += 8;
    }
    let mut vector = BTreeMap::new();
    loop {
        at += 16;
        let [tag, value] = test.get(INIT, at - 8);
        if tag == 0 {
            break;
        }
        vector.insert(tag, value);
    }
    assert_eq!(vector[&9], CODE);
    assert_eq!(vector[&6], 4096);
    assert_eq!(test.call(INIT, linux::__NR_getpid, []), Some(1));
    assert_eq!(test.call(INIT, linux::__NR_getppid, []), Some(0));
}

#[test]
fn each_program_finds_random_bytes_of_its_own() {
    let mut test = Test::new();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let mut at = test.registers(INIT).rsp;
        // Two lists of pointers, each ended by a null pointer; `AT_RANDOM` is behind them.
        for _ in 0..2 {
            while test.get::<1>(INIT, at) != [0] {
                at += 8;
            }
            at += 8;
        }
        let bytes = loop {
            let [tag, value] = test.get(INIT, at);
            at += 16;
            if tag == 25 {
                break value;
            }
        };
        assert!(seen.insert(test.get::<2>(INIT, bytes)));
        test.server.write_bytes(INIT, DATA, b"/bin/init\0").unwrap();
        test.call(INIT, linux::__NR_execve, [DATA, 0, 0]);
    }
}

#[test]
fn a_program_that_runs_is_not_written_to_and_one_that_is_written_to_does_not_run() {
    let mut test = Test::new();
    test.server.write_bytes(INIT, DATA, b"/bin/init\0").unwrap();
    let open = |test: &mut Test, flags| test.call(INIT, linux::__NR_open, [DATA, flags, 0]);
    for flags in [linux::O_WRONLY, linux::O_RDWR, linux::O_TRUNC] {
        assert_eq!(open(&mut test, flags.into()), Some(-26));
    }
    let cut = test.call(INIT, linux::__NR_truncate, [DATA, 0]);
    assert_eq!(cut, Some(-26));
    // A child may run something else, which leaves its parent's program alone.
    let child = test.fork(INIT);
    test.call(child, linux::__NR_exit, [0]);
    test.call(INIT, linux::__NR_wait4, [!0, 0, 0, 0]);
    assert_eq!(open(&mut test, linux::O_RDWR.into()), Some(-26));
    // Another file.
    test.server
        .write_bytes(INIT, DATA, b"/bin/other\0")
        .unwrap();
    let flags = linux::O_RDWR | linux::O_CREAT;
    let fd = test.call(INIT, linux::__NR_open, [DATA, flags.into(), 0o755]);
    let run = |test: &mut Test| {
        test.call(INIT, linux::__NR_execve, [DATA, 0, 0]);
        test.result(INIT)
    };
    assert_eq!(run(&mut test), Some(-26));
    assert_eq!(
        test.call(INIT, linux::__NR_close, [fd.unwrap() as u64]),
        Some(0)
    );
    assert_eq!(run(&mut test), Some(-8));
}

#[test]
fn a_child_ends_and_its_parent_learns_how() {
    let mut test = Test::new();
    let child = test.fork(INIT);
    assert_eq!(test.call(INIT, linux::__NR_wait4, [!0, DATA, 0, 0]), None);
    assert_eq!(test.call(child, linux::__NR_getppid, []), Some(1));
    assert_eq!(test.call(child, linux::__NR_exit_group, [7]), None);
    assert_eq!(test.result(INIT), Some(child.number().into()));
    assert_eq!(test.get(INIT, DATA).map(|word: u64| word as u32), [7 << 8]);
    assert_eq!(test.call(INIT, linux::__NR_wait4, [!0, 0, 0, 0]), Some(-10));
    assert_eq!(test.server.tasks.processes.len(), 1);
}

#[test]
fn memory_of_parent_and_child_is_apart() {
    let mut test = Test::new();
    test.put(INIT, DATA, &[1]);
    let child = test.fork(INIT);
    test.put(child, DATA, &[2]);
    assert_eq!(test.get(INIT, DATA), [1]);
    assert_eq!(test.get(child, DATA), [2]);
}

#[test]
fn processes_come_and_go_without_leaving_a_frame_behind() {
    let mut test = Test::new();
    let mut used = None;
    for _ in 0..50 {
        let child = test.fork(INIT);
        test.put(child, DATA, &[2]);
        let grandchild = test.fork(child);
        test.server
            .write_bytes(grandchild, DATA + 64, b"/bin/init\0")
            .unwrap();
        test.call(grandchild, linux::__NR_execve, [DATA + 64, 0, 0]);
        assert_eq!(test.result(grandchild), Some(0));
        test.call(grandchild, linux::__NR_exit_group, [0]);
        test.call(child, linux::__NR_exit_group, [0]);
        for _ in 0..2 {
            assert!(test.call(INIT, linux::__NR_wait4, [!0, 0, 0, 0]).unwrap() > 0);
        }
        // The first have brought pages of the program's file into memory, which stay there.
        let now = test.server.pages.used();
        assert_eq!(*used.get_or_insert(now), now);
    }
    assert_eq!(test.server.kernel.executions.len(), 1);
    assert_eq!(test.server.tasks.threads.len(), 1);
}

#[test]
fn a_process_that_dies_of_a_fault_leaves_no_frame_behind() {
    let mut test = Test::new();
    test.put(INIT, DATA, &[1]);
    let mut used = None;
    for _ in 0..3 {
        let child = test.fork(INIT);
        test.put(child, DATA, &[2]);
        let execution = test.execution(child);
        let nowhere = Fault::Page(0xdead_0000, Access::Read);
        test.fault(execution, nowhere);
        assert!(!test.server.tasks.threads.contains_key(&child));
        test.call(INIT, linux::__NR_wait4, [!0, 0, 0, 0]);
        // The first has brought a page of the program's file into memory, which stays there.
        let now = test.server.pages.used();
        assert_eq!(*used.get_or_insert(now), now);
    }
}

#[test]
fn an_orphan_becomes_a_child_of_the_first_process() {
    let mut test = Test::new();
    let child = test.fork(INIT);
    let grandchild = test.fork(child);
    test.call(child, linux::__NR_exit_group, [0]);
    assert_eq!(test.call(grandchild, linux::__NR_getppid, []), Some(1));
    test.call(grandchild, linux::__NR_exit_group, [0]);
    for pid in [child, grandchild] {
        let args = [pid.number().into(), 0, 0, 0];
        let found = test.call(INIT, linux::__NR_wait4, args);
        assert_eq!(found, Some(pid.number().into()));
    }
}

#[test]
fn a_parent_by_vfork_waits_until_its_child_lets_go_of_its_memory() {
    let mut test = Test::new();
    assert_eq!(test.call(INIT, linux::__NR_vfork, []), None);
    let child = ThreadId::new(2).unwrap();
    test.put(child, DATA, &[9]);
    assert_eq!(test.call(child, linux::__NR_exit_group, [0]), None);
    assert_eq!(test.result(INIT), Some(2));
    assert_eq!(test.get(INIT, DATA), [9]);
}

#[test]
fn a_handler_runs_with_what_it_is_told_and_then_all_is_as_before() {
    let mut test = Test::new();
    test.handle(INIT, linux::SIGUSR1, HANDLER, linux::SA_SIGINFO);
    let before = {
        let r = test.registers(INIT);
        r.rbx = 77;
        r.rsp -= 1024;
        *r
    };
    test.call(INIT, linux::__NR_kill, [1, linux::SIGUSR1.into()]);
    let r = *test.registers(INIT);
    assert_eq!((r.rip, r.rbx), (signals::TRAMPOLINE, 77));
    assert_eq!(r.rsp % 16, 8);
    let [first, code] = test.handled(INIT);
    assert_eq!((first, code as u32 as i32), (10, linux::SI_USER as i32));
    let [mask] = test.get(INIT, DATA);
    let _ = mask;
    // It is blocked meanwhile.
    let args = [0, 0, DATA, 8];
    assert_eq!(test.call(INIT, linux::__NR_rt_sigprocmask, args), Some(0));
    assert_eq!(test.get(INIT, DATA), [1 << 9]);
    // The handler returns: its return address is taken off the stack.
    test.registers(INIT).rsp = r.rsp + 8;
    test.call(INIT, linux::__NR_rt_sigreturn, []);
    let r = *test.registers(INIT);
    assert_eq!((r.rip, r.rax, r.rbx), (CODE + 2, 0, 77));
    assert_eq!(r.rsp, before.rsp);
}

#[test]
fn a_read_that_a_handler_interrupts_is_restarted_or_not_as_the_action_says() {
    for (flags, rip, rax) in [
        (linux::SA_RESTART, CODE, u64::from(linux::__NR_read)),
        (0, CODE + 2, Errno::INTR.to_register()),
    ] {
        let mut test = Test::new();
        assert_eq!(test.call(INIT, linux::__NR_pipe, [DATA]), Some(0));
        let [pair] = test.get::<1>(INIT, DATA);
        test.handle(INIT, linux::SIGUSR1, HANDLER, flags);
        let other = test.fork(INIT);
        let read = test.call(INIT, linux::__NR_read, [pair & 0xffff_ffff, DATA + 64, 1]);
        assert_eq!(read, None);
        test.call(other, linux::__NR_kill, [1, linux::SIGUSR1.into()]);
        test.handled::<1>(INIT);
        test.registers(INIT).rsp += 8;
        test.call(INIT, linux::__NR_rt_sigreturn, []);
        let r = *test.registers(INIT);
        assert_eq!((r.rip, r.rax), (rip, rax));
    }
}

#[test]
fn a_byte_goes_through_a_pipe_and_wakes_who_waits_for_it() {
    let mut test = Test::new();
    test.call(INIT, linux::__NR_pipe, [DATA]);
    let [pair] = test.get::<1>(INIT, DATA);
    let (read, write) = (pair & 0xffff_ffff, pair >> 32);
    let child = test.fork(INIT);
    assert_eq!(test.call(INIT, linux::__NR_read, [read, DATA, 8]), None);
    test.put(child, DATA, &[0x55]);
    assert_eq!(
        test.call(child, linux::__NR_write, [write, DATA, 1]),
        Some(1)
    );
    assert_eq!(test.result(INIT), Some(1));
    assert_eq!(test.get::<1>(INIT, DATA).map(|word| word & 0xff), [0x55]);
    // Nobody is left to write: the end.
    test.call(child, linux::__NR_exit_group, [0]);
    test.call(INIT, linux::__NR_close, [write]);
    assert_eq!(test.call(INIT, linux::__NR_read, [read, DATA, 8]), Some(0));
}

#[test]
fn a_deadly_signal_ends_all_threads_and_tells_the_parent() {
    let mut test = Test::new();
    let child = test.fork(INIT);
    let flags = linux::CLONE_VM | linux::CLONE_THREAD | linux::CLONE_SIGHAND;
    let second = test
        .call(child, linux::__NR_clone, [flags.into(), DATA])
        .unwrap();
    let second = ThreadId::new(second as u32).unwrap();
    assert_eq!(test.call(second, linux::__NR_pause, []), None);
    let kill = [child.number().into(), linux::SIGTERM.into()];
    assert_eq!(test.call(INIT, linux::__NR_kill, kill), Some(0));
    assert_eq!(
        test.call(INIT, linux::__NR_wait4, [!0, DATA, 0, 0]),
        Some(2)
    );
    assert_eq!(
        test.get::<1>(INIT, DATA).map(|word| word as u32),
        [linux::SIGTERM]
    );
    assert_eq!(test.server.kernel.executions.len(), 1);
}

#[test]
fn who_stops_is_reported_and_goes_on_when_told() {
    let mut test = Test::new();
    let child = test.fork(INIT);
    let id: u64 = child.number().into();
    test.call(INIT, linux::__NR_kill, [id, linux::SIGSTOP.into()]);
    assert!(!test.runs(child));
    let options = u64::from(linux::WUNTRACED | linux::WCONTINUED);
    let wait = [!0, DATA, options, 0];
    assert_eq!(test.call(INIT, linux::__NR_wait4, wait), Some(2));
    let status = test.get::<1>(INIT, DATA).map(|word| word as u32);
    assert_eq!(status, [linux::SIGSTOP << 8 | 0x7f]);
    test.call(INIT, linux::__NR_kill, [id, linux::SIGCONT.into()]);
    assert!(test.runs(child));
    assert_eq!(test.call(INIT, linux::__NR_wait4, wait), Some(2));
    assert_eq!(test.get::<1>(INIT, DATA).map(|word| word as u32), [0xffff]);
}

#[test]
fn a_sleep_ends_when_its_time_has_come_and_not_before() {
    let mut test = Test::new();
    test.put(INIT, DATA, &[1, 500]);
    assert_eq!(test.call(INIT, linux::__NR_nanosleep, [DATA, 0]), None);
    test.pass(1_000_000_499);
    assert_eq!(test.result(INIT), None);
    test.pass(1);
    assert_eq!(test.result(INIT), Some(0));
}

#[test]
fn a_futex_wakes_and_times_out() {
    let mut test = Test::new();
    let flags = linux::CLONE_VM | linux::CLONE_THREAD | linux::CLONE_SIGHAND;
    let second = test
        .call(INIT, linux::__NR_clone, [flags.into(), DATA])
        .unwrap();
    let second = ThreadId::new(second as u32).unwrap();
    test.put(INIT, DATA, &[5]);
    let wait = |value| {
        [
            DATA,
            linux::FUTEX_WAIT_PRIVATE.into(),
            value,
            DATA + 64,
            0,
            0,
        ]
    };
    test.put(INIT, DATA + 64, &[0, 1000]);
    assert_eq!(test.call(second, linux::__NR_futex, wait(6)), Some(-11));
    assert_eq!(test.call(second, linux::__NR_futex, wait(5)), None);
    let wake = [DATA, linux::FUTEX_WAKE_PRIVATE.into(), 9];
    assert_eq!(test.call(INIT, linux::__NR_futex, wake), Some(1));
    assert_eq!(test.result(second), Some(0));
    assert_eq!(test.call(second, linux::__NR_futex, wait(5)), None);
    test.pass(1000);
    assert_eq!(test.result(second), Some(-110));
    assert_eq!(test.call(INIT, linux::__NR_futex, wake), Some(0));
}

#[test]
fn a_thread_that_ends_wakes_who_joins_it() {
    let mut test = Test::new();
    let flags = linux::CLONE_VM
        | linux::CLONE_THREAD
        | linux::CLONE_SIGHAND
        | linux::CLONE_CHILD_CLEARTID
        | linux::CLONE_PARENT_SETTID;
    let args = [flags.into(), DATA + 1024, DATA, DATA];
    let second = test.call(INIT, linux::__NR_clone, args).unwrap();
    assert_eq!(test.get::<1>(INIT, DATA).map(|word| word as i64), [second]);
    let second = ThreadId::new(second as u32).unwrap();
    let wait = [DATA, linux::FUTEX_WAIT.into(), second.number().into(), 0];
    assert_eq!(test.call(INIT, linux::__NR_futex, wait), None);
    assert_eq!(test.call(second, linux::__NR_exit, [0]), None);
    assert_eq!(test.result(INIT), Some(0));
    assert_eq!(test.get::<1>(INIT, DATA), [0]);
}

#[test]
fn an_access_to_nothing_is_a_signal_with_the_address() {
    let mut test = Test::new();
    test.handle(INIT, linux::SIGSEGV, HANDLER, linux::SA_SIGINFO);
    let execution = test.execution(INIT);
    test.fault(execution, Fault::Page(0xdead_0000, Access::Write));
    let [signal, code, address] = test.handled(INIT);
    assert_eq!(signal as u32, linux::SIGSEGV);
    assert_eq!((code as u32, address), (linux::SEGV_MAPERR, 0xdead_0000));
    // A second one within the handler, which blocks it: the end.
    test.fault(execution, Fault::Page(0xdead_0000, Access::Write));
    let core = Life::Zombie(linux::SIGSEGV as i32 | 0x80);
    assert_eq!(
        test.server.tasks.process(ProcessId::INIT).unwrap().life,
        core
    );
    assert!(test.server.ended.is_some());
}

#[test]
fn a_script_is_run_by_its_interpreter() {
    let script = b"#!/bin/init -x y\nrest";
    let mut test = Test::with(&[("bin/init", &program()), ("bin/script", script)]);
    test.server
        .write_bytes(INIT, DATA, b"/bin/script\0")
        .unwrap();
    test.put(INIT, DATA + 64, &[DATA, DATA, 0]);
    test.call(INIT, linux::__NR_execve, [DATA, DATA + 64, 0]);
    let r = *test.registers(INIT);
    let [count, a, b, c, d] = test.get(INIT, r.rsp);
    assert_eq!(count, 4);
    let strings = [a, b, c, d].map(|at| test.server.read_string(INIT, at, 99).unwrap());
    let expected: [&[u8]; 4] = [b"/bin/init", b"-x y", b"/bin/script", b"/bin/script"];
    assert_eq!(strings.each_ref().map(Vec::as_slice), expected);
}

#[test]
fn what_cannot_be_executed_leaves_the_program_as_it_is() {
    let mut test = Test::with(&[("bin/init", &program()), ("bin/text", b"no program")]);
    for (path, errno) in [
        (&b"/bin/text\0"[..], -8),
        (b"/bin/none\0", -2),
        (b"/bin\0", -13),
        (b"\0", -2),
    ] {
        test.server.write_bytes(INIT, DATA, path).unwrap();
        let result = test.call(INIT, linux::__NR_execve, [DATA, 0, 0]);
        assert_eq!(result, Some(errno), "{path:?}");
    }
}

#[test]
fn a_call_that_is_not_there_is_named_once_in_the_log() {
    let mut test = Test::new();
    for _ in 0..3 {
        assert_eq!(test.call(INIT, linux::__NR_ptrace, []), Some(-38));
    }
    let log = &test.server.kernel.log;
    assert_eq!(log.len(), 1);
    assert!(
        log[0].contains("ptrace") && log[0].contains("init"),
        "{log:?}"
    );
}

/// Every number in every register state that matters: no call takes the server down, and none that it
/// does not know is anything but `ENOSYS`.
#[test]
fn no_number_and_no_argument_harms_the_server() {
    let values = [
        0,
        1,
        DATA,
        DATA + 0xffc,
        CODE,
        0xffff_8000_0000_0000,
        u64::MAX,
        i64::MAX as u64,
        crate::mm::END - 8,
        0x1000,
    ];
    let quiet = [
        linux::__NR_exit,
        linux::__NR_exit_group,
        linux::__NR_vfork,
        linux::__NR_rt_sigreturn,
    ];
    let mut state = 1u64;
    for number in (0..1000u32).chain(u32::MAX - 50..=u32::MAX) {
        if quiet.contains(&number) {
            continue;
        }
        let mut test = Test::new();
        for round in 0..8 {
            let args: [u64; 6] = core::array::from_fn(|i| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                if round == i {
                    3
                } else {
                    values[(state >> 40) as usize % values.len()]
                }
            });
            let all = test.server.tasks.threads.len();
            if !test.server.tasks.threads.contains_key(&INIT) || !test.runs(INIT) || all > 4 {
                test = Test::new();
            }
            test.call(INIT, number, args);
        }
    }
}

#[test]
fn a_child_whose_end_kills_its_parent_hurts_nobody_else() {
    let mut test = Test::new();
    let parent = test.fork(INIT);
    let hangup = u64::from(linux::SIGHUP);
    let child = test.call(parent, linux::__NR_clone, [hangup, 0, 0, 0, 0]);
    let child = ThreadId::new(child.unwrap() as u32).unwrap();
    assert_eq!(test.call(child, linux::__NR_exit_group, [0]), None);
    let found = test.call(
        INIT,
        linux::__NR_wait4,
        [parent.number().into(), DATA, 0, 0],
    );
    assert_eq!(found, Some(parent.number().into()));
    let status: [u64; 1] = test.get(INIT, DATA);
    assert_eq!(status[0] as u32, linux::SIGHUP);
}

#[test]
fn the_first_process_ends_before_its_children_whatever_these_do() {
    for status in [0, 3] {
        let mut test = Test::new();
        // Which the end of a session's leader is told by.
        test.handle(INIT, linux::SIGHUP, crate::signal::IGNORE, 0);
        let (running, stopped, waiting) = (test.fork(INIT), test.fork(INIT), test.fork(INIT));
        let grandchild = test.fork(waiting);
        let zombie = test.fork(INIT);
        test.call(zombie, linux::__NR_exit_group, [0]);
        assert_eq!(test.call(waiting, linux::__NR_wait4, [!0, 0, 0, 0]), None);
        let id = stopped.number().into();
        test.call(stopped, linux::__NR_setpgid, [0, 0]);
        let kill = [id, linux::SIGSTOP.into()];
        test.call(INIT, linux::__NR_kill, kill);
        assert_eq!(test.call(INIT, linux::__NR_exit_group, [status]), None);
        assert_eq!(test.server.ended, Some((status as i32) << 8));
        // They may yet run until the server ends them, and end by themselves.
        assert_eq!(test.call(grandchild, linux::__NR_exit_group, [0]), None);
        assert_eq!(test.call(running, linux::__NR_exit_group, [0]), None);
        test.server.end_all();
        assert_eq!(test.server.kernel.executions.len(), 0);
    }
}

#[test]
fn a_memory_bomb_kills_itself_and_nobody_who_asks_for_nothing() {
    let mut test = Test::new();
    let (bomb, other) = (test.fork(INIT), test.fork(INIT));
    assert_eq!(test.call(bomb, linux::__NR_setuid, [65534]), Some(0));
    let anonymous = u64::from(linux::MAP_PRIVATE | linux::MAP_ANONYMOUS | linux::MAP_NORESERVE);
    let map = [0, 64 << 20, 3, anonymous, !0, 0];
    let start = test.call(bomb, linux::__NR_mmap, map).unwrap() as u64;
    let execution = test.execution(bomb);
    let mut at = start;
    while test.server.tasks.threads.contains_key(&bomb) {
        test.fault(execution, Fault::Page(at, Access::Write));
        at += 4096;
        if test.server.pages.available().0 == 0 {
            break;
        }
    }
    assert!(at < start + (64 << 20));
    // Nothing is left, but for the first process, which goes on: it writes where it has not been,
    // a handler of its runs, it makes a child.
    let first = test.execution(INIT);
    for page in 1..8 {
        let address = crate::mm::STACK_END - page * 4096;
        test.fault(first, Fault::Page(address, Access::Write));
        assert!(test.runs(INIT));
    }
    test.handle(INIT, linux::SIGUSR1, HANDLER, 0);
    let kill = [1, linux::SIGUSR1.into()];
    assert_eq!(test.call(other, linux::__NR_kill, kill), Some(0));
    test.handled::<1>(INIT);
    // The next page is the bomb's end.
    test.fault(execution, Fault::Page(at, Access::Write));
    assert!(!test.server.tasks.threads.contains_key(&bomb));
    assert!(test.server.ended.is_none());
    assert_eq!(
        test.call(INIT, linux::__NR_wait4, [!0, DATA, 0, 0]),
        Some(2)
    );
    let [status]: [u64; 1] = test.get(INIT, DATA);
    assert_eq!(status as u32, linux::SIGKILL);
}

#[test]
fn a_server_that_is_nearly_full_makes_nothing_more_and_lets_everything_go() {
    let mut test = Test::new();
    let (nobody, root) = (test.fork(INIT), test.fork(INIT));
    test.call(nobody, linux::__NR_setuid, [65534]);
    let mut pipe = |heap, t| {
        test.server.kernel.heap = heap;
        test.call(t, linux::__NR_pipe, [DATA])
    };
    for (heap, refused) in [(599, 0), (600, 1), (800, 2), (900, 3)] {
        for (t, refused) in [
            (nobody, refused > 0),
            (root, refused > 1),
            (INIT, refused > 2),
        ] {
            let result = if refused { -12 } else { 0 };
            assert_eq!(pipe(heap, t), Some(result), "{heap} {t}");
        }
    }
    assert_eq!(test.call(root, linux::__NR_fork, []), Some(-12));
    // A child is as large as its parent.
    for (mappings, result) in [(0, None), (40, Some(-12))] {
        test.server.kernel.heap = 0;
        for at in 0..mappings {
            // No two can be joined.
            let at = 0x1000_0000 + at * 0x2000;
            let fixed = linux::MAP_PRIVATE | linux::MAP_ANONYMOUS | linux::MAP_FIXED;
            let mapped = test.call(nobody, linux::__NR_mmap, [at, 4096, 3, fixed.into(), !0, 0]);
            assert_eq!(mapped, Some(at as i64));
        }
        test.server.kernel.heap = 596;
        let child = test.call(nobody, linux::__NR_fork, []);
        assert_eq!(child.filter(|child| *child < 0), result);
    }
    test.server.kernel.heap = 900;
    assert_eq!(test.call(root, linux::__NR_getppid, []), Some(1));
    assert_eq!(test.call(root, linux::__NR_close, [3]), Some(0));
    // Pages are there for a while longer.
    for (heap, dies) in [(899, false), (900, true)] {
        let mut touch = |page: u64| {
            test.server.kernel.heap = heap;
            let execution = test.server.tasks.threads.get(&nobody)?.execution;
            let at = crate::mm::STACK_END - page * 4096;
            test.fault(execution, Fault::Page(at, Access::Write));
            test.server.tasks.threads.get(&nobody).map(|_| ())
        };
        assert_eq!(touch(4 + heap as u64 % 100 / 99).is_none(), dies);
    }
    assert_eq!(test.call(INIT, linux::__NR_wait4, [!0, 0, 0, 0]), Some(2));
}

#[test]
fn a_bomb_of_processes_leaves_room_for_others() {
    let mut test = Test::new();
    let (nobody, root) = (test.fork(INIT), test.fork(INIT));
    test.call(nobody, linux::__NR_setuid, [65534]);
    for (t, most) in [(nobody, 48), (root, 62), (INIT, 63)] {
        loop {
            match test.call(t, linux::__NR_fork, []) {
                Some(-11) => break,
                child => assert!(child > Some(0)),
            }
        }
        assert_eq!(test.server.kernel.spaces().0, 64 - most);
    }
    // Programs can still be started by those that are there.
    test.server
        .write_bytes(nobody, DATA, b"/bin/init\0")
        .unwrap();
    test.call(nobody, linux::__NR_execve, [DATA, 0, 0]);
    assert_eq!(test.result(nobody), Some(0));
}

#[test]
fn an_interrupt_of_software_is_a_signal() {
    let mut test = Test::new();
    let child = test.fork(INIT);
    test.call(child, linux::__NR_mprotect, [CODE, 4096, 7]);
    let place = CODE + 0x200;
    test.server
        .write_bytes(child, place, &[0xcd, 0xa5])
        .unwrap();
    test.handle(child, linux::SIGSEGV, HANDLER, linux::SA_SIGINFO);
    let before = test.registers(child);
    before.rip = place;
    before.rsp -= 1024;
    let execution = test.execution(child);
    test.fault(execution, Fault::Foreign);
    let [signal, code] = test.handled(child);
    assert_eq!(
        (signal as u32, code as u32),
        (linux::SIGSEGV, linux::SI_KERNEL)
    );
}

/// Words that programs would try.
fn hostile_word() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0u64..12,
        2 => Just(DATA),
        1 => Just(DATA + 0x7fc),
        1 => Just(CODE),
        2 => prop::sample::select(vec![
            !0, 1 << 63, 1 << 47, (1 << 47) - 4096, 0xffff_8000_0000_0000, u64::from(u32::MAX), 4096, 0x200,
        ]),
        1 => (0u32..64).prop_map(|bit| 1 << bit),
        1 => any::<u64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn no_calls_whatever_make_the_server_fall(
        data in prop::collection::vec(hostile_word(), 64),
        calls in prop::collection::vec(
            (any::<prop::sample::Index>(), 0u32..470, prop::array::uniform6(hostile_word())), 1..200),
    ) {
        let mut test = Test::new();
        // One that may do nothing to the others.
        let first = test.fork(INIT);
        prop_assert_eq!(test.call(first, linux::__NR_setuid, [65534]), Some(0));
        prop_assert!(test.call(first, linux::__NR_setsid, []).is_some());
        test.put(first, DATA, &data);
        for (which, number, args) in calls {
            let mut running: Vec<ThreadId> = test.server.tasks.threads.keys().collect();
            running.retain(|&t| t != INIT && test.runs(t));
            running.sort();
            if running.is_empty() {
                break;
            }
            test.call(*which.get(&running), number, args);
            test.pass(1_000_000);
        }
        // The other goes on.
        prop_assert_eq!(test.call(INIT, linux::__NR_getpid, []), Some(1));
        let child = test.fork(INIT);
        test.call(child, linux::__NR_exit_group, [0]);
    }
}
