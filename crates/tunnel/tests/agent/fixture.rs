use std::sync::Arc;
use std::time::Duration;

use doorstep_model::UpstreamAddr;
use doorstep_net::{BoxFuture, Conn, ConnInfo, Drain, Handler};
use doorstep_proto::tunnel::Claim;
use doorstep_tunnel::agent::{Agent, AgentHandle, AgentOptions, Proxy, Threads};
use doorstep_tunnel::identity::AgentIdentity;
use doorstep_tunnel::{AgentEvent, Sink, Target};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// An agent, and what it says.
pub struct Subject {
    pub agent: AgentHandle,
    events: mpsc::UnboundedReceiver<AgentEvent>,
}

impl Subject {
    pub fn start(relays: Vec<AgentIdentity>, targets: Vec<Target>) -> Self {
        Self::start_through(relays, targets, Proxy::none())
    }

    pub fn start_through(relays: Vec<AgentIdentity>, targets: Vec<Target>, proxy: Proxy) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let (threads, software) = (Threads::Own(2), "test".into());
        let agent = Agent::start(AgentOptions { relays, targets, threads, software, proxy }, sender).unwrap();
        Self { agent, events }
    }

    /// The next event of which `pick` makes something.
    pub async fn event<T>(&mut self, mut pick: impl FnMut(AgentEvent) -> Option<T>) -> T {
        let wait = async {
            loop {
                let event = self.events.recv().await.expect("the agent says nothing more");
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(40), wait).await.expect("the agent did not say it")
    }

    pub async fn online(&mut self) -> String {
        self.event(|event| match event {
            AgentEvent::Online { relay, .. } => Some(relay),
            _ => None,
        })
        .await
    }

    /// Why it is offline.
    pub async fn offline(&mut self) -> String {
        self.event(|event| match event {
            AgentEvent::Offline { why, .. } => Some(why),
            _ => None,
        })
        .await
    }

    pub async fn lent(&mut self) -> String {
        self.event(|event| match event {
            AgentEvent::Lent { address, .. } => Some(address),
            _ => None,
        })
        .await
    }

    pub async fn stopped(&mut self) -> (String, String) {
        self.event(|event| match event {
            AgentEvent::Stopped { why, fix } => Some((why, fix)),
            _ => None,
        })
        .await
    }
}

/// Sends back what comes, and remembers of whom.
#[derive(Default)]
pub struct Echo {
    pub visitors: Mutex<Vec<Arc<ConnInfo>>>,
}

impl Handler for Echo {
    fn handle(&self, conn: Conn, drain: Drain) -> BoxFuture<'_, ()> {
        self.visitors.lock().push(conn.info.clone());
        Box::pin(async move {
            let (mut read, mut write) = tokio::io::split(conn.io);
            let mut buffer = vec![0; 16 * 1024];
            loop {
                let count = tokio::select! {
                    count = read.read(&mut buffer) => count.unwrap_or(0),
                    () = drain.hurried() => 0,
                };
                if count == 0 || write.write_all(&buffer[..count]).await.is_err() || write.flush().await.is_err() {
                    break;
                }
            }
            let _ = write.shutdown().await;
        })
    }
}

pub fn http(name: &str) -> Claim {
    Claim::Http { name: name.into(), label: String::new() }
}

/// One web target.
pub fn web(handler: &Arc<Echo>) -> Vec<Target> {
    vec![Target::new(http("blog"), Sink::Serve(handler.clone()))]
}

/// An app that sends back everything when it got everything, turned round.
pub async fn reverser() -> UpstreamAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut all = Vec::new();
                if socket.read_to_end(&mut all).await.is_ok() {
                    all.reverse();
                    let _ = socket.write_all(&all).await;
                }
            });
        }
    });
    UpstreamAddr::Tcp { host: "127.0.0.1".into(), port }
}
