// SPDX-License-Identifier: BSD-2-Clause
//! Address spaces: what of a program is where.
