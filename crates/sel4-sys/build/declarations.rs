// SPDX-License-Identifier: BSD-2-Clause
//! Constants, structures and type names of libsel4's C headers.

use std::collections::HashSet;
use std::fmt::Write as _;

use sel4_prefix::c::{CEnum, CType, Header};
use sel4_prefix::interface::Struct;

/// The Rust type of a C type's name.
pub fn rust_type(name: &str, bitfields: &HashSet<String>) -> String {
    let primitive = match name {
        "char" | "unsigned char" => "u8",
        "signed char" => "i8",
        "short" | "signed short" => "i16",
        "unsigned short" => "u16",
        "int" | "signed int" => "i32",
        "unsigned int" => "u32",
        "long" | "signed long" => "i64",
        "unsigned long" => "u64",
        _ => {
            let name = name.strip_prefix("struct ").unwrap_or(name);
            return match name.strip_suffix("_t") {
                Some(base) if bitfields.contains(base) => base.to_owned(),
                _ => name.to_owned(),
            };
        }
    };
    primitive.to_owned()
}

/// All declarations. Structures that invocations pass also get a view as words.
pub fn generate(header: &Header, passed: &[Struct], bitfields: &HashSet<String>) -> String {
    let mut out = String::new();
    let structs: HashSet<&str> = header.structs.iter().map(|s| s.name.as_str()).collect();
    for typedef in &header.typedefs {
        let CType::Name(ty) = &typedef.ty else {
            continue;
        };
        let ty = rust_type(ty, bitfields);
        let is_bitfield = typedef
            .name
            .strip_suffix("_t")
            .is_some_and(|b| bitfields.contains(b));
        let is_enum = ty.starts_with("enum ");
        if !is_bitfield && !is_enum && !structs.contains(typedef.name.as_str()) {
            let _ = writeln!(
                out,
                "/// libsel4's type of this name.\npub type {} = {ty};",
                typedef.name
            );
        }
    }
    let mut seen = HashSet::new();
    for declared in &header.enums {
        generate_enum(&mut out, declared, &mut seen);
    }
    for (name, value) in &header.macros {
        // Placeholders for object types that the configuration lacks are no constants.
        if *value >= 0 && !name.ends_with("Object") && seen.insert(name.clone()) {
            let ty = if u32::try_from(*value).is_ok() {
                "u32"
            } else {
                "u64"
            };
            let _ = writeln!(
                out,
                "/// libsel4's constant of this name.\npub const {name}: {ty} = {value};"
            );
        }
    }
    for declared in &header.structs {
        if declared.fields.iter().any(|f| f.name == "words") {
            continue; // a bit field
        }
        let name = &declared.name;
        let packed = if declared.packed { ", packed" } else { "" };
        let _ = writeln!(
            out,
            "/// libsel4's structure of this name.\n#[repr(C{packed})]\n\
             #[derive(Debug, Clone, Copy, PartialEq, Eq)]\npub struct {name} {{"
        );
        for field in &declared.fields {
            let ty = match &field.ty {
                CType::Name(ty) => rust_type(ty, bitfields),
                CType::Pointer(ty) => format!("*mut {}", rust_type(ty, bitfields)),
            };
            let ty = match field.length {
                Some(n) => format!("[{ty}; {n}]"),
                None => ty,
            };
            let _ = writeln!(out, "/// Member of this name.\npub {}: {ty},", field.name);
        }
        let _ = writeln!(
            out,
            "}}\nimpl Default for {name} {{ fn default() -> Self {{\n\
             // SAFETY: integers, pointers and arrays of them, for all of which zero is a value.\n\
             unsafe {{ core::mem::zeroed() }} }} }}"
        );
        if let Some(passed) = passed.iter().find(|p| p.name == *name) {
            let n = passed.members.len();
            let _ = writeln!(
                out,
                "const _: () = assert!(size_of::<{name}>() == {n} * size_of::<seL4_Word>());\n\
                 impl {name} {{\n\
                 /// The number of members, each a word.\npub const WORDS: usize = {n};\n\
                 /// The members in message order.\n#[inline(always)] pub const fn words(&self) -> &[seL4_Word; {n}] {{\n\
                 // SAFETY: `repr(C)`, words only, of the size asserted above.\n\
                 unsafe {{ &*core::ptr::from_ref(self).cast() }} }}\n\
                 /// The members in message order.\n#[inline(always)] pub const fn words_mut(&mut self) -> &mut [seL4_Word; {n}] {{\n\
                 // SAFETY: as above.\n\
                 unsafe {{ &mut *core::ptr::from_mut(self).cast() }} }}\n}}"
            );
        }
    }
    out
}

/// A module with the enumerators, if the enumeration has a name, and each of them by itself.
fn generate_enum(out: &mut String, declared: &CEnum, seen: &mut HashSet<String>) {
    let name = declared.name.as_deref();
    // These come from their sources: the interface definitions and bit fields.
    if name.is_some_and(|n| n.ends_with("_tag") || n == "seL4_Syscall_ID") {
        return;
    }
    let negative = declared.constants.iter().any(|(_, value)| *value < 0);
    let ty = match (negative, declared.long) {
        (true, _) => "i32",
        (false, true) => "u64",
        (false, false) => "u32",
    };
    if let Some(name) = name {
        let _ = writeln!(
            out,
            "/// libsel4's enumeration of this name.\npub mod {name} {{\n/// The type of its values.\npub type Type = {ty};"
        );
        for (constant, value) in &declared.constants {
            let _ = writeln!(
                out,
                "/// Enumerator.\npub const {constant}: Type = {value};"
            );
        }
        let _ = writeln!(out, "}}");
    }
    for (constant, value) in &declared.constants {
        if seen.insert(constant.clone()) {
            let _ = writeln!(
                out,
                "/// libsel4's enumerator of this name.\npub const {constant}: {ty} = {value};"
            );
        }
    }
}
