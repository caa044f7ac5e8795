// SPDX-License-Identifier: BSD-2-Clause
//! What each domain holds capabilities for, and in which slots.
//!
//! Least authority is decided here: a slot that this module does not fill is empty. The numbers are
//! Microkit's where Microkit has one, and those of [`xos_protocol::slots`] where not.

use alloc::vec::Vec;
use xos_image::SystemImage;
use xos_protocol::slots::{self, domain as node};
use xos_protocol::supervisor::boot;
use xos_protocol::{Badge, Who, badge};

/// First slot for notifications of channels' other ends; a slot for each identifier.
const NOTIFICATIONS: u64 = 10;
/// First slot for endpoints of channels' other ends.
const ENDPOINTS: u64 = NOTIFICATIONS + 64;
/// First slot for interrupt handlers.
const IRQS: u64 = ENDPOINTS + 64;
/// First slot for threads of children.
const CHILDREN: u64 = IRQS + 64;
/// First slot for I/O ports. (Microkit's 394 is none of the node's.)
const IO_PORTS: u64 = CHILDREN + xos_image::MAX_CHANNEL_ID as u64 + 1;
/// Radix of the node that has these slots.
pub const NODE_RADIX: u32 = 8;
/// Radix of a replies node.
pub const REPLIES_RADIX: u32 = 8;

const _: () = assert!(IO_PORTS + (xos_image::MAX_IO_PORT_ID as u64) < 1 << NODE_RADIX);

/// The most that the kernel lets a capability do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rights {
    /// Receive.
    pub read: bool,
    /// Send.
    pub write: bool,
    /// Pass capabilities, which calling needs: the caller passes the right to answer.
    pub grant: bool,
}

impl Rights {
    /// All.
    pub const ALL: Self = Self {
        read: true,
        write: true,
        grant: true,
    };
    /// To receive.
    pub const RECEIVE: Self = Self {
        read: true,
        write: false,
        grant: false,
    };
    /// To signal.
    pub const SIGNAL: Self = Self {
        read: false,
        write: true,
        grant: false,
    };
    /// To call.
    pub const CALL: Self = Self {
        read: false,
        write: true,
        grant: true,
    };
}

/// A slot that is filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The root task's slot with the capability for the CNode, whose guard is empty.
    pub cnode: usize,
    /// Radix of that CNode.
    pub radix: u32,
    /// Index in it.
    pub index: u64,
}

/// A capability that is given to somebody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Where it goes.
    pub to: Place,
    /// The root task's slot with the original.
    pub source: usize,
    /// What it allows; says nothing for objects other than endpoints and notifications.
    pub rights: Rights,
    /// Badge of an endpoint or notification, guard of a CNode; 0 for none.
    pub data: u64,
}

/// A range of I/O ports that is given to a domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IoPortGrant {
    /// Where it goes.
    pub to: Place,
    /// First port.
    pub first: u16,
    /// Last port, inclusive.
    pub last: u16,
}

/// What a domain is to the others, as far as its capabilities depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Role {
    /// Whether it is the IC manager.
    pub manager: bool,
    /// Identifiers of its first channel to the manager: its own, the manager's.
    pub to_manager: Option<(u8, u8)>,
    /// Whether it receives from an endpoint: it is called, hears of its children's faults, or may be
    /// called by whom the manager lets.
    pub serves: bool,
}

impl Role {
    /// Of each domain.
    pub fn of_all(system: &SystemImage) -> Vec<Self> {
        let manager = system.manager();
        let role = |index| {
            let ends = || ends(system).filter(move |(own, _)| usize::from(own.domain) == index);
            let to_manager = ends()
                .find(|(_, other)| Some(usize::from(other.domain)) == manager)
                .map(|(own, other)| (own.id, other.id));
            let called = ends().any(|(_, other)| other.pp);
            let parent = system
                .domains
                .iter()
                .filter_map(|domain| domain.parent)
                .any(|parent| usize::from(parent.domain) == index);
            let manager = manager == Some(index);
            Self {
                manager,
                to_manager,
                serves: manager || to_manager.is_some() || called || parent,
            }
        };
        (0..system.domains.len()).map(role).collect()
    }

    /// Whether it has a replies node and can change its own CSpace.
    pub const fn composes(&self) -> bool {
        self.to_manager.is_some()
    }

    /// Whether it is the manager's supervisor.
    pub const fn supervises(&self) -> bool {
        matches!(self.to_manager, Some((_, 0)))
    }

    /// Radix of its root CNode.
    pub const fn root_radix(&self) -> u32 {
        if self.manager {
            boot::ROOT_RADIX
        } else {
            slots::DOMAIN_ROOT_RADIX
        }
    }

    /// Bits of its root CNode's guard, so that a CPtr has 64.
    pub const fn root_guard(&self) -> u32 {
        let below = if self.manager {
            boot::LEVEL_BITS
        } else {
            slots::NODE_BITS
        };
        64 - below - self.root_radix()
    }
}

/// Every end of every channel, with the other end.
fn ends(system: &SystemImage) -> impl Iterator<Item = (&xos_image::End, &xos_image::End)> {
    system
        .channels
        .iter()
        .flat_map(|channel| [(&channel.a, &channel.b), (&channel.b, &channel.a)])
}

/// Guard data of a CNode capability: a guard of zeroes of so many bits.
const fn guard(bits: u32) -> u64 {
    (bits as u64) << 2
}

/// The root task's slots for a domain's objects.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Objects {
    /// Root CNode.
    pub root: usize,
    /// The node in its slot 0.
    pub node: usize,
    /// The manager's pool.
    pub pool: Option<usize>,
    /// Address space.
    pub vspace: usize,
    /// Thread.
    pub tcb: usize,
    /// Its notification, which outlives it.
    pub notification: usize,
    /// Its endpoint, if it serves; outlives it.
    pub endpoint: Option<usize>,
    /// Its replies node, if it composes; outlives it.
    pub replies: Option<usize>,
}

/// A system's domains with what exists of them.
#[derive(Clone, Copy, Debug)]
pub struct Domains<'a> {
    /// The description.
    pub system: &'a SystemImage,
    /// Their roles.
    pub roles: &'a [Role],
    /// Their objects.
    pub objects: &'a [Objects],
    /// The root task's endpoint.
    pub supervisor: usize,
    /// The kernel's pool of address space identifiers.
    pub asid_pool: usize,
}

impl Domains<'_> {
    /// What domain `index` holds when it starts. `irqs` are the slots of its interrupt handlers, in
    /// the description's order.
    pub fn held(&self, index: usize, irqs: &[usize]) -> Vec<Grant> {
        let domain = &self.system.domains[index];
        let (role, own) = (self.roles[index], self.objects[index]);
        let root = |index: u32, source, data| Grant {
            to: Place {
                cnode: own.root,
                radix: role.root_radix(),
                index: index.into(),
            },
            source,
            rights: Rights::ALL,
            data,
        };
        let slot = |index, source, rights, data| Grant {
            to: self.slot(own.node, index),
            source,
            rights,
            data,
        };
        let mut grants = Vec::new();

        match own.pool {
            Some(pool) => grants.extend([
                root(0, own.node, guard(boot::LEVEL_BITS - NODE_RADIX)),
                root(1, pool, guard(boot::LEVEL_BITS - boot::POOL_RADIX)),
                slot(boot::POOL, pool, Rights::ALL, 0),
            ]),
            None => grants.push(root(0, own.node, slots::node_guard(NODE_RADIX))),
        }
        grants.push(match own.endpoint {
            // What others are given badged copies of can be minted from this one alone.
            Some(endpoint) if role.composes() || role.manager => {
                slot(node::INPUT, endpoint, Rights::ALL, 0)
            }
            Some(endpoint) => slot(node::INPUT, endpoint, Rights::RECEIVE, 0),
            None => slot(node::INPUT, own.notification, Rights::RECEIVE, 0),
        });
        grants.push(slot(node::VSPACE, own.vspace, Rights::ALL, 0));
        let (endpoint, badge) = self.fault_handler(index);
        grants.push(slot(node::FAULT, endpoint, Rights::CALL, badge));
        grants.push(slot(node::NOTIFICATION, own.notification, Rights::ALL, 0));
        if role.composes() {
            grants.push(slot(node::ROOT, own.root, Rights::ALL, 0));
        }
        if role.supervises() {
            grants.push(slot(node::ASID_POOL, self.asid_pool, Rights::ALL, 0));
        }
        if let Some(replies) = own.replies {
            grants.push(slot(node::REPLIES, replies, Rights::ALL, 0));
            grants.push(root(
                node::REPLIES_ROOT,
                replies,
                slots::node_guard(REPLIES_RADIX),
            ));
        }

        for (end, other) in ends(self.system).filter(|(end, _)| usize::from(end.domain) == index) {
            let peer = self.objects[usize::from(other.domain)];
            if end.notify {
                grants.push(slot(
                    NOTIFICATIONS + u64::from(end.id),
                    peer.notification,
                    Rights::SIGNAL,
                    1 << other.id,
                ));
            }
            if let (true, Some(endpoint)) = (end.pp, peer.endpoint) {
                let badge = word(Who::Channel(other.id));
                let to = ENDPOINTS + u64::from(end.id);
                grants.push(slot(to, endpoint, Rights::CALL, badge));
            }
        }
        for (irq, handler) in domain.irqs.iter().zip(irqs) {
            grants.push(slot(IRQS + u64::from(irq.id), *handler, Rights::ALL, 0));
        }
        for (child, objects) in self.system.domains.iter().zip(self.objects) {
            if let Some(parent) = child.parent
                && usize::from(parent.domain) == index
            {
                let to = CHILDREN + u64::from(parent.id);
                grants.push(slot(to, objects.tcb, Rights::ALL, 0));
            }
        }
        grants
    }

    /// The I/O ports that domain `index` holds.
    pub fn io_ports(&self, index: usize) -> Vec<IoPortGrant> {
        let ports = self.system.domains[index].io_ports.iter();
        ports
            .map(|ports| IoPortGrant {
                to: self.slot(self.objects[index].node, IO_PORTS + u64::from(ports.id)),
                first: ports.first,
                last: ports.last,
            })
            .collect()
    }

    /// Where the faults of domain `index` go, and with which badge.
    fn fault_handler(&self, index: usize) -> (usize, u64) {
        let parent = self.system.domains[index].parent.and_then(|parent| {
            let endpoint = self.objects[usize::from(parent.domain)].endpoint?;
            Some((endpoint, badge::FAULT | u64::from(parent.id)))
        });
        parent.unwrap_or((self.supervisor, word(Who::Itself(index as u32))))
    }

    fn slot(&self, node: usize, index: u64) -> Place {
        Place {
            cnode: node,
            radix: NODE_RADIX,
            index,
        }
    }
}

/// The word of a badge whose index is in range: identifiers and domains are fewer than 64.
fn word(who: Who) -> u64 {
    Badge::new(who).map_or(0, Badge::word)
}

/// The badge of the manager on the root task's endpoint.
pub fn manager_badge() -> u64 {
    word(Who::Session(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, channel, end};
    use std::collections::BTreeSet;
    use xos_image::{IoPorts, Irq, IrqSource, MANAGER_NAME, Parent};

    const SUPERVISOR: usize = 999;
    const ASID_POOL: usize = 998;

    fn objects(system: &SystemImage, roles: &[Role]) -> Vec<Objects> {
        (0..system.domains.len())
            .map(|index| Objects {
                root: 10 * index + 100,
                node: 10 * index + 101,
                pool: roles[index].manager.then_some(10 * index + 102),
                vspace: 10 * index + 103,
                tcb: 10 * index + 104,
                notification: 10 * index + 105,
                endpoint: roles[index].serves.then_some(10 * index + 106),
                replies: roles[index].composes().then_some(10 * index + 107),
            })
            .collect()
    }

    /// What domain `index` of `system` holds, and everybody's objects.
    fn held(system: &SystemImage, index: usize) -> (Vec<Grant>, Vec<Objects>) {
        let roles = Role::of_all(system);
        let objects = objects(system, &roles);
        let irqs: Vec<_> = (0..system.domains[index].irqs.len())
            .map(|i| 500 + i)
            .collect();
        let domains = Domains {
            system,
            roles: &roles,
            objects: &objects,
            supervisor: SUPERVISOR,
            asid_pool: ASID_POOL,
        };
        (domains.held(index, &irqs), objects)
    }

    /// What is at a CPtr of the domain with these objects, by the kernel's rules.
    fn at(grants: &[Grant], objects: &Objects, root_bits: u32, cptr: u64) -> Option<Grant> {
        let in_root = |slot| {
            grants
                .iter()
                .find(move |g| g.to.cnode == objects.root && g.to.index == slot)
        };
        let below = 64 - root_bits;
        let node = in_root(cptr >> below)?;
        let rest = cptr & ((1 << below) - 1);
        // The radix of the node is what its guard leaves of the rest.
        let guard_bits = (node.data >> 2) as u32;
        let index = rest & ((1 << (below - guard_bits)) - 1);
        if index != rest {
            return None;
        }
        grants
            .iter()
            .find(|g| g.to.cnode == node.source && g.to.index == index)
            .copied()
    }

    fn plain(grants: &[Grant], objects: &Objects, cptr: u64) -> Option<Grant> {
        at(grants, objects, 56, cptr)
    }

    #[test]
    fn a_channel_reaches_the_other_end_with_its_id_as_badge() {
        let mut system = testing::system(&["a", "b"]);
        system.channels.push(channel(end(0, 3), end(1, 7)));
        system.channels[0].a.pp = true;
        let (grants, objects) = held(&system, 0);
        let notification = plain(&grants, &objects[0], 13).unwrap();
        assert_eq!(
            (notification.source, notification.data),
            (objects[1].notification, 1 << 7)
        );
        assert_eq!(notification.rights, Rights::SIGNAL);
        let endpoint = plain(&grants, &objects[0], 77).unwrap();
        assert_eq!(
            (Some(endpoint.source), endpoint.data),
            (objects[1].endpoint, badge::CALL | 7)
        );
        assert_eq!(endpoint.rights, Rights::CALL);
        let (grants, objects) = held(&system, 1);
        assert_eq!(plain(&grants, &objects[1], 74 + 7), None);
    }

    #[test]
    fn an_end_that_may_not_notify_gets_nothing_to_notify_with() {
        let mut system = testing::system(&["a", "b"]);
        system.channels.push(channel(end(0, 3), end(1, 7)));
        system.channels[0].a.notify = false;
        let (grants, objects) = held(&system, 0);
        assert_eq!(plain(&grants, &objects[0], 13), None);
    }

    #[test]
    fn a_domain_that_nobody_calls_receives_from_its_notification() {
        let system = testing::system(&["a"]);
        let (grants, objects) = held(&system, 0);
        let input = plain(&grants, &objects[0], 1).unwrap();
        assert_eq!(input.source, objects[0].notification);
        assert_eq!(input.rights, Rights::RECEIVE);
    }

    #[test]
    fn a_domain_without_the_manager_cannot_change_its_cspace_or_speak_for_others() {
        let mut system = testing::system(&["a", "b"]);
        system.channels.push(channel(end(0, 3), end(1, 7)));
        system.channels[0].a.pp = true;
        let (grants, objects) = held(&system, 1);
        assert_eq!(plain(&grants, &objects[1], node::ROOT), None);
        assert_eq!(plain(&grants, &objects[1], node::REPLIES), None);
        let input = plain(&grants, &objects[1], node::INPUT).unwrap();
        assert_eq!(input.rights, Rights::RECEIVE);
    }

    #[test]
    fn a_domain_with_the_manager_gets_root_replies_and_input() {
        let mut system = testing::system(&[MANAGER_NAME, "b"]);
        system.channels.push(channel(end(0, 0), end(1, 7)));
        let (grants, objects) = held(&system, 1);
        let slot = |cptr| plain(&grants, &objects[1], cptr).unwrap();
        assert_eq!(slot(node::ROOT).source, objects[1].root);
        assert_eq!(Some(slot(node::REPLIES).source), objects[1].replies);
        assert_eq!(slot(node::REPLIES).data, 0);
        assert_eq!(Some(slot(node::INPUT).source), objects[1].endpoint);
        assert_eq!(slot(node::INPUT).rights, Rights::ALL);
        let replies = grants
            .iter()
            .find(|g| g.to.cnode == objects[1].root && g.to.index == 1)
            .unwrap();
        assert_eq!(Some(replies.source), objects[1].replies);
    }

    #[test]
    fn the_managers_channel_0_alone_comes_with_address_space_identifiers() {
        let mut system = testing::system(&[MANAGER_NAME, "supervisor", "b"]);
        system.channels.push(channel(end(0, 0), end(1, 0)));
        system.channels.push(channel(end(0, 1), end(2, 0)));
        let source = |index| {
            let (grants, objects) = held(&system, index);
            plain(&grants, &objects[index], node::ASID_POOL).map(|grant| grant.source)
        };
        assert_eq!((source(1), source(2)), (Some(ASID_POOL), None));
    }

    #[test]
    fn the_manager_finds_its_pool_and_its_microkit_slots() {
        let mut system = testing::system(&[MANAGER_NAME, "b"]);
        system.channels.push(channel(end(0, 4), end(1, 7)));
        let (mut grants, objects) = held(&system, 0);
        let root_bits = 64 - boot::LEVEL_BITS;
        let slot = |grants: &[Grant], cptr| at(grants, &objects[0], root_bits, cptr).unwrap();
        assert_eq!(Some(slot(&grants, node::INPUT).source), objects[0].endpoint);
        assert_eq!(Some(slot(&grants, boot::POOL).source), objects[0].pool);
        assert_eq!(slot(&grants, boot::POOL).data, 0);
        assert_eq!(slot(&grants, 14).source, objects[1].notification);
        // Something in the pool is found where the protocol says.
        let in_pool = Grant {
            to: Place {
                cnode: objects[0].pool.unwrap(),
                radix: boot::POOL_RADIX,
                index: 70_000,
            },
            ..grants[0]
        };
        grants.push(in_pool);
        assert_eq!(slot(&grants, boot::pool(70_000)), in_pool);
    }

    #[test]
    fn faults_go_to_the_parent_or_else_to_the_supervisor() {
        let mut system = testing::system(&["parent", "child"]);
        system.domains[1].parent = Some(Parent { domain: 0, id: 5 });
        let (grants, objects) = held(&system, 1);
        let fault = plain(&grants, &objects[1], node::FAULT).unwrap();
        assert_eq!(
            (Some(fault.source), fault.data),
            (objects[0].endpoint, badge::FAULT | 5)
        );
        let (grants, objects) = held(&system, 0);
        let fault = plain(&grants, &objects[0], node::FAULT).unwrap();
        assert_eq!(fault.source, SUPERVISOR);
        assert_eq!(Badge::from_word(fault.data).who(), Who::Itself(0));
        assert_eq!(fault.rights, Rights::CALL);
        let child = plain(&grants, &objects[0], 202 + 5).unwrap();
        assert_eq!(child.source, objects[1].tcb);
    }

    #[test]
    fn interrupts_and_ports_lie_at_their_ids() {
        let mut system = testing::system(&["a"]);
        system.domains[0].irqs.push(Irq {
            id: 25,
            vector: 4,
            source: IrqSource::Ioapic {
                ioapic: 0,
                pin: 4,
                level: false,
                active_low: false,
            },
        });
        system.domains[0].io_ports.push(IoPorts {
            id: 25,
            first: 0x3f8,
            last: 0x3ff,
        });
        let (grants, objects) = held(&system, 0);
        assert_eq!(plain(&grants, &objects[0], 138 + 25).unwrap().source, 500);
        let roles = Role::of_all(&system);
        let domains = Domains {
            system: &system,
            roles: &roles,
            objects: &objects,
            supervisor: SUPERVISOR,
            asid_pool: ASID_POOL,
        };
        let ports = domains.io_ports(0);
        assert_eq!((ports[0].to.index, ports[0].last), (253, 0x3ff));
    }

    #[test]
    fn no_slot_is_filled_twice_whatever_is_connected() {
        let mut system = testing::system(&[MANAGER_NAME, "b", "c"]);
        for id in 0..=xos_image::MAX_CHANNEL_ID / 2 {
            let mut both = channel(end(0, 2 * id), end(1, 2 * id));
            both.a.pp = true;
            system.channels.push(both);
            system
                .channels
                .push(channel(end(1, 2 * id + 1), end(2, id)));
        }
        system.domains[2].parent = Some(Parent { domain: 1, id: 25 });
        for id in 0..=xos_image::MAX_CHANNEL_ID {
            system.domains[1].io_ports.push(IoPorts {
                id,
                first: id.into(),
                last: id.into(),
            });
        }
        let roles = Role::of_all(&system);
        for index in 0..3 {
            let (grants, objects) = held(&system, index);
            let domains = Domains {
                system: &system,
                roles: &roles,
                objects: &objects,
                supervisor: SUPERVISOR,
                asid_pool: ASID_POOL,
            };
            let places = grants.iter().map(|grant| grant.to);
            let ports = domains.io_ports(index);
            let places: Vec<_> = places.chain(ports.iter().map(|port| port.to)).collect();
            let distinct: BTreeSet<_> = places.iter().map(|to| (to.cnode, to.index)).collect();
            assert_eq!(distinct.len(), places.len());
            assert!(places.iter().all(|to| to.index < 1 << to.radix));
        }
    }
}
