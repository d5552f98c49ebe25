use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, fchown, openat, statat};

/// The deepest tree that is given away.
const DEPTH: usize = 16;

/// Gives a folder and everything in it to a user.
///
/// The user may be at work in it meanwhile and may mean harm: links are neither followed nor opened, and every entry is
/// reached from the folder that was opened before it, never by a path that could have become another.
///
/// # Errors
/// The system's; `path` is a link or no folder; the tree is too deep.
pub fn give_folder(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(CWD, path, flags, Mode::empty())?;
    give(folder, Uid::from_raw(uid), Gid::from_raw(gid), DEPTH)
}

fn give(folder: OwnedFd, uid: Uid, gid: Gid, depth: usize) -> io::Result<()> {
    if depth == 0 {
        return Err(io::Error::other("the folders in it are nested too deeply"));
    }
    fchown(&folder, Some(uid), Some(gid))?;
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let found = statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            give(openat(folder.as_fd(), name, flags, Mode::empty())?, uid, gid, depth - 1)?;
        } else if found.st_nlink == 1 {
            // A file with a second name may be somebody else's, too.
            chownat(folder.as_fd(), name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn everything_in_it_and_nothing_beyond_a_link() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let (tree, outside) = (home.path().join("tree"), home.path().join("outside"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/b/key.pem"), "x").unwrap();
        fs::write(&outside, "x").unwrap();
        symlink(&outside, tree.join("link")).unwrap();
        fs::hard_link(&outside, tree.join("second-name")).unwrap();
        give_folder(&tree, 12_345, 54_321).unwrap();
        let owner = |path: &Path| fs::symlink_metadata(path).map(|meta| (meta.uid(), meta.gid())).unwrap();
        for given in ["", "a", "a/b", "a/b/key.pem", "link"] {
            assert_eq!(owner(&tree.join(given)), (12_345, 54_321), "{given}");
        }
        assert_eq!(owner(&outside), (0, 0));
        symlink(&tree, home.path().join("tree-link")).unwrap();
        assert!(give_folder(&home.path().join("tree-link"), 0, 0).is_err());
    }
}
