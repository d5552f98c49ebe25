//! Temporary folders of programs that have one of their own: `tmp/UNIT` of the state, which only root and we can enter.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use doorstep_model::Exec;

use crate::Spawn;

/// # Errors
/// The system's.
pub(crate) fn make_base(state_dir: &Path) -> io::Result<()> {
    doorstep_store::make_private_dir(&state_dir.join("tmp"))
}

/// The folder that becomes a program's `/tmp`, if it is to have one.
pub(crate) fn of(state_dir: &Path, exec: &Exec, unit: &str) -> Option<PathBuf> {
    exec.private_tmp.then(|| state_dir.join("tmp").join(unit))
}

/// Removes what was made for a program that is gone.
pub(crate) async fn release(spawn: Arc<dyn Spawn>, state_dir: PathBuf, unit: String) {
    let work = move || {
        spawn.release(&unit);
        // Does not follow links, whoever put them there.
        let _ = std::fs::remove_dir_all(state_dir.join("tmp").join(unit));
    };
    let _ = tokio::task::spawn_blocking(work).await;
}
