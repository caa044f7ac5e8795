// SPDX-License-Identifier: BSD-2-Clause
//! A guest of a few instructions, and the second stage that it runs on.

use crate::machine::{GRANULE, Machine, Page, at, retype};
use core::arch::global_asm;
use sel4::init_thread::{Slot, slot};
use sel4::{
    CapRights, ObjectBlueprint, VCpuContext, VmAttributes, VmEntry, VmExit, VmExitFault, cap,
    cap_type, vm_enter, with_ipc_buffer_mut,
};
use xos_test_kit::Outcome;
use xos_vcpu::{Start, Vmcs, cr4, identity_table, primary, start};

/// Guest-physical addresses: the identity table, the code, and a page that cases map and unmap.
pub const TABLE: usize = 0x1000;
pub const CODE: usize = 0x2000;
pub const DATA: usize = 0x8000;

/// Basic exit reasons (Intel's manual, volume 3, appendix C).
pub const VMCALL: u32 = 18;
pub const EPT_VIOLATION: u32 = 48;

// Pieces of code, each entered at its label with registers set, and left by VMCALL.
global_asm!(
    ".pushsection .rodata.guest, \"a\"",
    ".code32",
    "guest_begin:",
    "guest_read: mov ebx, [eax]",
    "vmcall",
    "guest_write: mov [eax], ebx",
    "vmcall",
    "guest_spin: jmp guest_spin",
    "guest_set_cr2: mov cr2, eax",
    "vmcall",
    "guest_get_cr2: mov eax, cr2",
    "vmcall",
    "guest_once: inc dword ptr [{data}]",
    "xor eax, eax",
    "2: inc eax",
    "cmp eax, ecx",
    "jne 2b",
    "vmcall",
    "guest_end:",
    ".code64",
    ".popsection",
    data = const DATA,
);

unsafe extern "C" {
    static guest_begin: u8;
    static guest_end: u8;
    static guest_read: u8;
    static guest_write: u8;
    static guest_spin: u8;
    static guest_set_cr2: u8;
    static guest_get_cr2: u8;
    static guest_once: u8;
}

/// The pieces of code.
#[derive(Clone, Copy)]
pub enum Piece {
    /// EBX = the word at EAX.
    Read,
    /// The word at EAX = EBX.
    Write,
    /// For ever.
    Spin,
    /// CR2 = EAX.
    SetCr2,
    /// EAX = CR2.
    GetCr2,
    /// The word at [`DATA`] + 1, once; then EAX counts from 0 to ECX.
    Once,
}

impl Piece {
    /// The linear address.
    pub fn address(self) -> u64 {
        let label = match self {
            Self::Read => &raw const guest_read,
            Self::Write => &raw const guest_write,
            Self::Spin => &raw const guest_spin,
            Self::SetCr2 => &raw const guest_set_cr2,
            Self::GetCr2 => &raw const guest_get_cr2,
            Self::Once => &raw const guest_once,
        };
        (label as usize - &raw const guest_begin as usize + CODE) as u64
    }
}

static IDENTITY: Page<GRANULE> = Page::new();
static TEXT: Page<GRANULE> = Page::new();

/// Fills the pages that all guests share.
pub fn load() {
    let (begin, end) = (&raw const guest_begin, &raw const guest_end);
    let table = IDENTITY.start().cast::<u32>();
    // SAFETY: pages of this program that nobody else uses yet, and the code between its labels.
    unsafe {
        for (number, entry) in identity_table().enumerate() {
            table.add(number).write(entry);
        }
        TEXT.start()
            .copy_from_nonoverlapping(begin, end as usize - begin as usize);
    }
}

/// An untyped of so many bits.
pub fn arena(machine: &mut Machine<'_>, size_bits: usize) -> Outcome<Slot> {
    machine.make_sized(&ObjectBlueprint::Untyped { size_bits })
}

/// Makes an object from an arena.
pub fn make<T: sel4::CapTypeForObjectOfFixedSize>(
    machine: &mut Machine<'_>,
    arena: Slot,
) -> Outcome<sel4::Cap<T>> {
    let slot = machine.slot()?;
    let memory = arena.cap().cast::<cap_type::Untyped>();
    retype(memory, &T::object_blueprint(), slot)?;
    Ok(slot.cap().cast())
}

/// A second stage with the table and the code in it, and room for the data page.
pub fn space(machine: &mut Machine<'_>, arena: Slot) -> Outcome<cap::EPTPML4> {
    let attributes = VmAttributes::DEFAULT;
    let root: cap::EPTPML4 = make::<cap_type::EPTPML4>(machine, arena)?;
    slot::ASID_POOL.cap().asid_pool_assign(root.cast())?;
    make::<cap_type::EPTPDPT>(machine, arena)?.ept_pdpt_map(root, 0, attributes)?;
    make::<cap_type::EPTPageDirectory>(machine, arena)?
        .ept_page_directory_map(root, 0, attributes)?;
    make::<cap_type::EPTPageTable>(machine, arena)?.ept_page_table_map(root, 0, attributes)?;
    for (page, address) in [(&IDENTITY, TABLE), (&TEXT, CODE)] {
        let frame = machine.frame_of(page.start() as usize);
        let copy = machine.slot()?;
        at(copy).copy(
            &slot::CNODE.cap().absolute_cptr(frame.cptr()),
            CapRights::all(),
        )?;
        copy.cap().cast::<cap_type::Granule>().frame_map_ept(
            root,
            address,
            CapRights::read_only(),
            attributes,
        )?;
    }
    Ok(root)
}

/// Maps a fresh page for data.
pub fn data(
    machine: &mut Machine<'_>,
    arena: Slot,
    root: cap::EPTPML4,
) -> Outcome<cap::Granule> {
    let frame = make::<cap_type::Granule>(machine, arena)?;
    frame.frame_map_ept(root, DATA, CapRights::all(), VmAttributes::DEFAULT)?;
    Ok(frame)
}

pub struct Fields(pub cap::VCpu);

impl Vmcs for Fields {
    type Error = sel4::Error;

    fn read(&mut self, field: u32) -> sel4::Result<u64> {
        self.0.vcpu_read_vmcs(field.into())
    }

    fn write(&mut self, field: u32, value: u64) -> sel4::Result<()> {
        self.0.vcpu_write_vmcs(field.into(), value).map(|_| ())
    }
}

/// A virtual processor that is ready to be entered.
pub fn processor(machine: &mut Machine<'_>, arena: Slot) -> Outcome<cap::VCpu> {
    let vcpu = make::<cap_type::VCpu>(machine, arena)?;
    start(
        &mut Fields(vcpu),
        &Start {
            cr3: TABLE as u32,
            cr4: cr4::PSE,
            selectors: (8, 16),
            ..Start::default()
        },
    )?;
    Ok(vcpu)
}

/// A processor with a second stage, run by this thread.
pub fn ready(
    machine: &mut Machine<'_>,
    arena: Slot,
) -> Outcome<(cap::VCpu, cap::EPTPML4)> {
    let root = space(machine, arena)?;
    let vcpu = processor(machine, arena)?;
    vcpu.vcpu_set_tcb(slot::TCB.cap())?;
    slot::TCB.cap().tcb_set_ept_root(root)?;
    Ok((vcpu, root))
}

/// Enters the guest of this thread at a piece of code.
pub fn enter(ip: u64) -> VmExit {
    let entry = VmEntry {
        ip,
        controls: primary::ALWAYS.into(),
        interruption: 0,
    };
    with_ipc_buffer_mut(|ipc_buffer| vm_enter(ipc_buffer, &entry)).1
}

/// Runs a piece of code, and gives the exit that it ends with.
pub fn run(vcpu: cap::VCpu, piece: Piece, eax: u64, ebx: u64) -> Outcome<VmExitFault> {
    vcpu.vcpu_write_registers(&VCpuContext {
        eax,
        ebx,
        ..VCpuContext::default()
    })?;
    match enter(piece.address()) {
        VmExit::Fault(fault) => Ok(fault),
        VmExit::Notification(_) => Err("a signal".into()),
    }
}
