//! Starts agents, listens to them, and passes on what becomes of them.

use std::sync::Arc;
use std::time::Duration;

use doorstep_proto::tunnel::Retry;
use doorstep_tunnel::AgentEvent;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::order::{Order, Step};
use super::{AtWork, Board, News, Offer, State, Way};
use crate::limits::WAY_DRAIN;

pub struct Keeper {
    ways: Vec<Way>,
    offers: Vec<Offer>,
    at_work: AtWork,
    order: Order,
    board: Board,
    news: mpsc::UnboundedSender<News>,
    heard: mpsc::UnboundedReceiver<(usize, u64, AgentEvent)>,
    hears: mpsc::UnboundedSender<(usize, u64, AgentEvent)>,
    /// Counts starts, so that what a way that was left still says is not taken for its successor's.
    start: Vec<u64>,
    /// Agents that finish what visitors began.
    leaving: JoinSet<()>,
}

impl Keeper {
    pub fn new(
        ways: Vec<Way>,
        offers: Vec<Offer>,
        at_work: AtWork,
        board: Board,
        news: mpsc::UnboundedSender<News>,
    ) -> Self {
        let (hears, heard) = mpsc::unbounded_channel();
        *at_work.lock() = ways.iter().map(|_| None).collect();
        let (order, start) = (Order::new(ways.len()), vec![0; ways.len()]);
        Self { ways, offers, at_work, order, board, news, heard, hears, start, leaving: JoinSet::new() }
    }

    /// Until it is told to leave; then until every visitor is done.
    pub async fn run(mut self, wait: Duration, mut leave: oneshot::Receiver<Duration>) {
        let waited = tokio::time::timeout(wait, &mut leave).await;
        let patience = match waited {
            Ok(patience) => patience.unwrap_or_default(),
            Err(_) => self.keep(leave).await,
        };
        let all: Vec<_> = self.at_work.lock().iter_mut().filter_map(Option::take).collect();
        join_all(all.into_iter().map(|agent| agent.leave(patience))).await;
        let end = Instant::now() + patience;
        while let Ok(Some(_)) = tokio::time::timeout_at(end, self.leaving.join_next()).await {}
    }

    /// Until it is told to leave: how patiently.
    async fn keep(&mut self, mut leave: oneshot::Receiver<Duration>) -> Duration {
        loop {
            while let Some(step) = self.order.due(now()) {
                self.take(step);
            }
            let next = self.order.next_at();
            tokio::select! {
                patience = &mut leave => return patience.unwrap_or_default(),
                Some((way, start, event)) = self.heard.recv() => {
                    if self.start.get(way) == Some(&start) {
                        self.hear(way, event);
                    }
                }
                Some(_) = self.leaving.join_next() => {}
                () = tokio::time::sleep_until(next.unwrap_or_else(now).into()), if next.is_some() => {}
            }
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Start(way) => {
                let Some(taken) = self.ways.get(way) else { return };
                self.start[way] += 1;
                let (start, hears) = (self.start[way], self.hears.clone());
                let (events, mut said) = mpsc::unbounded_channel();
                tokio::spawn(async move {
                    while let Some(event) = said.recv().await {
                        if hears.send((way, start, event)).is_err() {
                            return;
                        }
                    }
                });
                let via = taken.via.clone();
                let agent = taken.carrier.start(&self.offers, events);
                self.at_work.lock()[way] = Some(agent);
                self.becomes(way, &via, State::Connecting);
            }
            Step::Leave(way) => {
                self.start[way] += 1;
                if let Some(agent) = self.at_work.lock()[way].take() {
                    self.leaving.spawn(agent.leave(WAY_DRAIN));
                }
                let gone = self.board.with(way, super::WayStatus::left).unwrap_or_default();
                let _ = self.news.send(News::StandsBy { way });
                self.gone(gone);
            }
        }
    }

    fn hear(&mut self, way: usize, event: AgentEvent) {
        match event {
            AgentEvent::Connecting { relay } => self.becomes(way, &self.name(way, relay), State::Connecting),
            AgentEvent::Online { relay, name } => {
                self.becomes(way, &self.name(way, relay), State::Up { name });
                for step in self.order.up(way) {
                    self.take(step);
                }
            }
            AgentEvent::Lent { target: offer, address } => {
                let news = self.board.with(way, |status| {
                    let before = status.addresses.iter().find(|(known, _)| *known == offer).map(|(_, old)| old.clone());
                    status.lent(offer, &address);
                    (before, status.via.clone())
                });
                let Some((before, via)) = news else { return };
                if let Some(old) = before.filter(|old| *old != address) {
                    let _ = self.news.send(News::Gone { address: old });
                }
                let _ = self.news.send(News::Lent { offer, via, address });
            }
            AgentEvent::Refused { target: offer, why } => {
                let words = why.to_string();
                let never = why.code.retry() == Retry::Never;
                let all_refused = self.board.with(way, |status| {
                    status.refused(offer, &words);
                    let gone = if never { status.taken_back(offer) } else { None };
                    (status.refused.len() >= self.offers.len(), status.via.clone(), gone)
                });
                let Some((all_refused, via, gone)) = all_refused else { return };
                let for_good = all_refused && never;
                self.gone(gone);
                let _ = self.news.send(News::Refused { offer, way, via, why });
                if for_good {
                    self.fail(way);
                }
            }
            AgentEvent::Offline { relay, why, again_in } => {
                let now = now();
                self.becomes(way, &self.name(way, relay), State::Waiting { why, until: now + again_in });
                self.order.down(way, now);
            }
            AgentEvent::Notice { relay, text } => {
                let _ = self.news.send(News::Notice { via: self.name(way, relay), text });
            }
            AgentEvent::Stopped { why, fix } => {
                let via = self.board.with(way, |status| status.via.clone()).unwrap_or_default();
                self.becomes(way, &via, State::Stopped { why, fix });
                self.gone(self.board.with(way, super::WayStatus::stopped).unwrap_or_default());
                self.fail(way);
            }
        }
    }

    /// These addresses lead here no more.
    fn gone(&self, addresses: impl IntoIterator<Item = String>) {
        addresses.into_iter().for_each(|address| drop(self.news.send(News::Gone { address })));
    }

    fn fail(&mut self, way: usize) {
        self.order.failed(way);
        if self.order.is_over() {
            let _ = self.news.send(News::Over);
        }
    }

    /// What people call the other side.
    fn name(&self, way: usize, relay: String) -> String {
        let names = self.ways.get(way).map_or(&[][..], |way| &way.names);
        names.iter().find(|(address, _)| *address == relay).map_or(relay, |(_, name)| name.clone())
    }

    fn becomes(&self, way: usize, via: &str, state: State) {
        let news = self.board.with(way, |status| status.becomes(via, &state));
        if news == Some(true) {
            let _ = self.news.send(News::State { way, via: via.to_owned(), state });
        }
    }
}

/// By the runtime's clock.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// A list of agents, by their ways.
pub type Agents = Arc<Mutex<Vec<Option<Box<dyn super::Carried>>>>>;
