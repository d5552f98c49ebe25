use std::path::PathBuf;
use std::sync::Arc;

use crate::Spawn;

/// Where the supervisor keeps things, and how it starts programs.
#[derive(Clone)]
pub struct Options {
    /// Kept between runs: the journal `apps.json`, `jobs.json`, Python environments. Its owner's alone; folders below that apps
    /// need are theirs.
    pub state_dir: PathBuf,
    /// Sockets and pipes, `apps/NAME/…`; survives the supervisor, not a reboot.
    pub run_dir: PathBuf,
    /// `NAME.log` of each app and job.
    pub log_dir: PathBuf,
    /// The group of whoever connects to the apps' sockets, where it is another user.
    pub worker_group: Option<u32>,
    pub spawn: Arc<dyn Spawn>,
}
