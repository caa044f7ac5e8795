// SPDX-License-Identifier: BSD-2-Clause
//! What a person does at the terminal: keys are typed, and what the screen must show for them is waited for, in the
//! system that users boot, with its shell.
//!
//! Each file `tests/linux/dialogues/NAME.txt` is a test. In it
//!
//! * `> TEXT` types keys: `\r` is Enter, `\e` Escape, `^C` a control key, `\^` and `\\` these themselves;
//! * `< TEXT` waits until that is shown, behind what was waited for before;
//! * `! TEXT` is what must not have been shown between the last two that were waited for;
//! * `#` is for people.
//!
//! All lie in one boot, one after the other, each in a shell of its own; one that fails is the end of those behind it.
//! The last one is `monitor.txt`: at the system's monitor, to which the end of the login shell leads.

use super::{folder, stem};
use crate::{BUILDER, Permit, pack_system};
use anyhow::{Context, Result, anyhow, bail, ensure};
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use xos_image::console::LOGIN_FILE;
use xtask::sim::qemu::Qemu;
use xtask::sim::{Event, Machine};
use xtask::userland::SHELLS;

/// How long what is waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the boot and its demonstration may.
const BOOT: Duration = Duration::from_secs(180);
/// How long nothing new is shown when the screen rests.
const REST: Duration = Duration::from_millis(250);
/// The shell's prompt, when all is quiet.
const PROMPT: &[u8] = b"/ # ";
/// The dialogue with the monitor, and its prompt.
const MONITOR: (&str, &[u8]) = ("monitor", b"xos> ");

/// A test for each dialogue.
pub fn trials() -> impl Iterator<Item = Trial> {
    files().into_iter().map(|file| {
        let name = stem(&file);
        Trial::test(format!("linux::typed_{name}"), move || {
            passes(&name).map_err(Failed::from)
        })
    })
}

fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder().join("dialogues"))
        .into_iter()
        .flatten();
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .collect();
    files.sort_by_key(|file| (stem(file) == MONITOR.0, file.clone()));
    files
}

/// How one ended, by its name.
type Results = BTreeMap<String, Result<(), String>>;

/// What came of each.
static RESULTS: LazyLock<Result<Results, String>> =
    LazyLock::new(|| run().map_err(|error| format!("{error:#}")));

fn passes(name: &str) -> Result<(), String> {
    let results = RESULTS.as_ref().map_err(Clone::clone)?;
    let missing = Err("a dialogue before this one did not end".to_owned());
    results.get(name).cloned().unwrap_or(missing)
}

/// A terminal, and what it has shown.
struct Terminal {
    machine: Machine,
    /// What was shown and not waited for yet.
    shown: Vec<u8>,
}

impl Terminal {
    /// Types, as a person does: when the screen has come to rest.
    fn type_keys(&mut self, keys: &[u8]) -> Result<()> {
        while let Ok(event) = self.machine.next(Some(REST), "rest") {
            match event {
                Event::Text(text) => self.shown.extend(text),
                Event::Off(how) => bail!("the machine {how}"),
                _ => {}
            }
        }
        Ok(self.machine.send(keys)?)
    }

    /// Waits for a text, and gives what came before it.
    fn wait(&mut self, text: &[u8], patience: Duration) -> Result<Vec<u8>> {
        let end = Instant::now() + patience;
        loop {
            let found = self
                .shown
                .windows(text.len())
                .position(|window| window == text);
            if let Some(at) = found {
                let rest = self.shown.split_off(at + text.len());
                let mut before = std::mem::replace(&mut self.shown, rest);
                before.truncate(at);
                return Ok(before);
            }
            let left = end.saturating_duration_since(Instant::now());
            let what = format!("{:?}", String::from_utf8_lossy(text));
            match self.machine.next(Some(left), &what) {
                Ok(Event::Text(text)) => self.shown.extend(text),
                Ok(Event::Off(how)) => bail!("the machine {how} before {what} was shown"),
                Ok(_) => {}
                Err(error) => {
                    let shown = String::from_utf8_lossy(&self.shown).into_owned();
                    return Err(error).context(format!("{what} was not shown, but {shown:?}"));
                }
            }
        }
    }
}

fn run() -> Result<Results> {
    let builder = BUILDER.as_ref().map_err(|error| anyhow!("{error}"))?;
    let added = [(LOGIN_FILE, SHELLS.as_bytes().to_vec())];
    let image = pack_system(builder, "dialogues", &[], &added)?;
    let _machine = Permit::take();
    let mut terminal = Terminal {
        machine: image.boot(&Qemu::default())?,
        shown: Vec::new(),
    };
    terminal.wait(PROMPT, BOOT)?;
    let mut results = BTreeMap::new();
    for file in files() {
        let text = fs::read_to_string(&file)?;
        let result = match stem(&file) == MONITOR.0 {
            true => talk_to_monitor(&mut terminal, &text),
            false => talk_to_shell(&mut terminal, &text),
        };
        let failed = result.is_err();
        results.insert(stem(&file), result.map_err(|error| format!("{error:#}")));
        if failed {
            break;
        }
    }
    Ok(results)
}

/// One dialogue, in a shell within the shell.
fn talk_to_shell(terminal: &mut Terminal, text: &str) -> Result<()> {
    terminal.type_keys(b"bash --norc --noprofile\r")?;
    terminal.wait(b"profile\n", PATIENCE)?;
    terminal.wait(PROMPT, PATIENCE)?;
    terminal.type_keys(b"stty rows 24 cols 80; mkdir -p /tmp/d; cd /tmp/d; PS1='% '\r")?;
    terminal.wait(b"\n% ", PATIENCE)?;
    talk(terminal, text)?;
    terminal.type_keys(b"cd /; rm -r /tmp/d; exit\r")?;
    terminal.wait(PROMPT, PATIENCE)?;
    Ok(())
}

/// The one behind the end of the shell.
fn talk_to_monitor(terminal: &mut Terminal, text: &str) -> Result<()> {
    terminal.type_keys(b"exit\r")?;
    terminal.wait(MONITOR.1, PATIENCE)?;
    talk(terminal, text)
}

fn talk(terminal: &mut Terminal, text: &str) -> Result<()> {
    let mut before = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = || format!("line {}: {line}", number + 1);
        let Some((kind, text)) = line.split_once(' ') else {
            continue;
        };
        let text = keys(text).with_context(place)?;
        match kind {
            ">" => terminal.type_keys(&text)?,
            "<" => before = terminal.wait(&text, PATIENCE).with_context(place)?,
            "!" => {
                let found = before.windows(text.len()).any(|window| window == text);
                let before = String::from_utf8_lossy(&before);
                ensure!(!found, "{}: it was shown in {before:?}", place());
            }
            _ => {}
        }
    }
    Ok(())
}

/// The bytes of keys.
fn keys(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'e') => 0x1b,
                Some(other @ (b'\\' | b'^')) => other,
                other => bail!("no key is called \\{:?}", other.map(char::from)),
            },
            b'^' => match rest.next() {
                Some(letter @ b'?') => letter ^ 0x40,
                Some(letter @ b'@'..=b'_') => letter & 0x1f,
                other => bail!("no key is called ^{:?}", other.map(char::from)),
            },
            byte => byte,
        });
    }
    Ok(bytes)
}
