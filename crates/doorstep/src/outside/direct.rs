use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use doorstep_gateway::{Family, Mapped, Mapper, News, Options, Protocol, Surroundings, Want};
use doorstep_model::Ledger;
use doorstep_net::BoxFuture;
use doorstep_proto::tunnel::ProbeOutcome;
use doorstep_tunnel::AgentEvent;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::Eyes;
use super::words::{IPV6, ROUTER, is_public, not_public, unreached};
use crate::lend::{Carried, Carrier, Offer};
use crate::limits::{GIVE_BACK, LOOK_AGAIN, LOOK_EVERY, LOOKS_MISSED};

/// Straight to a listener of this computer.
#[derive(Clone)]
pub struct Direct {
    pub family: Family,
    /// What is listened on, and wished for outside.
    pub port: u16,
    pub tls: bool,
    /// What answers `/.doorstep/ping/…` here.
    pub nonce: String,
    pub eyes: Eyes,
    pub ledger: Arc<dyn Ledger>,
}

impl Direct {
    /// What this way is called.
    pub fn via(&self) -> &'static str {
        match self.family {
            Family::V4 => ROUTER,
            Family::V6 => IPV6,
        }
    }
}

impl Carrier for Direct {
    fn start(&self, _: &[Offer], events: mpsc::UnboundedSender<AgentEvent>) -> Box<dyn Carried> {
        let (leave, left) = oneshot::channel();
        let keeper = Keeper {
            way: self.clone(),
            events,
            mapped: None,
            refused: None,
            is_up: false,
            missed: 0,
            told: None,
            next: Instant::now(),
        };
        Box::new(AtWork { leave, task: tokio::spawn(keeper.run(left)) })
    }
}

struct AtWork {
    leave: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Carried for AtWork {
    fn leave(self: Box<Self>, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let _ = self.leave.send(());
            // Connections that stand stay when the mapping goes.
            let _ = self.task.await;
        })
    }
}

struct Keeper {
    way: Direct,
    events: mpsc::UnboundedSender<AgentEvent>,
    mapped: Option<Mapped>,
    /// Why there is no mapping.
    refused: Option<String>,
    is_up: bool,
    /// Looks from outside that found nothing, one after the other.
    missed: u32,
    /// The address that was told.
    told: Option<String>,
    next: Instant,
}

/// What is known of this way now.
enum Verdict {
    /// Somebody outside got here.
    Proven(SocketAddr),
    /// Nobody could look.
    Unverified(SocketAddr, String),
    NotThere(String),
    /// It is as it was.
    Unknown,
}

impl Keeper {
    async fn run(mut self, mut leave: oneshot::Receiver<()>) {
        let via = self.way.via().to_owned();
        let _ = self.events.send(AgentEvent::Connecting { relay: via });
        let (says, mut news) = mpsc::unbounded_channel();
        let Direct { family, port, ledger, .. } = &self.way;
        let options = Options {
            wants: vec![Want { protocol: Protocol::Tcp, family: *family, port: *port, external: *port }],
            ledger: ledger.clone(),
            look: Arc::new(Surroundings::now),
        };
        let mapper = Mapper::start(options, says);
        self.next = Instant::now() + Duration::from_secs(3600);
        loop {
            tokio::select! {
                _ = &mut leave => break,
                Some(news) = news.recv() => self.hear(news),
                () = sleep_until(self.next) => {
                    let verdict = tokio::select! {
                        verdict = self.look() => verdict,
                        _ = &mut leave => break,
                    };
                    self.judge(verdict, &mapper);
                }
            }
        }
        mapper.leave(GIVE_BACK).await;
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Mapped { mapped, .. } => {
                self.mapped = Some(mapped);
                self.refused = None;
                self.next = Instant::now();
            }
            News::Gone { why, .. } => {
                self.mapped = None;
                // Nobody needs to look: nothing leads here.
                if self.way.family == Family::V4 {
                    self.down(why);
                }
            }
            News::Refused { why, .. } => {
                self.mapped = None;
                self.refused = Some(format!("{why}. {}", why.fix()));
                self.next = Instant::now();
            }
        }
    }

    /// Looks whether visitors get here.
    async fn look(&mut self) -> Verdict {
        let (internal, outside, external) = match (&self.mapped, self.way.family) {
            (Some(mapped), _) => (mapped.internal, mapped.outside, mapped.external),
            (None, Family::V4) => {
                return Verdict::NotThere(self.refused.clone().unwrap_or_else(|| "it was not asked yet".to_owned()));
            }
            // There may be no firewall in between that would have to be asked.
            (None, Family::V6) => match own_ipv6().await {
                Some(ip) => (ip, Some(ip), self.way.port),
                None => return Verdict::NotThere("this computer has no IPv6 address of the internet".to_owned()),
            },
        };
        let Direct { eyes, tls, nonce, .. } = &self.way;
        let known = outside.filter(|ip| is_public(*ip));
        match eyes.look(internal, external, *tls, nonce).await {
            Ok(seen) if matches!(seen.outcome, ProbeOutcome::Answered { .. }) => {
                Verdict::Proven(SocketAddr::new(seen.from, external))
            }
            Ok(seen) if matches!(seen.outcome, ProbeOutcome::Limited(_)) => Verdict::Unknown,
            Ok(seen) if seen.outcome == ProbeOutcome::Forbidden => match known {
                Some(ip) => Verdict::Unverified(SocketAddr::new(ip, external), "the relay cannot see it".to_owned()),
                None => Verdict::NotThere(not_public(outside)),
            },
            Ok(seen) => {
                let at = SocketAddr::new(seen.from, external).to_string();
                let why = unreached(&seen.outcome, &at, self.mapped.is_some());
                match (outside, known) {
                    (Some(_), None) => Verdict::NotThere(not_public(outside)),
                    _ => Verdict::NotThere(why),
                }
            }
            Err(_) if self.mapped.is_none() => Verdict::NotThere(self.refused.clone().unwrap_or_default()),
            Err(why) => match known {
                Some(_) if self.is_up && !self.way.eyes.is_blind() => Verdict::Unknown,
                Some(ip) => {
                    let why = why.map_or_else(|| "no relay is there to look".to_owned(), |error| error.to_string());
                    Verdict::Unverified(SocketAddr::new(ip, external), why)
                }
                None => Verdict::NotThere(not_public(outside)),
            },
        }
    }

    fn judge(&mut self, verdict: Verdict, mapper: &Mapper) {
        let mut again = LOOK_EVERY;
        match verdict {
            Verdict::Proven(at) => self.up(at, None),
            Verdict::Unverified(at, why) => self.up(at, Some(why)),
            Verdict::Unknown => {}
            Verdict::NotThere(why) => {
                self.missed += 1;
                // The router may have lost it without a word.
                if self.missed == 1 && self.mapped.is_some() {
                    mapper.refresh();
                }
                if self.is_up && self.missed < LOOKS_MISSED {
                    again = LOOK_AGAIN;
                } else {
                    self.down(why);
                }
            }
        }
        self.next = Instant::now() + again;
    }

    fn up(&mut self, at: SocketAddr, unverified: Option<String>) {
        let scheme = if self.way.tls { "https" } else { "http" };
        let address = format!("{scheme}://{at}");
        self.missed = 0;
        if !self.is_up {
            self.is_up = true;
            let _ = self.events.send(AgentEvent::Online { relay: self.way.via().to_owned(), name: String::new() });
        }
        if self.told.as_ref() == Some(&address) {
            return;
        }
        self.told = Some(address.clone());
        let _ = self.events.send(AgentEvent::Lent { target: 0, address: address.clone() });
        let mut text = match self.way.family {
            Family::V4 => format!("{address} leads straight to your home: whoever has it knows your home's address."),
            Family::V6 => format!("{address} is this computer's own address, for visitors who have IPv6."),
        };
        if at.port() != self.way.port {
            text = format!("{text} Port {} was not to be had there.", self.way.port);
        }
        if let Some(why) = unverified {
            text = format!("{text} It was not verified from outside: {why}.");
        }
        let _ = self.events.send(AgentEvent::Notice { relay: self.way.via().to_owned(), text });
    }

    fn down(&mut self, why: String) {
        self.is_up = false;
        self.told = None;
        let event = AgentEvent::Offline { relay: self.way.via().to_owned(), why, again_in: LOOK_EVERY };
        let _ = self.events.send(event);
    }
}

/// This computer's lasting address of the internet.
async fn own_ipv6() -> Option<IpAddr> {
    let on = tokio::task::spawn_blocking(Surroundings::now).await.ok()?;
    on.roads.iter().map(|road| road.local).find(IpAddr::is_ipv6)
}
