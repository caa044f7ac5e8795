// SPDX-License-Identifier: BSD-2-Clause
//! What a container's server is told when it starts.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::check::is_assignment;
use crate::{Container, Flaw, List, MAX_MOUNTS, is_name};

/// Everything that a server needs to make a container.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Setup<'a> {
    /// What the container is called.
    pub name: &'a str,
    /// What it is.
    #[serde(borrow)]
    pub container: Container<'a>,
    /// The command that whoever started it gave; empty: its own.
    #[serde(borrow)]
    pub command: List<'a>,
    /// More environment, which takes the place of variables of the same names.
    #[serde(borrow)]
    pub more_environment: List<'a>,
    /// Whether there will be input for its first process. Otherwise that is at its end.
    pub input: bool,
    /// Where the archive with its root file system is mapped, read-only.
    pub root: Span,
    /// Where the regions are mapped that its mounts name.
    #[serde(borrow)]
    pub regions: Vec<Grant<'a>, MAX_MOUNTS>,
}

/// A piece of address space.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Span {
    /// Where it begins.
    pub address: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// A region that a container was granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Grant<'a> {
    /// The name by which its mounts know it.
    pub name: &'a str,
    /// Where it is mapped.
    pub span: Span,
}

impl<'a> Setup<'a> {
    /// Encodes it; gives the bytes used.
    ///
    /// # Errors
    /// What is wrong with it; [`Flaw::TooLong`] when it does not fit.
    pub fn write<'b>(&self, bytes: &'b mut [u8]) -> Result<&'b [u8], Flaw> {
        self.check()?;
        match postcard::to_slice(self, bytes) {
            Ok(used) => Ok(used),
            Err(_) => Err(Flaw::TooLong),
        }
    }

    /// Decodes and checks it.
    ///
    /// # Errors
    /// What is wrong with it; [`Flaw::Malformed`] when these bytes are none.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let setup = match postcard::take_from_bytes::<Self>(bytes) {
            Ok((setup, [])) => setup,
            _ => return Err(Flaw::Malformed),
        };
        setup.check()?;
        Ok(setup)
    }

    /// The arguments of the first process: the container's own, or the command behind its entry point.
    pub fn arguments(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        let own = self.container.process.arguments;
        let stay = match self.command.is_empty() {
            true => usize::MAX,
            false => self.container.process.entrypoint.into(),
        };
        own.iter().take(stay).chain(self.command.iter())
    }

    /// The environment of the first process.
    pub fn environment(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        let (own, more) = (self.container.process.environment, self.more_environment);
        let is_kept = move |text: &&str| more.iter().all(|other| name(other) != name(text));
        own.iter().filter(is_kept).chain(more.iter())
    }

    /// The host name.
    pub fn hostname(&self) -> &'a str {
        match self.container.hostname {
            "" => self.name,
            name => name,
        }
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn check(&self) -> Result<(), Flaw> {
        if !is_name(self.name) || !self.regions.iter().all(|grant| is_name(grant.name)) {
            return Err(Flaw::RegionName);
        }
        let ends = |span: Span| span.address.checked_add(span.bytes).is_some();
        if !ends(self.root) || !self.regions.iter().all(|grant| ends(grant.span)) {
            return Err(Flaw::Malformed);
        }
        if self.arguments().next().is_none_or(str::is_empty) {
            return Err(Flaw::NoProgram);
        }
        if !self.more_environment.iter().all(is_assignment) {
            return Err(Flaw::Environment);
        }
        self.container.check()
    }
}

/// The name in `NAME=value`.
fn name(text: &str) -> &str {
    text.split_once('=').map_or(text, |(name, _)| name)
}
