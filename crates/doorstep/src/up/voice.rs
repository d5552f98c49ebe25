//! What a daemon says: plain lines with the time for people and the journal, or one JSON object a line.

use std::io::{Write, stdout};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use doorstep_model::Severity;
use serde_json::json;
use time::OffsetDateTime;
use time::UtcOffset;
use time::macros::format_description;

use crate::control::protocol::Found;
use crate::exit::Failure;
use crate::limits::{LAST_WORDS, WAITING_LINES};
use crate::screen::text::visible;

/// Where lines go, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    pub json: bool,
    pub zone: UtcOffset,
}

impl Voice {
    /// Something happened.
    pub fn say(&self, text: &str) {
        self.line(text, json!({ "event": "message", "text": text }));
    }

    /// What was found, and what to do.
    pub fn finding(&self, found: &Found) {
        let mark = match found.severity {
            Severity::Error => "error: ",
            Severity::Warning => "warning: ",
            Severity::Note => "",
        };
        let mut text = format!("{mark}{}", found.what);
        for more in [&found.why, &found.fix].into_iter().filter(|more| !more.is_empty()) {
            text.push_str("\n          ");
            text.push_str(&more.replace('\n', "\n          "));
        }
        let mut event = json!(found);
        event["event"] = json!("finding");
        self.line(&text, event);
    }

    /// Something that was asked for was not done.
    pub fn complain(&self, what: &str, failure: &Failure) {
        let text = format!("{what}: {failure}");
        self.line(&text, json!({ "event": "failure", "text": text }));
    }

    /// An event for programs; people do not see it.
    pub fn event(&self, event: &serde_json::Value) {
        if self.json {
            put(&event.to_string());
        }
    }

    fn line(&self, text: &str, event: serde_json::Value) {
        if self.json {
            return put(&event.to_string());
        }
        let now = OffsetDateTime::now_utc().to_offset(self.zone);
        let time = now.format(format_description!("[hour]:[minute]:[second]")).unwrap_or_default();
        put(&format!("{time}  {}", harmless(text)));
    }
}

/// Apps, authorities and workers are quoted in it: what they say must not command a terminal.
fn harmless(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

/// Lines on their way out. A reader that takes none of them, of a pipe for instance, must not stop the daemon: they are
/// written by a thread of their own, and dropped when too many wait.
static LINES: LazyLock<SyncSender<Line>> = LazyLock::new(|| {
    let (sender, receiver) = sync_channel(WAITING_LINES);
    // Without the thread, every line is dropped; there is no better place to say so.
    let _ = std::thread::Builder::new().name("voice".to_owned()).spawn(move || write_lines(&receiver));
    sender
});

enum Line {
    Text(String),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

fn put(line: &str) {
    let _ = LINES.try_send(Line::Text(line.to_owned()));
}

/// Waits, within bounds, until what was said is written.
pub fn flush() {
    let (done, is_done) = sync_channel(1);
    if LINES.try_send(Line::Flush(done)).is_ok() {
        let _ = is_done.recv_timeout(LAST_WORDS);
    }
}

fn write_lines(lines: &Receiver<Line>) {
    for line in lines {
        match line {
            Line::Text(text) => {
                let mut out = stdout().lock();
                let _ = writeln!(out, "{text}").and_then(|()| out.flush());
            }
            Line::Flush(done) => {
                let _ = done.try_send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_commands_no_terminal() {
        assert_eq!(harmless("The app said:\n  \x1b]0;x\x07 ü\r"), "The app said:\n  \\x1b]0;x\\x07 ü\\x0d");
    }
}
