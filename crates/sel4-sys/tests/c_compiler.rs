// SPDX-License-Identifier: BSD-2-Clause
//! The generated bindings against libsel4's own headers and a C compiler, the judge of both.

use std::fmt::Write as _;
use std::mem::{offset_of, size_of};
use std::process::Command;

use sel4_sys::*;

/// All numbers that the bindings know, by their C names.
const NUMBERS: &[(&str, i128)] = include!(concat!(env!("OUT_DIR"), "/numbers.rs"));

const INCLUDES: &str = "
    #include <stdio.h>
    #include <stddef.h>
    #include <stdint.h>
    #include <autoconf.h>
    #include <sel4/types.h>
    #include <sel4/bootinfo_types.h>
    #include <sel4/arch/bootinfo_types.h>
    #include <sel4/arch/vmenter.h>
    #include <sel4/invocation.h>
    #include <sel4/arch/constants.h>
";

/// Evaluates C expressions of integer type with the kernel's headers.
fn c_values<'a>(expressions: impl Iterator<Item = &'a str>) -> Vec<i128> {
    let mut source = format!("{INCLUDES}\nint main(void) {{\n");
    for expression in expressions {
        let _ = writeln!(source, "printf(\"%lld\\n\", (long long)({expression}));");
    }
    source += "return 0; }\n";
    let dir = tempfile::tempdir().unwrap();
    let (file, program) = (dir.path().join("a.c"), dir.path().join("a"));
    std::fs::write(&file, source).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "gcc".into());
    let output = Command::new(compiler)
        .args(["-w", "-I", env!("SEL4_SYS_INCLUDE"), "-o"])
        .arg(&program)
        .arg(&file)
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let output = Command::new(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn check(expected: &[(&str, i128)]) {
    let values = c_values(expected.iter().map(|(expression, _)| *expression));
    assert_eq!(values.len(), expected.len());
    for ((expression, ours), c) in expected.iter().zip(values) {
        // C prints 64-bit words as signed.
        assert_eq!(*ours as i64, c as i64, "{expression}");
    }
}

#[test]
fn every_number_is_the_one_that_c_sees() {
    for needed in [
        "seL4_TCBBits",
        "seL4_X86_4K",
        "UntypedRetype",
        "X86PageRemap",
        "seL4_SysNBRecv",
    ] {
        assert!(NUMBERS.iter().any(|(name, _)| *name == needed), "{needed}");
    }
    check(NUMBERS);
}

#[test]
fn structures_have_the_layout_that_c_gives_them() {
    macro_rules! layout {
        ($($ty:ident { $($field:ident)* })*) => {
            &[$(
                (concat!("sizeof(", stringify!($ty), ")"), size_of::<$ty>() as i128),
                $((
                    concat!("offsetof(", stringify!($ty), ", ", stringify!($field), ")"),
                    offset_of!($ty, $field) as i128,
                ),)*
            )*]
        };
    }
    check(layout! {
        seL4_IPCBuffer { tag msg userData caps_or_badges receiveCNode receiveIndex receiveDepth }
        seL4_UserContext { rip rsp rflags rax rdi rbp r8 r15 tls_base }
        seL4_BootInfo {
            extraLen ipcBuffer empty sharedFrames userImageFrames userImagePaging extraBIPages
            initThreadCNodeSizeBits initThreadDomain archInfo untyped untypedList
        }
        seL4_UntypedDesc { paddr sizeBits isDevice }
        seL4_SlotRegion { start end }
        seL4_BootInfoHeader { id len }
        seL4_X86_BootInfo_VBE { vbeInfoBlock vbeModeInfoBlock vbeMode vbeInterfaceLen }
    });
}

#[test]
fn bit_fields_have_the_bits_that_c_gives_them() {
    let word = |words: [seL4_Word; 1]| words[0].into();
    let mut fault = vec![
        (
            "seL4_MessageInfo_new(0xabcde, 5, 2, 100).words[0]".to_owned(),
            word(seL4_MessageInfo::new(0xabcde, 5, 2, 100).into_words()),
        ),
        (
            "seL4_CapRights_new(1, 0, 1).words[0]".to_owned(),
            word(seL4_CapRights::new(1, 0, 1).into_words()),
        ),
        (
            "seL4_PrioProps_new(200, 100).words[0]".to_owned(),
            word(seL4_PrioProps::new(200, 100).into_words()),
        ),
        (
            "seL4_CapData_Guard_new(0x2aaaa, 44).words[0]".to_owned(),
            word(seL4_CapData_Guard::new(0x2aaaa, 44).into_words()),
        ),
        (
            "seL4_CapData_Badge_new(0xabcdef1).words[0]".to_owned(),
            word(seL4_CapData_Badge::new(0xabcdef1).into_words()),
        ),
    ];
    let ours = seL4_Fault_VMFault::new(1 << 63, 2, 3, 4).into_words();
    for (i, word) in ours.into_iter().enumerate() {
        let expression = format!("seL4_Fault_VMFault_new(1ull << 63, 2, 3, 4).words[{i}]");
        fault.push((expression, word.into()));
    }
    let ours = seL4_Fault_CapFault::new(1, 2, 3, 4, 5, 6, 7).into_words();
    for (i, word) in ours.into_iter().enumerate() {
        let expression = format!("seL4_Fault_CapFault_new(1, 2, 3, 4, 5, 6, 7).words[{i}]");
        fault.push((expression, word.into()));
    }
    let borrowed: Vec<_> = fault.iter().map(|(e, v)| (e.as_str(), *v)).collect();
    check(&borrowed);
}

#[test]
fn fields_read_back_what_was_put_in() {
    let mut info = seL4_MessageInfo::new(1, 0, 0, 2);
    info.set_length(120);
    info.set_label(0xfffff);
    assert_eq!((info.get_label(), info.get_length()), (0xfffff, 120));
    assert_eq!((info.get_extraCaps(), info.get_capsUnwrapped()), (0, 0));
}

#[test]
fn unions_splay_by_their_tag() {
    let fault = seL4_Fault::from(seL4_Fault_UserException::new(1, 2, 3, 4, 5));
    let Some(seL4_Fault_Splayed::UserException(inner)) = fault.splay() else {
        panic!("{fault:?}");
    };
    assert_eq!(inner.get_Number(), 4);
    let mut words = [0; 20];
    words[0] = 7;
    assert_eq!(seL4_Fault::from_words(words).splay(), None);
}
