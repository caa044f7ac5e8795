# SPDX-License-Identifier: BSD-2-Clause
# A program of Rust's standard library, position-independent.
threads
