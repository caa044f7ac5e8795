// SPDX-License-Identifier: BSD-2-Clause
//! The kernel's interface definitions: invocations of objects and system calls.
//!
//! Numbers follow from order. Invocation labels are counted over `object-api.xml`,
//! `object-api-sel4-arch.xml`, `object-api-arch.xml`, in that order, skipping methods whose
//! condition does not hold; label 0 is the invalid one. System calls are counted down from -1
//! *without* skipping: their conditions only decide which of them exist.

use roxmltree::{Document, Node};
use thiserror::Error;

use crate::c::EvalError;
use crate::config::Config;

/// A structure that an invocation passes by reference, one word a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Struct {
    /// The C type name.
    pub name: String,
    /// The members in message order.
    pub members: Vec<String>,
}

/// A parameter of a [`Method`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// The name in the definition.
    pub name: String,
    /// The C type name.
    pub ty: String,
    /// Whether the kernel returns it.
    pub out: bool,
}

/// An invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// The C type of the capability that is invoked; the first half of the C function's name.
    pub interface: String,
    /// The second half of the C function's name.
    pub name: String,
    /// The name of the label.
    pub id: String,
    /// The label in `MessageInfo`.
    pub label: u32,
    /// The parameters in message order, the invoked capability not among them.
    pub params: Vec<Param>,
}

/// A system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syscall {
    /// The name in the definition.
    pub name: String,
    /// The number that the kernel expects, negative.
    pub number: i32,
}

/// The invocations of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interfaces {
    /// Structures used by parameters.
    pub structs: Vec<Struct>,
    /// Methods that exist in the configuration, in label order.
    pub methods: Vec<Method>,
}

/// Why a definition was refused.
#[derive(Debug, Error)]
pub enum InterfaceError {
    /// Not well-formed.
    #[error(transparent)]
    Xml(#[from] roxmltree::Error),
    /// An attribute that must be there is not.
    #[error("<{element}> at line {line} has no attribute {attribute}")]
    Missing {
        /// The element's name.
        element: String,
        /// The line in the file.
        line: u32,
        /// The attribute's name.
        attribute: &'static str,
    },
    /// A condition could not be evaluated.
    #[error("condition `{condition}`: {source}")]
    Condition {
        /// The condition as written.
        condition: String,
        /// What is wrong with it.
        source: EvalError,
    },
}

impl Interfaces {
    /// Adds one file's definitions. Call it in label order.
    ///
    /// # Errors
    /// [`InterfaceError`].
    pub fn add(&mut self, xml: &str, config: &Config) -> Result<(), InterfaceError> {
        let doc = Document::parse_with_options(xml, options())?;
        for node in elements(doc.root(), "struct") {
            self.structs.push(Struct {
                name: attribute(node, "name")?,
                members: elements(node, "member")
                    .map(|m| attribute(m, "name"))
                    .collect::<Result<_, _>>()?,
            });
        }
        for interface in elements(doc.root(), "interface") {
            let interface_name = attribute(interface, "name")?;
            for method in elements(interface, "method") {
                if !exists(method, config)? {
                    continue;
                }
                let mut params = Vec::new();
                for param in elements(method, "param") {
                    params.push(Param {
                        name: attribute(param, "name")?,
                        ty: attribute(param, "type")?,
                        out: attribute(param, "dir")? == "out",
                    });
                }
                self.methods.push(Method {
                    interface: interface_name.clone(),
                    name: attribute(method, "name")?,
                    id: attribute(method, "id")?,
                    label: u32::try_from(self.methods.len()).expect("few methods") + 1,
                    params,
                });
            }
        }
        Ok(())
    }
}

/// Reads `syscall.xml`.
///
/// # Errors
/// [`InterfaceError`].
pub fn syscalls(xml: &str, config: &Config) -> Result<Vec<Syscall>, InterfaceError> {
    let doc = Document::parse_with_options(xml, options())?;
    let mut number = 0;
    let mut out = Vec::new();
    for group in elements(doc.root(), "config") {
        let present = exists(group, config)?;
        for call in elements(group, "syscall") {
            number -= 1;
            if present {
                out.push(Syscall {
                    name: attribute(call, "name")?,
                    number,
                });
            }
        }
    }
    Ok(out)
}

fn options<'i>() -> roxmltree::ParsingOptions<'i> {
    roxmltree::ParsingOptions {
        allow_dtd: true,
        ..Default::default()
    }
}

fn elements<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.descendants().filter(move |n| n.has_tag_name(name))
}

fn attribute(node: Node, name: &'static str) -> Result<String, InterfaceError> {
    node.attribute(name)
        .map(str::to_owned)
        .ok_or_else(|| InterfaceError::Missing {
            element: node.tag_name().name().to_owned(),
            line: node.document().text_pos_at(node.range().start).row,
            attribute: name,
        })
}

fn exists(node: Node, config: &Config) -> Result<bool, InterfaceError> {
    let condition = node.attribute("condition");
    config
        .holds(condition)
        .map_err(|source| InterfaceError::Condition {
            condition: condition.unwrap_or_default().to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTS: &str = r#"<?xml version="1.0"?><api>
        <struct name="Context"><member name="ip"/><member name="sp"/></struct>
        <interface name="seL4_Thing">
            <method id="ThingTouch" name="Touch"><brief>b</brief>
                <param dir="in" name="count" type="seL4_Word"/>
                <param dir="out" name="regs" type="Context"/></method>
            <method id="ThingNever" name="Never" condition="defined(CONFIG_VTX)"/>
            <method id="ThingLast" name="Last"/>
        </interface></api>"#;

    fn config() -> Config {
        Config::from_json(r#"{"VTX": false, "DEBUG_BUILD": false}"#).unwrap()
    }

    #[test]
    fn labels_skip_what_the_configuration_lacks() {
        let mut all = Interfaces::default();
        all.add(OBJECTS, &config()).unwrap();
        all.add(OBJECTS, &config()).unwrap();
        let labels: Vec<_> = all.methods.iter().map(|m| (&*m.id, m.label)).collect();
        assert_eq!(
            labels,
            [
                ("ThingTouch", 1),
                ("ThingLast", 2),
                ("ThingTouch", 3),
                ("ThingLast", 4)
            ]
        );
        assert_eq!(all.structs[0].members, ["ip", "sp"]);
        assert!(all.methods[0].params[1].out && !all.methods[0].params[0].out);
    }

    #[test]
    fn system_call_numbers_count_what_the_configuration_lacks() {
        let xml = r#"<syscalls><api><config><syscall name="Call"/><syscall name="Send"/></config></api>
            <debug><config condition="defined CONFIG_DEBUG_BUILD"><syscall name="PutChar"/></config>
            <config condition="!defined CONFIG_DEBUG_BUILD"><syscall name="Enter"/></config></debug></syscalls>"#;
        let calls = syscalls(xml, &config()).unwrap();
        let numbers: Vec<_> = calls.iter().map(|c| (&*c.name, c.number)).collect();
        assert_eq!(numbers, [("Call", -1), ("Send", -2), ("Enter", -4)]);
    }

    #[test]
    fn a_missing_attribute_is_named_with_its_line() {
        let mut all = Interfaces::default();
        let error = all
            .add(
                "<api>\n<interface name=\"i\">\n<method name=\"m\"/></interface></api>",
                &config(),
            )
            .unwrap_err();
        assert_eq!(error.to_string(), "<method> at line 3 has no attribute id");
    }

    #[test]
    fn a_bad_condition_is_quoted() {
        let xml = r#"<api><interface name="i"><method id="a" name="m" condition="> 1"/></interface></api>"#;
        let error = Interfaces::default().add(xml, &config()).unwrap_err();
        assert!(error.to_string().starts_with("condition `> 1`"), "{error}");
    }
}
