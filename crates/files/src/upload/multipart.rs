//! `multipart/form-data` (RFC 7578) as browsers without JavaScript and `curl -F` send it. Pure: bytes in, events out.

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

use crate::limits::{MAX_PART_HEADERS, MAX_PARTS};

/// What a form consists of, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A part begins: the name of its field, and that of its file if it is one.
    Begin { field: String, file: Option<String> },
    /// Bytes of the part.
    Data(Bytes),
    /// The part is whole.
    End,
}

/// Why a form is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    #[error("The form does not say what separates its parts.")]
    NoBoundary,
    #[error("The form is malformed.")]
    Malformed,
    #[error("A part of the form has too many headers.")]
    HeadersTooLarge,
    #[error("The form has too many parts.")]
    TooManyParts,
    #[error("The form ended too early.")]
    Truncated,
}

/// A form being read. Feed it bytes in any portions, then take events until there is none.
#[derive(Debug)]
pub struct Multipart {
    /// CR LF `--` boundary.
    delimiter: Finder<'static>,
    buffer: BytesMut,
    state: State,
    parts: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first delimiter.
    Preamble,
    /// Right after a delimiter.
    Delimited,
    Headers,
    Data,
    /// After the last delimiter; what follows is ignored.
    Over,
}

/// The longest boundary (RFC 2046, section 5.1.1).
const MAX_BOUNDARY: usize = 70;

impl Multipart {
    /// # Errors
    /// [`MultipartError::NoBoundary`] where `content_type` is no form's.
    pub fn new(content_type: &str) -> Result<Self, MultipartError> {
        let boundary = parameter(content_type, "boundary").ok_or(MultipartError::NoBoundary)?;
        if boundary.is_empty() || boundary.len() > MAX_BOUNDARY {
            return Err(MultipartError::NoBoundary);
        }
        let delimiter = Finder::new(&format!("\r\n--{boundary}")).into_owned();
        // The first delimiter may stand at the very start: then its line break is this one.
        let buffer = BytesMut::from(&b"\r\n"[..]);
        Ok(Self { delimiter, buffer, state: State::Preamble, parts: 0 })
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        if self.state != State::Over {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next event, or `None` if that needs more bytes.
    ///
    /// # Errors
    /// The form is malformed or exceeds a bound; there is no going on.
    pub fn next_event(&mut self) -> Result<Option<Event>, MultipartError> {
        loop {
            match self.state {
                State::Preamble => match self.delimiter.find(&self.buffer) {
                    Some(at) => {
                        let _ = self.buffer.split_to(at + self.delimiter.needle().len());
                        self.state = State::Delimited;
                    }
                    None => {
                        let _ = self.take_safe();
                        return Ok(None);
                    }
                },
                State::Delimited => {
                    if self.buffer.starts_with(b"--") {
                        self.state = State::Over;
                        self.buffer.clear();
                        continue;
                    }
                    let padding = self.buffer.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
                    match self.buffer.get(padding..padding + 2) {
                        Some(b"\r\n") => {
                            // The line break is kept: it ends the headers where there are none.
                            let _ = self.buffer.split_to(padding);
                            self.state = State::Headers;
                        }
                        Some(_) => return Err(MultipartError::Malformed),
                        None if self.buffer.len() > MAX_PART_HEADERS => return Err(MultipartError::HeadersTooLarge),
                        None => return Ok(None),
                    }
                }
                State::Headers => {
                    let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") else {
                        return if self.buffer.len() > MAX_PART_HEADERS {
                            Err(MultipartError::HeadersTooLarge)
                        } else {
                            Ok(None)
                        };
                    };
                    if end > MAX_PART_HEADERS {
                        return Err(MultipartError::HeadersTooLarge);
                    }
                    self.parts += 1;
                    if self.parts > MAX_PARTS {
                        return Err(MultipartError::TooManyParts);
                    }
                    let head = self.buffer.split_to(end + 4);
                    self.state = State::Data;
                    return Ok(Some(begin(&head)));
                }
                State::Data => return Ok(self.data()),
                State::Over => return Ok(None),
            }
        }
    }

    /// To be called at the end of the bytes.
    ///
    /// # Errors
    /// [`MultipartError::Truncated`] if that was not the end of the form.
    pub fn finish(&self) -> Result<(), MultipartError> {
        if self.state == State::Over { Ok(()) } else { Err(MultipartError::Truncated) }
    }

    fn data(&mut self) -> Option<Event> {
        match self.delimiter.find(&self.buffer) {
            Some(0) => {
                let _ = self.buffer.split_to(self.delimiter.needle().len());
                self.state = State::Delimited;
                Some(Event::End)
            }
            Some(at) => Some(Event::Data(self.buffer.split_to(at).freeze())),
            None => Some(self.take_safe()).filter(|data| !data.is_empty()).map(Event::Data),
        }
    }

    /// Takes what cannot be the start of a delimiter.
    fn take_safe(&mut self) -> Bytes {
        let keep = self.delimiter.needle().len() - 1;
        let safe = self.buffer.len().saturating_sub(keep);
        self.buffer.split_to(safe).freeze()
    }
}

fn begin(head: &[u8]) -> Event {
    let text = String::from_utf8_lossy(head);
    let disposition = text.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then(|| value.trim().to_owned())
    });
    let disposition = disposition.unwrap_or_default();
    Event::Begin {
        field: parameter(&disposition, "name").unwrap_or_default(),
        file: parameter(&disposition, "filename").map(|name| unescape(&name)),
    }
}

/// Browsers escape three characters of a name in this way (WHATWG HTML, multipart/form-data encoding algorithm).
fn unescape(name: &str) -> String {
    name.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

/// A parameter's value: `; name=value` or `; name="value"`, with `\"` and `\\` inside quotes.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let name = name.rsplit(';').next().unwrap_or_default().trim();
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = next.split_once(';')?.1;
    }
}

/// The text up to the closing quote, and what follows that.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => match chars.peek().copied() {
                Some((_, escaped @ ('"' | '\\'))) => {
                    value.push(escaped);
                    chars.next();
                }
                _ => value.push('\\'),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TYPE: &str = "multipart/form-data; boundary=XyZ";

    /// Field, file, data.
    type Part = (String, Option<String>, Vec<u8>);

    /// A form's parts, fed in the given portions.
    fn parse(form: &[u8], portions: &[usize]) -> Result<Vec<Part>, MultipartError> {
        let mut parser = Multipart::new(TYPE)?;
        let mut parts: Vec<Part> = Vec::new();
        let mut open = false;
        let mut at = 0;
        let mut sizes = portions.iter().copied().chain(std::iter::repeat(form.len().max(1)));
        while at < form.len() {
            let end = (at + sizes.next().unwrap_or(1).max(1)).min(form.len());
            parser.feed(&form[at..end]);
            at = end;
            while let Some(event) = parser.next_event()? {
                match event {
                    Event::Begin { field, file } => {
                        assert!(!open);
                        open = true;
                        parts.push((field, file, Vec::new()));
                    }
                    Event::Data(data) => parts.last_mut().unwrap().2.extend_from_slice(&data),
                    Event::End => {
                        assert!(open);
                        open = false;
                    }
                }
            }
        }
        parser.finish()?;
        Ok(parts)
    }

    fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut form = Vec::new();
        for (name, data) in parts {
            form.extend_from_slice(
                format!("--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: x/y\r\n\r\n")
                    .as_bytes(),
            );
            form.extend_from_slice(data);
            form.extend_from_slice(b"\r\n");
        }
        form.extend_from_slice(b"--XyZ--\r\n");
        form
    }

    #[test]
    fn what_curl_sends_is_understood() {
        let form = b"--XyZ\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n\
            --XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".txt\"\r\n\r\n\r\n--XyZ--\r\n";
        assert_eq!(
            parse(form, &[]).unwrap(),
            [("note".into(), None, b"hello".to_vec()), ("file".into(), Some("a \"b\".txt".into()), vec![])]
        );
    }

    #[test]
    fn a_part_without_headers_and_text_around_the_form_are_allowed() {
        let form = b"preamble --XyZ\r\n--XyZ \t\r\n\r\ndata\r\n--XyZ--epilogue\r\n--XyZ\r\n";
        assert_eq!(parse(form, &[]).unwrap(), [(String::new(), None, b"data".to_vec())]);
    }

    #[test]
    fn bad_forms_are_refused() {
        assert_eq!(Multipart::new("multipart/form-data").unwrap_err(), MultipartError::NoBoundary);
        assert_eq!(Multipart::new("multipart/form-data; boundary=").unwrap_err(), MultipartError::NoBoundary);
        assert_eq!(parse(b"--XyZ\r\n\r\ncut", &[]).unwrap_err(), MultipartError::Truncated);
        assert_eq!(parse(b"no form at all", &[]).unwrap_err(), MultipartError::Truncated);
        assert_eq!(parse(b"--XyZjunk\r\n\r\n", &[]).unwrap_err(), MultipartError::Malformed);
        let endless = [b"--XyZ\r\n".to_vec(), vec![b'a'; MAX_PART_HEADERS + 10]].concat();
        assert_eq!(parse(&endless, &[]).unwrap_err(), MultipartError::HeadersTooLarge);
        let many = b"--XyZ\r\n\r\n\r\n".repeat(MAX_PARTS + 1);
        assert_eq!(parse(&many, &[]).unwrap_err(), MultipartError::TooManyParts);
    }

    #[test]
    fn boundaries_may_be_quoted() {
        assert_eq!(
            parameter("multipart/form-data; charset=utf-8; boundary=\"a;b\"", "boundary").as_deref(),
            Some("a;b")
        );
        assert_eq!(parameter("form-data; filename=\"x; name=y\"; name=z", "name").as_deref(), Some("z"));
    }

    proptest! {
        #[test]
        fn portions_make_no_difference(
            datas in prop::collection::vec(prop::collection::vec(prop::sample::select(b"ab\r\n-XyZ\0".to_vec()), 0..60), 0..5),
            portions in prop::collection::vec(1_usize..20, 0..60),
        ) {
            prop_assume!(datas.iter().all(|data| memchr::memmem::find(&[b"\r\n", &data[..]].concat(), b"\r\n--XyZ").is_none()));
            let parts: Vec<(&str, &[u8])> = datas.iter().map(|data| ("n.bin", &data[..])).collect();
            let parsed = parse(&form(&parts), &portions).unwrap();
            prop_assert_eq!(parsed.len(), datas.len());
            for ((_, file, data), sent) in parsed.iter().zip(&datas) {
                prop_assert_eq!(file.as_deref(), Some("n.bin"));
                prop_assert_eq!(data, sent);
            }
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), portions in prop::collection::vec(1_usize..50, 0..10)) {
            let _ = parse(&[&b"--XyZ\r\n"[..], &bytes].concat(), &portions);
        }
    }
}
