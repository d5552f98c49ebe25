use std::sync::Arc;

use doorstep_net::{BoxFuture, Conn, Drain, Handler, Io};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::{Recognised, Server, recognise};
use crate::limits::{FIRST_BYTES, MAX_EARLY};
use crate::link::Prefixed;

/// Stands before the HTTP engine.
pub(super) struct Door {
    server: Server,
    inner: Arc<dyn Handler>,
}

impl Door {
    pub fn new(server: Server, inner: Arc<dyn Handler>) -> Self {
        Self { server, inner }
    }
}

impl Handler for Door {
    fn handle(&self, conn: Conn, drain: Drain) -> BoxFuture<'_, ()> {
        if may_not_be_ours(&conn.io) {
            return self.inner.handle(conn, drain);
        }
        Box::pin(async move {
            let Conn { mut io, info } = conn;
            let mut early = Vec::new();
            // The engine knows what to do with those who say nothing.
            let first = timeout(FIRST_BYTES, look(&mut io, &mut early));
            let ours = tokio::select! {
                ours = first => ours.unwrap_or(false),
                () = drain.started() => false,
            };
            if ours {
                return self.server.serve(io, early, info, drain).await;
            }
            self.inner.handle(Conn { io: Prefixed::put_back(io, early), info }, drain).await;
        })
    }
}

/// Back-ends choose no protocol when they begin TLS, and everybody else does.
fn may_not_be_ours(io: &Io) -> bool {
    matches!(io, Io::Tls(tls) if tls.get_ref().1.alpn_protocol().is_some())
}

/// Whether the connection is ours. Takes nothing from it while there are no more than a visitor's first bytes, so that it
/// stays what it is for the engine.
async fn look(io: &mut Io, early: &mut Vec<u8>) -> bool {
    if let Io::Tcp(socket) = io {
        let mut seen = [0; 64];
        let Ok(bytes) = socket.peek(&mut seen).await else { return false };
        match recognise(seen.get(..bytes).unwrap_or_default()) {
            Recognised::Yes => return true,
            Recognised::No => return false,
            // Seen again, they would be no more than they are: they have to be taken.
            Recognised::Maybe => {}
        }
    }
    loop {
        match io.read_buf(early).await {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
        match recognise(early) {
            Recognised::Yes => return true,
            Recognised::Maybe if early.len() < MAX_EARLY => {}
            _ => return false,
        }
    }
}
