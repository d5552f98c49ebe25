use std::sync::Arc;

use crate::limits::TLS_HANDSHAKE;
use crate::{BoxFuture, Conn, ConnInfo, Drain, Handler, Io, TlsSelect, handshake};

/// Takes connections that are handed on by somebody who cannot read them: the client's TLS ends here, and what was inside
/// goes to another handler.
pub struct InnerTls {
    pub tls: Arc<dyn TlsSelect>,
    pub handler: Arc<dyn Handler>,
}

impl Handler for InnerTls {
    fn handle(&self, conn: Conn, drain: Drain) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Conn { io, info } = conn;
            let shaking = handshake::within(io, self.tls.as_ref());
            // Boxed, so that the room a handshake needs goes with it.
            let shaken = tokio::time::timeout(TLS_HANDSHAKE, Box::pin(shaking)).await;
            let Ok(Some((stream, tls, handler))) = shaken else { return };
            // Whoever handed it on could not add a word, so nobody is believed who says for whom it is.
            let info = ConnInfo { tls: Some(tls), relayed: false, ..(*info).clone() };
            let conn = Conn { io: Io::Other(Box::new(stream)), info: Arc::new(info) };
            handler.as_ref().unwrap_or(&self.handler).handle(conn, drain).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Instant;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::DrainControl;

    /// Says whose connection it is.
    struct Says;

    impl Handler for Says {
        fn handle(&self, mut conn: Conn, _: Drain) -> BoxFuture<'_, ()> {
            Box::pin(async move {
                let sni = conn.info.tls.as_ref().and_then(|tls| tls.sni.clone()).unwrap_or_default();
                let text = format!("{sni} {} {}", conn.info.peer, conn.info.relayed);
                let _ = conn.io.write_all(text.as_bytes()).await;
                let _ = conn.io.shutdown().await;
            })
        }
    }

    #[tokio::test]
    async fn what_is_inside_reaches_the_handler_with_its_name() {
        let made = rcgen::generate_simple_self_signed(["blog.example.com".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = crate::server_config(vec![made.cert.der().clone()], key).unwrap();
        let inner = InnerTls { tls: Arc::new(config), handler: Arc::new(Says) };
        let (ours, theirs) = tokio::io::duplex(4096);
        let peer: SocketAddr = "203.0.113.9:4711".parse().unwrap();
        let info = ConnInfo { peer, local: peer, tls: None, relayed: true, accepted: Instant::now() };
        let conn = Conn { io: Io::Other(Box::new(ours)), info: Arc::new(info) };
        let (_control, drain) = DrainControl::new();
        let serving = async move { inner.handle(conn, drain).await };
        let asking = async move {
            let mut roots = RootCertStore::empty();
            roots.add(made.cert.der().clone()).unwrap();
            let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let name = ServerName::try_from("blog.example.com").unwrap();
            let mut stream = TlsConnector::from(Arc::new(client)).connect(name, theirs).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            text
        };
        let ((), text) = tokio::join!(serving, asking);
        assert_eq!(text, "blog.example.com 203.0.113.9:4711 false");
    }
}
