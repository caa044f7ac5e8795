// SPDX-License-Identifier: BSD-2-Clause
//! Logic of `xos-root-task`.
#![cfg_attr(not(test), no_std)]
