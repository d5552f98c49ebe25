use std::collections::BTreeMap;

use rustix::process::{Pid, WaitId, WaitIdOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::procfs;
use crate::limits;

/// Makes orphaned descendants our children (prctl(2), `PR_SET_CHILD_SUBREAPER`) and reaps those that die. Whoever waits for a child
/// of its own does so at once; a zombie that stays belongs to nobody.
pub(crate) async fn reap_strays() {
    let me = rustix::process::getpid();
    if rustix::process::set_child_subreaper(Some(me)).is_err() {
        return;
    }
    let Ok(mut child_died) = signal(SignalKind::child()) else { return };
    let mut seen = BTreeMap::new();
    loop {
        if seen.is_empty() {
            child_died.recv().await;
        } else {
            sleep(limits::STRAY_ZOMBIE).await;
        }
        let zombies = tokio::task::spawn_blocking(zombie_children).await.unwrap_or_default();
        let now = Instant::now();
        seen.retain(|pid, _| zombies.contains(pid));
        for pid in zombies {
            let since = *seen.entry(pid).or_insert(now);
            if now.duration_since(since) >= limits::STRAY_ZOMBIE
                && let Some(child) = i32::try_from(pid).ok().and_then(Pid::from_raw)
            {
                let _ = rustix::process::waitid(WaitId::Pid(child), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
                seen.remove(&pid);
            }
        }
    }
}

fn zombie_children() -> Vec<u32> {
    let me = std::process::id();
    let dead_child = |pid: &u32| procfs::stat(*pid).is_some_and(|stat| stat.parent == me && stat.is_dead());
    procfs::all().filter(dead_child).collect()
}
