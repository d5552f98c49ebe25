use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use doorstep_model::{Backoff, Blame, Issuance};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::Shared;
use super::book::{Held, LOCAL, Source};
use super::clock::ClockWatch;
use super::report::{no_local, obtained, warning};
use crate::acme::{self, Work};
use crate::fault::{Fault, Then};
use crate::leaf::{Leaf, seconds};
use crate::ledger::{Allowance, Deed};
use crate::limits::{LOOK_AGAIN_MOST, NAP, ORDERS_AT_ONCE, RETRY_FIRST, RETRY_MOST, SUGGESTION_RETRY};
use crate::plan::{Step, Suggestion, plan};
use crate::{CertName, authority};

/// Something to do, by the name of its entry in the book.
struct Job {
    key: String,
    step: Step,
}

pub(super) async fn run(shared: Arc<Shared>) {
    let Some(_turn) = shared.turn().await else { return };
    shared.catch_up();
    shared.book.lock().held.values_mut().for_each(|held| held.busy = false);
    let mut under_way = FuturesUnordered::new();
    let mut clock = ClockWatch::new(SystemTime::now(), Instant::now());
    while !shared.stopped.load(Ordering::Acquire) {
        let now = SystemTime::now();
        if let Some(finding) = clock.look(now, Instant::now()) {
            // Accounts are opened anew, and with that our clock is compared with the authority's.
            shared.accounts.clear();
            shared.report(finding);
        }
        shared.look_after(now);
        let (jobs, next) = shared.due(now, ORDERS_AT_ONCE - under_way.len());
        for job in jobs {
            let shared = shared.clone();
            under_way.push(async move { shared.perform(job).await });
        }
        let nap = next.duration_since(now).unwrap_or_default().min(NAP);
        tokio::select! {
            () = shared.wake.notified() => {}
            Some(()) = under_way.next(), if !under_way.is_empty() => {}
            () = tokio::time::sleep(nap) => {}
        }
    }
}

impl Shared {
    /// Warns, and tries again to keep what could not be kept.
    fn look_after(&self, now: SystemTime) {
        let mut findings = Vec::new();
        for held in self.book.lock().held.values_mut() {
            findings.extend(warning(held, now));
            if let Some(pair) = held.served.as_ref().and_then(|served| served.unstored.clone()) {
                self.store(held, pair);
            }
        }
        findings.into_iter().for_each(|finding| self.report(finding));
    }

    /// What is due, at most `room`, certificates before questions; and when to look again.
    fn due(&self, now: SystemTime, room: usize) -> (Vec<Job>, SystemTime) {
        let mut book = self.book.lock();
        let issuance = book.issuance.clone();
        let mut next = now + NAP;
        let mut jobs = Vec::new();
        for (key, held) in book.held.iter().filter(|(_, held)| !held.busy && !matches!(held.source, Source::Files(_))) {
            match plan(now, &held.facts(&issuance, now)) {
                Step::Wait { until } => next = next.min(until),
                step => jobs.push(Job { key: key.clone(), step }),
            }
        }
        jobs.sort_by_key(|job| job.step != Step::Obtain);
        jobs.truncate(room);
        for job in &jobs {
            if let Some(held) = book.held.get_mut(&job.key) {
                held.busy = true;
            }
        }
        (jobs, next)
    }

    async fn perform(&self, job: Job) {
        let taken = {
            let mut book = self.book.lock();
            let issuance = book.issuance.clone();
            book.held.get_mut(&job.key).map(|held| {
                // A wish that comes while it is being fulfilled is one more.
                let asked = std::mem::take(&mut held.asked);
                let leaf = held.served.as_ref().map(|served| served.leaf.clone());
                (issuance, held.name().clone(), held.source.clone(), leaf, held.meta.clone(), asked)
            })
        };
        let Some((issuance, name, source, leaf, meta, asked)) = taken else { return };
        match (job.step, source) {
            (Step::Obtain, Source::Local) => {
                let now = SystemTime::now();
                let made = authority::issue(&self.storage, &name, now);
                self.with(&job.key, |held| match made.and_then(|pair| self.install(held, pair, LOCAL, now)) {
                    Ok(()) => {}
                    Err(error) => {
                        let finding = no_local(&name, &error);
                        self.failed(held, &Fault::new(finding.id, finding.blame, finding.what, ""), now);
                    }
                });
            }
            (Step::Obtain, _) => {
                let from = leaf.as_ref().filter(|_| !asked).map(|leaf| (leaf, meta.issuer.as_str()));
                let done = self.ask_issuers(&issuance, &name, from, meta.failures).await;
                let now = SystemTime::now();
                self.with(&job.key, |held| match done {
                    Ok((pair, issuer)) => match self.install(held, pair, &issuer, now) {
                        Ok(()) => held.served.iter().for_each(|served| self.report(obtained(&name, &served.leaf, now))),
                        Err(error) => self.failed(
                            held,
                            &Fault::new("acme-certificate", Blame::Upstream, error.to_string(), ""),
                            now,
                        ),
                    },
                    Err(fault) => self.failed(held, &fault, now),
                });
                self.reach("kept").await;
            }
            (_, _) => {
                let suggestion = self.ask_for_suggestion(&issuance, &meta.issuer, leaf.as_ref()).await;
                self.with(&job.key, |held| {
                    held.meta.suggestion = Some(suggestion);
                    self.disk(|| self.storage.keep_meta(&name, &held.meta));
                });
            }
        }
    }

    /// Works on an entry that may have gone meanwhile.
    fn with(&self, key: &str, work: impl FnOnce(&mut Held)) {
        if let Some(held) = self.book.lock().held.get_mut(key) {
            held.busy = false;
            work(held);
        }
    }

    /// Asks one issuer after the other, as long as it is their own trouble that they give none.
    async fn ask_issuers(
        &self,
        issuance: &Issuance,
        name: &CertName,
        from: Option<(&Leaf, &str)>,
        failures: u32,
    ) -> Result<(crate::storage::Pair, String), Fault> {
        let mut first = None;
        for issuer in &issuance.issuers {
            let allows = Allowance::of(&issuer.directory);
            let replaces = from.filter(|(_, known)| *known == issuer.name).map(|(leaf, _)| leaf);
            let now = SystemTime::now();
            let blocked = self.book.lock().ledger.blocked_until(&issuer.name, &allows, &name.to_string(), now);
            let done = match blocked {
                Some(until) => Err(used_up(&issuer.name, until, now)),
                None => acme::obtain(&Work { shared: self, issuance, issuer, name, replaces, failures }).await,
            };
            let done = done.map_err(|fault| {
                let not_before = fault.not_before.or_else(|| self.accounts.busy_until(issuer));
                Fault { not_before, ..fault }
            });
            match done {
                Ok(pair) => return Ok((pair, issuer.name.clone())),
                Err(fault) => {
                    if fault.then == Then::Refuted {
                        self.note(&issuer.name, Deed::Failure, name);
                    }
                    let goes_on = matches!(fault.then, Then::NextIssuer | Then::NewOrder | Then::NewAccount);
                    first.get_or_insert(fault);
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        Err(first.unwrap_or_else(|| {
            let fix = "issuers = \"letsencrypt\"";
            Fault::new("no-issuer", Blame::Environment, "no certificate authority is configured.", fix)
        }))
    }

    fn failed(&self, held: &mut Held, fault: &Fault, now: SystemTime) {
        held.meta.failures = held.meta.failures.saturating_add(1);
        let most = if fault.then == Then::LookAgain { LOOK_AGAIN_MOST } else { RETRY_MOST };
        let wait = now + back_off(held.meta.failures, most);
        held.meta.retry_at = Some(seconds(fault.not_before.map_or(wait, |at| at.max(wait))));
        let news = held.meta.error.as_ref().is_none_or(|error| error.what != fault.what);
        held.meta.error = Some(fault.remembered(seconds(now), held.meta.failures));
        self.disk(|| self.storage.keep_meta(&held.names[0], &held.meta));
        // The same again only now and then.
        if news || held.meta.failures.is_power_of_two() {
            self.report(fault.finding(&held.name().to_string(), held.served.is_some()));
        }
    }

    async fn ask_for_suggestion(&self, issuance: &Issuance, issuer: &str, leaf: Option<&Leaf>) -> Suggestion {
        let asked = async {
            let issuer = issuance.issuers.iter().find(|known| known.name == issuer)?;
            let opened = self.accounts.open(&self.storage, issuer, issuance.email.as_deref()).await.ok()?;
            acme::suggestion(&opened, leaf?, SystemTime::now()).await.ok()
        };
        let answer = asked.await;
        // Where there is no window, two thirds of its life are as good.
        let wait = if answer.is_some() { RETRY_MOST * 4 } else { SUGGESTION_RETRY };
        let none = Suggestion { start: 0, end: 0, ask_again: seconds(SystemTime::now() + wait) };
        answer.flatten().unwrap_or(none)
    }
}

/// How long to wait after so many failures in a row.
fn back_off(failures: u32, most: Duration) -> Duration {
    let mut backoff = Backoff::new(RETRY_FIRST, most);
    let mut random = [0; 8];
    let _ = aws_lc_rs::rand::fill(&mut random);
    for _ in 1..failures.min(32) {
        backoff.next(0);
    }
    backoff.next(u64::from_le_bytes(random))
}

fn used_up(issuer: &str, until: SystemTime, now: SystemTime) -> Fault {
    let minutes = until.duration_since(now).unwrap_or_default().as_secs().div_ceil(60);
    let what = format!("{issuer} was asked as often as it allows; it may be asked again in {minutes} minutes.");
    let fault = Fault::new("acme-limit", Blame::Environment, what, "Nothing: doorstep waits, or asks the next issuer.");
    Fault { not_before: Some(until), ..fault.then(Then::NextIssuer) }
}
