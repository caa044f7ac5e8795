// SPDX-License-Identifier: BSD-2-Clause
//! Names for addresses: finds crash reports in the guest's output and says where they happened.

use addr2line::Loader;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The longest line that is looked at; a report is much shorter.
const MAX_LINE: usize = 4096;

/// How many levels of inlining are shown.
const MAX_FRAMES: usize = 8;

/// Function, file and line of an address in an ELF image, if its debug information tells.
#[must_use]
pub fn symbolize(image: &Path, address: u64) -> Option<String> {
    let loader = Loader::new(image).ok()?;
    let mut frames = loader.find_frames(address).ok()?;
    let mut places = Vec::new();
    while let Ok(Some(frame)) = frames.next() {
        let name = frame
            .function
            .as_ref()
            .and_then(|f| f.demangle().ok().map(String::from));
        let place = frame.location.as_ref().and_then(|location| {
            Some(match location.line {
                Some(line) => format!("{}:{line}", location.file?),
                None => location.file?.to_owned(),
            })
        });
        match (name, place) {
            (Some(name), Some(place)) => places.push(format!("{name} ({place})")),
            (Some(one), None) | (None, Some(one)) => places.push(one),
            (None, None) => {}
        }
    }
    if places.is_empty() {
        places.extend(loader.find_symbol(address).map(str::to_owned));
    }
    // Innermost first: a function that was inlined, then the one it was inlined into.
    places.truncate(MAX_FRAMES);
    let root = format!("{}/", crate::workspace::root().display());
    (!places.is_empty()).then(|| places.join("\n    in ").replace(&root, ""))
}

/// The ELF images of programs, by the names that reports use.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    images: BTreeMap<String, PathBuf>,
}

impl Symbols {
    /// Makes an image known. Domains and programs spell the same name with `_` and `-`.
    pub fn insert(&mut self, name: &str, image: impl Into<PathBuf>) {
        self.images.insert(key(name), image.into());
    }

    /// What can be said about a line of output, if it is a crash report:
    /// `crash: NAME ... rip=0xADDRESS ...`, or the debug kernel's
    /// `in thread ... at address 0xADDRESS` where there is one program only.
    #[must_use]
    pub fn explain(&self, line: &str) -> Option<String> {
        let (name, address) = match crash(line) {
            Some(report) => report,
            None if self.images.len() == 1 => {
                (self.images.keys().next()?.as_str(), kernel_report(line)?)
            }
            None => return None,
        };
        let place = symbolize(self.images.get(&key(name))?, address)?;
        Some(format!("crash: {name} at {address:#x} is in {place}"))
    }
}

fn key(name: &str) -> String {
    name.rsplit('/')
        .next()
        .unwrap_or(name)
        .trim_end_matches(".elf")
        .replace('_', "-")
}

/// Name and address of a crash report: the root task's of a boot domain, or the monitor's of a program.
fn crash(line: &str) -> Option<(&str, u64)> {
    if let Some((before, report)) = line.split_once(" crashed: ") {
        let name = before.split_whitespace().next_back()?;
        let (_, address) = report.split_once("(instruction at 0x")?;
        return Some((name, leading_hexadecimal(address)?));
    }
    let (_, report) = line.split_once("crash: ")?;
    let name = report
        .split_whitespace()
        .next()?
        .trim_end_matches([':', ',']);
    let (_, address) = report.split_once("rip=0x")?;
    Some((name, leading_hexadecimal(address)?))
}

/// The address in the debug kernel's report of a thread that has no fault handler.
fn kernel_report(line: &str) -> Option<u64> {
    let (_, report) = line.split_once("in thread ")?;
    let (_, address) = report.split_once("at address 0x")?;
    leading_hexadecimal(address)
}

fn leading_hexadecimal(text: &str) -> Option<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_hexdigit())
        .unwrap_or(text.len());
    u64::from_str_radix(&text[..end], 16).ok()
}

/// Adds an explanation after every line of a text that is a crash report.
#[derive(Debug)]
pub struct Explainer<'a> {
    symbols: &'a Symbols,
    line: Vec<u8>,
}

impl<'a> Explainer<'a> {
    /// For a text that begins now.
    #[must_use]
    pub fn new(symbols: &'a Symbols) -> Self {
        Self {
            symbols,
            line: Vec::new(),
        }
    }

    /// Takes the next piece of the text, gives it back with what is to be added.
    #[must_use]
    pub fn feed(&mut self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        for &byte in text {
            out.push(byte);
            if byte != b'\n' {
                if self.line.len() < MAX_LINE {
                    self.line.push(byte);
                }
                continue;
            }
            if let Some(note) = self.symbols.explain(&String::from_utf8_lossy(&self.line)) {
                out.extend(note.bytes().chain([b'\n']));
            }
            self.line.clear();
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_crash_report_gives_name_and_address() {
        let line = "[root] crash: ic_manager: page fault at 0x10 rip=0x20f31a rsp=0x7ff0";
        assert_eq!(crash(line), Some(("ic_manager", 0x20_f31a)));
    }

    #[test]
    fn the_monitors_report_of_a_program_gives_name_and_address() {
        let line = "[2] bin/crash crashed: read at 0x8 (instruction at 0x203e7c)";
        assert_eq!(crash(line), Some(("bin/crash", 0x20_3e7c)));
        assert_eq!(crash("crash crashed: read at 0x8"), None);
        assert_eq!(crash(" crashed: (instruction at 0x8)"), None);
    }

    #[test]
    fn what_only_looks_like_a_report_gives_nothing() {
        for line in [
            "",
            "crash:",
            "crash: x",
            "crash: x rip=0x",
            "rip=0x10",
            "crash: rip=0x1g",
        ] {
            assert!(
                crash(line).is_none_or(|(_, address)| address == 1),
                "{line}"
            );
        }
        assert_eq!(crash("crash: x rip=0x11112222333344445"), None);
    }

    #[test]
    fn the_kernels_own_report_gives_an_address() {
        let line = "in thread 0xffffff8010000a00 \"child of: 'rootserver'\" at address 0x2015cc";
        assert_eq!(kernel_report(line), Some(0x20_15cc));
        assert_eq!(
            kernel_report("cap fault in send phase at address 0x0"),
            None
        );
    }

    /// The test program has symbols of its own: good enough to be an image.
    #[test]
    fn a_report_is_followed_by_where_it_happened() {
        let image = std::env::current_exe().unwrap();
        let bytes = std::fs::read(&image).unwrap();
        let entry = u64::from_le_bytes(bytes[24..32].try_into().unwrap());
        let mut symbols = Symbols::default();
        symbols.insert("a-program", image);
        let mut explainer = Explainer::new(&symbols);
        let report = format!("before\ncrash: a_program rip={entry:#x}\nafter\n");
        let (one, two) = report.as_bytes().split_at(20);
        let mut out = explainer.feed(one);
        out.extend(explainer.feed(two));
        let out = String::from_utf8(out).unwrap();
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(lines.len(), 4, "{out}");
        assert!(lines[2].starts_with("crash: a_program at 0x"), "{out}");
        assert!(lines[2].contains("_start"), "{out}");
    }

    proptest! {
        #[test]
        fn text_without_reports_of_known_programs_is_left_alone(text: Vec<u8>, cut in 1..7usize) {
            let symbols = Symbols::default();
            let mut explainer = Explainer::new(&symbols);
            let out: Vec<u8> = text.chunks(cut).flat_map(|piece| explainer.feed(piece)).collect();
            prop_assert_eq!(out, text);
        }

        #[test]
        fn any_line_is_looked_at_without_harm(line: String) {
            let _ = Symbols::default().explain(&line);
            let _ = crash(&format!("crash: {line} rip=0x{line}"));
        }
    }
}
