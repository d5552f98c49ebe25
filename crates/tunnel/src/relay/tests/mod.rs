mod agent;
mod refused;
mod sessions;
mod visitors;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use doorstep_net::{ConnInfo, DrainControl, Io};
use doorstep_proto::tunnel::{Claim, Code, EXPORTER_LABEL, Exporter, Purpose};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Relay, RelayOptions};
use crate::Visitor;
use crate::identity::AgentKeyPair;
use crate::registry::{Found, InviteOptions, Lent, Registry, RegistryOptions};
use agent::dial;

/// A relay that listens.
struct World {
    registry: Registry,
    relay: Relay,
    address: SocketAddr,
    drain: DrainControl,
    _dir: TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path(), RegistryOptions::new("tun.example.com")).unwrap();
        let relay = Relay::new(registry.clone(), RelayOptions::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(registry.identity().server_config());
        let (control, drain) = DrainControl::new();
        let accepting = relay.clone();
        tokio::spawn(async move {
            while let Ok((socket, peer)) = listener.accept().await {
                let (acceptor, relay, drain) = (acceptor.clone(), accepting.clone(), drain.clone());
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(socket).await else { return };
                    let exporter = export(|out| tls.get_ref().1.export_keying_material(out, EXPORTER_LABEL, None));
                    let accepted = Instant::now();
                    let info = ConnInfo { peer, local: peer, tls: None, relayed: false, accepted };
                    relay.serve(Io::Tls(Box::new(tls)), Arc::new(info), exporter, drain).await;
                });
            }
        });
        Self { registry, relay, address, drain: control, _dir: dir }
    }

    /// The key of an agent that has joined.
    async fn joined(&self, agent: &str) -> AgentKeyPair {
        let key = AgentKeyPair::generate().unwrap();
        dial(self.address, &key, Purpose::Join { invitation: self.invitation(agent).await }).await.unwrap();
        key
    }

    async fn invitation(&self, agent: &str) -> Bytes {
        let options = InviteOptions { agent: agent.to_owned(), ..InviteOptions::default() };
        URL_SAFE_NO_PAD.decode(self.registry.invite(options).await.unwrap()).unwrap().into()
    }

    /// What stands behind a name, once it does.
    async fn lent(&self, host: &str) -> Arc<Lent> {
        match self.registry.returned(host).await {
            Found::Lent(lent) => lent,
            _ => panic!("{host} is not lent"),
        }
    }
}

fn export<T>(export: impl FnOnce(Exporter) -> Result<Exporter, T>) -> Exporter {
    export([0; 32]).unwrap_or([0; 32])
}

fn http(name: &str) -> Claim {
    Claim::Http { name: name.into(), label: String::new() }
}

fn visitor() -> Visitor {
    let nobody = SocketAddr::from(([192, 0, 2, 1], 1234));
    Visitor { peer: nobody, local: nobody, tls: None }
}

async fn socket(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// What the relay's owner is told.
async fn told(events: &mut tokio::sync::broadcast::Receiver<super::RelayEvent>, code: Code) -> String {
    loop {
        let event = events.recv().await.unwrap();
        let text = event.to_string();
        if text.ends_with(&format!("(code {})", code.number())) {
            return text;
        }
    }
}
