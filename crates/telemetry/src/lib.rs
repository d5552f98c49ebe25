//! What requests leave behind: access logs, metrics, counters for `doorstep status`.
//!
//! [`Telemetry`] hears of every request ([`Observer`]) on the threads of the data plane. There it moves some atomic
//! counters of the request's site, and puts the request into a queue of its thread, from which one thread of its own
//! writes the access logs: nothing on the way of a request waits for a disk or for another thread.

mod counters;
pub mod limits;
mod log;
mod metrics;

use std::path::Path;
use std::sync::Arc;

use doorstep_http::limits::Limits;
use doorstep_http::{Engine, Exchange, NoObserver, Observer, RouteTable, SiteRoutes, TableOptions};
use doorstep_model::{AccessLogSpec, Finding, HostPolicy, Matcher, Site};
use parking_lot::Mutex;

pub use counters::{SiteStatus, Snapshot};
pub use log::AccessLog;
pub use metrics::{MetricsService, Sample, SampleKind};

use counters::Counters;
use log::Writer;

/// Takes notes of requests.
pub struct Telemetry {
    counters: Counters,
    writer: Writer,
    sources: Mutex<Vec<Source>>,
}

type Source = Arc<dyn Fn() -> Vec<Sample> + Send + Sync>;

impl Telemetry {
    /// Opens the access logs, relative paths in `folder`, and starts the thread that writes them.
    ///
    /// # Errors
    /// A log that cannot be opened, with its name; or the system has no thread to give.
    pub fn start(logs: &[AccessLogSpec], folder: &Path) -> std::io::Result<Arc<Self>> {
        let writer = Writer::start(logs, folder)?;
        Ok(Arc::new(Self { counters: Counters::new(), writer, sources: Mutex::default() }))
    }

    /// Says who is told when a log cannot be written. Only the first call counts.
    pub fn report(&self, tell: impl Fn(Finding) + Send + Sync + 'static) {
        self.writer.report(Box::new(tell));
    }

    /// Sets which sites there are: the numbers of others are forgotten, and requests of a site that wants no access log
    /// are not logged. Sites that are not named here are counted too, as soon as a request names them.
    pub fn set_sites(&self, sites: &[Site]) {
        self.counters.set_sites(sites.iter().map(|site| (site.name.as_str(), site.access_log)));
    }

    /// Writes other access logs from now on.
    ///
    /// # Errors
    /// One that cannot be opened, with its name; then nothing changes.
    pub fn set_logs(&self, logs: &[AccessLogSpec]) -> std::io::Result<()> {
        self.writer.set_logs(logs)
    }

    /// Opens the access logs anew, after somebody else has moved them away.
    pub fn reopen(&self) {
        self.writer.reopen();
    }

    /// Waits until what was noted so far is written, for at most [`limits::MAX_FLUSH`].
    pub fn flush(&self) {
        self.writer.flush();
    }

    /// What `doorstep status` shows.
    pub fn snapshot(&self) -> Snapshot {
        self.counters.snapshot()
    }

    /// Adds a source of samples that only others know: certificates, apps, upstreams, open connections. It is asked
    /// whenever the metrics are, and must not block.
    pub fn add_samples(&self, source: impl Fn() -> Vec<Sample> + Send + Sync + 'static) {
        self.sources.lock().push(Arc::new(source));
    }

    /// Everything in the text format of OpenMetrics 1.0, which Prometheus reads.
    pub fn render(&self) -> String {
        let sources = self.sources.lock().clone();
        let mut samples: Vec<Sample> = sources.iter().flat_map(|source| source()).collect();
        samples.push(Sample {
            name: "access_log_lost",
            help: "Requests that are missing in an access log",
            kind: SampleKind::Counter,
            labels: Vec::new(),
            value: self.writer.lost() as f64,
        });
        metrics::render(&self.counters, &samples)
    }

    /// An engine that answers `/metrics`, and nothing else, under every name.
    ///
    /// # Panics
    /// Never: its one route has no pattern that could be wrong.
    pub fn metrics_engine(self: &Arc<Self>) -> Engine {
        let mut table = RouteTable::new(TableOptions::default());
        let service = Arc::new(MetricsService::new(Arc::clone(self)));
        let site = SiteRoutes::new(HostPolicy::Any, vec![(Matcher::any(), service)]);
        table.add_site(site).expect("a route for everything has no pattern");
        Engine::new(table, Arc::new(NoObserver), Limits::default())
    }
}

impl Observer for Telemetry {
    fn finished(&self, exchange: Exchange) {
        if self.counters.count(&exchange) {
            self.writer.push(exchange);
        }
    }

    fn entered(&self, site: &Arc<str>) {
        self.counters.entered(site);
    }

    fn left(&self, site: &Arc<str>) {
        self.counters.left(site);
    }

    fn found(&self, finding: Finding) {
        self.writer.tell(finding);
    }
}

#[cfg(test)]
mod samples;
