use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use doorstep_model::Rotation;
use parking_lot::Mutex;
use tokio::sync::{broadcast, oneshot};

use super::rotate::Rotating;
use crate::limits;
use crate::supervisor::SuperviseError;

/// The output of all apps and jobs. A thread of its own writes it to disk; where that is full or slow, lines are lost, and counted.
#[derive(Clone)]
pub(crate) struct Logs {
    dir: PathBuf,
    writer: SyncSender<Message>,
    apps: Arc<Mutex<HashMap<String, Arc<AppLog>>>>,
}

/// The output of one app or job.
pub(crate) struct AppLog {
    name: String,
    writer: SyncSender<Message>,
    rotation: Mutex<Rotation>,
    last: Mutex<VecDeque<String>>,
    followers: broadcast::Sender<String>,
    lost: AtomicU64,
}

enum Message {
    Line { log: Arc<AppLog>, text: String },
    Flush(oneshot::Sender<()>),
}

impl Logs {
    /// # Errors
    /// Where the folder cannot be made.
    pub fn start(dir: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
        let (writer, messages) = sync_channel(limits::LOG_QUEUE);
        let folder = dir.to_owned();
        std::thread::Builder::new().name("app-logs".into()).spawn(move || write(&folder, &messages))?;
        Ok(Self { dir: dir.to_owned(), writer, apps: Arc::default() })
    }

    /// The log of an app, made at the first call.
    pub fn app(&self, name: &str) -> Arc<AppLog> {
        let mut apps = self.apps.lock();
        let make = || {
            Arc::new(AppLog {
                name: name.to_owned(),
                writer: self.writer.clone(),
                rotation: Mutex::default(),
                last: Mutex::default(),
                followers: broadcast::Sender::new(limits::FOLLOW_QUEUE),
                lost: AtomicU64::new(0),
            })
        };
        Arc::clone(apps.entry(name.to_owned()).or_insert_with(make))
    }

    pub fn follow(&self, name: &str) -> broadcast::Receiver<String> {
        self.app(name).followers.subscribe()
    }

    pub fn last(&self, name: &str, lines: usize) -> Result<Vec<String>, SuperviseError> {
        let log = self.apps.lock().get(name).cloned();
        if let Some(log) = log {
            let last = log.last.lock();
            if last.len() >= lines {
                return Ok(last.iter().skip(last.len() - lines).cloned().collect());
            }
        }
        let path = self.dir.join(format!("{name}.log"));
        match tail(&path, lines) {
            // A name is one component: no log is looked for elsewhere.
            _ if name.contains('/') => Err(SuperviseError::Unknown(name.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SuperviseError::Unknown(name.to_owned())),
            Err(source) => Err(SuperviseError::Io { path, source }),
            Ok(lines) => Ok(lines),
        }
    }

    /// Returns when everything said so far is on its way to disk.
    pub async fn flush(&self) {
        let (done, waited) = oneshot::channel();
        let writer = self.writer.clone();
        let _ = tokio::task::spawn_blocking(move || writer.send(Message::Flush(done))).await;
        let _ = waited.await;
    }
}

impl AppLog {
    pub fn set_rotation(&self, rotation: &Rotation) {
        *self.rotation.lock() = rotation.clone();
    }

    /// One line of output, or of ours about it (`who` is then "doorstep").
    pub fn line(self: &Arc<Self>, who: &str, text: &str) {
        let line = format!("{} {who} {text}", now());
        let mut last = self.last.lock();
        if last.len() == limits::LAST_LINES {
            last.pop_front();
        }
        last.push_back(line.clone());
        drop(last);
        let _ = self.followers.send(line.clone());
        if self.writer.try_send(Message::Line { log: Arc::clone(self), text: line }).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What this instance said last, without time stamps.
    pub fn said(&self, who: &str, lines: usize) -> Vec<String> {
        let last = self.last.lock();
        let said = last.iter().rev().filter_map(|line| {
            let (_, line) = line.split_once(' ')?;
            line.strip_prefix(who)?.strip_prefix(' ').map(str::to_owned)
        });
        let mut said: Vec<String> = said.take(lines).collect();
        said.reverse();
        said
    }
}

fn now() -> String {
    const FORM: &[time::format_description::FormatItem<'_>] =
        time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    time::OffsetDateTime::now_utc().format(FORM).unwrap_or_default()
}

fn write(dir: &Path, messages: &Receiver<Message>) {
    let mut files: HashMap<String, Rotating> = HashMap::new();
    while let Ok(message) = messages.recv() {
        match message {
            Message::Line { log, text } => {
                let file = files
                    .entry(log.name.clone())
                    .or_insert_with(|| Rotating::new(dir.join(format!("{}.log", log.name))));
                let rotation = log.rotation.lock().clone();
                let lost = log.lost.swap(0, Ordering::Relaxed);
                if lost > 0
                    && file
                        .write(
                            &format!("{} doorstep {lost} lines were lost: the disk was full or too slow\n", now()),
                            &rotation,
                        )
                        .is_err()
                {
                    log.lost.fetch_add(lost, Ordering::Relaxed);
                }
                if file.write(&format!("{text}\n"), &rotation).is_err() {
                    log.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            Message::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}

fn tail(path: &Path, lines: usize) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(limits::LOG_TAIL)))?;
    let mut bytes = Vec::new();
    file.take(limits::LOG_TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut found: Vec<String> = text.lines().rev().take(lines).map(str::to_owned).collect();
    found.reverse();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_reach_memory_disk_and_followers() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::start(dir.path()).unwrap();
        let mut follower = logs.follow("blog");
        let log = logs.app("blog");
        log.line("1-1", "hello");
        log.line("2-2", "other");
        log.line("1-1", "bye");
        assert_eq!(log.said("1-1", 5), ["hello", "bye"]);
        assert!(follower.recv().await.unwrap().ends_with("Z 1-1 hello"));
        logs.flush().await;
        let on_disk = tail(&dir.path().join("blog.log"), 2).unwrap();
        assert_eq!(on_disk, logs.last("blog", 2).unwrap());
        assert!(on_disk[1].ends_with(" 1-1 bye"));
        assert!(matches!(logs.last("other", 1), Err(SuperviseError::Unknown(_))));
        assert!(matches!(logs.last("../blog", 1), Err(SuperviseError::Unknown(_))));
    }

    #[tokio::test]
    async fn lost_lines_are_counted_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::start(dir.path()).unwrap();
        let log = logs.app("blog");
        log.lost.store(3, Ordering::Relaxed);
        log.line("1-1", "again");
        logs.flush().await;
        let text = std::fs::read_to_string(dir.path().join("blog.log")).unwrap();
        assert!(text.contains("doorstep 3 lines were lost"), "{text}");
    }
}
