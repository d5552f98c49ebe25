//! Removes unfinished uploads that nobody went on with.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType};

use super::claims::Claims;
use super::partial::id_of;
use crate::limits::SWEEP_MAX_FOLDERS;
use crate::root::{Folder, Root};

/// Goes through the whole share, [`SWEEP_MAX_FOLDERS`] of it at most. Says how many unfinished uploads stay.
pub fn sweep(root: &Root, claims: &Claims, lifetime: Duration) -> usize {
    let mut pending = vec![PathBuf::new()];
    let (mut kept, mut entered) = (0, 0);
    while let Some(path) = pending.pop() {
        entered += 1;
        if entered > SWEEP_MAX_FOLDERS {
            break;
        }
        // What cannot be read holds none of our files.
        kept += sweep_folder(root, claims, lifetime, &path, &mut pending).unwrap_or(0);
    }
    kept
}

fn sweep_folder(
    root: &Root,
    claims: &Claims,
    lifetime: Duration,
    path: &Path,
    pending: &mut Vec<PathBuf>,
) -> std::io::Result<usize> {
    let folder = Folder::from(root.open_folder(path)?);
    let mut kept = 0;
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if let Some(id) = id_of(name) {
            let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let is_old = age(stat.st_mtime).is_some_and(|age| age > lifetime);
            if !is_old || claims.is_held(id) || folder.remove(name).is_err() {
                kept += 1;
            }
        } else if entry.file_type() == FileType::Directory
            && root.policy().allows(name.as_bytes())
            && !matches!(name, "." | "..")
            && pending.len() < SWEEP_MAX_FOLDERS
        {
            pending.push(path.join(name));
        }
    }
    Ok(kept)
}

fn age(modified: i64) -> Option<Duration> {
    let modified = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(modified).ok()?))?;
    SystemTime::now().duration_since(modified).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PARTIAL_LIFETIME;
    use crate::policy::{PARTIAL_PREFIX, Policy};
    use std::fs::{File, FileTimes};
    use std::sync::Arc;

    #[tokio::test]
    async fn only_old_and_idle_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let old = SystemTime::now() - PARTIAL_LIFETIME - Duration::from_secs(60);
        let make = |name: String, modified: SystemTime| {
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_times(FileTimes::new().set_modified(modified)).unwrap();
        };
        let id = |n: u32| format!("{n:032x}");
        make(format!("{PARTIAL_PREFIX}{}", id(1)), old);
        make(format!("a/b/{PARTIAL_PREFIX}{}", id(2)), old);
        make(format!("a/{PARTIAL_PREFIX}{}", id(3)), SystemTime::now());
        make(format!("a/{PARTIAL_PREFIX}{}", id(4)), old);
        make(format!("{PARTIAL_PREFIX}not-ours"), old);
        make("old.txt".to_owned(), old);
        let root = Root::open(dir.path(), Policy::default()).unwrap();
        let claims = Arc::new(Claims::default());
        let _held = claims.claim(&id(4)).await.unwrap();
        assert_eq!(sweep(&root, &claims, PARTIAL_LIFETIME), 2);
        let there = |name: String| dir.path().join(name).exists();
        assert!(!there(format!("{PARTIAL_PREFIX}{}", id(1))) && !there(format!("a/b/{PARTIAL_PREFIX}{}", id(2))));
        assert!(there(format!("a/{PARTIAL_PREFIX}{}", id(3))) && there(format!("a/{PARTIAL_PREFIX}{}", id(4))));
        assert!(there("old.txt".to_owned()) && there(format!("{PARTIAL_PREFIX}not-ours")));
    }
}
