//! A child process, followed by its pidfd: also after this program has replaced itself, when nobody else remembers it.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fd::AsFd;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub struct Process {
    pub pid: Pid,
    fd: AsyncFd<OwnedFd>,
}

impl Process {
    /// Starts `binary` with descriptors that it inherits under their numbers, and no others: whoever started us may have left
    /// some open that are not for a process that reads from the network. Standard input is empty, the outputs are ours.
    ///
    /// # Errors
    /// The system's.
    pub fn spawn(binary: &Path, args: &[String], inherited: Vec<RawFd>) -> io::Result<Self> {
        let mut command = Command::new(binary);
        command.arg0("doorstep").args(args).stdin(Stdio::null());
        // SAFETY: between fork and exec only close_range(2) and fcntl(2) are called, which are async-signal-safe; nothing is
        // allocated. The descriptors are open in this process for as long as this function runs.
        unsafe {
            command.pre_exec(move || {
                // By number: the C library may be older than the call. Only flagged, since the pipe by which a failing exec
                // is told of is among them. A kernel before 5.11 has no such flag; they then stay as they are.
                libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
                for fd in &inherited {
                    fcntl_setfd(BorrowedFd::borrow_raw(*fd), FdFlags::empty())?;
                }
                Ok(())
            });
        }
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Self::of(pid.ok_or_else(|| io::Error::other("the child has no number"))?)
    }

    /// Follows a process that is a child of this one already.
    ///
    /// # Errors
    /// There is no such process.
    pub fn of(pid: Pid) -> io::Result<Self> {
        let fd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        // SAFETY: an `OwnedFd` stays the same open descriptor until it is dropped, which the `AsyncFd` does after deregistering.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE)? };
        Ok(Self { pid, fd })
    }

    /// Waits for its end, takes it off the system's list, and says how it ended.
    pub async fn ended(&self) -> String {
        let _ = self.fd.readable().await;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match waitid(WaitId::PidFd(self.fd.get_ref().as_fd()), options) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(0), _) => "ended".to_owned(),
                (Some(code), _) => format!("ended with exit code {code}"),
                (None, Some(9)) => {
                    "was killed (SIGKILL: by the system when memory is short, or by somebody)".to_owned()
                }
                (None, Some(signal)) => format!("was ended by signal {signal}"),
                (None, None) => "ended".to_owned(),
            },
            // Somebody else waits for all children.
            _ => "ended".to_owned(),
        }
    }

    pub fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(self.fd.get_ref(), signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_is_named_is_inherited() {
        let open = || std::fs::File::open("/dev/null").unwrap();
        let (named, other) = (open(), open());
        fcntl_setfd(&other, FdFlags::empty()).unwrap();
        let number = |file: &std::fs::File| std::os::fd::AsRawFd::as_raw_fd(file);
        let script = format!("test -e /dev/fd/{} && test ! -e /dev/fd/{}", number(&named), number(&other));
        let child = Process::spawn(Path::new("/bin/sh"), &["-c".to_owned(), script], vec![number(&named)]).unwrap();
        assert_eq!(child.ended().await, "ended");
    }

    #[tokio::test]
    async fn how_a_child_ended_is_told_in_words() {
        let spawn = |script: &str| {
            Process::spawn(Path::new("/bin/sh"), &["-c".to_owned(), script.to_owned()], Vec::new()).unwrap()
        };
        assert_eq!(spawn("exit 3").ended().await, "ended with exit code 3");
        let sleeping = spawn("sleep 100");
        sleeping.signal(Signal::TERM);
        assert_eq!(sleeping.ended().await, "was ended by signal 15");
    }
}
