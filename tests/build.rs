// SPDX-License-Identifier: BSD-2-Clause
//! Compiles the images of virtual processors that tests run.

fn main() {
    for (source, name) in [("deeds", "test-virtine"), ("bench", "bench-virtine")] {
        let source = format!("guests/virtines/vcpu/{source}.c");
        xos_virtine_c::compile(&[&source], name);
    }
}
