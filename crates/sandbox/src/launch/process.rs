//! What a process has besides a user: its group, signals, limits, descriptors.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, RawFd};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::child::Reports;
use super::{Launch, ProcessGroup};
use crate::error::cause;
use crate::identity::Identity;
use crate::{Note, Refusal, Step};

/// Signals that Linux has.
const SIGNALS: usize = 64;

/// Every signal as the system has it: ours ignore some, and that would be inherited.
pub(super) fn reset_signals() {
    // As large as the kernel's `struct sigaction` of any architecture. Zeros: the default, no flags, nothing blocked.
    let default = [0_u64; 16];
    // SAFETY: plain calls with numbers and live pointers; for signals that cannot be changed they fail without effect. Not
    // by the C library, which keeps two signals to itself.
    unsafe {
        for signal in 1..=SIGNALS {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null_mut::<u64>(), SIGNALS / 8);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

pub(super) fn group(wanted: ProcessGroup) -> Result<(), Refusal> {
    let done = match wanted {
        ProcessGroup::Session => rustix::process::setsid().map(drop),
        ProcessGroup::Own => rustix::process::setpgid(None, None),
        ProcessGroup::Inherit => Ok(()),
    };
    done.map_err(|error| {
        Refusal::new(Step::ProcessGroup, format!("no process group of its own: {}", cause(&error.into())), "")
    })
}

/// Applies as rlimits what no cgroup holds; why these and no others is told at [`Launch::limits`].
pub(super) fn limit(launch: &Launch, identity: &Identity, reports: &mut Reports) -> Result<(), Refusal> {
    let held = launch.cgroup.as_ref().map(|cgroup| cgroup.holds).unwrap_or_default();
    let limits = &launch.limits;
    if let Some(files) = limits.open_files {
        set(Resource::Nofile, files, "open_files")?;
    }
    if let Some(bytes) = limits.memory.filter(|_| !held.memory) {
        set(Resource::Data, bytes, "memory")?;
        reports.note(Note::MemoryPerProcess);
    }
    if let Some(count) = limits.processes.filter(|_| !held.processes) {
        if identity.changes() && identity.user.uid != 0 {
            set(Resource::Nproc, count, "processes")?;
        } else {
            reports.note(Note::NoProcessLimit);
        }
    }
    if limits.cpu_percent.is_some() && !held.cpu {
        reports.note(Note::NoCpuLimit);
    }
    Ok(())
}

fn set(resource: Resource, value: u64, name: &str) -> Result<(), Refusal> {
    let both = Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(resource, both).map_err(|error| {
        let most = getrlimit(resource).maximum;
        let what = format!("the limit {name} = {value} cannot be set: {}", cause(&error.into()));
        let fix = match most {
            Some(most) if most < value => format!("The system allows {most} at most; ask for that or less."),
            _ => String::new(),
        };
        Refusal::new(Step::Limits, what, fix)
    })
}

pub(super) fn is_open(fd: RawFd) -> bool {
    // SAFETY: fcntl with F_GETFD takes no pointers.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// Puts the kept descriptors where the program wants them, and lets go of all others when it starts. `reporter` moves out of
/// the way and is closed by the exec.
pub(super) fn arrange_descriptors(kept: &[(RawFd, RawFd)], reporter: &mut File) -> Result<(), Refusal> {
    arrange(kept, reporter).map_err(|error| {
        Refusal::new(Step::Files, format!("the program's descriptors cannot be arranged: {}", cause(&error)), "")
    })
}

fn arrange(kept: &[(RawFd, RawFd)], reporter: &mut File) -> io::Result<()> {
    let highest = kept.iter().map(|(_, number)| *number).max().unwrap_or(2).max(2);
    if kept.iter().any(|(_, number)| *number < 3) {
        return Err(io::Error::other("numbers below 3 are those of the standard streams"));
    }
    // First all out of the way of the numbers that are wanted, then each to its own.
    let moved: Vec<(RawFd, RawFd)> =
        kept.iter().map(|(from, to)| Ok((above(*from, highest)?, *to))).collect::<io::Result<_>>()?;
    let report = above(reporter.as_raw_fd(), highest)?;
    for (from, to) in moved {
        // SAFETY: dup2 takes numbers.
        if unsafe { libc::dup2(from, to) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: just made, and owned by nothing else. What it replaces may have had its number taken over just now, so that
    // it must not be closed by its own drop.
    let old = std::mem::replace(reporter, unsafe { File::from_raw_fd(report) });
    std::mem::forget(old);
    let wanted: Vec<RawFd> = kept.iter().map(|(_, number)| *number).collect();
    for fd in (3..=highest).filter(|fd| !wanted.contains(fd)) {
        close_on_exec(fd, fd)?;
    }
    close_on_exec(highest + 1, RawFd::MAX)
}

fn above(fd: RawFd, highest: RawFd) -> io::Result<RawFd> {
    // SAFETY: fcntl with F_DUPFD_CLOEXEC takes no pointers.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, highest + 1) };
    if copy == -1 { Err(io::Error::last_os_error()) } else { Ok(copy) }
}

fn close_on_exec(first: RawFd, last: RawFd) -> io::Result<()> {
    // SAFETY: takes numbers. Flagging instead of closing keeps the reporter usable until the program runs.
    let code = unsafe {
        libc::syscall(libc::SYS_close_range, first as libc::c_uint, last as libc::c_uint, libc::CLOSE_RANGE_CLOEXEC)
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
