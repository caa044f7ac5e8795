// SPDX-License-Identifier: BSD-2-Clause
//! Logic of `timer-driver`.
#![cfg_attr(not(test), no_std)]
