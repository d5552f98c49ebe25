//! What is in the folder, by name; and a little of it, by content. Bounded, and never through links.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::limits;

/// Names of a folder's files and folders, relative to it, in order.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
    /// There was more than the limits let us look at.
    pub cut: bool,
    budget: Cell<u64>,
}

/// Folders whose contents are nobody's work: what package managers, compilers and editors put there.
const NOT_OURS: [&str; 12] = [
    "node_modules",
    "bower_components",
    "__pycache__",
    "venv",
    "env",
    "site-packages",
    "vendor",
    "migrations",
    "tests",
    "test",
    "deps",
    "incremental",
];

impl Tree {
    /// Reads the names beneath `root`, nearest first.
    ///
    /// # Errors
    /// When `root` itself cannot be read. Folders beneath it that cannot be read count as empty.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self {
            root: root.to_owned(),
            files: BTreeSet::new(),
            folders: BTreeSet::new(),
            cut: false,
            budget: Cell::new(limits::MAX_BYTES),
        };
        fs::read_dir(root)?;
        let mut waiting = VecDeque::from([(PathBuf::new(), 0)]);
        while let Some((folder, depth)) = waiting.pop_front() {
            let Ok(entries) = fs::read_dir(root.join(&folder)) else { continue };
            for entry in entries.flatten() {
                if tree.files.len() + tree.folders.len() >= limits::MAX_ENTRIES {
                    tree.cut = true;
                    return Ok(tree);
                }
                let path = folder.join(entry.file_name());
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => {
                        if depth < limits::MAX_DEPTH && is_looked_into(&path) {
                            waiting.push_back((path.clone(), depth + 1));
                        }
                        tree.folders.insert(path);
                    }
                    Ok(kind) if kind.is_file() => drop(tree.files.insert(path)),
                    // A link counts as a file by its name; where it leads to is not looked at.
                    Ok(kind) if kind.is_symlink() => drop(tree.files.insert(path)),
                    _ => {}
                }
            }
        }
        Ok(tree)
    }

    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        self.files.contains(path.as_ref())
    }

    pub fn has_folder(&self, path: impl AsRef<Path>) -> bool {
        self.folders.contains(path.as_ref())
    }

    /// Files directly in `folder`, in order.
    pub fn files_in<'a>(&'a self, folder: &'a Path) -> impl Iterator<Item = &'a Path> {
        self.files.iter().map(PathBuf::as_path).filter(move |path| path.parent() == Some(folder))
    }

    /// Files anywhere beneath `folder`, nearest first.
    pub fn files_below<'a>(&'a self, folder: &'a Path) -> Vec<&'a Path> {
        let mut files: Vec<&Path> = self.files.iter().map(PathBuf::as_path).filter(|p| p.starts_with(folder)).collect();
        files.sort_by_key(|path| path.components().count());
        files
    }

    /// Folders directly in `folder`, in order.
    pub fn folders_in<'a>(&'a self, folder: &'a Path) -> impl Iterator<Item = &'a Path> {
        self.folders.iter().map(PathBuf::as_path).filter(move |path| path.parent() == Some(folder))
    }

    /// The beginning of a file as text; empty if it is not there, cannot be read, or the limits are used up.
    pub fn text(&self, path: impl AsRef<Path>) -> String {
        let path = path.as_ref();
        if !self.files.contains(path) || self.budget.get() == 0 {
            return String::new();
        }
        let most = limits::MAX_FILE_BYTES.min(self.budget.get());
        let mut bytes = Vec::new();
        let whole = self.root.join(path);
        // A FIFO, or a link to one, would make us wait for ever.
        if fs::metadata(&whole).is_ok_and(|meta| meta.is_file())
            && let Ok(file) = File::open(whole)
            && file.take(most).read_to_end(&mut bytes).is_err()
        {
            bytes.clear();
        }
        self.budget.set(self.budget.get() - (bytes.len() as u64).min(self.budget.get()));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn is_looked_into(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    // `.output` is where Nuxt puts what it built.
    (!name.starts_with('.') || name == ".output") && !NOT_OURS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_at_what_is_somebodys_work_and_not_through_links() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["app", "node_modules/x", ".git", "a/b/c/d/e/f"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for file in ["app/main.py", "node_modules/x/index.js", ".git/config", "a/b/c/d/deep.py", "a/b/c/d/e/deeper.py"]
        {
            fs::write(dir.path().join(file), "x").unwrap();
        }
        std::os::unix::fs::symlink("/", dir.path().join("everything")).unwrap();
        let tree = Tree::read(dir.path()).unwrap();
        assert!(tree.has("app/main.py") && tree.has("a/b/c/d/deep.py") && tree.has("everything"));
        assert!(!tree.has("node_modules/x/index.js") && !tree.has(".git/config") && !tree.has("a/b/c/d/e/deeper.py"));
        assert!(tree.has_folder(".git") && !tree.cut);
        assert_eq!(tree.text("everything"), "");
        assert_eq!(tree.text("app/main.py"), "x");
        assert_eq!(tree.text("nothing"), "");
    }

    #[test]
    fn long_files_are_read_in_part() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("big.py"), vec![b'a'; limits::MAX_FILE_BYTES as usize + 10]).unwrap();
        assert_eq!(Tree::read(dir.path()).unwrap().text("big.py").len() as u64, limits::MAX_FILE_BYTES);
    }
}
