// SPDX-License-Identifier: BSD-2-Clause
//! What a guest may know of its processor: `CPUID`, and the registers that are specific to a model.
//!
//! A guest sees what works for it and nothing else: no long mode, no extensions of which there are none
//! for it (VMX, APIC, MTRR, machine checks), and that there is a hypervisor.

/// Leaf 1, EDX: FPU, DE, PSE, TSC, MSR, CX8, SEP, PGE, CMOV, MMX, FXSR, SSE, SSE2.
const FEATURES_EDX: u32 = 1
    | 1 << 2
    | 1 << 3
    | 1 << 4
    | 1 << 5
    | 1 << 8
    | 1 << 11
    | 1 << 13
    | 1 << 15
    | 1 << 23
    | 1 << 24
    | 1 << 25
    | 1 << 26;
/// Leaf 1, ECX: SSE3, SSSE3, SSE4.1, SSE4.2, POPCNT: what has no state of its own.
const FEATURES_ECX: u32 = 1 | 1 << 9 | 1 << 19 | 1 << 20 | 1 << 23;
/// Leaf 1, ECX: there is a hypervisor.
const HYPERVISOR: u32 = 1 << 31;
/// The leaf at which a hypervisor says who it is.
pub const HYPERVISOR_LEAF: u32 = 0x4000_0000;
/// Who it is: EBX, ECX, EDX of that leaf.
pub const HYPERVISOR_NAME: &[u8; 12] = b"xOSonseL4VM\0";

/// EAX, EBX, ECX, EDX.
pub type Leaf = [u32; 4];

const fn word(at: usize) -> u32 {
    let [a, b, c, d] = [
        HYPERVISOR_NAME[at],
        HYPERVISOR_NAME[at + 1],
        HYPERVISOR_NAME[at + 2],
        HYPERVISOR_NAME[at + 3],
    ];
    u32::from_le_bytes([a, b, c, d])
}

/// What `CPUID` says in a guest; `real` is the machine's own.
pub fn cpuid(leaf: u32, mut real: impl FnMut(u32) -> Leaf) -> Leaf {
    match leaf {
        0 => {
            let [_, b, c, d] = real(0);
            [1, b, c, d]
        }
        1 => {
            let [a, b, c, d] = real(1);
            // Brand and line size; one processor, number 0.
            let b = b & 0xffff;
            [a, b, c & FEATURES_ECX | HYPERVISOR, d & FEATURES_EDX]
        }
        HYPERVISOR_LEAF => [HYPERVISOR_LEAF, word(0), word(4), word(8)],
        0x8000_0000 => [0x8000_0004, 0, 0, 0],
        // The brand; its text is of no consequence and tells guests and people what they run on.
        0x8000_0002..=0x8000_0004 => real(leaf),
        _ => [0; 4],
    }
}

/// A model-specific register that a guest can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Msr {
    /// A field of the VMCS.
    Field(u32),
    /// Always this value; what is written is forgotten.
    Fixed(u64),
    /// There is none: a general protection fault.
    Absent,
}

/// What is at a number.
#[must_use]
pub const fn msr(number: u32) -> Msr {
    use xos_vcpu::guest;
    match number {
        0x174 => Msr::Field(guest::IA32_SYSENTER_CS),
        0x175 => Msr::Field(guest::IA32_SYSENTER_ESP),
        0x176 => Msr::Field(guest::IA32_SYSENTER_EIP),
        // Platform, version of the microcode, miscellaneous features: guests look without asking.
        0x17 | 0x8b | 0x1a0 => Msr::Fixed(0),
        _ => Msr::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_guest_sees_a_hypervisor_and_no_way_to_be_one() {
        let [_, _, c, d] = cpuid(1, |_| [u32::MAX; 4]);
        assert_ne!(c & HYPERVISOR, 0);
        assert_eq!(c & 1 << 5, 0, "VMX");
        assert_eq!(c & 1 << 26, 0, "XSAVE, whose state nobody keeps");
        assert_eq!(d & 1 << 9, 0, "APIC");
        assert_eq!(d & 1 << 12, 0, "MTRR");
        let [_, b, c, d] = cpuid(HYPERVISOR_LEAF, |_| [0; 4]);
        let name: Vec<u8> = [b, c, d].into_iter().flat_map(u32::to_le_bytes).collect();
        assert_eq!(name, HYPERVISOR_NAME);
    }

    #[test]
    fn there_is_no_64_bit_mode() {
        let [most, ..] = cpuid(0x8000_0000, |_| [u32::MAX; 4]);
        assert!(most >= 0x8000_0001);
        assert_eq!(cpuid(0x8000_0001, |_| [u32::MAX; 4]), [0; 4]);
    }

    proptest! {
        #[test]
        fn other_leaves_say_nothing_of_the_machine(leaf: u32) {
            let known = [0, 1, HYPERVISOR_LEAF, 0x8000_0000];
            prop_assume!(!known.contains(&leaf) && !(0x8000_0002..=0x8000_0004).contains(&leaf));
            prop_assert_eq!(cpuid(leaf, |_| [u32::MAX; 4]), [0; 4]);
        }
    }
}
