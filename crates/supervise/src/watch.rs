use std::path::{Path, PathBuf};

use notify::event::{EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::limits;

/// Folders that change without a change of the program.
const IGNORED: [&str; 14] = [
    "__pycache__",
    "node_modules",
    "venv",
    "env",
    "target",
    "build",
    "dist",
    "logs",
    "log",
    "tmp",
    "site-packages",
    "staticfiles",
    "uploads",
    "media",
];

/// Calls `changed` when files below `dir` changed and have settled. Ends when dropped.
///
/// # Errors
/// Where nothing can be watched: the words of the system.
pub(crate) async fn watch(dir: PathBuf, own: Vec<PathBuf>, changed: impl Fn()) -> Result<(), String> {
    let (events, mut queue) = mpsc::channel::<Vec<PathBuf>>(limits::WATCH_QUEUE);
    let root = dir.clone();
    let send = move |event: Result<Event, notify::Error>| {
        let Ok(event) = event else { return };
        if is_change(&event.kind) {
            let paths = event.paths.into_iter().filter(|path| counts(&root, path, &own)).collect::<Vec<_>>();
            if !paths.is_empty() {
                // A full queue already says that something changed.
                let _ = events.try_send(paths);
            }
        }
    };
    let mut watcher = notify::recommended_watcher(send).map_err(|error| error.to_string())?;
    let mut watched = 0;
    add(&mut watcher, &dir, &dir, &mut watched)?;
    while let Some(paths) = queue.recv().await {
        let mut news = paths;
        while let Ok(Some(more)) = timeout(limits::WATCH_SETTLE, queue.recv()).await {
            news.extend(more);
        }
        for folder in news.iter().filter(|path| path.is_dir()) {
            // A folder that is gone again is no matter.
            let _ = add(&mut watcher, &dir, folder, &mut watched);
        }
        changed();
        sleep(limits::WATCH_SETTLE).await;
    }
    Ok(())
}

fn add(watcher: &mut RecommendedWatcher, root: &Path, dir: &Path, watched: &mut usize) -> Result<(), String> {
    if *watched >= limits::WATCHED_FOLDERS {
        return Err(format!("there are more than {} folders in it", limits::WATCHED_FOLDERS));
    }
    watcher.watch(dir, RecursiveMode::NonRecursive).map_err(|error| error.to_string())?;
    *watched += 1;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        // `file_type` does not follow links: no circles.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && counts(root, &path, &[]) {
            add(watcher, root, &path, watched)?;
        }
    }
    Ok(())
}

fn is_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Create(_) | EventKind::Remove(_) => true,
        EventKind::Modify(kind) => !matches!(kind, ModifyKind::Metadata(_)),
        _ => false,
    }
}

/// Whether a change of this path may change the program.
fn counts(root: &Path, path: &Path, own: &[PathBuf]) -> bool {
    if own.iter().any(|own| path.starts_with(own)) {
        return false;
    }
    let Ok(inside) = path.strip_prefix(root) else { return false };
    let mut names = inside.components().map(|part| part.as_os_str().to_string_lossy());
    !names.any(|name| {
        // Hidden ones: .git, .venv, editors' swap files. The others are editors' too, or what Python writes beside the source.
        IGNORED.contains(&name.as_ref())
            || (name.starts_with('.') && name != ".env")
            || name.ends_with('~')
            || name.starts_with('#')
            || [".swp", ".swx", ".tmp", ".pyc", ".log", ".sqlite3", ".sqlite3-journal", ".db"]
                .iter()
                .any(|end| name.ends_with(end))
            || name == "4913"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts() {
        let root = Path::new("/srv/blog");
        let own = [PathBuf::from("/srv/blog/state")];
        let counted = |path: &str| counts(root, &root.join(path), &own);
        for path in ["main.py", "templates/a.html", ".env", "src/deep/x.rs"] {
            assert!(counted(path), "{path}");
        }
        for path in
            [".git/index", "a/__pycache__/x.pyc", "node_modules/x", "main.py~", ".main.py.swp", "state/x", "db.sqlite3"]
        {
            assert!(!counted(path), "{path}");
        }
    }
}
