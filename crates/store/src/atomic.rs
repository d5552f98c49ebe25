use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The largest file that is read back, in bytes.
const LARGEST: u64 = 16 << 20;

/// Makes `dir` and what lies above it; `dir` itself only for its owner.
///
/// # Errors
/// The system's.
pub fn make_private_dir(dir: &Path) -> io::Result<()> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        made => made,
    }
}

/// Reads a file that only its owner may read.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`] where others may read it, since what they may read is no secret.
pub fn read_private(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    if file.metadata()?.mode() & 0o077 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "other users of this computer may read it"));
    }
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// Replaces `path` with `bytes`, for its owner alone. After a crash there is the old file or the new one, never half of one.
///
/// # Errors
/// The system's. The old file, if any, is then untouched.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, 0o600, Sync::Now)
}

/// The same for a file that everybody may read.
///
/// # Errors
/// The system's. The old file, if any, is then untouched.
pub fn write_public(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, 0o644, Sync::Now)
}

/// As [`write_private`], for what can be made again: it does not wait for the disk. The end of this process does it no
/// harm; after a crash of the computer there may be half of it, or nothing.
///
/// # Errors
/// The system's. The old file, if any, is then untouched.
pub fn write_private_unsynced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, 0o600, Sync::Later)
}

/// The same for a file that everybody may read.
///
/// # Errors
/// The system's. The old file, if any, is then untouched.
pub fn write_public_unsynced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, 0o644, Sync::Later)
}

/// When bytes are certain to be on the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    Now,
    Later,
}

fn replace(path: &Path, bytes: &[u8], mode: u32, sync: Sync) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".tmp-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let temporary = path.with_file_name(name);
    let written = write_and_rename(&temporary, path, bytes, mode, sync);
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_and_rename(temporary: &PathBuf, path: &Path, bytes: &[u8], mode: u32, sync: Sync) -> io::Result<()> {
    // What an earlier process of the same number left behind may have other permissions.
    let _ = fs::remove_file(temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(temporary)?;
    file.write_all(bytes)?;
    if sync == Sync::Now {
        file.sync_all()?;
    }
    fs::rename(temporary, path)?;
    if let Some(dir) = path.parent().filter(|_| sync == Sync::Now) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_may_read() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("a/b/doorstep");
        make_private_dir(&dir).unwrap();
        make_private_dir(&dir).unwrap();
        let file = dir.join("key.pem");
        write_private(&file, b"secret").unwrap();
        assert_eq!((mode(&dir), mode(&file)), (0o700, 0o600));
        assert_eq!(read_private(&file).unwrap(), "secret");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read_private(&file).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_stays_behind() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key.pem");
        write_private(&file, b"old").unwrap();
        write_private(&file, b"new").unwrap();
        assert_eq!(read_private(&file).unwrap(), "new");
        write_private_unsynced(&file, b"newer").unwrap();
        assert_eq!((read_private(&file).unwrap().as_str(), mode(&file)), ("newer", 0o600));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        // A folder in the way cannot be replaced by a file.
        let blocked = dir.path().join("blocked.pem");
        fs::create_dir(&blocked).unwrap();
        assert!(write_private(&blocked, b"new").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
