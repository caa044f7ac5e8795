// SPDX-License-Identifier: BSD-2-Clause
//! `ic`: the isolation contexts of the whole system, from a Linux shell.
//!
//! A program for Linux, static, built with Rust's standard library as any other: all that it does is to read and write
//! files below `/proc/ic`, so a script can do without it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::thread;
use std::time::Duration;

/// Where the system shows itself.
const FOLDER: &str = "/proc/ic";
/// How often a program that runs is looked at.
const PAUSE: Duration = Duration::from_millis(10);
const USAGE: &str = "usage: ic list                                   all isolation contexts
       ic stat ID                                one of them
       ic run [-m BYTES] FACTORY IMAGE [ARG...]  runs a program, and ends as it does
       ic kill|suspend|resume ID                 ends one, stops it, lets it go on
       ic graph                                  who can reach whom, for Graphviz
       ic factories                              what each kind promises
       ic free                                   what is left
";

/// Why it ends otherwise than well.
#[derive(Debug)]
enum Failure {
    Usage,
    File(PathBuf, io::Error),
    Said(String),
}

type Result<T> = std::result::Result<T, Failure>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match act(&words.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(status) => ExitCode::from(status),
        Err(Failure::Usage) => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
        Err(Failure::File(path, error)) if !Path::new(FOLDER).exists() => {
            eprintln!(
                "ic: {}: {error}; only the system's own shell may see it",
                path.display()
            );
            ExitCode::FAILURE
        }
        Err(Failure::File(path, error)) => {
            eprintln!("ic: {}: {error}", path.display());
            ExitCode::FAILURE
        }
        Err(Failure::Said(text)) => {
            eprintln!("ic: {text}");
            ExitCode::FAILURE
        }
    }
}

fn act(words: &[&str]) -> Result<u8> {
    match words {
        [what @ ("list" | "graph" | "factories" | "free")] => show(Path::new(FOLDER).join(what)),
        ["stat", id] => show(of(id)?.join("status")),
        [order @ ("kill" | "suspend" | "resume"), id] => {
            write(of(id)?.join("control"), order).map(|()| 0)
        }
        ["run", "-m", bytes, factory, image, arguments @ ..] => {
            bytes.parse::<u64>().map_err(|_| Failure::Usage)?;
            run(bytes, factory, image, arguments)
        }
        ["run", factory, image, arguments @ ..] if *factory != "-m" => {
            run("0", factory, image, arguments)
        }
        _ => Err(Failure::Usage),
    }
}

/// The folder of an isolation context, by its number.
fn of(id: &str) -> Result<PathBuf> {
    let id: u64 = id.parse().map_err(|_| Failure::Usage)?;
    Ok(Path::new(FOLDER).join(id.to_string()))
}

fn read(path: PathBuf) -> Result<String> {
    fs::read_to_string(&path).map_err(|error| Failure::File(path, error))
}

/// What is written is an order, and an order is one call.
fn write(path: PathBuf, text: &str) -> Result<()> {
    let order = || {
        fs::OpenOptions::new()
            .write(true)
            .open(&path)?
            .write_all(text.as_bytes())
    };
    order().map_err(|error| Failure::File(path, error))
}

fn show(path: PathBuf) -> Result<u8> {
    let text = read(path)?;
    // Who has seen enough closes the pipe.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(0)
}

/// Starts a program, waits for its end, and gives its status as a shell has it.
fn run(bytes: &str, factory: &str, image: &str, arguments: &[&str]) -> Result<u8> {
    let path = Path::new(FOLDER).join("run");
    let token = process::id().to_string();
    let mut order = vec![&*token, bytes, factory, image];
    order.extend(arguments);
    if order.iter().any(|word| word.contains('\n')) {
        return Err(Failure::Said("an argument is more than a line".into()));
    }
    write(path.clone(), &order.join("\n"))?;
    let end = loop {
        let text = read(path.clone())?;
        let mut lines = text
            .lines()
            .map(|line| line.split('\t').collect::<Vec<_>>());
        match lines.find(|line| line[0] == token).as_deref() {
            Some([_, _, "runs", ..]) => thread::sleep(PAUSE),
            Some([_, _, end, ..]) => break end.to_string(),
            _ => return Err(Failure::Said(format!("nobody knows how {image} ended"))),
        }
    };
    write(path, &token)?;
    match end.strip_prefix("ended ") {
        // What a status has no room for is cut, as everywhere.
        Some(code) => Ok(code.parse::<i32>().unwrap_or(1) as u8),
        None if end == "killed" => Ok(137),
        None => {
            eprintln!("ic: {image} {end}");
            Ok(139)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_command_is_told_how() {
        for words in [
            &[][..],
            &["dance"],
            &["stat"],
            &["stat", "x"],
            &["run", "process"],
            &["run", "-m", "x", "a", "b"],
        ] {
            assert!(matches!(act(words), Err(Failure::Usage)), "{words:?}");
        }
    }

    #[test]
    fn an_id_is_a_number_and_no_path() {
        assert_eq!(of("7").unwrap(), Path::new("/proc/ic/7"));
        assert!(of("../self").is_err());
    }
}
