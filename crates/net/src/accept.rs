use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;
use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::limits::{ACCEPT_PAUSE, TLS_HANDSHAKE};
use crate::{BoxFuture, Conn, ConnInfo, Drain, Io, Quota, QuotaPass, TlsInfo, TlsSelect, proxied};

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
        if let Some(conn) = Box::pin(prepare(socket, peer, self.tls)).await {
            self.handler.handle(conn, drain).await;
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

async fn prepare(socket: TcpStream, peer: SocketAddr, tls: Option<Arc<dyn TlsSelect>>) -> Option<Conn> {
    let accepted = Instant::now();
    socket.set_nodelay(true).ok()?;
    let local = socket.local_addr().ok()?;
    let (io, tls) = match tls {
        None => (Io::Tcp(socket), None),
        Some(tls) => {
            let stream = tokio::time::timeout(TLS_HANDSHAKE, handshake(socket, tls.as_ref())).await.ok()??;
            let (_, session) = stream.get_ref();
            // The handshake was the whole answer (RFC 8737 section 3), and it asked for no client certificate.
            if session.alpn_protocol() == Some(ACME_TLS) {
                return None;
            }
            let tls = TlsInfo {
                sni: session.server_name().map(str::to_ascii_lowercase),
                h2: session.alpn_protocol() == Some(b"h2"),
            };
            (Io::Tls(Box::new(stream)), Some(tls))
        }
    };
    Some(Conn { io, info: Arc::new(ConnInfo { peer, local, tls, relayed: false, accepted }) })
}

/// The protocol of the ACME challenge tls-alpn-01 (RFC 8737 section 6.2).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// The alert `unrecognized_name`, as a record of TLS 1.2 (RFC 8446 sections 5.1 and 6.2).
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

async fn handshake(socket: TcpStream, tls: &dyn TlsSelect) -> Option<TlsStream<TcpStream>> {
    let acceptor = LazyConfigAcceptor::new(Acceptor::default(), socket);
    tokio::pin!(acceptor);
    let started = match acceptor.as_mut().await {
        Ok(started) => started,
        // What rustls has to say of a malformed first message is dropped with the connection.
        Err(_) => return None,
    };
    match tls.select(&started.client_hello()) {
        Some(config) => started.into_stream(config).await.ok(),
        None => {
            let mut socket = started.io;
            let _ = socket.write_all(&UNRECOGNIZED_NAME).await;
            let _ = socket.shutdown().await;
            None
        }
    }
}
