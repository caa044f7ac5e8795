// SPDX-License-Identifier: BSD-2-Clause
//! What virtines on virtual processors are to the vm factory's library, which makes them: a monitor with a
//! virtual processor and memory for it, as of a machine.

use vm_factory::factory::Kind;
use vm_factory::plan::{LARGE, OVERHEAD};
use xos_protocol::contract::{
    Capabilities, Channels, Contract, Cpu, FaultContainment, KernelInterface, Memory, Names, Quota,
    Teardown,
};
use xos_protocol::factory::Spec;
use xos_protocol::manager::PAGE;
use xos_protocol::start::DEFAULT_CSPACE_RADIX;
use xos_protocol::{Error, Result};

use super::layout::MAX_STACK_PAGES;

/// Bytes that a context costs when nobody says: 2 MiB are the virtine's.
pub const DEFAULT_MEMORY: u64 = OVERHEAD + LARGE;

/// Virtines on virtual processors.
pub const VIRTINE: Kind = Kind {
    contract: Contract {
        memory: Memory::SecondStage,
        capabilities: Capabilities::Own,
        names: Names::None,
        kernel_interface: KernelInterface::Hypercalls,
        quota: Quota::Own,
        cpu: Cpu::CreatorsPriority,
        fault_containment: FaultContainment::Itself,
        teardown: Teardown::ManagerAlone,
        channels: Channels::Granted,
    },
    monitor: "virtine-monitor",
    folder: "vcpu",
    memory: DEFAULT_MEMORY,
    least: LARGE,
    units: 8,
    cspace_radix: DEFAULT_CSPACE_RADIX,
    tells: true,
    check,
};

/// A virtine has no arguments and no environment. The monitor's channel is its client's: see
/// [`xos_protocol::virtine::DOOR`].
fn check(spec: &Spec<'_>) -> Result<()> {
    let nothing = [spec.arguments, spec.environment]
        .iter()
        .all(|text| text.is_empty());
    let stack = u64::from(spec.stack) <= u64::from(MAX_STACK_PAGES) * PAGE;
    match nothing && stack && !spec.composes && spec.cspace_radix == 0 {
        true => Ok(()),
        false => Err(Error::Malformed),
    }
}
