//! What was asked of each authority lately, so that no fault, not even a crash loop, uses up what it allows.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::leaf::{seconds, since_1970};
use crate::limits::LEDGER_ENTRIES;

const HOUR: Duration = Duration::from_secs(60 * 60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Kept as `ledger.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    issuers: BTreeMap<String, Vec<Entry>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    at: i64,
    what: Deed,
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Deed {
    /// A new order.
    Order,
    /// A renewal in the authority's own window: Let's Encrypt exempts it from all limits.
    Renewal,
    /// A challenge that the authority found wanting.
    Failure,
    Certificate,
    /// A certificate by such a renewal.
    Renewed,
}

/// What an authority allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    orders: Option<(usize, Duration)>,
    per_domain: Option<(usize, Duration)>,
    duplicates: (usize, Duration),
    failures: (usize, Duration),
}

impl Allowance {
    /// Let's Encrypt's published limits for its directory; for others only those that keep us from hammering on one name.
    pub fn of(directory: &str) -> Self {
        let public = directory.starts_with("https://acme-v02.api.letsencrypt.org/");
        Self {
            orders: public.then_some((300, 3 * HOUR)),
            per_domain: public.then_some((50, WEEK)),
            duplicates: (5, WEEK),
            failures: (5, HOUR),
        }
    }
}

impl Ledger {
    pub fn record(&mut self, issuer: &str, what: Deed, name: &str, now: SystemTime) {
        let entries = self.issuers.entry(issuer.to_owned()).or_default();
        let oldest = seconds(now - WEEK);
        entries.retain(|entry| entry.at >= oldest);
        if entries.len() >= LEDGER_ENTRIES {
            entries.remove(0);
        }
        entries.push(Entry { at: seconds(now), what, name: name.to_owned() });
    }

    /// Until when `issuer` must not be asked for `name`; `None` if it may be asked now.
    pub fn blocked_until(&self, issuer: &str, allows: &Allowance, name: &str, now: SystemTime) -> Option<SystemTime> {
        let entries = self.issuers.get(issuer).map_or(&[][..], Vec::as_slice);
        let domain = registered_domain(name);
        let all = |what| move |entry: &&Entry| entry.what == what;
        let of_name = |what| move |entry: &&Entry| entry.what == what && entry.name == name;
        let of_domain =
            move |entry: &&Entry| entry.what == Deed::Certificate && registered_domain(&entry.name) == domain;
        let again = |entry: &&Entry| entry.name == name && matches!(entry.what, Deed::Certificate | Deed::Renewed);
        [
            allows.orders.and_then(|limit| full_until(entries.iter().filter(all(Deed::Order)), limit, now)),
            allows.per_domain.and_then(|limit| full_until(entries.iter().filter(of_domain), limit, now)),
            full_until(entries.iter().filter(again), allows.duplicates, now),
            full_until(entries.iter().filter(of_name(Deed::Failure)), allows.failures, now),
        ]
        .into_iter()
        .flatten()
        .max()
    }
}

/// When there is room again for one more within `window`. Entries from the future (the clock was set back) count as now.
fn full_until<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    (most, window): (usize, Duration),
    now: SystemTime,
) -> Option<SystemTime> {
    let mut times: Vec<SystemTime> = entries.map(|entry| since_1970(entry.at).min(now)).collect();
    times.retain(|at| *at + window > now);
    times.sort_unstable();
    let first_that_must_go = times.len().checked_sub(most)?;
    times.get(first_that_must_go).map(|at| *at + window)
}

/// What somebody registered, by the Public Suffix List, as Let's Encrypt counts: `example.co.uk`, `me.duckdns.org`.
fn registered_domain(name: &str) -> &str {
    if name.parse::<IpAddr>().is_ok() {
        return name;
    }
    psl::domain_str(name.trim_start_matches("*.")).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

    fn now() -> SystemTime {
        since_1970(1_800_000_000)
    }

    #[test]
    fn five_failures_an_hour_and_five_duplicates_a_week() {
        let mut ledger = Ledger::default();
        let allows = Allowance::of("https://ca.example/dir");
        for minute in 0..5 {
            let at = now() + Duration::from_secs(minute * 60);
            assert_eq!(ledger.blocked_until("ca", &allows, "a.example.com", at), None);
            ledger.record("ca", Deed::Failure, "a.example.com", at);
        }
        let at = now() + Duration::from_secs(300);
        assert_eq!(ledger.blocked_until("ca", &allows, "a.example.com", at), Some(now() + HOUR));
        assert_eq!(ledger.blocked_until("ca", &allows, "b.example.com", at), None);
        assert_eq!(ledger.blocked_until("other", &allows, "a.example.com", at), None);
        assert_eq!(ledger.blocked_until("ca", &allows, "a.example.com", now() + HOUR), None);
        for _ in 0..5 {
            ledger.record("ca", Deed::Certificate, "c.example.com", now());
        }
        assert_eq!(ledger.blocked_until("ca", &allows, "c.example.com", at), Some(now() + WEEK));
        // The clock was set back by a year: no longer than the window.
        let earlier = now() - 52 * WEEK;
        assert_eq!(ledger.blocked_until("ca", &allows, "c.example.com", earlier), Some(earlier + WEEK));
    }

    #[test]
    fn a_crash_loop_cannot_use_up_a_week_of_lets_encrypt() {
        let allows = Allowance::of(LETS_ENCRYPT);
        let mut text = serde_json::to_string(&Ledger::default()).unwrap();
        let mut asked = 0;
        // Ten thousand starts within an hour, each of which would ask at once.
        for start in 0..10_000 {
            let mut ledger: Ledger = serde_json::from_str(&text).unwrap();
            let at = now() + Duration::from_millis(start * 360);
            let name = format!("n{}.example.com", start % 100);
            if ledger.blocked_until("le", &allows, &name, at).is_none() {
                asked += 1;
                ledger.record("le", Deed::Order, &name, at);
                ledger.record("le", Deed::Certificate, &name, at);
                text = serde_json::to_string(&ledger).unwrap();
            }
        }
        assert_eq!(asked, 50);
    }

    #[test]
    fn domains_and_bounds() {
        assert_eq!(registered_domain("a.b.example.com"), "example.com");
        assert_eq!(registered_domain("*.example.com"), "example.com");
        assert_eq!(registered_domain("com"), "com");
        assert_eq!(registered_domain("www.example.co.uk"), "example.co.uk");
        assert_eq!(registered_domain("nas.me.duckdns.org"), "me.duckdns.org");
        assert_eq!(registered_domain("192.0.2.1"), "192.0.2.1");
        let mut ledger = Ledger::default();
        for _ in 0..LEDGER_ENTRIES + 5 {
            ledger.record("ca", Deed::Order, "a", now());
        }
        assert_eq!(ledger.issuers["ca"].len(), LEDGER_ENTRIES);
        ledger.record("ca", Deed::Order, "a", now() + 2 * WEEK);
        assert_eq!(ledger.issuers["ca"].len(), 1);
    }
}
