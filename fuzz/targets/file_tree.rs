// SPDX-License-Identifier: BSD-2-Clause
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xos_tests::decoders::file_tree(bytes));
