// SPDX-License-Identifier: BSD-2-Clause
//! The errors that cross a border between components.

/// Shorthand for results that may travel.
pub type Result<T> = core::result::Result<T, Error>;

/// Why a request was refused. Travels as the label of a reply: label 0 is
/// success, any other value is one of these.
///
/// Each says what failed and what the caller can do. Details that only a
/// person needs go to the log of the component that refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[repr(u16)]
#[non_exhaustive]
pub enum Error {
    /// The label is none that this server knows for this kind of session.
    #[error("no such operation on this capability; check which session it is sent to")]
    NoSuchOperation = 1,
    /// A word or an encoded structure is out of range or does not decode.
    #[error("malformed request; an argument is out of range or does not decode")]
    Malformed = 2,
    /// The object named is dead, or its id was never given out.
    #[error("the object is gone; its id will never name another")]
    Gone = 3,
    /// The session does not give the right to do this to that object.
    #[error("not allowed for this session")]
    NotAllowed = 4,
    /// The budget that was to pay is exhausted. Nobody else is affected.
    #[error("the budget is exhausted; destroy something that it pays for, or draw on a larger one")]
    OverBudget = 5,
    /// The budget would pay, but no piece of untyped memory of that size is left.
    #[error("no contiguous memory of that size is left; ask for smaller steps")]
    NoMemory = 6,
    /// A bounded table (ICs, sessions, steps of an arena, waiters) is full.
    #[error("a table of the server is full; try again when something has ended")]
    TableFull = 7,
    /// The capability slot named is occupied, empty when it should not be, or outside the CSpace.
    #[error("the capability slot cannot be used; name a free slot of your own CSpace")]
    BadSlot = 8,
    /// The capability in the slot named is not of the kind that is needed.
    #[error("the capability is of the wrong kind for this operation")]
    BadCapability = 9,
    /// The address is misaligned, outside user space, or in use.
    #[error("the address cannot be used; it is misaligned, reserved or already mapped")]
    BadAddress = 10,
    /// The object is not in a state that allows this (started twice, for one).
    #[error("the object's state does not allow this")]
    BadState = 11,
    /// No factory or service is registered under the name.
    #[error("nothing is registered under that name; `factories` lists what is")]
    NotFound = 12,
    /// The name is taken.
    #[error("the name is registered already")]
    NameTaken = 13,
    /// The image is not an ELF file that this factory can run.
    #[error("the image is not a well-formed static x86-64 executable")]
    BadImage = 14,
    /// The owner of the IC that is meant has not consented.
    #[error("the IC concerned has not consented; it must open the session with consent")]
    NoConsent = 15,
    /// The server that should have answered died; the request was not carried out twice.
    #[error("the server died before it answered; open it again and retry")]
    ServerDied = 16,
    /// The operation is optional in the protocol and this factory does not have it.
    #[error("this factory does not offer that operation; `describe` says what it does")]
    NotSupported = 17,
    /// A time limit passed before the event waited for.
    #[error("the time limit passed")]
    TimedOut = 18,
    /// Waiting was given up because of an interrupt character or a signal.
    #[error("interrupted")]
    Interrupted = 19,
    /// A kernel operation failed although the arguments were accepted: a defect or sabotage by a peer.
    #[error("a kernel operation was refused unexpectedly; the log of the server has the details")]
    Kernel = 20,
    /// The factory has no image of this name.
    #[error(
        "there is no program of this name in the file tree; add one with ADD='host/file=bin/name'"
    )]
    NoImage = 21,
    /// A reply carried a label that this version of the protocol does not define.
    #[error("the server answered with a code that this version does not know")]
    Unknown = 0xffff,
}

impl Error {
    const ALL: [Error; 21] = [
        Error::NoSuchOperation,
        Error::Malformed,
        Error::Gone,
        Error::NotAllowed,
        Error::OverBudget,
        Error::NoMemory,
        Error::TableFull,
        Error::BadSlot,
        Error::BadCapability,
        Error::BadAddress,
        Error::BadState,
        Error::NotFound,
        Error::NameTaken,
        Error::BadImage,
        Error::NoConsent,
        Error::ServerDied,
        Error::NotSupported,
        Error::TimedOut,
        Error::Interrupted,
        Error::Kernel,
        Error::NoImage,
    ];

    /// The reply label that stands for this error; never 0.
    pub const fn label(self) -> u64 {
        self as u64
    }

    /// Reads a reply's label: `Ok` for 0, else the error (unknown labels become [`Error::Unknown`]).
    pub fn from_label(label: u64) -> Result<()> {
        match label {
            0 => Ok(()),
            n if n as usize <= Self::ALL.len() => Err(Self::ALL[n as usize - 1]),
            _ => Err(Self::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_survives_its_label() {
        for error in Error::ALL {
            assert_eq!(Error::from_label(error.label()), Err(error));
        }
        assert_eq!(Error::from_label(0), Ok(()));
        assert_eq!(Error::from_label(u64::MAX), Err(Error::Unknown));
    }
}
