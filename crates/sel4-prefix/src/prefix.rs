// SPDX-License-Identifier: BSD-2-Clause
//! Where a kernel is installed, and whether this workspace can use it.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use thiserror::Error;

use crate::bitfield::{self, BitfieldError, Definitions};
use crate::c::{Header, HeaderError, compiler};
use crate::config::{Config, Value};
use crate::interface::{InterfaceError, Interfaces, Syscall, syscalls};

/// The environment variable that selects another kernel than the default one.
pub const SEL4_PREFIX: &str = "SEL4_PREFIX";

const INTERFACES: [&str; 3] = [
    // The order in which labels are counted.
    "interfaces/object-api.xml",
    "interfaces/object-api-sel4-arch.xml",
    "interfaces/object-api-arch.xml",
];
const SYSCALLS: &str = "api/syscall.xml";
const KERNEL_CONFIG: &str = "kernel/gen_config.json";
const LIBSEL4_CONFIG: &str = "sel4/gen_config.json";
const HEADERS: [&str; 4] = [
    "sel4/types.h",
    "sel4/bootinfo_types.h",
    "sel4/arch/bootinfo_types.h",
    "sel4/arch/vmenter.h",
];

/// An installed kernel that this workspace supports.
#[derive(Debug, Clone)]
pub struct Prefix {
    root: PathBuf,
    config: Config,
}

/// Why a prefix cannot be used. Each is one line that says what to do.
#[derive(Debug, Error)]
pub enum PrefixError {
    /// The default kernel has not been built.
    #[error(
        "no kernel at {0}: run `cargo xtask kernel`, or set SEL4_PREFIX to an installed kernel"
    )]
    NotBuilt(PathBuf),
    /// A file of the installation is missing.
    #[error(
        "{root} is no seL4 installation: {file} is missing (expected the layout of seL4's `ninja install`)"
    )]
    Missing {
        /// The prefix.
        root: PathBuf,
        /// The missing file, relative to the prefix.
        file: String,
    },
    /// A file could not be read.
    #[error("{0}: {1}")]
    Read(PathBuf, io::Error),
    /// A file's content is not understood.
    #[error("{0}: {1}")]
    Content(PathBuf, String),
    /// A kernel that the bindings do not cover.
    #[error("the kernel at {root} is not supported: {reason}")]
    Unsupported {
        /// The prefix.
        root: PathBuf,
        /// What about it.
        reason: String,
    },
    /// The C headers could not be read.
    #[error("{0}: {1}")]
    Header(PathBuf, HeaderError),
}

impl Prefix {
    /// The prefix that a build uses: `SEL4_PREFIX` if it is set, else the release flavour of the
    /// default kernel, `target/kernel/release` in the workspace.
    ///
    /// # Errors
    /// [`PrefixError`].
    pub fn locate(workspace_root: &Path) -> Result<Self, PrefixError> {
        match env::var_os(SEL4_PREFIX) {
            Some(path) if !path.is_empty() => Self::open(workspace_root.join(path)),
            _ => {
                let path = workspace_root.join("target/kernel/release");
                if !path.join("bin/kernel.elf").exists() {
                    return Err(PrefixError::NotBuilt(path));
                }
                Self::open(path)
            }
        }
    }

    /// Opens an installed kernel and checks that the bindings support it.
    ///
    /// # Errors
    /// [`PrefixError`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, PrefixError> {
        let root = root.into();
        let include = root.join("libsel4/include");
        let required = INTERFACES
            .iter()
            .chain([&SYSCALLS, &KERNEL_CONFIG, &HEADERS[0], &HEADERS[1]])
            .map(|file| format!("libsel4/include/{file}"))
            .chain(["bin/kernel.elf".to_owned()]);
        for file in required {
            if !root.join(&file).is_file() {
                return Err(PrefixError::Missing { root, file });
            }
        }
        let mut config = read_config(&include.join(KERNEL_CONFIG))?;
        let libsel4 = include.join(LIBSEL4_CONFIG);
        if libsel4.is_file() {
            config.extend(read_config(&libsel4)?);
        }
        let prefix = Self { root, config };
        prefix.check()?;
        Ok(prefix)
    }

    fn check(&self) -> Result<(), PrefixError> {
        let unsupported = |reason: &str| {
            Err(PrefixError::Unsupported {
                root: self.root.clone(),
                reason: reason.to_owned(),
            })
        };
        if !self.config.is_set("ARCH_X86_64") {
            return unsupported("its architecture is not x86_64");
        }
        if self.config.is_set("KERNEL_MCS") {
            return unsupported("it is an MCS kernel (KERNEL_MCS)");
        }
        if !self.config.is_set("SYSENTER") {
            return unsupported(
                "its system calls use the `syscall` instruction, which foreign binaries need to \
                 trap; build it with SYSENTER",
            );
        }
        if !matches!(self.config.get("MAX_NUM_NODES"), Some(Value::Text(n)) if n == "1") {
            return unsupported("it is multicore (MAX_NUM_NODES is not 1)");
        }
        // The last thing that every kernel after 5.0.0 has and 5.0.0 has not.
        if self.text(INTERFACES[0])?.contains("\"TCBSetTLSBase\"") {
            return unsupported("it is newer than seL4 5.0, which the bindings do not cover yet");
        }
        Ok(())
    }

    /// The prefix's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the C headers and interface definitions.
    pub fn include(&self) -> PathBuf {
        self.root.join("libsel4/include")
    }

    /// The kernel as a 64-bit ELF file, for its symbols.
    pub fn kernel_elf(&self) -> PathBuf {
        self.root.join("bin/kernel.elf")
    }

    /// The kernel as the 32-bit ELF file that multiboot loaders accept.
    ///
    /// # Errors
    /// [`PrefixError::Missing`] if the installation has none: `objcopy -O elf32-i386` makes it.
    pub fn multiboot_kernel(&self) -> Result<PathBuf, PrefixError> {
        let path = self.root.join("bin/kernel32.elf");
        if path.is_file() {
            return Ok(path);
        }
        Err(PrefixError::Missing {
            root: self.root.clone(),
            file:
                "bin/kernel32.elf (make it: objcopy -O elf32-i386 bin/kernel.elf bin/kernel32.elf)"
                    .to_owned(),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The invocations that exist in this configuration.
    ///
    /// # Errors
    /// [`PrefixError`], with the file.
    pub fn interfaces(&self) -> Result<Interfaces, PrefixError> {
        let mut all = Interfaces::default();
        for file in INTERFACES {
            let text = self.text(file)?;
            all.add(&text, &self.config)
                .map_err(|e: InterfaceError| self.content(file, e))?;
        }
        Ok(all)
    }

    /// The system calls that exist in this configuration.
    ///
    /// # Errors
    /// [`PrefixError`], with the file.
    pub fn syscalls(&self) -> Result<Vec<Syscall>, PrefixError> {
        let text = self.text(SYSCALLS)?;
        syscalls(&text, &self.config).map_err(|e| self.content(SYSCALLS, e))
    }

    /// The bit fields of all `.pbf` files.
    ///
    /// # Errors
    /// [`PrefixError`], with the file.
    pub fn bitfields(&self) -> Result<Definitions, PrefixError> {
        let mut files = Vec::new();
        find_pbf(&self.include(), &mut files)?;
        files.sort();
        if files.is_empty() {
            return Err(PrefixError::Missing {
                root: self.root.clone(),
                file: "libsel4/include/**/*.pbf".to_owned(),
            });
        }
        let mut all = Definitions::default();
        for file in files {
            let text = read(&file)?;
            let parsed = bitfield::parse(&text)
                .map_err(|e: BitfieldError| PrefixError::Content(file, e.to_string()))?;
            all.base = parsed.base;
            all.blocks.extend(parsed.blocks);
            all.unions.extend(parsed.unions);
        }
        Ok(all)
    }

    /// The declarations of the C headers.
    ///
    /// # Errors
    /// [`PrefixError::Header`].
    pub fn header(&self) -> Result<Header, PrefixError> {
        let include = self.include();
        let present: Vec<&str> = HEADERS
            .into_iter()
            .filter(|header| include.join(header).is_file())
            .collect();
        Header::read(&compiler(), &include, &present).map_err(|e| PrefixError::Header(include, e))
    }

    fn text(&self, file: &str) -> Result<String, PrefixError> {
        read(&self.include().join(file))
    }

    fn content(&self, file: &str, error: impl ToString) -> PrefixError {
        PrefixError::Content(self.include().join(file), error.to_string())
    }
}

fn read(path: &Path) -> Result<String, PrefixError> {
    fs::read_to_string(path).map_err(|e| PrefixError::Read(path.to_owned(), e))
}

fn read_config(path: &Path) -> Result<Config, PrefixError> {
    Config::from_json(&read(path)?).map_err(|e| PrefixError::Content(path.to_owned(), e))
}

fn find_pbf(dir: &Path, out: &mut Vec<PathBuf>) -> Result<(), PrefixError> {
    let fail = |e| PrefixError::Read(dir.to_owned(), e);
    for entry in fs::read_dir(dir).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.is_dir() {
            find_pbf(&path, out)?;
        } else if path.extension().is_some_and(|e| e == "pbf") {
            out.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An installation with the least that is looked at, and one change.
    fn installation(config: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut files: Vec<_> = INTERFACES.iter().map(|f| (*f, "<api/>")).collect();
        files.extend([(SYSCALLS, "<syscalls/>"), (KERNEL_CONFIG, config)]);
        files.extend(HEADERS.map(|f| (f, "")));
        files.extend([("../../bin/kernel.elf", "")]);
        for (file, text) in files {
            let path = dir.path().join("libsel4/include").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    const GOOD: &str = r#"{"ARCH_X86_64": true, "SYSENTER": true, "MAX_NUM_NODES": "1"}"#;

    #[test]
    fn a_complete_installation_opens() {
        let dir = installation(GOOD);
        let prefix = Prefix::open(dir.path()).unwrap();
        assert!(prefix.config().is_set("SYSENTER"));
        assert!(prefix.multiboot_kernel().is_err());
    }

    #[test]
    fn a_missing_file_is_named() {
        let dir = installation(GOOD);
        fs::remove_file(dir.path().join("libsel4/include").join(SYSCALLS)).unwrap();
        let error = Prefix::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("libsel4/include/api/syscall.xml"), "{error}");
    }

    #[test]
    fn each_unsupported_configuration_is_one_clear_line() {
        for (from, to, message) in [
            ("ARCH_X86_64", "ARCH_AARCH64", "not x86_64"),
            ("SYSENTER", "SYSCALL", "SYSENTER"),
            ("\"1\"", "\"4\"", "multicore"),
            ("{", "{\"KERNEL_MCS\": true, ", "MCS"),
        ] {
            let dir = installation(&GOOD.replacen(from, to, 1));
            let error = Prefix::open(dir.path()).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            assert_eq!(error.lines().count(), 1);
        }
    }

    #[test]
    fn a_newer_kernel_is_refused() {
        let dir = installation(GOOD);
        let path = dir.path().join("libsel4/include").join(INTERFACES[0]);
        fs::write(path, r#"<api><method id="TCBSetTLSBase"/></api>"#).unwrap();
        let error = Prefix::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("newer than seL4 5.0"), "{error}");
    }

    #[test]
    fn a_broken_configuration_is_named() {
        let dir = installation("{");
        let error = Prefix::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("gen_config.json"), "{error}");
    }

    #[test]
    fn a_folder_that_is_none_says_so() {
        let error = Prefix::open("/nonexistent").unwrap_err().to_string();
        assert!(error.contains("no seL4 installation"), "{error}");
    }
}
