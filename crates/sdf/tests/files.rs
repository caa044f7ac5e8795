// SPDX-License-Identifier: BSD-2-Clause
//! Descriptions, a test each.
//!
//! A file of `negative/` makes one mistake; its second line says the error, from the line number
//! on: `<!-- error: LINE:COLUMN: <ELEMENT>: MESSAGE -->`. A file of `positive/` is accepted, and
//! what is packed from it decodes to itself; its second line says what for.

mod support;

use std::{fs, path::Path};

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let mut trials = Vec::new();
    for (folder, test) in [("negative", negative as Test), ("positive", positive)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests")
            .join(folder);
        let mut files: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        for path in files {
            let name = format!("{folder}::{}", path.file_stem().unwrap().to_string_lossy());
            trials.push(Trial::test(name, move || test(&fs::read_to_string(&path)?)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

type Test = fn(&str) -> Result<(), Failed>;

fn comment<'a>(text: &'a str, label: &str) -> Result<&'a str, Failed> {
    let line = text.lines().nth(1).unwrap_or_default();
    let comment = line
        .strip_prefix("<!-- ")
        .and_then(|line| line.strip_suffix(" -->"));
    let said = comment.and_then(|comment| comment.strip_prefix(label));
    said.ok_or_else(|| format!("the second line is not <!-- {label}... -->").into())
}

fn negative(text: &str) -> Result<(), Failed> {
    let expected = comment(text, "error: ")?;
    let result =
        xos_sdf::parse(text, "f").and_then(|system| xos_sdf::lower(&system, support::read));
    let Err(error) = result else {
        return Err("accepted".into());
    };
    let error = error.to_string();
    if error == format!("f:{expected}") {
        Ok(())
    } else {
        Err(format!("expected: f:{expected}\n     got: {error}").into())
    }
}

fn positive(text: &str) -> Result<(), Failed> {
    comment(text, "accepted: ")?;
    let system = xos_sdf::parse(text, "f")?;
    let packed = xos_sdf::lower(&system, support::read)?;
    let decoded = xos_image::decode(&packed.payload)?;
    if *decoded.system() == packed.image {
        Ok(())
    } else {
        Err("decodes to another image".into())
    }
}
