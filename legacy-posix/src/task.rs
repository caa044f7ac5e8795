// SPDX-License-Identifier: BSD-2-Clause
//! Processes and threads: what is known of each, and how they are found.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use linux_raw_sys::general as linux;

use crate::file::{PlaceId, TableId};
use crate::flow::Progress;
use crate::id_map::IdMap;
use crate::kernel::{Execution, Registers};
use crate::mm::{AddressSpace, FileId};
use crate::pages::Claim;
use crate::signal::{Actions, AlternateStack, Pending};
use crate::vfs::source::Contexts;
use crate::wait::QueueId;
use crate::{Credentials, Errno, ProcessId, Result, ThreadId};

/// Processes and threads at a time; numbers of both come from one sequence.
pub const MAX_THREADS: usize = 4000;
/// Numbers are smaller than this (`kernel.pid_max`, as Linux has it for few processors).
pub const MAX_NUMBER: u32 = 1 << 15;
/// `RLIM_INFINITY`.
pub const UNLIMITED: u64 = u64::MAX;

/// What a thread is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Its program runs, or would if it had the processor.
    Running,
    /// It is in a system call, and waits.
    Blocked,
    /// It would run if its process had not stopped.
    Held,
}

/// A thread.
pub struct Thread {
    /// Its number.
    pub id: ThreadId,
    /// Its process.
    pub process: ProcessId,
    /// What executes it.
    pub execution: Execution,
    /// Its registers when it last stopped.
    pub registers: Registers,
    /// What it is doing.
    pub state: State,
    /// How far its call is.
    pub progress: Progress,
    /// When its deadline is in the list of timers.
    pub alarm: Option<u64>,
    /// Signals that it blocks.
    pub mask: u64,
    /// What it blocks again when the call that it is in has ended (`sigsuspend`, `ppoll`, ...).
    pub later_mask: Option<u64>,
    /// Signals that it waits for by `sigtimedwait`.
    pub awaited: u64,
    /// Signals for it alone.
    pub pending: Pending,
    /// Where its handlers run.
    pub alternate: AlternateStack,
    /// Where 0 is written when it ends, or 0.
    pub clear_child_tid: u64,
    /// Its list of robust futexes, or 0.
    pub robust_list: u64,
    /// Its name.
    pub name: [u8; 16],
    /// Nanoseconds that it has run.
    pub time: u64,
    /// What its last fault was, as a handler sees it: error code, trap number, address.
    pub trap: [u64; 3],
    /// Whether it waits for a child by `vfork` to let go of its memory.
    pub lends_memory: bool,
}

/// What a parent may learn by `wait`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// It has threads.
    Alive,
    /// It has ended; the status as `wait4` has it.
    Zombie(i32),
}

/// An interval timer: when it expires next, and how often then, in nanoseconds. 0 is never.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Interval {
    /// When it expires, monotonic.
    pub at: u64,
    /// The time between one and the next.
    pub every: u64,
}

/// A timer of `timer_create`.
#[derive(Clone, Copy, Debug)]
pub struct PosixTimer {
    /// The clock that it goes by.
    pub clock: u32,
    /// When it expires.
    pub interval: Interval,
    /// What is sent then: signal number or 0, and the value.
    pub signal: u32,
    /// `sigev_value`.
    pub value: u64,
    /// The thread that gets the signal, if not the process.
    pub thread: Option<ThreadId>,
    /// Expirations that nobody learned of one by one.
    pub overrun: u32,
}

/// Used time, in nanoseconds. The server's work for a process counts as its system time.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Times {
    /// In the program.
    pub user: u64,
    /// In calls.
    pub system: u64,
}

/// Counts for `getrusage`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Usage {
    /// Time.
    pub times: Times,
    /// Faults that were served from memory.
    pub faults: u64,
    /// Most pages that were there.
    pub most_resident: u64,
    /// Times that a call waited.
    pub waits: u64,
}

impl Usage {
    /// Adds a child's.
    pub fn add(&mut self, other: &Self) {
        self.times.user += other.times.user;
        self.times.system += other.times.system;
        self.faults += other.faults;
        self.most_resident = self.most_resident.max(other.most_resident);
        self.waits += other.waits;
    }
}

/// What `/proc` tells of a program, and where it keeps it.
#[derive(Clone, Default, Debug)]
pub struct Program {
    /// The file, held once.
    pub file: Option<FileId>,
    /// Its arguments when it was started, a zero byte behind each.
    pub arguments: Rc<[u8]>,
    /// Its environment when it was started, a zero byte behind each.
    pub environment: Rc<[u8]>,
    /// Address of its first stack word.
    pub stack: u64,
}

/// Limits of a process: soft and hard, by `RLIMIT_x`.
pub type Limits = [(u64, u64); 16];

/// Limits of the first process.
pub const LIMITS: Limits = {
    let mut limits = [(UNLIMITED, UNLIMITED); 16];
    limits[linux::RLIMIT_STACK as usize] = (8 << 20, UNLIMITED);
    limits[linux::RLIMIT_CORE as usize] = (0, UNLIMITED);
    limits[linux::RLIMIT_NPROC as usize] = (400, 400);
    limits[linux::RLIMIT_NOFILE as usize] = (1024, 4096);
    limits[linux::RLIMIT_MEMLOCK as usize] = (8 << 20, 8 << 20);
    limits[linux::RLIMIT_SIGPENDING as usize] = (1024, 1024);
    limits[linux::RLIMIT_MSGQUEUE as usize] = (819_200, 819_200);
    limits[linux::RLIMIT_NICE as usize] = (0, 0);
    limits[linux::RLIMIT_RTPRIO as usize] = (0, 0);
    limits
};

/// A process.
pub struct Process {
    /// Its number.
    pub id: ProcessId,
    /// Its parent; itself for the first.
    pub parent: ProcessId,
    /// Its children, zombies included.
    pub children: BTreeSet<ProcessId>,
    /// Children of which something can be learned by `wait`.
    pub news: BTreeSet<ProcessId>,
    /// Its group.
    pub group: ProcessId,
    /// Its session.
    pub session: ProcessId,
    /// Whether it lives.
    pub life: Life,
    /// Whether it has stopped. (Changed by [`Tasks::set_stopped`].)
    pub stopped: bool,
    /// The signal that stopped it, until a parent has learned of it.
    pub stop_news: Option<u32>,
    /// Whether it goes on after a stop, until a parent has learned of it.
    pub continue_news: bool,
    /// Its threads; the first is the leader, if it still exists.
    pub threads: Vec<ThreadId>,
    /// Its memory.
    pub memory: Rc<RefCell<AddressSpace>>,
    /// What it does about signals.
    pub actions: Rc<RefCell<Actions>>,
    /// Signals for any of its threads.
    pub pending: Pending,
    /// Whom it acts for.
    pub credentials: Rc<Credentials>,
    /// Its limits.
    pub limits: Rc<Limits>,
    /// Its descriptors.
    pub table: TableId,
    /// Its root and current directories, and its umask.
    pub place: PlaceId,
    /// What its parent is sent when it ends; 0 for nothing.
    pub exit_signal: u32,
    /// Threads that wait for its children.
    pub waiters: QueueId,
    /// The thread whose memory it uses, which waits meanwhile.
    pub lender: Option<ThreadId>,
    /// Its program.
    pub program: Program,
    /// The name of its first thread, when it has none any more.
    pub name: [u8; 16],
    /// Whether it has executed a program of its own since it was made.
    pub executed: bool,
    /// When it was made, monotonic nanoseconds.
    pub started: u64,
    /// What it has used.
    pub usage: Usage,
    /// What its children have used that it waited for.
    pub children_usage: Usage,
    /// `ITIMER_REAL`.
    pub alarm: Interval,
    /// Timers of `timer_create`.
    pub timers: BTreeMap<u32, PosixTimer>,
    /// Whether orphans below it become its children.
    pub adopts: bool,
    /// What it is sent when its parent ends; 0 for nothing.
    pub parent_signal: u32,
    /// Its niceness.
    pub nice: i32,
    /// Whether `execve` gives no rights (`PR_SET_NO_NEW_PRIVS`).
    pub no_new_rights: bool,
}

impl Process {
    /// What it may claim when something is scarce.
    #[inline]
    pub fn claim(&self) -> Claim {
        match self.credentials.euid {
            _ if self.id == ProcessId::INIT => Claim::First,
            0 => Claim::Superuser,
            _ => Claim::Any,
        }
    }

    /// A soft limit.
    pub fn limit(&self, which: u32) -> u64 {
        self.limits[which as usize].0
    }
}

/// A process group.
#[derive(Debug)]
pub struct Group {
    /// The session that it is in.
    pub session: ProcessId,
    /// Its processes, zombies included.
    pub members: BTreeSet<ProcessId>,
    /// How many of them have stopped.
    pub stopped: usize,
}

/// All processes and threads.
#[derive(Default)]
pub struct Tasks {
    /// Processes by number.
    pub processes: IdMap<ProcessId, Box<Process>>,
    /// Threads by number.
    pub threads: IdMap<ThreadId, Box<Thread>>,
    /// Process groups by number.
    pub groups: BTreeMap<ProcessId, Group>,
    /// Sessions: how many groups each has.
    pub sessions: BTreeMap<ProcessId, usize>,
    /// Threads by what executes them.
    pub executions: IdMap<Execution, ThreadId>,
    /// The system as a whole.
    pub system: System,
    /// Threads that there may be, zombies included; nothing: [`MAX_THREADS`].
    pub most: Option<usize>,
    /// What `/proc/ic` shows, if there is one.
    pub contexts: Option<Box<dyn Contexts>>,
    last: u32,
}

/// What is known of the system as a whole.
#[derive(Clone, Default, Debug)]
pub struct System {
    /// What `uname -n` says.
    pub host: Vec<u8>,
    /// What the processor calls itself.
    pub processor: String,
    /// Nanoseconds since some moment before the start.
    pub now: u64,
    /// Nanoseconds from 1970 to that moment.
    pub epoch: u64,
    /// Nanoseconds that programs have run.
    pub user: u64,
    /// Nanoseconds that the server has worked.
    pub system: u64,
    /// Processes that were made.
    pub forks: u64,
    /// Faults that were seen to.
    pub traps: u64,
    /// Bytes of the server's own memory that were in use when something was last made.
    pub heap: usize,
}

impl Tasks {
    /// A number that nobody has.
    ///
    /// # Errors
    /// [`Errno::AGAIN`] when there are too many threads.
    pub fn number(&mut self) -> Result<ThreadId> {
        if self.threads.len() + self.processes.len() >= MAX_THREADS {
            return Err(Errno::AGAIN);
        }
        if let Some(most) = self.most {
            let processes = self.processes.values();
            let zombies = processes.filter(|process| process.threads.is_empty());
            if self.threads.len() + zombies.count() >= most {
                return Err(Errno::AGAIN);
            }
        }
        loop {
            self.last += 1;
            if self.last >= MAX_NUMBER {
                // As in Linux, the lowest are for those that are there from the start.
                self.last = 300;
            }
            let Some(id) = ThreadId::new(self.last) else {
                continue;
            };
            let process = id.process();
            if !self.threads.contains_key(&id)
                && !self.processes.contains_key(&process)
                && !self.groups.contains_key(&process)
                && !self.sessions.contains_key(&process)
            {
                return Ok(id);
            }
        }
    }

    /// Threads of a user. (Costs as many steps as there are processes.)
    pub fn threads_of(&self, user: u32) -> usize {
        let processes = self.processes.values();
        let own = processes.filter(|process| process.credentials.uid == user);
        own.map(|process| process.threads.len()).sum()
    }

    /// The number that was given last.
    pub const fn last(&self) -> u32 {
        self.last
    }

    /// A thread that exists.
    pub fn thread(&self, id: ThreadId) -> Result<&Thread> {
        self.threads.get(&id).map(|t| &**t).ok_or(Errno::SRCH)
    }

    /// A thread that exists, to change.
    pub fn thread_mut(&mut self, id: ThreadId) -> Result<&mut Thread> {
        self.threads
            .get_mut(&id)
            .map(|t| &mut **t)
            .ok_or(Errno::SRCH)
    }

    /// A process that exists, be it as a zombie.
    pub fn process(&self, id: ProcessId) -> Result<&Process> {
        self.processes
            .get(&id)
            .map(|process| &**process)
            .ok_or(Errno::SRCH)
    }

    /// A process that exists, to change.
    pub fn process_mut(&mut self, id: ProcessId) -> Result<&mut Process> {
        self.processes
            .get_mut(&id)
            .map(|process| &mut **process)
            .ok_or(Errno::SRCH)
    }

    /// The process of a thread.
    pub fn process_of(&self, thread: ThreadId) -> Result<&Process> {
        self.process(self.thread(thread)?.process)
    }

    /// The process of a thread, to change.
    pub fn process_of_mut(&mut self, thread: ThreadId) -> Result<&mut Process> {
        let id = self.thread(thread)?.process;
        self.process_mut(id)
    }

    /// Puts a process into a group of a session, and out of the one that it is in.
    pub fn join(&mut self, id: ProcessId, group: ProcessId, session: ProcessId) {
        self.leave(id);
        let members = self.groups.entry(group).or_insert_with(|| {
            *self.sessions.entry(session).or_default() += 1;
            Group {
                session,
                members: BTreeSet::new(),
                stopped: 0,
            }
        });
        members.members.insert(id);
        if let Some(process) = self.processes.get_mut(&id) {
            process.group = group;
            process.session = session;
            members.stopped += usize::from(process.stopped);
        }
    }

    /// A process stops, or goes on.
    pub fn set_stopped(&mut self, id: ProcessId, stopped: bool) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let before = core::mem::replace(&mut process.stopped, stopped);
        if let Some(group) = self.groups.get_mut(&process.group) {
            group.stopped += usize::from(stopped);
            group.stopped -= usize::from(before);
        }
    }

    /// Takes a process out of its group.
    pub fn leave(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get(&id) else {
            return;
        };
        let Some(group) = self.groups.get_mut(&process.group) else {
            return;
        };
        if !group.members.remove(&id) {
            return;
        }
        group.stopped -= usize::from(process.stopped);
        if group.members.is_empty() {
            let session = group.session;
            self.groups.remove(&process.group);
            if let Some(count) = self.sessions.get_mut(&session) {
                *count -= 1;
                if *count == 0 {
                    self.sessions.remove(&session);
                }
            }
        }
    }

    /// Whether nobody of a group has a parent in another group of the same session: nobody is there who
    /// would let it go on if it stops. `without` is a process that does not count.
    pub fn is_orphaned(&self, group: ProcessId, without: Option<ProcessId>) -> bool {
        let Some(group_) = self.groups.get(&group) else {
            return true;
        };
        !group_.members.iter().any(|member| {
            let Some(process) = self.processes.get(member) else {
                return false;
            };
            let Some(parent) = self.processes.get(&process.parent) else {
                return false;
            };
            Some(*member) != without
                && process.life == Life::Alive
                && process.parent != process.id
                && Some(parent.id) != without
                && parent.group != group
                && parent.session == group_.session
        })
    }
}
