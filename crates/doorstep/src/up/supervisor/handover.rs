//! What one program leaves to the next when `doorstep upgrade` replaces it within the same process: listening sockets, the
//! lock, the worker, the configuration in force.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::SystemTime;

use doorstep_config::Sources;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::Counts;
use super::sockets::HandedOn;
use crate::up::link::PROTOCOL;

/// Names the descriptor of the memory file that holds a [`Handover`].
pub const VARIABLE: &str = "DOORSTEP_HANDOVER";

#[derive(Debug, Serialize, Deserialize)]
pub struct Handover {
    pub protocol: u32,
    pub sockets: HandedOn,
    pub lock: RawFd,
    pub worker: InheritedWorker,
    /// Workers of the program before that still finish what they began; they are children of this process.
    pub draining: Vec<i32>,
    pub next_worker: u64,
    pub generation: u64,
    pub sources: Sources,
    pub counts: Counts,
    pub began: SystemTime,
    pub version: String,
    /// Addresses asked for, for the words of an error.
    pub addresses: Vec<SocketAddr>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct InheritedWorker {
    pub id: u64,
    pub pid: i32,
    pub generation: u64,
    pub link: RawFd,
    /// What was read from the link and is part of a message.
    pub early: Vec<u8>,
}

impl Handover {
    /// Writes it where the next program finds it. The descriptor stays open across exec, as do those it names.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self) -> io::Result<OwnedFd> {
        let mut file = File::from(memfd_create("doorstep-handover", MemfdFlags::empty())?);
        file.write_all(&serde_json::to_vec(self)?)?;
        file.rewind()?;
        Ok(file.into())
    }

    /// Lets the descriptors that it names live on across exec, or not (when the exec failed).
    pub fn keep_open(&self, keep: bool) {
        let flags = if keep { FdFlags::empty() } else { FdFlags::CLOEXEC };
        for fd in self.sockets.descriptors().chain([self.lock, self.worker.link]) {
            // SAFETY: the descriptors are open in this process: their owners are alive, or were forgotten for this.
            let fd = unsafe { rustix::fd::BorrowedFd::borrow_raw(fd) };
            let _ = fcntl_setfd(fd, flags);
        }
    }

    /// What the program before left, if this one was started to take over. To be called once.
    ///
    /// # Errors
    /// What was left cannot be read.
    pub fn found() -> io::Result<Option<Self>> {
        let Some(value) = std::env::var_os(VARIABLE) else { return Ok(None) };
        let fd: RawFd = value
            .to_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{VARIABLE} is no descriptor")))?;
        Self::read(fd).map(Some)
    }

    /// # Errors
    /// `fd` is no handover of this protocol.
    pub fn read(fd: RawFd) -> io::Result<Self> {
        // SAFETY: the program before opened it for us and nobody else in this one knows of it.
        let mut file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        let _ = fcntl_setfd(file.as_fd(), FdFlags::CLOEXEC);
        let mut text = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut text)?;
        let handover: Self = serde_json::from_slice(&text)?;
        if handover.protocol != PROTOCOL {
            let text = format!("it is of protocol {}, and this doorstep knows {PROTOCOL}", handover.protocol);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        // Otherwise whatever this program starts has them, too: workers the lock, and the next program the links of this one.
        handover.keep_open(false);
        Ok(handover)
    }

    pub fn lock(&self) -> File {
        // SAFETY: inherited from the program before; taken once, by `Supervisor::take_over`.
        unsafe { File::from_raw_fd(self.lock) }
    }
}

impl InheritedWorker {
    pub fn new(id: u64, pid: Pid, generation: u64, link: &UnixStream, early: Vec<u8>) -> Self {
        Self { id, pid: pid.as_raw_nonzero().get(), generation, link: link.as_raw_fd(), early }
    }

    pub fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.pid)
    }

    pub fn link(&self) -> UnixStream {
        // SAFETY: inherited from the program before; taken once, by `Supervisor::take_over`.
        UnixStream::from(unsafe { OwnedFd::from_raw_fd(self.link) })
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::IntoRawFd;

    use doorstep_config::Sources;
    use rustix::io::fcntl_getfd;

    use super::*;
    use crate::up::supervisor::sockets::Sockets;

    #[test]
    fn what_was_inherited_is_not_inherited_further() {
        let (link, _other) = UnixStream::pair().unwrap();
        let lock = File::open("/dev/null").unwrap();
        let handover = Handover {
            protocol: PROTOCOL,
            sockets: Sockets::default().hand_on(),
            lock: lock.as_raw_fd(),
            worker: InheritedWorker::new(1, rustix::process::getpid(), 1, &link, Vec::new()),
            draining: Vec::new(),
            next_worker: 2,
            generation: 1,
            sources: Sources::from_text(std::path::Path::new("/doorstep.toml"), ""),
            counts: Counts::default(),
            began: SystemTime::now(),
            version: String::new(),
            addresses: Vec::new(),
        };
        handover.keep_open(true);
        assert_eq!(fcntl_getfd(&link).unwrap(), FdFlags::empty());
        let left = handover.write().unwrap();
        Handover::read(left.into_raw_fd()).unwrap();
        assert_eq!((fcntl_getfd(&link).unwrap(), fcntl_getfd(&lock).unwrap()), (FdFlags::CLOEXEC, FdFlags::CLOEXEC));
    }
}
