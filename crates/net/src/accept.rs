use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::limits::{ACCEPT_PAUSE, TLS_HANDSHAKE};
use crate::{BoxFuture, Conn, ConnInfo, Drain, Io, Quota, TlsInfo, TlsSelect};

/// Takes inbound connections, each in a task of its own.
pub trait Handler: Send + Sync {
    fn handle(&self, conn: Conn, drain: Drain) -> BoxFuture<'_, ()>;
}

/// Accepts until the drain starts. Never waits for a peer, and no accept error ends it.
pub async fn accept_loop(
    listener: TcpListener,
    tls: Option<Arc<dyn TlsSelect>>,
    quota: Arc<Quota>,
    handler: Arc<dyn Handler>,
    drain: Drain,
) {
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
                // Over quota: closed at once, so that the client learns it and the queue moves on.
                let Some(pass) = quota.admit(peer.ip()) else { continue };
                let (tls, handler, drain) = (tls.clone(), handler.clone(), drain.clone());
                tokio::spawn(async move {
                    // Boxed, so that the room a handshake needs goes with it.
                    if let Some(conn) = Box::pin(prepare(socket, peer, tls)).await {
                        handler.handle(conn, drain).await;
                    }
                    drop(pass);
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            // Out of descriptors or memory: the queue can wait, and trying again at once would only spin.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
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
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let (io, tls) = match tls {
        None => (Io::Tcp(socket), None),
        Some(tls) => {
            let stream = tokio::time::timeout(TLS_HANDSHAKE, handshake(socket, tls.as_ref())).await.ok()??;
            let (_, session) = stream.get_ref();
            let tls = TlsInfo {
                sni: session.server_name().map(str::to_ascii_lowercase),
                h2: session.alpn_protocol() == Some(b"h2"),
            };
            (Io::Tls(Box::new(stream)), Some(tls))
        }
    };
    Some(Conn { io, info: Arc::new(ConnInfo { peer, local, tls, accepted }) })
}

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
