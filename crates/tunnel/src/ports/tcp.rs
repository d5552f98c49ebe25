use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use doorstep_net::Quota;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::carrier::Visitor;
use crate::limits::{ACCEPT_PAUSE, COPY_BUFFER, KEEPALIVE, PORT_HOLD};
use crate::registry::{Found, Lent, Place};

/// Accepts until it is closed, and never waits for a visitor or an agent.
pub(super) async fn serve(
    socket: std::net::TcpListener,
    place: Arc<Place>,
    held: Arc<Semaphore>,
    quota: Option<Arc<Quota>>,
    mut closed: watch::Receiver<()>,
) {
    let Ok(listener) = TcpListener::from_std(socket) else { return };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closed.changed() => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                let pass = quota.as_ref().map(|quota| quota.admit(peer.ip()));
                // Over quota: closed at once, as at any listener.
                if matches!(pass, Some(None)) {
                    continue;
                }
                match place.lent() {
                    Some(lent) => drop(tokio::spawn(async move {
                        visit(socket, peer, lent).await;
                        drop(pass);
                    })),
                    None => {
                        // Beyond it, visitors learn at once that nobody is there.
                        let Ok(room) = held.clone().try_acquire_owned() else { continue };
                        let (place, mut closed) = (place.clone(), closed.clone());
                        tokio::spawn(async move {
                            let found = tokio::select! {
                                found = tokio::time::timeout(PORT_HOLD, place.returned()) => found,
                                _ = closed.changed() => return,
                            };
                            drop(room);
                            if let Ok(Found::Lent(lent)) = found {
                                visit(socket, peer, lent).await;
                            }
                            drop(pass);
                        });
                    }
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
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

/// Bytes both ways, each way's end passed on by itself. What breaks on one side is broken on the other, too, and does not
/// look like its end.
async fn visit(mut socket: TcpStream, peer: SocketAddr, lent: Arc<Lent>) {
    let _ = socket.set_nodelay(true);
    let alive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    let _ = SockRef::from(&socket).set_tcp_keepalive(&alive);
    let Ok(local) = socket.local_addr() else { return };
    let copied = match lent.open(Visitor { peer, local, tls: None }).await {
        Ok(mut stream) => {
            copy_bidirectional_with_sizes(&mut socket, &mut stream, COPY_BUFFER, COPY_BUFFER).await.is_ok()
        }
        Err(_) => false,
    };
    if !copied {
        let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
    }
}
