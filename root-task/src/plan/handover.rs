// SPDX-License-Identifier: BSD-2-Clause
//! What the manager gets.

use alloc::vec::Vec;
use heapless::Vec as BoundedVec;
use xos_image::Access;
use xos_protocol::Name;
use xos_protocol::manager::Rights as MemoryRights;
use xos_protocol::supervisor::{BootChannel, BootDomain, BootMap, BootUntyped, SIGNAL, boot};

use super::place::{Pieces, Slots};
use super::{DomainPlan, Handover, Machine, own_copy};
use crate::cspace::{self, Domains, Grant, Place, Rights};
use crate::objects::PAGE_BITS;

/// Plans what the manager gets: of each domain, each time the domain is built, and all that is left,
/// once.
pub(super) fn hand_over(
    all: &Domains<'_>,
    machine: &Machine<'_>,
    pieces: &Pieces,
    domains: &mut [DomainPlan],
    slots: &mut Slots,
) -> Option<Handover> {
    let manager = all.system.manager()?;
    let pool = all.objects[manager].pool?;
    let place = |index: u32| Place {
        cnode: pool,
        radix: boot::POOL_RADIX,
        index: index.into(),
    };
    let grant = |index, source, data| Grant {
        to: place(index),
        source,
        rights: Rights::ALL,
        data,
    };
    let signal = slots.take(1);
    let mut once = alloc::vec![
        grant(boot::ASID_POOL, machine.asid_pool, 0),
        Grant {
            rights: Rights::CALL,
            ..grant(boot::SUPERVISOR, all.supervisor, cspace::manager_badge())
        },
        own_copy(
            machine,
            signal,
            all.objects[manager].notification,
            Rights::SIGNAL,
            SIGNAL,
        ),
    ];
    let mut boot = boot::ManagerBoot::default();
    for (index, (objects, domain)) in all.objects.iter().zip(domains).enumerate() {
        let role = all.roles[index];
        let base = index as u32 * boot::DOMAIN_SLOTS;
        domain.grants.extend([
            grant(base + boot::DOMAIN_TCB, objects.tcb, 0),
            grant(base + boot::DOMAIN_CSPACE, objects.root, 0),
            grant(base + boot::DOMAIN_VSPACE, objects.vspace, 0),
        ]);
        let serves = role.composes() || role.manager;
        if let (true, Some(endpoint)) = (serves, objects.endpoint) {
            once.push(grant(base + boot::DOMAIN_ENDPOINT, endpoint, 0));
        }
        if let Some((own, _)) = role.to_manager {
            once.push(Grant {
                rights: Rights::SIGNAL,
                ..grant(
                    base + boot::DOMAIN_NOTIFICATION,
                    objects.notification,
                    1 << own,
                )
            });
        }
        // An image has at most MAX_DOMAINS, one less than fit.
        let _ = boot.domains.push(BootDomain {
            name: Name::new(&all.system.domains[index].name),
            pages: 1 << (domain.arena_bits - PAGE_BITS),
            channel: role.to_manager.map(|(_, manager)| manager),
            serves,
        });
    }

    for channel in &all.system.channels {
        for (here, there) in [(&channel.a, &channel.b), (&channel.b, &channel.a)] {
            if here.pp || here.notify {
                // For pictures alone: what exceeds the room is left out.
                let _ = boot.channels.push(BootChannel {
                    from: here.domain,
                    to: there.domain,
                    calls: here.pp,
                });
            }
        }
    }

    for (index, domain) in (0..).zip(&all.system.domains) {
        for map in &domain.maps {
            let region = &all.system.regions[usize::from(map.region)];
            // As above.
            let _ = boot.maps.push(BootMap {
                domain: index,
                region: Name::new(&region.name),
                pages: u32::try_from(region.size >> PAGE_BITS).unwrap_or(u32::MAX),
                rights: memory_rights(map.access),
            });
        }
    }

    let mut moves = alloc::vec![
        (machine.asid_control, place(boot::ASID_CONTROL)),
        (machine.irq_control, place(boot::IRQ_CONTROL)),
    ];
    // If they are more than the manager has room for, it gets the largest, ordinary memory first.
    let mut left: Vec<_> = pieces
        .0
        .iter()
        .filter(|(piece, _)| piece.owner.is_none())
        .map(|(piece, slot)| (machine.untypeds[piece.untyped].device, piece, *slot))
        .collect();
    left.sort_by_key(|(device, piece, _)| (*device, core::cmp::Reverse(piece.bits), piece.paddr));
    let mut untypeds = BoundedVec::<BootUntyped, { boot::MAX_UNTYPEDS }>::new();
    for (device, piece, slot) in left {
        let index = boot::FIRST_UNTYPED + untypeds.len() as u32;
        let untyped = BootUntyped {
            paddr: piece.paddr,
            size_bits: piece.bits as u8,
            device,
        };
        if untypeds.push(untyped).is_ok() {
            moves.push((slot, place(index)));
        }
    }
    boot.untypeds = untypeds;
    Some(Handover {
        boot,
        grants: once,
        moves,
        signal,
    })
}

const fn memory_rights(access: Access) -> MemoryRights {
    let (write, execute) = match access {
        Access::Read => (false, false),
        Access::ReadWrite => (true, false),
        Access::ReadExecute => (false, true),
        Access::ReadWriteExecute => (true, true),
    };
    MemoryRights {
        read: true,
        write,
        execute,
    }
}
