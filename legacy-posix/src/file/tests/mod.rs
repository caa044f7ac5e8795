// SPDX-License-Identifier: BSD-2-Clause
//! Tests of calls on files.

mod archive;
mod linux;
mod objects;
mod proc;
mod terminals;
mod walks;
mod world;
