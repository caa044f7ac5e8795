// SPDX-License-Identifier: BSD-2-Clause
//! Reads an installed seL4 kernel, a *prefix*, at build time.
//!
//! A prefix is what `ninja install` of seL4 leaves behind and what this workspace's `kernel/`
//! builds by default: `bin/kernel.elf`, the libsel4 headers and interface definitions under
//! `libsel4/include`, the configuration as `gen_config.json`. Everything that the bindings know
//! about a kernel they read from there, so that no number is copied by hand and another
//! configuration is another prefix, not another edit.
//!
//! This crate only reads and models:
//!
//! | module | source in the prefix | model |
//! | --- | --- | --- |
//! | [`config`] | `kernel/gen_config.json`, `sel4/gen_config.json` | keys and values |
//! | [`interface`] | `interfaces/object-api*.xml`, `api/syscall.xml` | methods with labels, system calls |
//! | [`bitfield`] | `**/*.pbf` | blocks and tagged unions with bit offsets |
//! | [`c`] | the C headers, through the C preprocessor | constants, enumerations, structures, type names |
//!
//! It must never generate code (that is `sel4-sys`'s build script) and never guess: what it does
//! not understand is an error that names the file.

pub mod bitfield;
pub mod c;
pub mod config;
pub mod interface;
mod prefix;

pub use config::Config;
pub use prefix::{Prefix, PrefixError, SEL4_PREFIX};
