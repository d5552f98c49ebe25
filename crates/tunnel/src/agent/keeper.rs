//! Keeps an agent with one of its relays, whatever happens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorstep_net::{NetworkChange, NetworkChanges};
use doorstep_proto::tunnel::{Code, TunnelError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};

use super::backoff::{self, Backoff};
use super::session::{self, Ended, Orders, Report, Reports, Stage};
use super::shared::{Core, Relay};
use super::words;
use crate::AgentEvent;
use crate::limits::{LAST_WORDS, PREFERRED_AGAIN, RETIRED, RETIRED_SESSIONS, SESSION_REPORTS, STABLE};

pub(super) struct Keeper {
    core: Arc<Core>,
    relays: Vec<Arc<Relay>>,
    /// Relays that refused us for good, and why.
    refused: Vec<Option<TunnelError>>,
    reports: mpsc::Receiver<(u64, Report)>,
    reporting: mpsc::Sender<(u64, Report)>,
    serial: u64,
    /// The session that visitors come by.
    serving: Option<Live>,
    /// One that is being opened.
    attempt: Option<Live>,
    /// Sessions that finish their streams, oldest first.
    retired: VecDeque<Live>,
    backoff: Backoff,
    /// The relay that is tried next, and when.
    turn: usize,
    due: Option<Instant>,
    /// When to look for a relay that is preferred to the one that serves.
    prefer: Option<Instant>,
    was_online: bool,
    stopped: bool,
}

/// A session and its task.
struct Live {
    serial: u64,
    relay: usize,
    orders: watch::Sender<Orders>,
    task: JoinHandle<()>,
    since: Instant,
    suspect: bool,
    /// Its relay is about to stop.
    going: bool,
}

impl Live {
    fn order(&self, stage: Stage) {
        self.orders.send_modify(|orders| orders.stage = stage);
    }
}

impl Keeper {
    pub fn new(core: Arc<Core>, relays: Vec<Arc<Relay>>) -> Self {
        let (reporting, reports) = mpsc::channel(SESSION_REPORTS);
        Self {
            core,
            refused: vec![None; relays.len()],
            relays,
            reports,
            reporting,
            serial: 0,
            serving: None,
            attempt: None,
            retired: VecDeque::new(),
            backoff: Backoff::default(),
            turn: 0,
            due: Some(Instant::now()),
            prefer: None,
            was_online: false,
            stopped: false,
        }
    }

    /// Until `leave` says how much patience there is to go with, or nobody holds its sender any more.
    pub async fn run(mut self, mut leave: watch::Receiver<Option<Duration>>) {
        let mut changes = NetworkChanges::watch();
        let patience = loop {
            let (due, prefer) = (self.due, self.prefer);
            tokio::select! {
                Some((serial, report)) = self.reports.recv() => self.report(serial, report),
                change = changes.next() => self.changed(change),
                () = until(due) => {
                    self.due = None;
                    self.open(self.turn);
                }
                () = until(prefer) => self.look_for_better(),
                patience = leave.wait_for(Option::is_some) => break patience.ok().and_then(|patience| *patience),
            }
        };
        self.leave(patience.unwrap_or_default()).await;
    }

    fn report(&mut self, serial: u64, report: Report) {
        let of = |live: &Option<Live>| live.as_ref().is_some_and(|live| live.serial == serial);
        if of(&self.attempt) {
            match report {
                Report::Ready(name) => self.ready(&name),
                Report::Over(ended) => self.attempt_failed(ended),
                Report::GoAway | Report::Suspect | Report::Well | Report::Hopeless(_) => {}
            }
        } else if of(&self.serving) {
            match report {
                Report::GoAway => self.going(),
                Report::Suspect => self.suspect(),
                Report::Well => self.well(),
                Report::Hopeless(error) => self.hopeless(error),
                Report::Over(ended) => self.serving_over(ended),
                Report::Ready(_) => {}
            }
        } else if matches!(report, Report::Over(_)) {
            self.retired.retain(|live| live.serial != serial);
        }
    }

    /// Another session would be of use, beside the one that serves or in its place.
    fn is_wanted(&self) -> bool {
        let wanting = |live: &Live| live.suspect || live.going;
        !self.stopped && self.serving.as_ref().is_none_or(wanting)
    }

    fn open(&mut self, relay: usize) {
        let Some(at) = self.relays.get(relay).cloned() else { return };
        if self.attempt.is_some() || self.stopped {
            return;
        }
        if self.serving.is_none() {
            self.core.tell(AgentEvent::Connecting { relay: at.dialer.relay() });
        }
        self.serial += 1;
        let (orders, receiver) = watch::channel(Orders { stage: Stage::Standby, probes: 0 });
        let reports = Reports { serial: self.serial, sender: self.reporting.clone() };
        let task = tokio::spawn(session::run(self.core.clone(), at, receiver, reports));
        let (serial, since) = (self.serial, Instant::now());
        self.attempt = Some(Live { serial, relay, orders, task, since, suspect: false, going: false });
    }

    /// The new session takes over, if it is still of use.
    fn ready(&mut self, name: &str) {
        let Some(mut new) = self.attempt.take() else { return };
        let better = self.serving.as_ref().is_some_and(|old| new.relay < old.relay);
        if !self.is_wanted() && !better {
            return new.order(Stage::Leaving { until: Instant::now() });
        }
        new.since = Instant::now();
        if let Some(at) = self.relays.get(new.relay) {
            self.core.board.online(&at.dialer.relay(), name, self.was_online);
        }
        self.was_online = true;
        self.due = None;
        self.prefer = (new.relay > 0).then(|| Instant::now() + PREFERRED_AGAIN);
        new.order(Stage::Serving);
        if let Some(old) = self.serving.replace(new) {
            self.retire(old);
        }
    }

    fn retire(&mut self, old: Live) {
        let until = Instant::now() + RETIRED;
        match (old.going, old.suspect) {
            // Its relay ends it when its streams are over, or when it must.
            (true, _) => old.order(Stage::Retired { until }),
            // Its streams, if they live, are ended by the relay: the same key has another session.
            (false, true) => old.order(Stage::Leaving { until: Instant::now() }),
            (false, false) => old.order(Stage::Leaving { until }),
        }
        self.retired.push_back(old);
        if self.retired.len() > RETIRED_SESSIONS
            && let Some(oldest) = self.retired.pop_front()
        {
            oldest.order(Stage::Leaving { until: Instant::now() });
        }
    }

    fn attempt_failed(&mut self, ended: Ended) {
        let Some(attempt) = self.attempt.take() else { return };
        let (why, fatal) = words::failure(&ended);
        self.core.board.failed(why.clone());
        if let Some(error) = fatal
            && self.refuse(attempt.relay, error)
        {
            return;
        }
        if self.is_wanted() {
            self.again(attempt.relay, attempt.relay + 1, why);
        }
    }

    /// A relay refused us for good. Says whether it was the last one.
    fn refuse(&mut self, relay: usize, error: TunnelError) -> bool {
        if let Some(refused) = self.refused.get_mut(relay) {
            *refused = Some(error.clone());
        }
        let all = self.refused.iter().all(Option::is_some);
        if all {
            self.stop(error.to_string(), words::fix(error.code));
        }
        all
    }

    /// After `failed` was lost, tries the first relay from `from` on that did not refuse us, after a while.
    fn again(&mut self, failed: usize, from: usize, why: String) {
        let wait = self.backoff.next(backoff::random());
        let count = self.relays.len().max(1);
        let open = |relay: &usize| self.refused.get(*relay).is_some_and(Option::is_none);
        self.turn = (from..from + count).map(|relay| relay % count).find(open).unwrap_or(failed);
        self.due = Some(Instant::now() + wait);
        if self.serving.is_none() {
            self.offline(failed, why, wait);
        }
    }

    fn offline(&self, relay: usize, why: String, again_in: Duration) {
        let relay = self.relays.get(relay).map(|at| at.dialer.relay()).unwrap_or_default();
        self.core.tell(AgentEvent::Offline { relay, why, again_in });
    }

    fn serving_over(&mut self, ended: Ended) {
        let Some(old) = self.serving.take() else { return };
        if old.since.elapsed() >= STABLE {
            self.backoff.reset();
        }
        let (why, fatal) = words::failure(&ended);
        self.core.board.offline();
        self.core.board.failed(why.clone());
        if matches!(&ended, Ended::Closed(error) if error.code == Code::Evicted) {
            return self.stop(why, words::fix(Code::Evicted));
        }
        if let Some(error) = fatal
            && self.refuse(old.relay, error)
        {
            return;
        }
        // The relay that served is tried first: most of all it lost the connection, or started anew.
        self.prefer = None;
        match self.attempt {
            Some(_) => self.offline(old.relay, why, Duration::ZERO),
            None => self.again(old.relay, old.relay, why),
        }
    }

    fn going(&mut self) {
        if let Some(old) = &mut self.serving {
            old.going = true;
            let relay = old.relay;
            // Its successor may take connections already.
            self.open(relay);
        }
    }

    fn suspect(&mut self) {
        if let Some(old) = &mut self.serving {
            old.suspect = true;
            let relay = old.relay;
            self.open(relay);
        }
    }

    fn well(&mut self) {
        if let Some(old) = &mut self.serving {
            old.suspect = false;
        }
        if !self.is_wanted() {
            self.due = None;
            if let Some(attempt) = self.attempt.take() {
                attempt.task.abort();
            }
        }
    }

    fn hopeless(&mut self, error: TunnelError) {
        let Some(old) = self.serving.take() else { return };
        old.order(Stage::Leaving { until: Instant::now() });
        let relay = old.relay;
        self.retired.push_back(old);
        self.core.board.offline();
        if !self.refuse(relay, error.clone()) && self.attempt.is_none() {
            self.again(relay, relay + 1, error.to_string());
        }
    }

    /// What was true of the path may not be any more.
    fn changed(&mut self, _: NetworkChange) {
        if self.stopped {
            return;
        }
        self.backoff.reset();
        self.relays.iter().for_each(|at| at.dialer.forget_road());
        if let Some(serving) = &self.serving {
            serving.orders.send_modify(|orders| orders.probes += 1);
        }
        if let Some(attempt) = self.attempt.take() {
            attempt.task.abort();
            self.open(attempt.relay);
        } else if self.due.is_some() {
            self.due = Some(Instant::now());
        } else if self.prefer.is_some() {
            self.look_for_better();
        }
    }

    fn look_for_better(&mut self) {
        self.prefer = Some(Instant::now() + PREFERRED_AGAIN);
        let Some(serving) = &self.serving else { return };
        let open = |relay: &usize| self.refused.get(*relay).is_some_and(Option::is_none);
        if let Some(better) = (0..serving.relay).find(open) {
            self.open(better);
        }
    }

    fn stop(&mut self, why: String, fix: &str) {
        self.stopped = true;
        (self.due, self.prefer) = (None, None);
        self.core.board.offline();
        self.core.board.stopped(why.clone());
        self.core.tell(AgentEvent::Stopped { why, fix: fix.to_owned() });
        if let Some(attempt) = self.attempt.take() {
            attempt.task.abort();
        }
        if let Some(serving) = self.serving.take() {
            serving.order(Stage::Leaving { until: Instant::now() });
            self.retired.push_back(serving);
        }
    }

    async fn leave(mut self, patience: Duration) {
        if let Some(attempt) = self.attempt.take() {
            attempt.task.abort();
        }
        let until = Instant::now() + patience;
        let mut left: Vec<Live> = self.serving.take().into_iter().chain(self.retired.drain(..)).collect();
        left.iter().for_each(|live| live.order(Stage::Leaving { until }));
        let reports = &mut self.reports;
        let gone = async {
            while !left.is_empty() {
                match reports.recv().await {
                    Some((serial, Report::Over(_))) => left.retain(|live| live.serial != serial),
                    Some(_) => {}
                    None => return,
                }
            }
        };
        let _ = timeout(patience + 2 * LAST_WORDS, gone).await;
        left.iter().for_each(|live| live.task.abort());
        self.core.board.offline();
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
