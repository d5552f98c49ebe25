//! Cgroups (version 2): limits for an app's processes together, and a handle on all of them, whatever they do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use doorstep_model::ResourceLimits;
use serde::{Deserialize, Serialize};

use crate::limits::CGROUP_EMPTY_TIME;

/// The part of the cgroup tree that was handed to us (`Delegate=yes` of a systemd unit).
#[derive(Clone, Debug)]
pub struct Cgroups {
    root: PathBuf,
    holds: Holds,
}

/// A cgroup for [`crate::Launch::cgroup`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    pub folder: PathBuf,
    pub holds: Holds,
}

/// The limits that a cgroup can hold here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    pub memory: bool,
    pub cpu: bool,
    pub processes: bool,
}

/// What the processes of a cgroup use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes; `None` where it is not counted.
    pub memory: Option<u64>,
    /// Microseconds of CPU time since the cgroup was made.
    pub cpu_micros: Option<u64>,
    /// Times that a process was killed for want of memory.
    pub out_of_memory: u64,
}

impl Usage {
    /// As the files in a cgroup's folder tell; nothing where there is none.
    pub fn of(folder: &Path) -> Self {
        let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
        let field = |text: String, name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<u64>().ok())
        };
        Self {
            memory: read("memory.current").and_then(|text| text.trim().parse().ok()),
            cpu_micros: read("cpu.stat").and_then(|text| field(text, "usage_usec")),
            out_of_memory: read("memory.events").and_then(|text| field(text, "oom_kill")).unwrap_or_default(),
        }
    }
}

impl Cgroups {
    /// Takes charge of the cgroup that this process is in, if it may be divided: the process moves into a part of its own,
    /// `doorstep`, since limits can be given to parts only where the whole has no processes.
    ///
    /// `None`: nothing was handed to us; limits are then held as [`crate::Launch::limits`] tells.
    pub fn delegated() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let mut root = mount_point(&mounts)?.join(own_path(&own)?.trim_start_matches('/'));
        // After an upgrade this process is already in the part that it made.
        if root.file_name().is_some_and(|name| name == OWN_PART) {
            root.pop();
        }
        // systemd marks what it hands over. What it did not is its own, even where permissions would let us.
        if Path::new("/run/systemd/system").exists() && !is_marked(&root) {
            return None;
        }
        Self::at(&root)
    }

    /// The same for a folder of the cgroup tree that the caller names.
    pub fn at(root: &Path) -> Option<Self> {
        // The root of the whole tree is the system's, also for root.
        if !root.join("cgroup.type").exists() {
            return None;
        }
        let own = root.join(OWN_PART);
        match fs::create_dir(&own) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return None,
            _ => fs::write(own.join("cgroup.procs"), "0").ok()?,
        }
        for controller in ["memory", "cpu", "pids"] {
            let _ = fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        let enabled = fs::read_to_string(root.join("cgroup.subtree_control")).unwrap_or_default();
        let has = |name| enabled.split_whitespace().any(|word| word == name);
        Some(Self {
            root: root.to_owned(),
            holds: Holds { memory: has("memory"), cpu: has("cpu"), processes: has("pids") },
        })
    }

    /// What can be held here.
    pub fn holds(&self) -> Holds {
        self.holds
    }

    /// A cgroup for one instance: made, or emptied of limits that it had.
    ///
    /// # Errors
    /// The system's.
    pub fn make(&self, name: &str, limits: &ResourceLimits) -> io::Result<Join> {
        let folder = self.folder(name)?;
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let or_max = |value: Option<u64>| value.map_or_else(|| "max".to_owned(), |value| value.to_string());
        if self.holds.memory {
            fs::write(folder.join("memory.max"), or_max(limits.memory))?;
            // Swapping instead of ending would make the whole computer slow; not every kernel counts swap.
            if limits.memory.is_some() {
                let _ = fs::write(folder.join("memory.swap.max"), "0");
                // One process less would leave an app that is broken and looks alive.
                let _ = fs::write(folder.join("memory.oom.group"), "1");
            }
        }
        if self.holds.cpu {
            let quota = limits.cpu_percent.map(|percent| u64::from(percent) * CPU_PERIOD_MICROS / 100);
            fs::write(folder.join("cpu.max"), format!("{} {CPU_PERIOD_MICROS}", or_max(quota)))?;
        }
        if self.holds.processes {
            fs::write(folder.join("pids.max"), or_max(limits.processes))?;
        }
        Ok(Join { folder, holds: self.holds })
    }

    /// Ends every process in it at once, those that left their process group too. Needs Linux 5.14.
    ///
    /// # Errors
    /// The system's.
    pub fn kill(&self, name: &str) -> io::Result<()> {
        fs::write(self.folder(name)?.join("cgroup.kill"), "1")
    }

    /// Whether no process is left in it.
    pub fn is_empty(&self, name: &str) -> bool {
        let folder = self.folder(name);
        folder.and_then(|folder| fs::read_to_string(folder.join("cgroup.procs"))).is_ok_and(|text| text.is_empty())
    }

    /// Ends what is left in it and removes it. Blocks, at most [`CGROUP_EMPTY_TIME`].
    ///
    /// # Errors
    /// The system's.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let folder = self.folder(name)?;
        let until = Instant::now() + CGROUP_EMPTY_TIME;
        loop {
            match fs::remove_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < until => {
                    let _ = self.kill(name);
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                done => return done,
            }
        }
    }

    pub fn usage(&self, name: &str) -> Usage {
        self.folder(name).map(|folder| Usage::of(&folder)).unwrap_or_default()
    }

    /// Where it is, or would be.
    ///
    /// # Errors
    /// `InvalidInput`: the name is not one of a part.
    pub fn folder(&self, name: &str) -> io::Result<PathBuf> {
        if name.is_empty() || name.contains('/') || name.starts_with('.') || name == OWN_PART {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        Ok(self.root.join(name))
    }
}

impl Join {
    /// Moves this process in.
    pub(crate) fn enter(&self) -> io::Result<()> {
        fs::write(self.folder.join("cgroup.procs"), "0")
    }
}

/// Where doorstep itself stays.
const OWN_PART: &str = "doorstep";

const CPU_PERIOD_MICROS: u64 = 100_000;

/// systemd.resource-control(5) and its document on delegation.
fn is_marked(folder: &Path) -> bool {
    ["trusted.delegate", "user.delegate"].into_iter().any(|name| {
        let mut value = [0; 8];
        rustix::fs::getxattr(folder, name, &mut value).is_ok_and(|length| value[..length] == *b"1")
    })
}

/// The line of version 2 has no controllers: `0::/path` (cgroups(7)).
fn own_path(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// Where the tree of version 2 is mounted (proc_pid_mountinfo(5)).
fn mount_point(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let kind = after.split(' ').next()?;
        (kind == "cgroup2").then(|| before.split(' ').nth(4).map(PathBuf::from))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_found() {
        assert_eq!(
            own_path("9:name=systemd:/a\n0::/system.slice/doorstep.service\n"),
            Some("/system.slice/doorstep.service")
        );
        let mounts = "30 23 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(mount_point(mounts), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(mount_point("24 30 0:22 / /proc rw - proc proc rw\n"), None);
    }

    /// What a kernel would do with it is the kernel's; this is what we tell it.
    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert!(Cgroups::at(root).is_none(), "no cgroup");
        fs::write(root.join("cgroup.type"), "domain\n").unwrap();
        fs::create_dir(root.join(OWN_PART)).unwrap();
        let groups = Cgroups { root: root.to_owned(), holds: Holds { memory: true, cpu: true, processes: true } };
        let limits =
            ResourceLimits { memory: Some(1 << 20), cpu_percent: Some(150), open_files: None, processes: None };
        let join = groups.make("blog-1", &limits).unwrap();
        let read = |file: &str| fs::read_to_string(join.folder.join(file)).unwrap();
        assert_eq!(
            (read("memory.max"), read("cpu.max"), read("pids.max")),
            ("1048576".into(), "150000 100000".into(), "max".into())
        );
        fs::write(join.folder.join("cpu.stat"), "usage_usec 17\nuser_usec 3\n").unwrap();
        fs::write(join.folder.join("memory.current"), "4096\n").unwrap();
        assert_eq!(groups.usage("blog-1"), Usage { memory: Some(4096), cpu_micros: Some(17), out_of_memory: 0 });
        assert!(groups.make("../etc", &limits).is_err() && groups.make(OWN_PART, &limits).is_err());
    }
}
