// SPDX-License-Identifier: BSD-2-Clause
//! Faults, as a thread's fault endpoint receives them.

use crate::helpers::newtype_methods;
use crate::{IpcBuffer, MessageInfo, Word, sys};

macro_rules! faults {
    ($($(#[$doc:meta])* $t:ident($sys:ident);)*) => {
        $(
            $(#[$doc])*
            #[doc = concat!("Corresponds to `", stringify!($sys), "_t`.")]
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $t(sys::$sys);

            impl $t {
                newtype_methods!(sys::$sys);
            }
        )*
    };
}

faults! {
    /// No fault.
    NullFault(seL4_Fault_NullFault);
    /// An invocation of a capability that could not be found.
    CapFault(seL4_Fault_CapFault);
    /// A system call number that the kernel does not know.
    UnknownSyscall(seL4_Fault_UnknownSyscall);
    /// A processor exception: an illegal instruction, a division by zero.
    UserException(seL4_Fault_UserException);
    /// A memory access without a mapping that allows it.
    VmFault(seL4_Fault_VMFault);
}

/// Corresponds to `seL4_Fault_t`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // see each type
pub enum Fault {
    NullFault(NullFault),
    CapFault(CapFault),
    UnknownSyscall(UnknownSyscall),
    UserException(UserException),
    VmFault(VmFault),
}

impl Fault {
    /// The fault in a message that the kernel sent, whose words are in the IPC buffer.
    ///
    /// # Panics
    /// If the kernel sends no such message. Whoever else may send to the endpoint can make one up:
    /// use [`try_new`](Self::try_new) where somebody may.
    pub fn new(ipc_buffer: &IpcBuffer, info: &MessageInfo) -> Self {
        match Self::try_new(ipc_buffer, info) {
            Some(fault) => fault,
            None => panic!("{info:?} is no fault message"),
        }
    }

    /// The fault in a message whose words are in the IPC buffer, or nothing if it is no fault
    /// message. **Extension.**
    pub fn try_new(ipc_buffer: &IpcBuffer, info: &MessageInfo) -> Option<Self> {
        Self::from_words(ipc_buffer.msg_regs(), info)
    }

    /// The fault in a message of these words, or nothing if it is no fault message. **Extension.**
    pub fn from_words(words: &[Word], info: &MessageInfo) -> Option<Self> {
        Self::from_sys(sys::seL4_Fault::from_message(info.into_inner(), words)?)
    }

    fn from_sys(raw: sys::seL4_Fault) -> Option<Self> {
        use sys::seL4_Fault_Splayed as Raw;
        Some(match raw.splay()? {
            Raw::NullFault(inner) => Self::NullFault(NullFault(inner)),
            Raw::CapFault(inner) => Self::CapFault(CapFault(inner)),
            Raw::UnknownSyscall(inner) => Self::UnknownSyscall(UnknownSyscall(inner)),
            Raw::UserException(inner) => Self::UserException(UserException(inner)),
            Raw::VMFault(inner) => Self::VmFault(VmFault(inner)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(label: Word, words: &[Word]) -> Option<Fault> {
        Fault::from_words(words, &MessageInfo::new(label, 0, 0, words.len()))
    }

    #[test]
    fn a_page_fault_names_address_and_instruction() {
        let Some(Fault::VmFault(fault)) = fault(5, &[0x401000, 0xdead_0000, 1, 0x15]) else {
            panic!("no page fault");
        };
        let raw = fault.inner();
        assert_eq!((raw.get_IP(), raw.get_Addr()), (0x401000, 0xdead_0000));
        assert_eq!((raw.get_PrefetchFault(), raw.get_FSR()), (1, 0x15));
    }

    #[test]
    fn an_exception_names_its_number() {
        let Some(Fault::UserException(fault)) = fault(3, &[1, 2, 3, 6, 0]) else {
            panic!("no exception");
        };
        assert_eq!(
            (fault.inner().get_Number(), fault.inner().get_Stack()),
            (6, 2)
        );
    }

    #[test]
    fn an_unknown_system_call_has_all_registers() {
        let words: [Word; 19] = core::array::from_fn(|i| i as Word + 100);
        let Some(Fault::UnknownSyscall(fault)) = fault(2, &words) else {
            panic!("no unknown system call");
        };
        let raw = fault.inner();
        assert_eq!(
            (raw.get_RAX(), raw.get_RSP(), raw.get_Syscall()),
            (100, 116, 118)
        );
    }

    #[test]
    fn a_capability_fault_may_be_short() {
        let Some(Fault::CapFault(fault)) = fault(1, &[0x401000, 77, 0, 2, 64]) else {
            panic!("no capability fault");
        };
        assert_eq!((fault.inner().get_Addr(), fault.inner().get_MR6()), (77, 0));
    }

    #[test]
    fn made_up_messages_are_refused() {
        assert_eq!(fault(4, &[0; 4]), None);
        assert_eq!(fault(5, &[0; 3]), None);
        assert_eq!(fault(0xfffff, &[]), None);
        assert_eq!(fault(3, &[0; 120]), None);
    }
}
