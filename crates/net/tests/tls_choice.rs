//! TLS that ends here for somebody else than the listener's handler, or does not end here at all.

use std::io;
use std::sync::Arc;

use doorstep_net::{
    Accepting, BoxFuture, Conn, ConnInfo, Drain, DrainControl, Handler, Passage, Quota, TlsChoice, TlsHere, TlsSelect,
    accept_loop, server_config,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::ClientHello;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const LABEL: &[u8] = b"EXPORTER-test";

/// Says its name, and what it was told of the connection.
struct Says(&'static str);

impl Handler for Says {
    fn handle(&self, mut conn: Conn, _: Drain) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let tls = conn.info.tls.clone().unwrap_or_default();
            let exporter = tls.exporter.map(|exporter| exporter.reveal().to_vec()).unwrap_or_default();
            let _ = conn.io.write_all(&[self.0.as_bytes(), &exporter].concat()).await;
            let _ = conn.io.shutdown().await;
        })
    }
}

struct Choice {
    config: Arc<ServerConfig>,
    special: Arc<dyn Handler>,
    elsewhere: Arc<Elsewhere>,
}

impl TlsSelect for Choice {
    fn select(&self, hello: &ClientHello<'_>) -> Option<TlsChoice> {
        match hello.server_name()? {
            "special.test" => Some(TlsChoice::Here(TlsHere {
                config: self.config.clone(),
                handler: Some(self.special.clone()),
                export: Some(LABEL),
            })),
            "elsewhere.test" => Some(TlsChoice::Elsewhere(self.elsewhere.clone())),
            "usual.test" => Some(self.config.clone().into()),
            _ => None,
        }
    }
}

/// Ends TLS after all, by what it was given: so every byte must have been there.
struct Elsewhere(Arc<ServerConfig>);

impl Passage for Elsewhere {
    fn pass(&self, socket: TcpStream, early: Vec<u8>, info: Arc<ConnInfo>, _: Drain) -> BoxFuture<'_, ()> {
        assert!(info.tls.is_none(), "nothing is known of TLS that is not ours");
        Box::pin(async move {
            let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
            ours.write_all(&early).await.unwrap();
            let mut socket = socket;
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut socket, &mut ours).await });
            let mut stream = TlsAcceptor::from(self.0.clone()).accept(theirs).await.unwrap();
            stream.write_all(b"elsewhere").await.unwrap();
            stream.shutdown().await.unwrap();
        })
    }
}

struct World {
    address: std::net::SocketAddr,
    certificate: CertificateDer<'static>,
    _drain: DrainControl,
}

async fn world() -> World {
    let key = KeyPair::generate().unwrap();
    let names = ["special.test", "elsewhere.test", "usual.test", "nobody.test"].map(str::to_owned);
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap().der().clone();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = server_config(vec![certificate.clone()], key).unwrap();
    let choice = Choice { elsewhere: Arc::new(Elsewhere(config.clone())), config, special: Arc::new(Says("special")) };
    let accepting =
        Accepting { tls: Some(Arc::new(choice)), ..Accepting::new(Arc::new(Says("usual")), Quota::new(16)) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (control, drain) = DrainControl::new();
    tokio::spawn(accept_loop(listener, accepting, drain));
    World { address, certificate, _drain: control }
}

impl World {
    async fn connect(
        &self,
        name: &'static str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(self.address).await.unwrap();
        self.over(socket, name, versions).await
    }

    async fn over<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        transport: T,
        name: &'static str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> io::Result<TlsStream<T>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(client)).connect(ServerName::try_from(name).unwrap(), transport).await
    }
}

async fn rest(stream: &mut TlsStream<TcpStream>) -> Vec<u8> {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

#[tokio::test]
async fn each_name_goes_to_whom_it_is_for() {
    let world = world().await;
    for (name, says) in [("usual.test", "usual"), ("elsewhere.test", "elsewhere")] {
        let mut stream = world.connect(name, &[&rustls::version::TLS13]).await.unwrap();
        assert_eq!(rest(&mut stream).await, says.as_bytes());
    }
    let refused = world.connect("nobody.test", &[&rustls::version::TLS13]).await.unwrap_err();
    assert!(refused.to_string().contains("UnrecognisedName"), "{refused}");
}

#[tokio::test]
async fn both_ends_export_the_same_and_only_of_tls_1_3() {
    let world = world().await;
    let mut stream = world.connect("special.test", &[&rustls::version::TLS13]).await.unwrap();
    let ours = stream.get_ref().1.export_keying_material([0; 32], LABEL, None).unwrap();
    assert_eq!(rest(&mut stream).await, [b"special".as_slice(), &ours].concat());
    let mut stream = world.connect("special.test", &[&rustls::version::TLS12]).await.unwrap();
    assert_eq!(rest(&mut stream).await, b"special");
}

#[tokio::test]
async fn a_first_message_may_come_in_pieces_and_may_not_be_endless() {
    let world = world().await;
    let mut socket = TcpStream::connect(world.address).await.unwrap();
    // A handshake record of 16 KiB that promises 16 MiB more, again and again.
    let mut record = vec![0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    record.resize(5 + 0x4000, 0);
    let mut sent = 0;
    while socket.write_all(&record).await.is_ok() {
        record[5] = 0;
        sent += record.len();
        assert!(sent < 64 << 20, "it goes on reading");
        if socket.try_read(&mut [0; 64]).is_ok_and(|read| read == 0) {
            break;
        }
    }
    let mut stream = world.connect("usual.test", &[&rustls::version::TLS13]).await.unwrap();
    assert_eq!(rest(&mut stream).await, b"usual");
    let (near, mut far) = tokio::io::duplex(7);
    let address = world.address;
    tokio::spawn(async move {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        tokio::io::copy_bidirectional(&mut far, &mut socket).await
    });
    let mut stream = world.over(near, "usual.test", &[&rustls::version::TLS13]).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(answer, b"usual");
}
