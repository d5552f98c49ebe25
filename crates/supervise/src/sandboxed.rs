use std::os::fd::AsFd as _;
use std::path::PathBuf;

use doorstep_model::{Exec, Secret};
use doorstep_sandbox::cgroup::Cgroups;
use doorstep_sandbox::{Fds, Launch, ProcessGroup, User, group_id};

use crate::{Identity, Spawn, SpawnError, Spawned, Start};

/// Starts programs as their users and under their rules, by our own binary.
pub struct SandboxSpawn {
    binary: PathBuf,
    cgroups: Option<Cgroups>,
}

impl SandboxSpawn {
    /// `binary` is one whose `main` calls [`doorstep_sandbox::launch_main`]. Divides the cgroup of this process, where it may.
    pub fn new(binary: PathBuf) -> Self {
        Self { binary, cgroups: Cgroups::delegated() }
    }
}

impl Spawn for SandboxSpawn {
    fn spawn(&self, start: Start) -> Result<Spawned, SpawnError> {
        let exec = start.exec;
        let cgroup = match &self.cgroups {
            Some(cgroups) => Some(cgroups.make(&start.unit, &exec.limits)?),
            None => None,
        };
        let writes = exec.writes.map(|mut writes| {
            writes.extend(start.writes);
            writes
        });
        let launch = Launch {
            argv: start.argv,
            dir: exec.dir,
            env: start.env.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
            user: exec.user,
            group: exec.group,
            umask: exec.umask,
            limits: exec.limits,
            cgroup,
            writes,
            private_tmp: start.private_tmp,
            no_new_privs: !exec.new_privileges,
            process_group: ProcessGroup::Session,
        };
        let fds = Fds { stdout: Some(start.output.as_fd()), stderr: Some(start.output.as_fd()), ..Fds::default() };
        match launch.spawn(&self.binary, &fds) {
            Ok(started) => {
                Ok(Spawned { pid: started.pid, notes: started.notes.iter().map(|note| note.finding()).collect() })
            }
            Err(error) => {
                let failed = SpawnError { what: error.to_string(), fix: error.fix().to_owned() };
                self.release(&start.unit);
                Err(failed)
            }
        }
    }

    fn identity(&self, exec: &Exec) -> Result<Identity, SpawnError> {
        let user = match &exec.user {
            None => User::current(),
            Some(name) => User::find(name)?.ok_or_else(|| SpawnError {
                what: format!("there is no user {name} on this computer"),
                fix: format!("Make one: `useradd --system {name}`."),
            })?,
        };
        let gid = match &exec.group {
            None => user.gid,
            Some(name) => group_id(name)?.ok_or_else(|| SpawnError {
                what: format!("there is no group {name} on this computer"),
                fix: format!("Make one: `groupadd --system {name}`."),
            })?,
        };
        Ok(Identity { uid: user.uid, gid, name: user.name, home: user.home, shell: user.shell })
    }

    fn cgroup(&self, unit: &str) -> Option<PathBuf> {
        self.cgroups.as_ref()?.folder(unit).ok().filter(|folder| folder.exists())
    }

    fn release(&self, unit: &str) {
        if let Some(cgroups) = &self.cgroups {
            // Refused where something in it hangs in the kernel: an empty folder more, until the service is stopped.
            let _ = cgroups.remove(unit);
        }
    }
}
