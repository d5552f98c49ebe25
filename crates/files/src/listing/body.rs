//! A listing on its way out: made a chunk at a time, when the client has room for it, and never whole in memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use doorstep_http::BodyError;
use http_body::Frame;
use tokio::sync::OwnedSemaphorePermit;

use super::page::BLOCK;
use super::snapshot::{Entry, Snapshot};
use super::{human, icon::Icon, text};
use crate::limits::LISTING_CHUNK;
use crate::variant::compress::Chunks;

/// What rows are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Html,
    Json,
}

/// Head, rows in order, tail.
pub struct ListingBody {
    pub snapshot: Snapshot,
    pub order: Vec<u32>,
    pub format: Format,
    /// Taken when the first chunk is made.
    pub head: String,
    /// Taken when the last chunk is made.
    pub tail: Option<String>,
    pub next: usize,
    /// The chunk that is being compressed.
    pub current: String,
    /// The listing's share of [`crate::limits::MAX_LISTED_IN_FLIGHT`].
    pub _permit: Option<OwnedSemaphorePermit>,
}

impl ListingBody {
    fn make_chunk(&mut self) -> Option<String> {
        let mut out = std::mem::take(&mut self.head);
        out.reserve(LISTING_CHUNK.saturating_sub(out.len()) + 1024);
        while out.len() < LISTING_CHUNK && self.next < self.order.len() {
            let at = self.order[self.next] as usize;
            if let Some(entry) = self.snapshot.entries().get(at) {
                let name = String::from_utf8_lossy(self.snapshot.name(entry));
                let addressable = text::is_addressable(self.snapshot.name(entry));
                match self.format {
                    Format::Html => {
                        if self.next > 0 && self.next.is_multiple_of(BLOCK) {
                            out.push_str("</ul><ul>");
                        }
                        push_row(entry, &name, addressable, &mut out);
                    }
                    Format::Json => {
                        if self.next > 0 {
                            out.push(',');
                        }
                        push_object(entry, &name, addressable, &mut out);
                    }
                }
            }
            self.next += 1;
        }
        if self.next >= self.order.len()
            && let Some(tail) = self.tail.take()
        {
            out.push_str(&tail);
        }
        (!out.is_empty()).then_some(out)
    }
}

fn push_row(entry: &Entry, name: &str, addressable: bool, out: &mut String) {
    let icon = if entry.folder { Icon::Folder } else { Icon::of(name) };
    out.push_str("<li class=");
    out.push_str(icon.class());
    if addressable {
        out.push_str("><a href=\"");
        text::push_href(name, out);
        out.push_str(if entry.folder { "/\">" } else { "\">" });
        text::push_html(name, out);
        out.push_str("</a>");
    } else {
        out.push_str("><b title=\"No link can carry this name. The folder's download has it.\">");
        text::push_html(name, out);
        out.push_str("</b>");
    }
    if entry.folder {
        out.push_str("<span></span>");
    } else {
        out.push_str("<span title=\"");
        human::push_grouped(entry.size, out);
        out.push_str(if entry.size == 1 { " byte\">" } else { " bytes\">" });
        human::push_size(entry.size, out);
        out.push_str("</span>");
    }
    out.push_str("<time title=\"");
    human::push_exact(entry.modified, ' ', out);
    out.push_str(" UTC\">");
    human::push_day(entry.modified, out);
    out.push_str("</time>\n");
}

fn push_object(entry: &Entry, name: &str, addressable: bool, out: &mut String) {
    use std::fmt::Write;
    out.push_str("\n{\"name\":");
    text::push_json(name, out);
    if entry.folder {
        out.push_str(",\"kind\":\"folder\"");
    } else {
        let _ = write!(out, ",\"kind\":\"file\",\"size\":{}", entry.size);
    }
    out.push_str(",\"modified\":\"");
    human::push_exact(entry.modified, 'T', out);
    out.push_str("Z\"");
    if addressable {
        out.push_str(",\"href\":\"");
        text::push_href(name, out);
        out.push_str(if entry.folder { "/\"" } else { "\"" });
    }
    out.push('}');
}

impl Chunks for ListingBody {
    fn next_chunk(&mut self) -> io::Result<Option<&[u8]>> {
        let chunk = self.make_chunk();
        let is_over = chunk.is_none();
        self.current = chunk.unwrap_or_default();
        Ok((!is_over).then_some(self.current.as_bytes()))
    }
}

impl http_body::Body for ListingBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.make_chunk().map(|chunk| Ok(Frame::data(chunk.into()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(entries: &[(&str, bool, u64, i64)], format: Format) -> ListingBody {
        let snapshot = Snapshot::of(entries);
        let order = (0..entries.len() as u32).collect();
        ListingBody {
            snapshot,
            order,
            format,
            head: "<".into(),
            tail: Some(">".into()),
            next: 0,
            current: String::new(),
            _permit: None,
        }
    }

    fn whole(mut body: ListingBody) -> (String, usize) {
        let (mut text, mut largest) = (String::new(), 0);
        while let Some(chunk) = body.make_chunk() {
            largest = largest.max(chunk.len());
            text.push_str(&chunk);
        }
        (text, largest)
    }

    #[test]
    fn rows_say_name_size_and_time() {
        let (text, _) =
            whole(body(&[("sub dir", true, 0, 0), ("a<b>.txt", false, 12345, 1_795_442_531)], Format::Html));
        assert_eq!(
            text,
            "<<li class=d><a href=\"sub%20dir/\">sub dir</a><span></span><time title=\"1970-01-01 00:00:00 UTC\">1 Jan 1970</time>\n\
             <li class=t><a href=\"a%3Cb%3E.txt\">a&lt;b&gt;.txt</a><span title=\"12,345 bytes\">12 kB</span>\
             <time title=\"2026-11-23 14:02:11 UTC\">23 Nov 2026</time>\n>"
        );
    }

    #[test]
    fn a_name_that_no_link_can_carry_has_none() {
        let (text, _) = whole(body(&[("two\nlines", false, 1, 0)], Format::Html));
        assert!(text.contains("two␊lines</b>") && !text.contains("href"), "{text}");
        let (json, _) = whole(body(&[("two\nlines", false, 1, 0)], Format::Json));
        assert!(!json.contains("href"), "{json}");
    }

    #[test]
    fn a_large_folder_comes_in_chunks_and_blocks() {
        let names: Vec<String> = (0..20_000).map(|n| format!("file {n}.jpg")).collect();
        let entries: Vec<_> = names.iter().map(|name| (name.as_str(), false, 1_u64, 0_i64)).collect();
        let (text, largest) = whole(body(&entries, Format::Html));
        assert!(largest < LISTING_CHUNK + 4096);
        assert_eq!(text.matches("<li ").count(), 20_000);
        assert_eq!(text.matches("</ul><ul>").count(), 79);
        let (json, _) = whole(body(&entries, Format::Json));
        let parsed: Vec<serde_json::Value> = serde_json::from_str(&format!("[{}]", &json[1..json.len() - 1])).unwrap();
        assert_eq!(parsed.len(), 20_000);
    }
}
