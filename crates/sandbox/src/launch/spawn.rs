use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};

use super::{Description, Fds, HIDDEN_ARGUMENT, Launch, Report};
use crate::limits::{LAUNCH_TIME, REPORT_BYTES};
use crate::{LaunchError, Note};

/// The binary that runs right now, also when its file was replaced or removed.
pub const OWN_BINARY: &str = "/proc/self/exe";

/// A program that runs. Whoever holds this reaps the process when it ends, by `waitid` on `pidfd`.
#[derive(Debug)]
pub struct Started {
    pub pid: u32,
    /// Names this process and never another one, as a number may.
    pub pidfd: OwnedFd,
    /// What was asked for and could not be had.
    pub notes: Vec<Note>,
}

impl Launch {
    /// Starts the program by `binary`, whose `main` calls [`crate::launch_main`]; usually [`OWN_BINARY`].
    ///
    /// Blocks until the program runs, at most [`LAUNCH_TIME`]; call it where blocking is allowed.
    ///
    /// # Errors
    /// [`LaunchError`], after which there is no process.
    pub fn spawn(&self, binary: &Path, fds: &Fds<'_>) -> Result<Started, LaunchError> {
        let fail = |source: io::Error| LaunchError::Spawn { binary: binary.to_owned(), source };
        let kept: Vec<(RawFd, RawFd)> = fds.kept.iter().map(|kept| (kept.fd.as_raw_fd(), kept.number)).collect();
        let description = serde_json::to_vec(&Description { launch: self.clone(), kept: kept.clone() })
            .map_err(LaunchError::Description)?;
        let description = in_memory(&description).map_err(fail)?;
        let (reports, reporter) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| fail(error.into()))?;

        let mut command = Command::new(binary);
        command.arg(HIDDEN_ARGUMENT);
        command.args([description.as_raw_fd().to_string(), reporter.as_raw_fd().to_string()]);
        command.env_clear();
        command.stdin(stdio(fds.stdin).map_err(fail)?);
        command.stdout(stdio(fds.stdout).map_err(fail)?);
        command.stderr(stdio(fds.stderr).map_err(fail)?);
        let inherited: Vec<RawFd> =
            [description.as_raw_fd(), reporter.as_raw_fd()].into_iter().chain(kept.iter().map(|(fd, _)| *fd)).collect();
        // SAFETY: between fork and exec it only calls fcntl, which is async-signal-safe, on descriptors that this
        // function keeps open, and allocates nothing.
        unsafe {
            command.pre_exec(move || inherited.iter().try_for_each(|fd| inherit(*fd)));
        }
        let child = command.spawn().map_err(fail)?;
        drop((reporter, description));
        let pid = child.id();
        // The process is not yet waited for, so that the number is still its own.
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(LaunchError::Vanished)?;
        let pidfd = pidfd_open(number, PidfdFlags::empty()).map_err(|error| fail(error.into()))?;
        match listen(&reports) {
            Ok(notes) => Ok(Started { pid, pidfd, notes }),
            Err(error) => {
                let _ = pidfd_send_signal(&pidfd, Signal::KILL);
                let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
                Err(error)
            }
        }
    }
}

/// Lets `fd` stay open over an exec. Only in the new process: in ours, every other one that is started would get it.
fn inherit(fd: RawFd) -> io::Result<()> {
    // SAFETY: fcntl with F_SETFD takes no pointers.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("doorstep-launch", MemfdFlags::CLOEXEC)?);
    io::Write::write_all(&mut file, bytes)?;
    file.rewind()?;
    Ok(file)
}

fn stdio(fd: Option<BorrowedFd<'_>>) -> io::Result<Stdio> {
    Ok(match fd {
        Some(fd) => fd.try_clone_to_owned()?.into(),
        None => Stdio::null(),
    })
}

/// Hears the new process out, until the program runs or something failed.
fn listen(reports: &OwnedFd) -> Result<Vec<Note>, LaunchError> {
    let text = read_all(reports)?;
    let mut notes = Vec::new();
    let mut going = false;
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(Report::Note(note)) => notes.push(note),
            Ok(Report::Going) => going = true,
            Ok(Report::Failed(refusal)) => return Err(LaunchError::Refused(refusal)),
            Err(_) => return Err(LaunchError::Vanished),
        }
    }
    if going { Ok(notes) } else { Err(LaunchError::Vanished) }
}

fn read_all(reports: &OwnedFd) -> Result<Vec<u8>, LaunchError> {
    let until = Instant::now() + LAUNCH_TIME;
    let mut file = File::from(reports.try_clone().map_err(|_| LaunchError::Vanished)?);
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let wait = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(reports, PollFlags::IN)], Some(&wait)) {
            Ok(0) => return Err(LaunchError::TooSlow),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return Err(LaunchError::Vanished),
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok(text),
            Ok(count) if text.len() + count <= REPORT_BYTES => text.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => return Err(LaunchError::Vanished),
        }
    }
}
