// SPDX-License-Identifier: BSD-2-Clause
//! Small systems for the tests of all modules.

use xos_image::{
    Access, Channel, DEFAULT_STACK_SIZE, Domain, End, PAGE_SIZE, Segment, SystemImage,
};

/// Domains of these names with a page of program each, and nothing else.
pub fn system(names: &[&str]) -> SystemImage {
    let domain = |name: &&str| Domain {
        name: (*name).into(),
        parent: None,
        priority: 100,
        stack_size: DEFAULT_STACK_SIZE,
        entry: 0x20_0000,
        segments: vec![Segment {
            vaddr: 0x20_0000,
            mem_size: PAGE_SIZE,
            access: Access::ReadExecute,
            data: None,
        }],
        maps: vec![],
        irqs: vec![],
        io_ports: vec![],
    };
    SystemImage {
        domains: names.iter().map(domain).collect(),
        regions: vec![],
        channels: vec![],
    }
}

/// An end that may notify.
pub fn end(domain: u16, id: u8) -> End {
    End {
        domain,
        id,
        notify: true,
        pp: false,
    }
}

/// A channel.
pub fn channel(a: End, b: End) -> Channel {
    Channel { a, b }
}
