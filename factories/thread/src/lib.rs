// SPDX-License-Identifier: BSD-2-Clause
//! Logic of `thread-factory`.
#![cfg_attr(not(test), no_std)]
