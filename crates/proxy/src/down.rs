//! The page for when the app does not answer: what was tried, what it means, and back by itself when the app is.

use std::io::ErrorKind;

use doorstep_http::{Body, Request, Response, pages};
use doorstep_model::{Blame, Finding, Severity, Upstream, UpstreamAddr};
use doorstep_net::{ConnectError, upstream_address};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use crate::{ProxyError, limits};

/// Marks an answer that is doorstep's own and not the app's; the page's script looks for it.
pub const APP_DOWN: HeaderName = HeaderName::from_static("doorstep-app-down");

const SCRIPT: &str = include_str!("down.js");
/// Lets that very script run, and nothing else. The test computes the hash.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; script-src 'sha256-7XBciH83ehzdlCQsaEsNiA7gXqv3XIrkxtkGeNOa3kc='";

/// Answers a request that the app did not: a page for people, one line for programs. Without an `upstream` to name,
/// visitors learn nothing of addresses.
pub fn answer(request: &Request, upstream: Option<&Upstream>, error: &ProxyError) -> Response {
    if error.blame() == Blame::Client {
        return pages::problem(request, error.status(), &sentence(&error.to_string()));
    }
    let address = upstream.map(upstream_address);
    let what = match (upstream, &address) {
        (Some(upstream), Some(address)) => explain(address, upstream, error),
        _ => discreet(error),
    };
    let retry_after = (error.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(limits::RETRY_AFTER);
    let down = Down {
        status: error.status(),
        heading: "The app behind this address does not answer",
        tried: address.as_deref(),
        what: &what,
        retry_after,
    };
    let mut response = down_page(request, &down);
    if down.status == StatusCode::LOOP_DETECTED {
        response.headers.remove(APP_DOWN);
    }
    response
}

/// Answers a request that got no answer, in words that tell visitors nothing of what is behind.
pub fn refusal(request: &Request, error: &ProxyError) -> Response {
    answer(request, None, error)
}

/// What a page says that goes away by itself.
pub struct Down<'a> {
    pub status: StatusCode,
    pub heading: &'a str,
    /// The address that does not answer, for those who may know it.
    pub tried: Option<&'a str>,
    /// In one or two sentences.
    pub what: &'a str,
    /// In seconds.
    pub retry_after: Option<u32>,
}

/// The answer for as long as there is nobody to give a better one: for people a page that reloads by itself as soon as there
/// is, for programs one line.
pub fn down_page(request: &Request, down: &Down<'_>) -> Response {
    let mut response = if request.wants_html() {
        let policy = HeaderValue::from_static(POLICY);
        Response::html(down.status, page(request, down)).with(header::CONTENT_SECURITY_POLICY, policy)
    } else {
        Response::text(down.status, format!("{} {}\n", down.status.as_str(), down.what))
    };
    response.headers.insert(APP_DOWN, HeaderValue::from_static("1"));
    if let Some(seconds) = down.retry_after {
        response.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if request.method == Method::HEAD {
        response.body = Body::Empty;
    }
    response
}

/// The same for the operator.
pub fn finding(upstream: &Upstream, error: &ProxyError) -> Finding {
    Finding {
        severity: Severity::Error,
        blame: error.blame(),
        id: if matches!(error, ProxyError::Loop) { "proxy-loop" } else { "app-down" },
        what: explain(&upstream_address(upstream), upstream, error),
        why: "Visitors see a page that says so, and that reloads by itself when the app answers.".to_owned(),
        fix: match error {
            ProxyError::Loop => "Share the app's own port, or give doorstep another with --port.".to_owned(),
            ProxyError::Connect(ConnectError::Io { .. }) => "Start the app.".to_owned(),
            _ => String::new(),
        },
    }
}

/// For the operator: requests to a pool fail.
pub fn pool_finding(pool: &str, error: &ProxyError) -> Finding {
    Finding {
        severity: Severity::Error,
        blame: error.blame(),
        id: if matches!(error, ProxyError::Loop) { "proxy-loop" } else { "app-down" },
        what: format!("Requests to {pool} are answered {}: {error}.", error.status().as_u16()),
        why: "Visitors see a page that says so, and that reloads by itself when the app answers.".to_owned(),
        fix: match error {
            ProxyError::Loop => "Give the app an address of its own: this one leads back to doorstep.".to_owned(),
            _ => "Look at what it says about itself: doorstep status, doorstep logs.".to_owned(),
        },
    }
}

/// For the operator: a member of a pool is left alone for a while.
pub fn member_finding(pool: &str, upstream: &Upstream, error: &ProxyError) -> Finding {
    Finding {
        severity: Severity::Warning,
        blame: error.blame(),
        id: "upstream-down",
        what: format!("{pool}: {}", explain(&upstream_address(upstream), upstream, error)),
        why: "Requests go to the others, if there are any, and it is asked again from time to time.".to_owned(),
        fix: String::new(),
    }
}

/// What the error means, in one or two sentences.
fn explain(address: &str, upstream: &Upstream, error: &ProxyError) -> String {
    match error {
        ProxyError::Away(last) => explain(address, upstream, last),
        ProxyError::Connect(ConnectError::Io { source, .. }) => match (source.kind(), &upstream.addr) {
            (ErrorKind::ConnectionRefused, _) => format!("Nothing listens on {address}. Is the app running?"),
            (ErrorKind::NotFound, UpstreamAddr::Unix(path)) => {
                format!("The socket {} does not exist. Is the app running?", path.display())
            }
            (ErrorKind::PermissionDenied, UpstreamAddr::Unix(path)) => {
                format!("doorstep is not allowed to use the socket {}.", path.display())
            }
            (ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable, _) => {
                format!("There is no way to {address} from here. Is that computer on, and on this network?")
            }
            _ => format!("{address} cannot be reached: {source}."),
        },
        ProxyError::Connect(ConnectError::Resolve { host, .. }) => format!("No computer named {host} was found."),
        ProxyError::Connect(error) => sentence(&error.to_string()),
        ProxyError::Closed | ProxyError::Broken(_) => {
            format!("{address} was reached, but {error}. The app may have crashed, or be starting again.")
        }
        ProxyError::Malformed(_) => {
            format!("{address} was reached, but {error}. Is it a web app, and does it want https://?")
        }
        ProxyError::Loop | ProxyError::QueueFull | ProxyError::NotReady { .. } => sentence(&error.to_string()),
        _ => format!("{address} was reached, but {error}."),
    }
}

/// The same for strangers: where the app is, and what it is made of, is none of their business.
fn discreet(error: &ProxyError) -> String {
    let what = match error {
        ProxyError::Away(_) | ProxyError::NotReady { .. } => "is not running just now; it may be starting",
        ProxyError::Connect(ConnectError::TimedOut { .. })
        | ProxyError::NoAnswer { .. }
        | ProxyError::Stalled { .. } => "did not answer in time",
        ProxyError::Connect(_) => "cannot be reached",
        ProxyError::QueueFull => "has more requests waiting than it can take",
        ProxyError::Closed | ProxyError::Broken(_) => {
            "ended the connection without an answer; it may be starting again"
        }
        ProxyError::Loop => return sentence("this site is set up to ask itself for its pages, in a circle"),
        _ => "gave an answer that makes no sense",
    };
    format!("The app behind this site {what}.")
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

fn page(request: &Request, down: &Down<'_>) -> String {
    // What a form sent must not be sent again without its sender's knowing.
    let repeatable = request.method.is_safe();
    let (head, attribute, promise) = if repeatable {
        let refresh = "<noscript><meta http-equiv=refresh content=5></noscript>";
        (refresh, " data-reload=yes", "This page reloads by itself as soon as the app answers.")
    } else {
        ("", "", "What you sent was not delivered. This page tells you when the app answers.")
    };
    let tried = match down.tried {
        Some(address) if !down.what.contains(address) => {
            format!("<p>Tried: <code>{}</code></p>", pages::escape(address))
        }
        _ => String::new(),
    };
    let body = format!(
        "<main><h1>{}</h1><p>{}</p>{tried}\
         <p id=state role=status style=\"color:var(--dim)\"{attribute}>{promise}</p></main><script>{SCRIPT}</script>",
        pages::escape(down.heading),
        pages::escape(down.what),
    );
    pages::document(down.heading, head, &body)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::headers::tests::upstream;

    fn refused() -> ProxyError {
        ProxyError::Connect(ConnectError::Io {
            address: "127.0.0.1:8000".to_owned(),
            source: io::ErrorKind::ConnectionRefused.into(),
        })
    }

    async fn text(response: Response) -> String {
        String::from_utf8(response.body.collect(1 << 20).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn one_line_for_programs() {
        let response = answer(&Request::get("/"), Some(&upstream("http://127.0.0.1:8000")), &refused());
        assert_eq!((response.status, &response.headers[APP_DOWN]), (StatusCode::BAD_GATEWAY, &HeaderValue::from(1)));
        assert_eq!(text(response).await, "502 Nothing listens on 127.0.0.1:8000. Is the app running?\n");
    }

    #[tokio::test]
    async fn a_page_for_people() {
        let mut request = Request::get("/");
        request.headers.insert("accept", HeaderValue::from_static("text/html"));
        let page = text(answer(&request, Some(&upstream("http://127.0.0.1:8000")), &refused())).await;
        assert!(page.contains("data-reload=yes") && page.contains("http-equiv=refresh"), "{page}");
        request.method = Method::POST;
        let page = text(answer(&request, Some(&upstream("http://127.0.0.1:8000")), &refused())).await;
        assert!(!page.contains("data-reload=yes") && !page.contains("http-equiv=refresh"), "{page}");
    }

    #[test]
    fn the_policy_names_the_script() {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, SCRIPT.as_bytes());
        let expected = format!("script-src 'sha256-{}'", base64(digest.as_ref()));
        assert!(POLICY.ends_with(&expected), "{expected}");
    }

    fn base64(bytes: &[u8]) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let mut bits = 0u32;
            for at in 0..3 {
                bits = bits << 8 | u32::from(group.get(at).copied().unwrap_or(0));
            }
            for at in 0..4 {
                let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize] as char;
                text.push(if at <= group.len() { letter } else { '=' });
            }
        }
        text
    }

    #[test]
    fn statuses() {
        let timed_out = ProxyError::Connect(ConnectError::TimedOut { address: "a:1".to_owned(), seconds: 5 });
        for (error, status) in [
            (refused(), 502),
            (timed_out, 504),
            (ProxyError::NoAnswer { seconds: 1 }, 504),
            (ProxyError::NotReady { seconds: 10 }, 503),
            (ProxyError::Away(Box::new(refused())), 503),
            (ProxyError::QueueFull, 503),
            (ProxyError::Closed, 502),
            (ProxyError::Loop, 508),
            (ProxyError::RequestBody(doorstep_http::BodyError::Malformed("chunk size")), 400),
            (ProxyError::RequestBody(doorstep_http::BodyError::TooLarge(1)), 413),
            (ProxyError::RequestBody(doorstep_http::BodyError::TooSlow), 408),
        ] {
            let response = answer(&Request::get("/"), Some(&upstream("http://a:1")), &error);
            assert_eq!(response.status.as_u16(), status, "{error}");
            assert_eq!(response.headers.contains_key(header::RETRY_AFTER), status == 503, "{error}");
        }
    }
}
