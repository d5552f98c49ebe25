use std::sync::Arc;
use std::time::Duration;

use doorstep_model::{Lent, UpstreamAddr};
use doorstep_proto::tunnel::{Code, TunnelError};
use parking_lot::Mutex;

use super::*;
use crate::limits::NEXT_WAY;

/// Carriers that do as they are told, and note who left.
#[derive(Clone, Default)]
struct Fakes(Arc<Mutex<Vec<(usize, Said)>>>);

enum Said {
    Started(mpsc::UnboundedSender<AgentEvent>),
    Left,
}

struct Fake(usize, Fakes);

impl Carrier for Fake {
    fn start(&self, _: &[Offer], events: mpsc::UnboundedSender<AgentEvent>) -> Box<dyn Carried> {
        self.1.0.lock().push((self.0, Said::Started(events)));
        Box::new(Fake(self.0, self.1.clone()))
    }
}

impl Carried for Fake {
    fn leave(self: Box<Self>, _: Duration) -> BoxFuture<'static, ()> {
        self.1.0.lock().push((self.0, Said::Left));
        Box::pin(async {})
    }

    fn round_trip(&self) -> Option<Duration> {
        Some(Duration::from_millis(12))
    }
}

impl Fakes {
    fn ways(&self, count: usize) -> Vec<Way> {
        let way = |at: usize| Way {
            via: format!("relay-{at}"),
            names: Vec::new(),
            carrier: Box::new(Fake(at, self.clone())),
        };
        (0..count).map(way).collect()
    }

    fn log(&self) -> Vec<String> {
        let word = |(way, said): &(usize, Said)| match said {
            Said::Started(_) => format!("{way} started"),
            Said::Left => format!("{way} left"),
        };
        self.0.lock().iter().map(word).collect()
    }

    fn tell(&self, way: usize, event: AgentEvent) {
        let last = self.0.lock().iter().rev().find_map(|(of, said)| match said {
            Said::Started(events) if *of == way => Some(events.clone()),
            _ => None,
        });
        last.unwrap().send(event).unwrap();
    }
}

fn offer() -> Offer {
    let to = UpstreamAddr::Tcp { host: "localhost".into(), port: 22 };
    Offer { lent: Lent::Tcp { to: to.clone(), port: 0, proxy_header: false }, sink: Sink::Dial(to) }
}

fn online(relay: &str) -> AgentEvent {
    AgentEvent::Online { relay: relay.into(), name: "studio".into() }
}

async fn next(news: &mut mpsc::UnboundedReceiver<News>) -> String {
    match news.recv().await.unwrap() {
        News::State { via, state: State::Up { name }, .. } => format!("{via} up as {name}"),
        News::State { via, state: State::Connecting, .. } => format!("{via} connecting"),
        News::State { via, state: State::Waiting { why, .. }, .. } => format!("{via} waits: {why}"),
        News::State { via, state: State::Stopped { why, .. }, .. } => format!("{via} stopped: {why}"),
        News::StandsBy { way } => format!("{way} stands by"),
        News::Lent { offer, address, .. } => format!("{offer} at {address}"),
        News::Gone { address } => format!("gone {address}"),
        News::Refused { offer, why, .. } => format!("{offer} refused: {why}"),
        News::Notice { text, .. } => text,
        News::Over => "over".into(),
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_way_is_taken_and_left_again_with_its_address() {
    let fakes = Fakes::default();
    let (says, mut news) = mpsc::unbounded_channel();
    let lending = Lending::start(fakes.ways(2), vec![offer()], says);
    assert_eq!(next(&mut news).await, "relay-0 connecting");
    fakes.tell(0, AgentEvent::Offline { relay: "relay-0".into(), why: "no answer".into(), again_in: NEXT_WAY * 2 });
    assert_eq!(next(&mut news).await, "relay-0 waits: no answer");
    assert_eq!(next(&mut news).await, "relay-1 connecting");
    fakes.tell(1, online("relay-1"));
    fakes.tell(1, AgentEvent::Lent { target: 0, address: "tcp://b:7".into() });
    assert_eq!(next(&mut news).await, "relay-1 up as studio");
    assert_eq!(next(&mut news).await, "0 at tcp://b:7");
    assert_eq!(lending.status()[1].0.addresses, [(0, "tcp://b:7".to_owned())]);
    assert_eq!(lending.status()[1].1, Some(Duration::from_millis(12)));
    fakes.tell(0, online("relay-0"));
    assert_eq!(next(&mut news).await, "relay-0 up as studio");
    assert_eq!(next(&mut news).await, "1 stands by");
    assert_eq!(next(&mut news).await, "gone tcp://b:7");
    // What the one that was left still says is not heard.
    fakes.tell(1, online("relay-1"));
    assert_eq!(lending.status()[1].0.fares, Fares::StandsBy);
    lending.leave(Duration::ZERO).await;
    assert_eq!(fakes.log(), ["0 started", "1 started", "1 left", "0 left"]);
}

#[tokio::test]
async fn a_way_that_refuses_everything_for_good_makes_room() {
    let fakes = Fakes::default();
    let (says, mut news) = mpsc::unbounded_channel();
    let lending = Lending::start(fakes.ways(2), vec![offer()], says);
    assert_eq!(next(&mut news).await, "relay-0 connecting");
    fakes.tell(0, online("relay-0"));
    assert_eq!(next(&mut news).await, "relay-0 up as studio");
    fakes.tell(0, AgentEvent::Lent { target: 0, address: "tcp://a:7".into() });
    assert_eq!(next(&mut news).await, "0 at tcp://a:7");
    fakes.tell(0, AgentEvent::Refused { target: 0, why: TunnelError::from(Code::NameTaken) });
    assert_eq!(next(&mut news).await, "gone tcp://a:7");
    assert_eq!(next(&mut news).await, format!("0 refused: {}", Code::NameTaken.text()));
    assert_eq!(next(&mut news).await, "relay-1 connecting");
    fakes.tell(1, AgentEvent::Stopped { why: "revoked".into(), fix: String::new() });
    assert_eq!(next(&mut news).await, "relay-1 stopped: revoked");
    assert_eq!(next(&mut news).await, "over");
    drop(lending);
}
