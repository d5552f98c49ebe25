//! Which folders are projects of their own.

use std::path::{Path, PathBuf};

use crate::tree::Tree;

/// Files that make a folder a project.
const MARKS: [&str; 14] = [
    "manage.py",
    "requirements.txt",
    "pyproject.toml",
    "setup.py",
    "package.json",
    "Procfile",
    "Cargo.toml",
    "go.mod",
    "config.ru",
    "composer.json",
    "deno.json",
    "_config.yml",
    "hugo.toml",
    "index.php",
];

/// Folders that hold a project, nearest first; the one that is looked at is always the first.
#[derive(Debug)]
pub struct Projects(pub Vec<PathBuf>);

impl Projects {
    /// Down to two levels: `frontend`, and `apps/web`.
    pub fn of(tree: &Tree) -> Self {
        let root = PathBuf::new();
        let mut folders = vec![root.clone()];
        let mut below: Vec<PathBuf> = tree.folders_in(&root).map(Path::to_owned).collect();
        let deeper: Vec<PathBuf> = below.iter().flat_map(|dir| tree.folders_in(dir)).map(Path::to_owned).collect();
        below.extend(deeper);
        let is_project = |dir: &PathBuf| MARKS.iter().any(|mark| tree.has(dir.join(mark))) && !is_product(dir);
        folders.extend(below.into_iter().filter(is_project));
        Self(folders)
    }

    /// Files of the project in `folder`, nearest first, without those of projects inside it.
    pub fn files_of<'a>(&self, tree: &'a Tree, folder: &'a Path) -> Vec<&'a Path> {
        let inner: Vec<&PathBuf> = self.0.iter().filter(|dir| dir.starts_with(folder) && *dir != folder).collect();
        tree.files_below(folder).into_iter().filter(|path| !inner.iter().any(|dir| path.starts_with(dir))).collect()
    }
}

/// Folders where a build leaves copies of what looks like a project.
fn is_product(dir: &Path) -> bool {
    dir.iter()
        .any(|part| ["dist", "build", "target", "public", "_site", "out", ".output"].iter().any(|name| part == *name))
}
