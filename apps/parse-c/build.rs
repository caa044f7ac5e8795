// SPDX-License-Identifier: BSD-2-Clause
//! Compiles the image.

fn main() {
    let parser = xos_virtine_c::carried("picohttpparser-sys").join("deps/picohttpparser");
    xos_virtine_c::compile_with(&["src/parse.c"], &[&parser], "parse-http");
}
