// SPDX-License-Identifier: BSD-2-Clause
//! What went wrong, and with what.

use core::fmt;

use xos_protocol::{IcId, Name, RegionId};

/// Results of this crate.
pub type Result<T> = core::result::Result<T, Error>;

/// A request that was refused: what was tried, and what the server said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("cannot {tried}: {why}")]
pub struct Error {
    /// What was tried.
    pub tried: Tried,
    /// Why it was refused.
    pub why: xos_protocol::Error,
}

impl Error {
    /// An error with its two halves.
    pub const fn new(tried: Tried, why: xos_protocol::Error) -> Self {
        Self { tried, why }
    }
}

/// For what programs ask of [`manager`](crate::manager) themselves.
impl From<xos_protocol::Error> for Error {
    fn from(why: xos_protocol::Error) -> Self {
        Self::new(Tried::Manager, why)
    }
}

/// What a program may try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Tried {
    /// A request to the IC manager without further name.
    Manager,
    /// Finding a free slot in the program's own CSpace.
    Slot,
    /// Making an endpoint or a notification.
    Make,
    /// Opening what is registered under a name.
    Open(Name),
    /// Registering under a name.
    Register(Name),
    /// Calling what was opened under a name.
    Call(Name),
    /// Asking a factory for its contract.
    Describe(Name),
    /// Having a factory make an IC.
    Create(Name),
    /// Starting an IC.
    Start(IcId),
    /// Waiting for an IC.
    Wait(IcId),
    /// Killing an IC.
    Kill(IcId),
    /// Suspending an IC.
    Suspend(IcId),
    /// Resuming an IC.
    Resume(IcId),
    /// Asking for the state of an IC.
    Stat(IcId),
    /// Invoking an IC.
    Invoke(IcId),
    /// Freezing an IC.
    Freeze(IcId),
    /// Cloning a snapshot.
    Clone(IcId),
    /// Standing still, for clones to begin there.
    Stand,
    /// Handing an endpoint to an IC.
    Connect(IcId),
    /// Having something in common with another IC, or no more.
    Link,
    /// Starting a thread.
    Spawn,
    /// Making a region.
    Region,
    /// Mapping a region, or sharing it.
    Share(RegionId),
    /// Using the timer.
    Timer,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manager => write!(f, "ask the IC manager"),
            Self::Slot => write!(f, "find a free capability slot"),
            Self::Make => write!(f, "make an endpoint or notification"),
            Self::Open(name) => write!(f, "open `{name}`"),
            Self::Register(name) => write!(f, "register as `{name}`"),
            Self::Call(name) => write!(f, "call `{name}`"),
            Self::Describe(name) => write!(f, "get the contract of `{name}`"),
            Self::Create(name) => write!(f, "create an IC by `{name}`"),
            Self::Start(id) => write!(f, "start IC {id}"),
            Self::Wait(id) => write!(f, "wait for IC {id}"),
            Self::Kill(id) => write!(f, "kill IC {id}"),
            Self::Suspend(id) => write!(f, "suspend IC {id}"),
            Self::Resume(id) => write!(f, "resume IC {id}"),
            Self::Stat(id) => write!(f, "get the state of IC {id}"),
            Self::Invoke(id) => write!(f, "invoke IC {id}"),
            Self::Freeze(id) => write!(f, "freeze IC {id}"),
            Self::Clone(id) => write!(f, "clone IC {id}"),
            Self::Stand => write!(f, "stand still for clones"),
            Self::Connect(id) => write!(f, "hand an endpoint to IC {id}"),
            Self::Link => write!(f, "link to another IC"),
            Self::Spawn => write!(f, "start a thread"),
            Self::Region => write!(f, "make a region"),
            Self::Share(id) => write!(f, "share region {id}"),
            Self::Timer => write!(f, "use the timer"),
        }
    }
}

/// Says what was tried.
pub(crate) trait Trying<T> {
    /// This result, with what was tried.
    fn trying(self, tried: Tried) -> Result<T>;
}

impl<T> Trying<T> for xos_protocol::Result<T> {
    fn trying(self, tried: Tried) -> Result<T> {
        self.map_err(|why| Error { tried, why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn an_error_says_what_was_tried_and_why_it_failed() {
        let error = Error::new(
            Tried::Open(Name::new("proces")),
            xos_protocol::Error::NotFound,
        );
        assert_eq!(
            error.to_string(),
            "cannot open `proces`: nothing is registered under that name; `factories` lists what is"
        );
    }
}
