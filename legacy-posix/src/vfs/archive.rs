// SPDX-License-Identifier: BSD-2-Clause
//! The initial tree: a tar archive (ustar, with the extended headers of POSIX.1-2001 for long names)
//! becomes files with owners, modes, times and links. Names, what is in the files and where links lead stays where
//! the archive is.
//!
//! An archive has hundreds of entries, and a container begins by reading them all: so they are looked at by their
//! bytes, and as few times as can be.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use linux_raw_sys::general::{S_IFDIR, S_IFLNK};

use super::device::NoProcesses;
use super::{
    Change, Env, FileSystem, Kind, Lasting, NAME_MAX, New, Of, Rights, Time, device_number,
};
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
    path: Option<&'static str>,
    link: Option<&'static str>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    seconds: Option<i64>,
}

impl Extended {
    /// Takes in records of the form `LENGTH KEY=VALUE\n`.
    fn take(&mut self, mut records: &'static str) -> Option<()> {
        while !records.is_empty() {
            let (length, _) = records.split_once(' ')?;
            let length: usize = length.parse().ok()?;
            let record = records.get(..length)?.strip_suffix('\n')?;
            records = &records[length..];
            let (key, value) = record.split_once(' ')?.1.split_once('=')?;
            match key {
                "path" => self.path = Some(value),
                "linkpath" => self.link = Some(value),
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

/// The fields of a header, as bytes.
#[derive(Clone, Copy)]
struct Header(&'static [u8; BLOCK]);

impl Header {
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
        // The sums of eight bytes at a time, two by two: four sums, each below 2^16.
        const EVERY_OTHER: u64 = 0x00ff_00ff_00ff_00ff;
        let (words, _) = self.0.as_chunks();
        let sums = words.iter().fold(0, |sums, word| {
            let word = u64::from_le_bytes(*word);
            sums + (word & EVERY_OTHER) + (word >> 8 & EVERY_OTHER)
        });
        let all: u64 = (0..4).map(|sum| sums >> (16 * sum) & 0xffff).sum();
        let stored = &self.0[Self::SUM];
        let of_stored: u64 = stored.iter().map(|byte| u64::from(*byte)).sum();
        let blanks = stored.len() as u64 * u64::from(b' ');
        self.number(Self::SUM) == Some(all - of_stored + blanks)
    }

    /// A text, up to the first NUL byte.
    fn text(self, field: Range<usize>) -> Option<&'static str> {
        let bytes = &self.0[field];
        let end = bytes.iter().position(|byte| *byte == 0);
        core::str::from_utf8(&bytes[..end.unwrap_or(bytes.len())]).ok()
    }

    /// A number: octal digits between blanks, up to the first NUL byte; none is 0. No field is long enough for one that
    /// does not fit.
    fn number(self, field: Range<usize>) -> Option<u64> {
        const { assert!(Self::SIZE.end - Self::SIZE.start <= u64::BITS as usize / 3) };
        let mut number = 0;
        let mut bytes = self.0[field].iter().skip_while(|byte| **byte == b' ');
        for byte in bytes.by_ref() {
            match byte {
                b'0'..=b'7' => number = number << 3 | u64::from(byte - b'0'),
                b' ' => break,
                0 => return Some(number),
                _ => return None,
            }
        }
        let rest = bytes.take_while(|byte| **byte != 0);
        rest.into_iter().all(|byte| *byte == b' ').then_some(number)
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

/// A path, in two pieces: what comes before the last slash at least, and the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Path(&'static str, &'static str);

impl Path {
    /// That of a header which nothing else names.
    fn of(header: Header) -> Option<Self> {
        let name = header.text(Header::NAME)?;
        // GNU's own format ("ustar  ") has other things where ustar has the prefix.
        Some(match header.text(Header::MAGIC)? {
            "ustar" => Self(header.text(Header::PREFIX)?, name),
            _ => Self("", name),
        })
    }

    /// The names in it; none of them leads up.
    fn names(self) -> Option<Vec<&'static str>> {
        let names = self.0.split('/').chain(self.1.split('/'));
        let names: Vec<_> = names.filter(|name| !matches!(*name, "" | ".")).collect();
        names.iter().all(|name| is_name(name)).then_some(names)
    }

    /// What it has before its last name, and that, if it ends in one.
    fn split(self) -> Option<(Self, &'static str)> {
        let whole = self.1.trim_end_matches('/');
        let (folder, name) = whole.rsplit_once('/').unwrap_or(("", whole));
        match name {
            "" | "." => None,
            name => Some((Self(self.0, folder), name)),
        }
    }

    fn text(self) -> String {
        let between = if self.0.is_empty() { "" } else { "/" };
        [self.0, between, self.1].concat()
    }
}

/// Whether a file can have this name.
fn is_name(name: &str) -> bool {
    name != ".." && name.len() <= NAME_MAX && !name.as_bytes().contains(&0)
}

/// An entry, all said and done.
struct Entry {
    path: Path,
    of: OfEntry,
    rights: Rights,
    time: Time,
}

/// What an entry is.
enum OfEntry {
    /// A file.
    File(Of),
    /// Another name of the file with this path.
    HardLink(&'static str),
}

impl Entry {
    /// That of a header and what an extended one says. Says what is wrong in it.
    fn read(
        header: Header,
        flag: Flag,
        said: &Extended,
        contents: &'static [u8],
    ) -> Result<Self, &'static str> {
        let path = match said.path {
            Some(path) => Path("", path),
            None => Path::of(header).ok_or("name")?,
        };
        let field = |field, what| header.number(field).ok_or(what);
        let mode = field(Header::MODE, "mode")? as u32 & 0o7777;
        let link = || match said.link {
            Some(link) => Ok(link),
            None => header.text(Header::LINK).ok_or("link"),
        };
        let (kind, of) = match flag {
            // Before there was a type for directories.
            Flag::File(Kind::Regular) if path.1.ends_with('/') => {
                (Kind::Directory, OfEntry::File(Of::Directory))
            }
            Flag::File(kind) => {
                let of = match kind {
                    Kind::Regular => Of::Contents(contents),
                    Kind::Directory => Of::Directory,
                    Kind::Link => match link()? {
                        "" => return Err("link"),
                        link => Of::Link(link.as_bytes()),
                    },
                    Kind::Character | Kind::Block => Of::Special(device_number(
                        field(Header::MAJOR, "device")? as u32,
                        field(Header::MINOR, "device")? as u32,
                    )),
                    Kind::Pipe | Kind::Socket => Of::Special(0),
                };
                (kind, OfEntry::File(of))
            }
            Flag::HardLink => (Kind::Regular, OfEntry::HardLink(link()?)),
            Flag::OfNext | Flag::OfAll => return Err("type"),
        };
        let id = |said: Option<u32>, place, what| match said {
            Some(id) => Ok(id),
            None => field(place, what).map(|id| id as u32),
        };
        let seconds = match said.seconds {
            Some(seconds) => seconds,
            None => field(Header::MTIME, "time")? as i64,
        };
        Ok(Self {
            path,
            of,
            rights: Rights {
                mode: match kind {
                    Kind::Link => S_IFLNK | 0o777,
                    kind => kind.bits() | mode,
                },
                uid: id(said.uid, Header::UID, "owner")?,
                gid: id(said.gid, Header::GID, "group")?,
            },
            time: Time {
                seconds,
                nanoseconds: 0,
            },
        })
    }
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
        let mut loader = Loader {
            system,
            env: Env {
                pages,
                processes: &NoProcesses,
                descriptors: &self.descriptors,
                terminals: &self.terminals,
                mounts,
                process: ProcessId::INIT,
                credentials: &nobody,
                now,
            },
            root: root.ino,
            folder: None,
        };
        let mut extended = Extended::default();
        let (blocks, _) = archive.as_chunks();
        let (mut count, mut next) = (0, 0);
        loop {
            let block = next;
            let bad = |what| ArchiveError::Header { block, what };
            let header = blocks.get(block);
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
                let start = next * BLOCK;
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
            let entry = Entry::read(header, flag, &said, contents).map_err(bad)?;
            let path = entry.path;
            loader.make(&entry).map_err(|error| match error {
                Flaw::Name => bad("name"),
                Flaw::File(errno) => ArchiveError::File {
                    path: path.text(),
                    errno,
                },
            })?;
            count += 1;
        }
        Ok(count)
    }
}

/// Why an entry cannot become a file.
enum Flaw {
    /// A name in its path is none, or leads up.
    Name,
    File(Errno),
}

impl From<Errno> for Flaw {
    fn from(errno: Errno) -> Self {
        Self::File(errno)
    }
}

/// Where entries become files.
struct Loader<'a, 'e> {
    system: &'a mut dyn FileSystem,
    env: Env<'e>,
    root: u64,
    /// The directory that the last entry was in: the next one is mostly in the same.
    folder: Option<(Path, u64)>,
}

impl Loader<'_, '_> {
    fn make(&mut self, entry: &Entry) -> Result<(), Flaw> {
        let Some((parent, name)) = self.find(entry.path)? else {
            return Ok(self.change(self.root, entry)?);
        };
        if self.enter(parent, name, entry)? {
            return Ok(());
        }
        // It is there.
        let (system, env) = (&mut *self.system, &mut self.env);
        let ino = system.find(env, parent, name)?;
        match system.rights(env, ino)?.is_directory() {
            true if entry.rights.is_directory() => return Ok(self.change(ino, entry)?),
            true => {
                // Which may be the one that is remembered.
                self.folder = None;
                system.remove(env, parent, name)?;
            }
            false => system.unlink(env, parent, name)?,
        }
        match self.enter(parent, name, entry)? {
            true => Ok(()),
            false => Err(Errno::EXIST.into()),
        }
    }

    /// Makes the file of an entry, unless there is one of this name: whether it did.
    fn enter(&mut self, parent: u64, name: &'static [u8], entry: &Entry) -> Result<bool, Flaw> {
        let of = match entry.of {
            OfEntry::File(of) => of,
            OfEntry::HardLink(path) => {
                let names = Path("", path).names().ok_or(Errno::INVAL)?;
                let (last, above) = names.split_last().ok_or(Errno::INVAL)?;
                let above = self.directory(above)?;
                Of::Name(self.system.find(&mut self.env, above, last.as_bytes())?)
            }
        };
        let file = Lasting {
            name,
            of,
            rights: entry.rights,
            time: entry.time,
        };
        Ok(self.system.place(&mut self.env, parent, &file)?)
    }

    /// The directory of a path's last name, which is made if it is missing, and that name; `None` for the root.
    fn find(&mut self, path: Path) -> Result<Option<(u64, &'static [u8])>, Flaw> {
        let split = path.split();
        if let (Some((folder, name)), Some((known, ino))) = (split, self.folder)
            && known == folder
            && is_name(name)
        {
            return Ok(Some((ino, name.as_bytes())));
        }
        let names = path.names().ok_or(Flaw::Name)?;
        let Some((name, above)) = names.split_last() else {
            return Ok(None);
        };
        let ino = self.directory(above)?;
        self.folder = split.map(|(folder, _)| (folder, ino));
        Ok(Some((ino, name.as_bytes())))
    }

    /// The directory of these names, made where it is missing. Links are not followed: nothing leads out of
    /// the tree or to where the archive does not say.
    fn directory(&mut self, names: &[&str]) -> Result<u64, Errno> {
        let (system, env) = (&mut *self.system, &mut self.env);
        let mut at = self.root;
        for name in names {
            let name = name.as_bytes();
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

    /// Gives a directory that is there what an entry says of it.
    fn change(&mut self, ino: u64, entry: &Entry) -> Result<(), Errno> {
        let change = Change {
            mode: Some(entry.rights.mode & 0o7777),
            uid: Some(entry.rights.uid),
            gid: Some(entry.rights.gid),
            atime: Some(entry.time),
            mtime: Some(entry.time),
        };
        self.system.change(&mut self.env, ino, &change)
    }
}
