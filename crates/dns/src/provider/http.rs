//! Requests to services whose whole protocol is one GET.

use std::time::Duration;

use doorstep_model::Blame;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, StatusCode};

use crate::fault::{Again, DnsFault};
use crate::limits::{ANSWER, REQUEST, TROUBLE};

/// What such a service answered.
pub(super) struct Answer {
    pub status: u16,
    pub body: String,
}

/// Who asks: services want a name and somewhere to complain.
const AGENT: &str = concat!("doorstep/", env!("CARGO_PKG_VERSION"), " (dynamic DNS)");

pub(super) fn client(provider: &str) -> Result<Client, DnsFault> {
    Client::builder().timeout(REQUEST).user_agent(AGENT).build().map_err(|error| {
        DnsFault::new("dns-provider", Blame::Environment, format!("{provider} cannot be asked: {error}."), "")
    })
}

/// `login` is user and password.
pub(super) async fn get(
    client: &Client,
    provider: &str,
    url: &str,
    login: Option<(&str, &str)>,
) -> Result<Answer, DnsFault> {
    let request = match login {
        Some((user, password)) => client.get(url).basic_auth(user, Some(password)),
        None => client.get(url),
    };
    // Without the address: there may be a token in it.
    let failed = |error: reqwest::Error| {
        let why = chain(&error.without_url());
        let what = format!("{provider} cannot be reached: {why}.");
        DnsFault::new("dns-unreachable", Blame::Upstream, what, "Nothing, if it is its own trouble: it is tried again.")
    };
    let mut answer = request.send().await.map_err(failed)?;
    let status = answer.status();
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        let said = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let wait = said.map_or(TROUBLE, Duration::from_secs);
        let what = match status {
            StatusCode::TOO_MANY_REQUESTS => format!("{provider} was asked too often."),
            status => format!("{provider} is in trouble itself (HTTP status {}).", status.as_u16()),
        };
        let fault = DnsFault::new("dns-limit", Blame::Upstream, what, "Nothing: it is asked again when it likes.");
        return Err(fault.again(Again::After(wait.clamp(Duration::from_secs(1), 24 * TROUBLE))));
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
