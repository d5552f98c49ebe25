use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use doorstep_net::{Drain, DrainControl, Io, NetworkChanges, Patience};
use doorstep_proto::pagekite::{
    Answer, BackEnd, BackEndEvent, End, Kite, Opening, Outcome, Quota, Sid, StreamEvent, Welcome,
};
use doorstep_proto::tunnel::VisitorTls;
use doorstep_tunnel::{AgentEvent, Delivery, Visitor};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, interval_at, timeout};

use super::kites::{address, refusal, way_to_raw};
use super::run::{Client, wants_to_leave};
use super::{FrontEndAt, Status};
use crate::limits::{DRAIN, FAREWELL, PING, TAKEN_AGAIN};
use crate::link::{Driver, KiteStream, Link};

/// One tunnel to a front-end.
pub(super) struct Session<'a> {
    client: &'a Client,
    at: &'a FrontEndAt,
    link: Link<BackEnd>,
    welcome: Welcome,
    outcomes: Vec<Outcome>,
    visitors: JoinSet<()>,
    /// Kites that another back-end flies, while some of ours fly.
    taken: Vec<Kite>,
    local: SocketAddr,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    WeLeft,
    Told(End),
}

/// What is left of it.
pub(super) struct Tunnelled {
    pub end: Ended,
    pub outcomes: Vec<Outcome>,
    /// Its name at the front-end.
    pub session: Option<String>,
    /// Unless somebody still reads from it.
    pub machine: Option<BackEnd>,
}

impl<'a> Session<'a> {
    pub fn new(client: &'a Client, at: &'a FrontEndAt, machine: BackEnd) -> Self {
        let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), at.port);
        Self {
            client,
            at,
            link: Link::new(|_| machine),
            welcome: Welcome::default(),
            outcomes: Vec::new(),
            visitors: JoinSet::new(),
            taken: Vec::new(),
            local,
        }
    }

    pub async fn run(mut self, io: Io, leaving: &mut watch::Receiver<bool>, changes: &mut NetworkChanges) -> Tunnelled {
        if let Io::Tcp(socket) = &io {
            self.local = socket.peer_addr().unwrap_or(self.local);
        }
        let (control, drain) = DrainControl::new();
        let mut driver = Driver::new(self.link.clone(), io);
        let mut pings = interval(PING);
        // After a sleep of the computer, one is enough.
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut again = interval_at(tokio::time::Instant::now() + TAKEN_AGAIN, TAKEN_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut end = Ended::WeLeft;
        loop {
            tokio::select! {
                event = driver.next() => match event {
                    Some(BackEndEvent::Ended(how)) => {
                        end = Ended::Told(how);
                        break;
                    }
                    Some(event) => self.take(event, &drain),
                    None => break,
                },
                Some(_) = self.visitors.join_next() => self.count(),
                _ = pings.tick() => self.link.with(|machine, now| machine.keep_alive(now)),
                // Where the path is dead now, the system says so when this is not confirmed.
                _ = changes.next() => self.link.with(|machine, now| machine.keep_alive(now)),
                _ = again.tick(), if !self.taken.is_empty() => self.ask_again(),
                () = wants_to_leave(leaving) => {
                    control.start(Patience::Now);
                    drop(drain);
                    let finished = async {
                        tokio::select! {
                            () = control.finished() => {}
                            () = async { while driver.next().await.is_some() {} } => {}
                        }
                    };
                    let _ = timeout(DRAIN, finished).await;
                    self.link.with(|machine, _| machine.close());
                    break;
                }
            }
        }
        // The last words, if the other side still takes them.
        let _ = timeout(FAREWELL, async { while driver.next().await.is_some() {} }).await;
        drop(driver);
        let (session, outcomes) = (self.welcome.session.take(), std::mem::take(&mut self.outcomes));
        // Before a kite flies there are no visitors who could still hold it.
        let machine = if end == Ended::Told(End::ConnectAgain) { self.link.take() } else { None };
        self.visitors.detach_all();
        Tunnelled { end, outcomes, session, machine }
    }

    fn take(&mut self, event: BackEndEvent, drain: &Drain) {
        match event {
            BackEndEvent::Up(welcome) => self.up(welcome),
            BackEndEvent::Answers(answers) => answers.into_iter().for_each(|answer| self.answered(answer)),
            BackEndEvent::Quota(quota) => self.notice(&quota_words(&quota)),
            BackEndEvent::Stream(StreamEvent::Opened { sid, kite, opening }) => {
                self.visitor(sid, &kite, opening, drain)
            }
            BackEndEvent::Stream(_) | BackEndEvent::Ended(_) => {}
        }
    }

    fn up(&mut self, welcome: Welcome) {
        self.client.tell(AgentEvent::Online { relay: self.at.to_string(), name: self.client.options.domain.clone() });
        let online = Some((self.at.to_string(), Instant::now()));
        self.client.set_status(|status| *status = Status { online, ..Status::default() });
        welcome.messages.iter().for_each(|message| self.notice(message));
        if let Some(quota) = &welcome.quota {
            self.notice(&quota_words(quota));
        }
        if self.at.tls.is_none() {
            self.notice("the way to the front-end is not encrypted: what goes by can be read and changed there");
        }
        self.welcome = welcome;
    }

    fn answered(&mut self, Answer { kite, outcome }: Answer) {
        let Some(target) = self.client.kites.target(&kite) else { return };
        match refusal(&kite, &outcome) {
            // Told once.
            Some(_) if self.taken.contains(&kite) && outcome == Outcome::Duplicate => {}
            Some(why) => {
                self.taken.retain(|taken| *taken != kite);
                if outcome == Outcome::Duplicate {
                    self.taken.push(kite);
                }
                self.client.tell(AgentEvent::Refused { target, why });
            }
            None => {
                self.taken.retain(|taken| *taken != kite);
                self.client.tell(AgentEvent::Lent { target, address: address(&kite, &self.welcome) });
                if kite.protocol() == "raw" {
                    self.notice(&way_to_raw(&kite, self.at));
                }
                self.client.set_status(|status| status.kites.push(kite));
            }
        }
        self.outcomes.push(outcome);
    }

    /// Their back-end may be gone by now.
    fn ask_again(&self) {
        for kite in self.taken.clone() {
            let secret = self.client.options.secret.clone();
            self.link.with(|machine, _| machine.add(kite, secret));
        }
    }

    fn notice(&self, text: &str) {
        self.client.tell(AgentEvent::Notice { relay: self.at.to_string(), text: text.to_owned() });
    }

    fn visitor(&mut self, sid: Sid, kite: &Kite, opening: Opening, drain: &Drain) {
        let stream = self.link.stream(sid);
        let target = self.client.kites.target(kite).and_then(|target| self.client.targets.get(target));
        let Some(target) = target.cloned() else { return };
        let drain = drain.clone();
        let speaks_http = kite.protocol() == "http";
        let visitor = introduce(&opening, self.local);
        self.visitors.spawn(async move {
            match Delivery::begin(&target, &visitor, false).await {
                Ok(delivery) => delivery.run(Io::Other(Box::new(stream)), drain).await,
                Err(code) if speaks_http => {
                    let _ = timeout(Duration::from_secs(10), sorry(stream, &code.to_string())).await;
                }
                // Dropped, the stream is reset.
                Err(_) => {}
            }
        });
        self.count();
    }

    fn count(&self) {
        let visitors = self.visitors.len();
        self.client.set_status(|status| status.visitors = visitors);
    }
}

/// Who a visitor is, by what the front-end says. One that it says nothing of has no address: that is the unspecified one.
fn introduce(opening: &Opening, front_end: SocketAddr) -> Visitor {
    let peer = opening.visitor.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
    let port = if opening.port == 0 { front_end.port() } else { opening.port };
    let tls = opening.tls.then(|| VisitorTls {
        // The front-end does not say; it takes no older one.
        version: 0x0303,
        server_name: opening.host.clone(),
        alpn: String::new(),
    });
    Visitor { peer, local: SocketAddr::new(front_end.ip(), port), tls }
}

/// For the visitor of an app that is not there.
async fn sorry(mut stream: KiteStream<BackEnd>, why: &str) -> std::io::Result<()> {
    let body = format!("The app behind this address does not answer: {why}. Try again in a moment.\n");
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Retry-After: 5\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.shutdown().await
}

/// What is left to us, in words.
fn quota_words(quota: &Quota) -> String {
    let parts = [
        quota.traffic.map(|kilobytes| format!("{:.1} MB of traffic", kilobytes.max(0) as f64 / 1024.0)),
        quota.days.map(|days| format!("{days} days")),
        quota.connections.map(|connections| format!("{connections} connections")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("the front-end's quota for this kite: {} left", parts.join(", "))
}
