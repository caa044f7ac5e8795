// SPDX-License-Identifier: BSD-2-Clause
//! Logic of `serial-driver`.
#![cfg_attr(not(test), no_std)]
