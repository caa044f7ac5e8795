// SPDX-License-Identifier: BSD-2-Clause
//! The texts of `/proc` (proc(5)).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use xos_container::MountFlags;

use crate::vfs::source::{Info, Mapping};
use crate::vfs::{Env, Node, major_minor};
use crate::{Errno, PAGE, ProcessId, Result};

/// Texts with a fixed place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Cpuinfo,
    Filesystems,
    Loadavg,
    Meminfo,
    Stat,
    Uptime,
    Version,
    Hostname,
    GroupsMax,
    Release,
    Ostype,
    PidMax,
    Overcommit,
}

/// Writing to a string cannot fail.
macro_rules! put {
    ($($argument:tt)*) => {{ let _ = writeln!($($argument)*); }};
}

pub fn fixed(env: &Env, of: Of) -> Vec<u8> {
    let system = env.processes.system();
    let hundredths = |ticks: u64| format!("{}.{:02}", ticks / 100, ticks % 100);
    let mut text = String::new();
    match of {
        Of::Cpuinfo => {
            put!(text, "processor\t: 0");
            put!(text, "model name\t: {}", system.processor);
            put!(text);
        }
        Of::Filesystems => {
            for name in ["tmpfs", "proc"] {
                put!(text, "nodev\t{name}");
            }
        }
        Of::Loadavg => {
            for load in system.load {
                let _ = write!(text, "{} ", hundredths(u64::from(load)));
            }
            let (running, all) = (system.running, system.processes);
            put!(text, "{running}/{all} {}", system.last_process);
        }
        Of::Meminfo => {
            let (free, all) = env.pages.available();
            let kib = |pages: usize| pages * (PAGE / 1024);
            // It is not part of the frames that programs have.
            let own = system.heap / 1024;
            for (name, pages) in [
                ("MemTotal:", all),
                ("MemFree:", free),
                ("MemAvailable:", free),
                ("Buffers:", 0),
                ("Cached:", 0),
                ("SwapCached:", 0),
                ("Active:", all - free),
                ("Inactive:", 0),
                ("SwapTotal:", 0),
                ("SwapFree:", 0),
                ("Dirty:", 0),
                ("Writeback:", 0),
                ("AnonPages:", all - free),
                ("Mapped:", 0),
                ("Shmem:", 0),
            ] {
                put!(text, "{name:<15}{:>9} kB", kib(pages));
            }
            for (name, own) in [("Slab:", own), ("SReclaimable:", 0), ("SUnreclaim:", own)] {
                put!(text, "{name:<15}{own:>9} kB");
            }
        }
        Of::Stat => {
            let (user, kernel, idle) = (system.user_ticks, system.system_ticks, system.idle_ticks);
            put!(text, "cpu  {user} 0 {kernel} {idle} 0 0 0 0 0 0");
            put!(text, "cpu0 {user} 0 {kernel} {idle} 0 0 0 0 0 0");
            put!(text, "intr {}", system.traps);
            put!(text, "ctxt {}", system.switches);
            put!(text, "btime {}", system.boot_time);
            put!(text, "processes {}", system.forks);
            put!(text, "procs_running {}", system.running);
            put!(text, "procs_blocked 0");
        }
        Of::Uptime => {
            let (up, idle) = (system.uptime_ticks, system.idle_ticks);
            put!(text, "{} {}", hundredths(up), hundredths(idle));
        }
        Of::Version => put!(text, "Linux version {} {}", system.release, system.version),
        Of::Hostname => put!(text, "{}", system.host),
        Of::GroupsMax => put!(text, "{}", linux_raw_sys::general::NGROUPS_MAX),
        Of::Release => put!(text, "{}", system.release),
        Of::Ostype => put!(text, "Linux"),
        Of::PidMax => put!(text, "{}", crate::task::MAX_NUMBER),
        Of::Overcommit => put!(text, "0"),
    }
    text.into_bytes()
}

/// The text of a file of a process.
pub fn of_process(
    env: &Env,
    process: ProcessId,
    file: &str,
    path: &dyn Fn(Node) -> Vec<u8>,
) -> Result<Vec<u8>> {
    match file {
        "cgroup" => Ok(b"0::/\n".to_vec()),
        "cmdline" => Ok(env.processes.arguments(process)),
        "environ" => Ok(env.processes.environment(process)),
        "maps" => Ok(maps(path, &env.processes.mappings(process))),
        "mountinfo" => Ok(mounts(env, true)),
        "mounts" => Ok(mounts(env, false)),
        _ => {
            let info = env.processes.info(process).ok_or(Errno::NOENT)?;
            of_info(env, process.number(), &info, file)
        }
    }
}

/// The text of a file of a process or thread that is all about [`Info`].
pub fn of_info(env: &Env, number: u32, info: &Info, file: &str) -> Result<Vec<u8>> {
    match file {
        "comm" => {
            let mut text = info.name.clone();
            text.push(b'\n');
            Ok(text)
        }
        "stat" => Ok(stat(env, number, info)),
        "statm" => {
            let pages = |bytes: u64| bytes / PAGE as u64;
            let (size, text, data) = (
                pages(info.size),
                pages(info.text),
                pages(info.data + info.stack),
            );
            Ok(format!("{size} {} 0 {text} 0 {data} 0\n", info.resident).into_bytes())
        }
        "status" => Ok(status(env, number, info)),
        _ => Err(Errno::NOENT),
    }
}

fn stat(env: &Env, number: u32, info: &Info) -> Vec<u8> {
    let (device, foreground) = match env.terminals.of_session(info.session) {
        // As `stat` has always told devices: major in the second byte.
        Some((device, group)) => {
            let (major, minor) = major_minor(device);
            (
                minor & 0xff | major << 8 | (minor & !0xff) << 12,
                group.map_or(-1, |group| i64::from(group.number())),
            )
        }
        None => (0, -1),
    };
    let mut text = format!("{number} (").into_bytes();
    text.extend_from_slice(&info.name);
    let mut rest = String::new();
    let _ = write!(
        rest,
        ") {} {} {} {} {device} {foreground} 0 ",
        info.state, info.parent, info.group, info.session
    );
    let _ = write!(
        rest,
        "{} 0 0 0 {} {} {} {} ",
        info.minor_faults,
        info.user_ticks,
        info.system_ticks,
        info.children_user_ticks,
        info.children_system_ticks
    );
    let _ = write!(
        rest,
        "{} {} {} 0 {} {} {} ",
        20 + info.nice,
        info.nice,
        info.threads,
        info.start_ticks,
        info.size,
        info.resident
    );
    // rsslim startcode endcode startstack kstkesp kstkeip signal blocked sigignore sigcatch wchan
    let _ = write!(
        rest,
        "{} 0 0 0 0 0 {} {} {} {} 0 ",
        u64::MAX,
        info.pending as u32 & 0x7fff_ffff,
        info.blocked as u32 & 0x7fff_ffff,
        info.ignored as u32 & 0x7fff_ffff,
        info.caught as u32 & 0x7fff_ffff
    );
    // nswap cnswap exit_signal processor rt_priority policy delayacct guest cguest
    // start_data end_data start_brk arg_start arg_end env_start env_end exit_code
    put!(rest, "0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0");
    text.extend_from_slice(rest.as_bytes());
    text
}

fn status(env: &Env, number: u32, info: &Info) -> Vec<u8> {
    let process = ProcessId::new(number);
    let place = process.and_then(|process| env.processes.place(process));
    let table = process.and_then(|process| env.processes.table(process));
    let mut text = b"Name:\t".to_vec();
    text.extend(info.name.iter().flat_map(|&byte| match byte {
        b'\n' => b"\\n".to_vec(),
        b'\\' => b"\\\\".to_vec(),
        byte => Vec::from([byte]),
    }));
    let mut rest = String::from("\n");
    if let Some(place) = place {
        put!(rest, "Umask:\t{:04o}", env.descriptors.place(place).umask);
    }
    let state = match info.state {
        'R' => "R (running)",
        'S' => "S (sleeping)",
        'D' => "D (disk sleep)",
        'T' => "T (stopped)",
        'Z' => "Z (zombie)",
        _ => "X (dead)",
    };
    put!(rest, "State:\t{state}");
    put!(rest, "Tgid:\t{number}\nNgid:\t0\nPid:\t{number}");
    put!(rest, "PPid:\t{}\nTracerPid:\t0", info.parent);
    let who = &info.credentials;
    put!(
        rest,
        "Uid:\t{}\t{}\t{}\t{}",
        who.uid,
        who.euid,
        who.suid,
        who.fsuid
    );
    put!(
        rest,
        "Gid:\t{}\t{}\t{}\t{}",
        who.gid,
        who.egid,
        who.sgid,
        who.fsgid
    );
    let slots = table.map_or(0, |table| env.descriptors.slots(table));
    put!(rest, "FDSize:\t{slots}");
    let _ = write!(rest, "Groups:\t");
    for group in who.groups.iter() {
        let _ = write!(rest, "{group} ");
    }
    put!(rest);
    let kib = |bytes: u64| bytes / 1024;
    for (name, value) in [
        ("VmPeak:", kib(info.peak_size)),
        ("VmSize:", kib(info.size)),
        ("VmRSS:", info.resident * (PAGE as u64 / 1024)),
        ("VmData:", kib(info.data)),
        ("VmStk:", kib(info.stack)),
        ("VmExe:", kib(info.text)),
    ] {
        put!(rest, "{name}\t{value:>8} kB");
    }
    put!(rest, "Threads:\t{}", info.threads);
    for (name, set) in [
        ("SigPnd:", info.pending),
        ("ShdPnd:", info.shared_pending),
        ("SigBlk:", info.blocked),
        ("SigIgn:", info.ignored),
        ("SigCgt:", info.caught),
        ("CapInh:", who.inheritable),
        ("CapPrm:", who.permitted),
        ("CapEff:", who.capabilities),
        ("CapBnd:", who.bounding),
        ("CapAmb:", who.ambient),
    ] {
        put!(rest, "{name}\t{set:016x}");
    }
    // System calls are not filtered here.
    put!(
        rest,
        "NoNewPrivs:\t{}\nSeccomp:\t0\nSeccomp_filters:\t0",
        u8::from(info.no_new_rights)
    );
    put!(
        rest,
        "voluntary_ctxt_switches:\t{}",
        info.voluntary_switches
    );
    put!(rest, "nonvoluntary_ctxt_switches:\t0");
    text.extend_from_slice(rest.as_bytes());
    text
}

fn maps(path: &dyn Fn(Node) -> Vec<u8>, mappings: &[Mapping]) -> Vec<u8> {
    let mut text = Vec::new();
    for map in mappings {
        let flag = |set, letter| if set { letter } else { '-' };
        let (node, offset) = map
            .file
            .map_or((None, 0), |(node, offset)| (Some(node), offset));
        let line = format!(
            "{:08x}-{:08x} {}{}{}{} {:08x} 00:{:02x} {}",
            map.start,
            map.end,
            flag(map.read, 'r'),
            flag(map.write, 'w'),
            flag(map.execute, 'x'),
            if map.shared { 's' } else { 'p' },
            offset,
            node.map_or(0, |node| node.fs + 1),
            node.map_or(0, |node| node.ino)
        );
        let name = match node {
            Some(node) => path(node),
            None => map.label.as_bytes().to_vec(),
        };
        if name.is_empty() {
            text.extend_from_slice(line.as_bytes());
        } else {
            text.extend_from_slice(format!("{line:<72} ").as_bytes());
            text.extend_from_slice(&name);
        }
        text.push(b'\n');
    }
    text
}

/// `/proc/mounts` and `/proc/self/mountinfo`, with what is special in names as octal numbers.
fn mounts(env: &Env, long: bool) -> Vec<u8> {
    let escaped = |name: &str| {
        let mut text = String::new();
        for letter in name.chars() {
            match letter {
                ' ' | '\t' | '\n' | '\\' => {
                    let _ = write!(text, "\\{:03o}", u32::from(letter));
                }
                letter => text.push(letter),
            }
        }
        text
    };
    let mut text = String::new();
    for (index, mount) in env.mounts.iter() {
        let (source, target) = (escaped(&mount.source), escaped(&mount.target));
        let kind = mount.kind;
        let mut options = String::from(match mount.flags.contains(MountFlags::READ_ONLY) {
            true => "ro",
            false => "rw",
        });
        for (flag, name) in [
            (MountFlags::NO_SUID, ",nosuid"),
            (MountFlags::NO_DEV, ",nodev"),
            (MountFlags::NO_EXEC, ",noexec"),
        ] {
            if mount.flags.contains(flag) {
                options.push_str(name);
            }
        }
        options.push_str(",relatime");
        if long {
            let parent = mount.on.map_or(1, |on| on.fs + 20);
            let (id, minor) = (index + 20, index + 1);
            put!(
                text,
                "{id} {parent} 0:{minor} / {target} {options} - {kind} {source} rw"
            );
        } else {
            put!(text, "{source} {target} {kind} {options} 0 0");
        }
    }
    text.into_bytes()
}
