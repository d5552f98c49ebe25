use std::sync::Arc;
use std::sync::atomic::Ordering;

use doorstep_http::{BoxFuture, Request, Response, Service, pages};
use doorstep_model::{Filters, Hsts};
use http::StatusCode;
use http::header::{self, HeaderValue};

use crate::FilterError;
use crate::compression::{Compression, Wanted};
use crate::cors::{Cors, Origin};
use crate::error_pages::ErrorPages;
use crate::headers::{Edits, Filled};
use crate::max_body::{self, Exceeded};
use crate::path::{Prefix, Rewrite};

/// All filters around one service.
pub(crate) struct FilterService {
    inner: Arc<dyn Service>,
    max_body: Option<u64>,
    cors: Option<Cors>,
    prefix: Option<Prefix>,
    rewrites: Vec<Rewrite>,
    request_headers: Edits,
    response_headers: Edits,
    hsts: Option<HeaderValue>,
    compression: Option<Compression>,
    error_pages: ErrorPages,
}

/// What is kept of the request for when its response comes.
struct Kept {
    origin: Origin,
    preflight: bool,
    hsts: bool,
    html: bool,
    wanted: Option<Wanted>,
    fields: Filled,
    /// Scheme and authority, where a prefix was taken off.
    stripped: Option<String>,
    exceeded: Option<(Exceeded, u64)>,
}

impl FilterService {
    pub(crate) fn new(filters: &Filters, inner: Arc<dyn Service>) -> Result<Self, FilterError> {
        Ok(Self {
            inner,
            max_body: filters.max_body,
            cors: filters.cors.as_ref().map(Cors::new).transpose()?,
            prefix: filters.strip_prefix.as_deref().and_then(Prefix::new),
            rewrites: filters.rewrite.iter().map(Rewrite::new).collect::<Result<_, _>>()?,
            request_headers: Edits::new(&filters.request_headers)?,
            response_headers: Edits::new(&filters.response_headers)?,
            hsts: filters.hsts.as_ref().map(hsts),
            compression: filters.compression.as_ref().map(Compression::new).transpose()?,
            error_pages: ErrorPages::new(&filters.error_pages),
        })
    }

    fn keep(&self, request: &Request) -> Kept {
        Kept {
            origin: self.cors.as_ref().map_or(Origin::Absent, |cors| cors.origin(request)),
            preflight: false,
            hsts: request.conn.tls.is_some(),
            html: !self.error_pages.is_empty() && request.wants_html(),
            wanted: self.compression.as_ref().map(|compression| compression.wanted(request)),
            fields: self.response_headers.fill(request),
            stripped: None,
            exceeded: None,
        }
    }

    /// Alters the request, or answers in the service's place.
    fn admit(&self, request: &mut Request, kept: &mut Kept) -> Option<Response> {
        if let Some(most) = self.max_body {
            if max_body::announces_more(request, most) {
                return Some(max_body::too_large(request, most));
            }
            kept.exceeded = max_body::bound(request, most).map(|exceeded| (exceeded, most));
        }
        if let Some(response) = self.cors.as_ref().and_then(|cors| cors.preflight(request, &kept.origin)) {
            kept.preflight = true;
            return Some(response);
        }
        if let Some(prefix) = &self.prefix
            && prefix.strip(request)
        {
            kept.stripped = Some(format!("{}://{}", request.scheme(), request.authority));
        }
        for rewrite in &self.rewrites {
            match rewrite.apply(request) {
                Ok(true) => break,
                Ok(false) => {}
                Err(_) => return Some(pages::problem(request, StatusCode::BAD_REQUEST, "This address leads nowhere.")),
            }
        }
        self.request_headers.apply_to_request(request);
        None
    }

    fn finish(&self, response: &mut Response, kept: Kept) {
        if let Some((exceeded, most)) = &kept.exceeded
            && exceeded.load(Ordering::Relaxed)
            && response.status != StatusCode::PAYLOAD_TOO_LARGE
        {
            *response = max_body::turned_out_too_large(*most);
        }
        if let (Some(prefix), Some(origin)) = (&self.prefix, &kept.stripped) {
            prefix.restore(&mut response.headers, origin);
        }
        if kept.html {
            self.error_pages.apply(response);
        }
        if let (Some(compression), Some(wanted)) = (&self.compression, &kept.wanted) {
            compression.apply(response, wanted);
        }
        if let Some(cors) = &self.cors {
            cors.finish(&mut response.headers, &kept.origin, kept.preflight);
        }
        if let Some(hsts) = self.hsts.as_ref().filter(|_| kept.hsts) {
            response.headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        self.response_headers.apply_to_response(&mut response.headers, kept.fields);
    }
}

impl Service for FilterService {
    fn call<'a>(&'a self, mut request: Request) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let mut kept = self.keep(&request);
            let mut response = match self.admit(&mut request, &mut kept) {
                None => self.inner.call(request).await,
                Some(answer) => answer,
            };
            self.finish(&mut response, kept);
            response
        })
    }
}

fn hsts(hsts: &Hsts) -> HeaderValue {
    let mut text = format!("max-age={}", hsts.max_age.as_secs());
    if hsts.include_subdomains {
        text.push_str("; includeSubDomains");
    }
    if hsts.preload {
        text.push_str("; preload");
    }
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("max-age=0"))
}
