//! The file an upload is while it is not complete: hidden by its name, in the folder where it will stay.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::name;
use super::refusal::Refusal;
use crate::limits::{MAX_NAME_TRIES, MAX_PARTIALS};
use crate::policy::PARTIAL_PREFIX;
use crate::root::{Folder, Root};

/// How many unfinished uploads the share holds, as far as is known.
#[derive(Debug, Default)]
pub struct PartialCount(AtomicUsize);

impl PartialCount {
    pub fn set(&self, count: usize) {
        self.0.store(count, Ordering::Relaxed);
    }

    fn more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn fewer(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
    }

    fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= MAX_PARTIALS
    }
}

/// An open unfinished upload. All methods block on the disk.
pub struct Partial {
    pub file: Arc<File>,
    folder: Arc<Folder>,
    name: String,
    count: Arc<PartialCount>,
}

/// Whether this is an identifier as [`crate::random::token`] makes them.
pub fn is_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The identifier in the name of an unfinished upload's file.
pub fn id_of(file_name: &str) -> Option<&str> {
    file_name.strip_prefix(PARTIAL_PREFIX).filter(|id| is_id(id))
}

impl Partial {
    /// Begins a new one in `folder`.
    ///
    /// # Errors
    /// Too many are there already, or the folder cannot be written.
    pub fn create(folder: Arc<Folder>, id: &str, count: &Arc<PartialCount>) -> Result<Self, Refusal> {
        if count.is_full() {
            return Err(Refusal::TooManyPartials);
        }
        let name = format!("{PARTIAL_PREFIX}{id}");
        let file = Arc::new(folder.create_new(&name)?);
        count.more();
        Ok(Self { file, folder, name, count: Arc::clone(count) })
    }

    /// Opens one that was begun, and tells its length; `None` if there is none.
    ///
    /// # Errors
    /// It is there and cannot be opened.
    pub fn open(folder: Arc<Folder>, id: &str, count: &Arc<PartialCount>) -> Result<Option<(Self, u64)>, Refusal> {
        let name = format!("{PARTIAL_PREFIX}{id}");
        match folder.open_to_write(&name) {
            Ok(file) => {
                let length = file.metadata()?.len();
                Ok(Some((Self { file: Arc::new(file), folder, name, count: Arc::clone(count) }, length)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives it its name, or the next free one, once its content is safe on the disk.
    ///
    /// # Errors
    /// The disk is full or broken, or too many files have that name.
    pub fn publish(&self, wanted: &str) -> Result<String, Refusal> {
        self.file.sync_all()?;
        for number in 0..MAX_NAME_TRIES {
            let candidate = name::numbered(wanted, number);
            match self.folder.rename_new(&self.name, &candidate) {
                Ok(()) => {
                    self.count.fewer();
                    // The file has arrived; a folder that cannot be synced (some network ones) does not change that.
                    let _ = self.folder.sync();
                    return Ok(candidate);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Refusal::NoNameLeft)
    }

    pub fn remove(&self) {
        if self.folder.remove(&self.name).is_ok() {
            self.count.fewer();
        }
    }
}

/// Opens the folder that an upload goes into, `inner` below `base`, making what is missing if `make`. Where a file has
/// a folder's name, the folder gets the next free one, the same each time.
///
/// # Errors
/// `base` is not there, or the folders cannot be made; `None` if one is missing and may not be made.
pub fn open_folder(root: &Root, base: &Path, inner: &[String], make: bool) -> Result<Option<Folder>, Refusal> {
    let mut here = Folder::from(root.open_folder(base)?);
    let mut path = base.to_owned();
    for wanted in inner {
        match enter(root, &here, &path, wanted, make)? {
            Some((next, name)) => {
                here = next;
                path.push(name);
            }
            None => return Ok(None),
        }
    }
    Ok(Some(here))
}

fn enter(
    root: &Root,
    here: &Folder,
    path: &Path,
    wanted: &str,
    make: bool,
) -> Result<Option<(Folder, String)>, Refusal> {
    for number in 0..MAX_NAME_TRIES {
        let name = name::numbered(wanted, number);
        if make {
            match here.create_folder(&name) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        }
        match root.open_folder(&path.join(&name)) {
            Ok(folder) => return Ok(Some((folder.into(), name))),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !make => return Ok(None),
            // A file, or a link to somewhere else, is in the way.
            Err(_) => {}
        }
    }
    Err(Refusal::NoNameLeft)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use std::io::Write;

    fn folder() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path(), Policy::default()).unwrap();
        (folder, root)
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_taken_name_is_never_replaced() {
        let (dir, root) = folder();
        std::fs::write(dir.path().join("a.txt"), "first").unwrap();
        let count = Arc::new(PartialCount::default());
        for (n, expected) in ["a (1).txt", "a (2).txt"].into_iter().enumerate() {
            let folder = Arc::new(open_folder(&root, Path::new(""), &[], false).unwrap().unwrap());
            let partial = Partial::create(folder, &format!("{n:032x}"), &count).unwrap();
            (&*partial.file).write_all(b"later").unwrap();
            assert_eq!(partial.publish("a.txt").unwrap(), expected);
        }
        assert_eq!(names(dir.path()), ["a (1).txt", "a (2).txt", "a.txt"]);
        assert_eq!(std::fs::read(dir.path().join("a.txt")).unwrap(), b"first");
    }

    #[test]
    fn one_that_was_begun_is_found_again() {
        let (dir, root) = folder();
        let count = Arc::new(PartialCount::default());
        let open = || Arc::new(open_folder(&root, Path::new(""), &[], false).unwrap().unwrap());
        let id = "0123456789abcdef0123456789abcdef";
        assert!(Partial::open(open(), id, &count).unwrap().is_none());
        (&*Partial::create(open(), id, &count).unwrap().file).write_all(b"12345").unwrap();
        let (partial, length) = Partial::open(open(), id, &count).unwrap().unwrap();
        assert_eq!(length, 5);
        assert_eq!(names(dir.path()).iter().filter_map(|name| id_of(name)).collect::<Vec<_>>(), [id]);
        partial.remove();
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn too_many_are_refused() {
        let (_dir, root) = folder();
        let count = Arc::new(PartialCount::default());
        count.set(MAX_PARTIALS);
        let folder = Arc::new(open_folder(&root, Path::new(""), &[], false).unwrap().unwrap());
        assert!(matches!(Partial::create(folder, &"0".repeat(32), &count), Err(Refusal::TooManyPartials)));
    }

    #[test]
    fn a_file_in_a_folders_way_is_gone_around() {
        let (dir, root) = folder();
        std::fs::write(dir.path().join("a"), "file").unwrap();
        let inner = ["a".to_owned(), "b".to_owned()];
        assert!(open_folder(&root, Path::new(""), &inner, false).unwrap().is_none());
        for _ in 0..2 {
            open_folder(&root, Path::new(""), &inner, true).unwrap().unwrap();
        }
        assert_eq!(names(dir.path()), ["a", "a (1)"]);
        assert_eq!(names(&dir.path().join("a (1)")), ["b"]);
    }

    #[test]
    fn links_that_lead_out_are_not_written_through() {
        let (dir, root) = folder();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("out")).unwrap();
        open_folder(&root, Path::new(""), &["out".to_owned()], true).unwrap().unwrap();
        assert_eq!(names(dir.path()), ["out", "out (1)"]);
        assert!(open_folder(&root, Path::new("out"), &[], true).is_err());
    }
}
