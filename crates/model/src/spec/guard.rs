use std::time::Duration;

use ipnet::IpNet;

use super::Upstream;
use crate::Secret;

/// Who may come in, and how much they may take.
#[derive(Clone, Debug, Default)]
pub struct Guards {
    /// One user and password, with a login page (`doorstep share --password`).
    pub password: Option<Password>,
    /// Users with hashed passwords, asked for by the browser (HTTP Basic, RFC 7617).
    pub logins: Option<Logins>,
    /// Ask another service whether the request may pass.
    pub forward_auth: Option<ForwardAuth>,
    /// Only these networks; empty lets everybody in.
    pub allow: Vec<IpNet>,
    /// Never these, whatever `allow` says.
    pub deny: Vec<IpNet>,
    pub rate: Option<ByteRate>,
    pub requests: Option<RequestRate>,
    /// The most requests of one client (IPv6: one /64) under way at once; further ones are answered 429.
    pub max_concurrent: Option<usize>,
    /// Refuse everything after this time from the start.
    pub expires: Option<Duration>,
    /// Stop after the first complete download.
    pub once: bool,
}

/// A user name and password that the visitor must know.
#[derive(Clone, Debug)]
pub struct Password {
    pub user: String,
    pub password: Secret<String>,
}

/// Users and their password hashes, of the kinds that [`crate::LoginHash`] knows. [`crate::read_htpasswd`] reads files of them.
#[derive(Clone, Debug)]
pub struct Logins {
    pub realm: String,
    pub users: Vec<(String, Secret<String>)>,
}

/// A request without its body is sent to `upstream`; on 2xx the original goes on, otherwise that answer is the answer.
#[derive(Clone, Debug)]
pub struct ForwardAuth {
    pub upstream: Upstream,
    /// Path and query that it is asked at. `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri` and `-For` describe the original.
    pub uri: String,
    /// Fields of its answer that are set on the original request; a client's own are removed.
    pub copy_headers: Vec<String>,
    pub timeout: Duration,
}

/// Bandwidth limits in bytes per second of body, in each direction. `u64::MAX` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRate {
    pub per_client: u64,
    pub total: u64,
}

/// A rate limit by the generic cell rate algorithm, per client (IPv6: per /64). What exceeds it is answered 429 with Retry-After.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRate {
    /// `requests` in `per`.
    pub requests: u32,
    pub per: Duration,
    /// Requests that may come at once before the rate holds; at least 1.
    pub burst: u32,
}
