// SPDX-License-Identifier: BSD-2-Clause
//! Carries out what [`xos_root_task`] plans and decides.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`build`] | makes domains, and destroys them |
//! | [`console`] | prints, and ends the machine |
//! | [`kernel`] | turns slots of a plan into invocations |
//! | [`start`] | from the payload to running domains |
//! | [`stub`] | the page that is mapped in every domain |
//! | [`watch`] | supervises |
//! | [`window`] | where foreign frames are written and read |

mod build;
pub mod console;
mod kernel;
pub mod start;
mod stub;
mod watch;
mod window;
