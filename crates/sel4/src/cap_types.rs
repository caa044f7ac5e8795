// SPDX-License-Identifier: BSD-2-Clause
//! The types of capabilities.

use core::hash::Hash;

/// A marker for a type of capability, or for a class of types.
pub trait CapType: Copy + Clone + Eq + PartialEq + Ord + PartialOrd + Hash {
    /// The marker's name.
    const NAME: &'static str;
}

/// Declares markers in `cap_type` and aliases in `cap`, and what object each stands for.
macro_rules! cap_types {
    (@object $t:ident) => {};
    (@object $t:ident fixed $($variant:tt)+) => {
        impl crate::CapTypeForObject for $t {
            fn object_type() -> crate::ObjectType {
                <Self as crate::CapTypeForObjectOfFixedSize>::object_blueprint().ty()
            }
        }
        impl crate::CapTypeForObjectOfFixedSize for $t {
            fn object_blueprint() -> crate::ObjectBlueprint {
                crate::$($variant)+::$t.into()
            }
        }
    };
    (@object $t:ident sized) => {
        impl crate::CapTypeForObject for $t {
            fn object_type() -> crate::ObjectType {
                crate::ObjectType::$t
            }
        }
        impl crate::CapTypeForObjectOfVariableSize for $t {
            fn object_blueprint(size_bits: usize) -> crate::ObjectBlueprint {
                crate::ObjectBlueprint::$t { size_bits }
            }
        }
    };
    ($($(#[cfg_if($cfg:meta)])? #[doc = $doc:literal] $t:ident $(: $($object:ident)+)?;)*) => {
        /// Markers of capability types, for [`Cap`](crate::Cap).
        pub mod cap_type {
            $(
                $(#[crate::sel4_cfg($cfg)])?
                #[doc = $doc]
                #[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
                pub struct $t;

                $(#[crate::sel4_cfg($cfg)])?
                const _: () = {
                    impl crate::CapType for $t {
                        const NAME: &'static str = stringify!($t);
                    }
                    cap_types!(@object $t $($($object)+)?);
                };
            )*

            /// The type of a VSpace's top-level table.
            pub type VSpace = PML4;

            /// The type of the smallest frames.
            pub type Granule = _4k;
        }

        /// Capabilities by type: each `X<C>` is [`Cap<cap_type::X, C>`](crate::Cap).
        pub mod cap {
            use crate::{Cap, NoExplicitInvocationContext, cap_type};

            $(
                $(#[crate::sel4_cfg($cfg)])?
                #[doc = $doc]
                pub type $t<C = NoExplicitInvocationContext> = Cap<cap_type::$t, C>;
            )*

            /// A capability to a VSpace's top-level table.
            pub type VSpace<C = NoExplicitInvocationContext> = Cap<cap_type::VSpace, C>;

            /// A capability to a frame of the smallest size.
            pub type Granule<C = NoExplicitInvocationContext> = Cap<cap_type::Granule, C>;
        }
    };
}

cap_types! {
    #[doc = "Corresponds to `seL4_Untyped`."]
    Untyped: sized;
    #[doc = "An endpoint."]
    Endpoint: fixed ObjectBlueprint;
    #[doc = "A notification."]
    Notification: fixed ObjectBlueprint;
    #[doc = "Corresponds to `seL4_TCB`."]
    Tcb: fixed ObjectBlueprint;
    #[doc = "Corresponds to `seL4_CNode`."]
    CNode: sized;
    #[doc = "Corresponds to `seL4_IRQControl`."]
    IrqControl;
    #[doc = "Corresponds to `seL4_IRQHandler`."]
    IrqHandler;
    #[doc = "Corresponds to `seL4_X86_ASIDControl`."]
    AsidControl;
    #[doc = "Corresponds to `seL4_X86_ASIDPool`."]
    AsidPool;
    #[doc = "Corresponds to `seL4_DomainSet`."]
    DomainSet;
    #[doc = "Corresponds to `seL4_X86_IOPort`: a range of I/O ports. **Extension**: later kernels issue these from an [`IOPortControl`]."]
    IOPort;
    #[doc = "What issues [`IOPort`] capabilities: in this kernel the capability to all ports."]
    IOPortControl;
    #[doc = "The null capability, which an empty slot holds."]
    Null;
    #[doc = "Any capability."]
    Unspecified;
    #[doc = "A frame of any size."]
    UnspecifiedPage;
    #[doc = "A translation table of any level below the top."]
    UnspecifiedIntermediateTranslationTable;
    #[doc = "A frame of 4 KiB."]
    _4k: fixed ObjectBlueprintX86;
    #[doc = "A frame of 2 MiB."]
    LargePage: fixed ObjectBlueprintX86;
    #[cfg_if(HUGE_PAGE)]
    #[doc = "A frame of 1 GiB."]
    HugePage: fixed ObjectBlueprintX64;
    #[doc = "Corresponds to `seL4_X64_PML4`."]
    PML4: fixed ObjectBlueprintX64;
    #[doc = "Corresponds to `seL4_X86_PDPT`."]
    PDPT: fixed ObjectBlueprintX64;
    #[doc = "Corresponds to `seL4_X86_PageDirectory`."]
    PageDirectory: fixed ObjectBlueprintX86;
    #[doc = "Corresponds to `seL4_X86_PageTable`."]
    PageTable: fixed ObjectBlueprintX86;
    #[cfg_if(VTX)]
    #[doc = "Corresponds to `seL4_X86_VCPU`."]
    VCpu: fixed ObjectBlueprintX86;
    #[cfg_if(VTX)]
    #[doc = "Corresponds to `seL4_X86_EPTPML4`."]
    EPTPML4: fixed ObjectBlueprintX64;
    #[cfg_if(VTX)]
    #[doc = "Corresponds to `seL4_X86_EPTPDPT`."]
    EPTPDPT: fixed ObjectBlueprintX64;
    #[cfg_if(VTX)]
    #[doc = "Corresponds to `seL4_X86_EPTPD`."]
    EPTPageDirectory: fixed ObjectBlueprintX86;
    #[cfg_if(VTX)]
    #[doc = "Corresponds to `seL4_X86_EPTPT`."]
    EPTPageTable: fixed ObjectBlueprintX86;
}
