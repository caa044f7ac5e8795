// SPDX-License-Identifier: BSD-2-Clause
//! The initial tree: a tar archive (ustar, with the extended headers of POSIX.1-2001 for long names)
//! becomes files with owners, modes, times and links. What is in the files stays where the archive is.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use linux_raw_sys::general::{S_IFDIR, S_IFLNK};

use super::device::NoProcesses;
use super::{Change, Env, FileSystem, Kind, NAME_MAX, New, Rights, Time, device_number};
use crate::file::Files;
use crate::{Credentials, Errno, Pages, ProcessId};

/// Bytes of a block.
const BLOCK: usize = 512;

/// Why an archive cannot become files.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is no archive, or not whole.
    #[error("the archive is corrupt: {0}")]
    Corrupt(&'static str),
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

/// The fields of a header, as bytes: an archive has hundreds of them, and a container begins by reading them all.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8]);

impl<'a> Header<'a> {
    const NAME: Range<usize> = 0..100;
    const MODE: Range<usize> = 100..108;
    const UID: Range<usize> = 108..116;
    const GID: Range<usize> = 116..124;
    const SIZE: Range<usize> = 124..136;
    const MTIME: Range<usize> = 136..148;
    const SUM: Range<usize> = 148..156;
    const TYPE: usize = 156;
    const LINK: Range<usize> = 157..257;
    const MAGIC: Range<usize> = 257..263;
    const MAJOR: Range<usize> = 329..337;
    const MINOR: Range<usize> = 337..345;
    const PREFIX: Range<usize> = 345..500;

    /// Whether its checksum is right: the sum of its bytes, where blanks are in the place of the sum itself.
    fn is_whole(self) -> bool {
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        let blanks = Self::SUM.len() as u32 * u32::from(b' ');
        let own = sum(self.0) - sum(&self.0[Self::SUM]) + blanks;
        self.number(Self::SUM) == Some(own.into())
    }

    /// A text, up to the first NUL byte.
    fn text(self, field: Range<usize>) -> Option<&'a str> {
        let bytes = &self.0[field];
        let end = bytes.iter().position(|byte| *byte == 0);
        core::str::from_utf8(&bytes[..end.unwrap_or(bytes.len())]).ok()
    }

    /// A number: octal digits between blanks; none is 0.
    fn number(self, field: Range<usize>) -> Option<u64> {
        let bytes = &self.0[field];
        let end = bytes.iter().position(|byte| *byte == 0);
        let digits = bytes[..end.unwrap_or(bytes.len())].trim_ascii();
        digits.iter().try_fold(0u64, |number, digit| match digit {
            b'0'..=b'7' => number.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
            _ => None,
        })
    }
}

/// What an entry is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    File(Kind),
    /// Another name of a file.
    HardLink,
    /// An extended header, of the next entry.
    OfNext,
    /// The same of all entries.
    OfAll,
}

impl Flag {
    const fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            0 | b'0' | b'7' => Self::File(Kind::Regular),
            b'1' => Self::HardLink,
            b'2' => Self::File(Kind::Link),
            b'3' => Self::File(Kind::Character),
            b'4' => Self::File(Kind::Block),
            b'5' => Self::File(Kind::Directory),
            b'6' => Self::File(Kind::Pipe),
            b'x' => Self::OfNext,
            b'g' => Self::OfAll,
            _ => return None,
        })
    }

    /// Whether its size says how many bytes there are behind the header.
    const fn has_contents(self) -> bool {
        matches!(self, Self::File(Kind::Regular) | Self::OfNext | Self::OfAll)
    }
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
    /// What its path has before its name.
    folder: &'a str,
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
        let mut folder = Folder::default();
        let (mut count, mut next) = (0, 0);
        loop {
            let block = next;
            let bad = |what| ArchiveError::Header { block, what };
            let start = (block + 1) * BLOCK;
            let header = archive.get(block * BLOCK..start);
            let header = Header(header.ok_or(ArchiveError::Corrupt("it has no end"))?);
            // Two empty blocks are the end; nobody needs the second one.
            if header.0.iter().all(|byte| *byte == 0) {
                break;
            }
            if !header.is_whole() {
                return Err(bad("checksum"));
            }
            let flag = Flag::of(header.0[Header::TYPE]).ok_or(bad("type"))?;
            let size = header.number(Header::SIZE).ok_or(bad("size"))? as usize;
            next = block + 1;
            let mut contents: &'static [u8] = &[];
            if flag.has_contents() {
                let end = start.checked_add(size);
                let found = end.and_then(|end| archive.get(start..end));
                contents = found.ok_or(bad("size"))?;
                next += size.div_ceil(BLOCK);
            }
            match flag {
                Flag::OfAll => continue,
                Flag::OfNext => {
                    let text = core::str::from_utf8(contents).ok();
                    let taken = text.and_then(|text| extended.take(text));
                    taken.ok_or(bad("extended header"))?;
                    continue;
                }
                _ => {}
            }
            let said = core::mem::take(&mut extended);
            if said.size.is_some_and(|said| said != size as u64) {
                return Err(bad("size"));
            }
            let path = match &said.path {
                Some(path) => Cow::Borrowed(&**path),
                None => short_path(header).ok_or(bad("name"))?,
            };
            let link = match &said.link {
                Some(link) => link,
                None => header.text(Header::LINK).ok_or(bad("link"))?,
            };
            let entry = entry(header, flag, &said, &path, link, contents).map_err(bad)?;
            make(system, &mut env, root.ino, &entry, &mut folder).map_err(|errno| {
                ArchiveError::File {
                    path: path.clone().into_owned(),
                    errno,
                }
            })?;
            count += 1;
        }
        Ok(count)
    }
}

fn short_path(header: Header<'_>) -> Option<Cow<'_, str>> {
    let name = header.text(Header::NAME)?;
    // GNU's own format ("ustar  ") has other things where ustar has the prefix.
    let prefix = match header.text(Header::MAGIC)? {
        "ustar" => header.text(Header::PREFIX)?,
        _ => "",
    };
    Some(match prefix {
        "" => Cow::Borrowed(name),
        prefix => Cow::Owned(alloc::format!("{prefix}/{name}")),
    })
}

fn entry<'a>(
    header: Header<'_>,
    flag: Flag,
    said: &Extended,
    path: &'a str,
    link: &'a str,
    contents: &'static [u8],
) -> Result<Entry<'a>, &'static str> {
    let field = |field, what| header.number(field).ok_or(what);
    let mode = field(Header::MODE, "mode")? as u32 & 0o7777;
    let kind = match flag {
        // Before there was a type for directories.
        Flag::File(Kind::Regular) if path.ends_with('/') => Kind::Directory,
        Flag::File(kind) => kind,
        Flag::HardLink => Kind::Regular,
        Flag::OfNext | Flag::OfAll => return Err("type"),
    };
    let id = |said: Option<u32>, place, what| match said {
        Some(id) => Ok(id),
        None => field(place, what).map(|id| id as u32),
    };
    let device = match kind {
        Kind::Character | Kind::Block => device_number(
            field(Header::MAJOR, "device")? as u32,
            field(Header::MINOR, "device")? as u32,
        ),
        _ => 0,
    };
    let seconds = match said.seconds {
        Some(seconds) => seconds,
        None => field(Header::MTIME, "time")? as i64,
    };
    let whole = path.trim_end_matches('/');
    Ok(Entry {
        kind,
        hard_link: flag == Flag::HardLink,
        names: names(path).ok_or("name")?,
        folder: whole.rsplit_once('/').map_or("", |(folder, _)| folder),
        link,
        rights: Rights {
            mode: kind.bits() | mode,
            uid: id(said.uid, Header::UID, "owner")?,
            gid: id(said.gid, Header::GID, "group")?,
        },
        device,
        contents: match kind {
            Kind::Regular => contents,
            _ => &[],
        },
        time: Time {
            seconds,
            nanoseconds: 0,
        },
    })
}

/// The directory that the last entry was in: the next one is mostly in the same.
#[derive(Default)]
struct Folder(Option<(String, u64)>);

impl Folder {
    /// That of an entry with these names above it.
    fn find(
        &mut self,
        system: &mut dyn FileSystem,
        env: &mut Env,
        root: u64,
        path: &str,
        names: &[&[u8]],
    ) -> Result<u64, Errno> {
        match &self.0 {
            Some((known, ino)) if known == path => Ok(*ino),
            _ => {
                let ino = directory(system, env, root, names)?;
                self.0 = Some((path.to_string(), ino));
                Ok(ino)
            }
        }
    }
}

fn make(
    system: &mut dyn FileSystem,
    env: &mut Env,
    root: u64,
    entry: &Entry,
    folder: &mut Folder,
) -> Result<(), Errno> {
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
    let parent = folder.find(system, env, root, entry.folder, parents)?;
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
            // Which may be the one that is remembered.
            folder.0 = None;
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
