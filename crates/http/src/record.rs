use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use http::{Method, StatusCode, Version, header};

use crate::{Exchange, Finished, Kind, Observer, Outcome, Request, Transfer};

/// What is noted of a request while it runs, to be told to the observer at its end.
pub(crate) struct Record<'a> {
    observer: &'a dyn Observer,
    exchange: Exchange,
    started: Instant,
    transfer: Option<Arc<Transfer>>,
    total: Option<u64>,
    finished: Option<Finished>,
    visit: Option<Visit<'a>>,
}

/// A request under way at a site, until it is dropped.
struct Visit<'a> {
    observer: &'a dyn Observer,
    site: Arc<str>,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.observer.left(&self.site);
    }
}

/// A body that moved more than this many bytes is shown as a transfer.
pub(crate) const LONG_BODY: u64 = 1024 * 1024;

/// Tells the observer of bytes that never became a request.
pub(crate) fn refused(observer: &dyn Observer, conn: &doorstep_net::ConnInfo, status: StatusCode) {
    observer.finished(Exchange {
        began: SystemTime::now(),
        took: std::time::Duration::ZERO,
        client: conn.peer.ip().to_canonical(),
        method: Method::from_bytes(b"-").unwrap_or_default(),
        host: "".into(),
        target: "-".into(),
        version: Version::HTTP_11,
        tls: conn.tls.is_some(),
        status,
        kind: Kind::Page,
        sent: 0,
        received: 0,
        user_agent: None,
        referer: None,
        outcome: Outcome::Refused,
        site: None,
        request_id: None,
        upstream: None,
    });
}

impl<'a> Record<'a> {
    pub(crate) fn begin(observer: &'a dyn Observer, request: &Request) -> Self {
        let text = |name| request.headers.get(name).and_then(|value| value.to_str().ok()).map(Box::from);
        let target = request.target.path_and_query().map_or(request.target.path(), |target| target.as_str());
        let exchange = Exchange {
            began: SystemTime::now(),
            took: std::time::Duration::ZERO,
            client: request.peer_ip(),
            method: request.method.clone(),
            host: request.authority.as_str().into(),
            target: target.into(),
            version: request.version,
            tls: request.conn.tls.is_some(),
            status: StatusCode::OK,
            kind: Kind::Page,
            sent: 0,
            received: 0,
            user_agent: text(header::USER_AGENT),
            referer: text(header::REFERER),
            outcome: Outcome::Complete,
            site: None,
            request_id: request.id.clone(),
            upstream: None,
        };
        Self { observer, exchange, started: Instant::now(), transfer: None, total: None, finished: None, visit: None }
    }

    /// The site that the request belongs to.
    pub(crate) fn at_site(&mut self, site: Option<&Arc<str>>) {
        self.exchange.site = site.cloned();
        self.visit = site.map(|site| {
            self.observer.entered(site);
            Visit { observer: self.observer, site: Arc::clone(site) }
        });
    }

    /// The upstream that answered.
    pub(crate) fn answered_by(&mut self, upstream: Option<Arc<str>>) {
        self.exchange.upstream = upstream;
    }

    pub(crate) fn responding(&mut self, status: StatusCode, kind: Kind, total: Option<u64>) {
        self.exchange.status = status;
        self.exchange.kind = kind;
        self.total = total;
    }

    /// Tells `finished` too how it ended.
    pub(crate) fn tell(&mut self, finished: Option<Finished>) {
        self.finished = finished;
    }

    pub(crate) fn sent(&mut self, bytes: u64) {
        self.exchange.sent += bytes;
        if let Some(transfer) = &self.transfer {
            transfer.add(bytes);
        } else if self.exchange.sent > LONG_BODY || self.total.is_some_and(|total| total > LONG_BODY) {
            self.transfer = Some(self.announce(self.total, self.exchange.sent));
        }
    }

    /// Tells the observer of a long body.
    pub(crate) fn announce(&self, total: Option<u64>, moved: u64) -> Arc<Transfer> {
        let transfer = Arc::new(Transfer {
            began: self.exchange.began,
            client: self.exchange.client,
            target: self.exchange.target.clone(),
            total,
            moved: moved.into(),
            done: false.into(),
        });
        self.observer.transfer(transfer.clone());
        transfer
    }

    pub(crate) fn finish(mut self, received: u64, outcome: Outcome) {
        if let Some(transfer) = &self.transfer {
            transfer.done.store(true, Ordering::Relaxed);
        }
        if let Some(finished) = self.finished.take() {
            finished(outcome, self.exchange.sent);
        }
        if self.exchange.kind == Kind::Beacon {
            return;
        }
        self.exchange.received = received;
        self.exchange.outcome = outcome;
        self.exchange.took = self.started.elapsed();
        self.observer.finished(self.exchange);
    }
}
