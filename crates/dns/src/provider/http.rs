//! Requests to providers, and what all of them have in common: being away, being in trouble, being asked too often.

use std::time::Duration;

use doorstep_model::Blame;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode};

use crate::fault::{Again, DnsFault};
use crate::limits::{ANSWER, LIMITED, REQUEST, WAIT_MOST};

/// What a provider answered.
pub(super) struct Answer {
    pub status: u16,
    pub body: String,
}

/// Who asks: services want a name and somewhere to complain.
const AGENT: &str = concat!("doorstep/", env!("CARGO_PKG_VERSION"), " (dynamic DNS)");

/// Follows nobody elsewhere: what makes us known there is for that server alone.
pub(super) fn client(provider: &str) -> Result<Client, DnsFault> {
    let builder = Client::builder().timeout(REQUEST).user_agent(AGENT).redirect(Policy::none()).referer(false);
    builder.build().map_err(|error| {
        DnsFault::new("dns-provider", Blame::Environment, format!("{provider} cannot be asked: {error}."), "")
    })
}

/// # Errors
/// It cannot be reached, is in trouble itself, or was asked too often. All else is for the caller to judge.
pub(super) async fn send(provider: &str, request: RequestBuilder) -> Result<Answer, DnsFault> {
    // Without the address: there may be a token in it.
    let failed = |error: reqwest::Error| {
        let why = chain(&error.without_url());
        let what = format!("{provider} cannot be reached: {why}.");
        DnsFault::new("dns-unreachable", Blame::Upstream, what, "Nothing, if it is its own trouble: it is tried again.")
    };
    let mut answer = request.send().await.map_err(failed)?;
    let status = answer.status();
    let said = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let wait = said.map(|seconds| Duration::from_secs(seconds).clamp(Duration::from_secs(1), WAIT_MOST));
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Err(too_often(provider, wait.unwrap_or(LIMITED)));
    }
    if status.is_server_error() {
        let what = format!("{provider} is in trouble itself (HTTP status {}).", status.as_u16());
        let fault = DnsFault::new("dns-trouble", Blame::Upstream, what, "Nothing: it is tried again.");
        return Err(fault.again(wait.map_or(Again::Soon, Again::After)));
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        body.extend_from_slice(&piece);
        if body.len() > ANSWER {
            body.truncate(ANSWER);
            break;
        }
    }
    Ok(Answer { status: status.as_u16(), body: String::from_utf8_lossy(&body).trim().to_owned() })
}

pub(super) fn too_often(provider: &str, wait: Duration) -> DnsFault {
    let what = format!("{provider} was asked too often.");
    let fix = format!("Nothing: it is asked again in {} seconds.", wait.as_secs());
    DnsFault::new("dns-limit", Blame::Upstream, what, fix).again(Again::After(wait))
}

/// Names, addresses and tokens in a query.
pub(super) fn quoted(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// What a service said, as far as it can be shown.
pub(super) fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(80).collect()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        words = error.to_string();
        next = error.source();
    }
    words
}
