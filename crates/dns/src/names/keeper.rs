use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use doorstep_model::{Backoff, Blame, Change, DynamicDns, Hostname, RecordChange};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::memory::{Known, Remembered};
use super::there::{Values, is_alias, is_as, there};
use super::wanted::Wanted;
use super::{Addresses, NameState, NameStatus, News, Options};
use crate::fault::{Again, DnsFault};
use crate::limits::{CHECKS, LEAST, RECHECK, REPEAT, RETRY_FIRST, RETRY_MOST, SETTLE};
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

/// What comes after the provider was asked.
enum Next {
    /// Nothing, until something changes.
    Change,
    After(Duration),
    /// The zone's servers are to answer with it.
    Check(Box<Lookup>, String, Wanted),
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
        // Settings may be for several zones' names, and say one of them.
        let name = board.name.as_str();
        let zone = group.provider.settings.get("zone").map(|zone| zone.reveal().trim_end_matches('.').to_owned());
        let zone = zone
            .filter(|zone| name.strip_suffix(zone.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
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
            let now = addresses.borrow_and_update().clone();
            let next = self.publish(&now).await;
            // Whatever changes is more important than waiting.
            tokio::select! {
                changed = addresses.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    sleep(SETTLE).await;
                    self.pause().await;
                }
                () = self.rest(next) => {}
            }
        }
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

    /// Sees to it that the provider knows what is wanted.
    async fn publish(&mut self, addresses: &Addresses) -> Next {
        match self.try_publish(addresses).await {
            Ok(next) => {
                self.retry.reset();
                next
            }
            Err(fault) => {
                self.board.failed(&fault);
                match fault.again {
                    Again::Soon => Next::After(self.retry.next(random())),
                    Again::After(wait) => Next::After(wait),
                    // The next change of the address is not a change of the configuration.
                    Again::Never => std::future::pending().await,
                }
            }
        }
    }

    /// Until it is time to look again.
    async fn rest(&self, next: Next) {
        let fault = match next {
            Next::Change => return std::future::pending().await,
            Next::After(wait) => return sleep(wait).await,
            Next::Check(lookup, zone, wanted) => self.check(&lookup, &zone, &wanted).await.err(),
        };
        if let Some(fault) = fault {
            self.board.failed(&fault);
        }
        sleep(RECHECK).await;
    }

    async fn try_publish(&mut self, addresses: &Addresses) -> Result<Next, DnsFault> {
        if self.wanted(addresses) == Wanted::Nothing {
            self.board.becomes(NameState::Waiting, None);
            return Ok(Next::Change);
        }
        let lookup = Lookup::new(self.options.resolver)?;
        let zone = self.zone(&lookup).await?;
        // Again, now that the zone is known: its own name can be no alias.
        let wanted = self.wanted(addresses);
        if wanted == Wanted::Nothing {
            self.board.becomes(NameState::Waiting, None);
            return Ok(Next::Change);
        }
        let values = wanted.values();
        let known = self.known().await;
        let there = there(&lookup, &zone, self.board.name.as_str()).await;
        if there.as_ref().is_some_and(|there| is_as(there, &wanted, self.provider.can_remove())) {
            if known.values != values {
                self.remember(values.clone()).await;
            }
            self.board.published(&values);
            self.board.seen();
            return Ok(Next::After(RECHECK));
        }
        if known.values == values {
            // Where the zone's servers cannot be asked, what was sent last counts.
            if there.is_none() {
                self.board.published(&values);
                return Ok(Next::After(RECHECK));
            }
            // Who blocks for repetition is not told the same again, whatever the servers say.
            if !self.provider.can_remove() && (0..REPEAT).contains(&now().saturating_sub(known.at)) {
                self.board.published(&values);
                return Ok(Next::Check(Box::new(lookup), zone, wanted));
            }
        }
        self.write_down(&lookup, &zone, &wanted, there.as_ref()).await?;
        // Should doorstep end in between, nobody could tell which of the two is there.
        self.remember(Vec::new()).await;
        self.send(&zone, &wanted, &known, there.as_ref()).await?;
        self.updated = Some(Instant::now());
        self.remember(values.clone()).await;
        self.board.published(&values);
        Ok(Next::Check(Box::new(lookup), zone, wanted))
    }

    fn wanted(&self, addresses: &Addresses) -> Wanted {
        // A zone's own name has an SOA beside it, and beside a CNAME nothing may stand (RFC 1034 section 3.6.2).
        let is_apex = self.zone.as_deref() == Some(self.board.name.as_str());
        Wanted::of(addresses, &self.board.name, self.families, self.provider.can_alias() && !is_apex)
    }

    async fn send(&self, zone: &str, wanted: &Wanted, known: &Known, there: Option<&Values>) -> Result<(), DnsFault> {
        let (name, provider) = (self.board.name.as_str(), &self.provider);
        // What neither we put nor the servers show needs no removing; where nothing is known, everything may be there.
        let blank = there.is_none() && known.values.is_empty();
        let has = |kind: Kind| {
            let prefix = format!("{kind} ");
            let mut values = known.values.iter().chain(there.into_iter().flatten().flatten());
            blank || values.any(|value| value.starts_with(&prefix))
        };
        match wanted {
            Wanted::Nothing => Ok(()),
            Wanted::Addresses(ips) => {
                if known.values.iter().any(|value| is_alias(value)) {
                    provider.set(zone, name, Kind::Cname, Vec::new(), self.ttl).await?;
                }
                let gone = |kind, v4| has(kind) && !ips.iter().any(|ip| ip.is_ipv4() == v4);
                let gone = gone(Kind::A, true) || gone(Kind::Aaaa, false);
                provider.set_addresses(zone, name, ips, self.ttl, gone).await
            }
            Wanted::Alias(alias) => {
                if has(Kind::A) || has(Kind::Aaaa) {
                    provider.set_addresses(zone, name, &[], self.ttl, true).await?;
                }
                provider.set(zone, name, Kind::Cname, vec![format!("{alias}.")], self.ttl).await
            }
        }
    }

    /// Waits until the zone's servers answer with it, or cannot be asked.
    async fn check(&self, lookup: &Lookup, zone: &str, wanted: &Wanted) -> Result<(), DnsFault> {
        for wait in CHECKS {
            sleep(wait).await;
            match there(lookup, zone, self.board.name.as_str()).await {
                Some(there) if is_as(&there, wanted, self.provider.can_remove()) => {
                    self.board.seen();
                    return Ok(());
                }
                Some(_) => {}
                None => return Ok(()),
            }
        }
        let (name, values, provider) = (&self.board.name, wanted.values().join(", "), self.provider.name());
        let what = format!("{provider} took {values} for {name}, and the servers of {zone} do not answer with it.");
        let fix = if provider == "cloudflare" {
            format!("Switch Cloudflare's proxy off for {name}; else its name servers are others.")
        } else {
            format!("See at {provider} whether {zone} is served there: its name servers may be others.")
        };
        Err(DnsFault::new("dns-not-served", Blame::Environment, what, fix))
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

    /// The journal knows of each type of record before it is changed. Of one that it knows already it keeps what was there
    /// before the first change.
    async fn write_down(
        &self,
        lookup: &Lookup,
        zone: &str,
        wanted: &Wanted,
        there: Option<&Values>,
    ) -> Result<(), DnsFault> {
        for kind in wanted.kinds() {
            let prefix = format!("{kind} ");
            let of = |values: &[String]| {
                values.iter().filter_map(|value| value.strip_prefix(&prefix).map(str::to_owned)).collect()
            };
            let before = match there.and_then(|there| there.first()) {
                Some(values) => of(values),
                // Taken for nothing, it would be removed one day.
                None if self.provider.can_alias() => {
                    self.provider.values(zone, self.board.name.as_str(), *kind).await?
                }
                None => lookup.values(self.board.name.as_str(), *kind).await.unwrap_or_default(),
            };
            let change = RecordChange {
                provider: self.provider.name().to_owned(),
                zone: zone.to_owned(),
                name: self.board.name.to_string(),
                record: kind.name().to_owned(),
                values: of(&wanted.values()),
                before,
                config: self.options.config.clone(),
            };
            self.options.ledger.record(Change::Record(change)).await.map_err(|error| {
                let what =
                    format!("{} was not changed, since it could not be written down first: {error}.", self.board.name);
                DnsFault::new("journal", Blame::Environment, what, "Make room on the disk.")
            })?;
        }
        Ok(())
    }

    async fn known(&self) -> Known {
        let (remembered, name) = (self.remembered.clone(), self.board.name.to_string());
        tokio::task::spawn_blocking(move || remembered.get(&name)).await.unwrap_or_default()
    }

    async fn remember(&self, values: Vec<String>) {
        let known = Known { values, at: now() };
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
