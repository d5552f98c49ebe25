//! The page around a folder's entries: everything but the rows.

use std::fmt::Write;

use doorstep_http::Response;
use http::header::{self, HeaderValue};

use super::assets::{Asset, LISTING_SCRIPT, STYLE, UPLOAD_SCRIPT};
use super::order::{Column, View};
use super::snapshot::Snapshot;
use super::{human, text};

/// What the page says besides its rows.
pub struct Page<'a> {
    /// The shared folder's name.
    pub root_name: &'a str,
    /// Decoded path beneath the root: empty, or without slashes at its ends.
    pub folder: &'a str,
    pub view: &'a View,
    pub snapshot: &'a Snapshot,
    /// How many rows follow.
    pub shown: usize,
    /// HTML of the upload zone, where there is one.
    pub upload: Option<&'a str>,
    pub nonce: &'a str,
}

/// The entries of one block of rows. Browsers lay out only the blocks in sight.
pub const BLOCK: usize = 250;

impl Page<'_> {
    /// Everything before the rows.
    pub fn head(&self) -> String {
        let mut out = String::with_capacity(4096);
        let scripts: &[&Asset] =
            if self.upload.is_some() { &[&LISTING_SCRIPT, &UPLOAD_SCRIPT] } else { &[&LISTING_SCRIPT] };
        push_start(self.title(), self.nonce, scripts, "", &mut out);
        self.push_crumbs(&mut out);
        self.push_tools(&mut out);
        out.push_str("<main>");
        if let Some(upload) = self.upload {
            out.push_str(upload);
        }
        if self.snapshot.cut {
            let shown = human::counted(self.snapshot.entries().len() as u64, "entry", "entries");
            let _ = write!(
                out,
                "<p class=note>This folder has more than fits on a page. Only {shown} of it are shown.</p>"
            );
        }
        self.push_columns(&mut out);
        out.push_str("<div class=rows id=list><ul>");
        if !self.folder.is_empty() {
            out.push_str("<li class=up><a href=\"../\">Parent folder</a><span></span><time></time>");
        }
        out
    }

    /// Everything after the rows.
    pub fn tail(&self) -> String {
        let mut out = String::with_capacity(1024);
        out.push_str("</ul></div><div class=rows id=found hidden></div>");
        if self.shown == 0 {
            let words = if self.view.filter.is_empty() {
                "This folder is empty."
            } else {
                "Nothing here has that in its name."
            };
            let _ = write!(out, "<p class=none id=nothing>{words}</p>");
        }
        if let Some(readme) = self.snapshot.readme.as_ref().filter(|_| self.view.filter.is_empty()) {
            let _ = write!(out, "<article class=readme>{readme}</article>");
        }
        out.push_str(
            "</main><footer><span>Shared with doorstep</span><span class=\"keys js\"><kbd>/</kbd> filter \
             <kbd>↑</kbd> <kbd>↓</kbd> move <kbd>Enter</kbd> open <kbd>Backspace</kbd> up</span></footer></body></html>\n",
        );
        out
    }

    fn title(&self) -> &str {
        if self.folder.is_empty() { self.root_name } else { self.folder.rsplit('/').next().unwrap_or_default() }
    }

    fn push_crumbs(&self, out: &mut String) {
        out.push_str("<nav class=crumbs aria-label=\"Where you are\">");
        let segments: Vec<&str> = self.folder.split('/').filter(|segment| !segment.is_empty()).collect();
        for (at, name) in std::iter::once(&self.root_name).chain(&segments).enumerate() {
            let up = segments.len() - at;
            if up == 0 {
                let _ = write!(out, "<h1>{}</h1>", text::html(name));
            } else {
                let _ =
                    write!(out, "<a href=\"{}\">{}</a><i aria-hidden=true>/</i>", "../".repeat(up), text::html(name));
            }
        }
        out.push_str("</nav>");
    }

    fn push_tools(&self, out: &mut String) {
        let _ = write!(out, "<div class=tools><p class=sum id=sum>{}</p>", self.summary());
        let filter = text::html(&self.view.filter);
        out.push_str("<form class=find role=search>");
        if self.view.column != Column::Name || self.view.descending {
            let order = if self.view.descending { "desc" } else { "asc" };
            let _ = write!(
                out,
                "<input type=hidden name=sort value={}><input type=hidden name=order value={order}>",
                self.view.column.word()
            );
        }
        let _ = write!(
            out,
            "<input type=search name=q id=q value=\"{filter}\" placeholder=Filter aria-label=\"Filter names\" \
             autocomplete=off autocapitalize=off spellcheck=false><kbd class=js aria-hidden=true>/</kbd></form>"
        );
        if self.snapshot.files > 0 {
            out.push_str("<a class=\"button quiet\" href=\"?zip\" download title=\"Everything in this folder as one .zip\">Download folder</a>");
        }
        out.push_str("</div>");
    }

    fn summary(&self) -> String {
        let snapshot = self.snapshot;
        let total = snapshot.entries().len() as u64;
        if !self.view.filter.is_empty() {
            let mut text = String::new();
            human::push_grouped(self.shown as u64, &mut text);
            text.push_str(" of ");
            human::push_grouped(total, &mut text);
            text.push_str(" match");
            return text;
        }
        let mut parts = Vec::new();
        if snapshot.folders > 0 {
            parts.push(human::counted(snapshot.folders, "folder", "folders"));
        }
        if snapshot.files > 0 {
            parts.push(human::counted(snapshot.files, "file", "files"));
            parts.push(human::size(snapshot.bytes));
        }
        // Each part stays on one line.
        parts.iter().map(|part| part.replace(' ', "\u{A0}")).collect::<Vec<_>>().join(" · ")
    }

    fn push_columns(&self, out: &mut String) {
        if self.snapshot.entries().is_empty() {
            return;
        }
        out.push_str("<nav class=cols id=cols aria-label=\"Sort by\">");
        for column in Column::ALL {
            let current = column == self.view.column;
            let descending = if current { !self.view.descending } else { column.starts_descending() };
            let order = if descending { "desc" } else { "asc" };
            let label = match column {
                Column::Name => "Name",
                Column::Size => "Size",
                Column::Date => "Modified",
            };
            let _ = write!(out, "<a data-column={word} href=\"?sort={word}&amp;order={order}", word = column.word());
            if !self.view.filter.is_empty() {
                let _ = write!(out, "&amp;q={}", text::href(&self.view.filter));
            }
            out.push('"');
            if current {
                out.push_str(if self.view.descending { " aria-current=true class=down" } else { " aria-current=true" });
            }
            let _ = write!(out, ">{label}</a>");
        }
        out.push_str("</nav>");
    }
}

/// The start of a page in the listing's style, up to and with `<body>`. `title` is text, `class` is the body's.
pub fn push_start(title: &str, nonce: &str, scripts: &[&Asset], class: &str, out: &mut String) {
    let _ = write!(
        out,
        "<!doctype html><html lang=en><head><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <meta name=color-scheme content=\"light dark\"><title>{}</title><link rel=icon href=\"{ICON}\">\
         <link rel=stylesheet href=\"{}\">",
        text::html(title),
        STYLE.path()
    );
    for script in scripts {
        let _ = write!(out, "<script defer nonce={nonce} src=\"{}\"></script>", script.path());
    }
    let _ = write!(out, "</head><body class=\"{class}\">");
}

/// A doorstep below an open door.
pub const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E\
%3Crect width='32' height='32' rx='7' fill='%230b57d0'/%3E%3Cpath d='M11 6h10v15H11z' fill='%23fff'/%3E\
%3Cpath d='M8 21h16v3H8zM5 24h22v3H5z' fill='%23a8c7fa'/%3E%3Ccircle cx='18.5' cy='14' r='1.2' fill='%230b57d0'/%3E%3C/svg%3E";

/// The headers of such a page: it runs the scripts that carry its nonce and fetches nothing from elsewhere.
pub fn with_headers(response: Response, nonce: &str) -> Response {
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    // A policy of `no-referrer` would make browsers send `Origin: null` with the upload form.
    response
        .with(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))
        .with(header::CONTENT_SECURITY_POLICY, policy)
        .with(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
        .with(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"))
        .with(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
}
