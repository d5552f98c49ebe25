use std::sync::Arc;

use doorstep_model::{Backoff, Change};
use doorstep_net::NetworkChanges;
use doorstep_proto::gateway::pcp;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::held::{Held, change, wish};
use super::{Family, MappingStatus, News, Options, State, Want};
use crate::error::GatewayError;
use crate::gateway::{Gateway, Grant, Grip, find};
use crate::limits::{LEASE, REFUSED, RETRY_FIRST, RETRY_MOST};
use crate::surroundings::Surroundings;

pub(super) enum Order {
    Refresh,
    Leave,
}

pub(super) struct Keeper {
    options: Options,
    status: Arc<Mutex<Vec<MappingStatus>>>,
    news: mpsc::UnboundedSender<News>,
    slots: Vec<Slot>,
    surroundings: Surroundings,
    /// Those that were found last; empty when they are to be looked for.
    gateways: Vec<Gateway>,
}

struct Slot {
    held: Option<Held>,
    /// What is to be given back at the end, also while `held` is being looked after.
    given: Option<(Gateway, Grant, u64)>,
    /// The same for the life of this mapper, so that asking again is renewing.
    nonce: pcp::Nonce,
    retry: Backoff,
    due: Instant,
    /// It was told that it is refused; the same is not told again.
    told: Option<String>,
}

impl Keeper {
    pub fn new(options: Options, status: Arc<Mutex<Vec<MappingStatus>>>, news: mpsc::UnboundedSender<News>) -> Self {
        let slot = |_: &Want| Slot {
            held: None,
            given: None,
            nonce: nonce(),
            retry: Backoff::new(RETRY_FIRST, RETRY_MOST),
            due: Instant::now(),
            told: None,
        };
        let slots = options.wants.iter().map(slot).collect();
        let surroundings = Surroundings::none();
        Self { options, status, news, slots, surroundings, gateways: Vec::new() }
    }

    pub async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut changes = NetworkChanges::watch();
        self.look().await;
        loop {
            let due = self.next_due();
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Refresh) => self.look_at_all(),
                    Some(Order::Leave) | None => break,
                },
                _ = changes.next() => {
                    self.look().await;
                    self.look_at_all();
                }
                () = sleep_until(due), if !self.slots.is_empty() => {
                    let order = tokio::select! {
                        () = self.work() => None,
                        order = orders.recv() => Some(order),
                    };
                    match order {
                        Some(Some(Order::Leave) | None) => break,
                        Some(Some(Order::Refresh)) => self.look_at_all(),
                        None => {}
                    }
                }
            }
        }
        self.leave().await;
    }

    /// Does what is due, one want after the other. May be cut off: what was in hand then is asked for again.
    async fn work(&mut self) {
        for want in 0..self.slots.len() {
            if self.slots[want].due > Instant::now() {
                continue;
            }
            match self.slots[want].held.take() {
                Some(held) => self.keep(want, held).await,
                None => self.ask(want).await,
            }
        }
    }

    async fn look(&mut self) {
        let look = self.options.look.clone();
        if let Ok(surroundings) = tokio::task::spawn_blocking(move || look()).await {
            self.surroundings = surroundings;
        }
        self.gateways.clear();
    }

    fn look_at_all(&mut self) {
        let now = Instant::now();
        for slot in &mut self.slots {
            slot.due = now;
            slot.retry.reset();
        }
    }

    fn next_due(&self) -> Instant {
        self.slots.iter().map(|slot| slot.due).min().unwrap_or_else(Instant::now)
    }

    /// Looks after a grant.
    async fn keep(&mut self, want: usize, mut held: Held) {
        let wanted = self.options.wants[want];
        if !self.surroundings.roads.contains(&held.gateway.road) {
            // Whoever asks for it back must come from the address that it led to, and that is gone.
            self.gone(want, "this computer's address or router is another one".to_owned());
            return self.ask(want).await;
        }
        let (wish, port) = (wish(&wanted, &held.gateway), self.surroundings.port);
        let now = Instant::now();
        // Asking again costs one datagram by these, and makes sure of what a look could only guess.
        let cheap = matches!(held.grant.grip, Grip::Pcp(_) | Grip::NatPmp);
        if !cheap && held.renew_at().is_none_or(|at| at > now) {
            match held.gateway.stands(wish, &held.grant).await {
                Ok(standing) if !held.is_gone(&standing) => {
                    if standing.ip.is_some() && standing.ip != held.outside {
                        held.outside = standing.ip;
                        self.mapped(want, &held);
                    }
                    return self.hold(want, held);
                }
                // Forgotten, or the gateway does not answer where it did: a restart moves the port of UPnP.
                Ok(_) | Err(_) => self.gateways.clear(),
            }
        }
        // The wished port may be free by now.
        if held.renew_at().is_some_and(|at| at <= now)
            && wanted.family == Family::V4
            && held.grant.external != wanted.external
        {
            let _ = held.gateway.release(port, wish, &held.grant).await;
            let entry = held.entry;
            self.ask(want).await;
            let _ = self.options.ledger.undone(entry).await;
            return;
        }
        match held.gateway.renew(port, wish, &held.grant).await {
            Ok(grant) if grant.external == held.grant.external && grant.grip == held.grant.grip => {
                held.renewed(grant);
                self.mapped(want, &held);
                self.hold(want, held);
            }
            _ => {
                let entry = held.entry;
                self.gateways.clear();
                self.ask(want).await;
                match &self.slots[want].held {
                    // What stands now is written down anew, so the old entry is history.
                    Some(_) => drop(self.options.ledger.undone(entry).await),
                    None => self.gone(want, "the router forgot it, and does not grant it again".to_owned()),
                }
            }
        }
    }

    /// Asks for a grant.
    async fn ask(&mut self, want: usize) {
        if self.gateways.is_empty() {
            self.gateways = find(&self.surroundings).await;
        }
        let wanted = self.options.wants[want];
        let outcome = self.ask_each(want, &wanted).await;
        match outcome {
            Ok(held) => {
                self.mapped(want, &held);
                self.hold(want, held);
            }
            Err(error) => self.refused(want, error),
        }
    }

    async fn ask_each(&self, want: usize, wanted: &Want) -> Result<Held, GatewayError> {
        let mut last = GatewayError::NoGateway;
        for gateway in &self.gateways {
            if gateway.road.is_ipv4() != (wanted.family == Family::V4) {
                continue;
            }
            if !gateway.answers() {
                last = GatewayError::Silent;
                continue;
            }
            match self.ask_one(want, wanted, gateway).await {
                Ok(held) => return Ok(held),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask_one(&self, want: usize, wanted: &Want, gateway: &Gateway) -> Result<Held, GatewayError> {
        let ledger = &self.options.ledger;
        let nonce = self.slots[want].nonce;
        let wish = wish(wanted, gateway);
        // Written down before it is asked for: by the protocol that is tried first.
        let first = gateway.first_grip(nonce).ok_or(GatewayError::NoPinholes)?;
        let before = change(wanted, gateway, &first, wanted.external, Some(LEASE));
        let entry = ledger.record(Change::Mapping(before.clone())).await.map_err(GatewayError::Journal)?;
        let grant = match gateway.grant(self.surroundings.port, wish, nonce).await {
            Ok(grant) => grant,
            Err(error) => {
                let _ = ledger.undone(entry).await;
                return Err(error);
            }
        };
        let after = change(wanted, gateway, &grant.grip, grant.external, grant.lease);
        if (&after.by, &after.key, after.external_port) == (&before.by, &before.key, before.external_port)
            && after.ends_at.is_some()
        {
            return Ok(Held::new(gateway.clone(), grant, entry));
        }
        match ledger.record(Change::Mapping(after)).await {
            Ok(better) => {
                let _ = ledger.undone(entry).await;
                Ok(Held::new(gateway.clone(), grant, better))
            }
            Err(error) => {
                let _ = gateway.release(self.surroundings.port, wish, &grant).await;
                let _ = ledger.undone(entry).await;
                Err(GatewayError::Journal(error))
            }
        }
    }

    fn hold(&mut self, want: usize, held: Held) {
        let slot = &mut self.slots[want];
        slot.retry.reset();
        slot.due = held.look_at().min(held.renew_at().unwrap_or_else(|| held.look_at()));
        slot.told = None;
        self.status.lock()[want].state =
            State::Mapped { mapped: held.mapped(), until: held.until().map(Instant::into_std) };
        slot.given = Some((held.gateway.clone(), held.grant.clone(), held.entry));
        slot.held = Some(held);
    }

    fn mapped(&self, want: usize, held: &Held) {
        let mapped = held.mapped();
        let known = matches!(&self.status.lock()[want].state, State::Mapped { mapped: known, .. } if *known == mapped);
        if !known {
            let _ = self.news.send(News::Mapped { want, mapped });
        }
    }

    fn gone(&mut self, want: usize, why: String) {
        self.slots[want].given = None;
        let mut status = self.status.lock();
        if matches!(status[want].state, State::Mapped { .. }) {
            status[want].state = State::Asking;
            let _ = self.news.send(News::Gone { want, why });
        }
    }

    fn refused(&mut self, want: usize, error: GatewayError) {
        self.gone(want, error.to_string());
        let slot = &mut self.slots[want];
        let wait = match error.is_refusal() {
            true if slot.retry.failures() > 2 => REFUSED,
            _ => slot.retry.next(random()),
        };
        slot.due = Instant::now() + wait;
        // What is found next may be something else.
        self.gateways.clear();
        let why = Arc::new(error);
        self.status.lock()[want].state = State::Refused { why: why.clone(), again: slot.due.into_std() };
        let words = why.to_string();
        if slot.told.as_ref() != Some(&words) {
            slot.told = Some(words);
            let _ = self.news.send(News::Refused { want, why });
        }
    }

    async fn leave(&mut self) {
        let port = self.surroundings.port;
        let given: Vec<_> = self.slots.iter_mut().map(|slot| slot.given.take()).collect();
        let (wants, ledger) = (&self.options.wants, &self.options.ledger);
        let each = given.into_iter().zip(wants).filter_map(|(given, want)| given.map(|given| (given, want)));
        let give_back = each.map(|((gateway, grant, entry), want)| async move {
            if gateway.release(port, wish(want, &gateway), &grant).await.is_ok() {
                let _ = ledger.undone(entry).await;
            }
        });
        futures_util::future::join_all(give_back).await;
    }
}

impl Gateway {
    fn first_grip(&self, nonce: pcp::Nonce) -> Option<Grip> {
        self.grips(nonce).into_iter().next()
    }
}

fn nonce() -> pcp::Nonce {
    let mut nonce = pcp::Nonce::default();
    // Without random numbers a neighbour could guess it, who could as well map the port himself.
    let _ = aws_lc_rs::rand::fill(&mut nonce);
    nonce
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}
