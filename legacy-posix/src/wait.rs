// SPDX-License-Identifier: BSD-2-Clause
//! Wait queues: who waits for what.
