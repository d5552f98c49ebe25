//! Why an upload was not taken, in words for whoever sent it.

use std::io;

use doorstep_http::{BodyError, Request, Response, pages};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use rustix::io::Errno;

use super::multipart::MultipartError;
use super::name::NameError;
use crate::listing::text;

/// What went wrong, and whose side it is on.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    Name(#[from] NameError),
    #[error("{0}")]
    Form(#[from] MultipartError),
    #[error("{0}")]
    Bad(&'static str),
    #[error("Another website tried to send files here with your browser. That was stopped.")]
    OtherOrigin,
    #[error("There is no such folder here.")]
    NoFolder,
    #[error("This upload is not known here any more. Send the file again.")]
    Unknown,
    #[error("The upload stands at {0} bytes. Go on from there.")]
    OutOfStep(u64),
    #[error("The file is too large. This share takes files of up to {}.", crate::listing::human::size(*.0))]
    TooLarge(u64),
    #[error("The file is larger than the disk of the receiving computer can keep in one file.")]
    TooLargeForDisk,
    #[error("The disk of the receiving computer is too full for this file.")]
    NoSpace,
    #[error("Many uploads are running at this moment. Try again in a few seconds.")]
    Busy,
    #[error("Too many uploads were begun here and never finished. The owner of the share can delete them.")]
    TooManyPartials,
    #[error("Too many files have this name already.")]
    NoNameLeft,
    #[error("The computer that shares this folder does not let doorstep write here.")]
    ReadOnly,
    #[error("{0}")]
    Body(BodyError),
    #[error("The receiving computer could not write the file: {0}.")]
    Disk(io::Error),
    #[error("Files can be sent here by POST, PUT or PATCH.")]
    Method,
    #[error("The same file is being sent over another connection.")]
    TakenOver,
}

impl Refusal {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Name(_) | Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Form(MultipartError::TooManyParts) | Self::TooLarge(_) | Self::TooLargeForDisk => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Form(_) => StatusCode::BAD_REQUEST,
            Self::OtherOrigin | Self::ReadOnly => StatusCode::FORBIDDEN,
            Self::NoFolder | Self::Unknown => StatusCode::NOT_FOUND,
            Self::OutOfStep(_) | Self::NoNameLeft | Self::TakenOver => StatusCode::CONFLICT,
            Self::NoSpace | Self::TooManyPartials => StatusCode::INSUFFICIENT_STORAGE,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            // A client that hears this after all, by way of a proxy, may go on where it was.
            Self::Body(BodyError::TooSlow | BodyError::ClientGone) => StatusCode::REQUEST_TIMEOUT,
            Self::Body(BodyError::TooLarge(_)) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::Disk(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// Whether what was written so far is of no use to anybody.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::NoSpace | Self::TooLarge(_) | Self::TooLargeForDisk | Self::Bad(_) | Self::Disk(_))
    }

    /// As an answer: JSON to our script, a page to a browser, a line to a program.
    pub fn respond(&self, asked: &Asked) -> Response {
        let words = self.to_string();
        let mut response = if asked.json {
            let mut body = String::from("{\"error\":");
            text::push_json(&words, &mut body);
            body.push_str("}\n");
            Response::new(self.status())
                .with(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
                .with_body(body)
        } else {
            pages::problem(&asked.request, self.status(), &words)
        };
        match self {
            Self::Busy => {
                response.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            Self::Method => {
                response.headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE"));
            }
            Self::OutOfStep(offset) => {
                response.headers.insert(HeaderName::from_static("upload-offset"), HeaderValue::from(*offset));
            }
            _ => {}
        }
        response
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::NoSpace,
            Some(Errno::FBIG) => Self::TooLargeForDisk,
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Self::ReadOnly,
            Some(Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP) => Self::NoFolder,
            _ => Self::Disk(error),
        }
    }
}

/// What of a request an answer depends on, kept while the request's body is being read.
pub struct Asked {
    pub json: bool,
    pub html: bool,
    /// Without body.
    request: Request,
}

impl Asked {
    pub fn of(request: &Request) -> Self {
        let mut kept = Request::get("/");
        kept.method = if request.method == Method::HEAD { Method::HEAD } else { Method::GET };
        let accept = request.headers.get(header::ACCEPT).cloned();
        kept.headers.extend(accept.map(|accept| (header::ACCEPT, accept)));
        let json = request.header(header::ACCEPT).is_some_and(|accept| accept.contains("application/json"));
        Self { json, html: !json && request.wants_html(), request: kept }
    }
}
