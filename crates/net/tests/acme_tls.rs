//! A connection for the challenge tls-alpn-01 ends with its handshake: nothing behind it is reachable that way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use doorstep_net::{Accepting, BoxFuture, Conn, Drain, DrainControl, Handler, Quota, TlsSelect, accept_loop};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

struct Counting(AtomicUsize);

impl Handler for Counting {
    fn handle(&self, mut conn: Conn, _: Drain) -> BoxFuture<'_, ()> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let _ = conn.io.write_all(b"secret").await;
            let _ = conn.io.shutdown().await;
        })
    }
}

#[tokio::test]
async fn the_handshake_is_all_there_is() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec(), b"http/1.1".to_vec()];
    let handler = Arc::new(Counting(AtomicUsize::new(0)));
    let tls: Arc<dyn TlsSelect> = Arc::new(Arc::new(config));
    let accepting = Accepting { tls: Some(tls), ..Accepting::new(handler.clone(), Quota::new(16)) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_control, drain) = DrainControl::new();
    tokio::spawn(accept_loop(listener, accepting, drain));

    for (protocol, expected, handled) in [("acme-tls/1", "", 0), ("http/1.1", "secret", 1)] {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let mut client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![protocol.into()];
        let socket = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("a.test").unwrap();
        let mut stream = TlsConnector::from(Arc::new(client)).connect(name, socket).await.unwrap();
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!((String::from_utf8_lossy(&answer).as_ref(), handler.0.load(Ordering::SeqCst)), (expected, handled));
    }
}
