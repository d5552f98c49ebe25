//! Where visitors put what they send: a zone above a listing, or a page of its own.

use std::fmt::Write;

use doorstep_http::{Request, Response};
use http::StatusCode;

use crate::listing::assets::{LISTING_SCRIPT, UPLOAD_SCRIPT};
use crate::listing::{human, page, text};
use crate::query::Query;

/// HTML of the zone, for [`crate::listing::ListingContext`]. `only` where nothing else is on the page.
pub fn zone(request: &Request, max_bytes: Option<u64>, only: bool) -> String {
    let mut out = String::with_capacity(2048);
    let bound = max_bytes.map(|most| format!(" Up to {} each.", human::size(most))).unwrap_or_default();
    let _ = write!(
        out,
        "<section class=\"upload{}\" id=upload aria-label=\"Send files\">",
        if only { " only" } else { "" }
    );
    if let Some(saved) = Query::of(&request.target).get("saved").and_then(|saved| saved.parse().ok()) {
        let _ = write!(
            out,
            "<p class=\"said good\" role=status>{} sent. Thank you.</p>",
            human::counted(saved, "file", "files")
        );
    }
    let words = if only {
        format!(
            "<p class=big><span class=mouse>Drop files or folders here</span><span class=touch>Send your files</span></p><p>They go to the computer that shares this page. Nobody sees them here.{bound}</p>"
        )
    } else {
        format!(
            "<p><span class=mouse>Drop files or folders anywhere on this page to add them.</span>\
             <span class=touch>Add your files to this folder.</span>{bound}</p>"
        )
    };
    let _ = write!(
        out,
        "<div class=\"zone js\">{words}<label class=button>Choose files<input type=file multiple></label>\
         <label class=\"button quiet\">Choose a folder<input type=file webkitdirectory></label></div>\
         <noscript><form class=zone method=post enctype=multipart/form-data action=\"?upload\">\
         <p>Send files to this folder.{bound}</p><input type=file name=file multiple required aria-label=Files>\
         <button>Send</button></form></noscript>\
         <p class=total id=total hidden role=status><span></span><button type=button class=quiet hidden>Clear</button></p>\
         <ul class=jobs id=jobs></ul></section>"
    );
    out
}

/// The page of a share that only takes files.
pub fn only(request: &Request, root_name: &str, max_bytes: Option<u64>, nonce: &str) -> Response {
    let mut out = String::with_capacity(4096);
    page::push_start(root_name, nonce, &[&LISTING_SCRIPT, &UPLOAD_SCRIPT], "", &mut out);
    let _ = writeln!(
        out,
        "<nav class=crumbs><h1>Send files to {}</h1></nav><main>{}</main>\
         <footer><span>Shared with doorstep</span></footer></body></html>",
        text::html(root_name),
        zone(request, max_bytes, true)
    );
    page::with_headers(Response::new(StatusCode::OK).with_body(out), nonce)
}
