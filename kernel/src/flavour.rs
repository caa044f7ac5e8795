// SPDX-License-Identifier: BSD-2-Clause
//! The configurations in which the default kernel is built.

use sel4_prefix::Config;
use sel4_prefix::config::Value;

/// A configuration of the default kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// As it is meant to run: no debug system calls, no kernel output.
    Release,
    /// With assertions, kernel messages on COM1, and the debug system calls. Any thread can halt
    /// this kernel: nothing about isolation can be tested on it.
    Debug,
    /// The release kernel with virtual processors: VCPUs and second-stage page tables, by Intel's
    /// VT-x. It halts at boot where the processor has none, so that it is no default.
    Vtx,
}

impl Flavour {
    /// Every flavour.
    pub const ALL: [Self; 3] = [Self::Release, Self::Debug, Self::Vtx];

    /// The name, as in `target/kernel/<name>`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Debug => "debug",
            Self::Vtx => "vtx",
        }
    }

    /// The flavour of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flavour| flavour.name() == name)
    }

    fn settings(self) -> Vec<Setting> {
        let mut all = COMMON.to_vec();
        match self {
            Self::Release => {}
            Self::Debug => all.extend_from_slice(DEBUG),
            Self::Vtx => all.extend_from_slice(VTX),
        }
        all
    }

    /// The flavour's `autoconf.h`, which every file of the kernel and of libsel4 includes.
    pub(crate) fn autoconf(self) -> String {
        let mut out = String::from("#pragma once\n#define AUTOCONF_INCLUDED\n");
        for (key, value) in self.settings() {
            let value = match value {
                On => "1".to_owned(),
                Number(n) => n.to_string(),
                Off | Text(_) => continue,
            };
            out += &format!("#define CONFIG_{key} {value}\n");
        }
        out
    }

    /// The same as [`Config`], under the keys that seL4's later build system uses.
    pub(crate) fn config(self) -> Config {
        let mut config = Config::default();
        for (key, value) in self.settings() {
            let value = match value {
                On => Value::Bool(true),
                Off => Value::Bool(false),
                Number(n) => Value::Text(n.to_string()),
                Text(t) => Value::Text(t.to_owned()),
            };
            config.insert(key, value);
        }
        config
    }
}

#[derive(Clone, Copy)]
enum Setting_ {
    On,
    Off,
    Number(u32),
    Text(&'static str),
}
use Setting_::{Number, Off, On, Text};

type Setting = (&'static str, Setting_);

/// What all flavours share. Keys that are `Off` exist for conditions in Rust, where a key that no
/// kernel knows is an error.
const COMMON: &[Setting] = &[
    // The machine. QEMU's emulated Nehalem has no X2APIC, PCID, FSGSBASE or 1 GiB pages.
    ("ARCH_X86", On),
    ("ARCH_X86_64", On),
    ("SEL4_ARCH", Text("x86_64")),
    ("PLAT", Text("pc99")),
    ("PLAT_PC99", On),
    ("WORD_SIZE", Number(64)),
    ("MAX_NUM_NODES", Number(1)),
    ("IRQ_IOAPIC", On),
    ("MAX_NUM_IOAPIC", Number(1)),
    ("XAPIC", On),
    ("X2APIC", Off),
    ("SUPPORT_PCID", Off),
    ("HUGE_PAGE", Off),
    ("IOMMU", Off),
    ("CACHE_LN_SZ", Number(64)),
    ("HAVE_FPU", On),
    ("FPU_MAX_RESTORES_SINCE_SWITCH", Number(64)),
    ("FXSAVE", On),
    ("XSAVE_SIZE", Number(512)),
    ("FSGSBASE_MSR", On),
    ("MULTIBOOT_GRAPHICS_MODE_NONE", On),
    // System calls by `sysenter`: `syscall` then raises an exception, which is how the system
    // calls of foreign binaries are caught with every register intact.
    ("SYSENTER", On),
    ("SYSCALL", Off),
    // Policy.
    ("KERNEL_MASTER", On),
    ("KERNEL_MCS", Off),
    ("FASTPATH", On),
    ("ROOT_CNODE_SIZE_BITS", Number(16)),
    ("TIMER_TICK_MS", Number(2)),
    ("TIME_SLICE", Number(5)),
    ("NUM_DOMAINS", Number(1)),
    ("NUM_PRIORITIES", Number(256)),
    ("RETYPE_FAN_OUT_LIMIT", Number(256)),
    ("MAX_NUM_WORK_UNITS_PER_PREEMPTION", Number(100)),
    // BootInfo is one page: 166 descriptors fit.
    ("MAX_NUM_BOOTINFO_UNTYPED_CAPS", Number(166)),
    ("KERNEL_STACK_BITS", Number(12)),
    ("OPTIMISATION_O2", On),
    ("LIB_SEL4_INLINE_INVOCATIONS", On),
    // Absent.
    ("DEBUG_BUILD", Off),
    ("PRINTING", Off),
    ("IRQ_REPORTING", Off),
    ("HARDWARE_DEBUG_API", Off),
    ("ENABLE_BENCHMARKS", Off),
    ("BENCHMARK_TRACK_UTILISATION", Off),
    ("DANGEROUS_CODE_INJECTION", Off),
    ("VTX", Off),
    ("VERIFICATION_BUILD", Off),
    ("SET_TLS_BASE_SELF", Off),
    ("KERNEL_INVOCATION_REPORT_ERROR_IPC", Off),
    ("ENABLE_SMP_SUPPORT", Off),
    ("ARCH_IA32", Off),
    ("ARCH_ARM", Off),
    ("ARCH_AARCH32", Off),
    ("ARCH_AARCH64", Off),
    ("ARCH_RISCV", Off),
    ("ARCH_RISCV32", Off),
    ("ARCH_RISCV64", Off),
    ("ARM_HYPERVISOR_SUPPORT", Off),
];

/// What the debug flavour changes. Later settings win.
const DEBUG: &[Setting] = &[
    ("DEBUG_BUILD", On),
    ("PRINTING", On),
    ("IRQ_REPORTING", On),
    ("USER_STACK_TRACE_LENGTH", Number(16)),
];

/// What the flavour with virtual processors changes.
const VTX: &[Setting] = &[
    ("VTX", On),
    // Tags of translations in the processor. With more VCPUs than tags the kernel takes one away
    // from the oldest; it looks for a free one from the beginning, so that more are no gain.
    ("MAX_VPIDS", Number(64)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn autoconf_defines_what_is_on_once() {
        for flavour in Flavour::ALL {
            let text = flavour.autoconf();
            let mut names: Vec<_> = text
                .lines()
                .filter_map(|line| line.strip_prefix("#define ")?.split(' ').next())
                .collect();
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(all, names.len());
            assert!(text.contains("#define CONFIG_ROOT_CNODE_SIZE_BITS 16\n"));
            assert!(text.contains("#define CONFIG_SYSENTER 1\n"));
            assert!(!text.contains("CONFIG_SYSCALL "));
        }
    }

    #[test]
    fn only_the_debug_flavour_prints() {
        assert!(!Flavour::Release.config().is_set("PRINTING"));
        assert!(!Flavour::Vtx.config().is_set("PRINTING"));
        assert!(Flavour::Debug.config().is_set("PRINTING"));
        assert!(!Flavour::Release.autoconf().contains("CONFIG_DEBUG_BUILD"));
    }

    #[test]
    fn only_the_vtx_flavour_needs_a_processor_with_vtx() {
        for flavour in Flavour::ALL {
            let wanted = flavour == Flavour::Vtx;
            assert_eq!(flavour.config().is_set("VTX"), wanted);
            assert_eq!(flavour.autoconf().contains("CONFIG_VTX 1"), wanted);
        }
    }

    #[test]
    fn names_round_trip() {
        for flavour in Flavour::ALL {
            assert_eq!(Flavour::from_name(flavour.name()), Some(flavour));
        }
        assert_eq!(Flavour::from_name("fast"), None);
    }
}
