// SPDX-License-Identifier: BSD-2-Clause
//! A method of `seL4_IPCBuffer` for each invocation, as libsel4's stub generator makes C functions.
//!
//! The first four message words travel in registers, further ones and all capabilities in the IPC
//! buffer. Parameters are packed in order, each aligned to its own size or a word. Where a method
//! has a `count` beside a structure, only so many of its words travel.

use std::collections::HashSet;
use std::fmt::Write as _;

use sel4_prefix::c::{CType, Header};
use sel4_prefix::interface::{Interfaces, Method, Param};

use crate::declarations::rust_type;

const WORD: usize = 64;
/// Message registers of x86_64, as `MESSAGE_REGISTERS_FOR_ARCH` has it.
const REGISTERS: usize = 4;

enum Kind {
    Capability,
    /// Width in bits and the Rust type.
    Integer(usize, String),
    Bool,
    Bitfield,
    /// Number of words.
    Struct(usize),
}

struct Types<'a> {
    interfaces: &'a Interfaces,
    header: &'a Header,
    bitfields: &'a HashSet<String>,
}

impl Types<'_> {
    fn kind(&self, name: &str) -> Result<Kind, String> {
        if let Some(s) = self.interfaces.structs.iter().find(|s| s.name == name) {
            return Ok(Kind::Struct(s.members.len()));
        }
        if name
            .strip_suffix("_t")
            .is_some_and(|b| self.bitfields.contains(b))
        {
            return Ok(Kind::Bitfield);
        }
        if self
            .header
            .enums
            .iter()
            .any(|e| e.name.as_deref() == Some(name))
        {
            return Ok(Kind::Integer(WORD, format!("{name}::Type")));
        }
        // Follow the type name down to what it stands for: a capability if `seL4_CPtr` is on the
        // way, else an integer.
        let mut current = name.to_owned();
        loop {
            match current.as_str() {
                "seL4_CPtr" => return Ok(Kind::Capability),
                "seL4_Bool" => return Ok(Kind::Bool),
                _ => {}
            }
            let primitive = rust_type(&current, self.bitfields);
            let bits = match primitive.as_str() {
                "u8" | "i8" => 8,
                "u16" | "i16" => 16,
                "u32" | "i32" => 32,
                "u64" | "i64" => 64,
                _ => 0,
            };
            if bits != 0 {
                return Ok(Kind::Integer(bits, primitive));
            }
            let next = self.header.typedefs.iter().find(|t| t.name == current);
            match next.map(|t| &t.ty) {
                Some(CType::Name(ty)) => current.clone_from(ty),
                _ => return Err(format!("parameter type {name} is not known")),
            }
        }
    }
}

/// Generates all methods.
pub fn generate(
    interfaces: &Interfaces,
    header: &Header,
    bitfields: &HashSet<String>,
) -> Result<String, String> {
    let types = Types {
        interfaces,
        header,
        bitfields,
    };
    let mut results = String::new();
    let mut methods = String::new();
    for method in &interfaces.methods {
        generate_method(&mut results, &mut methods, method, &types)
            .map_err(|e| format!("{}_{}: {e}", method.interface, method.name))?;
    }
    Ok(format!(
        "{results}\nimpl seL4_IPCBuffer {{\n{methods}\n}}\n"
    ))
}

fn ident(name: &str) -> String {
    match name {
        "type" | "in" | "ref" | "move" | "match" | "loop" | "fn" | "use" | "box" => {
            format!("r#{name}")
        }
        _ => name.to_owned(),
    }
}

/// Places values of given sizes in a message.
#[derive(Default)]
struct Layout(usize);

impl Layout {
    /// The first bit of the next value.
    fn place(&mut self, bits: usize) -> usize {
        let start = self.0.next_multiple_of(bits.min(WORD));
        self.0 = start + bits;
        start
    }

    fn words(&self) -> usize {
        self.0.div_ceil(WORD)
    }
}

fn generate_method(
    results: &mut String,
    methods: &mut String,
    method: &Method,
    types: &Types,
) -> Result<(), String> {
    let function = format!("{}_{}", method.interface, method.name);
    let has_count = method.params.iter().any(|p| p.name == "count" && !p.out);
    let (outs, ins): (Vec<&Param>, Vec<&Param>) = method.params.iter().partition(|p| p.out);

    let mut signature = String::from("&mut self, service: seL4_CPtr");
    let mut caps = Vec::new();
    // For each message word the expressions that are or-ed into it.
    let mut words: Vec<Vec<String>> = Vec::new();
    // At the end of the message, a structure of which `count` words travel.
    let mut tail: Option<(String, usize, usize)> = None;
    let mut layout = Layout::default();
    for param in &ins {
        let name = ident(&param.name);
        if tail.is_some() {
            return Err("a parameter follows a structure".into());
        }
        let (ty, bits, value) = match types.kind(&param.ty)? {
            Kind::Capability => {
                let _ = write!(signature, ", {name}: seL4_CPtr");
                caps.push(name);
                continue;
            }
            Kind::Integer(bits, ty) => {
                // Through the unsigned type of its size, so that no sign spills over.
                let value = if bits == WORD {
                    format!("{name} as u64")
                } else {
                    format!("u64::from({name} as u{bits})")
                };
                (ty, bits, value)
            }
            Kind::Bool => ("bool".to_owned(), 1, format!("u64::from({name})")),
            Kind::Bitfield => (
                rust_type(&param.ty, types.bitfields),
                WORD,
                format!("{name}.into_words()[0]"),
            ),
            Kind::Struct(n) => {
                let start = layout.place(n * WORD) / WORD;
                let _ = write!(signature, ", {name}: &{}", param.ty);
                tail = Some((name, start, n));
                continue;
            }
        };
        let start = layout.place(bits);
        words.resize_with(layout.words(), Vec::new);
        let shifted = match start % WORD {
            0 => value,
            shift => format!("({value} << {shift})"),
        };
        words[start / WORD].push(shifted);
        let _ = write!(signature, ", {name}: {ty}");
    }

    let mut by_value = String::new();
    let mut unpack = String::new();
    let mut out_layout = Layout::default();
    let source = |word: usize| {
        if word < REGISTERS {
            format!("mrs[{word}]")
        } else {
            format!("self.msg[{word}]")
        }
    };
    for param in &outs {
        let name = ident(&param.name);
        match types.kind(&param.ty)? {
            Kind::Struct(n) => {
                let start = out_layout.place(n * WORD) / WORD;
                let count = if has_count {
                    format!("(count as usize).min({n})")
                } else {
                    n.to_string()
                };
                let _ = write!(signature, ", {name}: &mut {}", param.ty);
                let _ = writeln!(
                    unpack,
                    "for i in 0..{count} {{ let at = i + {start}; {name}.words_mut()[i] = if at < {REGISTERS} {{ mrs[at] }} else {{ self.msg[at] }}; }}"
                );
            }
            Kind::Integer(bits, ty) => {
                let start = out_layout.place(bits);
                let _ = writeln!(by_value, "/// Result of this name.\npub {name}: {ty},");
                let _ = writeln!(
                    unpack,
                    "ret.{name} = ({} >> {}) as {ty};",
                    source(start / WORD),
                    start % WORD
                );
            }
            _ => {
                return Err(format!(
                    "result {} has a type that is not supported",
                    param.name
                ));
            }
        }
    }

    let ret = if by_value.is_empty() {
        "seL4_Error::Type".to_owned()
    } else {
        let _ = writeln!(
            results,
            "/// Result of [`seL4_IPCBuffer::{function}`].\n#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]\n\
             pub struct {function}_ret {{\n/// `seL4_NoError`, or what went wrong.\npub error: seL4_Error::Type,\n{by_value}}}"
        );
        format!("{function}_ret")
    };

    let _ = writeln!(
        methods,
        "/// Corresponds to `{function}`.\n#[inline]\npub fn {function}({signature}) -> {ret} {{\nlet mut mrs = [0; {REGISTERS}];"
    );
    for (i, cap) in caps.iter().enumerate() {
        let _ = writeln!(methods, "self.caps_or_badges[{i}] = {cap};");
    }
    for (i, parts) in words.iter().enumerate() {
        let target = if i < REGISTERS {
            format!("mrs[{i}]")
        } else {
            format!("self.msg[{i}]")
        };
        let _ = writeln!(methods, "{target} = {};", parts.join(" | "));
    }
    let mut length = words.len().to_string();
    if let Some((name, start, n)) = tail {
        let count = if has_count {
            format!("(count as usize).min({n})")
        } else {
            n.to_string()
        };
        let _ = writeln!(
            methods,
            "let words = {count};\n\
             for i in 0..words {{ let at = i + {start}; let value = {name}.words()[i];\n\
             if at < {REGISTERS} {{ mrs[at] = value }} else {{ self.msg[at] = value }} }}"
        );
        length = format!("{start} + words as seL4_Word");
    }
    let _ = writeln!(
        methods,
        "let tag = seL4_MessageInfo::new(invocation_label::{} as seL4_Word, 0, {}, {length});\n\
         let (error, mrs) = self.invoke(service, tag, mrs);",
        method.id,
        caps.len()
    );
    if by_value.is_empty() && unpack.is_empty() {
        let _ = writeln!(methods, "let _ = mrs;\nerror\n}}");
    } else if by_value.is_empty() {
        let _ = writeln!(
            methods,
            "if error == seL4_Error::seL4_NoError {{\n{unpack}}}\nerror\n}}"
        );
    } else {
        let _ = writeln!(
            methods,
            "let mut ret = {function}_ret {{ error, ..Default::default() }};\n\
             if error == seL4_Error::seL4_NoError {{\n{unpack}}}\nret\n}}"
        );
    }
    Ok(())
}
