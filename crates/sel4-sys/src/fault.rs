// SPDX-License-Identifier: BSD-2-Clause
//! Fault messages, as the kernel sends them to a thread's fault endpoint.

use crate::*;

impl seL4_Fault {
    /// Corresponds to `seL4_getFault`: the fault that a message with this tag and these words
    /// reports, or nothing if the kernel sends no such message. `words` are all message words, the
    /// first ones included.
    ///
    /// Anyone who may send to a fault endpoint can make up such a message: the words are what they
    /// are, and a badge tells who sent it.
    pub fn from_message(info: seL4_MessageInfo, words: &[seL4_Word]) -> Option<Self> {
        let length = info.get_length() as usize;
        let words = words.get(..length).unwrap_or(words);
        let mr = |i: seL4_Word| words.get(i as usize).copied().unwrap_or(0);
        let has = |n: seL4_Word| length as seL4_Word == n;
        Some(match info.get_label() {
            seL4_Fault_tag::seL4_Fault_NullFault => seL4_Fault_NullFault::new().into(),
            seL4_Fault_tag::seL4_Fault_CapFault => {
                use seL4_CapFault_Msg::*;
                // Shorter if the lookup failed early: what is missing reads as 0.
                seL4_Fault_CapFault::new(
                    mr(seL4_CapFault_IP),
                    mr(seL4_CapFault_Addr),
                    mr(seL4_CapFault_InRecvPhase),
                    mr(seL4_CapFault_LookupFailureType),
                    mr(seL4_CapFault_BitsLeft),
                    mr(seL4_CapFault_GuardMismatch_GuardFound),
                    mr(seL4_CapFault_GuardMismatch_BitsFound),
                )
                .into()
            }
            seL4_Fault_tag::seL4_Fault_UnknownSyscall => {
                use seL4_UnknownSyscall_Msg::*;
                if !has(seL4_UnknownSyscall_Length) {
                    return None;
                }
                seL4_Fault_UnknownSyscall::new(
                    mr(seL4_UnknownSyscall_RAX),
                    mr(seL4_UnknownSyscall_RBX),
                    mr(seL4_UnknownSyscall_RCX),
                    mr(seL4_UnknownSyscall_RDX),
                    mr(seL4_UnknownSyscall_RSI),
                    mr(seL4_UnknownSyscall_RDI),
                    mr(seL4_UnknownSyscall_RBP),
                    mr(seL4_UnknownSyscall_R8),
                    mr(seL4_UnknownSyscall_R9),
                    mr(seL4_UnknownSyscall_R10),
                    mr(seL4_UnknownSyscall_R11),
                    mr(seL4_UnknownSyscall_R12),
                    mr(seL4_UnknownSyscall_R13),
                    mr(seL4_UnknownSyscall_R14),
                    mr(seL4_UnknownSyscall_R15),
                    mr(seL4_UnknownSyscall_FaultIP),
                    mr(seL4_UnknownSyscall_SP),
                    mr(seL4_UnknownSyscall_FLAGS),
                    mr(seL4_UnknownSyscall_Syscall),
                )
                .into()
            }
            seL4_Fault_tag::seL4_Fault_UserException => {
                use seL4_UserException_Msg::*;
                if !has(seL4_UserException_Length) {
                    return None;
                }
                seL4_Fault_UserException::new(
                    mr(seL4_UserException_FaultIP),
                    mr(seL4_UserException_SP),
                    mr(seL4_UserException_FLAGS),
                    mr(seL4_UserException_Number),
                    mr(seL4_UserException_Code),
                )
                .into()
            }
            seL4_Fault_tag::seL4_Fault_VMFault => {
                use seL4_VMFault_Msg::*;
                if !has(seL4_VMFault_Length) {
                    return None;
                }
                seL4_Fault_VMFault::new(
                    mr(seL4_VMFault_IP),
                    mr(seL4_VMFault_Addr),
                    mr(seL4_VMFault_PrefetchFault),
                    mr(seL4_VMFault_FSR),
                )
                .into()
            }
            _ => return None,
        })
    }
}
