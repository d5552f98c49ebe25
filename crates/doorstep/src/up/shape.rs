//! What a worker process is built around and cannot change while it lives: its sockets, and the folders it was let into.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use doorstep_model::{Action, Hostname, Listener, LogTarget, Spec, TlsPolicy, UploadPolicy};

use doorstep_sandbox::WorkerRules;

use super::dirs::Dirs;
use super::supervisor::threads;

/// Two configurations of the same shape can follow each other in one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub listeners: Vec<Listener>,
    pub threads: usize,
    pub user: String,
    pub sandbox: bool,
    /// Folders and files that the worker reads.
    pub read: Vec<PathBuf>,
    /// Folders that it writes to.
    pub write: Vec<PathBuf>,
    /// Whose names are lent, and which ports.
    pub relay: Option<(Hostname, RangeInclusive<u16>)>,
}

impl Shape {
    pub fn of(spec: &Spec, dirs: &Dirs) -> Self {
        let mut read = vec![dirs.python()];
        let mut write = vec![dirs.tls(), dirs.access_logs()];
        if !spec.dns.is_empty() {
            write.push(dirs.public());
        }
        if spec.relay.is_some() {
            write.push(dirs.relay());
        }
        for route in spec.sites.iter().flat_map(|site| &site.routes) {
            match &route.action {
                Action::Folder { root, options } => {
                    read.push(real_parent(root));
                    if options.upload != UploadPolicy::Off {
                        write.push(root.clone());
                    }
                }
                Action::File { path, .. } => read.push(path.clone()),
                _ => {}
            }
        }
        for log in &spec.daemon.access_logs {
            if let LogTarget::File { path, .. } = &log.target
                && let Some(folder) = path.parent().filter(|_| path.is_absolute())
            {
                write.push(folder.to_owned());
            }
        }
        for paths in [&mut read, &mut write] {
            paths.sort();
            paths.dedup();
        }
        Self {
            listeners: listeners(spec),
            threads: threads(spec),
            user: spec.daemon.user.clone(),
            sandbox: spec.daemon.sandbox,
            read,
            write,
            relay: spec.relay.as_ref().map(|relay| (relay.domain.clone(), relay.ports.clone())),
        }
    }
}

impl Shape {
    /// What a worker of this shape may do.
    pub fn rules(&self, user: Option<(u32, u32)>) -> WorkerRules {
        WorkerRules {
            user,
            read: self.read.clone(),
            write: self.write.clone(),
            bind: self.relay.as_ref().map(|(_, ports)| ports.clone()),
            filter: self.sandbox,
        }
    }

    /// Which folders the paths mean just now. A worker that is shut in has been let into these, and not into others that
    /// take their places (a site that is built anew).
    pub fn identities(&self) -> Identities {
        self.rules(None).identities()
    }
}

/// Paths with device and inode.
pub type Identities = Vec<(PathBuf, Option<(u64, u64)>)>;

/// Every socket that the worker needs, those of the metrics and of other tunnels than doorstep's own included.
pub fn listeners(spec: &Spec) -> Vec<Listener> {
    let plain = |address| Listener {
        address,
        tls: TlsPolicy::Plain,
        max_connections: None,
        proxy_from: Vec::new(),
        map: false,
    };
    let relay = spec.relay.iter();
    let tunnels = relay.flat_map(|relay| relay.ssh.iter().chain(relay.pagekite.iter().flat_map(|kites| &kites.listen)));
    let others = spec.daemon.metrics.iter().chain(tunnels).map(|address| plain(*address));
    spec.listeners.iter().cloned().chain(others).collect()
}

/// The folder itself; of a link such as `current -> releases/42`, the folder that it stands in: the next release lies
/// there, too.
fn real_parent(root: &std::path::Path) -> PathBuf {
    let is_link = std::fs::symlink_metadata(root).is_ok_and(|meta| meta.is_symlink());
    match root.parent() {
        Some(parent) if is_link => parent.to_owned(),
        _ => root.to_owned(),
    }
}
