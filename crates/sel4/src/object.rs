// SPDX-License-Identifier: BSD-2-Clause
//! Kernel objects: their types and sizes.

use crate::{CapType, sel4_cfg_enum, sel4_cfg_wrap_match, sys};

/// Corresponds to `seL4_ObjectType`.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[allow(missing_docs)] // the names say it
pub enum ObjectType {
    Untyped,
    Endpoint,
    Notification,
    CNode,
    Tcb,
    Arch(ObjectTypeArch),
}

/// Object types of this architecture.
pub type ObjectTypeArch = ObjectTypeX86;

/// Object types of this architecture's 64-bit variant.
pub type ObjectTypeSeL4Arch = ObjectTypeX64;

/// Object types that 32-bit and 64-bit x86 share.
#[sel4_cfg_enum]
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[allow(missing_docs)] // as in libsel4
pub enum ObjectTypeX86 {
    _4k,
    LargePage,
    PageTable,
    PageDirectory,
    #[sel4_cfg(VTX)]
    VCpu,
    #[sel4_cfg(VTX)]
    EPTPageDirectory,
    #[sel4_cfg(VTX)]
    EPTPageTable,
    SeL4Arch(ObjectTypeSeL4Arch),
}

/// Object types of 64-bit x86.
#[sel4_cfg_enum]
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[allow(missing_docs)] // as in libsel4
pub enum ObjectTypeX64 {
    #[sel4_cfg(HUGE_PAGE)]
    HugePage,
    PDPT,
    PML4,
    #[sel4_cfg(VTX)]
    EPTPDPT,
    #[sel4_cfg(VTX)]
    EPTPML4,
}

impl ObjectType {
    /// The number that the kernel knows the type by.
    #[inline(always)]
    pub const fn into_sys(self) -> u32 {
        match self {
            Self::Untyped => sys::seL4_UntypedObject,
            Self::Endpoint => sys::seL4_EndpointObject,
            Self::Notification => sys::seL4_NotificationObject,
            Self::CNode => sys::seL4_CapTableObject,
            Self::Tcb => sys::seL4_TCBObject,
            Self::Arch(arch) => arch.into_sys(),
        }
    }
}

impl ObjectTypeX86 {
    #[inline(always)]
    pub(crate) const fn into_sys(self) -> u32 {
        sel4_cfg_wrap_match! {
            match self {
                Self::_4k => sys::seL4_X86_4K,
                Self::LargePage => sys::seL4_X86_LargePageObject,
                Self::PageTable => sys::seL4_X86_PageTableObject,
                Self::PageDirectory => sys::seL4_X86_PageDirectoryObject,
                #[sel4_cfg(VTX)]
                Self::VCpu => sys::seL4_X86_VCPUObject,
                #[sel4_cfg(VTX)]
                Self::EPTPageDirectory => sys::seL4_X86_EPTPDObject,
                #[sel4_cfg(VTX)]
                Self::EPTPageTable => sys::seL4_X86_EPTPTObject,
                Self::SeL4Arch(arch) => arch.into_sys(),
            }
        }
    }
}

impl ObjectTypeX64 {
    #[inline(always)]
    pub(crate) const fn into_sys(self) -> u32 {
        sel4_cfg_wrap_match! {
            match self {
                #[sel4_cfg(HUGE_PAGE)]
                Self::HugePage => sys::seL4_X64_HugePageObject,
                Self::PDPT => sys::seL4_X86_PDPTObject,
                Self::PML4 => sys::seL4_X64_PML4Object,
                #[sel4_cfg(VTX)]
                Self::EPTPDPT => sys::seL4_X86_EPTPDPTObject,
                #[sel4_cfg(VTX)]
                Self::EPTPML4 => sys::seL4_X86_EPTPML4Object,
            }
        }
    }
}

impl From<ObjectTypeArch> for ObjectType {
    fn from(ty: ObjectTypeArch) -> Self {
        Self::Arch(ty)
    }
}

impl From<ObjectTypeSeL4Arch> for ObjectTypeArch {
    fn from(ty: ObjectTypeSeL4Arch) -> Self {
        Self::SeL4Arch(ty)
    }
}

impl From<ObjectTypeSeL4Arch> for ObjectType {
    fn from(ty: ObjectTypeSeL4Arch) -> Self {
        Self::Arch(ty.into())
    }
}

/// An object to be: its type, and its size where that is a choice.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // the names say it
pub enum ObjectBlueprint {
    /// Untyped memory of `1 << size_bits` bytes.
    Untyped {
        size_bits: usize,
    },
    Endpoint,
    Notification,
    /// A CNode of `1 << size_bits` slots.
    CNode {
        size_bits: usize,
    },
    Tcb,
    Arch(ObjectBlueprintArch),
}

/// Objects of this architecture.
pub type ObjectBlueprintArch = ObjectBlueprintX86;

/// Objects of this architecture's 64-bit variant.
pub type ObjectBlueprintSeL4Arch = ObjectBlueprintX64;

/// Objects that 32-bit and 64-bit x86 share.
#[sel4_cfg_enum]
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // as in libsel4
pub enum ObjectBlueprintX86 {
    _4k,
    LargePage,
    PageTable,
    PageDirectory,
    #[sel4_cfg(VTX)]
    VCpu,
    #[sel4_cfg(VTX)]
    EPTPageDirectory,
    #[sel4_cfg(VTX)]
    EPTPageTable,
    SeL4Arch(ObjectBlueprintSeL4Arch),
}

/// Objects of 64-bit x86.
#[sel4_cfg_enum]
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // as in libsel4
pub enum ObjectBlueprintX64 {
    #[sel4_cfg(HUGE_PAGE)]
    HugePage,
    PDPT,
    PML4,
    #[sel4_cfg(VTX)]
    EPTPDPT,
    #[sel4_cfg(VTX)]
    EPTPML4,
}

impl ObjectBlueprint {
    /// The object's type.
    #[inline(always)]
    pub const fn ty(self) -> ObjectType {
        match self {
            Self::Untyped { .. } => ObjectType::Untyped,
            Self::Endpoint => ObjectType::Endpoint,
            Self::Notification => ObjectType::Notification,
            Self::CNode { .. } => ObjectType::CNode,
            Self::Tcb => ObjectType::Tcb,
            Self::Arch(arch) => ObjectType::Arch(arch.ty()),
        }
    }

    /// The `size_bits` argument of `seL4_Untyped_Retype`, where it means something.
    #[inline(always)]
    pub const fn api_size_bits(self) -> Option<usize> {
        match self {
            Self::Untyped { size_bits } | Self::CNode { size_bits } => Some(size_bits),
            _ => None,
        }
    }

    /// The binary logarithm of the memory in bytes that the object takes.
    pub const fn physical_size_bits(self) -> usize {
        match self {
            Self::Untyped { size_bits } => size_bits,
            Self::Endpoint => sys::seL4_EndpointBits as usize,
            Self::Notification => sys::seL4_NotificationBits as usize,
            Self::CNode { size_bits } => sys::seL4_SlotBits as usize + size_bits,
            Self::Tcb => sys::seL4_TCBBits as usize,
            Self::Arch(arch) => arch.physical_size_bits(),
        }
    }

    /// The untyped memory that an ASID pool is made from.
    pub const fn asid_pool() -> Self {
        Self::Untyped {
            size_bits: sys::seL4_ASIDPoolBits as usize,
        }
    }
}

impl ObjectBlueprintX86 {
    pub(crate) const fn ty(self) -> ObjectTypeX86 {
        sel4_cfg_wrap_match! {
            match self {
                Self::_4k => ObjectTypeX86::_4k,
                Self::LargePage => ObjectTypeX86::LargePage,
                Self::PageTable => ObjectTypeX86::PageTable,
                Self::PageDirectory => ObjectTypeX86::PageDirectory,
                #[sel4_cfg(VTX)]
                Self::VCpu => ObjectTypeX86::VCpu,
                #[sel4_cfg(VTX)]
                Self::EPTPageDirectory => ObjectTypeX86::EPTPageDirectory,
                #[sel4_cfg(VTX)]
                Self::EPTPageTable => ObjectTypeX86::EPTPageTable,
                Self::SeL4Arch(arch) => ObjectTypeX86::SeL4Arch(arch.ty()),
            }
        }
    }

    pub(crate) const fn physical_size_bits(self) -> usize {
        (sel4_cfg_wrap_match! {
            match self {
                Self::_4k => sys::seL4_PageBits,
                Self::LargePage => sys::seL4_LargePageBits,
                Self::PageTable => sys::seL4_PageTableBits,
                Self::PageDirectory => sys::seL4_PageDirBits,
                #[sel4_cfg(VTX)]
                Self::VCpu => sys::seL4_X86_VCPUBits,
                #[sel4_cfg(VTX)]
                Self::EPTPageDirectory => sys::seL4_X86_EPTPDBits,
                #[sel4_cfg(VTX)]
                Self::EPTPageTable => sys::seL4_X86_EPTPTBits,
                Self::SeL4Arch(arch) => arch.physical_size_bits(),
            }
        }) as usize
    }
}

impl ObjectBlueprintX64 {
    pub(crate) const fn ty(self) -> ObjectTypeX64 {
        sel4_cfg_wrap_match! {
            match self {
                #[sel4_cfg(HUGE_PAGE)]
                Self::HugePage => ObjectTypeX64::HugePage,
                Self::PDPT => ObjectTypeX64::PDPT,
                Self::PML4 => ObjectTypeX64::PML4,
                #[sel4_cfg(VTX)]
                Self::EPTPDPT => ObjectTypeX64::EPTPDPT,
                #[sel4_cfg(VTX)]
                Self::EPTPML4 => ObjectTypeX64::EPTPML4,
            }
        }
    }

    const fn physical_size_bits(self) -> u32 {
        sel4_cfg_wrap_match! {
            match self {
                #[sel4_cfg(HUGE_PAGE)]
                Self::HugePage => sys::seL4_HugePageBits,
                Self::PDPT => sys::seL4_PDPTBits,
                Self::PML4 => sys::seL4_PML4Bits,
                #[sel4_cfg(VTX)]
                Self::EPTPDPT => sys::seL4_X86_EPTPDPTBits,
                #[sel4_cfg(VTX)]
                Self::EPTPML4 => sys::seL4_X86_EPTPML4Bits,
            }
        }
    }
}

impl From<ObjectBlueprintArch> for ObjectBlueprint {
    fn from(blueprint: ObjectBlueprintArch) -> Self {
        Self::Arch(blueprint)
    }
}

impl From<ObjectBlueprintSeL4Arch> for ObjectBlueprintArch {
    fn from(blueprint: ObjectBlueprintSeL4Arch) -> Self {
        Self::SeL4Arch(blueprint)
    }
}

impl From<ObjectBlueprintSeL4Arch> for ObjectBlueprint {
    fn from(blueprint: ObjectBlueprintSeL4Arch) -> Self {
        Self::Arch(blueprint.into())
    }
}

/// A capability type that stands for a kernel object.
pub trait CapTypeForObject: CapType {
    /// The object's type.
    fn object_type() -> ObjectType;
}

/// A capability type that stands for a kernel object of one size.
pub trait CapTypeForObjectOfFixedSize: CapTypeForObject {
    /// The object.
    fn object_blueprint() -> ObjectBlueprint;
}

/// A capability type that stands for a kernel object whose size is chosen.
pub trait CapTypeForObjectOfVariableSize: CapTypeForObject {
    /// The object of that size, as [`ObjectBlueprint`] gives it.
    fn object_blueprint(size_bits: usize) -> ObjectBlueprint;
}
