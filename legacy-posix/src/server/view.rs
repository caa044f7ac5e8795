// SPDX-License-Identifier: BSD-2-Clause
//! What `/proc` shows of processes.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::file::{PlaceId, TableId};
use crate::mm::{Protection, STACK_END};
use crate::syscall::TICK;
use crate::task::{Life, Process, State, Tasks, Thread};
use crate::vfs::Node;
use crate::vfs::source::{Contexts, Info, Mapping, Processes, System};
use crate::{Credentials, ProcessId, ThreadId};

/// What `uname -r` says: the version of Linux whose calls these are.
pub const RELEASE: &str = "6.1.0-xos";
/// What `uname -v` says.
pub const VERSION: &str = "#1 xOS";

fn info(tasks: &Tasks, process: &Process, thread: Option<&Thread>) -> Info {
    let first = process.threads.first();
    let first = first.and_then(|id| tasks.thread(*id).ok());
    let thread = thread.or(first);
    let memory = process.memory.borrow();
    let actions = process.actions.borrow();
    let name = match thread {
        Some(thread) => &thread.name,
        None => &process.name,
    };
    let end = name
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(name.len());
    let state = match (process.life, thread) {
        (Life::Zombie(_), _) | (_, None) => 'Z',
        _ if process.stopped => 'T',
        (_, Some(thread)) if thread.state == State::Running => 'R',
        _ => 'S',
    };
    let ticks = |time| time / TICK;
    let own = process.usage;
    let children = process.children_usage.times;
    let (mut data, mut stack, mut text) = (0, 0, 0);
    for (start, mapping) in memory.mappings() {
        let bytes = mapping.end - start;
        if mapping.grows_down {
            stack += bytes;
        } else if mapping.protection.contains(Protection::WRITE) {
            data += bytes;
        } else if mapping.protection.contains(Protection::EXECUTE) {
            text += bytes;
        }
    }
    Info {
        name: name[..end].to_vec(),
        state,
        parent: match process.parent == process.id {
            true => 0,
            false => process.parent.number(),
        },
        group: process.group,
        session: process.session,
        credentials: (*process.credentials).clone(),
        no_new_rights: process.no_new_rights,
        threads: process.threads.len() as u32,
        nice: process.nice,
        user_ticks: ticks(own.times.user),
        system_ticks: ticks(own.times.system),
        children_user_ticks: ticks(children.user),
        children_system_ticks: ticks(children.system),
        start_ticks: ticks(process.started),
        minor_faults: own.faults,
        size: memory.size(),
        peak_size: memory.size(),
        resident: memory.resident() as u64,
        data,
        stack,
        text,
        pending: thread.map_or(0, |thread| thread.pending.set()),
        shared_pending: process.pending.set(),
        blocked: thread.map_or(0, |thread| thread.mask),
        ignored: actions.ignored(),
        caught: actions.caught(),
        voluntary_switches: own.waits,
    }
}

impl Tasks {
    fn living(&self, process: ProcessId) -> Option<&Process> {
        let process = self.processes.get(&process)?;
        (process.life == Life::Alive).then_some(process)
    }
}

impl Processes for Tasks {
    fn next(&self, number: u32) -> Option<ProcessId> {
        let mut from = self.processes.from(number as usize);
        from.next().map(|(id, _)| id)
    }

    fn next_thread(&self, process: ProcessId, number: u32) -> Option<ThreadId> {
        let threads = &self.processes.get(&process)?.threads;
        let threads = threads.iter().filter(|id| id.number() >= number);
        threads.min().copied()
    }

    fn info(&self, process: ProcessId) -> Option<Info> {
        Some(info(self, self.processes.get(&process)?, None))
    }

    fn thread_info(&self, thread: ThreadId) -> Option<Info> {
        let thread = self.threads.get(&thread)?;
        let process = self.processes.get(&thread.process)?;
        Some(info(self, process, Some(thread)))
    }

    fn session_of_group(&self, group: ProcessId) -> Option<ProcessId> {
        self.groups.get(&group).map(|group| group.session)
    }

    fn credentials(&self, process: ProcessId) -> Option<Credentials> {
        let process = self.processes.get(&process)?;
        Some((*process.credentials).clone())
    }

    fn table(&self, process: ProcessId) -> Option<TableId> {
        Some(self.living(process)?.table)
    }

    fn place(&self, process: ProcessId) -> Option<PlaceId> {
        Some(self.living(process)?.place)
    }

    fn executable(&self, process: ProcessId) -> Option<Node> {
        self.living(process)?.program.file
    }

    fn arguments(&self, process: ProcessId) -> Vec<u8> {
        let process = self.living(process);
        process.map_or_else(Vec::new, |p| p.program.arguments.to_vec())
    }

    fn environment(&self, process: ProcessId) -> Vec<u8> {
        let process = self.living(process);
        process.map_or_else(Vec::new, |p| p.program.environment.to_vec())
    }

    fn mappings(&self, process: ProcessId) -> Vec<Mapping> {
        let Some(process) = self.living(process) else {
            return Vec::new();
        };
        let memory = process.memory.borrow();
        let mappings = memory.mappings().map(|(start, mapping)| {
            let has = |right| mapping.protection.contains(right);
            let label = if mapping.grows_down && mapping.end == STACK_END {
                "[stack]"
            } else if start == super::signals::TRAMPOLINE {
                "[vdso]"
            } else if mapping.file.is_none() && start <= memory.heap && memory.heap < mapping.end {
                "[heap]"
            } else {
                ""
            };
            Mapping {
                start,
                end: mapping.end,
                read: has(Protection::READ),
                write: has(Protection::WRITE),
                execute: has(Protection::EXECUTE),
                shared: mapping.shared,
                file: mapping
                    .file
                    .map(|(file, page)| (file, page * crate::mm::PAGE_BYTES)),
                label,
            }
        });
        mappings.collect()
    }

    fn contexts(&self) -> Option<&dyn Contexts> {
        self.contexts.as_deref()
    }

    fn system(&self) -> System {
        let running = self.threads.values().filter(|t| t.state == State::Running);
        System {
            host: alloc::string::String::from_utf8_lossy(&self.system.host).into_owned(),
            release: RELEASE.to_string(),
            version: VERSION.to_string(),
            processor: self.system.processor.clone(),
            uptime_ticks: self.system.now / TICK,
            idle_ticks: 0,
            user_ticks: self.system.user / TICK,
            system_ticks: self.system.system / TICK,
            boot_time: (self.system.epoch / 1_000_000_000) as i64,
            load: [0; 3],
            running: running.count() as u32,
            processes: self.processes.len() as u32,
            last_process: self.last(),
            forks: self.system.forks,
            switches: 0,
            traps: self.system.traps,
            heap: self.system.heap,
        }
    }
}
