use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use doorstep_sandbox::cgroup::Usage;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::Exit;
use super::procfs::{self, Stat};
use crate::journal::Started;
use crate::limits;

/// A started program and all that came of it: its process group, and descendants that left the group but carry its mark.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub started: Started,
    /// The value of [`procfs::MARK`] in its environment.
    mark: String,
    cgroup: Option<PathBuf>,
    leader: Arc<AsyncFd<OwnedFd>>,
}

impl Unit {
    /// Takes hold of a process that runs, or that is our child and dead already.
    ///
    /// # Errors
    /// `NotFound` if there is no such process any more; the system's.
    pub fn hold(pid: u32, mark: String, cgroup: Option<PathBuf>) -> io::Result<Self> {
        let leader = rustix::process::pidfd_open(to_pid(pid)?, PidfdFlags::NONBLOCK)?;
        let stat = procfs::stat(pid).ok_or(io::ErrorKind::NotFound)?;
        // SAFETY: an `OwnedFd` stays the same open descriptor until it is dropped, which the `AsyncFd` does after deregistering.
        let leader = Arc::new(unsafe { AsyncFd::register_with_interest(leader, Interest::READABLE)? });
        Ok(Self { started: Started { pid, start_time: stat.start_time }, mark, cgroup, leader })
    }

    /// The same for one from the journal.
    ///
    /// # Errors
    /// `NotFound` also where its number now belongs to another process.
    pub fn hold_again(started: Started, mark: String, cgroup: Option<PathBuf>) -> io::Result<Self> {
        let unit = Self::hold(started.pid, mark, cgroup)?;
        if unit.started == started { Ok(unit) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Memory in bytes and processor time: its cgroup's, as far as there is one and counts them, else `of_group`.
    /// What left the process group stays in the cgroup.
    pub fn usage(&self, of_group: (u64, Duration)) -> (u64, Duration) {
        let Some(folder) = &self.cgroup else { return of_group };
        let counted = Usage::of(folder);
        (counted.memory.unwrap_or(of_group.0), counted.cpu_micros.map_or(of_group.1, Duration::from_micros))
    }

    /// Waits for the end of the program itself. A child of ours stays a zombie until [`Unit::finish`], so that its number, which is
    /// its group's, cannot become another's.
    pub async fn ended(&self) -> Exit {
        // A pidfd is readable once its process is dead (pidfd_open(2)).
        let _ = self.leader.readable().await;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let status = rustix::process::waitid(WaitId::PidFd(self.leader.get_ref().as_fd()), options).ok().flatten();
        let exit = status.map_or_else(Exit::default, |status| Exit {
            code: status.exit_status(),
            signal: status.terminating_signal(),
            out_of_memory: false,
        });
        exit.blame_memory(self.cgroup.as_deref())
    }

    /// After [`Unit::ended`]: ends what it left running, SIGTERM first, SIGKILL after `grace`; then lets go of its number.
    pub async fn finish(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        let mut told = BTreeSet::new();
        loop {
            let unit = self.clone();
            let left = tokio::task::spawn_blocking(move || unit.left()).await.unwrap_or_default();
            if left.is_empty() || Instant::now() >= deadline + limits::KILL_GIVE_UP {
                break;
            }
            let killing = Instant::now() >= deadline;
            if killing {
                self.kill_cgroup();
            }
            for pid in left {
                if killing {
                    send(pid, Signal::KILL);
                } else if told.insert(pid) {
                    send(pid, Signal::TERM);
                }
            }
            tokio::time::sleep(limits::LEFTOVER_LOOK).await;
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let _ = rustix::process::waitid(WaitId::PidFd(self.leader.get_ref().as_fd()), options);
    }

    /// SIGTERM to the whole group.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGKILL to the whole group, and the cgroup if there is one.
    pub fn kill(&self) {
        self.kill_cgroup();
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // The program may not have left our own group yet, or be dead and waited for; its pidfd is never another's.
        let _ = rustix::process::pidfd_send_signal(self.leader.get_ref(), signal);
        if self.owns_group()
            && let Ok(group) = to_pid(self.started.pid)
        {
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }

    /// Whether the group of this number is still this program's.
    fn owns_group(&self) -> bool {
        procfs::stat(self.started.pid)
            .is_some_and(|stat| stat.start_time == self.started.start_time && stat.group == self.started.pid)
    }

    fn kill_cgroup(&self) {
        if let Some(cgroup) = &self.cgroup {
            let _ = std::fs::write(cgroup.join("cgroup.kill"), "1");
        }
    }

    /// Living processes that belong to this unit.
    fn left(&self) -> Vec<u32> {
        let owns_group = self.owns_group();
        let belongs = |pid: u32, stat: &Stat| {
            (owns_group && stat.group == self.started.pid) || procfs::mark(pid).as_ref() == Some(&self.mark)
        };
        living().filter(|(pid, stat)| belongs(*pid, stat)).map(|(pid, _)| pid).collect()
    }
}

/// Ends all that carries a mark of ours (`TOKEN:…`) and is not in `kept` (whole marks): what a supervisor that was killed left.
/// Returns how many there were.
pub(crate) async fn end_orphans(token: &str, kept: Vec<String>, grace: Duration) -> usize {
    let prefix = format!("{token}:");
    let deadline = Instant::now() + grace;
    let mut told = BTreeSet::new();
    loop {
        let (prefix, kept) = (prefix.clone(), kept.clone());
        let look = move || -> Vec<u32> {
            let orphan =
                |pid: u32| procfs::mark(pid).is_some_and(|mark| mark.starts_with(&prefix) && !kept.contains(&mark));
            living().filter(|(pid, _)| *pid != std::process::id() && orphan(*pid)).map(|(pid, _)| pid).collect()
        };
        let left = tokio::task::spawn_blocking(look).await.unwrap_or_default();
        if left.is_empty() || Instant::now() >= deadline + limits::KILL_GIVE_UP {
            return told.len();
        }
        let killing = Instant::now() >= deadline;
        for pid in left {
            let first = told.insert(pid);
            if killing {
                send(pid, Signal::KILL);
            } else if first {
                send(pid, Signal::TERM);
            }
        }
        tokio::time::sleep(limits::LEFTOVER_LOOK).await;
    }
}

fn living() -> impl Iterator<Item = (u32, Stat)> {
    procfs::all().filter_map(|pid| Some((pid, procfs::stat(pid)?))).filter(|(_, stat)| !stat.is_dead())
}

fn send(pid: u32, signal: Signal) {
    if let Ok(pid) = to_pid(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn to_pid(pid: u32) -> io::Result<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_its_cgroup_counts_goes_before_what_its_group_uses() {
        let folder = tempfile::tempdir().unwrap();
        let hold = |cgroup| Unit::hold(std::process::id(), String::new(), cgroup).unwrap();
        let of_group = (7, Duration::from_secs(7));
        assert_eq!(hold(None).usage(of_group), of_group);
        let unit = hold(Some(folder.path().to_owned()));
        // Not every kernel counts everything.
        assert_eq!(unit.usage(of_group), of_group);
        std::fs::write(folder.path().join("cpu.stat"), "usage_usec 1500000\n").unwrap();
        assert_eq!(unit.usage(of_group), (7, Duration::from_millis(1500)));
        std::fs::write(folder.path().join("memory.current"), "4096\n").unwrap();
        assert_eq!(unit.usage(of_group), (4096, Duration::from_millis(1500)));
    }
}
