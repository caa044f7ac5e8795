// SPDX-License-Identifier: BSD-2-Clause
//! The state of virtual processors that run 32-bit guests.
//!
//! A VCPU is set up by writing fields of its VMCS (Intel's manual, volume 3, chapters 25 and 27).
//! What is written for a guest that starts in protected mode with flat segments, as all of ours do,
//! is the same for whoever runs it, and is here: [`start`]. So is what such a guest may know of its
//! control registers ([`ControlRegisters`]): this kernel runs guests in protected mode with paging
//! only, and a guest that believes that its paging is off runs on a table of ours that maps every
//! address to itself ([`identity_table`]).
//!
//! No system call is made here: [`Vmcs`] is what a VCPU is on the machine, and a table in tests.
#![cfg_attr(not(test), no_std)]

mod control;

pub use control::{ControlRegisters, Cr4Error, Effect};
pub use x86::vmx::vmcs::{control as field, guest, ro as exit};

/// A VCPU's fields, by the encodings in [`field`], [`guest`] and [`exit`].
pub trait Vmcs {
    /// Why a field cannot be read or written.
    type Error;

    /// Reads a field.
    fn read(&mut self, field: u32) -> Result<u64, Self::Error>;

    /// Writes a field. Bits that the processor forces may differ.
    fn write(&mut self, field: u32, value: u64) -> Result<(), Self::Error>;
}

/// Bits of CR0.
pub mod cr0 {
    /// Protected mode.
    pub const PE: u32 = 1 << 0;
    /// Task switched: the next use of the FPU is an exception.
    pub const TS: u32 = 1 << 3;
    /// The FPU is a 387, always 1.
    pub const ET: u32 = 1 << 4;
    /// Errors of the FPU are exceptions.
    pub const NE: u32 = 1 << 5;
    /// Write protection holds for the kernel too.
    pub const WP: u32 = 1 << 16;
    /// Paging.
    pub const PG: u32 = 1 << 31;
}

/// Bits of CR4.
pub mod cr4 {
    /// Pages of 4 MiB.
    pub const PSE: u32 = 1 << 4;
    /// Entries of 64 bits.
    pub const PAE: u32 = 1 << 5;
    /// Virtual machine extensions: forced, and hidden from the guest.
    pub const VMXE: u32 = 1 << 13;
}

/// Primary processor-based execution controls: what leaves the guest.
pub mod primary {
    /// As soon as an interrupt could be delivered.
    pub const INTERRUPT_WINDOW: u32 = 1 << 2;
    /// HLT.
    pub const HLT: u32 = 1 << 7;
    /// MWAIT.
    pub const MWAIT: u32 = 1 << 10;
    /// RDPMC.
    pub const RDPMC: u32 = 1 << 11;
    /// A write of CR3.
    pub const CR3_LOAD: u32 = 1 << 15;
    /// A read of CR3.
    pub const CR3_STORE: u32 = 1 << 16;
    /// Moves to and from debug registers, which all guests and threads have in common.
    pub const MOV_DR: u32 = 1 << 23;
    /// MONITOR.
    pub const MONITOR: u32 = 1 << 29;

    /// What always leaves a guest of ours.
    pub const ALWAYS: u32 = HLT | MWAIT | RDPMC | MOV_DR | MONITOR;
}

/// Access rights of a segment register as the VMCS has them.
mod rights {
    pub const CODE: u64 = 0xc09b;
    pub const DATA: u64 = 0xc093;
    pub const BUSY_TSS: u64 = 0x008b;
    pub const UNUSABLE: u64 = 1 << 16;
}

/// Where and with what a guest starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The first instruction, a linear address.
    pub ip: u32,
    /// The stack pointer.
    pub sp: u32,
    /// Guest-physical address of its page directory, or of [`identity_table`].
    pub cr3: u32,
    /// Bits of CR4 beside the forced ones.
    pub cr4: u32,
    /// Bits of CR0 beside the forced ones.
    pub cr0: u32,
    /// Guest-physical address and limit of the descriptor table that the selectors are of, which a
    /// guest that loads no segment before its own table need not have.
    pub gdt: (u32, u32),
    /// Selectors of the code segment and of all data segments.
    pub selectors: (u16, u16),
}

/// Puts a VCPU into protected mode with flat segments, interrupts off, paging by `start.cr3`.
///
/// # Errors
/// What a write of a field says.
pub fn start<V: Vmcs>(vcpu: &mut V, start: &Start) -> Result<(), V::Error> {
    let (code, data) = start.selectors;
    vcpu.write(guest::CS_SELECTOR, code.into())?;
    vcpu.write(guest::CS_BASE, 0)?;
    vcpu.write(guest::CS_LIMIT, u32::MAX.into())?;
    vcpu.write(guest::CS_ACCESS_RIGHTS, rights::CODE)?;
    for (selector, base, limit, access) in [
        (
            guest::SS_SELECTOR,
            guest::SS_BASE,
            guest::SS_LIMIT,
            guest::SS_ACCESS_RIGHTS,
        ),
        (
            guest::DS_SELECTOR,
            guest::DS_BASE,
            guest::DS_LIMIT,
            guest::DS_ACCESS_RIGHTS,
        ),
        (
            guest::ES_SELECTOR,
            guest::ES_BASE,
            guest::ES_LIMIT,
            guest::ES_ACCESS_RIGHTS,
        ),
        (
            guest::FS_SELECTOR,
            guest::FS_BASE,
            guest::FS_LIMIT,
            guest::FS_ACCESS_RIGHTS,
        ),
        (
            guest::GS_SELECTOR,
            guest::GS_BASE,
            guest::GS_LIMIT,
            guest::GS_ACCESS_RIGHTS,
        ),
    ] {
        vcpu.write(selector, data.into())?;
        vcpu.write(base, 0)?;
        vcpu.write(limit, u32::MAX.into())?;
        vcpu.write(access, rights::DATA)?;
    }
    // The processor insists on a task register, which nobody uses.
    vcpu.write(guest::TR_SELECTOR, 0)?;
    vcpu.write(guest::TR_BASE, 0)?;
    vcpu.write(guest::TR_LIMIT, 0x67)?;
    vcpu.write(guest::TR_ACCESS_RIGHTS, rights::BUSY_TSS)?;
    vcpu.write(guest::LDTR_SELECTOR, 0)?;
    vcpu.write(guest::LDTR_BASE, 0)?;
    vcpu.write(guest::LDTR_LIMIT, 0)?;
    vcpu.write(guest::LDTR_ACCESS_RIGHTS, rights::UNUSABLE)?;
    vcpu.write(guest::GDTR_BASE, start.gdt.0.into())?;
    vcpu.write(guest::GDTR_LIMIT, start.gdt.1.into())?;
    vcpu.write(guest::IDTR_BASE, 0)?;
    // No interrupt vector at all: an exception before the guest has a table is a triple fault.
    vcpu.write(guest::IDTR_LIMIT, 0)?;

    vcpu.write(guest::RIP, start.ip.into())?;
    vcpu.write(guest::RSP, start.sp.into())?;
    // Bit 1 is always set.
    vcpu.write(guest::RFLAGS, 2)?;
    // As after a reset (volume 3, table 10-1).
    vcpu.write(guest::DR7, 0x400)?;
    vcpu.write(guest::ACTIVITY_STATE, 0)?;
    vcpu.write(guest::INTERRUPTIBILITY_STATE, 0)?;
    vcpu.write(guest::PENDING_DBG_EXCEPTIONS, 0)?;
    vcpu.write(guest::IA32_DEBUGCTL_FULL, 0)?;
    vcpu.write(guest::IA32_SYSENTER_CS, 0)?;
    vcpu.write(guest::IA32_SYSENTER_ESP, 0)?;
    vcpu.write(guest::IA32_SYSENTER_EIP, 0)?;

    vcpu.write(guest::CR3, start.cr3.into())?;
    vcpu.write(guest::CR4, (start.cr4 | cr4::VMXE).into())?;
    let forced = cr0::PE | cr0::PG | cr0::NE | cr0::ET;
    vcpu.write(guest::CR0, (start.cr0 | forced).into())
}

/// The entries of a page directory, to be written to a page of the guest's physical memory, that
/// maps all 4 GiB to themselves. All entries are marked accessed and written, so that the processor
/// never writes to the table and it may be mapped read-only in the second stage.
pub fn identity_table() -> impl Iterator<Item = u32> {
    /// Present, writable, for users too, accessed, written, 4 MiB.
    const ENTRY: u32 = 1 | 1 << 1 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 7;
    (0..1024u32).map(|number| number << 22 | ENTRY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Default)]
    pub(crate) struct Table(pub BTreeMap<u32, u64>);

    impl Vmcs for Table {
        type Error = u32;

        fn read(&mut self, field: u32) -> Result<u64, u32> {
            self.0.get(&field).copied().ok_or(field)
        }

        fn write(&mut self, field: u32, value: u64) -> Result<(), u32> {
            self.0.insert(field, value);
            Ok(())
        }
    }

    #[test]
    fn a_guest_starts_in_protected_mode_with_paging_and_flat_segments() {
        let mut vcpu = Table::default();
        let what = Start {
            ip: 0x1000,
            sp: 0x8000,
            cr3: 0x2000,
            cr4: cr4::PSE,
            selectors: (8, 16),
            ..Start::default()
        };
        start(&mut vcpu, &what).unwrap();
        let field = |field| vcpu.0[&field];
        assert_eq!(field(guest::RIP), 0x1000);
        assert_eq!(field(guest::CR3), 0x2000);
        assert_eq!(
            field(guest::CR0) as u32 & (cr0::PE | cr0::PG),
            cr0::PE | cr0::PG
        );
        assert_eq!(field(guest::CR4) as u32 & cr4::PSE, cr4::PSE);
        assert_eq!(
            (field(guest::CS_SELECTOR), field(guest::DS_SELECTOR)),
            (8, 16)
        );
        assert_eq!(field(guest::SS_LIMIT), 0xffff_ffff);
    }

    #[test]
    fn the_identity_table_maps_the_first_and_the_last_byte_to_themselves() {
        let table: Vec<u32> = identity_table().collect();
        assert_eq!(table.len(), 1024);
        let translate = |address: u32| {
            let entry = table[(address >> 22) as usize];
            assert_eq!(entry & 0x83, 0x83, "present, writable, large");
            entry & 0xffc0_0000 | address & 0x3f_ffff
        };
        for address in [0, 0x1234_5678, u32::MAX] {
            assert_eq!(translate(address), address);
        }
    }
}
