//! Numbers of each site.

mod recent;
mod totals;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::ArcSwap;
use doorstep_http::Exchange;
use parking_lot::Mutex;
use serde::Serialize;

use self::recent::{LastMinute, Recent};
use self::totals::Totals;
pub(crate) use self::totals::{BOUNDS, CLASSES, METHODS, Sum, stripe_of_thread};
use crate::limits::MAX_SITES;

/// Counts without locks: the table of sites is replaced as a whole, and its cells are atomic.
pub(crate) struct Counters {
    began: Instant,
    sites: ArcSwap<Table>,
    /// Held while the table is replaced.
    changing: Mutex<()>,
    /// Requests that reached no site.
    nowhere: Arc<Cells>,
}

type Table = HashMap<Arc<str>, Arc<Cells>>;

/// What stands for the site of requests that reached none: for an unknown host, or malformed.
pub(crate) const NOWHERE: &str = "-";

#[derive(Default)]
pub(crate) struct Cells {
    silent: AtomicBool,
    active: AtomicU64,
    totals: Totals,
    /// Made at the first request.
    recent: OnceLock<Box<Recent>>,
}

/// Numbers of all sites at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Snapshot {
    /// By name; `-` has the requests that reached no site.
    pub sites: Vec<SiteStatus>,
}

/// Numbers of one site.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SiteStatus {
    pub name: String,
    /// Since the start.
    pub requests: u64,
    /// Answers with 5xx since the start.
    pub errors: u64,
    /// Bytes of bodies since the start.
    pub sent: u64,
    pub received: u64,
    /// Requests under way.
    pub active: u64,
    /// Requests per second over the last 10 s.
    pub rate_10s: f64,
    /// Requests per second over the last minute.
    pub rate_1m: f64,
    /// Answers with 5xx in the last minute.
    pub errors_1m: u64,
    /// Milliseconds within which half, and 99 of 100, requests of the last minute were over; an eighth too large at most.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), sites: ArcSwap::default(), changing: Mutex::default(), nowhere: Arc::default() }
    }

    /// Counts a request. Whether it is to be logged.
    pub(crate) fn count(&self, exchange: &Exchange) -> bool {
        self.with(exchange.site.as_ref(), |cells| {
            cells.totals.add(exchange);
            let recent = cells.recent.get_or_init(|| Box::new(Recent::new()));
            recent.add(self.began.elapsed(), exchange.took, exchange.status.is_server_error());
            !cells.silent.load(Ordering::Relaxed)
        })
    }

    pub(crate) fn entered(&self, site: &Arc<str>) {
        self.with(Some(site), |cells| cells.active.fetch_add(1, Ordering::Relaxed));
    }

    pub(crate) fn left(&self, site: &Arc<str>) {
        // The site may have been forgotten and come back in between.
        self.with(Some(site), |cells| {
            let less = |active: u64| Some(active.saturating_sub(1));
            let _ = cells.active.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        });
    }

    /// Replaces the table by these sites and whether they are logged; those that stay keep their numbers.
    pub(crate) fn set_sites<'a>(&self, sites: impl Iterator<Item = (&'a str, bool)>) {
        let _changing = self.changing.lock();
        let (old, mut table) = (self.sites.load(), Table::new());
        for (name, logged) in sites.take(MAX_SITES) {
            let (name, cells) = match old.get_key_value(name) {
                Some((name, cells)) => (Arc::clone(name), Arc::clone(cells)),
                None => (Arc::from(name), Arc::default()),
            };
            cells.silent.store(!logged, Ordering::Relaxed);
            table.insert(name, cells);
        }
        self.sites.store(Arc::new(table));
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let now = self.began.elapsed();
        let status = |(name, cells): (Arc<str>, Arc<Cells>)| {
            let sum = cells.totals.sum();
            let minute = cells.recent.get().map_or(LastMinute::default(), |recent| recent.last_minute(now));
            SiteStatus {
                name: name.to_string(),
                requests: sum.total(),
                errors: sum.errors(),
                sent: sum.sent,
                received: sum.received,
                active: cells.active.load(Ordering::Relaxed),
                rate_10s: minute.rates[0],
                rate_1m: minute.rates[1],
                errors_1m: minute.errors,
                p50_ms: minute.p50.map(|time| time.as_secs_f64() * 1000.0),
                p99_ms: minute.p99.map(|time| time.as_secs_f64() * 1000.0),
            }
        };
        Snapshot { sites: self.all().into_iter().map(status).collect() }
    }

    /// Sums and requests under way of each site, by name.
    pub(crate) fn sums(&self) -> Vec<(Arc<str>, Sum, u64)> {
        let sum = |(name, cells): (_, Arc<Cells>)| (name, cells.totals.sum(), cells.active.load(Ordering::Relaxed));
        self.all().into_iter().map(sum).collect()
    }

    fn all(&self) -> Vec<(Arc<str>, Arc<Cells>)> {
        let table = self.sites.load();
        let mut sites: Vec<_> = table.iter().map(|(name, cells)| (Arc::clone(name), Arc::clone(cells))).collect();
        sites.push((Arc::from(NOWHERE), Arc::clone(&self.nowhere)));
        sites.sort_by(|(one, _), (other, _)| one.cmp(other));
        sites
    }

    fn with<T>(&self, site: Option<&Arc<str>>, act: impl FnOnce(&Cells) -> T) -> T {
        let Some(name) = site else { return act(&self.nowhere) };
        let table = self.sites.load();
        match table.get(name) {
            Some(cells) => act(cells),
            None => act(&self.add(name)),
        }
    }

    #[cold]
    fn add(&self, name: &Arc<str>) -> Arc<Cells> {
        let _changing = self.changing.lock();
        let mut table = Table::clone(&self.sites.load());
        if let Some(cells) = table.get(name) {
            return Arc::clone(cells);
        }
        if table.len() >= MAX_SITES {
            return Arc::clone(&self.nowhere);
        }
        let cells: Arc<Cells> = Arc::default();
        table.insert(Arc::clone(name), Arc::clone(&cells));
        self.sites.store(Arc::new(table));
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::exchange;

    fn at(site: Option<&str>, status: u16) -> Exchange {
        Exchange { site: site.map(Arc::from), ..exchange("/", status) }
    }

    #[test]
    fn sites_are_counted_apart_and_strangers_together() {
        let counters = Counters::new();
        counters.count(&at(Some("b"), 200));
        counters.count(&at(Some("a"), 500));
        counters.count(&at(Some("a"), 200));
        counters.count(&at(None, 421));
        let seen: Vec<_> =
            counters.snapshot().sites.into_iter().map(|site| (site.name, site.requests, site.errors)).collect();
        assert_eq!(seen, [("-".to_owned(), 1, 0), ("a".to_owned(), 2, 1), ("b".to_owned(), 1, 0)]);
    }

    #[test]
    fn a_reload_keeps_numbers_and_forgets_sites() {
        let counters = Counters::new();
        counters.set_sites([("a", true), ("b", false)].into_iter());
        assert!(counters.count(&at(Some("a"), 200)));
        assert!(!counters.count(&at(Some("b"), 200)));
        counters.set_sites([("b", true), ("c", true)].into_iter());
        assert!(counters.count(&at(Some("b"), 200)));
        let seen: Vec<_> = counters.snapshot().sites.into_iter().map(|site| (site.name, site.requests)).collect();
        assert_eq!(seen, [("-".to_owned(), 0), ("b".to_owned(), 2), ("c".to_owned(), 0)]);
    }

    #[test]
    fn what_is_under_way_is_counted() {
        let (counters, site) = (Counters::new(), Arc::from("a"));
        let active = |counters: &Counters| counters.snapshot().sites.last().unwrap().active;
        counters.entered(&site);
        counters.entered(&site);
        counters.left(&site);
        assert_eq!(active(&counters), 1);
        counters.left(&site);
        counters.left(&site);
        assert_eq!(active(&counters), 0);
    }

    #[test]
    fn the_table_is_bounded() {
        let counters = Counters::new();
        let names: Vec<String> = (0..MAX_SITES).map(|n| format!("s{n}")).collect();
        counters.set_sites(names.iter().map(|name| (name.as_str(), true)));
        counters.count(&at(Some("one more"), 200));
        let sites = counters.snapshot().sites;
        assert_eq!((sites.len(), sites[0].requests), (MAX_SITES + 1, 1));
    }
}
