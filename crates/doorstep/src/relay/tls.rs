//! What becomes of connections to the relay that begin with TLS: agents, visitors of agents that end TLS themselves, and
//! everybody else.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use doorstep_certs::CertTable;
use doorstep_net::{BoxFuture, Conn, ConnInfo, Drain, Handler, Io, Passage, TlsChoice, TlsHere, TlsSelect};
use doorstep_proto::tunnel::{ALPN, EXPORTER_LABEL};
use doorstep_tunnel::registry::Found;
use doorstep_tunnel::relay::Relay;
use doorstep_tunnel::{Visitor, both_ways};
use rustls::server::ClientHello;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::hold::Waiting;
use super::lanes::{self, Wish};
use super::settings::Settings;
use crate::limits::RELAY_KEEPALIVE;

/// Chooses by protocol and name.
pub struct Select {
    pub certificates: CertTable,
    pub waiting: Arc<Waiting>,
    pub settings: Arc<ArcSwap<Settings>>,
    pub agents: Arc<Agents>,
}

impl TlsSelect for Select {
    fn select(&self, hello: &ClientHello<'_>) -> Option<TlsChoice> {
        let registry = self.waiting.registry();
        if hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ALPN.as_bytes())) {
            return Some(TlsChoice::Here(TlsHere {
                config: registry.identity().server_config(),
                handler: Some(self.agents.clone()),
                export: Some(EXPORTER_LABEL),
            }));
        }
        let Some(name) = hello.server_name() else { return self.certificates.select(hello) };
        let name = name.to_ascii_lowercase();
        let through = |name: String| {
            let (hold, waiting) = (self.settings.load().hold, self.waiting.clone());
            Some(TlsChoice::Elsewhere(Arc::new(Through { name, hold, waiting })))
        };
        // Before challenges: the agent answers those for its own certificate.
        if registry.find_tls(&name).is_some() {
            return through(name);
        }
        match self.certificates.select(hello) {
            Some(TlsChoice::Here(here)) if name == registry.domain().as_str() => {
                Some(TlsChoice::Here(TlsHere { export: Some(EXPORTER_LABEL), ..here }))
            }
            Some(choice) => Some(choice),
            // There is no certificate here, so it is the agent's own: it may be back in a moment.
            None if matches!(registry.find(&name), Found::Away { .. }) => through(name),
            None => None,
        }
    }
}

/// Takes agents' connections.
pub struct Agents(pub Relay);

impl Handler for Agents {
    fn handle(&self, conn: Conn, drain: Drain) -> BoxFuture<'_, ()> {
        let exporter = conn.info.tls.as_ref().and_then(|tls| tls.exporter.clone());
        match exporter {
            Some(exporter) => self.0.serve(conn.io, conn.info, *exporter.reveal(), drain),
            // Its TLS settings know TLS 1.3 only, which has one.
            None => Box::pin(std::future::ready(())),
        }
    }
}

/// To an agent that has the certificate; to the same in a moment, where it is just coming back.
struct Through {
    name: String,
    hold: Duration,
    waiting: Arc<Waiting>,
}

impl Passage for Through {
    fn pass(&self, socket: TcpStream, early: Vec<u8>, info: Arc<ConnInfo>, _: Drain) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let alive = TcpKeepalive::new().with_time(RELAY_KEEPALIVE).with_interval(RELAY_KEEPALIVE / 4);
            let _ = SockRef::from(&socket).set_tcp_keepalive(&alive);
            let visitor = Visitor { peer: info.peer, local: info.local, tls: None };
            let wish = Wish { host: &self.name, visitor, is_tls: true, hold: self.hold, waiting: &self.waiting };
            let first = self.waiting.registry().find_tls(&self.name);
            // Where there is nobody, closing is all that can be said without a certificate.
            let Ok(mut stream) = lanes::open(first, wish).await else { return };
            if stream.write_all(&early).await.is_ok() {
                drop(early);
                both_ways(Io::Tcp(socket), stream).await;
            }
        })
    }
}
