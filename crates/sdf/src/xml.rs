// SPDX-License-Identifier: BSD-2-Clause
//! XML elements with the checks that all of them have in common, and their place in the file.

use std::ops::RangeInclusive;

use roxmltree::{Node, NodeType};

use crate::error::{Mistake, SdfError};

/// The text of a description. Places in it are byte offsets, from which line and column are counted
/// only when there is something to report.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub file: String,
    pub text: String,
}

impl Source {
    /// Line and column, from 1, of a byte offset.
    fn locate(&self, at: usize) -> (u32, u32) {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line as u32, column as u32)
    }

    /// Line, from 1, of a byte offset.
    pub fn line(&self, at: usize) -> u32 {
        self.locate(at).0
    }

    pub fn error(&self, at: usize, element: &str, mistake: Mistake) -> SdfError {
        let (line, column) = self.locate(at);
        SdfError {
            file: self.file.clone(),
            line,
            column,
            element: Some(element.into()),
            mistake: Box::new(mistake),
        }
    }
}

/// Elements of Microkit's format that this system does not have, anywhere.
const UNSUPPORTED: &[(&str, &str)] = &[
    (
        "virtual_machine",
        "a virtual machine is created at run time",
    ),
    (
        "cspace",
        "a domain gets its capabilities from channels and from the IC manager",
    ),
    (
        "io_address_space",
        "the default kernel is built without IOMMU",
    ),
    (
        "domains",
        "the default kernel is built with a single scheduling domain",
    ),
];

/// An element of a description.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a> {
    node: Node<'a, 'a>,
    source: &'a Source,
}

impl<'a> Element<'a> {
    pub fn new(node: Node<'a, 'a>, source: &'a Source) -> Self {
        Self { node, source }
    }

    pub fn source(&self) -> &'a Source {
        self.source
    }

    /// The name, without name space: there are none in the format, and
    /// [`children`](Self::children) refuses elements that have one.
    pub fn name(&self) -> &'a str {
        self.node.tag_name().name()
    }

    pub fn is(&self, name: &str) -> bool {
        self.node.has_tag_name(name) && self.node.tag_name().namespace().is_none()
    }

    pub fn at(&self) -> usize {
        self.node.range().start
    }

    /// Where an attribute stands; where the element stands if it does not have it.
    pub fn at_attribute(&self, name: &str) -> usize {
        self.node
            .attribute_node(name)
            .map_or(self.at(), |attribute| attribute.range().start)
    }

    pub fn error(&self, mistake: Mistake) -> SdfError {
        self.source.error(self.at(), self.name(), mistake)
    }

    pub fn error_at(&self, attribute: &str, mistake: Mistake) -> SdfError {
        self.source
            .error(self.at_attribute(attribute), self.name(), mistake)
    }

    /// Refuses attributes that are not among `known`.
    pub fn attributes(&self, known: &'static [&'static str]) -> Result<(), SdfError> {
        for attribute in self.node.attributes() {
            if attribute.namespace().is_some() || !known.contains(&attribute.name()) {
                let mistake = Mistake::UnknownAttribute {
                    name: attribute.name().into(),
                    known,
                };
                return Err(self
                    .source
                    .error(attribute.range().start, self.name(), mistake));
            }
        }
        Ok(())
    }

    /// The elements inside, all among `known`. `parent` is this element's own name.
    pub fn children(
        &self,
        parent: &'static str,
        known: &'static [&'static str],
    ) -> Result<Vec<Element<'a>>, SdfError> {
        let mut children = Vec::new();
        for node in self.node.children() {
            let child = Element {
                node,
                source: self.source,
            };
            match node.node_type() {
                NodeType::Element if known.iter().any(|name| child.is(name)) => {
                    children.push(child);
                }
                NodeType::Element => {
                    let unsupported = UNSUPPORTED.iter().find(|(name, _)| child.is(name));
                    return Err(child.error(match unsupported {
                        Some((_, why)) => Mistake::Unsupported {
                            what: "not supported yet",
                            why,
                        },
                        None => Mistake::UnknownElement { parent, known },
                    }));
                }
                NodeType::Text => {
                    let text = node.text().unwrap_or_default();
                    let blank = text.len() - text.trim_start().len();
                    if blank < text.len() {
                        let at = node.range().start + blank;
                        return Err(self.source.error(at, parent, Mistake::Text));
                    }
                }
                _ => {}
            }
        }
        Ok(children)
    }

    pub fn optional(&self, name: &str) -> Option<&'a str> {
        self.node.attribute(name)
    }

    pub fn required(&self, name: &'static str) -> Result<&'a str, SdfError> {
        self.optional(name).ok_or_else(|| self.missing(name))
    }

    pub fn missing(&self, name: &'static str) -> SdfError {
        self.error(Mistake::MissingAttribute { name, hint: "" })
    }

    /// A name that the system will print.
    pub fn label(&self, name: &'static str) -> Result<&'a str, SdfError> {
        let label = self.required(name)?;
        let fits = (1..=xos_image::MAX_NAME_LEN).contains(&label.len());
        if fits && !label.contains(char::is_control) {
            Ok(label)
        } else {
            Err(self.error_at(name, Mistake::Name))
        }
    }

    /// A number whose limits are said in decimal.
    pub fn number(
        &self,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, SdfError> {
        self.within(name, range, false, "")
    }

    /// A number whose limits are said in hexadecimal.
    pub fn address(
        &self,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, SdfError> {
        self.within(name, range, true, "")
    }

    /// A number; `hint` is what to say after its limits.
    pub fn within(
        &self,
        attribute: &'static str,
        range: RangeInclusive<u64>,
        hex: bool,
        hint: &'static str,
    ) -> Result<Option<u64>, SdfError> {
        let Some(text) = self.optional(attribute) else {
            return Ok(None);
        };
        let value = text.into();
        let mistake = match parse_number(text) {
            Number::Value(value) if range.contains(&value) => return Ok(Some(value)),
            Number::Nonsense => Mistake::NotANumber { attribute, value },
            _ => {
                let (min, max) = range.into_inner();
                Mistake::OutOfRange {
                    attribute,
                    value,
                    min,
                    max,
                    hex,
                    hint,
                }
            }
        };
        Err(self.error_at(attribute, mistake))
    }

    pub fn flag(&self, name: &'static str, default: bool) -> Result<bool, SdfError> {
        self.choice(
            name,
            default,
            &[("true", true), ("false", false)],
            "'true' or 'false'",
        )
    }

    /// One of a few words; `words` says which in the error.
    pub fn choice<T: Copy>(
        &self,
        name: &'static str,
        default: T,
        choices: &[(&str, T)],
        words: &'static str,
    ) -> Result<T, SdfError> {
        let Some(text) = self.optional(name) else {
            return Ok(default);
        };
        let choice = choices.iter().find(|(word, _)| *word == text);
        choice.map(|(_, value)| *value).ok_or_else(|| {
            let mistake = Mistake::NotAChoice {
                attribute: name,
                value: text.into(),
                choices: words,
            };
            self.error_at(name, mistake)
        })
    }

    /// Refuses an attribute of Microkit's format that cannot be had here.
    pub fn unsupported(
        &self,
        name: &str,
        what: &'static str,
        why: &'static str,
    ) -> Result<(), SdfError> {
        match self.optional(name) {
            None => Ok(()),
            Some(_) => Err(self.error_at(name, Mistake::Unsupported { what, why })),
        }
    }
}

enum Number {
    Value(u64),
    /// A number, but below zero or too large.
    Beyond,
    Nonsense,
}

/// Decimal, or hexadecimal after `0x`, with `_` anywhere between digits, as Microkit's tool reads
/// it.
fn parse_number(text: &str) -> Number {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let digits = unsigned.replace('_', "");
    let (digits, radix) = match digits.strip_prefix("0x") {
        Some(hexadecimal) => (hexadecimal, 16),
        None => (digits.as_str(), 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Number::Nonsense;
    }
    match u64::from_str_radix(digits, radix) {
        Ok(0) => Number::Value(0),
        Ok(value) if !negative => Number::Value(value),
        _ => Number::Beyond,
    }
}
