// SPDX-License-Identifier: BSD-2-Clause
//! Declarations in preprocessed C headers.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use thiserror::Error;

use super::expression::{Environment, eval, tokens};

/// A type as written: the words of a name (`unsigned long`, `seL4_Word`) or a pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CType {
    /// A type's name.
    Name(String),
    /// A pointer to something.
    Pointer(String),
}

/// `typedef ty name;`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typedef {
    /// The new name.
    pub name: String,
    /// What it stands for.
    pub ty: CType,
}

/// An enumeration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CEnum {
    /// The type name, the tag, or the name of the variable that libsel4 declares with it.
    pub name: Option<String>,
    /// The enumerators in order.
    pub constants: Vec<(String, i128)>,
    /// Whether libsel4 forces it to the size of a `long` (`SEL4_FORCE_LONG_ENUM`).
    pub long: bool,
}

/// A member of a [`CStruct`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CField {
    /// The member's name.
    pub name: String,
    /// Its type, an array's element type.
    pub ty: CType,
    /// The number of elements of an array.
    pub length: Option<u64>,
}

/// A structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CStruct {
    /// The type name or tag.
    pub name: String,
    /// Whether it is packed.
    pub packed: bool,
    /// The members in order.
    pub fields: Vec<CField>,
}

/// The declarations of a set of headers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// Type names, in order.
    pub typedefs: Vec<Typedef>,
    /// Enumerations, in order.
    pub enums: Vec<CEnum>,
    /// Structures, in order. Those with members that are not understood are left out.
    pub structs: Vec<CStruct>,
    /// Object-like macros with an integer value, sorted by name.
    pub macros: Vec<(String, i128)>,
}

/// Why headers could not be read.
#[derive(Debug, Error)]
pub enum HeaderError {
    /// The compiler could not be started.
    #[error("cannot run `{0}`: {1} (Debian package gcc; set CC for another compiler)")]
    Spawn(String, std::io::Error),
    /// The compiler refused the headers.
    #[error("`{0} -E` fails on the kernel's headers:\n{1}")]
    Compiler(String, String),
    /// An enumerator's value is not understood.
    #[error("enumerator {0}: {1}")]
    Enumerator(String, super::EvalError),
}

/// The C compiler to preprocess with: `CC`, else `gcc`.
pub fn compiler() -> String {
    std::env::var("CC").unwrap_or_else(|_| "gcc".into())
}

impl Header {
    /// Reads `headers` (as written between `<` and `>`) and those that they include, with `include`
    /// as the only directory, through the preprocessor of `compiler`.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn read(compiler: &str, include: &Path, headers: &[&str]) -> Result<Self, HeaderError> {
        let source: String = headers
            .iter()
            .map(|header| format!("#include <{header}>\n"))
            .collect();
        let definitions = preprocess(compiler, include, &source, &["-dM"])?;
        // Let the preprocessor expand every macro in place: `@ NAME = expansion`.
        let probes: String = macro_names(&definitions)
            .map(|name| format!("@\"{name}\" {name}\n"))
            .collect();
        let text = preprocess(compiler, include, &format!("{source}\n{probes}"), &["-P"])?;
        Self::parse(&text)
    }

    /// Parses preprocessed text, in which a line `@"NAME" expansion` gives the value of a macro.
    ///
    /// # Errors
    /// If an enumerator has no integer value. Macros without one are no constants and left out.
    pub fn parse(text: &str) -> Result<Self, HeaderError> {
        let (probes, code): (Vec<&str>, Vec<&str>) = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .partition(|line| line.starts_with("@\""));
        let mut header = Self::default();
        let mut names = Names(HashMap::new());
        for declaration in declarations(&code.join("\n")) {
            header.add(&declaration, &mut names)?;
        }
        for probe in probes {
            if let Some((name, expansion)) = probe[2..].split_once('"')
                && let Ok(value) = eval(expansion, &names)
            {
                header.macros.push((name.to_owned(), value));
            }
        }
        header.macros.sort();
        Ok(header)
    }

    fn add(&mut self, declaration: &Declaration, names: &mut Names) -> Result<(), HeaderError> {
        let words: Vec<&str> = declaration.tokens.iter().map(String::as_str).collect();
        let (typedef, words) = match words.split_first() {
            Some((&"typedef", rest)) => (true, rest),
            _ => (false, &words[..]),
        };
        let open = words.iter().position(|w| *w == "{");
        let close = words.iter().rposition(|w| *w == "}");
        match (words.first(), open, close) {
            (Some(&"enum"), Some(open), Some(close)) => {
                let tag = words[1..open].first();
                let declarator = words[close + 1..].first();
                let name = if typedef {
                    declarator
                } else {
                    tag.or(declarator)
                };
                let mut parsed = CEnum {
                    name: name.map(|w| (*w).to_owned()),
                    constants: Vec::new(),
                    long: false,
                };
                let mut next = 0;
                for item in words[open + 1..close].split(|w| *w == ",") {
                    let Some((constant, rest)) = item.split_first() else {
                        continue;
                    };
                    if constant.starts_with("_enum_pad_") {
                        parsed.long = true;
                        continue;
                    }
                    if let Some((&"=", value)) = rest.split_first() {
                        next = eval(&value.join(" "), names)
                            .map_err(|e| HeaderError::Enumerator((*constant).to_owned(), e))?;
                    }
                    names.0.insert((*constant).to_owned(), next);
                    parsed.constants.push(((*constant).to_owned(), next));
                    next += 1;
                }
                self.enums.push(parsed);
            }
            (Some(&"struct"), Some(open), Some(close)) => {
                let tag = words[1..open].first();
                let declarator = words[close + 1..].first();
                if let Some(name) = if typedef { declarator } else { tag }
                    && let Some(fields) = fields(&words[open + 1..close], names)
                {
                    self.structs.push(CStruct {
                        name: (*name).to_owned(),
                        packed: declaration.packed,
                        fields,
                    });
                }
            }
            _ if typedef => {
                if let Some((name, ty)) = words.split_last()
                    && !ty.is_empty()
                    && words.iter().all(|w| is_name(w) || *w == "*")
                {
                    self.typedefs.push(Typedef {
                        name: (*name).to_owned(),
                        ty: ctype(ty),
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }
}

struct Names(HashMap<String, i128>);

impl Environment for Names {
    fn value(&self, name: &str) -> Option<i128> {
        self.0.get(name).copied()
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

fn ctype(words: &[&str]) -> CType {
    match words.split_last() {
        Some((&"*", rest)) => CType::Pointer(rest.join(" ")),
        _ => CType::Name(words.join(" ")),
    }
}

/// The members of a structure, or nothing if one is not understood.
fn fields(words: &[&str], names: &Names) -> Option<Vec<CField>> {
    let mut out = Vec::new();
    for member in words.split(|w| *w == ";").filter(|m| !m.is_empty()) {
        let mut declarators = member.split(|w| *w == ",");
        let (base, first) = split_declarator(declarators.next()?, names)?;
        let base = ctype(base);
        out.push(CField {
            ty: base.clone(),
            ..first
        });
        for declarator in declarators {
            let (prefix, field) = split_declarator(declarator, names)?;
            if !prefix.is_empty() {
                return None;
            }
            out.push(CField {
                ty: base.clone(),
                ..field
            });
        }
    }
    Some(out)
}

/// Splits `type words name [length]` into the type and the rest.
fn split_declarator<'a>(words: &'a [&'a str], names: &Names) -> Option<(&'a [&'a str], CField)> {
    let (words, length) = match words.iter().position(|w| *w == "[") {
        Some(open) => {
            let (close, length) = words[open + 1..].split_last()?;
            if *close != "]" {
                return None;
            }
            let length = eval(&length.join(" "), names).ok()?;
            (&words[..open], Some(u64::try_from(length).ok()?))
        }
        None => (words, None),
    };
    let (name, ty) = words.split_last()?;
    let plain = is_name(name) && ty.iter().all(|w| is_name(w) || *w == "*");
    plain.then(|| {
        let field = CField {
            name: (*name).to_owned(),
            ty: CType::Name(String::new()),
            length,
        };
        (ty, field)
    })
}

struct Declaration {
    tokens: Vec<String>,
    packed: bool,
}

/// Splits a translation unit into declarations, without attributes and function bodies.
fn declarations(text: &str) -> Vec<Declaration> {
    let mut all = tokens(text).into_iter().peekable();
    let mut out = Vec::new();
    let mut current = Declaration {
        tokens: Vec::new(),
        packed: false,
    };
    let mut depth = 0usize;
    while let Some(token) = all.next() {
        match token.as_str() {
            "__attribute__" => {
                for inner in balanced(&mut all) {
                    current.packed |= inner == "packed" || inner == "__packed__";
                }
                continue;
            }
            "{" if depth == 0 && current.tokens.last().is_some_and(|t| t == ")") => {
                // A function. Its body is of no interest.
                let mut open = 1usize;
                for token in all.by_ref() {
                    match token.as_str() {
                        "{" => open += 1,
                        "}" => open -= 1,
                        _ => {}
                    }
                    if open == 0 {
                        break;
                    }
                }
                current.tokens.clear();
                current.packed = false;
                continue;
            }
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            ";" if depth == 0 => {
                let tokens = std::mem::take(&mut current.tokens);
                let packed = std::mem::take(&mut current.packed);
                out.push(Declaration { tokens, packed });
                continue;
            }
            _ => {}
        }
        current.tokens.push(token);
    }
    out
}

/// Takes a parenthesised group.
fn balanced(all: &mut impl Iterator<Item = String>) -> Vec<String> {
    let mut depth = 0usize;
    let mut out = Vec::new();
    for token in all {
        match token.as_str() {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => out.push(token),
        }
        if depth == 0 {
            break;
        }
    }
    out
}

/// Names of object-like macros that may be constants of libsel4.
fn macro_names(definitions: &str) -> impl Iterator<Item = &str> {
    definitions.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("#define ")?.split_once(' ')?;
        let plain = !name.contains('(') && !name.starts_with('_') && !value.trim().is_empty();
        let ours = ["seL4_", "SEL4_", "IRQ_OFFSET", "VECTOR_M"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        (plain && ours).then_some(name)
    })
}

fn preprocess(
    compiler: &str,
    include: &Path,
    source: &str,
    flags: &[&str],
) -> Result<String, HeaderError> {
    let spawn = |error| HeaderError::Spawn(compiler.to_owned(), error);
    let mut child = Command::new(compiler)
        .args(["-E", "-x", "c", "-nostdinc", "-ffreestanding"])
        .args(flags)
        .arg("-I")
        .arg(include)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(spawn)?;
    // The source is far smaller than a pipe's buffer, so writing all of it first cannot block.
    let written = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(source.as_bytes()));
    let output = child.wait_with_output().map_err(spawn)?;
    if !output.status.success() || written.is_err() {
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(HeaderError::Compiler(compiler.to_owned(), log));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLE: &str = r#"
        typedef unsigned long W;
        typedef W Ptr;
        enum { A, B = 5, C, };
        typedef enum tag { D = C, E = 1ul << (3), _enum_pad_K = (1ULL << ((sizeof(long)*8) - 1)) - 1, } K;
        enum limits { F = B - 1 } ;
        enum { G, H } M;
        static inline __attribute__((unused)) int f(int x) { if (x) { return "};"[0]; } return 0; }
        typedef struct S_ { W a, b; K k; } S;
        typedef struct { unsigned char pad; W list[C]; S *next; } __attribute__((packed)) P;
        typedef struct { struct { int x; } inner; } Unknown;
        extern W variable;
@"seL4_X" (B + 1)
@"seL4_F" call_of(1)
"#;

    #[test]
    fn enumerators_count_on_from_the_last_value() {
        let header = Header::parse(SAMPLE).unwrap();
        let all: Vec<_> = header.enums.iter().flat_map(|e| &e.constants).collect();
        let expected = [
            ("A", 0),
            ("B", 5),
            ("C", 6),
            ("D", 6),
            ("E", 8),
            ("F", 4),
            ("G", 0),
            ("H", 1),
        ];
        assert_eq!(all.len(), expected.len());
        for ((name, value), (n, v)) in all.into_iter().zip(expected) {
            assert_eq!((name.as_str(), *value), (n, v));
        }
    }

    #[test]
    fn enumerations_are_called_by_type_tag_or_variable() {
        let header = Header::parse(SAMPLE).unwrap();
        let names: Vec<_> = header.enums.iter().map(|e| e.name.as_deref()).collect();
        assert_eq!(names, [None, Some("K"), Some("limits"), Some("M")]);
        assert!(header.enums[1].long && !header.enums[0].long);
    }

    #[test]
    fn structures_keep_order_arrays_and_packing() {
        let header = Header::parse(SAMPLE).unwrap();
        let names: Vec<_> = header
            .structs
            .iter()
            .map(|s| (&*s.name, s.packed))
            .collect();
        assert_eq!(names, [("S", false), ("P", true)]);
        let fields = &header.structs[1].fields;
        assert_eq!(fields[0].ty, CType::Name("unsigned char".into()));
        assert_eq!(
            (fields[1].name.as_str(), fields[1].length),
            ("list", Some(6))
        );
        assert_eq!(fields[2].ty, CType::Pointer("S".into()));
        assert_eq!(header.structs[0].fields.len(), 3);
        assert_eq!(header.structs[0].fields[1].ty, CType::Name("W".into()));
    }

    #[test]
    fn only_macros_with_an_integer_value_are_constants() {
        let header = Header::parse(SAMPLE).unwrap();
        assert_eq!(header.macros, [("seL4_X".to_owned(), 6)]);
    }

    #[test]
    fn type_names_are_kept_in_order() {
        let header = Header::parse(SAMPLE).unwrap();
        assert_eq!(header.typedefs[0].ty, CType::Name("unsigned long".into()));
        assert_eq!(header.typedefs[1].ty, CType::Name("W".into()));
    }

    #[test]
    fn headers_are_read_through_the_preprocessor() {
        let dir = tempfile::tempdir().unwrap();
        let text = "#define seL4_N 3\n#define seL4_M (seL4_N + 1)\n#define seL4_F(x) x\n\
                    enum { seL4_E = seL4_M };";
        std::fs::write(dir.path().join("h.h"), text).unwrap();
        let header = Header::read(&compiler(), dir.path(), &["h.h"]).unwrap();
        assert_eq!(
            header.macros,
            [("seL4_M".to_owned(), 4), ("seL4_N".to_owned(), 3)]
        );
        assert_eq!(header.enums[0].constants, [("seL4_E".to_owned(), 4)]);
    }

    #[test]
    fn a_missing_compiler_is_named_with_its_package() {
        let error = Header::read("no-such-compiler", Path::new("."), &[]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("no-such-compiler") && text.contains("package gcc"),
            "{text}"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[a-z_0-9{}()\\[\\],;=*@\"# \n]{0,200}") {
            let _ = Header::parse(&text);
        }
    }
}
