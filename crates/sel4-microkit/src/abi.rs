// SPDX-License-Identifier: BSD-2-Clause

//! What a protection domain and its builder agree on: slots, badges, symbols, start.
//!
//! It is Microkit's agreement as far as this kernel can carry it. These are the differences, for
//! who compares the two:
//!
//! | | Microkit | here | because |
//! | --- | --- | --- | --- |
//! | badge flags | bits 63 and 62 | [`PPC_BADGE_BIT`] 27, [`FAULT_BADGE_BIT`] 26 | badges have 28 bits, and minting a larger one truncates it silently |
//! | identifiers | 0..=61 | 0..=[`MAX_ID`], 25 | what the flags leave of a badge |
//! | reply | capability in slot 4 | none | this kernel keeps it in the TCB |
//! | I/O ports | from slot 394 | from [`BASE_IO_PORT`], 228 | the fixed slots share one node of 256 |
//! | VCPUs | slots 266 and 330 | none | virtual machines are made by a factory |
//! | scheduling contexts | passive domains | none | the kernel has no scheduling contexts |
//! | IPC buffer | top of the address space | where the builder puts it | a thread finds it by GS base |
//!
//! # CSpace
//! The root CNode has radix 12 and leaves eight bits of a CPtr. Its slot 0 holds a node of radix 8
//! with everything below, so that Microkit's slot `i` is CPtr `i`. A slot whose thing the domain's
//! description does not mention is empty.
//!
//! # Start
//! RIP is the ELF entry, RSP the end of the stack whose size the description gives (8 KiB if it
//! does not); nothing is passed in registers. In the program's own data the builder has set the
//! [`symbol`]s, and in the IPC buffer its
//! address (`userData`), without which the domain can make no call that needs the buffer.

/// The largest identifier of a channel, an interrupt, a child or a range of I/O ports within a
/// domain. A notification's badge has one bit for each channel or interrupt, below the flags.
pub const MAX_ID: usize = FAULT_BADGE_BIT - 1;

/// The badge bit of a protected procedure call; the channel's identifier is in the bits below.
pub const PPC_BADGE_BIT: usize = 27;

/// The badge bit of a child's fault; the child's identifier is in the bits below.
pub const FAULT_BADGE_BIT: usize = 26;

/// The endpoint, with the domain's notification bound to it, or the notification alone: what the
/// domain receives from.
pub const INPUT_SLOT: u64 = 1;

/// The root of the domain's address space.
pub const VSPACE_SLOT: u64 = 3;

/// Where the domain's faults go: an endpoint of the supervisor's.
pub const FAULT_ENDPOINT_SLOT: u64 = 5;

/// The domain's root CNode with guard 0 (its slots are at depth 12), for domains that compose
/// isolation contexts.
pub const ROOT_CNODE_SLOT: u64 = 6;

/// A node in which a server keeps reply capabilities that it uses later; the supervisor can drain it
/// when the server dies.
pub const REPLIES_SLOT: u64 = 7;

/// The domain's notification itself, for what it hands to others to signal.
pub const NOTIFICATION_SLOT: u64 = 8;

/// Notification of the channel's other end, plus identifier.
pub const BASE_OUTPUT_NOTIFICATION: u64 = 10;

/// Endpoint of the channel's other end, for protected procedure calls, plus identifier.
pub const BASE_ENDPOINT: u64 = BASE_OUTPUT_NOTIFICATION + 64;

/// The endpoint of the channel with identifier `id`, for constants: whether the description lets the
/// domain call there is not looked at.
pub const fn endpoint(id: u64) -> sel4::cap::Endpoint {
    sel4::cap::Endpoint::from_bits(BASE_ENDPOINT + id)
}

/// Interrupt handler, plus identifier.
pub const BASE_IRQ: u64 = BASE_ENDPOINT + 64;

/// TCB of a child domain, plus identifier.
pub const BASE_TCB: u64 = BASE_IRQ + 64;

/// Range of I/O ports, plus identifier: the first slot after the children's.
pub const BASE_IO_PORT: u64 = BASE_TCB + MAX_ID as u64 + 1;

/// Slots of the node that all of this is in.
pub const SLOTS: u64 = 256;

const _: () = assert!(BASE_IO_PORT + (MAX_ID as u64) < SLOTS);

/// Symbols that every domain's program has, and that whoever packs the image sets, by size.
pub mod symbol {
    /// The domain's name, [`NAME_LENGTH`] bytes, zero after its end.
    pub const NAME: &str = "microkit_name";
    /// Length of [`NAME`] in bytes.
    pub const NAME_LENGTH: usize = 64;
    /// One byte: whether the domain is passive, which none is with this kernel.
    pub const PASSIVE: &str = "microkit_passive";
    /// A word with a bit for each identifier that is an interrupt.
    pub const IRQS: &str = "microkit_irqs";
    /// A word with a bit for each channel that may be notified.
    pub const NOTIFICATIONS: &str = "microkit_notifications";
    /// A word with a bit for each channel that a protected procedure may be called on.
    pub const PPS: &str = "microkit_pps";
    /// A word with a bit for each range of I/O ports.
    pub const IO_PORTS: &str = "microkit_ioports";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builder_and_domain_agree_on_badges_and_identifiers() {
        assert_eq!(PPC_BADGE_BIT, usize::from(xos_image::PPC_BADGE_BIT));
        assert_eq!(FAULT_BADGE_BIT, usize::from(xos_image::FAULT_BADGE_BIT));
        assert_eq!(MAX_ID, usize::from(xos_image::MAX_CHANNEL_ID));
        assert_eq!(MAX_ID, usize::from(xos_image::MAX_IO_PORT_ID));
        assert_eq!(symbol::NAME_LENGTH, xos_image::MAX_NAME_LEN + 1);
    }

    #[test]
    fn servers_and_domain_agree_on_slots() {
        use xos_protocol::slots::domain;

        assert_eq!(INPUT_SLOT, domain::INPUT);
        assert_eq!(VSPACE_SLOT, domain::VSPACE);
        assert_eq!(FAULT_ENDPOINT_SLOT, domain::FAULT);
        assert_eq!(ROOT_CNODE_SLOT, domain::ROOT);
        assert_eq!(REPLIES_SLOT, domain::REPLIES);
        assert_eq!(NOTIFICATION_SLOT, domain::NOTIFICATION);
    }

    #[test]
    fn domain_and_servers_agree_on_badges() {
        use xos_protocol::badge;

        assert_eq!(1 << PPC_BADGE_BIT, badge::CALL);
        assert_eq!(1 << FAULT_BADGE_BIT, badge::FAULT);
    }
}
