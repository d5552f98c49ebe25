//! `cargo xtask tidy`: the project's own rules, checked instead of remembered.

mod docs;
mod rings;
mod source;
mod words;

use std::path::Path;

use anyhow::{Result, bail};

use crate::sh;

/// A tracked text file.
pub struct TextFile {
    /// From the workspace's root, with `/`.
    pub path: String,
    pub text: String,
}

impl TextFile {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// # Errors
/// When any rule is broken; each breach is printed, with its place.
pub fn run() -> Result<()> {
    let files = tracked_files()?;
    let mut breaches = rings::check(&rings::read_workspace()?);
    breaches.extend(source::check(&files));
    breaches.extend(words::check(&files));
    breaches.extend(docs::check(&files, |path| sh::root().join(path).exists()));
    for breach in &breaches {
        println!("{breach}");
    }
    if !breaches.is_empty() {
        bail!("{} rules of the project are broken (ARCHITECTURE.md and STYLE.md say why they exist)", breaches.len());
    }
    println!("{} files follow the project's rules.", files.len());
    Ok(())
}

/// What Git tracks, or would with the next `git add`. In an unpacked archive without Git: all files that are not built.
fn tracked_files() -> Result<Vec<TextFile>> {
    let root = sh::root();
    let listed = sh::read(sh::command("git").args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]));
    let paths = match listed {
        Ok(paths) => paths.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect(),
        Err(_) => walk(&root, &root)?,
    };
    let readable = |path: String| Some(TextFile { text: std::fs::read_to_string(root.join(&path)).ok()?, path });
    Ok(paths.into_iter().filter_map(readable).collect())
}

fn walk(folder: &Path, root: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            if name != "target" && name != ".git" && name != "node_modules" {
                paths.extend(walk(&entry.path(), root)?);
            }
        } else if let Ok(path) = entry.path().strip_prefix(root) {
            paths.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(paths)
}
