//! The access log in the combined format, as log analysers read it.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::exit::cause;
use doorstep_http::Exchange;
use doorstep_model::{Blame, Finding, Severity};
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// A file that every request is appended to.
pub struct AccessLog {
    file: File,
    path: PathBuf,
    lines: Lines,
}

impl AccessLog {
    /// Opens `path` for appending, readable by its owner and group if it is new.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path, zone: UtcOffset) -> std::io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
        Ok(Self { file, path: path.to_owned(), lines: Lines::new(zone) })
    }

    /// Appends one line per request.
    ///
    /// # Errors
    /// A finding that names the file and the cause, such as a full disk.
    pub fn write(&mut self, requests: &[Exchange]) -> Result<(), Finding> {
        if requests.is_empty() {
            return Ok(());
        }
        self.lines.text.clear();
        requests.iter().for_each(|exchange| self.lines.add(exchange));
        self.file.write_all(self.lines.text.as_bytes()).map_err(|error| Finding {
            severity: Severity::Error,
            blame: Blame::Environment,
            id: "access-log",
            what: format!("The access log {} cannot be written: {}.", self.path.display(), cause(&error)),
            why: "Requests are answered, but not recorded.".to_owned(),
            fix: String::new(),
        })
    }
}

/// Lines in the making. What one line costs is part of what every request costs, so nothing is allocated for it and the
/// time is put in words once a second.
struct Lines {
    text: String,
    zone: UtcOffset,
    second: i64,
    time: String,
}

impl Lines {
    fn new(zone: UtcOffset) -> Self {
        Self { text: String::new(), zone, second: i64::MIN, time: String::new() }
    }

    /// `192.168.1.40 - - [04/May/2026:14:02:11 +0000] "GET / HTTP/1.1" 200 4123 "-" "Mozilla/5.0"`
    fn add(&mut self, exchange: &Exchange) {
        self.set_time(exchange.began);
        let _ = write!(self.text, "{} - - [{}] \"", exchange.client.to_canonical(), self.time);
        self.quote(exchange.method.as_str());
        self.text.push(' ');
        self.quote(&exchange.target);
        self.text.push_str(match exchange.version {
            http::Version::HTTP_10 => " HTTP/1.0\" ",
            http::Version::HTTP_2 => " HTTP/2.0\" ",
            _ => " HTTP/1.1\" ",
        });
        let _ = write!(self.text, "{} {} \"", exchange.status.as_str(), exchange.sent);
        self.quote(exchange.referer.as_deref().unwrap_or("-"));
        self.text.push_str("\" \"");
        self.quote(exchange.user_agent.as_deref().unwrap_or("-"));
        self.text.push_str("\"\n");
    }

    fn set_time(&mut self, at: SystemTime) {
        const FORMAT: &[time::format_description::BorrowedFormatItem<'_>] = format_description!(
            "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
        );
        let at = OffsetDateTime::from(at).to_offset(self.zone);
        if at.unix_timestamp() != self.second {
            self.second = at.unix_timestamp();
            self.time = at.format(FORMAT).unwrap_or_default();
        }
    }

    /// Adds text that can end neither its quotes nor its line.
    fn quote(&mut self, text: &str) {
        let plain = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
        if text.bytes().all(plain) {
            return self.text.push_str(text);
        }
        for c in text.chars() {
            match c {
                '"' | '\\' => {
                    self.text.push('\\');
                    self.text.push(c);
                }
                c if c.is_control() => {
                    let mut bytes = [0; 4];
                    for byte in c.encode_utf8(&mut bytes).bytes() {
                        let _ = write!(self.text, "\\x{byte:02x}");
                    }
                }
                c => self.text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::samples;

    fn line(exchange: &Exchange, zone: UtcOffset) -> String {
        let mut lines = Lines::new(zone);
        lines.add(exchange);
        lines.text
    }

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
