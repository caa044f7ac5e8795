// SPDX-License-Identifier: BSD-2-Clause
//! Accessors for seL4's bit fields.

use std::collections::HashSet;
use std::fmt::Write as _;

use sel4_prefix::bitfield::{Block, Definitions, TaggedUnion};

/// The names of all types that [`generate`] makes and that C functions take, without `_t`.
pub fn type_names(definitions: &Definitions) -> HashSet<String> {
    let unions = definitions.unions.iter().map(|u| u.name.clone());
    let blocks = definitions.blocks.iter().map(|b| b.name.clone());
    unions.chain(blocks).collect()
}

/// One Rust type for each block and union, and `X_t`, as C calls it, for each `X`.
pub fn generate(definitions: &Definitions) -> String {
    let mut out = String::new();
    for block in &definitions.blocks {
        let union = definitions
            .unions
            .iter()
            .find_map(|u| Some((u, u.members.iter().find(|(m, _)| *m == block.name)?.1)));
        generate_block(&mut out, block, union);
    }
    for union in &definitions.unions {
        generate_union(&mut out, union, definitions);
    }
    out
}

fn generate_block(out: &mut String, block: &Block, union: Option<(&TaggedUnion, u64)>) {
    let name = match union {
        Some((union, _)) => format!("{}_{}", union.name, block.name),
        None => block.name.clone(),
    };
    let is_tag = |field: &str| union.is_some_and(|(u, _)| u.tag == field);
    let arguments: Vec<_> = block.fields.iter().filter(|f| !is_tag(&f.name)).collect();
    type_definition(out, &name, block.words);

    let _ = writeln!(out, "impl {name} {{");
    let list = |f: &dyn Fn(&str) -> String| {
        let parts: Vec<_> = arguments.iter().map(|a| f(&a.name)).collect();
        parts.join(", ")
    };
    let _ = writeln!(
        out,
        "/// All fields; bits that do not fit are dropped, which a debug build asserts.\n\
         #[inline(always)] pub const fn new({}) -> Self {{\n\
         #[allow(unused_mut)] let mut this = Self {{ words: [0; {}] }};",
        list(&|a| format!("{a}: seL4_Word")),
        block.words
    );
    for field in &arguments {
        let _ = writeln!(out, "this.set_{0}({0});", field.name);
    }
    if let Some((union, tag)) = union {
        let _ = writeln!(out, "this.set_{}({tag});", union.tag);
    }
    let _ = writeln!(out, "this }}");
    for field in &block.fields {
        let (word, shift, width) = (field.offset / 64, field.offset % 64, field.width);
        let mask = if width == 64 {
            "u64::MAX".to_owned()
        } else {
            format!("{:#x}", (1u64 << width) - 1)
        };
        let _ = writeln!(
            out,
            "/// The width of the field in bits.\n\
             pub const fn width_of_{0}() -> usize {{ {width} }}\n\
             /// The field's value.\n\
             #[inline(always)] pub const fn get_{0}(&self) -> seL4_Word {{ (self.words[{word}] >> {shift}) & {mask} }}\n\
             /// Replaces the field; bits that do not fit are dropped, which a debug build asserts.\n\
             #[inline(always)] pub const fn set_{0}(&mut self, value: seL4_Word) {{\n\
             debug_assert!(value <= {mask}, \"value does not fit into field {0}\");\n\
             self.words[{word}] = (self.words[{word}] & !({mask} << {shift})) | ((value & {mask}) << {shift}); }}",
            field.name
        );
    }
    let _ = writeln!(
        out,
        "}}\nimpl core::fmt::Debug for {name} {{\n\
         fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {{\n\
         f.debug_struct(\"{name}\")"
    );
    for field in &arguments {
        let _ = writeln!(
            out,
            ".field(\"{0}\", &format_args!(\"{{:#x}}\", self.get_{0}()))",
            field.name
        );
    }
    let _ = writeln!(out, ".finish() }} }}");
}

fn generate_union(out: &mut String, union: &TaggedUnion, definitions: &Definitions) {
    let name = &union.name;
    let member = |block: &str| definitions.blocks.iter().find(|b| b.name == block);
    let Some(first) = union.members.first().and_then(|(block, _)| member(block)) else {
        return;
    };
    let Some(tag) = first.fields.iter().find(|f| f.name == union.tag) else {
        return;
    };
    let words = first.words;
    type_definition(out, name, words);

    let _ = writeln!(out, "/// Tags of [`{name}`].\npub mod {name}_tag {{");
    for (block, value) in &union.members {
        let _ = writeln!(
            out,
            "/// Tag of `{name}_{block}`.\npub const {name}_{block}: u64 = {value};"
        );
    }
    let _ = writeln!(
        out,
        "}}\n/// [`{name}`] by tag.\n#[derive(Debug, Clone, Copy, PartialEq, Eq)]\npub enum {name}_Splayed {{"
    );
    for (block, _) in &union.members {
        let _ = writeln!(out, "/// Tag `{name}_{block}`.\n{block}({name}_{block}),");
    }
    let mask = (1u64 << tag.width) - 1;
    let _ = writeln!(
        out,
        "}}\nimpl {name} {{\n/// The tag.\n#[inline(always)] pub const fn get_tag(&self) -> u64 {{ (self.words[{}] >> {}) & {mask:#x} }}\n\
         /// The member that the tag names, if there is one.\n\
         pub const fn splay(self) -> Option<{name}_Splayed> {{ Some(match self.get_tag() {{",
        tag.offset / 64,
        tag.offset % 64
    );
    for (block, value) in &union.members {
        let _ = writeln!(
            out,
            "{value} => {name}_Splayed::{block}({name}_{block} {{ words: self.words }}),"
        );
    }
    let _ = writeln!(
        out,
        "_ => return None, }}) }} }}\n\
         impl core::fmt::Debug for {name} {{\n\
         fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {{\n\
         match self.splay() {{ Some(member) => member.fmt(f), None => self.words.fmt(f) }} }} }}"
    );
    for (block, _) in &union.members {
        let _ = writeln!(
            out,
            "impl From<{name}_{block}> for {name} {{ #[inline(always)] fn from(member: {name}_{block}) -> Self {{ Self {{ words: member.words }} }} }}"
        );
    }
}

fn type_definition(out: &mut String, name: &str, words: usize) {
    let _ = writeln!(
        out,
        "/// libsel4's bit field of this name.\n\
         #[repr(transparent)]\n#[derive(Clone, Copy, PartialEq, Eq)]\n\
         pub struct {name} {{ words: [seL4_Word; {words}] }}\n\
         /// As C calls [`{name}`].\npub type {name}_t = {name};\n\
         impl {name} {{\n\
         /// From its words, lowest first.\n#[inline(always)] pub const fn from_words(words: [seL4_Word; {words}]) -> Self {{ Self {{ words }} }}\n\
         /// Its words, lowest first.\n#[inline(always)] pub const fn into_words(self) -> [seL4_Word; {words}] {{ self.words }}\n\
         }}\n\
         impl Default for {name} {{ fn default() -> Self {{ Self {{ words: [0; {words}] }} }} }}"
    );
}
