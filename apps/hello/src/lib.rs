// SPDX-License-Identifier: BSD-2-Clause
//! Logic of `hello`.
#![cfg_attr(not(test), no_std)]
