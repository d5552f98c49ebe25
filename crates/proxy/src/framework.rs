//! Recognises development servers, their refusals and their debug modes, so that the operator is told the one line
//! that mends what is wrong.

mod debug;
mod probe;
mod recognise;
mod refusal;

pub use debug::debug_mode;
pub use probe::{AppInfo, probe};
pub use recognise::{App, Framework, recognise};
pub use refusal::{Refusal, refusal};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use doorstep_http::Observer;
use doorstep_model::{Blame, Finding, Severity};
use http::{HeaderMap, StatusCode, header};

use crate::client::Inspect;
use crate::limits;

/// What a proxy has learnt of its app from the responses that passed.
#[derive(Default)]
pub struct Learnt {
    framework: AtomicU8,
    looked_at: AtomicU32,
    /// Whether the app refuses to be told the visitor's host.
    host_refused: AtomicBool,
    told_cookie: AtomicBool,
}

impl Learnt {
    pub fn framework(&self) -> Framework {
        Framework::from_code(self.framework.load(Ordering::Relaxed))
    }

    /// Whether the app must not be told the visitor's host, since it would refuse the request for it.
    pub fn hides_host(&self) -> bool {
        self.host_refused.load(Ordering::Relaxed)
    }

    /// Recognises the app by a response's head, until it is known.
    pub fn look_at(&self, headers: &HeaderMap) {
        if self.framework() == Framework::Unknown
            && self.looked_at.load(Ordering::Relaxed) < limits::RECOGNISED_RESPONSES
        {
            self.looked_at.fetch_add(1, Ordering::Relaxed);
            if let Some(app) = recognise(headers, "") {
                self.framework.store(app.framework.code(), Ordering::Relaxed);
            }
        }
    }

    pub fn tell_insecure_cookie(&self, observer: &dyn Observer) {
        if !self.told_cookie.swap(true, Ordering::Relaxed) {
            observer.found(Finding {
                severity: Severity::Note,
                blame: Blame::Upstream,
                id: "cookie-secure",
                what: "The app marks a cookie as Secure, and visitors come by plain HTTP.".to_owned(),
                why: "Browsers would throw the cookie away, so doorstep takes the mark off.".to_owned(),
                fix: "To keep it, share with --tls.".to_owned(),
            });
        }
    }
}

/// Something that looks at the beginning of a response's body as it passes, if this response could be a refusal or a
/// debug page. `host` is the one that the visitor asked for; `own_origin` gives the request's `Origin` if it is that of
/// the shared address.
pub fn inspector(
    learnt: &Arc<Learnt>,
    observer: &Arc<dyn Observer>,
    status: StatusCode,
    headers: &HeaderMap,
    host: &str,
    own_origin: impl FnOnce() -> Option<String>,
) -> Option<Inspect> {
    let telling = matches!(status.as_u16(), 400 | 403 | 404 | 500) || is_short_plain_answer(status, headers);
    if !telling || headers.contains_key(header::CONTENT_ENCODING) {
        return None;
    }
    let (learnt, observer, host, origin) = (learnt.clone(), observer.clone(), host.to_owned(), own_origin());
    Some(Box::new(move |seen| {
        let text = String::from_utf8_lossy(seen);
        if let Some(refusal) = refusal(status, &text, learnt.framework(), &host, origin.as_deref()) {
            if refusal.of_forwarded_host {
                learnt.host_refused.store(true, Ordering::Relaxed);
            }
            observer.found(refusal.finding);
        }
        if let Some(finding) = debug_mode(status, &text) {
            observer.found(finding);
        }
    }))
}

/// webpack-dev-server refuses a host with status 200 and a few words.
fn is_short_plain_answer(status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::OK && headers.get(header::CONTENT_LENGTH).is_some_and(|length| length == "19")
}
