//! The access log in the combined format, as log analysers read it.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::exit::cause;
use doorstep_http::Exchange;
use doorstep_model::{Blame, Finding, Severity};
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// A file that every request is appended to.
pub struct AccessLog {
    file: File,
    path: PathBuf,
    zone: UtcOffset,
}

impl AccessLog {
    /// Opens `path` for appending, readable by its owner and group if it is new.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path, zone: UtcOffset) -> std::io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
        Ok(Self { file, path: path.to_owned(), zone })
    }

    /// Appends one line per request.
    ///
    /// # Errors
    /// A finding that names the file and the cause, such as a full disk.
    pub fn write(&mut self, requests: &[Exchange]) -> Result<(), Finding> {
        if requests.is_empty() {
            return Ok(());
        }
        let text: String = requests.iter().map(|exchange| line(exchange, self.zone)).collect();
        self.file.write_all(text.as_bytes()).map_err(|error| Finding {
            severity: Severity::Error,
            blame: Blame::Environment,
            id: "access-log",
            what: format!("The access log {} cannot be written: {}.", self.path.display(), cause(&error)),
            why: "Requests are answered, but not recorded.".to_owned(),
            fix: String::new(),
        })
    }
}

/// `192.168.1.40 - - [04/May/2026:14:02:11 +0000] "GET / HTTP/1.1" 200 4123 "-" "Mozilla/5.0"`
fn line(exchange: &Exchange, zone: UtcOffset) -> String {
    const FORMAT: &[time::format_description::BorrowedFormatItem<'_>] = format_description!(
        "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
    );
    let time = OffsetDateTime::from(exchange.began).to_offset(zone).format(FORMAT).unwrap_or_default();
    let version = match exchange.version {
        http::Version::HTTP_10 => "1.0",
        http::Version::HTTP_2 => "2.0",
        _ => "1.1",
    };
    format!(
        "{} - - [{time}] \"{} {} HTTP/{version}\" {} {} \"{}\" \"{}\"\n",
        exchange.client.to_canonical(),
        quoted(exchange.method.as_str()),
        quoted(&exchange.target),
        exchange.status.as_u16(),
        exchange.sent,
        quoted(exchange.referer.as_deref().unwrap_or("-")),
        quoted(exchange.user_agent.as_deref().unwrap_or("-")),
    )
}

/// Text that can end neither its quotes nor its line.
fn quoted(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                safe.push('\\');
                safe.push(c);
            }
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(safe, "\\x{byte:02x}");
                }
            }
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::samples;

    #[test]
    fn is_the_combined_format() {
        let line = line(&samples::exchange("/a?b", 200), UtcOffset::from_hms(2, 0, 0).unwrap());
        assert_eq!(
            line,
            "192.168.1.40 - - [04/May/2026:16:02:10 +0200] \"GET /a?b HTTP/1.1\" 200 4123 \"-\" \"Mozilla/5.0\"\n"
        );
    }

    #[test]
    fn nobody_forges_a_line() {
        let mut exchange = samples::exchange("/", 200);
        exchange.user_agent = Some("x\" 200 1\n10.0.0.1 - -\u{85}".into());
        let line = line(&exchange, UtcOffset::UTC);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.contains(r#""x\" 200 1\x0a10.0.0.1 - -\xc2\x85""#));
    }

    #[test]
    fn appends() {
        let folder = std::env::temp_dir().join(format!("doorstep-access-log-{}", std::process::id()));
        let mut log = AccessLog::open(&folder, UtcOffset::UTC).unwrap();
        log.write(&[samples::exchange("/1", 200)]).unwrap();
        drop(log);
        AccessLog::open(&folder, UtcOffset::UTC).unwrap().write(&[samples::exchange("/2", 200)]).unwrap();
        let text = std::fs::read_to_string(&folder).unwrap();
        std::fs::remove_file(&folder).unwrap();
        assert_eq!(text.lines().count(), 2);
    }
}
