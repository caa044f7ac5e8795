// SPDX-License-Identifier: BSD-2-Clause
//! Making and ending processes and threads (clone(2), _exit(2), wait(2)).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use core::cell::RefCell;

use linux_raw_sys::general as linux;
use linux_raw_sys::general::{
    CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID, CLONE_CLEAR_SIGHAND, CLONE_FILES, CLONE_FS,
    CLONE_PARENT, CLONE_PARENT_SETTID, CLONE_SETTLS, CLONE_SIGHAND, CLONE_THREAD, CLONE_VFORK,
    CLONE_VM,
};

use super::{SIGCHLD, SIGCONT, SIGHUP, SIGKILL, Server};
use crate::file::{PlaceId, TableId};
use crate::flow::Progress;
use crate::futex::Key;
use crate::kernel::{Extent, Kernel, Registers};
use crate::mm::AddressSpace;
use crate::pages::Pages;
use crate::signal::{Actions, AlternateStack, Info, Pending, Signal};
use crate::task::{Interval, LIMITS, Life, Process, Program, State, Thread, Usage};
use crate::timers::Event;
use crate::{Credentials, Errno, ProcessId, Result, ThreadId};

/// What a mapping takes of the server's memory, in a map of which half is empty.
const MAPPING_BYTES: usize = 256;
/// Entries of a robust list that are looked at (`ROBUST_LIST_LIMIT`).
const MAX_ROBUST: usize = 2048;

/// What a new thread or process is to be (`struct clone_args`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Clone {
    /// `CLONE_x`.
    pub flags: u64,
    /// What the parent is sent when it ends; 0 for nothing.
    pub exit_signal: u32,
    /// Its stack pointer; 0 for the parent's.
    pub stack: u64,
    /// Where the parent finds its number.
    pub parent_tid: u64,
    /// Where the child finds its number, and where 0 is written at its end.
    pub child_tid: u64,
    /// Its thread pointer, with `CLONE_SETTLS`.
    pub tls: u64,
}

/// Whom a thread waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// Any child.
    Any,
    /// One.
    Process(ProcessId),
    /// Any of a group.
    Group(ProcessId),
}

/// What became of a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct News {
    /// Which.
    pub process: ProcessId,
    /// Its user.
    pub uid: u32,
    /// As `wait4` has it.
    pub status: i32,
    /// As `waitid` has it: `CLD_x` and what goes with it.
    pub code: (u32, i32),
    /// What it and its children have used.
    pub usage: Usage,
}

/// A `wait4` status as `waitid` has it.
const fn code_of(status: i32) -> (u32, i32) {
    if status & 0x7f == 0 {
        (linux::CLD_EXITED, status >> 8 & 0xff)
    } else if status & 0x80 != 0 {
        (linux::CLD_DUMPED, status & 0x7f)
    } else {
        (linux::CLD_KILLED, status & 0x7f)
    }
}

impl<K: Kernel, P: Pages> Server<K, P> {
    /// Makes a process whose parent is nobody here, and which has no program yet, with these descriptors and
    /// directories: the first one, or one that is started from outside.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn make_root(&mut self, table: TableId, place: PlaceId) -> Result<ThreadId> {
        let thread = self.tasks.number()?;
        let (space, execution) = self.kernel.create_space_and_execution()?;
        let id = thread.process();
        let waiters = self.files.queues.create();
        let started = self.kernel.now();
        self.tasks.executions.insert(execution, thread);
        self.tasks.threads.insert(
            thread,
            Box::new(new_thread(thread, id, execution, Registers::default())),
        );
        let process = Process {
            id,
            parent: id,
            children: BTreeSet::new(),
            news: BTreeSet::new(),
            group: id,
            session: id,
            life: Life::Alive,
            stopped: false,
            stop_news: None,
            continue_news: false,
            threads: alloc::vec![thread],
            memory: Rc::new(RefCell::new(AddressSpace::new(space))),
            actions: Rc::new(RefCell::new(Actions::default())),
            pending: Pending::default(),
            credentials: Rc::new(Credentials::root()),
            limits: Rc::new(LIMITS),
            table,
            place,
            exit_signal: 0,
            waiters,
            lender: None,
            program: Program::default(),
            name: [0; 16],
            executed: false,
            started,
            usage: Usage::default(),
            children_usage: Usage::default(),
            alarm: Interval::default(),
            timers: BTreeMap::new(),
            adopts: id == ProcessId::INIT,
            parent_signal: 0,
            nice: 0,
            no_new_rights: false,
        };
        self.tasks.processes.insert(id, Box::new(process));
        self.tasks.join(id, id, id);
        Ok(thread)
    }

    /// Makes a thread or a process. Gives its number.
    ///
    /// # Errors
    /// Those of clone(2).
    pub fn clone(&mut self, parent: ThreadId, args: &Clone) -> Result<ThreadId> {
        let has = |flag: u32| args.flags & u64::from(flag) != 0;
        if has(CLONE_SIGHAND) && !has(CLONE_VM)
            || has(CLONE_THREAD) && !has(CLONE_SIGHAND)
            || has(CLONE_SIGHAND) && args.flags & CLONE_CLEAR_SIGHAND != 0
            || has(CLONE_FS) && has(linux::CLONE_NEWNS)
            || has(CLONE_THREAD) && has(linux::CLONE_PIDFD)
        {
            return Err(Errno::INVAL);
        }
        const NAMES: u32 = linux::CLONE_NEWNS
            | linux::CLONE_NEWCGROUP
            | linux::CLONE_NEWUTS
            | linux::CLONE_NEWIPC
            | linux::CLONE_NEWUSER
            | linux::CLONE_NEWPID
            | linux::CLONE_NEWNET;
        if has(NAMES) {
            // A container is a server of its own.
            return Err(Errno::PERM);
        }
        if has(linux::CLONE_PIDFD) || args.exit_signal > crate::signal::LAST {
            return Err(Errno::INVAL);
        }
        let process = self.tasks.process_of(parent)?;
        let (owner, limit) = (process.credentials.uid, process.limit(linux::RLIMIT_NPROC));
        if owner != 0
            && self.tasks.threads.len() as u64 >= limit
            && self.tasks.threads_of(owner) as u64 >= limit
        {
            return Err(Errno::AGAIN);
        }
        if !has(CLONE_VM) {
            let (left, most) = self.kernel.spaces();
            if left <= self.claim(parent).kept_back_spaces(most) {
                return Err(Errno::AGAIN);
            }
            let mappings = self
                .tasks
                .process_of(parent)?
                .memory
                .borrow()
                .mappings()
                .len();
            if !self.has_room_for(parent, mappings * MAPPING_BYTES) {
                return Err(Errno::NOMEM);
            }
        }
        let id = self.tasks.number()?;
        if has(CLONE_THREAD) {
            self.clone_thread(parent, id, args)?;
        } else {
            self.clone_process(parent, id, args)?;
        }
        if has(CLONE_PARENT_SETTID) {
            // A bad address is the program's affair, and no error.
            let _ = self.write_u32(parent, args.parent_tid, id.number());
        }
        if has(CLONE_CHILD_SETTID) {
            let _ = self.write_u32(id, args.child_tid, id.number());
        }
        if let Ok(t) = self.tasks.thread_mut(id)
            && has(CLONE_CHILD_CLEARTID)
        {
            t.clear_child_tid = args.child_tid;
        }
        if has(CLONE_VFORK) {
            if let Ok(process) = self.tasks.process_of_mut(id) {
                process.lender = Some(parent);
            }
            if let Ok(t) = self.tasks.thread_mut(parent) {
                t.lends_memory = true;
            }
        }
        let t = self.tasks.thread(id)?;
        self.kernel.run(t.execution, &t.registers, Extent::All);
        Ok(id)
    }

    /// The registers that a new thread begins with.
    fn child_registers(&self, parent: ThreadId, args: &Clone) -> Result<Registers> {
        let mut registers = self.tasks.thread(parent)?.registers;
        registers.rax = 0;
        registers.rip = registers.rip.wrapping_add(super::SYSCALL);
        if args.stack != 0 {
            registers.rsp = args.stack;
        }
        if args.flags & u64::from(CLONE_SETTLS) != 0 {
            registers.fs_base = args.tls;
        }
        Ok(registers)
    }

    fn clone_thread(&mut self, parent: ThreadId, id: ThreadId, args: &Clone) -> Result<()> {
        let registers = self.child_registers(parent, args)?;
        let process = self.tasks.process_of(parent)?;
        let (process, space) = (process.id, process.memory.borrow().space());
        let execution = self.kernel.create_execution(space)?;
        let t = self.tasks.thread(parent)?;
        let (mask, name) = (t.mask, t.name);
        let mut thread = new_thread(id, process, execution, registers);
        thread.mask = mask;
        thread.name = name;
        self.tasks.executions.insert(execution, id);
        self.tasks.threads.insert(id, Box::new(thread));
        self.tasks.process_mut(process)?.threads.push(id);
        Ok(())
    }

    fn clone_process(&mut self, parent: ThreadId, id: ThreadId, args: &Clone) -> Result<()> {
        let has = |flag: u32| args.flags & u64::from(flag) != 0;
        let registers = self.child_registers(parent, args)?;
        let t = self.tasks.thread(parent)?;
        let (mask, name, alternate) = (t.mask, t.name, t.alternate);
        let old = self.tasks.process_of(parent)?;
        let memory = old.memory.clone();
        let (memory, execution) = if has(CLONE_VM) {
            let space = memory.borrow().space();
            (memory, self.kernel.create_execution(space)?)
        } else {
            let (space, execution) = self.kernel.create_space_and_execution()?;
            let copy = memory.borrow_mut().fork(&mut self.resources(), space);
            (Rc::new(RefCell::new(copy)), execution)
        };
        let old = self.tasks.process_of(parent)?;
        let actions = if has(CLONE_SIGHAND) {
            old.actions.clone()
        } else {
            let mut actions = old.actions.borrow().clone();
            if args.flags & CLONE_CLEAR_SIGHAND != 0 {
                actions.reset_handlers();
            }
            Rc::new(RefCell::new(actions))
        };
        let shared = (has(CLONE_FILES), has(CLONE_FS));
        let own = (old.table, old.place);
        let (table, place) = self.child_files(own, shared);
        let waiters = self.files.queues.create();
        let old = self.tasks.process_of(parent)?;
        let process = Process {
            id: id.process(),
            parent: if has(CLONE_PARENT) {
                old.parent
            } else {
                old.id
            },
            children: BTreeSet::new(),
            news: BTreeSet::new(),
            group: old.group,
            session: old.session,
            life: Life::Alive,
            stopped: false,
            stop_news: None,
            continue_news: false,
            threads: alloc::vec![id],
            memory,
            actions,
            pending: Pending::default(),
            credentials: old.credentials.clone(),
            limits: old.limits.clone(),
            table,
            place,
            exit_signal: if has(CLONE_PARENT) {
                old.exit_signal
            } else {
                args.exit_signal
            },
            waiters,
            lender: None,
            program: old.program.clone(),
            name,
            executed: false,
            started: self.entered,
            usage: Usage::default(),
            children_usage: Usage::default(),
            alarm: Interval::default(),
            timers: BTreeMap::new(),
            adopts: false,
            parent_signal: 0,
            nice: old.nice,
            no_new_rights: old.no_new_rights,
        };
        let (group, session, parent) = (process.group, process.session, process.parent);
        let mut thread = new_thread(id, id.process(), execution, registers);
        thread.mask = mask;
        thread.name = name;
        if !has(CLONE_VM) || has(CLONE_VFORK) {
            thread.alternate = alternate;
        }
        self.tasks.executions.insert(execution, id);
        self.tasks.threads.insert(id, Box::new(thread));
        self.tasks.processes.insert(id.process(), Box::new(process));
        self.tasks.join(id.process(), group, session);
        if let Some(file) = self.tasks.process(id.process())?.program.file {
            self.files.execute(file);
        }
        self.tasks
            .process_mut(parent)?
            .children
            .insert(id.process());
        self.tasks.system.forks += 1;
        Ok(())
    }

    /// A thread ends; with the last, its process.
    pub(crate) fn end_thread(&mut self, thread: ThreadId, status: i32) {
        let Ok(process) = self.tasks.process_of(thread) else {
            return;
        };
        let id = process.id;
        if process.threads.len() == 1 {
            self.end_process(id, status);
            return;
        }
        self.remove_thread(thread, true);
    }

    /// Takes a thread away. `tell` whether others learn of it through memory that they share.
    pub(super) fn remove_thread(&mut self, thread: ThreadId, tell: bool) {
        self.forget(thread);
        if tell {
            self.end_robust_list(thread);
            if let Ok(t) = self.tasks.thread(thread)
                && t.clear_child_tid != 0
            {
                let address = t.clear_child_tid;
                if self.write_u32(thread, address, 0).is_ok() {
                    self.wake_word(thread, address);
                }
            }
        }
        let Some(t) = self.tasks.threads.remove(&thread) else {
            return;
        };
        self.kernel.end_execution(t.execution);
        self.tasks.executions.remove(&t.execution);
        if let Ok(process) = self.tasks.process_mut(t.process) {
            process.threads.retain(|other| *other != thread);
        }
    }

    /// Wakes one thread that waits on a word, whoever maps it.
    fn wake_word(&mut self, thread: ThreadId, address: u64) {
        for private in [true, false] {
            let Ok(key) = self.futex_key(thread, address, private) else {
                continue;
            };
            if self.wake_futex(key, 1, !0) != 0 {
                return;
            }
        }
    }

    /// Wakes threads that wait on a word. Gives how many.
    pub(crate) fn wake_futex(&mut self, key: Key, count: u32, bits: u32) -> u32 {
        let (tasks, queues) = (&mut self.tasks, &mut self.files.queues);
        self.futexes.wake(key, count, bits, |thread| {
            if let Ok(t) = tasks.thread_mut(thread) {
                t.progress.woken = true;
            }
            queues.rouse(thread);
        })
    }

    /// Tells those who wait for locks of a thread that it has ended (Documentation/locking/robust-futex-ABI.rst).
    fn end_robust_list(&mut self, thread: ThreadId) {
        let Ok(t) = self.tasks.thread(thread) else {
            return;
        };
        let head = t.robust_list;
        if head == 0 {
            return;
        }
        let Ok([first, offset, pending]) = self.read_words(thread, head) else {
            return;
        };
        let mut entry = first;
        for _ in 0..MAX_ROBUST {
            // The lowest bit says that the lock inherits priority.
            if entry & !1 == head {
                break;
            }
            let next = self.read_words::<1>(thread, entry & !1);
            if entry != pending {
                self.end_lock(thread, (entry & !1).wrapping_add(offset), false);
            }
            match next {
                Ok([next]) => entry = next,
                Err(_) => break,
            }
        }
        if pending & !1 != 0 {
            self.end_lock(thread, (pending & !1).wrapping_add(offset), true);
        }
    }

    fn end_lock(&mut self, thread: ThreadId, address: u64, pending: bool) {
        let Ok(word) = self.read_u32(thread, address) else {
            return;
        };
        if word & linux::FUTEX_TID_MASK != thread.number() {
            if pending && word == 0 {
                self.wake_word(thread, address);
            }
            return;
        }
        let died = word & linux::FUTEX_WAITERS | linux::FUTEX_OWNER_DIED;
        if self.write_u32(thread, address, died).is_ok() && word & linux::FUTEX_WAITERS != 0 {
            self.wake_word(thread, address);
        }
    }

    /// A process ends, with all its threads. `status` is as `wait4` has it.
    pub(crate) fn end_process(&mut self, id: ProcessId, status: i32) {
        let Ok(process) = self.tasks.process_mut(id) else {
            return;
        };
        if process.life != Life::Alive || process.threads.is_empty() {
            return;
        }
        process.life = Life::Zombie(status);
        self.tasks.set_stopped(id, false);
        let Ok(process) = self.tasks.process(id) else {
            return;
        };
        let shared = Rc::strong_count(&process.memory) > 1;
        let first = process.threads.first().copied();
        let first = first.and_then(|t| self.tasks.threads.get(&t));
        if let Some(name) = first.map(|t| t.name)
            && let Ok(process) = self.tasks.process_mut(id)
        {
            process.name = name;
        }
        let Ok(process) = self.tasks.process(id) else {
            return;
        };
        for thread in process.threads.clone() {
            self.remove_thread(thread, shared || self.is_robust(thread));
        }
        self.cancel_timers(id);
        self.return_memory(id);
        self.release_memory(id);
        let Ok(process) = self.tasks.process(id) else {
            return;
        };
        let (table, place, session, group) =
            (process.table, process.place, process.session, process.group);
        self.files.drop_table(&mut self.pages, id, table);
        self.files.drop_place(&mut self.pages, place);
        if session == id {
            // Whoever has the terminal loses it.
            let files = &mut self.files;
            files.terminals.disown(&mut files.requests, id);
        }
        self.orphan_children(id);
        self.orphan_groups(id, group);
        let waiters = match self.tasks.process(id) {
            Ok(process) => process.waiters,
            Err(_) => return,
        };
        self.files.queues.destroy(waiters);
        if id == ProcessId::INIT {
            self.ended = Some(status);
            return;
        }
        if self.tasks.process(id).is_ok_and(|p| p.parent == id) {
            self.finished.push((id, status));
            self.reap(id);
            return;
        }
        let (code, value) = code_of(status);
        self.tell_parent(id, code, value);
        self.reap_if_unwanted(id);
    }

    fn is_robust(&self, thread: ThreadId) -> bool {
        self.tasks.thread(thread).is_ok_and(|t| t.robust_list != 0)
    }

    /// A zombie whose parent does not want to know of it goes.
    fn reap_if_unwanted(&mut self, id: ProcessId) {
        let Ok(process) = self.tasks.process(id) else {
            return;
        };
        let Ok(parent) = self.tasks.process(process.parent) else {
            return;
        };
        let action = *parent.actions.borrow().get(SIGCHLD);
        let unwanted = parent.life == Life::Alive
            && process.exit_signal == SIGCHLD.number()
            && (action.handler == crate::signal::IGNORE || action.has(linux::SA_NOCLDWAIT));
        if unwanted {
            let parent = parent.waiters;
            self.reap(id);
            self.files.queues.wake(parent);
        }
    }

    /// Forgets a zombie.
    fn reap(&mut self, id: ProcessId) {
        self.tasks.leave(id);
        let Some(process) = self.tasks.processes.remove(&id) else {
            return;
        };
        if let Ok(parent) = self.tasks.process_mut(process.parent) {
            parent.children.remove(&id);
            parent.news.remove(&id);
        }
    }

    /// A child by `vfork` does not need its parent's memory any more.
    pub(super) fn return_memory(&mut self, id: ProcessId) {
        let Ok(process) = self.tasks.process_mut(id) else {
            return;
        };
        if let Some(lender) = process.lender.take() {
            if let Ok(t) = self.tasks.thread_mut(lender) {
                t.lends_memory = false;
            }
            self.files.queues.rouse(lender);
        }
    }

    /// A process does not use its memory any more.
    pub(super) fn release_memory(&mut self, id: ProcessId) {
        let Ok(process) = self.tasks.process_mut(id) else {
            return;
        };
        let memory = process.memory.clone();
        let file = process.program.file.take();
        // What stands for the memory of a zombie.
        process.memory = Rc::new(RefCell::new(AddressSpace::new(crate::mm::Space(u32::MAX))));
        self.drop_memory(memory);
        if let Some(file) = file {
            self.files.leave(&mut self.pages, file);
        }
    }

    /// Lets go of an address space: with the last who has it, it ends.
    pub(super) fn drop_memory(&mut self, memory: Rc<RefCell<AddressSpace>>) {
        if let Ok(memory) = Rc::try_unwrap(memory) {
            let mut memory = memory.into_inner();
            self.kernel.end_space(memory.space());
            memory.clear(&mut self.resources());
        }
    }

    /// The children of a process that ends get another parent.
    fn orphan_children(&mut self, id: ProcessId) {
        let Ok(process) = self.tasks.process_mut(id) else {
            return;
        };
        let children = core::mem::take(&mut process.children);
        let news = core::mem::take(&mut process.news);
        if children.is_empty() {
            return;
        }
        // The end of a process without a parent leaves its children to the first one.
        let mut heir = match process.parent {
            parent if parent == id => ProcessId::INIT,
            parent => parent,
        };
        while heir != ProcessId::INIT
            && let Ok(process) = self.tasks.process(heir)
            && (!process.adopts || process.life != Life::Alive)
        {
            heir = match process.parent {
                parent if parent == heir => ProcessId::INIT,
                parent => parent,
            };
        }
        for child in children {
            let Ok(process) = self.tasks.process_mut(child) else {
                continue;
            };
            process.parent = heir;
            // What its maker was to be sent is not for anybody else.
            process.exit_signal = SIGCHLD.number();
            let (signal, life) = (process.parent_signal, process.life);
            let group = process.group;
            if let Ok(heir) = self.tasks.process_mut(heir) {
                heir.children.insert(child);
                if news.contains(&child) {
                    heir.news.insert(child);
                }
            }
            if let Ok(signal) = Signal::new(signal) {
                self.signal_process(child, Info::from_process(signal, 0, id.number(), 0));
            }
            if let Life::Zombie(status) = life {
                let (code, value) = code_of(status);
                self.tell_parent(child, code, value);
                self.reap_if_unwanted(child);
            } else {
                self.orphan_group(group, None);
            }
        }
    }

    /// A group that has become orphaned by the end of `id`, and whose members have stopped, would
    /// stand still for ever.
    fn orphan_groups(&mut self, id: ProcessId, group: ProcessId) {
        self.orphan_group(group, Some(id));
    }

    fn orphan_group(&mut self, group: ProcessId, without: Option<ProcessId>) {
        let Some(members) = self.tasks.groups.get(&group) else {
            return;
        };
        if members.stopped != 0 && self.tasks.is_orphaned(group, without) {
            self.signal_group(group, Info::from_kernel(SIGHUP));
            self.signal_group(group, Info::from_kernel(SIGCONT));
        }
    }

    /// What became of a child. `None` when there is a child that it may yet become of. With `keep`, it can be
    /// learned again.
    ///
    /// # Errors
    /// [`Errno::CHILD`] when there is none to wait for.
    pub(crate) fn news(
        &mut self,
        thread: ThreadId,
        which: Which,
        options: u32,
        keep: bool,
    ) -> Result<Option<News>> {
        let process = self.tasks.process_of(thread)?;
        let id = process.id;
        let fits = |server: &Self, child: ProcessId| {
            let Ok(process) = server.tasks.process(child) else {
                return false;
            };
            let is_clone = process.exit_signal != SIGCHLD.number();
            (match which {
                Which::Any => true,
                Which::Process(id) => child == id,
                Which::Group(group) => process.group == group,
            }) && (options & linux::__WALL != 0 || is_clone == (options & linux::__WCLONE != 0))
        };
        let exists = match which {
            Which::Process(child) => process.children.contains(&child) && fits(self, child),
            _ => process.children.iter().any(|child| fits(self, *child)),
        };
        if !exists {
            return Err(Errno::CHILD);
        }
        let mut found = None;
        for child in &process.news {
            if !fits(self, *child) {
                continue;
            }
            let Ok(process) = self.tasks.process(*child) else {
                continue;
            };
            if let Life::Zombie(status) = process.life {
                if options & linux::WEXITED != 0 {
                    found = Some((*child, status, code_of(status)));
                    break;
                }
            } else if let Some(signal) = process.stop_news
                && options & linux::WSTOPPED != 0
            {
                let code = (linux::CLD_STOPPED, signal as i32);
                found = Some((*child, (signal as i32) << 8 | 0x7f, code));
                break;
            } else if process.continue_news && options & linux::WCONTINUED != 0 {
                let code = (linux::CLD_CONTINUED, SIGCONT.number() as i32);
                found = Some((*child, 0xffff, code));
                break;
            }
        }
        let Some((child, status, code)) = found else {
            return Ok(None);
        };
        let process = self.tasks.process_mut(child)?;
        let uid = process.credentials.uid;
        let mut usage = process.usage;
        usage.add(&process.children_usage);
        if !keep {
            match code.0 {
                linux::CLD_STOPPED => process.stop_news = None,
                linux::CLD_CONTINUED => process.continue_news = false,
                _ => {
                    self.reap(child);
                    self.tasks.process_mut(id)?.children_usage.add(&usage);
                }
            }
            if self.tasks.process(child).is_ok() {
                self.tasks.process_mut(id)?.news.remove(&child);
            }
        }
        Ok(Some(News {
            process: child,
            uid,
            status,
            code,
            usage,
        }))
    }

    /// Ends all threads of a process but one, which becomes its first.
    pub(super) fn end_other_threads(&mut self, thread: ThreadId) -> Result<ThreadId> {
        let process = self.tasks.process_of(thread)?;
        let id = process.id;
        for other in process.threads.clone() {
            if other != thread {
                self.remove_thread(other, true);
            }
        }
        let leader = id.leader();
        if thread != leader {
            // It takes the number of the one that began.
            if let Some(mut t) = self.tasks.threads.remove(&thread) {
                t.id = leader;
                self.tasks.executions.insert(t.execution, leader);
                self.tasks.threads.insert(leader, t);
            }
            self.tasks.process_mut(id)?.threads = alloc::vec![leader];
            if self.current == Some(thread) {
                self.current = Some(leader);
            }
        }
        Ok(leader)
    }

    fn cancel_timers(&mut self, id: ProcessId) {
        let Ok(process) = self.tasks.process_mut(id) else {
            return;
        };
        let alarm = core::mem::take(&mut process.alarm);
        let timers = core::mem::take(&mut process.timers);
        self.timers.remove(alarm.at, Event::Alarm(id));
        for (number, timer) in timers {
            self.timers
                .remove(timer.interval.at, Event::Timer(id, number));
        }
    }

    /// A process's `ITIMER_REAL` has expired.
    pub(super) fn alarm_expired(&mut self, id: ProcessId, at: u64) {
        let now = self.entered;
        let Ok(process) = self.tasks.process_mut(id) else {
            return;
        };
        process.alarm.at = next(at, process.alarm.every, now).0;
        let again = process.alarm.at;
        if again != 0 {
            self.timers.add(again, Event::Alarm(id));
        }
        self.signal_process(id, Info::from_kernel(super::SIGALRM));
    }

    /// A timer of a process has expired.
    pub(super) fn timer_expired(&mut self, id: ProcessId, number: u32, at: u64) {
        let now = self.entered;
        let Ok(process) = self.tasks.process_mut(id) else {
            return;
        };
        let Some(timer) = process.timers.get_mut(&number) else {
            return;
        };
        let (again, missed) = next(at, timer.interval.every, now);
        timer.interval.at = again;
        timer.overrun = missed;
        let timer = *timer;
        if again != 0 {
            self.timers.add(again, Event::Timer(id, number));
        }
        if let Ok(signal) = Signal::new(timer.signal) {
            let info = Info {
                signal,
                errno: 0,
                code: linux::SI_TIMER,
                fields: [u64::from(number) | u64::from(missed) << 32, timer.value, 0],
            };
            let _ = self.send(id, timer.thread, info);
        }
    }

    /// Kills everybody: the server ends.
    pub fn end_all(&mut self) {
        let all: alloc::vec::Vec<_> = self.tasks.processes.keys().collect();
        for id in all.into_iter().rev() {
            self.end_process(id, SIGKILL.number() as i32);
        }
    }
}

/// When a timer that expired at `at` expires next, and how often it would have in between.
fn next(at: u64, every: u64, now: u64) -> (u64, u32) {
    if every == 0 {
        return (0, 0);
    }
    let missed = now.saturating_sub(at) / every;
    let next = at.saturating_add(every.saturating_mul(missed + 1));
    (next, missed.min(i32::MAX as u64) as u32)
}

fn new_thread(
    id: ThreadId,
    process: ProcessId,
    execution: crate::kernel::Execution,
    registers: Registers,
) -> Thread {
    Thread {
        id,
        process,
        execution,
        registers,
        state: State::Running,
        progress: Progress::default(),
        alarm: None,
        mask: 0,
        later_mask: None,
        awaited: 0,
        pending: Pending::default(),
        alternate: AlternateStack::default(),
        clear_child_tid: 0,
        robust_list: 0,
        name: [0; 16],
        time: 0,
        trap: [0; 3],
        lends_memory: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_keeps_its_beat_and_counts_what_it_missed() {
        assert_eq!(next(100, 0, 100), (0, 0));
        assert_eq!(next(100, 10, 100), (110, 0));
        assert_eq!(next(100, 10, 125), (130, 2));
        assert_eq!(next(u64::MAX - 1, u64::MAX, u64::MAX), (u64::MAX, 0));
    }

    #[test]
    fn statuses_mean_for_waitid_what_they_mean_for_wait() {
        assert_eq!(code_of(3 << 8), (linux::CLD_EXITED, 3));
        assert_eq!(code_of(9), (linux::CLD_KILLED, 9));
        assert_eq!(code_of(11 | 0x80), (linux::CLD_DUMPED, 11));
    }
}
