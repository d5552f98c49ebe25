use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use doorstep_http::Exchange;
use doorstep_model::{AccessLogSpec, Blame, Finding, Severity};

use super::AccessLog;
use super::inbox::Inbox;
use crate::limits::{MAX_FLUSH, TELL_AGAIN, WRITE_TICK};

/// The thread that writes the access logs, and the way to it.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
    /// For relative paths.
    folder: PathBuf,
}

#[derive(Default)]
struct Shared {
    inbox: Inbox,
    /// Whether there is a log to write to.
    wanted: AtomicBool,
    lost: AtomicU64,
    tell: OnceLock<Tell>,
}

type Tell = Box<dyn Fn(Finding) + Send + Sync>;

enum Command {
    SetLogs(Vec<AccessLog>),
    Reopen,
    /// Write what waits, then drop the sender.
    Flush(SyncSender<()>),
    End,
}

impl Writer {
    pub(crate) fn start(logs: &[AccessLogSpec], folder: &Path) -> io::Result<Self> {
        let logs = open(logs, folder)?;
        let shared = Arc::new(Shared::default());
        shared.wanted.store(!logs.is_empty(), Ordering::Relaxed);
        let (commands, inbox) = channel();
        let pen =
            Pen { shared: Arc::clone(&shared), logs: logs.into_iter().map(Watched::new).collect(), overflow: None };
        let thread = thread::Builder::new().name("access-log".to_owned()).spawn(move || pen.run(&inbox))?;
        Ok(Self { shared, commands, thread: Some(thread), folder: folder.to_owned() })
    }

    /// Never waits. Where no room is left, the request is counted as lost.
    pub(crate) fn push(&self, exchange: Exchange) {
        if self.shared.wanted.load(Ordering::Relaxed) && self.shared.inbox.push(exchange) {
            self.wake();
        }
    }

    pub(crate) fn report(&self, tell: Tell) {
        let _ = self.shared.tell.set(tell);
    }

    pub(crate) fn tell(&self, finding: Finding) {
        self.shared.tell(finding);
    }

    pub(crate) fn set_logs(&self, logs: &[AccessLogSpec]) -> io::Result<()> {
        let logs = open(logs, &self.folder)?;
        self.shared.wanted.store(!logs.is_empty(), Ordering::Relaxed);
        self.command(Command::SetLogs(logs));
        Ok(())
    }

    pub(crate) fn reopen(&self) {
        self.command(Command::Reopen);
    }

    pub(crate) fn flush(&self) {
        let (done, written) = sync_channel(0);
        self.command(Command::Flush(done));
        let _ = written.recv_timeout(MAX_FLUSH);
    }

    /// Requests that are missing in a log.
    pub(crate) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    fn command(&self, command: Command) {
        let _ = self.commands.send(command);
        self.wake();
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flush();
        self.command(Command::End);
    }
}

fn open(logs: &[AccessLogSpec], folder: &Path) -> io::Result<Vec<AccessLog>> {
    logs.iter().map(|spec| AccessLog::of(spec, folder)).collect()
}

impl Shared {
    fn tell(&self, finding: Finding) {
        if let Some(tell) = self.tell.get() {
            tell(finding);
        }
    }
}

/// What the thread holds.
struct Pen {
    shared: Arc<Shared>,
    logs: Vec<Watched>,
    /// When it was last told that requests come faster than they can be written.
    overflow: Option<Instant>,
}

/// A log, and since when what is wrong with it has been told.
struct Watched {
    log: AccessLog,
    told: Option<Instant>,
    /// Lines lost before the trouble began.
    lost_before: u64,
}

impl Pen {
    fn run(mut self, commands: &Receiver<Command>) {
        loop {
            thread::park();
            // What comes within a tick is written at once; a command ends the wait.
            thread::park_timeout(WRITE_TICK);
            self.write();
            while let Ok(command) = commands.try_recv() {
                match command {
                    Command::SetLogs(logs) => {
                        self.write();
                        self.logs = logs.into_iter().map(Watched::new).collect();
                    }
                    Command::Reopen => self.logs.iter_mut().for_each(|watched| watched.log.reopen()),
                    Command::Flush(done) => {
                        self.write();
                        drop(done);
                    }
                    Command::End => return,
                }
            }
        }
    }

    fn write(&mut self) {
        let (batch, overflown) = self.shared.inbox.take();
        if overflown > 0 {
            self.shared.lost.fetch_add(overflown, Ordering::Relaxed);
            if self.overflow.is_none_or(|told| told.elapsed() > TELL_AGAIN) {
                self.overflow = Some(Instant::now());
                self.shared.tell(overflow(overflown));
            }
        }
        if batch.is_empty() {
            return;
        }
        for watched in &mut self.logs {
            let before = watched.log.lost();
            let finding = watched.write(&batch);
            self.shared.lost.fetch_add(watched.log.lost() - before, Ordering::Relaxed);
            finding.into_iter().for_each(|finding| self.shared.tell(finding));
        }
    }
}

impl Watched {
    fn new(log: AccessLog) -> Self {
        Self { told: None, lost_before: log.lost(), log }
    }

    /// Writes, and says what is to be told: trouble when it begins and each [`TELL_AGAIN`], and its end.
    fn write(&mut self, batch: &[Exchange]) -> Option<Finding> {
        match self.log.write(batch) {
            Ok(()) => {
                self.told.take()?;
                let missing = self.log.lost() - std::mem::replace(&mut self.lost_before, self.log.lost());
                Some(self.log.finding(
                    Severity::Note,
                    &format!("is written again; {missing} requests are missing in it"),
                    "",
                ))
            }
            Err(finding) => {
                let tell = self.told.is_none_or(|told| told.elapsed() > TELL_AGAIN);
                if tell {
                    self.told = Some(Instant::now());
                }
                tell.then_some(finding)
            }
        }
    }
}

fn overflow(lost: u64) -> Finding {
    Finding {
        severity: Severity::Warning,
        blame: Blame::Environment,
        id: "access-log",
        what: format!("Requests come faster than the access log can be written: {lost} are missing in it."),
        why: "The disk, or whoever reads standard output, is slow. Requests are answered all the same.".to_owned(),
        fix: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use doorstep_model::{LogFormat, LogTarget, Rotation};

    use super::*;
    use crate::samples::exchange;

    fn json(path: impl Into<PathBuf>) -> AccessLogSpec {
        let target = LogTarget::File { path: path.into(), rotation: Rotation::default() };
        AccessLogSpec { format: LogFormat::Json, target }
    }

    fn lines(path: &Path) -> usize {
        std::fs::read_to_string(path).unwrap().lines().count()
    }

    #[test]
    fn what_was_pushed_is_written_when_it_is_flushed() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::start(&[json("a.log"), json("b.log")], folder.path()).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| writer.push(exchange("/", 200))));
            }
        });
        writer.flush();
        assert_eq!((lines(&folder.path().join("a.log")), lines(&folder.path().join("b.log"))), (400, 400));
        writer.set_logs(&[json("c.log")]).unwrap();
        writer.flush();
        writer.push(exchange("/", 200));
        drop(writer);
        assert_eq!((lines(&folder.path().join("a.log")), lines(&folder.path().join("c.log"))), (400, 1));
    }

    #[test]
    fn trouble_is_told_once_and_its_end_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/a.log");
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        let writer = Writer::start(&[json(&path)], folder.path()).unwrap();
        let (told, hears) = channel();
        writer.report(Box::new(move |finding| told.send(finding.what).unwrap()));
        let push = |times| {
            for _ in 0..times {
                writer.push(exchange("/", 200));
                writer.flush();
            }
        };
        push(1);
        std::fs::rename(folder.path().join("logs"), folder.path().join("gone")).unwrap();
        push(3);
        assert_eq!(writer.lost(), 3);
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        push(2);
        let told: Vec<String> = hears.try_iter().collect();
        assert!(told.len() == 2 && told[0].contains("cannot be written"), "{told:?}");
        assert!(told[1].contains("is written again; 3 requests are missing in it"), "{told:?}");
        assert_eq!(lines(&path), 2);
    }
}
