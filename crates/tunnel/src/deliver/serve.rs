use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use doorstep_net::{Conn, ConnInfo, Drain, Handler, Io, TlsChoice, TlsHere, TlsInfo, TlsSelect};
use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::Visitor;
use crate::limits::VISITOR_HANDSHAKE;

/// An engine of this process, and what it is to know of the visitor.
pub(super) struct Serving {
    handler: Arc<dyn Handler>,
    select: Option<Arc<dyn TlsSelect>>,
    info: ConnInfo,
}

impl Serving {
    /// The stream is the visitor's, or the relay's that is `relayed`.
    pub fn plain(handler: &Arc<dyn Handler>, visitor: &Visitor, relayed: bool) -> Self {
        let tls = visitor.tls.as_ref().map(|tls| TlsInfo {
            sni: Some(tls.server_name.to_ascii_lowercase()).filter(|name| !name.is_empty()),
            // A relay that speaks for others speaks HTTP/1.1 with us, whatever its visitors spoke.
            h2: !relayed && tls.alpn == "h2",
            exporter: None,
        });
        Self { handler: handler.clone(), select: None, info: info(visitor, tls, relayed) }
    }

    /// The visitor speaks TLS with us; nobody stands between.
    pub fn tls(select: &Arc<dyn TlsSelect>, handler: &Arc<dyn Handler>, visitor: &Visitor) -> Self {
        Self { handler: handler.clone(), select: Some(select.clone()), info: info(visitor, None, false) }
    }

    pub async fn run(mut self, stream: Io, drain: Drain) {
        let io = match self.select {
            None => stream,
            Some(select) => {
                let shaken =
                    Box::pin(tokio::time::timeout(VISITOR_HANDSHAKE, handshake(stream, select.as_ref()))).await;
                let Ok(Some(shaken)) = shaken else { return };
                self.info.tls = Some(shaken.tls);
                self.handler = shaken.handler.unwrap_or(self.handler);
                Io::Other(Box::new(shaken.stream))
            }
        };
        self.handler.handle(Conn { io, info: Arc::new(self.info) }, drain).await;
    }
}

fn info(visitor: &Visitor, tls: Option<TlsInfo>, relayed: bool) -> ConnInfo {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (peer, local) = (canonical(visitor.peer), canonical(visitor.local));
    ConnInfo { peer, local, tls, relayed, accepted: Instant::now() }
}

/// The protocol of the ACME challenge tls-alpn-01 (RFC 8737 section 6.2): the handshake is the whole answer.
const ACME_TLS: &[u8] = b"acme-tls/1";

/// The alert `unrecognized_name`, as a record of TLS 1.2 (RFC 8446 sections 5.1 and 6.2).
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

struct Shaken {
    stream: TlsStream<Io>,
    tls: TlsInfo,
    /// Instead of the target's own.
    handler: Option<Arc<dyn Handler>>,
}

async fn handshake(stream: Io, select: &dyn TlsSelect) -> Option<Shaken> {
    let started = LazyConfigAcceptor::new(Acceptor::default(), stream).await.ok()?;
    // There is nowhere else: whoever wants TLS to end elsewhere lends that place.
    let Some(TlsChoice::Here(TlsHere { config, handler, .. })) = select.select(&started.client_hello()) else {
        let mut stream = started.io;
        let _ = stream.write_all(&UNRECOGNIZED_NAME).await;
        let _ = stream.shutdown().await;
        return None;
    };
    let mut stream = started.into_stream(config).await.ok()?;
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() == Some(ACME_TLS) {
        let _ = stream.shutdown().await;
        return None;
    }
    let sni = session.server_name().map(str::to_ascii_lowercase);
    let h2 = session.alpn_protocol() == Some(b"h2");
    Some(Shaken { stream, tls: TlsInfo { sni, h2, exporter: None }, handler })
}
