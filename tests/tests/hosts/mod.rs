// SPDX-License-Identifier: BSD-2-Clause
//! Containers of bundles and images that lie on the host, as `make exec IMAGE=..` and `make run ADD=..` take them, in
//! the system that users boot.

use crate::{Came, execute, image, users_machine};
use anyhow::{Result, ensure};
use libtest_mimic::{Failed, Trial};
use std::path::Path;
use xtask::exec;
use xtask::tree::Addition;
use xtask::userland;

/// What the bundle here runs of itself.
const CONFIG: &str = r#"{
    "ociVersion": "1.2.0",
    "root": { "path": "rootfs" },
    "hostname": "hosts",
    "process": {
        "user": { "uid": 0, "gid": 0 },
        "args": ["sh", "-c", "echo its own in $(hostname); exit 3"],
        "env": ["PATH=/bin:/usr/bin"],
        "cwd": "/"
    }
}"#;

pub fn trials() -> Vec<Trial> {
    let trial = |name: &'static str, run: fn(&'static str) -> Result<()>| {
        Trial::test(name, move || {
            run(name).map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    vec![
        trial(
            "exec::a_bundle_of_the_host_runs_its_own_command_when_none_is_given",
            own,
        ),
        trial(
            "exec::an_image_of_the_host_runs_the_command_that_is_given",
            given,
        ),
        trial(
            "exec::a_bundle_that_is_added_is_a_container_by_its_name",
            added,
        ),
        trial(
            "exec::a_hundred_containers_run_at_once_in_the_system_that_users_boot",
            hundred,
        ),
    ]
}

fn came(name: &str, line: &str, additions: &[Addition]) -> Result<Came> {
    let (builder, simulator, silence) = users_machine(false)?;
    execute(name, line, additions, (builder, &*simulator, silence))
}

/// Fails unless a command came to this.
fn comes_to(came: &Came, status: i32, output: &str) -> Result<()> {
    ensure!(
        came.status == status && came.output == output,
        "status {}, output {:?}:\n{}",
        came.status,
        came.output,
        came.log
    );
    Ok(())
}

/// Runs a line, or nothing, in the container of something on the host.
fn contained(name: &str, host: &Path, line: &str) -> Result<Came> {
    let (addition, line) = exec::contained(host, line);
    came(name, &line, &[addition])
}

fn own(name: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    userland::bundle(folder.path(), CONFIG)?;
    comes_to(
        &contained(name, folder.path(), "")?,
        3,
        "its own in hosts\n",
    )
}

fn given(name: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let archive = image::make(&folder.path().join("image"))?;
    // The entry point, the shell, stays.
    let came = contained(name, &archive, "-c 'cat /etc/motd; exit 4'")?;
    comes_to(&came, 4, "two\n")
}

fn added(name: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    userland::bundle(folder.path(), CONFIG)?;
    let addition = format!("{}=containers/web", folder.path().display()).parse()?;
    let line = "container run --rm --name two web echo another; container run --rm web";
    comes_to(
        &came(name, line, &[addition])?,
        3,
        "another\nits own in hosts\n",
    )
}

/// Containers at once.
const COUNT: usize = 100;

fn hundred(name: &str) -> Result<()> {
    let runs: String = (1..=COUNT)
        .map(|number| format!("container run -d -m 2M --name c{number} busybox sleep 1000; "))
        .collect();
    // The first and the last do what they are told.
    let line = format!(
        "{runs}container exec c1 sh -c 'echo first'; container exec c{COUNT} sh -c 'echo last; exit 7'"
    );
    let names: String = (1..=COUNT).map(|number| format!("c{number}\n")).collect();
    comes_to(
        &came(name, &line, &[])?,
        7,
        &format!("{names}first\nlast\n"),
    )
}
