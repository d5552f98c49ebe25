//! `doorstep logs`: the last lines of the apps' log files, and what is added to them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::protocol::Response;
use super::server::Replies;
use crate::limits::{LOG_LINE, LOG_LINES, LOG_LOOK, LOG_PIECE, LOG_TAIL};

/// Sends the last `lines` of each file, `NAME.log` in `dir` for each of `names`, and then, if `follow`, what is added to
/// them until whoever asked is gone. A file that does not exist (yet) is empty.
///
/// Never waits for a disk in the runtime's thread.
pub async fn send(dir: PathBuf, names: Vec<String>, lines: usize, follow: bool, replies: Replies) {
    let mut tails: Vec<Tail> = names.into_iter().map(|name| Tail::new(&dir, name)).collect();
    let lines = lines.min(LOG_LINES);
    let mut first = true;
    loop {
        let looked = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            for tail in &mut tails {
                let found = if first { tail.last(lines) } else { tail.more() };
                all.extend(found.unwrap_or_default().into_iter().map(|text| (tail.name.clone(), text)));
            }
            (tails, all)
        });
        let Ok((again, all)) = looked.await else { return };
        tails = again;
        first = false;
        for (app, text) in all {
            if !replies.send(Response::Line { app, text }).await {
                return;
            }
        }
        if !follow {
            replies.send(Response::done("")).await;
            return;
        }
        tokio::select! {
            () = replies.gone() => return,
            () = tokio::time::sleep(LOG_LOOK) => {}
        }
    }
}

/// One log file, and how far it was read.
struct Tail {
    name: String,
    path: PathBuf,
    open: Option<(File, u64)>,
    /// The beginning of a line whose end was not written yet.
    begun: Vec<u8>,
}

impl Tail {
    fn new(dir: &Path, name: String) -> Self {
        Self { path: dir.join(format!("{name}.log")), name, open: None, begun: Vec::new() }
    }

    /// The last `count` lines, within the last [`LOG_TAIL`] bytes.
    fn last(&mut self, count: usize) -> io::Result<Vec<String>> {
        let Some(mut file) = self.reopen()? else { return Ok(Vec::new()) };
        let start = file.metadata()?.len().saturating_sub(LOG_TAIL);
        file.seek(SeekFrom::Start(start))?;
        let mut last = VecDeque::new();
        let mut skip = start > 0;
        self.read(&mut file, &mut |line| {
            // The first is the end of one whose beginning is not there.
            if std::mem::take(&mut skip) {
                return;
            }
            if last.len() == count {
                last.pop_front();
            }
            if count > 0 {
                last.push_back(line);
            }
        })?;
        Ok(last.into())
    }

    /// What was added. When the file was set aside meanwhile, its end and the beginning of the new one.
    fn more(&mut self) -> io::Result<Vec<String>> {
        let mut added = Vec::new();
        if let Some((mut file, _)) = self.open.take() {
            if file.metadata()?.len() < file.stream_position()? {
                // Emptied in place.
                file.rewind()?;
            }
            self.read(&mut file, &mut |line| added.push(line))?;
            let same = std::fs::metadata(&self.path)
                .is_ok_and(|now| file.metadata().is_ok_and(|meta| meta.ino() == now.ino()));
            if same || !self.path.exists() {
                let inode = file.metadata()?.ino();
                self.open = Some((file, inode));
                return Ok(added);
            }
        }
        if let Some(mut file) = self.reopen()? {
            self.read(&mut file, &mut |line| added.push(line))?;
        }
        Ok(added)
    }

    fn reopen(&mut self) -> io::Result<Option<File>> {
        match File::open(&self.path) {
            Ok(file) => {
                self.open = Some((file.try_clone()?, file.metadata()?.ino()));
                Ok(Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All whole lines up to the end of the file; lines that are too long are cut.
    fn read(&mut self, file: &mut File, each: &mut dyn FnMut(String)) -> io::Result<()> {
        let mut piece = [0; LOG_PIECE];
        loop {
            let count = file.read(&mut piece)?;
            if count == 0 {
                return Ok(());
            }
            for part in piece[..count].split_inclusive(|byte| *byte == b'\n') {
                let room = LOG_LINE.saturating_sub(self.begun.len());
                self.begun.extend_from_slice(&part[..part.len().min(room)]);
                if part.ends_with(b"\n") {
                    let line = std::mem::take(&mut self.begun);
                    each(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn last_lines_and_what_is_added() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("blog.log");
        let mut tail = Tail::new(dir.path(), "blog".into());
        assert!(tail.last(5).unwrap().is_empty() && tail.more().unwrap().is_empty(), "no file yet");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"1\n2\n3\nhal").unwrap();
        let mut tail = Tail::new(dir.path(), "blog".into());
        assert_eq!(tail.last(2).unwrap(), ["2", "3"]);
        assert!(tail.more().unwrap().is_empty());
        file.write_all(b"f\n5\n").unwrap();
        assert_eq!(tail.more().unwrap(), ["half", "5"]);
        // Set aside, with a last line in the old file.
        std::fs::rename(&path, dir.path().join("blog.log.1")).unwrap();
        file.write_all(b"6\n").unwrap();
        std::fs::write(&path, "7\n").unwrap();
        assert_eq!(tail.more().unwrap(), ["6", "7"]);
        // Emptied in place.
        std::fs::write(&path, "").unwrap();
        assert!(tail.more().unwrap().is_empty());
        std::fs::write(&path, "8\n").unwrap();
        assert_eq!(tail.more().unwrap(), ["8"]);
        assert!(Tail::new(dir.path(), "blog".into()).last(0).unwrap().is_empty());
    }

    #[test]
    fn lines_and_tails_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let long = "x".repeat(LOG_LINE + 10);
        let many = "short\n".repeat(LOG_TAIL as usize / 6);
        std::fs::write(dir.path().join("blog.log"), format!("{long}\n{many}{long}\nend\n")).unwrap();
        let lines = Tail::new(dir.path(), "blog".into()).last(usize::MAX).unwrap();
        assert!(lines.len() < many.len() / 6 && lines[0] == "short");
        assert_eq!((lines[lines.len() - 2].len(), lines[lines.len() - 1].as_str()), (LOG_LINE, "end"));
    }
}
