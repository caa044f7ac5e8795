// SPDX-License-Identifier: BSD-2-Clause
//! seL4's bit-field definitions (`.bf` files after the C preprocessor, `.pbf`).
//!
//! A *block* lists its fields from the most significant bit down; a *tagged union* names blocks
//! that share a tag field. `field_high` fields store an address without its low bits; libsel4's
//! files have none, so here they are an error rather than a wrong accessor.

use thiserror::Error;

/// A field of a [`Block`]: bits `offset .. offset + width`, counted from bit 0 of word 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name in the definition.
    pub name: String,
    /// The lowest bit.
    pub offset: usize,
    /// The number of bits, 1 to the size of a word.
    pub width: usize,
}

/// A packed structure of whole words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The name in the definition.
    pub name: String,
    /// The size in words.
    pub words: usize,
    /// The fields, in the order of the definition: most significant first.
    pub fields: Vec<Field>,
}

/// A set of blocks told apart by a tag field at the same place in each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaggedUnion {
    /// The name in the definition.
    pub name: String,
    /// The tag field's name in every member.
    pub tag: String,
    /// Members: block name and tag value.
    pub members: Vec<(String, u64)>,
}

/// What a file defines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Definitions {
    /// The word size in bits that the file declares.
    pub base: usize,
    /// The blocks, those that belong to a union included.
    pub blocks: Vec<Block>,
    /// The tagged unions.
    pub unions: Vec<TaggedUnion>,
}

/// Why a definition was refused, with the offending word.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BitfieldError {
    /// The text ends in the middle of a definition.
    #[error("the text ends within a definition")]
    End,
    /// Something else was expected here.
    #[error("expected {expected}, found `{found}`")]
    Unexpected {
        /// What the grammar allows.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A block's fields do not fill whole words, or a field crosses a word boundary.
    #[error("block {0}: its fields do not fill whole words")]
    Shape(String),
    /// A union names a block without its tag field, or one that does not exist.
    #[error("tagged_union {0}: its members do not share the tag field")]
    Union(String),
}

/// Parses a preprocessed bit-field file.
///
/// # Errors
/// [`BitfieldError`]: nothing is skipped silently.
pub fn parse(text: &str) -> Result<Definitions, BitfieldError> {
    let spaced: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .map(|line| line.split("--").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
        .replace('{', " { ")
        .replace('}', " } ")
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace(',', " ");
    let mut tokens = Tokens(spaced.split_whitespace());
    let mut out = Definitions::default();
    while let Some(word) = tokens.0.next() {
        match word {
            "base" => {
                out.base = tokens.number()?;
                if out.base == 0 || out.base > 64 {
                    return Err(unexpected("a word size up to 64", out.base));
                }
            }
            "block" => out.blocks.push(tokens.block(out.base)?),
            "tagged_union" => out.unions.push(tokens.tagged_union()?),
            _ => return Err(unexpected("base, block or tagged_union", word)),
        }
    }
    for union in &out.unions {
        let mut tags = union.members.iter().map(|(member, _)| {
            let block = out.blocks.iter().find(|b| b.name == *member)?;
            let field = block.fields.iter().find(|f| f.name == union.tag)?;
            Some((field.offset, field.width))
        });
        let first = tags.next().flatten();
        if first.is_none() || !tags.all(|tag| tag == first) {
            return Err(BitfieldError::Union(union.name.clone()));
        }
    }
    Ok(out)
}

fn unexpected(expected: &'static str, found: impl ToString) -> BitfieldError {
    BitfieldError::Unexpected {
        expected,
        found: found.to_string(),
    }
}

struct Tokens<'a>(std::str::SplitWhitespace<'a>);

impl Tokens<'_> {
    fn word(&mut self) -> Result<&str, BitfieldError> {
        self.0.next().ok_or(BitfieldError::End)
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, BitfieldError> {
        let word = self.word()?;
        word.parse().map_err(|_| unexpected("a number", word))
    }

    fn open(&mut self) -> Result<(), BitfieldError> {
        // A block may be followed by a list that gives the order of its constructor's arguments;
        // the bindings keep the order of the definition, which is that of libsel4's blocks.
        match self.word()? {
            "{" => Ok(()),
            "(" => {
                while self.word()? != ")" {}
                self.open()
            }
            other => Err(unexpected("`{`", other)),
        }
    }

    fn block(&mut self, base: usize) -> Result<Block, BitfieldError> {
        let name = self.word()?.to_owned();
        let shape = || BitfieldError::Shape(name.clone());
        self.open()?;
        let mut parts = Vec::new();
        loop {
            match self.word()? {
                "}" => break,
                "padding" => parts.push((None, self.number::<usize>()?)),
                "field" => {
                    let field = self.word()?.to_owned();
                    parts.push((Some(field), self.number::<usize>()?));
                }
                other => return Err(unexpected("field, padding or `}`", other)),
            }
        }
        let total = parts
            .iter()
            .try_fold(0usize, |sum, (_, width)| sum.checked_add(*width))
            .ok_or_else(shape)?;
        if base == 0 || total == 0 || !total.is_multiple_of(base) {
            return Err(shape());
        }
        let mut offset = total;
        let mut fields = Vec::new();
        for (field, width) in parts {
            offset -= width;
            if let Some(field) = field {
                if width == 0 || offset % base + width > base {
                    return Err(shape());
                }
                fields.push(Field {
                    name: field,
                    offset,
                    width,
                });
            }
        }
        Ok(Block {
            words: total / base,
            name,
            fields,
        })
    }

    fn tagged_union(&mut self) -> Result<TaggedUnion, BitfieldError> {
        let name = self.word()?.to_owned();
        let tag = self.word()?.to_owned();
        self.open()?;
        let mut members = Vec::new();
        loop {
            match self.word()? {
                "}" => break,
                "tag" => {
                    let member = self.word()?.to_owned();
                    members.push((member, self.number()?));
                }
                other => return Err(unexpected("tag or `}`", other)),
            }
        }
        Ok(TaggedUnion { name, tag, members })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLE: &str = "
        -- a comment, even with block { in it
        base 64
        block Info {
            padding 32
            field label 20
            field caps 5
            field length 7
        }
        block Small { padding 120 field value 4 padding 1 field kind 3 }
        block Big(value, kind) { field value 64 padding 61 field kind 3 }
        tagged_union Either kind { tag Small 0 tag Big 5 }";

    #[test]
    fn offsets_count_from_the_last_field() {
        let defs = parse(SAMPLE).unwrap();
        let info = &defs.blocks[0];
        assert_eq!(info.words, 1);
        let at = |i: usize| (info.fields[i].offset, info.fields[i].width);
        assert_eq!((at(0), at(1), at(2)), ((12, 20), (7, 5), (0, 7)));
    }

    #[test]
    fn the_last_field_of_a_long_block_is_in_word_zero() {
        let defs = parse(SAMPLE).unwrap();
        let big = defs.blocks.iter().find(|b| b.name == "Big").unwrap();
        assert_eq!(big.words, 2);
        assert_eq!(big.fields[0].offset, 64);
        assert_eq!(big.fields[1].offset, 0);
    }

    #[test]
    fn unions_keep_their_tags() {
        let defs = parse(SAMPLE).unwrap();
        assert_eq!(
            defs.unions[0].members,
            [("Small".to_owned(), 0), ("Big".to_owned(), 5)]
        );
    }

    #[test]
    fn fields_that_do_not_fill_words_are_refused() {
        for text in [
            "base 64 block A { field a 63 }",
            "base 64 block A { field a 40 field b 60 padding 28 }",
            "base 64 block A { }",
            "block A { field a 64 }",
            "base 64 block A { field a 0 padding 64 }",
        ] {
            assert_eq!(parse(text), Err(BitfieldError::Shape("A".into())), "{text}");
        }
    }

    #[test]
    fn unions_of_unlike_blocks_are_refused() {
        let text = "base 64 block A { field a 64 } tagged_union U a { tag A 0 tag B 1 }";
        assert_eq!(parse(text), Err(BitfieldError::Union("U".into())));
    }

    #[test]
    fn field_high_is_refused() {
        assert!(parse("base 64 block A { field_high a 48 padding 16 }").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[a-z0-9{}() \\-\n]{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn fields_of_a_block_never_overlap(widths in prop::collection::vec(1usize..=64, 1..20)) {
            let mut text = String::from("base 64 block A {");
            let mut used = 0;
            for (i, width) in widths.iter().enumerate() {
                // Fields are laid out from the top: fill up the word when one would cross.
                if used % 64 + width > 64 {
                    text += &format!(" padding {}", 64 - used % 64);
                    used += 64 - used % 64;
                }
                text += &format!(" field f{i} {width}");
                used += width;
            }
            if used % 64 != 0 {
                text += &format!(" padding {}", 64 - used % 64);
            }
            text += " }";
            let block = parse(&text).unwrap().blocks.remove(0);
            prop_assert_eq!(block.fields.len(), widths.len());
            for pair in block.fields.windows(2) {
                prop_assert!(pair[1].offset + pair[1].width <= pair[0].offset);
            }
        }
    }
}
