//! Landlock: rules about files that a process gives itself and cannot take back.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, NetPort, PathBeneath, PathFd, PathFdError, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use crate::Note;

/// The rights that are asked for, as far as the kernel knows them. Later ones (9) restrict connecting to unix sockets, which
/// is left to the permissions of the socket's file.
const NEWEST: ABI = ABI::V8;

/// Devices and shared memory, which nearly every program writes.
const DEVICES: &str = "/dev";
const SHARED_MEMORY: &str = "/dev/shm";

/// From here on this process and its children write only beneath `folders`, to devices, and to shared memory.
///
/// # Errors
/// The path that cannot be opened, or the empty path for a refusal of the kernel.
pub(crate) fn writable_only<'a>(
    folders: impl Iterator<Item = &'a Path>,
    no_new_privs: bool,
) -> Result<Option<Note>, (PathBuf, io::Error)> {
    // Not its right to control devices: a program's terminal is none of our business.
    let write = AccessFs::from_write(NEWEST) & !AccessFs::IoctlDev;
    let mut ruleset = Ruleset::default().handle_access(write).and_then(Ruleset::create).map_err(kernel)?;
    for folder in folders {
        ruleset = allow(ruleset, folder, write)?;
    }
    for (path, access) in [(DEVICES, AccessFs::WriteFile | AccessFs::Truncate), (SHARED_MEMORY, write)] {
        if Path::new(path).exists() {
            ruleset = allow(ruleset, Path::new(path), access)?;
        }
    }
    // Without it, only a process with CAP_SYS_ADMIN may restrict itself.
    let needed = no_new_privs || !rustix::process::geteuid().is_root();
    enforce(ruleset.no_new_privs(needed))
}

/// What a worker may touch.
pub(crate) struct WorkerFiles<'a> {
    /// Read, and listed where they are folders. Those that do not exist are left out.
    pub read: Vec<&'a Path>,
    /// Read and written. Those that do not exist are left out.
    pub write: Vec<&'a Path>,
    /// Only written, such as `/dev/null`.
    pub devices: Vec<&'a Path>,
    pub bind: Option<RangeInclusive<u16>>,
}

/// From here on this process touches only these files, executes none, binds no other TCP port, and neither signals nor reaches by
/// abstract sockets any process outside.
///
/// # Errors
/// The path that cannot be opened, or the empty path for a refusal of the kernel.
pub(crate) fn worker_files(files: &WorkerFiles<'_>) -> Result<Option<Note>, (PathBuf, io::Error)> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let special = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev;
    let write = AccessFs::from_write(NEWEST) & !special | read;
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::BindTcp))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(kernel)?;
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    for (paths, access) in [(&files.read, read), (&files.write, write), (&files.devices, device)] {
        for path in paths.iter().filter(|path| path.exists()) {
            ruleset = allow(ruleset, path, access)?;
        }
    }
    for port in files.bind.clone().into_iter().flatten() {
        ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::BindTcp)).map_err(kernel)?;
    }
    enforce(ruleset)
}

fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, (PathBuf, io::Error)> {
    let open = PathFd::new(path).map_err(|error| match error {
        PathFdError::OpenCall { source, .. } => (path.to_owned(), source),
        other => (path.to_owned(), io::Error::other(other)),
    })?;
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    ruleset.add_rule(PathBeneath::new(open, access)).map_err(|error| (path.to_owned(), io::Error::other(error)))
}

fn enforce(ruleset: RulesetCreated) -> Result<Option<Note>, (PathBuf, io::Error)> {
    let status = ruleset.restrict_self().map_err(kernel)?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => None,
        RulesetStatus::PartiallyEnforced => Some(Note::OldLandlock),
        RulesetStatus::NotEnforced => Some(Note::NoLandlock),
    })
}

fn kernel(error: landlock::RulesetError) -> (PathBuf, io::Error) {
    (PathBuf::new(), io::Error::other(error))
}
