// SPDX-License-Identifier: BSD-2-Clause
//! Cases that a probe runs, in an IC: by the same names.

use super::*;

/// Those of which nothing more is asked than that they pass.
pub const INSIDE: &[Case<Tester>] = {
    macro_rules! cases {
        ($($name:ident),* $(,)?) => {
            &[$((stringify!($name), |t: &mut Tester| t.inside(stringify!($name)))),*]
        };
    }
    include!("../cases_inside.rs")
};

/// Those that send anything to anybody.
pub const MESSAGES: &[Case<Tester>] = {
    macro_rules! cases {
        ($($name:ident),* $(,)?) => {
            &[$((stringify!($name), |t: &mut Tester| survives(t, stringify!($name)))),*]
        };
    }
    include!("../cases_messages.rs")
};

/// Afterwards the system works, and nothing is missing.
fn survives(t: &mut Tester, case: &str) -> Outcome {
    // Once for what is made once: images that are loaded, tables that grow.
    t.inside(case)?;
    t.level(|t| t.inside(case))?;
    check!(t.run("hello", "")? == ExitStatus::Code(0))
}
