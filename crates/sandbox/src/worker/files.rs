//! The files that a worker needs besides those of its sites.

use std::path::{Path, PathBuf};

use super::{ConfineError, WorkerRules, landlock};
use crate::Note;
use crate::landlocked::WorkerFiles;

/// Read by the C library, the resolver, and for time zones and certificate authorities.
///
/// `/etc` as a whole, since `resolv.conf` and its like are replaced by new files whenever the network changes, and a rule
/// for a file does not hold for the next one of its name. What is secret there is not readable to the worker's user. `/usr`
/// and `/lib` are for modules by which users and hosts are looked up (nsswitch.conf(5)), and are the same on every computer.
const SYSTEM: &[&str] = &[
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    // How many cores and how much memory there are, within the cgroup too.
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/net/core",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    // What /etc/resolv.conf is a link to, by the programs that write it.
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/var/lib/ca-certificates",
];

const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"];

pub(super) fn shut_in(rules: &WorkerRules) -> Result<Option<Note>, ConfineError> {
    let linked: Vec<PathBuf> = rules.read.iter().chain(&rules.write).filter_map(|path| versions(path)).collect();
    let own = rules.read.iter().chain(&linked).map(PathBuf::as_path);
    landlock(&WorkerFiles {
        read: SYSTEM.iter().map(Path::new).chain(own).collect(),
        write: rules.write.iter().map(PathBuf::as_path).collect(),
        devices: DEVICES.iter().map(Path::new).collect(),
        bind: rules.bind.clone(),
    })
}

/// `current` → `releases/41` will be `releases/42` after the next deployment, which must be readable without a new worker:
/// for a link, the folder that holds what it points to.
fn versions(path: &Path) -> Option<PathBuf> {
    if !path.is_symlink() {
        return None;
    }
    let holder = path.canonicalize().ok()?.parent()?.to_owned();
    // A link to `/srv` would open everything.
    (holder != Path::new("/")).then_some(holder)
}
