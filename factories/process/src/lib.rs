// SPDX-License-Identifier: BSD-2-Clause
//! Logic of `process-factory`.
#![cfg_attr(not(test), no_std)]
