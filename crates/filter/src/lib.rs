//! Filters: a service around another that alters requests on their way in and responses on their way out.
//!
//! In: body size, CORS preflight, prefix, rewrite, request headers. Out: error pages, compression, CORS, HSTS, response
//! headers, which so have the last word. What is not asked for costs nothing.

mod compressed;
mod compression;
mod cors;
mod error_pages;
mod headers;
pub mod limits;
mod max_body;
mod path;
mod service;

use std::sync::Arc;

use doorstep_http::{RouteError, Service};
use doorstep_model::Filters;

use crate::service::FilterService;

/// Why filters cannot be used. The configuration is at fault; it is meant to have been checked before.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    #[error("{0}")]
    Rule(#[from] RouteError),
    #[error("the header field {0} cannot be set: it belongs to the connection or frames the message")]
    Framing(String),
    #[error("{0:?} is no content coding that is known here: zstd, br, gzip")]
    Coding(String),
    #[error("{0:?} may not stand in a header field")]
    Value(String),
}

/// Puts `filters` around `service`; gives back `service` itself where they ask for nothing.
///
/// # Errors
/// A pattern, template or header field that cannot be used.
pub fn wrap(filters: &Filters, service: Arc<dyn Service>) -> Result<Arc<dyn Service>, FilterError> {
    if *filters == Filters::default() {
        return Ok(service);
    }
    Ok(Arc::new(FilterService::new(filters, service)?))
}

/// Puts `filters` around `service` with `guard` between them: what alters the request comes after the guard, which so
/// sees the request as the client sent it, and so does compression, so that a limit on bandwidth counts what really goes
/// out. What answers for the service comes before: a CORS preflight, which carries no credentials by its nature, and
/// whatever is to hold for the guard's own answers too, such as HSTS and error pages.
///
/// # Errors
/// As [`wrap`].
pub fn wrap_guarded(
    filters: &Filters,
    service: Arc<dyn Service>,
    guard: impl FnOnce(Arc<dyn Service>) -> Arc<dyn Service>,
) -> Result<Arc<dyn Service>, FilterError> {
    let inner = Filters {
        strip_prefix: filters.strip_prefix.clone(),
        rewrite: filters.rewrite.clone(),
        request_headers: filters.request_headers.clone(),
        compression: filters.compression.clone(),
        ..Filters::default()
    };
    let outer = Filters { strip_prefix: None, rewrite: Vec::new(), request_headers: Vec::new(), ..filters.clone() };
    wrap(&outer, guard(wrap(&inner, service)?))
}
