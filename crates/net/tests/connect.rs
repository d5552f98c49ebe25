//! The outbound side against small listeners on this computer.

use std::sync::Arc;
use std::time::Duration;

use doorstep_model::{Pem, Upstream, UpstreamAddr, UpstreamProtocol};
use doorstep_net::{Connect, ConnectError, Connector, Dial, Io};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

fn upstream(addr: UpstreamAddr) -> Upstream {
    Upstream {
        addr,
        tls: false,
        insecure: false,
        authority: "localhost".to_owned(),
        base_path: String::new(),
        protocol: UpstreamProtocol::Http1,
        server_name: None,
        roots: None,
    }
}

fn tcp(host: &str, port: u16) -> Upstream {
    upstream(UpstreamAddr::Tcp { host: host.to_owned(), port })
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(bind).await else { continue };
        let port = listener.local_addr().unwrap().port();
        let io = Connector::new().connect(&tcp("localhost", port)).await;
        assert!(matches!(io, Ok(Io::Tcp(_))), "{bind}: {:?}", io.err());
    }
}

#[tokio::test]
async fn refusal_names_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = Connector::new().connect(&tcp("127.0.0.1", port)).await.err().unwrap();
    assert!(
        matches!(&error, ConnectError::Io { source, .. } if source.kind() == std::io::ErrorKind::ConnectionRefused)
    );
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
}

#[tokio::test]
async fn unknown_names_are_told_apart() {
    let error = Connector::new().connect(&tcp("no-such-name.invalid", 1)).await.err().unwrap();
    assert!(matches!(error, ConnectError::Resolve { .. }), "{error}");
}

#[tokio::test]
async fn unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let error = Connector::new().connect(&upstream(UpstreamAddr::Unix(path.clone()))).await.err().unwrap();
    assert!(error.to_string().contains("app.sock"), "{error}");
    let listener = UnixListener::bind(&path).unwrap();
    let mut io = Connector::new().connect(&upstream(UpstreamAddr::Unix(path))).await.unwrap();
    assert!(matches!(io, Io::Unix(_)));
    let (mut accepted, _) = listener.accept().await.unwrap();
    assert!(io.is_quiet(true) && io.is_quiet(false));
    accepted.write_all(b"x").await.unwrap();
    assert!(!io.is_quiet(true));
}

#[tokio::test]
async fn quiet_until_the_peer_speaks_or_leaves() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut io = Connector::new().connect(&tcp("127.0.0.1", port)).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    assert!(io.is_quiet(true) && io.is_quiet(false));
    drop(accepted);
    assert!(!io.is_quiet(true));
    let Io::Tcp(tcp) = &io else { panic!("not TCP") };
    tcp.readable().await.unwrap();
    assert!(!io.is_quiet(false));
}

#[tokio::test]
async fn tls_is_verified_unless_told_otherwise() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut tls) = acceptor.accept(stream).await else { continue };
            let (_, session) = tls.get_ref();
            let heard = format!("{:?} {:?}", session.server_name(), session.alpn_protocol().map(<[u8]>::to_vec));
            let _ = tls.write_all(heard.as_bytes()).await;
            let _ = tls.shutdown().await;
        }
    });
    let connector = Connector::new();
    let mut to = tcp("localhost", port);
    to.tls = true;
    let error = connector.connect(&to).await.err().unwrap();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error}");
    assert!(
        error.to_string().contains("--insecure-upstream") || error.to_string().contains("ca-certificates"),
        "{error}"
    );
    to.insecure = true;
    let mut io = connector.connect(&to).await.unwrap();
    let mut heard = String::new();
    io.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, format!("Some(\"localhost\") {:?}", Some(b"http/1.1".to_vec())));
}

#[tokio::test]
async fn tls_towards_a_plain_server_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read(&mut [0; 1024]).await;
    });
    let mut to = tcp("127.0.0.1", port);
    (to.tls, to.insecure) = (true, true);
    let error = Connector::new().connect(&to).await.err().unwrap();
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
}

/// A TLS server whose certificate, for `app.internal`, is its own root, and which speaks these protocols.
async fn tls_server(protocols: &'static [&'static [u8]]) -> (u16, Pem) {
    let made = rcgen::generate_simple_self_signed(["app.internal".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = doorstep_net::server_config(vec![made.cert.der().clone()], key).unwrap();
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut tls) = acceptor.accept(socket).await {
                    let _ = tls.read_u8().await;
                }
            });
        }
    });
    (port, Pem { path: "root.pem".into(), text: made.cert.pem().into() })
}

#[tokio::test]
async fn own_roots_and_another_name() {
    let (port, pem) = tls_server(&[b"http/1.1"]).await;
    let connector = Connector::new();
    let mut to = Upstream { tls: true, roots: Some(pem), ..tcp("127.0.0.1", port) };
    let error = connector.connect(&to).await.err().unwrap().to_string();
    assert!(error.contains("for another name"), "{error}");
    to.server_name = Some("app.internal".to_owned());
    assert!(connector.connect(&to).await.is_ok());
    let other = rcgen::generate_simple_self_signed(["app.internal".to_owned()]).unwrap();
    to.roots = Some(Pem { path: "other.pem".into(), text: other.cert.pem().into() });
    let error = connector.connect(&to).await.err().unwrap().to_string();
    assert!(error.contains("none of the roots"), "{error}");
    to.roots = Some(Pem { path: "empty.pem".into(), text: "".into() });
    let error = connector.connect(&to).await.err().unwrap().to_string();
    assert!(error.contains("no certificate in it"), "{error}");
}

#[tokio::test]
async fn http2_is_agreed_on() {
    let offers: [(&'static [&'static [u8]], bool); 3] = [(&[b"h2"], true), (&[b"http/1.1"], false), (&[], false)];
    for (protocols, agreed) in offers {
        let (port, pem) = tls_server(protocols).await;
        let to = Upstream {
            tls: true,
            roots: Some(pem),
            server_name: Some("app.internal".to_owned()),
            protocol: UpstreamProtocol::Http2,
            ..tcp("127.0.0.1", port)
        };
        match Connector::new().connect(&to).await {
            Ok(_) => assert!(agreed),
            Err(error) => assert!(!agreed && error.to_string().contains("does not speak HTTP/2"), "{error}"),
        }
    }
}

#[tokio::test]
async fn something_is_said_before_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = Upstream { tls: true, insecure: true, ..tcp("127.0.0.1", port) };
    let dialing = tokio::spawn(async move {
        let dial = Dial { within: Duration::from_secs(60), preamble: b"PROXY UNKNOWN\r\n" };
        let _ = Connector::new().connect_as(&to, dial).await;
    });
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut said = [0; 16];
    socket.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"PROXY UNKNOWN\r\n\x16", "and then a handshake record");
    drop(socket);
    dialing.await.unwrap();
}

#[tokio::test]
async fn a_full_unix_socket_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    listener.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    listener.listen(0).unwrap();
    let filling = || {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.connect(&socket2::SockAddr::unix(&path).unwrap()).map(|()| socket)
    };
    let mut held = Vec::new();
    while let Ok(socket) = filling() {
        held.push(socket);
    }
    let to = upstream(UpstreamAddr::Unix(path.clone()));
    let connecting = tokio::spawn(async move { Connector::new().connect(&to).await.is_ok() });
    tokio::task::yield_now().await;
    assert!(!connecting.is_finished());
    listener.accept().unwrap();
    assert!(connecting.await.unwrap());
}
