// SPDX-License-Identifier: BSD-2-Clause
//! Fault messages: what an IC did, as its handler learns it.

use sel4::{Fault, MessageInfo};
use xos_protocol::ic::FaultKind;

use crate::Request;

/// Labels below this are fault messages of the kernel's (seL4 reference manual 5.0, section 6.2). An IC
/// can make one up by calling its fault endpoint: what it does to itself by that is its own affair, and a
/// handler must not take an address in it for a checked one.
pub const END: u64 = 0x20;

/// Bit of x86's page-fault error code (Intel SDM volume 3, section 4.7): the access was a write.
const WRITE: u64 = 1 << 1;

/// The fault in a request, if it is a fault message.
pub fn read(request: &Request<'_>) -> Option<Fault> {
    if request.label() == 0 || request.label() >= END {
        return None;
    }
    let info = MessageInfo::new(request.label(), 0, 0, request.words().len());
    Fault::from_words(request.words(), &info)
}

/// The fault as protocols tell it.
pub fn describe(fault: &Fault) -> xos_protocol::Fault {
    let (ip, kind) = match fault {
        Fault::NullFault(_) => (0, FaultKind::Syscall(0)),
        Fault::CapFault(fault) => {
            let fault = fault.inner();
            (fault.get_IP(), FaultKind::Capability(fault.get_Addr()))
        }
        Fault::UnknownSyscall(fault) => {
            let fault = fault.inner();
            (fault.get_FaultIP(), FaultKind::Syscall(fault.get_Syscall()))
        }
        Fault::UserException(fault) => {
            let fault = fault.inner();
            (
                fault.get_FaultIP(),
                FaultKind::Exception(fault.get_Number() as u8),
            )
        }
        Fault::VmFault(fault) => {
            let fault = fault.inner();
            let (ip, write) = (fault.get_IP(), fault.get_FSR() & WRITE != 0);
            let fetch = fault.get_PrefetchFault() != 0;
            let kind = FaultKind::page_fault(ip, fault.get_Addr(), write, fetch);
            (ip, kind)
        }
    };
    xos_protocol::Fault { ip, kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(label: u64, words: &[u64]) -> Option<xos_protocol::Fault> {
        read(&Request::new(label, words)).map(|fault| describe(&fault))
    }

    #[test]
    fn a_page_fault_says_what_was_tried() {
        // Words: instruction, address, instruction fetch, error code.
        for (fetch, code, kind) in [
            (0, 4, FaultKind::Read(0x1000)),
            (0, 6, FaultKind::Write(0x1000)),
            (1, 0x14, FaultKind::Execute(0x1000)),
        ] {
            let fault = described(5, &[0x40_0000, 0x1000, fetch, code]).unwrap();
            assert_eq!((fault.ip, fault.kind), (0x40_0000, kind));
        }
    }

    #[test]
    fn an_exception_says_its_vector() {
        let fault = described(3, &[0x40_0000, 0x7000, 0x202, 13, 0]).unwrap();
        assert_eq!(fault.kind, FaultKind::Exception(13));
    }

    #[test]
    fn a_request_is_no_fault() {
        assert_eq!(described(0x220, &[0; 4]), None);
        assert_eq!(described(0, &[]), None);
    }

    #[test]
    fn a_fault_message_that_is_cut_short_is_none() {
        assert_eq!(described(5, &[1]), None);
    }
}
