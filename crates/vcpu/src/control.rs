// SPDX-License-Identifier: BSD-2-Clause
//! What a guest knows of its control registers, and what they really hold.

use crate::{Vmcs, cr0, cr4, field, guest, primary};

/// Bits of CR0 that the guest sees in the read shadow and whose change leaves it.
const CR0_OURS: u32 = cr0::PE | cr0::PG | cr0::NE | cr0::ET | CR0_CACHE;
/// Cache disable and not-write-through: the guest may set them, its memory stays cached.
const CR0_CACHE: u32 = 1 << 29 | 1 << 30;
/// Bits of CR4 likewise. Those of paging while it is on too: a change of PAE has consequences. And those that
/// a guest may not set, which the processor may have all the same.
const CR4_OURS: u32 = cr4::VMXE | cr4::PSE | cr4::PAE | !CR4_ALLOWED;
/// Bits of CR4 that a guest may set: VME, PVI, TSD, DE, PSE, PAE, MCE, PGE, PCE, OSFXSR, OSXMMEXCPT.
/// What else there is needs more than a bit (or 64-bit mode), and `CPUID` does not offer it.
const CR4_ALLOWED: u32 = 0x7ff;

/// A write to CR4 with a bit that does not exist for this guest: a general protection fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cr4Error;

/// What remains to be done after a write to a control register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Paging with entries of 64 bits goes on: the four entries at this guest-physical address are
    /// to be written to the VMCS, as the processor reads them at this moment only.
    LoadPointers(u32),
    /// The guest wants to leave protected mode, which is not possible here.
    RealMode,
}

/// The control registers as the guest believes them to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRegisters {
    cr0: u32,
    /// While the guest's paging is off; the VMCS has it otherwise.
    cr3: u32,
    cr4: u32,
    /// Guest-physical address of the identity table.
    identity: u32,
}

impl ControlRegisters {
    /// Those of a guest that starts in protected mode with paging off.
    #[must_use]
    pub const fn unpaged(identity: u32) -> Self {
        Self {
            cr0: cr0::PE | cr0::ET,
            cr3: 0,
            cr4: 0,
            identity,
        }
    }

    /// Whether the guest's paging is on.
    #[must_use]
    pub const fn is_paged(&self) -> bool {
        self.cr0 & cr0::PG != 0
    }

    /// CR3 as the guest believes it to be, while its paging is off.
    #[must_use]
    pub const fn unpaged_cr3(&self) -> u32 {
        self.cr3
    }

    /// Execution controls that the state of paging asks for: without it, CR3 is ours.
    #[must_use]
    pub const fn controls(&self) -> u32 {
        if self.is_paged() {
            0
        } else {
            primary::CR3_LOAD | primary::CR3_STORE
        }
    }

    /// Writes all that the VCPU must know.
    ///
    /// # Errors
    /// What a write of a field says.
    pub fn install<V: Vmcs>(&self, vcpu: &mut V) -> Result<(), V::Error> {
        vcpu.write(field::CR0_GUEST_HOST_MASK, CR0_OURS.into())?;
        vcpu.write(field::CR4_GUEST_HOST_MASK, CR4_OURS.into())?;
        self.update(vcpu)
    }

    /// The guest writes `value` to CR0.
    ///
    /// # Errors
    /// What a write of a field says.
    pub fn write_cr0<V: Vmcs>(&mut self, vcpu: &mut V, value: u32) -> Result<Effect, V::Error> {
        if value & cr0::PE == 0 {
            return Ok(Effect::RealMode);
        }
        let was_paged = self.is_paged();
        let paged = value & cr0::PG != 0;
        if was_paged && !paged {
            self.cr3 = vcpu.read(guest::CR3)? as u32;
        }
        self.cr0 = value | cr0::ET;
        if !was_paged && paged {
            vcpu.write(guest::CR3, self.cr3.into())?;
        }
        self.update(vcpu)?;
        self.pointers(vcpu)
    }

    /// The guest writes `value` to CR3 while its paging is off.
    pub fn write_unpaged_cr3(&mut self, value: u32) {
        self.cr3 = value;
    }

    /// The guest writes `value` to CR4.
    ///
    /// # Errors
    /// [`Cr4Error`] within, if there is no such bit; what a write of a field says.
    pub fn write_cr4<V: Vmcs>(
        &mut self,
        vcpu: &mut V,
        value: u32,
    ) -> Result<Result<Effect, Cr4Error>, V::Error> {
        if value & !CR4_ALLOWED != 0 {
            return Ok(Err(Cr4Error));
        }
        self.cr4 = value;
        self.update(vcpu)?;
        self.pointers(vcpu).map(Ok)
    }

    fn pointers<V: Vmcs>(&self, vcpu: &mut V) -> Result<Effect, V::Error> {
        if self.is_paged() && self.cr4 & cr4::PAE != 0 {
            // The table is aligned to 32 bytes.
            let table = vcpu.read(guest::CR3)? as u32 & !0x1f;
            return Ok(Effect::LoadPointers(table));
        }
        Ok(Effect::None)
    }

    fn update<V: Vmcs>(&self, vcpu: &mut V) -> Result<(), V::Error> {
        vcpu.write(field::CR0_READ_SHADOW, self.cr0.into())?;
        vcpu.write(field::CR4_READ_SHADOW, self.cr4.into())?;
        let real = if self.is_paged() {
            self.cr4
        } else {
            vcpu.write(guest::CR3, self.identity.into())?;
            self.cr4 & !cr4::PAE | cr4::PSE
        };
        vcpu.write(guest::CR4, (real | cr4::VMXE).into())?;
        let forced = cr0::PE | cr0::PG | cr0::NE | cr0::ET;
        vcpu.write(guest::CR0, (self.cr0 & !CR0_CACHE | forced).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Table;

    const IDENTITY: u32 = 0xfee0_0000;

    fn unpaged() -> (Table, ControlRegisters) {
        let mut vcpu = Table::default();
        let registers = ControlRegisters::unpaged(IDENTITY);
        registers.install(&mut vcpu).unwrap();
        (vcpu, registers)
    }

    fn real(vcpu: &Table) -> (u32, u32, u32) {
        let field = |field| vcpu.0[&field] as u32;
        (field(guest::CR0), field(guest::CR3), field(guest::CR4))
    }

    #[test]
    fn a_guest_without_paging_runs_on_the_identity_table_and_does_not_see_it() {
        let (vcpu, registers) = unpaged();
        let (cr0, cr3, cr4) = real(&vcpu);
        assert_eq!(
            (cr0 & cr0::PG, cr3, cr4 & cr4::PSE),
            (cr0::PG, IDENTITY, cr4::PSE)
        );
        assert_eq!(vcpu.0[&field::CR0_READ_SHADOW] as u32 & cr0::PG, 0);
        assert_eq!(vcpu.0[&field::CR4_READ_SHADOW], 0);
        assert_eq!(registers.controls(), primary::CR3_LOAD | primary::CR3_STORE);
    }

    #[test]
    fn paging_on_takes_the_guests_own_table_and_off_gives_it_back() {
        let (mut vcpu, mut registers) = unpaged();
        registers.write_unpaged_cr3(0x5000);
        assert_eq!(real(&vcpu).1, IDENTITY);
        let paged = cr0::PE | cr0::PG | cr0::WP;
        assert_eq!(registers.write_cr0(&mut vcpu, paged), Ok(Effect::None));
        assert_eq!(real(&vcpu).1, 0x5000);
        assert_eq!(
            real(&vcpu).2 & cr4::PSE,
            0,
            "the guest did not ask for large pages"
        );
        assert_eq!(registers.controls(), 0);
        // The guest changes CR3 without an exit.
        vcpu.0.insert(guest::CR3, 0x7000);
        assert_eq!(registers.write_cr0(&mut vcpu, cr0::PE), Ok(Effect::None));
        assert_eq!(real(&vcpu).1, IDENTITY);
        assert_eq!(registers.unpaged_cr3(), 0x7000);
    }

    #[test]
    fn entries_of_64_bits_have_their_pointers_loaded_when_paging_begins() {
        let (mut vcpu, mut registers) = unpaged();
        registers.write_unpaged_cr3(0x5027);
        let on = registers.write_cr4(&mut vcpu, cr4::PAE);
        assert_eq!(on, Ok(Ok(Effect::None)));
        assert_eq!(
            real(&vcpu).2 & cr4::PAE,
            0,
            "the identity table is none of these"
        );
        let on = registers.write_cr0(&mut vcpu, cr0::PE | cr0::PG);
        assert_eq!(on, Ok(Effect::LoadPointers(0x5020)));
        assert_eq!(real(&vcpu).2 & cr4::PAE, cr4::PAE);
    }

    #[test]
    fn leaving_protected_mode_is_not_possible_and_changes_nothing() {
        let (mut vcpu, mut registers) = unpaged();
        let before = (real(&vcpu), registers.clone());
        assert_eq!(registers.write_cr0(&mut vcpu, 0), Ok(Effect::RealMode));
        assert_eq!((real(&vcpu), registers), before);
    }

    #[test]
    fn bits_of_cr4_that_are_not_there_are_refused() {
        let (mut vcpu, mut registers) = unpaged();
        let exits = vcpu.0[&field::CR4_GUEST_HOST_MASK] as u32;
        for bit in 11..32 {
            assert_ne!(exits & 1 << bit, 0, "bit {bit} is set without an exit");
            let refused = registers.write_cr4(&mut vcpu, 1 << bit);
            assert_eq!(refused, Ok(Err(Cr4Error)), "bit {bit}");
        }
        assert_eq!(vcpu.0[&field::CR4_READ_SHADOW], 0);
    }

    #[test]
    fn forced_bits_stay_whatever_the_guest_writes() {
        let (mut vcpu, mut registers) = unpaged();
        for value in [cr0::PE, cr0::PE | cr0::PG, cr0::PE | cr0::TS, u32::MAX] {
            registers.write_cr0(&mut vcpu, value).unwrap();
            let forced = cr0::PE | cr0::PG | cr0::NE | cr0::ET;
            assert_eq!(real(&vcpu).0 & forced, forced);
            assert_eq!(real(&vcpu).0 & CR0_CACHE, 0);
            assert_eq!(real(&vcpu).2 & cr4::VMXE, cr4::VMXE);
        }
    }
}
