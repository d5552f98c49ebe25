use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};

use crate::handshake::{self, Begun};
use crate::limits::{ACCEPT_PAUSE, TLS_HANDSHAKE};
use crate::{BoxFuture, Conn, ConnInfo, Drain, Io, Passage, Quota, QuotaPass, TlsSelect, proxied};

/// Takes inbound connections, each in a task of its own.
pub trait Handler: Send + Sync {
    fn handle(&self, conn: Conn, drain: Drain) -> BoxFuture<'_, ()>;
}

/// What becomes of the connections of a listener.
#[derive(Clone)]
pub struct Accepting {
    /// TLS settings for each connection; `None` is in the clear.
    pub tls: Option<Arc<dyn TlsSelect>>,
    /// Peers whose connections must begin with a PROXY protocol header, which says who the client is. From all others
    /// such a header is but the first bytes of the connection.
    pub proxy_from: Arc<[IpNet]>,
    pub quota: Arc<Quota>,
    pub handler: Arc<dyn Handler>,
}

/// Accepts until the drain starts. Never waits for a peer, and no accept error ends it.
pub async fn accept_loop(listener: TcpListener, accepting: Accepting, drain: Drain) {
    let started = drain.started();
    tokio::pin!(started);
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = &mut started => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let proxied = accepting.proxy_from.iter().any(|network| network.contains(&peer.ip()));
                let quota = &accepting.quota;
                // Over quota: closed at once, so that the client learns it and the queue moves on.
                let Some(pass) = (if proxied { quota.admit_anybody() } else { quota.admit(peer.ip()) }) else {
                    continue;
                };
                let (accepting, drain) = (accepting.clone(), drain.clone());
                tokio::spawn(accepting.serve(socket, peer, proxied, pass, drain));
            }
            Err(error) if is_of_one_connection(&error) => {}
            // Out of descriptors or memory: the queue can wait, and trying again at once would only spin.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

impl Accepting {
    /// Connections in the clear, from clients themselves.
    pub fn new(handler: Arc<dyn Handler>, quota: Arc<Quota>) -> Self {
        Self { tls: None, proxy_from: Arc::default(), quota, handler }
    }

    async fn serve(
        self,
        mut socket: TcpStream,
        mut peer: SocketAddr,
        proxied: bool,
        mut pass: QuotaPass,
        drain: Drain,
    ) {
        if proxied {
            match Box::pin(proxied::client(&mut socket)).await {
                Ok(client) => peer = client.unwrap_or(peer),
                Err(_) => return,
            }
            if !pass.name(peer.ip()) {
                return;
            }
        }
        // Boxed, so that the room a handshake needs goes with it.
        match Box::pin(prepare(socket, peer, self.tls)).await {
            Some(Prepared::Conn(conn, None)) => self.handler.handle(conn, drain).await,
            Some(Prepared::Conn(conn, Some(handler))) => handler.handle(conn, drain).await,
            Some(Prepared::Passing { passage, socket, early, info }) => {
                passage.pass(socket, early, info, drain).await;
            }
            None => {}
        }
        drop(pass);
    }
}

/// Errors of the connection that was about to be accepted, not of the listener (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused | K::Interrupted | K::TimedOut
    )
}

/// What the connection of a client is, once it is known.
enum Prepared {
    Conn(Conn, Option<Arc<dyn Handler>>),
    Passing { passage: Arc<dyn Passage>, socket: TcpStream, early: Vec<u8>, info: Arc<ConnInfo> },
}

async fn prepare(socket: TcpStream, peer: SocketAddr, tls: Option<Arc<dyn TlsSelect>>) -> Option<Prepared> {
    let accepted = Instant::now();
    socket.set_nodelay(true).ok()?;
    let local = socket.local_addr().ok()?;
    let info = |tls| Arc::new(ConnInfo { peer, local, tls, relayed: false, accepted });
    let Some(tls) = tls else { return Some(Prepared::Conn(Conn { io: Io::Tcp(socket), info: info(None) }, None)) };
    Some(match tokio::time::timeout(TLS_HANDSHAKE, handshake::begin(socket, tls.as_ref())).await.ok()?? {
        Begun::Here { stream, tls, handler } => {
            Prepared::Conn(Conn { io: Io::Tls(stream), info: info(Some(tls)) }, handler)
        }
        Begun::Elsewhere { passage, socket, early } => Prepared::Passing { passage, socket, early, info: info(None) },
    })
}
