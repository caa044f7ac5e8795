// SPDX-License-Identifier: BSD-2-Clause
//! `graph`: a picture of the running system, drawn by Graphviz from what the monitor says.

use anyhow::{Context, Result, bail};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// How a graph in the DOT language begins; what comes before is what was run first.
const BEGIN: &str = "digraph ";

/// Draws a graph in the DOT language as SVG.
pub fn draw(output: &[u8], to: &Path) -> Result<()> {
    let text = String::from_utf8_lossy(output);
    let Some(begin) = text.find(BEGIN) else {
        bail!("there is no graph in what the monitor said:\n{text}");
    };
    let dot = &text.as_bytes()[begin..];
    let mut child = Command::new("dot")
        .arg("-Tsvg")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run dot; `make deps` installs it")?;
    let mut input = child.stdin.take().context("dot has no input")?;
    // Graphviz reads everything before it writes anything.
    input
        .write_all(dot)
        .context("dot does not take the graph")?;
    drop(input);
    let drawn = child.wait_with_output()?;
    if !drawn.status.success() {
        bail!(
            "dot cannot draw the graph ({}):\n{}",
            drawn.status,
            String::from_utf8_lossy(dot)
        );
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(to, drawn.stdout).with_context(|| format!("cannot write {}", to.display()))
}
