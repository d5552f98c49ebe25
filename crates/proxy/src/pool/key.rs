//! What a request is told apart by, for consistent hashing.

use std::net::{IpAddr, Ipv6Addr};

use doorstep_http::{Request, Response};
use doorstep_model::{Balance, HashKey};
use http::HeaderValue;
use http::header;

use super::balance::{dice, key_of};
use super::choose::sticky_cookie;

/// A request's key, and a cookie for its client where it needs one.
#[derive(Default)]
pub struct Keyed {
    pub key: Option<u64>,
    cookie: Option<HeaderValue>,
}

impl Keyed {
    pub fn of(balance: &Balance, request: &Request) -> Self {
        let Balance::Hash(kind) = balance else { return Self::default() };
        match kind {
            HashKey::Ip => Self { key: Some(ip_key(request.peer_ip())), cookie: None },
            HashKey::Header(name) => {
                let value = request.headers.get(name.as_str());
                Self { key: value.map(|value| key_of(value.as_bytes())), cookie: None }
            }
            HashKey::Cookie(name) => match cookie(request, name).filter(|value| is_token(value)) {
                Some(token) => Self { key: Some(key_of(token.as_bytes())), cookie: None },
                None => {
                    let token = format!("{:016x}{:016x}", dice(), dice());
                    Self { key: Some(key_of(token.as_bytes())), cookie: set_cookie(balance, &token, request) }
                }
            },
        }
    }

    /// Gives the client its cookie.
    pub fn mark(self, response: &mut Response) {
        if let Some(cookie) = self.cookie {
            response.headers.append(header::SET_COOKIE, cookie);
        }
    }
}

/// One household is one client: an IPv6 /64.
fn ip_key(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => key_of(&v4.octets()),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            key_of(&Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).octets())
        }
    }
}

/// Ours are random and say nothing of members, so that a client that makes one up only throws the dice again.
fn is_token(value: &str) -> bool {
    value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn cookie<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let fields = request.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

fn set_cookie(balance: &Balance, token: &str, request: &Request) -> Option<HeaderValue> {
    let name = sticky_cookie(balance)?;
    let secure = if request.conn.tls.is_some() { "; Secure" } else { "" };
    HeaderValue::try_from(format!("{name}={token}; Path=/; HttpOnly; SameSite=Lax{secure}")).ok()
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn by_cookie() -> Balance {
        Balance::Hash(HashKey::Cookie("stick".to_owned()))
    }

    #[test]
    fn a_household_is_one_client() {
        let key = |ip: &str| ip_key(ip.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.2"), key("192.0.2.1"));
    }

    #[test]
    fn a_client_without_a_cookie_gets_one_and_keeps_it() {
        let mut request = Request::get("/");
        let first = Keyed::of(&by_cookie(), &request);
        let key = first.key;
        let mut response = Response::new(StatusCode::OK);
        first.mark(&mut response);
        let cookie = response.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
        assert!(cookie.starts_with("stick=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
        let pair = format!("other=1; {}", cookie.split(';').next().unwrap());
        request.headers.insert(header::COOKIE, pair.parse().unwrap());
        let second = Keyed::of(&by_cookie(), &request);
        assert_eq!(second.key, key);
        let mut response = Response::new(StatusCode::OK);
        second.mark(&mut response);
        assert!(response.headers.is_empty());
    }

    #[test]
    fn what_is_not_ours_is_replaced() {
        let mut request = Request::get("/");
        for value in ["stick=127.0.0.1:8000", "stick=", "stick=ABCDEF0123456789ABCDEF0123456789"] {
            request.headers.insert(header::COOKIE, HeaderValue::from_static(value));
            assert!(Keyed::of(&by_cookie(), &request).cookie.is_some(), "{value}");
        }
    }
}
