//! One representation of one file, ready to be sent: as it is or compressed, from memory or from the disk.

pub mod compress;
mod conditional;
mod multipart;
mod range;

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use doorstep_http::body::FileRange;
use doorstep_http::{Body, Kind, Request, Response, pages};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use self::compress::Compressed;
use self::conditional::{Validators, Verdict};
use self::multipart::Multipart;
use self::range::Selection;
use crate::stamp::Stamp;
use doorstep_http::coding::Coding;

/// A representation and the headers it is sent with.
#[derive(Debug)]
pub struct Variant {
    /// Those of a 200.
    pub headers: HeaderMap,
    validators: Validators,
    pub source: Source,
    form: Form,
}

/// Where a representation's bytes are.
#[derive(Clone, Debug)]
pub enum Source {
    Memory(Bytes),
    File { file: Arc<File>, len: u64 },
}

/// How the bytes of the source become those of the representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// They are. Parts can be had.
    AsIs,
    /// They are, but another day's compression may make others of the same file. No parts.
    Fleeting,
    /// They are compressed while they are sent. No length, no parts.
    OnTheWay(Coding),
}

impl Variant {
    /// The file as it is, or a sibling of it that somebody compressed. `headers` are those that all of the file's
    /// variants have in common, `stamp` is that of the file whose bytes are sent.
    pub fn stored(headers: &HeaderMap, source: Source, stamp: &Stamp, coding: Option<Coding>) -> Self {
        let tag = coding.map_or(String::new(), |coding| format!("-{}", coding.name()));
        let mut variant = Self::new(headers, source, stamp, &format!("\"{}{tag}\"", stamp.tag()), coding, Form::AsIs);
        variant.headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        variant
    }

    /// What compressing the file gave.
    pub fn compressed(headers: &HeaderMap, bytes: Bytes, stamp: &Stamp, coding: Coding) -> Self {
        let tag = format!("W/\"{}-{}\"", stamp.tag(), coding.name());
        Self::new(headers, Source::Memory(bytes), stamp, &tag, Some(coding), Form::Fleeting)
    }

    /// The file, to be compressed while it is sent.
    pub fn on_the_way(headers: &HeaderMap, source: Source, stamp: &Stamp, coding: Coding) -> Self {
        let tag = format!("W/\"{}-{}\"", stamp.tag(), coding.name());
        Self::new(headers, source, stamp, &tag, Some(coding), Form::OnTheWay(coding))
    }

    fn new(headers: &HeaderMap, source: Source, stamp: &Stamp, etag: &str, coding: Option<Coding>, form: Form) -> Self {
        let mut headers = headers.clone();
        let etag = HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"\""));
        let modified = http_time(stamp.modified(), SystemTime::now());
        headers.insert(header::ETAG, etag.clone());
        if let Some(date) = modified.and_then(|time| HeaderValue::try_from(httpdate::fmt_http_date(time)).ok()) {
            headers.insert(header::LAST_MODIFIED, date);
        }
        if let Some(coding) = coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        Self { headers, validators: Validators { etag, modified }, source, form }
    }

    /// Answers a GET or HEAD: preconditions first, then ranges (RFC 9110 section 13.2.2).
    pub fn answer(&self, request: &Request) -> Response {
        match conditional::evaluate(&request.method, &request.headers, &self.validators) {
            Verdict::Proceed => {}
            Verdict::NotModified => return self.not_modified(),
            Verdict::Failed => {
                let mut refusal = pages::problem(
                    request,
                    StatusCode::PRECONDITION_FAILED,
                    "The file is not, or no longer, the one you meant.",
                );
                refusal.headers.insert(header::ETAG, self.validators.etag.clone());
                return refusal;
            }
        }
        if request.method == Method::GET
            && self.form == Form::AsIs
            && let Some(range) = request.header(header::RANGE)
            && conditional::range_applies(&request.headers, &self.validators, SystemTime::now())
        {
            match range::select(range, self.len()) {
                Selection::Whole => {}
                Selection::Parts(parts) => return self.partial(&parts),
                Selection::Unsatisfiable => return self.unsatisfiable(request),
            }
        }
        self.whole(request, StatusCode::OK)
    }

    /// The whole representation under any status.
    pub fn whole(&self, request: &Request, status: StatusCode) -> Response {
        let head = request.method == Method::HEAD;
        let mut response = Response::new(status);
        response.headers = self.headers.clone();
        response.kind = if head { Kind::Partial } else { Kind::Content };
        response.body = match (self.form, &self.source) {
            (Form::OnTheWay(_), _) if head => Body::Empty,
            (Form::OnTheWay(coding), Source::File { file, len }) => {
                match Compressed::file(file, *len, coding) {
                    Some(body) => Body::stream(body),
                    None => {
                        // Everybody is busy. The same file as it is, without a promise for next time.
                        response.headers.remove(header::CONTENT_ENCODING);
                        response.headers.remove(header::ETAG);
                        self.source.range(0..*len)
                    }
                }
            }
            (_, source) => source.range(0..self.len()),
        };
        if head && self.len() == 0 && self.form == Form::AsIs {
            response.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        response
    }

    fn len(&self) -> u64 {
        match &self.source {
            Source::Memory(bytes) => bytes.len() as u64,
            Source::File { len, .. } => *len,
        }
    }

    fn not_modified(&self) -> Response {
        let mut response = Response::new(StatusCode::NOT_MODIFIED).with_kind(Kind::Partial);
        let mut headers = self.headers.clone();
        for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::ACCEPT_RANGES, header::LAST_MODIFIED] {
            headers.remove(name);
        }
        response.headers = headers;
        response
    }

    fn partial(&self, parts: &[std::ops::Range<u64>]) -> Response {
        let mut response = Response::new(StatusCode::PARTIAL_CONTENT).with_kind(Kind::Partial);
        response.headers = self.headers.clone();
        let length = self.len();
        if let [part] = parts {
            if *part == (0..length) {
                response.kind = Kind::Content;
            }
            let text = format!("bytes {}-{}/{length}", part.start, part.end.saturating_sub(1));
            response.body = self.source.range(part.clone());
            return with_text(response, header::CONTENT_RANGE, text);
        }
        let own = self.headers.get(header::CONTENT_TYPE).cloned();
        let own = own.unwrap_or(HeaderValue::from_static("application/octet-stream"));
        let (body, value) = Multipart::new(&self.source, &own, parts, length);
        response.headers.insert(header::CONTENT_TYPE, value);
        response.body = Body::stream(body);
        response
    }

    fn unsatisfiable(&self, request: &Request) -> Response {
        let detail = format!("The file has {} bytes; none of those that were asked for.", self.len());
        let refusal = pages::problem(request, StatusCode::RANGE_NOT_SATISFIABLE, &detail);
        with_text(refusal, header::CONTENT_RANGE, format!("bytes */{}", self.len()))
    }
}

impl Source {
    fn range(&self, range: std::ops::Range<u64>) -> Body {
        match self {
            Self::Memory(bytes) => Body::Full(bytes.slice(range.start as usize..range.end as usize)),
            Self::File { file, .. } => {
                let len = range.end - range.start;
                Body::File(FileRange { file: Arc::clone(file), offset: range.start, len })
            }
        }
    }
}

fn with_text(mut response: Response, name: header::HeaderName, text: String) -> Response {
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers.insert(name, value);
    }
    response
}

/// Whole seconds, not in the future (RFC 9110 section 8.8.2.1), and only what an HTTP date can say.
fn http_time(time: SystemTime, now: SystemTime) -> Option<SystemTime> {
    const YEAR_10000: u64 = 253_402_300_800;
    let seconds = time.min(now).duration_since(UNIX_EPOCH).ok()?.as_secs();
    (seconds < YEAR_10000).then(|| UNIX_EPOCH + Duration::from_secs(seconds))
}
