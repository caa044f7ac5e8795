// SPDX-License-Identifier: BSD-2-Clause
//! What the bindings need of C: constant expressions, and the declarations in libsel4's headers.
//!
//! The C preprocessor does the hard part (conditions, nested macros, the configuration); what is
//! left are enumerations, structures, type names, and inline functions to skip. This is no C
//! compiler: layouts come out of `repr(C)` in Rust, from the same declarations.

mod expression;
mod header;

pub use expression::{Environment, EvalError, eval, eval_condition};
pub use header::{CEnum, CField, CStruct, CType, Header, HeaderError, Typedef, compiler};
