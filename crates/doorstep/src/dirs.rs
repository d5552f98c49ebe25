//! Where a daemon keeps what: one place that the daemon and those who talk to it agree on.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use doorstep_store::{default_state_dir, give_folder, make_private_dir};
use rustix::process::{geteuid, getuid};

use crate::exit::{Code, Failure, cause};

/// The folders of one daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    /// Certificates, accounts, the journal, Python environments: what must last.
    pub state: PathBuf,
    /// Sockets and FIFOs: what is gone after a boot.
    pub run: PathBuf,
    /// Output of apps; access logs in `access`.
    pub logs: PathBuf,
}

/// Longest path of `run` that leaves room for the sockets in it (108 bytes in all, unix(7)).
const LONGEST_RUN: usize = 60;

impl Dirs {
    /// The folders that belong to a state folder; `None` is the default one of whoever runs this.
    ///
    /// # Errors
    /// There is no home to keep state in.
    pub fn of(state: Option<&Path>) -> Result<Self, Failure> {
        let root = geteuid().is_root();
        let default = default_state_dir();
        let state = match state {
            Some(path) => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            None => default.clone().ok_or_else(|| {
                Failure::new(Code::Failed, "there is no place to keep certificates and logs: HOME is not set")
                    .fix("Set HOME, or name a folder with --state.")
            })?,
        };
        if root && Some(&state) == default.as_ref() {
            return Ok(Self { state, run: "/run/doorstep".into(), logs: "/var/log/doorstep".into() });
        }
        let logs = state.join("logs");
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let run = match runtime {
            Some(runtime) if Some(&state) == default.as_ref() => runtime.join("doorstep"),
            _ => state.join("run"),
        };
        let run = if run.as_os_str().len() > LONGEST_RUN { short(&state) } else { run };
        Ok(Self { state, run, logs })
    }

    pub fn control(&self) -> PathBuf {
        self.run.join("control.sock")
    }

    pub fn tls(&self) -> PathBuf {
        self.state.join("tls")
    }

    /// What a relay remembers: its agents, their names, its own key.
    pub fn relay(&self) -> PathBuf {
        self.state.join("relay")
    }

    /// What was published of this computer: values of names.
    pub fn public(&self) -> PathBuf {
        self.state.join("public")
    }

    /// Virtual environments, and the static files of Django apps.
    pub fn python(&self) -> PathBuf {
        self.state.join("python")
    }

    /// Where access logs with a relative path are written: by the worker, so apart from the logs of apps.
    pub fn access_logs(&self) -> PathBuf {
        self.logs.join("access")
    }

    /// Makes them, for their owner alone; `tls`, `relay`, `public` and `logs/access` for the worker's user where it is another.
    ///
    /// # Errors
    /// The system's, with the folder's name.
    pub fn make(&self, worker: Option<(u32, u32)>) -> Result<(), Failure> {
        let fail = |path: &Path, error: &io::Error| {
            Failure::new(Code::Failed, format!("the folder {} cannot be used: {}", path.display(), cause(error)))
        };
        for dir in [&self.state, &self.run, &self.logs] {
            make_private_dir(dir).map_err(|error| fail(dir, &error))?;
        }
        // Its place may be one where everybody can make folders, and somebody may have been faster.
        let owner = fs::symlink_metadata(&self.run).map_err(|error| fail(&self.run, &error))?.uid();
        if owner != geteuid().as_raw() {
            return Err(fail(&self.run, &io::Error::other("it belongs to another user")));
        }
        // Before a worker is let into it: static files of apps will be there.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(self.python())
            .map_err(|error| fail(&self.python(), &error))?;
        let theirs = [self.tls(), self.access_logs(), self.relay(), self.public()];
        for dir in &theirs {
            make_private_dir(dir).map_err(|error| fail(dir, &error))?;
        }
        if let Some((uid, gid)) = worker {
            // The worker has to get to what is its own, and apps to their sockets. What is not the worker's it cannot
            // list, and nowhere does root write where the worker does.
            for dir in [&self.state, &self.run, &self.logs] {
                fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).map_err(|error| fail(dir, &error))?;
            }
            for dir in &theirs {
                give_folder(dir, uid, gid).map_err(|error| fail(dir, &error))?;
            }
        }
        Ok(())
    }
}

/// A folder of a short name for a state folder of a long one.
fn short(state: &Path) -> PathBuf {
    std::env::temp_dir().join(format!("doorstep-{}-{:016x}", getuid().as_raw(), hash(state)))
}

/// A number for a path: always the same one.
pub fn hash(path: &Path) -> u64 {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    BuildHasherDefault::<DefaultHasher>::default().hash_one(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_fit_however_long_the_state_folder_is_called() {
        let long = PathBuf::from(format!("/srv/{}", "long/".repeat(30)));
        let dirs = Dirs::of(Some(&long)).unwrap();
        assert!(dirs.run.as_os_str().len() <= LONGEST_RUN, "{dirs:?}");
        assert_eq!(dirs, Dirs::of(Some(&long)).unwrap());
        let short = Dirs::of(Some(Path::new("/srv/state"))).unwrap();
        assert_eq!(short.control(), Path::new("/srv/state/run/control.sock"));
    }
}
