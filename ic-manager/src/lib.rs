// SPDX-License-Identifier: BSD-2-Clause
//! Logic of `ic-manager`.
#![cfg_attr(not(test), no_std)]
