// SPDX-License-Identifier: BSD-2-Clause
//! The initial tree: a tar archive (ustar, with the extended headers of POSIX.1-2001 for long names)
//! becomes files with owners, modes, times and links. What is in the files stays where the archive is.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use linux_raw_sys::general::{S_IFDIR, S_IFLNK};
use tar_no_std::{PosixHeader, TarArchiveRef};

use super::device::NoProcesses;
use super::{Change, Env, FileSystem, Kind, NAME_MAX, New, Rights, Time, device_number};
use crate::file::Files;
use crate::{Credentials, Errno, Pages, ProcessId};

/// Bytes of a block.
const BLOCK: usize = 512;

/// Why an archive cannot become files.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is no archive, or of a kind that is not supported.
    #[error("the archive is corrupt: {0}")]
    Corrupt(String),
    /// A header has something that it may not have.
    #[error("the archive's header at block {block} has a bad {what}")]
    Header {
        /// Where it is.
        block: usize,
        /// What is wrong in it.
        what: &'static str,
    },
    /// A file cannot be made.
    #[error("{path} of the archive cannot be made: {errno}")]
    File {
        /// Its path.
        path: String,
        /// Why.
        errno: Errno,
    },
}

/// What an extended header says of the next entry.
#[derive(Default)]
struct Extended {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    seconds: Option<i64>,
}

impl Extended {
    /// Takes in records of the form `LENGTH KEY=VALUE\n`.
    fn take(&mut self, mut records: &str) -> Option<()> {
        while !records.is_empty() {
            let (length, _) = records.split_once(' ')?;
            let length: usize = length.parse().ok()?;
            let record = records.get(..length)?.strip_suffix('\n')?;
            records = &records[length..];
            let (key, value) = record.split_once(' ')?.1.split_once('=')?;
            match key {
                "path" => self.path = Some(value.to_string()),
                "linkpath" => self.link = Some(value.to_string()),
                "size" => self.size = Some(value.parse().ok()?),
                "uid" => self.uid = Some(value.parse().ok()?),
                "gid" => self.gid = Some(value.parse().ok()?),
                "mtime" => self.seconds = Some(value.split('.').next()?.parse().ok()?),
                _ => {}
            }
        }
        Some(())
    }
}

fn octal(text: Result<&str, core::str::Utf8Error>) -> Option<u64> {
    let text = text.ok()?.trim_matches([' ', '\0']);
    if text.is_empty() {
        return Some(0);
    }
    u64::from_str_radix(text, 8).ok()
}

/// The names in a path; none of them leads up.
fn names(path: &str) -> Option<Vec<&[u8]>> {
    let names: Vec<_> = path
        .split('/')
        .filter(|name| !name.is_empty() && *name != ".")
        .map(str::as_bytes)
        .collect();
    let fine = |name: &&[u8]| *name != b".." && name.len() <= NAME_MAX && !name.contains(&0);
    names.iter().all(fine).then_some(names)
}

/// An entry, all said and done.
struct Entry<'a> {
    kind: Kind,
    hard_link: bool,
    names: Vec<&'a [u8]>,
    link: &'a str,
    rights: Rights,
    device: u64,
    contents: &'static [u8],
    time: Time,
}

impl Files {
    /// Fills the root file system from an archive; what is there already stays, unless the archive has it too.
    /// Gives the number of entries.
    ///
    /// # Errors
    /// [`ArchiveError`]; what came before the entry in question is there then.
    pub fn load(
        &mut self,
        pages: &mut dyn Pages,
        archive: &'static [u8],
        now: Time,
    ) -> Result<usize, ArchiveError> {
        let tar = TarArchiveRef::new(archive)
            .map_err(|error| ArchiveError::Corrupt(alloc::format!("{error:?}")))?;
        let nobody = Credentials::root();
        let root = self.root();
        let (system, mounts) = self.vfs.split(root.fs);
        let mut env = Env {
            pages,
            processes: &NoProcesses,
            descriptors: &self.descriptors,
            terminals: &self.terminals,
            mounts,
            process: ProcessId::INIT,
            credentials: &nobody,
            now,
        };
        let mut extended = Extended::default();
        let mut count = 0;
        for (block, header) in tar.headers() {
            let bad = |what| ArchiveError::Header { block, what };
            let size = octal(header.size.as_inner().as_str()).ok_or(bad("size"))? as usize;
            let start = (block + 1) * BLOCK;
            let contents = start
                .checked_add(size)
                .and_then(|end| archive.get(start..end));
            match header.typeflag.try_to_type_flag() {
                Err(_) => return Err(bad("type")),
                Ok(tar_no_std::TypeFlag::XGLTYPE) => continue,
                Ok(tar_no_std::TypeFlag::XHDTYPE) => {
                    let text = contents.and_then(|bytes| core::str::from_utf8(bytes).ok());
                    let taken = text.and_then(|text| extended.take(text));
                    taken.ok_or(bad("extended header"))?;
                    continue;
                }
                Ok(_) => {}
            }
            let said = core::mem::take(&mut extended);
            if said.size.is_some_and(|said| said != size as u64) {
                return Err(bad("size"));
            }
            let path = match &said.path {
                Some(path) => path.clone(),
                None => short_path(header).ok_or(bad("name"))?,
            };
            let link = match &said.link {
                Some(link) => link.clone(),
                None => header
                    .linkname
                    .as_str()
                    .map_err(|_| bad("link"))?
                    .to_string(),
            };
            let entry = entry(header, &said, &path, &link, contents).map_err(bad)?;
            make(system, &mut env, root.ino, &entry).map_err(|errno| ArchiveError::File {
                path: path.clone(),
                errno,
            })?;
            count += 1;
        }
        Ok(count)
    }
}

fn short_path(header: &PosixHeader) -> Option<String> {
    let name = header.name.as_str().ok()?;
    let ustar = header.magic.as_str().ok()?.starts_with("ustar");
    // GNU's own format ("ustar  ") has other things where ustar has the prefix.
    let gnu = header.magic.as_str().ok()?.ends_with(' ');
    let prefix = header.prefix.as_str().ok()?;
    Some(if ustar && !gnu && !prefix.is_empty() {
        alloc::format!("{prefix}/{name}")
    } else {
        name.to_string()
    })
}

fn entry<'a>(
    header: &PosixHeader,
    said: &Extended,
    path: &'a str,
    link: &'a str,
    contents: Option<&'static [u8]>,
) -> Result<Entry<'a>, &'static str> {
    use tar_no_std::TypeFlag as Flag;
    let flag = header.typeflag.try_to_type_flag().map_err(|_| "type")?;
    let field = |text, what| octal(text).ok_or(what);
    let mode = header.mode.to_flags().map_err(|_| "mode")?.bits() as u32 & 0o7777;
    let kind = match flag {
        Flag::AREGTYPE if path.ends_with('/') => Kind::Directory,
        Flag::REGTYPE | Flag::AREGTYPE | Flag::CONTTYPE | Flag::LINK => Kind::Regular,
        Flag::SYMTYPE => Kind::Link,
        Flag::CHRTYPE => Kind::Character,
        Flag::BLKTYPE => Kind::Block,
        Flag::DIRTYPE => Kind::Directory,
        Flag::FIFOTYPE => Kind::Pipe,
        Flag::XHDTYPE | Flag::XGLTYPE => return Err("type"),
    };
    let id = |said: Option<u32>, text, what| match said {
        Some(id) => Ok(id),
        None => field(text, what).map(|id| id as u32),
    };
    let device = match kind {
        Kind::Character | Kind::Block => device_number(
            field(header.dev_major.as_inner().as_str(), "device")? as u32,
            field(header.dev_minor.as_inner().as_str(), "device")? as u32,
        ),
        _ => 0,
    };
    let seconds = match said.seconds {
        Some(seconds) => seconds,
        None => field(header.mtime.as_inner().as_str(), "time")? as i64,
    };
    let regular = kind == Kind::Regular && flag != Flag::LINK;
    Ok(Entry {
        kind,
        hard_link: flag == Flag::LINK,
        names: names(path).ok_or("name")?,
        link,
        rights: Rights {
            mode: kind.bits() | mode,
            uid: id(said.uid, header.uid.as_inner().as_str(), "owner")?,
            gid: id(said.gid, header.gid.as_inner().as_str(), "group")?,
        },
        device,
        contents: if regular {
            contents.ok_or("size")?
        } else {
            &[]
        },
        time: Time {
            seconds,
            nanoseconds: 0,
        },
    })
}

fn make(system: &mut dyn FileSystem, env: &mut Env, root: u64, entry: &Entry) -> Result<(), Errno> {
    let owned = Change {
        mode: Some(entry.rights.mode & 0o7777),
        uid: Some(entry.rights.uid),
        gid: Some(entry.rights.gid),
        atime: Some(entry.time),
        mtime: Some(entry.time),
    };
    let Some((name, parents)) = entry.names.split_last() else {
        return system.change(env, root, &owned);
    };
    let parent = directory(system, env, root, parents)?;
    let there = match system.find(env, parent, name) {
        Ok(ino) => Some(ino),
        Err(Errno::NOENT) => None,
        Err(error) => return Err(error),
    };
    if let Some(ino) = there {
        let is_directory = system.rights(env, ino)?.is_directory();
        if is_directory && entry.kind == Kind::Directory {
            return system.change(env, ino, &owned);
        }
        if is_directory {
            system.remove(env, parent, name)?;
        } else {
            system.unlink(env, parent, name)?;
        }
    }
    if entry.hard_link {
        let names = names(entry.link).ok_or(Errno::INVAL)?;
        let (last, above) = names.split_last().ok_or(Errno::INVAL)?;
        let above = directory(system, env, root, above)?;
        let ino = system.find(env, above, last)?;
        return system.add_name(env, parent, name, ino);
    }
    let new = match entry.kind {
        Kind::Directory => New::Directory,
        Kind::Link if entry.link.is_empty() => return Err(Errno::INVAL),
        Kind::Link => New::Link(entry.link.as_bytes()),
        kind => New::File(kind, entry.device),
    };
    let mut rights = entry.rights;
    if entry.kind == Kind::Link {
        rights.mode = S_IFLNK | 0o777;
    }
    let ino = system.create(env, parent, name, new, rights)?;
    if !entry.contents.is_empty() {
        system.share(ino, entry.contents)?;
    }
    system.change(
        env,
        ino,
        &Change {
            atime: Some(entry.time),
            mtime: Some(entry.time),
            ..Change::default()
        },
    )
}

/// The directory of these names, made where it is missing. Links are not followed: nothing leads out of
/// the tree or to where the archive does not say.
fn directory(
    system: &mut dyn FileSystem,
    env: &mut Env,
    root: u64,
    names: &[&[u8]],
) -> Result<u64, Errno> {
    let mut at = root;
    for name in names {
        at = match system.find(env, at, name) {
            Ok(ino) if system.rights(env, ino)?.is_directory() => ino,
            Ok(_) => return Err(Errno::NOTDIR),
            Err(Errno::NOENT) => {
                let rights = Rights {
                    mode: S_IFDIR | 0o755,
                    uid: 0,
                    gid: 0,
                };
                system.create(env, at, name, New::Directory, rights)?
            }
            Err(error) => return Err(error),
        };
    }
    Ok(at)
}
