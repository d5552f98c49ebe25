use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorstep_net::NetworkChanges;
use doorstep_proto::pagekite::{BackEnd, End, Outcome};
use doorstep_tunnel::{AgentEvent, Target};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::dial::Dialler;
use super::kites::Kites;
use super::session::{Ended, Session, Tunnelled};
use super::{ClientOptions, FrontEndAt, Status};
use crate::limits::{BACK_OFF, BACK_OFF_MOST, GOOD_AFTER, MAX_AGAIN, MAX_FRONT_ENDS};

/// Until somebody wants to leave, or no further try could help.
pub(super) async fn run(
    options: ClientOptions,
    targets: Vec<Target>,
    events: mpsc::UnboundedSender<AgentEvent>,
    mut leaving: watch::Receiver<bool>,
    status: Arc<Mutex<Status>>,
) {
    let kites = Kites::new(&options.domain, &targets);
    for (target, why) in &kites.refused {
        let _ = events.send(AgentEvent::Refused { target: *target, why: why.clone() });
    }
    let stopped = |why: &str, fix: &str| {
        let _ = events.send(AgentEvent::Stopped { why: why.to_owned(), fix: fix.to_owned() });
    };
    if kites.flown.is_empty() {
        return stopped("there is no target that a PageKite front-end can take", "Lend a web target or a TCP port.");
    }
    if options.front_ends.is_empty() {
        return stopped("no PageKite front-end is named", "Name one: pagekite://name.example.net");
    }
    let dialler = Dialler::new(options.roots.clone());
    let mut client = Client { options, targets, kites, events, status, dialler, left: None };
    let mut next = 0;
    let mut pause = BACK_OFF;
    let mut changes = NetworkChanges::watch();
    while !*leaving.borrow() {
        let all = client.options.front_ends.len().min(MAX_FRONT_ENDS);
        let Some(at) = client.options.front_ends.get(next % all).cloned() else { return };
        let begun = Instant::now();
        let over = client.visit(&at, &mut leaving, &mut changes).await;
        client.set_status(|status| *status = Status { last_error: status.last_error.take(), ..Status::default() });
        let why = match over {
            Over::Left => return,
            Over::Stopped { why, fix } => {
                let _ = client.events.send(AgentEvent::Stopped { why, fix });
                return;
            }
            Over::Failed(why) => why,
        };
        if begun.elapsed() >= GOOD_AFTER {
            pause = BACK_OFF;
        } else {
            next += 1;
        }
        let again_in = pause.mul_f64(jitter());
        pause = (pause * 2).min(BACK_OFF_MOST);
        client.set_status(|status| status.last_error = Some(why.clone()));
        client.tell(AgentEvent::Offline { relay: at.to_string(), why, again_in });
        tokio::select! {
            () = sleep(again_in) => {}
            // What kept it from standing may be over.
            _ = changes.next() => pause = BACK_OFF,
            () = wants_to_leave(&mut leaving) => {}
        }
    }
}

/// Ends when that is so, or the handle is gone.
pub(super) async fn wants_to_leave(leaving: &mut watch::Receiver<bool>) {
    let _ = leaving.wait_for(|leaving| *leaving).await;
}

/// Between a half and one, so that all who lost a front-end at once do not come back at once.
fn jitter() -> f64 {
    let [byte] = crate::random::<1>();
    0.5 + f64::from(byte) / 510.0
}

pub(super) struct Client {
    pub options: ClientOptions,
    pub targets: Vec<Target>,
    pub kites: Kites,
    pub events: mpsc::UnboundedSender<AgentEvent>,
    pub status: Arc<Mutex<Status>>,
    dialler: Dialler,
    /// The session that was lost, and at which front-end: the next one takes its place.
    left: Option<(FrontEndAt, String)>,
}

/// How a visit to a front-end ended.
enum Over {
    /// We left.
    Left,
    Failed(String),
    /// Trying again would end the same way.
    Stopped {
        why: String,
        fix: String,
    },
}

impl Client {
    pub fn tell(&self, event: AgentEvent) {
        // Whoever does not listen any more does not want to know.
        let _ = self.events.send(event);
    }

    pub fn set_status(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock());
    }

    async fn visit(
        &mut self,
        at: &FrontEndAt,
        leaving: &mut watch::Receiver<bool>,
        changes: &mut NetworkChanges,
    ) -> Over {
        self.tell(AgentEvent::Connecting { relay: at.to_string() });
        let mut machine = {
            let ClientOptions { secret, software, compress, .. } = &self.options;
            let mut options = self.kites.back_end_options(secret, software, *compress);
            options.replace = self.left.as_ref().filter(|(left, _)| left == at).map(|(_, session)| session.clone());
            BackEnd::new(options, crate::random(), Duration::ZERO)
        };
        for _ in 0..=MAX_AGAIN {
            let dialled = tokio::select! {
                dialled = self.dialler.dial(at) => dialled,
                () = wants_to_leave(leaving) => return Over::Left,
            };
            let io = match dialled {
                Ok(io) => io,
                Err(why) => return Over::Failed(why),
            };
            let tunnelled = Session::new(self, at, machine).run(io, leaving, changes).await;
            if let Some(session) = &tunnelled.session {
                self.left = Some((at.clone(), session.clone()));
            }
            match self.what_now(tunnelled) {
                ControlFlow::Break(over) => return over,
                ControlFlow::Continue(again) => machine = *again,
            }
        }
        Over::Failed("the front-end wants its challenges answered again and again".to_owned())
    }

    fn what_now(&self, tunnelled: Tunnelled) -> ControlFlow<Over, Box<BackEnd>> {
        let Tunnelled { end, outcomes, machine, .. } = tunnelled;
        let end = match end {
            Ended::WeLeft => return ControlFlow::Break(Over::Left),
            Ended::Told(end) => end,
        };
        ControlFlow::Break(match end {
            End::ConnectAgain => {
                return match machine {
                    Some(machine) => ControlFlow::Continue(Box::new(machine.again(Duration::ZERO))),
                    None => ControlFlow::Break(Over::Failed("the tunnel is still in use".to_owned())),
                };
            }
            End::Closed => Over::Failed("the front-end closed the tunnel".to_owned()),
            End::Broken(error) => Over::Failed(error.to_string()),
            End::Refused => refused(&outcomes),
        })
    }
}

/// What to do when no kite flies.
fn refused(outcomes: &[Outcome]) -> Over {
    let all = |wanted: &[&str]| {
        let is_such = |outcome: &Outcome| matches!(outcome, Outcome::Refused(why) if wanted.contains(&why.as_str()));
        !outcomes.is_empty() && outcomes.iter().all(is_such)
    };
    if all(&["signature"]) {
        return Over::Stopped {
            why: "the front-end refuses the secret".to_owned(),
            fix: "Compare it with the one that the front-end has for this kite.".to_owned(),
        };
    }
    if all(&["signature", "unauthorized", "port", "proto"]) {
        return Over::Stopped {
            why: "the front-end lets none of the kites fly".to_owned(),
            fix: "Ask its owner for the names, protocols and ports that it takes.".to_owned(),
        };
    }
    let why = if outcomes.contains(&Outcome::Duplicate) {
        "another back-end flies the kite; the front-end finds out within a minute whether that one still lives"
    } else {
        "the front-end lets no kite fly just now"
    };
    Over::Failed(why.to_owned())
}
