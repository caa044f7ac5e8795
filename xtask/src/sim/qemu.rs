// SPDX-License-Identifier: BSD-2-Clause
//! QEMU's plain emulation of a PC, which runs everywhere alike.

use super::{Machine, SimError, Simulator, bounded};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use xos_image::console::EXIT_PORT;

/// Names another program than `qemu-system-x86_64` on the search path.
pub const PROGRAM_VARIABLE: &str = "QEMU";

/// How a machine is configured.
#[derive(Clone, Debug)]
pub struct Qemu {
    /// The emulator.
    pub program: OsString,
    /// Main memory, MiB.
    pub memory: u32,
    /// Each instruction takes 2 to this power nanoseconds of virtual time: a run then repeats exactly, and
    /// with 0 the time-stamp counter counts instructions.
    pub count_instructions: Option<u8>,
    /// The host's processor instead of an emulated one, by KVM.
    pub kvm: bool,
}

impl Default for Qemu {
    fn default() -> Self {
        Self {
            program: std::env::var_os(PROGRAM_VARIABLE)
                .unwrap_or_else(|| "qemu-system-x86_64".into()),
            memory: 512,
            count_instructions: None,
            kvm: false,
        }
    }
}

impl Simulator for Qemu {
    fn start(&self, folder: &Path, kernel: &str, root_task: &str) -> Result<Machine, SimError> {
        Machine::start(self.command(folder, kernel, root_task))
    }
}

impl Qemu {
    /// The command that boots `kernel` (a 32-bit multiboot image) with `root_task` as its module.
    /// Both are names within `folder`: QEMU gives blanks and commas in a module's path a meaning.
    #[must_use]
    pub fn command(&self, folder: &Path, kernel: &str, root_task: &str) -> Command {
        let mut command = bounded(&self.program);
        command
            .current_dir(folder)
            .args(if self.kvm {
                ["-accel", "kvm", "-cpu", "host"]
            } else {
                // Intel, because SYSENTER in 64-bit mode is; the oldest model with what seL4 wants.
                ["-accel", "tcg", "-cpu", "Nehalem"]
            })
            .args(["-m", &self.memory.to_string()])
            .args([
                "-nodefaults",
                "-no-reboot",
                "-display",
                "none",
                "-serial",
                "stdio",
                "-device",
            ])
            .arg(format!("isa-debug-exit,iobase={EXIT_PORT:#x},iosize=0x04"));
        if let Some(shift) = self.count_instructions {
            command.args([
                "-icount",
                &format!("shift={shift},sleep=off"),
                "-rtc",
                "clock=vm,base=2026-01-01",
            ]);
        }
        command.args(["-kernel", kernel, "-initrd", root_task]);
        command
    }
}
