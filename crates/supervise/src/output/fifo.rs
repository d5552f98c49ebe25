use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::AppLog;
use crate::limits;

/// A named pipe for the output of one instance. Opened for reading and writing by both sides: no end of file, and no SIGPIPE while
/// no supervisor lives.
pub(crate) struct Fifo {
    ours: OwnedFd,
    path: PathBuf,
}

impl Fifo {
    /// Makes the pipe, or opens the one that is there.
    ///
    /// # Errors
    /// The system's; `InvalidInput` where something else has the name.
    pub fn open(path: &Path) -> io::Result<Self> {
        match rustix::fs::mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR) {
            Err(error) if error != Errno::EXIST => return Err(error.into()),
            _ => {}
        }
        let ours = open_pipe(path, OFlags::NONBLOCK)?;
        // More room for the time without a reader; a refusal (pipe-user-pages-soft) leaves the usual 64 KiB.
        let _ = rustix::pipe::fcntl_setpipe_size(&ours, limits::PIPE);
        Ok(Self { ours, path: path.to_owned() })
    }

    /// The end for the program: an open file of its own, so that it blocks for the program and not for us.
    ///
    /// # Errors
    /// The system's.
    pub fn child_end(&self) -> io::Result<OwnedFd> {
        open_pipe(&self.path, OFlags::empty())
    }

    /// Reads lines into the log, in a task.
    ///
    /// # Errors
    /// The system's.
    pub fn read_into(self, log: Arc<AppLog>, who: String) -> io::Result<Reader> {
        // SAFETY: an `OwnedFd` stays the same open descriptor until it is dropped, which the `AsyncFd` does after deregistering.
        let pipe = unsafe { AsyncFd::register_with_interest(self.ours, Interest::READABLE)? };
        let (asks, asked) = mpsc::channel(1);
        let task = tokio::spawn(read(pipe, log, who, asked));
        Ok(Reader { asks, task, path: self.path })
    }
}

/// A task that reads a pipe.
pub(crate) struct Reader {
    asks: mpsc::Sender<Ask>,
    task: JoinHandle<()>,
    path: PathBuf,
}

enum Ask {
    CatchUp(oneshot::Sender<()>),
    Stop,
}

/// Asks a [`Reader`] to catch up.
#[derive(Clone)]
pub(crate) struct CatchUp(mpsc::Sender<Ask>);

impl CatchUp {
    /// Returns when all that is in the pipe is in the log: its program has ended, and its last words are wanted.
    pub async fn wait(&self) {
        let (done, waited) = oneshot::channel();
        let _ = self.0.send(Ask::CatchUp(done)).await;
        let _ = waited.await;
    }
}

impl Reader {
    pub fn catch_up(&self) -> CatchUp {
        CatchUp(self.asks.clone())
    }

    /// Reads what is in the pipe, and removes it: its program is gone.
    pub async fn finish(self) {
        let path = self.path.clone();
        self.pause().await;
        let _ = std::fs::remove_file(path);
    }

    /// Reads what is in the pipe and stops; the pipe stays for the next supervisor.
    pub async fn pause(self) {
        let _ = self.asks.send(Ask::Stop).await;
        let _ = self.task.await;
    }
}

/// The folder may belong to the app: a link in the place of the pipe must not lead us elsewhere.
fn open_pipe(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    // What is not a pipe is not opened: to open a device may already do something.
    let before = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(before.st_mode) != FileType::Fifo {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let fd = rustix::fs::open(path, flags, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::Fifo {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(fd)
}

async fn read(pipe: AsyncFd<OwnedFd>, log: Arc<AppLog>, who: String, mut asked: mpsc::Receiver<Ask>) {
    let mut lines = Lines::default();
    let mut chunk = vec![0u8; limits::LINE];
    loop {
        let ask = tokio::select! {
            ready = pipe.readable() => {
                let Ok(mut guard) = ready else { break };
                // Forgotten before reading, so that nothing written meanwhile is missed.
                guard.clear_ready();
                None
            }
            ask = asked.recv() => Some(ask.unwrap_or(Ask::Stop)),
        };
        while let Ok(count @ 1..) = rustix::io::read(pipe.get_ref(), &mut chunk[..]) {
            lines.add(&chunk[..count], |line| log.line(&who, line));
            tokio::task::yield_now().await;
        }
        if let Some(ask) = ask {
            lines.finish(|line| log.line(&who, line));
            match ask {
                Ask::CatchUp(done) => drop(done.send(())),
                Ask::Stop => break,
            }
        }
    }
}

/// Cuts bytes into lines of at most [`limits::LINE`] bytes.
#[derive(Default)]
struct Lines {
    part: Vec<u8>,
}

impl Lines {
    fn add(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, whole) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let mut text = text;
            while self.part.len() + text.len() > limits::LINE {
                let (head, rest) = text.split_at(limits::LINE - self.part.len());
                self.part.extend_from_slice(head);
                self.emit(&mut each);
                text = rest;
            }
            self.part.extend_from_slice(text);
            if whole {
                self.emit(&mut each);
            }
        }
    }

    /// What came without an end of line.
    fn finish(&mut self, mut each: impl FnMut(&str)) {
        if !self.part.is_empty() {
            self.emit(&mut each);
        }
    }

    fn emit(&mut self, each: &mut impl FnMut(&str)) {
        let part = std::mem::take(&mut self.part);
        let text = String::from_utf8_lossy(&part);
        each(text.strip_suffix('\r').unwrap_or(&text));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_bytes_arrive(text in "[a-z\n]{0,200}", cut in 1usize..50) {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for chunk in text.as_bytes().chunks(cut) {
                lines.add(chunk, |line| found.push(line.to_owned()));
            }
            lines.finish(|line| found.push(line.to_owned()));
            prop_assert_eq!(found, text.lines().map(str::to_owned).collect::<Vec<_>>());
        }
    }

    #[test]
    fn long_lines_are_cut() {
        let mut lines = Lines::default();
        let mut lengths = Vec::new();
        lines.add(&vec![b'x'; 2 * limits::LINE + 5], |line| lengths.push(line.len()));
        lines.add(b"\n", |line| lengths.push(line.len()));
        assert_eq!(lengths, [limits::LINE, limits::LINE, 5]);
    }

    #[test]
    fn a_link_or_file_in_the_place_of_the_pipe_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, dir.path().join("link")).unwrap();
        assert!(Fifo::open(&file).is_err());
        assert!(Fifo::open(&dir.path().join("link")).is_err());
    }
}
