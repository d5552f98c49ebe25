use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use doorstep_model::{Backoff, Blame, Change, DynamicDns, Hostname, RecordChange};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::memory::{Known, Remembered};
use super::wanted::Wanted;
use super::{Addresses, NameState, NameStatus, News, Options};
use crate::fault::{Again, DnsFault};
use crate::limits::{CHECKS, LEAST, RECHECK, RETRY_FIRST, RETRY_MOST, SETTLE};
use crate::{Kind, Lookup, Provider};

/// Keeps one name.
pub(super) struct Keeper {
    board: Board,
    provider: Arc<Provider>,
    ttl: u32,
    families: (bool, bool),
    /// As the configuration says it.
    zone: Option<String>,
    options: Options,
    remembered: Arc<Remembered>,
    retry: Backoff,
    /// When the provider was told something last.
    updated: Option<Instant>,
}

/// Where the name's news go.
pub(super) struct Board {
    pub at: usize,
    pub status: Arc<Mutex<Vec<NameStatus>>>,
    pub news: mpsc::UnboundedSender<News>,
    pub name: Hostname,
}

impl Keeper {
    pub fn new(
        board: Board,
        provider: Arc<Provider>,
        group: &DynamicDns,
        options: &Options,
        remembered: Arc<Remembered>,
    ) -> Self {
        let zone = group.provider.settings.get("zone").map(|zone| zone.reveal().trim_end_matches('.').to_owned());
        Self {
            board,
            provider,
            ttl: u32::try_from(group.ttl.as_secs()).unwrap_or(u32::MAX),
            families: (group.ipv4, group.ipv6),
            zone,
            options: options.clone(),
            remembered,
            retry: Backoff::new(RETRY_FIRST, RETRY_MOST),
            updated: None,
        }
    }

    pub async fn run(mut self, mut addresses: watch::Receiver<Addresses>) {
        loop {
            let wanted = self.wanted(&mut addresses);
            let wait = match &wanted {
                Wanted::Nothing => {
                    self.board.becomes(NameState::Waiting, None);
                    None
                }
                wanted => Some(self.publish(wanted).await),
            };
            // While it waits, whatever changes is more important.
            tokio::select! {
                changed = addresses.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    sleep(SETTLE).await;
                    self.pause().await;
                }
                () = sleep(wait.unwrap_or(RECHECK)), if wait.is_some() => {}
            }
        }
    }

    fn wanted(&self, addresses: &mut watch::Receiver<Addresses>) -> Wanted {
        // A zone's own name has an SOA beside it, and beside a CNAME nothing may stand (RFC 1034 section 3.6.2).
        let is_apex = self.zone.as_deref() == Some(self.board.name.as_str());
        let may_alias = self.provider.can_alias() && !is_apex;
        Wanted::of(&addresses.borrow_and_update(), &self.board.name, self.families, may_alias)
    }

    /// The provider is not told more often than it likes.
    async fn pause(&self) {
        let least = match self.provider.name() {
            // One's own server.
            "rfc2136" | "powerdns" => Duration::from_secs(1),
            "duckdns" => Duration::from_secs(5),
            _ => LEAST,
        };
        if let Some(updated) = self.updated {
            sleep_until(updated + least).await;
        }
    }

    /// Sees to it that the name says what is wanted; how long that is good for.
    async fn publish(&mut self, wanted: &Wanted) -> Duration {
        match self.try_publish(wanted).await {
            Ok(wait) => {
                self.retry.reset();
                wait
            }
            Err(fault) => {
                self.board.failed(&fault);
                match fault.again {
                    Again::Soon => self.retry.next(random()),
                    Again::After(wait) => wait,
                    // The next change of the address is not a change of the configuration.
                    Again::Never => std::future::pending().await,
                }
            }
        }
    }

    async fn try_publish(&mut self, wanted: &Wanted) -> Result<Duration, DnsFault> {
        let lookup = Lookup::new(self.options.resolver)?;
        let zone = self.zone(&lookup).await?;
        let values = wanted.values();
        let known = self.known().await;
        let seen = self.seen(&lookup, &zone, wanted).await;
        if seen == Some(true) {
            if known.values != values {
                self.remember(Known { values: values.clone(), at: now(), ..known }).await;
            }
            self.board.published(&values);
            self.board.seen();
            return Ok(RECHECK);
        }
        // Where the zone's servers cannot be asked, what was sent last counts.
        if seen.is_none() && known.values == values {
            self.board.published(&values);
            return Ok(RECHECK);
        }
        let known = self.write_down(&lookup, &zone, wanted, known).await?;
        self.send(&zone, wanted, &known).await?;
        self.updated = Some(Instant::now());
        self.remember(Known { values: values.clone(), at: now(), ..known }).await;
        self.board.published(&values);
        self.check(&lookup, &zone, wanted).await
    }

    async fn send(&self, zone: &str, wanted: &Wanted, known: &Known) -> Result<(), DnsFault> {
        let (name, provider) = (self.board.name.as_str(), &self.provider);
        match wanted {
            Wanted::Nothing => Ok(()),
            Wanted::Addresses(ips) => {
                if known.values.iter().any(|value| is_alias(value)) {
                    provider.set(zone, name, Kind::Cname, Vec::new(), self.ttl).await?;
                }
                provider.set_addresses(zone, name, ips, self.ttl).await
            }
            Wanted::Alias(alias) => {
                provider.set_addresses(zone, name, &[], self.ttl).await?;
                provider.set(zone, name, Kind::Cname, vec![format!("{alias}.")], self.ttl).await
            }
        }
    }

    /// Waits until the zone's servers answer with it; how long until it is worth looking again.
    async fn check(&self, lookup: &Lookup, zone: &str, wanted: &Wanted) -> Result<Duration, DnsFault> {
        for wait in CHECKS {
            sleep(wait).await;
            match self.seen(lookup, zone, wanted).await {
                Some(true) => {
                    self.board.seen();
                    return Ok(RECHECK);
                }
                Some(false) => {}
                None => return Ok(RECHECK),
            }
        }
        let (name, values) = (&self.board.name, wanted.values().join(", "));
        let what = format!(
            "{} took {values} for {name}, and the servers of {zone} do not answer with it.",
            self.provider.name()
        );
        let fix =
            format!("See at {} whether {zone} is served there: its name servers may be others.", self.provider.name());
        Err(DnsFault::new("dns-not-served", Blame::Environment, what, fix).again(Again::After(RECHECK)))
    }

    /// Whether every server of the zone that answers says what is wanted, and nothing else of these types.
    async fn seen(&self, lookup: &Lookup, zone: &str, wanted: &Wanted) -> Option<bool> {
        let servers = lookup.authorities(zone).await.unwrap_or_default();
        let mut answered = None;
        for (_, server) in servers {
            let mut values = Vec::new();
            let mut silent = false;
            for kind in [Kind::Cname, Kind::A, Kind::Aaaa] {
                // What is at the end of an alias is not this server's to say.
                if values.iter().any(|value: &String| is_alias(value)) {
                    break;
                }
                match server.values(self.board.name.as_str(), kind).await {
                    Ok(found) => values.extend(found.into_iter().map(|value| format!("{kind} {value}"))),
                    Err(_) => silent = true,
                }
            }
            if silent {
                continue;
            }
            let mut wished = wanted.values();
            values.sort_unstable();
            wished.sort_unstable();
            if values != wished {
                return Some(false);
            }
            answered = Some(true);
        }
        answered
    }

    async fn zone(&mut self, lookup: &Lookup) -> Result<String, DnsFault> {
        if let Some(zone) = &self.zone {
            return Ok(zone.clone());
        }
        let zone = match lookup.zone(self.board.name.as_str()).await {
            Ok(zone) => zone,
            // Services of dynamic DNS are told the name alone.
            Err(_) if !self.provider.can_alias() => return Ok(self.board.name.to_string()),
            Err(fault) => return Err(fault),
        };
        self.zone = Some(zone.clone());
        Ok(zone)
    }

    /// The journal knows of each type of record before it is changed for the first time.
    async fn write_down(
        &self,
        lookup: &Lookup,
        zone: &str,
        wanted: &Wanted,
        mut known: Known,
    ) -> Result<Known, DnsFault> {
        let mut new = false;
        for kind in wanted.kinds() {
            if known.entries.contains_key(kind.name()) {
                continue;
            }
            let before = lookup.values(self.board.name.as_str(), *kind).await.unwrap_or_default();
            let prefix = format!("{kind} ");
            let values =
                wanted.values().iter().filter_map(|value| value.strip_prefix(&prefix).map(str::to_owned)).collect();
            let change = RecordChange {
                provider: self.provider.name().to_owned(),
                zone: zone.to_owned(),
                name: self.board.name.to_string(),
                record: kind.name().to_owned(),
                values,
                before,
                config: self.options.config.clone(),
            };
            let entry = self.options.ledger.record(Change::Record(change)).await.map_err(|error| {
                let what =
                    format!("{} was not changed, since it could not be written down first: {error}.", self.board.name);
                DnsFault::new("journal", Blame::Environment, what, "Make room on the disk.")
            })?;
            known.entries.insert(kind.name().to_owned(), entry);
            new = true;
        }
        if new {
            self.remember(known.clone()).await;
        }
        Ok(known)
    }

    async fn known(&self) -> Known {
        let (remembered, name) = (self.remembered.clone(), self.board.name.to_string());
        tokio::task::spawn_blocking(move || remembered.get(&name)).await.unwrap_or_default()
    }

    async fn remember(&self, known: Known) {
        let (remembered, name) = (self.remembered.clone(), self.board.name.to_string());
        let _ = tokio::task::spawn_blocking(move || remembered.put(&name, known)).await;
    }
}

impl Board {
    pub fn failed(&self, fault: &DnsFault) {
        self.becomes(NameState::Failed { what: fault.what.clone(), fix: fault.fix.clone() }, None);
        let _ = self.news.send(News::Failed { name: self.name.clone(), fault: fault.clone() });
    }

    fn published(&self, values: &[String]) {
        let news = {
            let status = self.status.lock();
            status.get(self.at).is_none_or(|status| {
                status.values != values || !matches!(status.state, NameState::Published | NameState::Seen)
            })
        };
        if news {
            self.becomes(NameState::Published, Some(values));
            let _ = self.news.send(News::Published { name: self.name.clone(), values: values.to_vec() });
        }
    }

    fn seen(&self) {
        if self.becomes(NameState::Seen, None) {
            let _ = self.news.send(News::Seen { name: self.name.clone() });
        }
    }

    fn becomes(&self, state: NameState, values: Option<&[String]>) -> bool {
        let mut status = self.status.lock();
        let Some(status) = status.get_mut(self.at) else { return false };
        if let Some(values) = values {
            status.values = values.to_vec();
        }
        if status.state == state {
            return false;
        }
        status.state = state;
        status.since = SystemTime::now();
        true
    }
}

fn is_alias(value: &str) -> bool {
    value.starts_with("CNAME ")
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without random numbers the waits are all the same, which is no fault of consequence.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}
