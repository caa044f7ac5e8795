// SPDX-License-Identifier: BSD-2-Clause
//! The kernel, as far as machines need more of it than programs do.

use xos_protocol::Result;

use crate::factory::Composer;
use crate::plan::Step;

/// The kernel.
#[derive(Clone, Copy, Debug)]
pub struct Machinery;

sel4::sel4_cfg_if! {
    if #[sel4_cfg(VTX)] {
        use sel4::{
            AbsoluteCPtr, CapRights, ObjectBlueprint, ObjectBlueprintX64, ObjectBlueprintX86, VmAttributes,
            cap, cap_type,
        };
        use xos_protocol::Error;
        use xos_protocol::slots::cptr;
        use xos_server::Space;

        use crate::plan::{At, Object};

        /// The domain's own root slots.
        const SPACE: Space = Space::DOMAIN;
        const ATTRIBUTES: VmAttributes = VmAttributes::DEFAULT;

        fn blueprint(object: Object) -> ObjectBlueprint {
            match object {
                Object::Processor => ObjectBlueprintX86::VCpu,
                Object::LargePage => ObjectBlueprintX86::LargePage,
                Object::Page => ObjectBlueprintX86::_4k,
                Object::Pointers => ObjectBlueprintX86::SeL4Arch(ObjectBlueprintX64::PDPT),
                Object::Directory => ObjectBlueprintX86::PageDirectory,
                Object::StagePointers => ObjectBlueprintX86::SeL4Arch(ObjectBlueprintX64::EPTPDPT),
                Object::StageDirectory => ObjectBlueprintX86::EPTPageDirectory,
                Object::StageTable => ObjectBlueprintX86::EPTPageTable,
            }
            .into()
        }

        /// The slots of one machine.
        struct Slots {
            parts: u32,
            nodes: [u32; 2],
        }

        impl Slots {
            fn split(&self, at: At) -> (u32, u32) {
                match at {
                    At::Part(index) => (self.parts, index),
                    At::Node(number, index) => (self.nodes[number as usize % 2], index),
                }
            }

            fn cap<T: sel4::CapType>(&self, at: At) -> sel4::Cap<T> {
                let (node, index) = self.split(at);
                sel4::Cap::from_bits(cptr(node, index))
            }

            fn slot(&self, at: At) -> AbsoluteCPtr {
                let (node, index) = self.split(at);
                SPACE.node(node).slot(index)
            }

            fn map(&self, at: At, object: Object, address: usize) -> sel4::Result<()> {
                let vspace = SPACE.node(self.parts).vspace();
                match object {
                    Object::LargePage => self.cap::<cap_type::LargePage>(at).frame_map(
                        vspace,
                        address,
                        CapRights::read_write(),
                        ATTRIBUTES,
                    ),
                    Object::Pointers => {
                        self.cap::<cap_type::PDPT>(at).pdpt_map(vspace, address, ATTRIBUTES)
                    }
                    Object::Directory => self
                        .cap::<cap_type::PageDirectory>(at)
                        .page_directory_map(vspace, address, ATTRIBUTES),
                    _ => Err(sel4::Error::InvalidArgument),
                }
            }

            fn map_stage(
                &self,
                at: At,
                object: Object,
                root: cap::EPTPML4,
                address: usize,
                rights: CapRights,
            ) -> sel4::Result<()> {
                match object {
                    Object::LargePage => self
                        .cap::<cap_type::LargePage>(at)
                        .frame_map_ept(root, address, rights, ATTRIBUTES),
                    Object::Page => self
                        .cap::<cap_type::Granule>(at)
                        .frame_map_ept(root, address, rights, ATTRIBUTES),
                    Object::StagePointers => self
                        .cap::<cap_type::EPTPDPT>(at)
                        .ept_pdpt_map(root, address, ATTRIBUTES),
                    Object::StageDirectory => self
                        .cap::<cap_type::EPTPageDirectory>(at)
                        .ept_page_directory_map(root, address, ATTRIBUTES),
                    Object::StageTable => self
                        .cap::<cap_type::EPTPageTable>(at)
                        .ept_page_table_map(root, address, ATTRIBUTES),
                    _ => Err(sel4::Error::InvalidArgument),
                }
            }

            fn carry_out(&self, step: &Step) -> sel4::Result<()> {
                match *step {
                    // Others do these.
                    Step::Node { .. } | Step::WriteIdentity { .. } => {
                        Err(sel4::Error::InvalidArgument)
                    }
                    Step::Make { untyped, object, node, first, count } => {
                        let node = self.nodes[node as usize % 2];
                        self.cap::<cap_type::Untyped>(At::Part(untyped)).untyped_retype(
                            &blueprint(object),
                            &SPACE.slot(node),
                            first as usize,
                            count as usize,
                        )
                    }
                    Step::Copy { from, to } => {
                        self.slot(to).copy(&self.slot(from), CapRights::all())
                    }
                    Step::Map { at, object, address } => self.map(at, object, address as usize),
                    Step::MapStage { at, object, root, address, writable } => {
                        let rights = match writable {
                            true => CapRights::read_write(),
                            false => CapRights::read_only(),
                        };
                        let root = self.cap(At::Part(root));
                        self.map_stage(at, object, root, address as usize, rights)
                    }
                    Step::Bind { processor, root } => {
                        let tcb = SPACE.node(self.parts).tcb();
                        self.cap::<cap_type::VCpu>(processor).vcpu_set_tcb(tcb)?;
                        tcb.tcb_set_ept_root(self.cap(At::Part(root)))
                    }
                    Step::Give { processor, slot, radix } => SPACE
                        .node(self.parts)
                        .cspace()
                        .absolute_cptr_from_bits_with_depth(slot.into(), radix.into())
                        .copy(&self.slot(processor), CapRights::all()),
                }
            }
        }

        impl Composer for Machinery {
            const SUPPORTED: bool = true;

            fn carry_out(&mut self, parts: u32, nodes: [u32; 2], step: &Step) -> Result<()> {
                Slots { parts, nodes }.carry_out(step).map_err(|_| Error::Kernel)
            }
        }
    } else {
        impl Composer for Machinery {
            const SUPPORTED: bool = false;

            fn carry_out(&mut self, _parts: u32, _nodes: [u32; 2], _step: &Step) -> Result<()> {
                Err(xos_protocol::Error::NotSupported)
            }
        }
    }
}
