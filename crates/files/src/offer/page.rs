//! The page that offers a file: what it is, a button to save it, and a look at it where browsers can show it.

use std::fmt::Write;
use std::fs::File;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use doorstep_http::{Request, Response, pages};
use http::StatusCode;
use http::header::{self, HeaderValue};

use crate::limits::MAX_PREVIEW;
use crate::listing::icon::Icon;
use crate::listing::page::ICON;
use crate::listing::{human, text};
use crate::stamp::Stamp;
use crate::{mime, random, read};

const CSS: &str = include_str!("offer.css");

/// The page for browsers, a few words for programs.
pub async fn respond(request: &Request, name: &str, file: &Arc<File>, stamp: &Stamp) -> Response {
    let size = human::size(stamp.len);
    let href = text::href(name);
    if !request.wants_html() {
        let address = format!("{}://{}/{href}", request.scheme(), request.authority);
        return Response::text(StatusCode::OK, format!("{name}, {size}\n\n    curl -O {address}\n"));
    }
    let Ok(nonce) = random::token() else {
        let detail = "This computer gives out no random numbers.";
        return pages::problem(request, StatusCode::INTERNAL_SERVER_ERROR, detail);
    };
    let shown = Preview::of(name, file, stamp).await;
    let mut out = String::with_capacity(8192);
    let safe = text::html(name);
    let _ = write!(
        out,
        "<!doctype html><html lang=en><head><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <meta name=color-scheme content=\"light dark\"><title>{safe}</title><link rel=icon href=\"{ICON}\">\
         <style nonce={nonce}>{}{CSS}</style></head><body><main><header><h1>{safe}</h1><p class=facts>{}</p>\
         <p class=actions><a class=\"button big\" href=\"/{href}?download\" download>Download</a>",
        pages::STYLE,
        facts(name, &size, stamp),
    );
    if !matches!(shown, Preview::Nothing) {
        let _ = write!(out, "<a class=\"button quiet\" href=\"/{href}\">Open</a>");
    }
    out.push_str("</p></header>");
    shown.push(&safe, &href, &mut out);
    out.push_str("</main><footer>Shared with doorstep</footer></body></html>\n");
    with_headers(Response::html(StatusCode::OK, out), &nonce)
}

fn with_headers(response: Response, nonce: &str) -> Response {
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; img-src 'self' data:; media-src 'self'; frame-src 'self'; \
         form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    );
    response
        .with(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'")),
        )
        .with(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
        .with(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"))
        .with(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
}

fn facts(name: &str, size: &str, stamp: &Stamp) -> String {
    let mut facts = vec![size.to_owned(), kind(name)];
    if let Ok(age) = stamp.modified().duration_since(UNIX_EPOCH)
        && let Ok(seconds) = i64::try_from(age.as_secs())
    {
        let mut day = String::from("changed ");
        human::push_day(seconds, &mut day);
        facts.push(day);
    }
    let facts: Vec<String> = facts.iter().filter(|fact| !fact.is_empty()).map(|fact| text::html(fact)).collect();
    facts.join(" · ")
}

/// What kind of thing it is, in a word or two.
fn kind(name: &str) -> String {
    let word = match Icon::of(name) {
        Icon::Image => "picture",
        Icon::Video => "video",
        Icon::Audio => "sound",
        Icon::Pdf | Icon::Document => "document",
        Icon::Text => "text",
        Icon::Sheet => "table",
        Icon::Slides => "slides",
        Icon::Code => "code",
        Icon::Archive => "archive",
        Icon::Font => "font",
        Icon::Book => "book",
        Icon::Program => "program",
        Icon::Disk => "disk image",
        Icon::File | Icon::Folder => "file",
    };
    match name.rsplit_once('.') {
        Some((_, "txt")) => word.to_owned(),
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= 8 && !extension.contains(' ') => {
            format!("{} {word}", extension.to_uppercase())
        }
        _ => word.to_owned(),
    }
}

/// What a browser can show of it.
enum Preview {
    Image,
    Audio,
    Video,
    Pdf,
    Text {
        beginning: String,
        is_all: bool,
    },
    /// It can be opened by itself, but not be shown within a page.
    Opens,
    Nothing,
}

impl Preview {
    async fn of(name: &str, file: &Arc<File>, stamp: &Stamp) -> Self {
        let essence = mime::essence(name);
        match essence {
            "image/tiff" | "image/heic" | "image/heif" | "image/vnd.adobe.photoshop" => Self::Nothing,
            "text/html" | "application/xhtml+xml" => Self::Opens,
            "application/pdf" => Self::Pdf,
            "video/mp4" | "video/webm" | "video/ogg" | "video/quicktime" | "video/x-m4v" => Self::Video,
            "application/json" | "application/x-ndjson" => Self::text(file, stamp).await,
            _ if essence.starts_with("image/") => Self::Image,
            _ if essence.starts_with("audio/") => Self::Audio,
            _ if essence.starts_with("text/") => Self::text(file, stamp).await,
            _ => Self::Nothing,
        }
    }

    /// The beginning of a text, if it is one.
    async fn text(file: &Arc<File>, stamp: &Stamp) -> Self {
        let len = stamp.len.min(MAX_PREVIEW);
        let Ok(bytes) = read::whole(file, len as usize).await else { return Self::Nothing };
        let is_all = len == stamp.len;
        let valid = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            // Only the character at the cut may be broken.
            Err(error) if error.error_len().is_none() && !is_all => {
                std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => return Self::Nothing,
        };
        if valid.is_empty() || valid.contains('\0') {
            return Self::Nothing;
        }
        Self::Text { beginning: valid.to_owned(), is_all }
    }

    fn push(&self, safe: &str, href: &str, out: &mut String) {
        let _ = match self {
            Self::Nothing | Self::Opens => Ok(()),
            Self::Image => {
                write!(out, "<figure><a href=\"/{href}\"><img src=\"/{href}?preview\" alt=\"{safe}\"></a></figure>")
            }
            Self::Audio => {
                write!(out, "<figure><audio controls preload=metadata src=\"/{href}?preview\"></audio></figure>")
            }
            Self::Video => {
                write!(
                    out,
                    "<figure><video controls playsinline preload=metadata src=\"/{href}?preview\"></video></figure>"
                )
            }
            Self::Pdf => write!(out, "<figure><iframe src=\"/{href}?preview\" title=\"{safe}\"></iframe></figure>"),
            Self::Text { beginning, is_all } => {
                let rest =
                    if *is_all { "" } else { "<p class=rest>The file goes on. Open or download it for the rest.</p>" };
                write!(out, "<figure><pre tabindex=0>{}</pre>{rest}</figure>", pages::escape(beginning))
            }
        };
    }
}
