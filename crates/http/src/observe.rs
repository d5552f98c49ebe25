//! What the engine tells the world about its work: one [`Exchange`] per request, one [`Transfer`] per long body.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use doorstep_model::Finding;
use http::{Method, StatusCode};

use crate::{Kind, RequestId};

/// Hears of every request. Called on the data plane: an implementation must not block and should only take notes.
pub trait Observer: Send + Sync {
    /// A request is over, however it ended.
    fn finished(&self, exchange: Exchange);

    /// A request for `site` has begun. [`Observer::left`] follows, however it ends.
    fn entered(&self, site: &Arc<str>) {
        let _ = site;
    }

    /// A request for `site` is no longer under way.
    fn left(&self, site: &Arc<str>) {
        let _ = site;
    }

    /// A response or request body that is long, or of unknown length, has begun. `transfer` is updated until it is done.
    fn transfer(&self, transfer: Arc<Transfer>) {
        drop(transfer);
    }

    /// Something worth telling the operator was seen in passing. May be repeated; the receiver tells it once.
    fn found(&self, finding: Finding) {
        drop(finding);
    }
}

/// Hears and forgets.
pub struct NoObserver;

impl Observer for NoObserver {
    fn finished(&self, _: Exchange) {}
}

/// One request and what became of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub began: SystemTime,
    /// From the request's first byte parsed to the response's last byte handed to the kernel.
    pub took: Duration,
    pub client: IpAddr,
    pub method: Method,
    /// Authority as the client sent it.
    pub host: Box<str>,
    /// Path and query as the client sent them; control characters cannot occur.
    pub target: Box<str>,
    /// 1.0, 1.1 or 2.
    pub version: http::Version,
    pub tls: bool,
    pub status: StatusCode,
    pub kind: Kind,
    /// Bytes of response body handed to the kernel.
    pub sent: u64,
    /// Bytes of request body read.
    pub received: u64,
    pub user_agent: Option<Box<str>>,
    pub referer: Option<Box<str>>,
    pub outcome: Outcome,
    /// The site that its host belongs to, where that has a name.
    pub site: Option<Arc<str>>,
    /// What the request was called, where requests are given names.
    pub request_id: Option<RequestId>,
    /// The upstream that answered, where one did and its service says so.
    pub upstream: Option<Arc<str>>,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole response was handed to the kernel.
    Complete,
    /// The client went away first.
    ClientGone,
    /// The response's body failed (upstream, file).
    Broken,
    /// The request was refused before it reached a service: malformed, too large, too slow.
    Refused,
}

/// A long body on its way, for progress displays.
#[derive(Debug)]
pub struct Transfer {
    pub began: SystemTime,
    pub client: IpAddr,
    pub target: Box<str>,
    /// Whole length in bytes, where known.
    pub total: Option<u64>,
    pub moved: AtomicU64,
    pub done: AtomicBool,
}

impl Transfer {
    pub fn add(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
    }
}
