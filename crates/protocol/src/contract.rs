// SPDX-License-Identifier: BSD-2-Clause
//! What a factory promises of its ICs: one value per dimension of isolation.
//!
//! A contract is checked by the conformance suite, claim by claim; a claim
//! without a probe is not a claim.

use serde::{Deserialize, Serialize};

macro_rules! dimension {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident => $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        pub enum $name { $($(#[$value_doc])* $value),+ }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(match self { $(Self::$value => $text),+ })
            }
        }
    };
}

dimension! {
    /// What of its memory others reach.
    Memory {
        /// It lives in its creator's address space.
        SharedWithCreator => "shared with creator",
        /// An address space of its own; only regions shared by the manager are common.
        Private => "private",
        /// As private, behind second-stage translation.
        SecondStage => "private, second-stage",
    }
}
dimension! {
    /// Whose capabilities it can invoke.
    Capabilities {
        /// Its creator's CSpace is its own.
        Shared => "shared with creator",
        /// A CSpace of its own.
        Own => "own",
    }
}
dimension! {
    /// Which name spaces (files, process ids, host name) it sees.
    Names {
        /// None at all.
        None => "none",
        /// Its creator's.
        Creators => "creator's",
        /// Its own.
        Own => "own",
    }
}
dimension! {
    /// What it asks for service.
    KernelInterface {
        /// seL4 invocations on the capabilities that it was given.
        Sel4 => "seL4 capabilities",
        /// Linux system calls.
        Linux => "Linux ABI",
        /// A kernel of its own.
        Own => "own kernel",
        /// What its creator granted of its factory's hypercalls, and nothing else.
        Hypercalls => "granted hypercalls",
    }
}
dimension! {
    /// What its memory is counted against.
    Quota {
        /// Its creator's budget: it can spend all that its creator has.
        Creators => "creator's",
        /// An arena of its own: it can exhaust nobody else.
        Own => "own arena",
    }
}
dimension! {
    /// Its share of the processor. This kernel has no processor quota, and no contract pretends one.
    Cpu {
        /// Scheduled at its creator's priority, round robin with it.
        CreatorsPriority => "creator's priority",
        /// At a priority of its own, below its creator's: it runs when its creator rests.
        OwnPriority => "own priority",
    }
}
dimension! {
    /// Who is harmed by its fault.
    FaultContainment {
        /// Itself alone; who waits for it is told.
        Itself => "itself",
        /// Itself; but what it wrote in its creator's memory stays.
        CreatorsMemory => "itself, but creator's memory is open to it",
    }
}
dimension! {
    /// What it takes to get rid of it.
    Teardown {
        /// Its factory has to help: what an IC cost is back when its factory has ended it.
        NeedsFactory => "needs the factory",
        /// The manager alone, whatever the factory did.
        ManagerAlone => "by the manager alone",
    }
}
dimension! {
    /// With whom it can communicate, and who must agree.
    Channels {
        /// Through capabilities and regions that its creator or payer granted.
        Granted => "granted by creator or payer",
        /// With everybody in its creator's IC, through memory, besides.
        CreatorsMemory => "granted, and creator's memory",
    }
}

/// The promises of a factory about each of its ICs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Contract {
    /// See [`Memory`].
    pub memory: Memory,
    /// See [`Capabilities`].
    pub capabilities: Capabilities,
    /// See [`Names`].
    pub names: Names,
    /// See [`KernelInterface`].
    pub kernel_interface: KernelInterface,
    /// See [`Quota`].
    pub quota: Quota,
    /// See [`Cpu`].
    pub cpu: Cpu,
    /// See [`FaultContainment`].
    pub fault_containment: FaultContainment,
    /// See [`Teardown`].
    pub teardown: Teardown,
    /// See [`Channels`].
    pub channels: Channels,
}

impl core::fmt::Display for Contract {
    /// One line per dimension, aligned.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        writeln!(f, "memory             {}", self.memory)?;
        writeln!(f, "capabilities       {}", self.capabilities)?;
        writeln!(f, "names              {}", self.names)?;
        writeln!(f, "kernel interface   {}", self.kernel_interface)?;
        writeln!(f, "memory quota       {}", self.quota)?;
        writeln!(f, "cpu                {}", self.cpu)?;
        writeln!(f, "fault containment  {}", self.fault_containment)?;
        writeln!(f, "teardown           {}", self.teardown)?;
        write!(f, "channels           {}", self.channels)
    }
}
