//! Files for secrets: a folder and files that nobody else may read, and that are either whole or absent.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::limits;

/// Where this user's doorstep keeps its state: `$XDG_STATE_HOME/doorstep`, else `~/.local/state/doorstep` (XDG Base
/// Directory Specification). `None` if there is no home.
pub fn state_dir() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(base.join("doorstep"))
}

/// Makes `dir` and what lies above it; `dir` itself only for its owner.
pub(crate) fn make_private_dir(dir: &Path) -> io::Result<()> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        made => made,
    }
}

/// Reads a small file that only its owner may read. Fails with [`io::ErrorKind::PermissionDenied`] where others may,
/// since what they may read is no secret.
pub(crate) fn read_private(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::mode(&file.metadata()?) & 0o077 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "other users of this computer may read it"));
    }
    let mut text = String::new();
    file.take(limits::STATE_FILE).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes `text` to `path`, for its owner alone: to a temporary name, synced, renamed, and the folder synced. After a
/// crash there is the old file or the new one, never half of one.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension(format!("tmp-{}", std::process::id()));
    let written = write_and_rename(&temporary, path, text);
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_and_rename(temporary: &Path, path: &Path, text: &str) -> io::Result<()> {
    // What an earlier process of the same number left behind may have other permissions.
    let _ = fs::remove_file(temporary);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    #[cfg(unix)]
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

#[cfg(all(test, unix))]
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
        write_private(&file, "secret").unwrap();
        assert_eq!((mode(&dir), mode(&file)), (0o700, 0o600));
        assert_eq!(read_private(&file).unwrap(), "secret");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read_private(&file).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_stays_behind() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key.pem");
        write_private(&file, "old").unwrap();
        write_private(&file, "new").unwrap();
        assert_eq!(read_private(&file).unwrap(), "new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        // A folder in the way cannot be replaced by a file.
        let blocked = dir.path().join("blocked.pem");
        fs::create_dir(&blocked).unwrap();
        assert!(write_private(&blocked, "new").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
