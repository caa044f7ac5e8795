// SPDX-License-Identifier: BSD-2-Clause
//! From a system description and programs to a folder that a simulator boots.

use crate::guest::Builder;
use crate::kernel;
use crate::sim::{Machine, SimError, Simulator};
use crate::symbols::Symbols;
use crate::tree::{Addition, Tree};
use crate::userland;
use crate::workspace::{Program, Role, progress, root};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use xos_sdf::System;

/// The name of the initial file tree in system descriptions: the `prefill_path` of the region that
/// holds it.
pub const TREE_FILE: &str = "files.tar";
/// The system that users live in.
const DEFAULT_SYSTEM: &str = "system.xml";
/// Names within the folder.
const KERNEL: &str = "kernel.elf";
const ROOT_TASK: &str = "root-task.elf";

/// A system that can be booted.
#[derive(Debug)]
pub struct Image {
    folder: PathBuf,
    symbols: Symbols,
}

impl Image {
    /// Boots it.
    pub fn boot(&self, simulator: &dyn Simulator) -> Result<Machine, SimError> {
        simulator.start(&self.folder, KERNEL, ROOT_TASK)
    }

    /// The programs in it.
    #[must_use]
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// What a system is packed from.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// Where the result goes: a folder of this name below `target/boot`.
    pub name: &'a str,
    /// The system description.
    pub description: &'a Path,
    /// Where programs and prefills are looked for: folders, and manifests whose programs are built.
    /// After these come the description's own folder and the workspace's programs.
    pub search: &'a [PathBuf],
    /// What the initial file tree holds beside the programs of `apps/`.
    pub additions: &'a [Addition],
    /// Files in it, and what is in them.
    pub files: &'a [(&'a str, Vec<u8>)],
    /// Programs of `tests/guests/` in it, `bin/NAME` like those of `apps/`.
    pub tests: &'a [&'a str],
}

/// Packs a root task alone, without a system.
pub fn root_task(builder: &Builder, name: &str, image: &Path) -> Result<Image> {
    let mut symbols = Symbols::default();
    symbols.insert("root-task", image);
    finish(builder, name, image, None, symbols)
}

/// Builds what a system needs and packs it.
pub fn system(builder: &Builder, recipe: &Recipe<'_>) -> Result<Image> {
    let description = recipe.description;
    let text = fs::read_to_string(description)
        .with_context(|| format!("no system description at {}", description.display()))?;
    let system = xos_sdf::parse(&text, &description.display().to_string())?;
    for warning in &system.warnings {
        eprintln!("xtask: warning: {warning}");
    }
    let uses_tree = system
        .memory_regions
        .iter()
        .any(|region| region.prefill_path.as_deref() == Some(TREE_FILE));
    let adds = !(recipe.additions.is_empty() && recipe.files.is_empty() && recipe.tests.is_empty());
    if adds && !uses_tree {
        bail!(
            "{} has no file tree to add to: no memory region has prefill_path=\"{TREE_FILE}\"",
            description.display()
        );
    }
    // All that can be wrong with the additions is said before anything is built.
    let mut tree = Tree::new();
    for (guest, bytes) in recipe.files {
        tree.add_bytes(guest.parse()?, bytes.clone())?;
    }
    for addition in recipe.additions {
        for note in tree.add(addition)? {
            eprintln!("xtask: {}: {note}", addition.host.display());
        }
    }

    let mut search = Search::default();
    for path in recipe.search {
        search.add(builder, path)?;
    }
    search
        .folders
        .extend(description.parent().map(|folder| folder.to_owned()));
    let all = builder.workspace().programs()?;
    if let Some(name) = recipe
        .tests
        .iter()
        .find(|name| all.iter().all(|p| p.name != **name))
    {
        bail!("no guest program is called {name}");
    }
    let programs = builder.build(&needed(&all, &system, uses_tree, recipe.tests))?;
    search.programs.extend(
        programs
            .iter()
            .map(|(name, image)| (name.clone(), image.clone())),
    );

    let folder = folder(builder, recipe.name)?;
    if uses_tree {
        let in_tree = |program: &&Program| {
            program.role == Role::App || recipe.tests.contains(&program.name.as_str())
        };
        for program in all.iter().filter(in_tree) {
            // A boot domain is not started a second time.
            if let (false, Some(host)) = (is_domain(&system, program), programs.get(&program.name))
            {
                let guest = format!("bin/{}", program.name).parse()?;
                tree.add(&Addition {
                    host: host.clone(),
                    guest,
                })?;
            }
        }
        userland::add_for_processors(&mut tree)?;
        if description == root().join(DEFAULT_SYSTEM) {
            userland::add(&mut tree)?;
        }
        let file = folder.join(TREE_FILE);
        let out =
            fs::File::create(&file).with_context(|| format!("cannot write {}", file.display()))?;
        tree.write(io::BufWriter::new(out))?;
    }

    let mut symbols = Symbols::default();
    for (name, image) in &programs {
        symbols.insert(name, image);
    }
    for domain in &system.protection_domains {
        if let Ok(image) = search.find(&domain.program_image.path) {
            symbols.insert(&domain.name, image);
        }
    }
    progress("packing the system");
    let packed = xos_sdf::lower(&system, |path| match path {
        TREE_FILE => fs::read(folder.join(TREE_FILE)),
        path => fs::read(search.find(path)?),
    })?;
    let root_task = all.iter().find(|program| program.role == Role::RootTask);
    let root_task = root_task.and_then(|program| programs.get(&program.name));
    let root_task = root_task.context("this workspace has no root task")?;
    finish(
        builder,
        recipe.name,
        root_task,
        Some(&packed.payload),
        symbols,
    )
}

/// The programs of the workspace that a system needs: those it names, those of its file tree, and
/// the root task.
fn needed(all: &[Program], system: &System, uses_tree: bool, tests: &[&str]) -> Vec<Program> {
    let needed = all.iter().filter(|program| match program.role {
        Role::RootTask => true,
        Role::App => uses_tree || is_domain(system, program),
        Role::Domain => is_domain(system, program),
        Role::Test => is_domain(system, program) || tests.contains(&program.name.as_str()),
    });
    needed.cloned().collect()
}

fn is_domain(system: &System, program: &Program) -> bool {
    let domains = &system.protection_domains;
    domains
        .iter()
        .any(|domain| stem(&domain.program_image.path) == program.name)
}

fn folder(builder: &Builder, name: &str) -> Result<PathBuf> {
    let folder = builder.workspace().target.join("boot").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn finish(
    builder: &Builder,
    name: &str,
    root_task: &Path,
    payload: Option<&[u8]>,
    symbols: Symbols,
) -> Result<Image> {
    let folder = folder(builder, name)?;
    kernel::multiboot_image(builder.prefix(), &folder.join(KERNEL))?;
    let elf =
        fs::read(root_task).with_context(|| format!("cannot read {}", root_task.display()))?;
    let image = match payload {
        Some(payload) => xos_sdf::append_payload(&elf, payload),
        None => xos_sdf::bootable(&elf),
    };
    let image = image.with_context(|| format!("{} cannot be booted", root_task.display()))?;
    let path = folder.join(ROOT_TASK);
    fs::write(&path, image).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Image { folder, symbols })
}

/// Where the files that a description names are looked for, in this order.
#[derive(Debug, Default)]
struct Search {
    folders: Vec<PathBuf>,
    /// Programs that were built, by name.
    programs: BTreeMap<String, PathBuf>,
}

impl Search {
    /// Adds a folder, or the programs of a manifest, which are built.
    fn add(&mut self, builder: &Builder, path: &Path) -> Result<()> {
        let metadata =
            fs::metadata(path).with_context(|| format!("cannot search {}", path.display()))?;
        if metadata.is_dir() {
            self.folders.push(path.to_owned());
        } else if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            self.programs.extend(builder.build_foreign(path)?);
        } else {
            bail!(
                "cannot search {}: it is neither a folder nor a Cargo.toml",
                path.display()
            );
        }
        Ok(())
    }

    /// Descriptions name programs `hello.elf`; Cargo calls them `hello`.
    fn find(&self, path: &str) -> io::Result<PathBuf> {
        let stem = stem(path);
        self.folders
            .iter()
            .flat_map(|folder| [folder.join(path), folder.join(stem)])
            .chain(self.programs.get(stem).cloned())
            .find(|path| path.is_file())
            .ok_or_else(|| {
                let folders: Vec<_> = self
                    .folders
                    .iter()
                    .map(|folder| folder.display().to_string())
                    .collect();
                let message = format!(
                    "not in the search path ({}) and no program of this workspace; add its folder \
                     or its Cargo.toml with --search-path",
                    folders.join(", ")
                );
                io::Error::new(io::ErrorKind::NotFound, message)
            })
    }
}

fn stem(path: &str) -> &str {
    path.strip_suffix(".elf").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(files: &[&str]) -> (tempfile::TempDir, Search) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(folder.path().join(file), file).unwrap();
        }
        let mut search = Search::default();
        search.folders.push(folder.path().to_owned());
        (folder, search)
    }

    #[test]
    fn programs_are_found_with_and_without_elf_at_the_end() {
        let (folder, search) = search(&["a.elf", "b"]);
        assert_eq!(search.find("a.elf").unwrap(), folder.path().join("a.elf"));
        assert_eq!(search.find("b.elf").unwrap(), folder.path().join("b"));
        assert!(search.find("a").is_err());
    }

    #[test]
    fn the_users_folders_come_before_the_workspaces_programs() {
        let (folder, mut search) = search(&["mine", "both"]);
        search
            .programs
            .insert("both".into(), folder.path().join("mine"));
        search
            .programs
            .insert("ours".into(), folder.path().join("mine"));
        assert_eq!(search.find("both.elf").unwrap(), folder.path().join("both"));
        assert_eq!(search.find("ours.elf").unwrap(), folder.path().join("mine"));
    }

    #[test]
    fn a_program_that_is_not_found_comes_with_where_it_was_looked_for() {
        let (folder, search) = search(&[]);
        let error = search.find("x.elf").unwrap_err().to_string();
        assert!(
            error.contains(&folder.path().display().to_string()),
            "{error}"
        );
        assert!(error.contains("--search-path"), "{error}");
    }
}
