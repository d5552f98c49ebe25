//! What a folder holds at one moment, kept small: about 40 bytes an entry and its name.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Stat};

use super::readme;
use crate::limits::{MAX_LISTED, MAX_README};
use crate::root::Root;

/// A folder's visible entries, in the order of the folder itself, and its README.
#[derive(Debug, Default)]
pub struct Snapshot {
    names: Vec<u8>,
    entries: Vec<Entry>,
    pub folders: u64,
    pub files: u64,
    /// Sum of the files' sizes.
    pub bytes: u64,
    /// Whether entries were left out for being too many.
    pub cut: bool,
    /// HTML.
    pub readme: Option<String>,
}

/// One entry but for its name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    name_at: u32,
    name_len: u16,
    pub folder: bool,
    /// Bytes; of a folder nothing that means anything.
    pub size: u64,
    /// Seconds since 1970.
    pub modified: i64,
}

impl Snapshot {
    /// Reads a folder. Names that the policy hides, links that lead out of the root, and what is neither file nor
    /// folder are left out.
    ///
    /// # Errors
    /// The folder cannot be opened or read.
    pub fn read(root: &Root, relative: &Path) -> io::Result<Self> {
        let mut snapshot = Self::default();
        let mut readme: Option<(readme::Format, Vec<u8>)> = None;
        let mut folder = Dir::new(root.open_folder(relative)?)?;
        while let Some(found) = folder.read() {
            let found = found?;
            let name = found.file_name().to_bytes();
            if matches!(name, b"." | b"..") || !root.policy().allows(name) {
                continue;
            }
            if snapshot.entries.len() >= MAX_LISTED {
                snapshot.cut = true;
                break;
            }
            let stat = if found.file_type() == FileType::Symlink {
                root.stat(&relative.join(std::ffi::OsStr::from_bytes(name))).ok()
            } else {
                rustix::fs::statat(folder.fd()?, found.file_name(), AtFlags::SYMLINK_NOFOLLOW).ok()
            };
            // Gone since it was read, or leading out: as good as not there.
            let Some(stat) = stat else { continue };
            if !snapshot.add(name, &stat) {
                continue;
            }
            if let Some(format) = std::str::from_utf8(name).ok().and_then(readme::format_of)
                && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                && readme.as_ref().is_none_or(|(best, _)| format < *best)
            {
                readme = Some((format, name.to_owned()));
            }
        }
        snapshot.readme = readme.and_then(|(format, name)| {
            let (file, stat) = root.open_file(&relative.join(std::ffi::OsStr::from_bytes(&name))).ok()?;
            let text = read_text(file, u64::try_from(stat.st_size).ok()?)?;
            Some(readme::render(&text, format))
        });
        Ok(snapshot)
    }

    /// Adds what can be listed; says whether it could.
    fn add(&mut self, name: &[u8], stat: &Stat) -> bool {
        let folder = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => true,
            FileType::RegularFile => false,
            _ => return false,
        };
        let (Ok(name_at), Ok(name_len)) = (u32::try_from(self.names.len()), u16::try_from(name.len())) else {
            return false;
        };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        self.names.extend_from_slice(name);
        self.entries.push(Entry { name_at, name_len, folder, size, modified: stat.st_mtime });
        if folder {
            self.folders += 1;
        } else {
            self.files += 1;
            self.bytes = self.bytes.saturating_add(size);
        }
        true
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The raw name of one of [`Self::entries`].
    pub fn name(&self, entry: &Entry) -> &[u8] {
        let start = entry.name_at as usize;
        self.names.get(start..start + usize::from(entry.name_len)).unwrap_or_default()
    }

    #[cfg(test)]
    pub fn of(entries: &[(&str, bool, u64, i64)]) -> Self {
        let mut snapshot = Self::default();
        for (name, folder, size, modified) in entries {
            let name_at = snapshot.names.len() as u32;
            snapshot.names.extend_from_slice(name.as_bytes());
            let entry =
                Entry { name_at, name_len: name.len() as u16, folder: *folder, size: *size, modified: *modified };
            snapshot.entries.push(entry);
        }
        snapshot
    }
}

fn read_text(file: File, size: u64) -> Option<String> {
    if size > MAX_README {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MAX_README).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_what_can_be_had_is_listed() {
        let outer = tempfile::tempdir().unwrap();
        let shared = outer.path().join("shared");
        std::fs::create_dir_all(shared.join("sub")).unwrap();
        std::fs::write(outer.path().join("secret"), "x").unwrap();
        std::fs::write(shared.join("a.txt"), "12345").unwrap();
        std::fs::write(shared.join(".env"), "x").unwrap();
        std::fs::write(shared.join("README.md"), "# Hello").unwrap();
        std::fs::write(shared.join("readme.txt"), "not this one").unwrap();
        symlink("a.txt", shared.join("link")).unwrap();
        symlink("../secret", shared.join("out")).unwrap();
        symlink("nowhere", shared.join("dangling")).unwrap();
        let root = Root::open(&shared, Policy::default()).unwrap();
        let snapshot = Snapshot::read(&root, Path::new("")).unwrap();
        let mut names: Vec<_> = snapshot.entries().iter().map(|e| String::from_utf8_lossy(snapshot.name(e))).collect();
        names.sort();
        assert_eq!(names, ["README.md", "a.txt", "link", "readme.txt", "sub"]);
        assert_eq!((snapshot.folders, snapshot.files), (1, 4));
        assert_eq!(snapshot.bytes, 5 + 5 + 7 + 12);
        assert!(snapshot.readme.unwrap().contains("<h1>Hello</h1>"));
    }
}
