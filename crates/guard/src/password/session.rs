use std::fmt::Write;

use aws_lc_rs::{hmac, rand};
use doorstep_http::Request;
use http::header::{self, HeaderMap, HeaderValue};
use tokio::time::Instant;

use crate::digest::random_key;
use crate::limits::{MAX_SESSION_COOKIES, SESSION_LIFETIME};

/// Remembers who logged in, by a signed cookie and without a table.
///
/// The key is random for each run and not derived from the password: a cookie must not be something on which
/// guesses of the password can be tried elsewhere. So a restart logs everybody out, which is also the way to do that
/// on purpose. Time is counted from the start of the run, so that a changed clock cannot lengthen a session.
pub(super) struct Sessions {
    key: hmac::Key,
    started: Instant,
}

/// Seconds since the start, randomness, HMAC-SHA256 of both.
const TIME: usize = 8;
const PAYLOAD: usize = TIME + 16;
const TOKEN: usize = PAYLOAD + 32;

/// Ports of one host share their cookies, so the port is part of the name: else two shares would log each other's
/// visitors out. All names with this prefix are kept from the service behind.
const PREFIX: &str = "doorstep-session-";
/// With TLS the browser also guarantees that only this host set the cookie, by TLS (RFC 6265bis section 4.1.3.2).
const SECURE_PREFIX: &str = "__Host-doorstep-session-";

impl Sessions {
    pub(super) fn new() -> Self {
        Self { key: random_key(), started: Instant::now() }
    }

    /// The `Set-Cookie` value that logs the client in.
    ///
    /// # Panics
    /// If the system gives no random bytes.
    pub(super) fn open(&self, request: &Request) -> HeaderValue {
        let mut token = [0; TOKEN];
        token[..TIME].copy_from_slice(&self.started.elapsed().as_secs().to_be_bytes());
        rand::fill(&mut token[TIME..PAYLOAD]).expect("the system gives random bytes");
        let tag = hmac::sign(&self.key, &token[..PAYLOAD]);
        token[PAYLOAD..].copy_from_slice(tag.as_ref());
        set_cookie(request, &hex(&token), SESSION_LIFETIME.as_secs())
    }

    /// The `Set-Cookie` value that logs the client out.
    pub(super) fn close(&self, request: &Request) -> HeaderValue {
        set_cookie(request, "", 0)
    }

    /// Whether the request carries a cookie of a login that still holds.
    pub(super) fn is_open(&self, request: &Request) -> bool {
        let name = cookie_name(request);
        let mut ours = cookies(&request.headers).filter_map(|(key, value)| (key == name).then_some(value));
        ours.by_ref().take(MAX_SESSION_COOKIES).any(|token| self.is_valid(token))
    }

    /// Takes session cookies, those of other shares on the same host too, out of what the service behind gets to see.
    pub(super) fn strip(&self, headers: &mut HeaderMap) {
        let is_session = |name: &str| name.starts_with(PREFIX) || name.starts_with(SECURE_PREFIX);
        if !cookies(headers).any(|(name, _)| is_session(name)) {
            return;
        }
        let lines: Vec<HeaderValue> = headers.get_all(header::COOKIE).iter().cloned().collect();
        headers.remove(header::COOKIE);
        for line in lines {
            let kept: Vec<&[u8]> = line
                .as_bytes()
                .split(|byte| *byte == b';')
                .map(<[u8]>::trim_ascii)
                .filter(|pair| {
                    !pair.is_empty() && !std::str::from_utf8(pair).is_ok_and(|pair| is_session(name_of(pair)))
                })
                .collect();
            if let (false, Ok(value)) = (kept.is_empty(), HeaderValue::from_bytes(&kept.join(&b"; "[..]))) {
                headers.append(header::COOKIE, value);
            }
        }
    }

    fn is_valid(&self, token: &str) -> bool {
        let Some(token) = unhex(token) else { return false };
        let (payload, tag) = token.split_at(PAYLOAD);
        let (time, _) = payload.split_at(TIME);
        let since = time.try_into().map_or(u64::MAX, u64::from_be_bytes);
        hmac::verify(&self.key, payload, tag).is_ok()
            && self.started.elapsed().as_secs().checked_sub(since).is_some_and(|age| age < SESSION_LIFETIME.as_secs())
    }
}

fn cookie_name(request: &Request) -> String {
    let prefix = if request.conn.tls.is_some() { SECURE_PREFIX } else { PREFIX };
    format!("{prefix}{}", request.conn.local.port())
}

fn set_cookie(request: &Request, value: &str, max_age: u64) -> HeaderValue {
    let secure = if request.conn.tls.is_some() { "; Secure" } else { "" };
    let name = cookie_name(request);
    let cookie = format!("{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&cookie).unwrap_or(HeaderValue::from_static(""))
}

/// Names and values of all cookies that are text (RFC 6265 section 4.2).
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='))
}

fn name_of(pair: &str) -> &str {
    pair.split('=').next().unwrap_or(pair)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; TOKEN]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * TOKEN {
        return None;
    }
    let mut bytes = [0; TOKEN];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair.iter().try_fold(0, |value, digit| Some(value << 4 | (*digit as char).to_digit(16)? as u8))?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn request_with(cookie: &str) -> Request {
        let mut request = Request::get("/");
        request.headers.insert(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
        request
    }

    fn token(set_cookie: &HeaderValue) -> &str {
        set_cookie.to_str().unwrap().split(';').next().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_holds_until_it_is_old() {
        let sessions = Sessions::new();
        let cookie = sessions.open(&Request::get("/"));
        let back = request_with(&format!("a=b; {}", token(&cookie)));
        assert!(sessions.is_open(&back));
        assert!(!Sessions::new().is_open(&back), "another run");
        tokio::time::advance(SESSION_LIFETIME - Duration::from_secs(1)).await;
        assert!(sessions.is_open(&back));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!sessions.is_open(&back));
    }

    #[tokio::test]
    async fn every_changed_digit_is_noticed() {
        let sessions = Sessions::new();
        let cookie = sessions.open(&Request::get("/"));
        let good = token(&cookie).to_owned();
        let start = good.find('=').unwrap() + 1;
        for at in start..good.len() {
            let mut bad = good.clone().into_bytes();
            bad[at] = if bad[at] == b'0' { b'1' } else { b'0' };
            assert!(!sessions.is_open(&request_with(std::str::from_utf8(&bad).unwrap())), "digit {at}");
        }
        assert!(!sessions.is_open(&request_with(&good[..good.len() - 2])));
    }

    #[test]
    fn attributes() {
        let mut request = Request::get("/");
        let plain = Sessions::new().open(&request);
        let plain = plain.to_str().unwrap();
        assert!(plain.starts_with("doorstep-session-0=") && plain.contains("; Path=/; ") && !plain.contains("Secure"));
        assert!(plain.contains("; HttpOnly; SameSite=Lax"));
        let mut conn = (*request.conn).clone();
        conn.tls = Some(doorstep_net::TlsInfo::default());
        request.conn = conn.into();
        let secure = Sessions::new().open(&request);
        let secure = secure.to_str().unwrap();
        assert!(secure.starts_with("__Host-doorstep-session-0=") && secure.ends_with("; Secure"));
    }

    #[test]
    fn only_other_cookies_go_on() {
        let sessions = Sessions::new();
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1;doorstep-session-80=x; b=2"));
        headers.append(header::COOKIE, HeaderValue::from_static("__Host-doorstep-session-9=y"));
        headers.append(header::COOKIE, HeaderValue::from_bytes(b"c=\xff").unwrap());
        sessions.strip(&mut headers);
        let left: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(left, [&b"a=1; b=2"[..], b"c=\xff"]);
    }
}
