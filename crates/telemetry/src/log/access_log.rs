use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

use doorstep_http::Exchange;
use doorstep_model::{AccessLogSpec, Blame, Finding, LogFormat, LogTarget, Severity};
use time::UtcOffset;

use super::combined::Combined;
use super::file::{LogFile, Lost};
use super::json;

/// One line for each request, in a file or on standard output. Writes in the calling thread.
pub struct AccessLog {
    format: Format,
    target: Target,
    lines: Vec<u8>,
    lost: u64,
}

enum Format {
    Combined(Combined),
    Json,
}

enum Target {
    File(LogFile),
    Stdout(File),
}

impl AccessLog {
    /// A file in the combined format that is never set aside, with times of `zone`.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path, zone: UtcOffset) -> io::Result<Self> {
        Ok(Self::new(Format::Combined(Combined::new(zone)), Target::File(LogFile::open(path, None)?)))
    }

    /// As `spec` says; relative paths are in `folder`, and times are UTC.
    ///
    /// # Errors
    /// The system's, with the file's name.
    pub fn of(spec: &AccessLogSpec, folder: &Path) -> io::Result<Self> {
        let format = match spec.format {
            LogFormat::Combined => Format::Combined(Combined::new(UtcOffset::UTC)),
            LogFormat::Json => Format::Json,
        };
        let target = match &spec.target {
            LogTarget::Stdout => Target::Stdout(io::stdout().as_fd().try_clone_to_owned()?.into()),
            LogTarget::File { path, rotation } => {
                let path = folder.join(path);
                let named = |error: io::Error| {
                    let hint = match error.kind() {
                        io::ErrorKind::PermissionDenied => {
                            ". The worker writes it, which has few rights: a name alone, such as access.log, \
                             lies in a folder that belongs to it"
                        }
                        _ => "",
                    };
                    io::Error::new(error.kind(), format!("{}: {}{hint}", path.display(), cause(&error)))
                };
                Target::File(LogFile::open(&path, Some(rotation.clone())).map_err(named)?)
            }
        };
        Ok(Self::new(format, target))
    }

    fn new(format: Format, target: Target) -> Self {
        Self { format, target, lines: Vec::new(), lost: 0 }
    }

    /// Adds one line for each request.
    ///
    /// # Errors
    /// A finding that names the file and the cause, such as a full disk.
    pub fn write<'a>(&mut self, requests: impl IntoIterator<Item = &'a Exchange>) -> Result<(), Finding> {
        self.lines.clear();
        for exchange in requests {
            match &mut self.format {
                Format::Combined(combined) => combined.add(&mut self.lines, exchange),
                Format::Json => json::add(&mut self.lines, exchange),
            }
        }
        let written = match &mut self.target {
            _ if self.lines.is_empty() => Ok(()),
            Target::File(file) => file.write(&self.lines),
            Target::Stdout(stdout) => {
                let lines = self.lines.iter().filter(|byte| **byte == b'\n').count() as u64;
                stdout.write_all(&self.lines).map_err(|error| Lost { error, lines })
            }
        };
        written.map_err(|Lost { error, lines }| {
            self.lost += lines;
            self.finding(
                Severity::Error,
                &format!("cannot be written: {}", cause(&error)),
                "Requests are answered, but not recorded.",
            )
        })
    }

    /// Opens the file anew, after somebody else has moved it away.
    pub fn reopen(&mut self) {
        if let Target::File(file) = &mut self.target {
            file.reopen();
        }
    }

    /// Lines that could not be written so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    pub(super) fn finding(&self, severity: Severity, what: &str, why: &str) -> Finding {
        let name = match &self.target {
            Target::File(file) => file.path().display().to_string(),
            Target::Stdout(_) => "on standard output".to_owned(),
        };
        Finding {
            severity,
            blame: Blame::Environment,
            id: "access-log",
            what: format!("The access log {name} {what}."),
            why: why.to_owned(),
            fix: String::new(),
        }
    }
}

/// The system's words without its number.
fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use doorstep_model::Rotation;

    use super::*;
    use crate::samples::exchange;

    #[test]
    fn appends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        AccessLog::open(&path, UtcOffset::UTC).unwrap().write(&[exchange("/1", 200)]).unwrap();
        AccessLog::open(&path, UtcOffset::UTC).unwrap().write(&[exchange("/2", 200)]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let target = LogTarget::File { path: PathBuf::from("no/such/access.log"), rotation: Rotation::default() };
        let error = AccessLog::of(&AccessLogSpec { format: LogFormat::Json, target }, folder.path()).err().unwrap();
        assert!(error.to_string().contains("no/such/access.log: "), "{error}");
    }

    #[test]
    fn a_full_disk_is_said_and_counted() {
        let mut log = AccessLog::open(Path::new("/dev/full"), UtcOffset::UTC).unwrap();
        let finding = log.write(&[exchange("/1", 200), exchange("/2", 200)]).unwrap_err();
        assert_eq!(finding.what, "The access log /dev/full cannot be written: No space left on device.");
        assert_eq!(log.lost(), 2);
    }
}
