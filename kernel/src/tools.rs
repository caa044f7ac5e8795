// SPDX-License-Identifier: BSD-2-Clause
//! The programs that a kernel build runs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::Error;

/// A program and the Debian package that has it.
type Tool = (&'static str, &'static str);

const TOOLS: [Tool; 7] = [
    ("gcc", "gcc"),
    ("cpp", "cpp"),
    ("as", "binutils"),
    ("objcopy", "binutils"),
    ("make", "make"),
    ("python3", "python3"),
    // The bundled scripts name it.
    ("bash", "bash"),
];

/// Checks that everything is there.
pub(crate) fn check() -> Result<(), Error> {
    match TOOLS.iter().find(|(tool, _)| find(tool).is_none()) {
        Some(&(tool, package)) => Err(Error::Tool { tool, package }),
        None => Ok(()),
    }
}

/// Finds a program in `PATH`.
pub(crate) fn find(tool: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|dir| dir.join(tool))
        .find(|path| path.is_file())
}

/// What identifies the compiler, for the build stamp.
pub(crate) fn compiler_version() -> Result<String, Error> {
    run("gcc --version", Command::new("gcc").arg("--version"), None)
}

/// Runs a command. Its output goes to `log` if given; on failure the end of it is the error.
pub(crate) fn run(what: &str, command: &mut Command, log: Option<&Path>) -> Result<String, Error> {
    let output = command.output().map_err(|e| Error::Failed {
        what: what.to_owned(),
        log: e.to_string(),
        log_file: None,
    })?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let all = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    if let Some(log) = log {
        fs::write(log, &all).map_err(|e| Error::Io(log.to_owned(), e))?;
    }
    if output.status.success() {
        return Ok(stdout);
    }
    let lines: Vec<&str> = all.lines().collect();
    Err(Error::Failed {
        what: what.to_owned(),
        log: lines[lines.len().saturating_sub(20)..].join("\n"),
        log_file: log.map(Path::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_end_of_the_output() {
        let mut command = Command::new("sh");
        command.args(["-c", "seq 100; echo broken >&2; exit 3"]);
        let text = run("counting", &mut command, None).unwrap_err().to_string();
        assert!(text.starts_with("counting failed:\n"), "{text}");
        assert!(
            text.ends_with("100\nbroken") && !text.contains("\n50\n"),
            "{text}"
        );
    }

    #[test]
    fn a_missing_tool_is_not_found() {
        assert!(find("no-such-tool").is_none());
        assert!(find("sh").is_some());
    }
}
