//! The process that is to become the program: one thread, which applies everything to itself.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{FromRawFd as _, RawFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use super::{Description, HIDDEN_ARGUMENT, Launch, Report, exec, process, tmp};
use crate::error::cause;
use crate::identity::Identity;
use crate::limits::DESCRIPTION_BYTES;
use crate::{Note, Refusal, Step, landlocked};

/// Whether this process was started by [`Launch::spawn`]: then `main` calls [`launch_main`] before anything else.
pub fn launch_requested() -> bool {
    arguments().nth(1).is_some_and(|first| first == HIDDEN_ARGUMENT)
}

/// Becomes the program that was described by whoever started this process, or tells them why not.
pub fn launch_main() -> ! {
    let mut numbers = arguments().skip(2).map(|text| text.to_str().and_then(|text| text.parse::<RawFd>().ok()));
    let (Some(Some(description)), Some(Some(reporter))) = (numbers.next(), numbers.next()) else {
        eprintln!("doorstep {HIDDEN_ARGUMENT} is how doorstep starts other programs. It is not for use by hand.");
        std::process::exit(2);
    };
    // Nobody else has these: the arguments are only ever written by `Launch::spawn`, and this process has just begun.
    if !process::is_open(description) || !process::is_open(reporter) {
        std::process::exit(2);
    }
    // SAFETY: open, and owned by nothing else in this process.
    let (description, reporter) = unsafe { (File::from_raw_fd(description), File::from_raw_fd(reporter)) };
    let mut reports = Reports(reporter);
    let Err(refusal) = become_program(description, &mut reports);
    reports.send(&Report::Failed(refusal));
    std::process::exit(127);
}

/// From the kernel and not from the standard library, which may not know them yet when this runs before `main`, in tests.
fn arguments() -> impl Iterator<Item = OsString> {
    let bytes = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes).to_vec();
    bytes.split(|byte| *byte == 0).map(|part| OsString::from_vec(part.to_vec())).collect::<Vec<_>>().into_iter()
}

pub(super) struct Reports(pub(super) File);

impl Reports {
    pub(super) fn note(&mut self, note: Note) {
        self.send(&Report::Note(note));
    }

    fn send(&mut self, report: &Report) {
        let mut line = serde_json::to_vec(report).unwrap_or_default();
        line.push(b'\n');
        // Whoever started this process may be gone; the program then runs without them.
        let _ = self.0.write_all(&line);
    }
}

fn become_program(description: File, reports: &mut Reports) -> Result<std::convert::Infallible, Refusal> {
    let Description { launch, kept } = read(description)?;
    process::reset_signals();
    process::group(launch.process_group)?;
    if let Some(cgroup) = &launch.cgroup {
        cgroup.enter().map_err(|error| {
            let what = format!("the process cannot enter its cgroup {}: {}", cgroup.folder.display(), cause(&error));
            Refusal::new(Step::Cgroup, what, "")
        })?;
    }
    let identity = Identity::find(launch.user.as_deref(), launch.group.as_deref())?;
    process::limit(&launch, &identity, reports)?;
    let tmp = launch.private_tmp.as_deref().map(|folder| tmp::provide(folder, &identity, reports)).transpose()?;
    if let Some(mask) = launch.umask {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask & 0o777));
    }
    if let Some(writes) = &launch.writes {
        writable_only(&launch, writes, tmp.as_ref().map(|tmp| tmp.folder()), reports)?;
    }
    identity.assume()?;
    if launch.no_new_privs {
        rustix::thread::set_no_new_privs(true)
            .map_err(|error| Refusal::new(Step::Identity, format!("no_new_privs: {}", cause(&error.into())), ""))?;
    }
    let environment = environment(&launch, &identity, tmp.and_then(|tmp| tmp.variable()));
    enter(&launch.dir, &identity)?;
    process::arrange_descriptors(&kept, &mut reports.0)?;
    let program = exec::find(&launch, &identity)?;
    reports.send(&Report::Going);
    Err(exec::execute(&program, &launch.argv, &environment, &identity))
}

fn read(description: File) -> Result<Description, Refusal> {
    let mut bytes = Vec::new();
    let read = description.take(DESCRIPTION_BYTES).read_to_end(&mut bytes);
    let parsed = read.and_then(|_| serde_json::from_slice::<Description>(&bytes).map_err(io::Error::from));
    parsed.map_err(|error| {
        let what = format!("the description of the start cannot be read: {}", cause(&error));
        Refusal::new(Step::Description, what, "Start doorstep again: its binary may have been replaced meanwhile.")
    })
}

fn writable_only(
    launch: &Launch,
    writes: &[std::path::PathBuf],
    tmp: Option<&Path>,
    reports: &mut Reports,
) -> Result<(), Refusal> {
    let folders = writes.iter().map(std::path::PathBuf::as_path).chain(tmp);
    match landlocked::writable_only(folders, launch.no_new_privs) {
        Ok(note) => {
            note.into_iter().for_each(|note| reports.note(note));
            Ok(())
        }
        Err((path, error)) => {
            let what = format!("{} in `writes` cannot be opened: {}", path.display(), cause(&error));
            let owner = launch.user.as_deref().map(|user| format!(" -o {user}")).unwrap_or_default();
            Err(Refusal::new(Step::Landlock, what, format!("Make it: `install -d{owner} {}`.", path.display())))
        }
    }
}

/// The environment as `execve` wants it.
fn environment(launch: &Launch, identity: &Identity, tmp: Option<(&'static str, String)>) -> Vec<CString> {
    let mut all: Vec<(&str, String)> = Vec::new();
    let user = &identity.user;
    all.push(("PATH", exec::DEFAULT_PATH.to_owned()));
    all.push(("HOME", user.home.to_string_lossy().into_owned()));
    all.push(("USER", user.name.clone()));
    all.push(("LOGNAME", user.name.clone()));
    all.push(("SHELL", user.shell.to_string_lossy().into_owned()));
    all.extend(tmp);
    if launch.env.iter().any(|(name, _)| name == "LISTEN_FDS") {
        all.push(("LISTEN_PID", std::process::id().to_string()));
    }
    all.retain(|(name, _)| launch.env.iter().all(|(given, _)| given != name));
    all.extend(launch.env.iter().map(|(name, value)| (name.as_str(), value.reveal().clone())));
    // A zero in a name or value cannot be passed on by any system; such an entry is left out.
    all.into_iter().filter_map(|(name, value)| CString::new(format!("{name}={value}")).ok()).collect()
}

fn enter(dir: &Path, identity: &Identity) -> Result<(), Refusal> {
    std::env::set_current_dir(dir).map_err(|error| {
        let what =
            format!("the folder {} cannot be entered by {}: {}", dir.display(), identity.user.name, cause(&error));
        let fix = match error.kind() {
            io::ErrorKind::PermissionDenied => format!(
                "Let {} read it and every folder above it: `namei -l {}` shows their permissions.",
                identity.user.name,
                dir.display()
            ),
            _ => "Name a folder that exists in `dir`.".to_owned(),
        };
        Refusal::new(Step::Folder, what, fix)
    })
}
