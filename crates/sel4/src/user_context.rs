// SPDX-License-Identifier: BSD-2-Clause
//! A thread's registers.

use crate::helpers::newtype_methods;
use crate::{Word, sys};

/// Corresponds to `seL4_UserContext`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserContext(sys::seL4_UserContext);

impl UserContext {
    newtype_methods!(sys::seL4_UserContext);

    /// The number of registers.
    pub(crate) const COUNT: Word = sys::seL4_UserContext::WORDS as Word;

    /// The program counter.
    pub const fn pc(&self) -> &Word {
        &self.0.rip
    }

    /// The program counter.
    pub const fn pc_mut(&mut self) -> &mut Word {
        &mut self.0.rip
    }

    /// The stack pointer.
    pub const fn sp(&self) -> &Word {
        &self.0.rsp
    }

    /// The stack pointer.
    pub const fn sp_mut(&mut self) -> &mut Word {
        &mut self.0.rsp
    }

    /// The register of a C function's integer parameter, 0 the first (System V ABI, 3.2.3).
    ///
    /// # Panics
    /// If there is no such register: six parameters travel in registers.
    pub fn c_param(&self, ix: usize) -> &Word {
        let regs = &self.0;
        [
            &regs.rdi, &regs.rsi, &regs.rdx, &regs.rcx, &regs.r8, &regs.r9,
        ][ix]
    }

    /// The register of a C function's integer parameter, 0 the first (System V ABI, 3.2.3).
    ///
    /// # Panics
    /// If there is no such register: six parameters travel in registers.
    pub fn c_param_mut(&mut self, ix: usize) -> &mut Word {
        match ix {
            0 => &mut self.0.rdi,
            1 => &mut self.0.rsi,
            2 => &mut self.0.rdx,
            3 => &mut self.0.rcx,
            4 => &mut self.0.r8,
            5 => &mut self.0.r9,
            _ => panic!("six parameters travel in registers, there is no number {ix}"),
        }
    }
}
