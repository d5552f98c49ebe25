//! What becomes of visitors.

use std::sync::Arc;

use doorstep_model::UpstreamAddr;
use doorstep_net::server_config;
use doorstep_proto::proxy_header;
use doorstep_proto::tunnel::{Claim, Code, Sharing};
use doorstep_tunnel::link::LinkStream;
use doorstep_tunnel::{OpenFailed, Sink, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket, UnixListener};

use crate::fixture::{Echo, Subject, http, reverser, web};
use crate::relay::Relay;

const BOTH: [Sharing; 2] = [Sharing::Exclusive, Sharing::Shared];

async fn exchange(stream: &mut LinkStream, text: &[u8]) -> Vec<u8> {
    stream.write_all(text).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

async fn failure(mut stream: LinkStream) -> OpenFailed {
    let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
    *error.get_ref().and_then(|inner| inner.downcast_ref::<OpenFailed>()).expect("not refused")
}

#[tokio::test]
async fn web_targets_get_relayed_connections() {
    let relay = Relay::start().await;
    let echo = Arc::new(Echo::default());
    let mut subject = Subject::start(vec![relay.identity()], web(&echo));
    assert_eq!(subject.lent().await, "https://blog.tun.example.com");
    let session = relay.session(0, 1).await;
    for sharing in BOTH {
        let mut stream = session.open(sharing, 1);
        assert_eq!(exchange(&mut stream, b"hello").await, b"hello");
    }
    let visitors = echo.visitors.lock().clone();
    assert_eq!(visitors.len(), 2);
    for visitor in visitors {
        assert!(visitor.relayed && visitor.peer == "203.0.113.9:4711".parse().unwrap());
        let tls = visitor.tls.clone().unwrap();
        assert_eq!((tls.sni.as_deref(), tls.h2), (Some("blog.tun.example.com"), false));
    }
    let status = subject.agent.status();
    assert_eq!((status.streams_total, status.bytes_in, status.bytes_out), (2, 10, 10));
    assert_eq!((status.name.as_deref(), status.connections), (Some("studio"), 2));
}

#[tokio::test]
async fn apps_get_all_bytes_and_ends_both_ways() {
    let relay = Relay::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"from a unix socket").await.unwrap();
    });
    let tcp = Target::new(Claim::Tcp { port: 2000 }, Sink::Dial(reverser().await));
    let unix = Target::new(Claim::Tcp { port: 2001 }, Sink::Dial(UpstreamAddr::Unix(path)));
    let mut subject = Subject::start(vec![relay.identity()], vec![tcp, unix]);
    assert_eq!(subject.lent().await, "tcp://2000.tun.example.com:2000");
    let session = relay.session(0, 2).await;
    let sent: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    for sharing in BOTH {
        let stream = session.open(sharing, 1);
        let (mut read, mut write) = tokio::io::split(stream);
        let sending = async {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let (_, read) = tokio::join!(sending, read.read_to_end(&mut got));
        read.unwrap();
        got.reverse();
        assert!(got == sent, "{} bytes", got.len());
    }
    let mut stream = session.open(Sharing::Exclusive, 2);
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "from a unix socket");
}

#[tokio::test]
async fn an_app_is_told_who_visits() {
    let relay = Relay::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = UpstreamAddr::Tcp { host: "localhost".into(), port: listener.local_addr().unwrap().port() };
    let mut target = Target::new(Claim::Tcp { port: 2000 }, Sink::Dial(to));
    target.proxy_header = true;
    let _subject = Subject::start(vec![relay.identity()], vec![target]);
    let session = relay.session(0, 1).await;
    let mut stream = session.open(Sharing::Exclusive, 1);
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut header = [0; 28];
    socket.read_exact(&mut header).await.unwrap();
    let parsed = proxy_header::parse(&header).unwrap().unwrap();
    let addresses = ("203.0.113.9:4711".parse().unwrap(), "198.51.100.1:443".parse().unwrap());
    assert_eq!((parsed.length, parsed.addresses), (28, Some(addresses)));
    assert_eq!(socket.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn what_cannot_or_must_not_be_dialled_is_refused() {
    let relay = Relay::start().await;
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let tcp = |port, host: &str, to| {
        Target::new(Claim::Tcp { port }, Sink::Dial(UpstreamAddr::Tcp { host: host.into(), port: to }))
    };
    let udp = Target::new(Claim::Udp { port: 2002 }, Sink::DialUdp("169.254.169.254:53".parse().unwrap()));
    let targets = vec![tcp(2000, "127.0.0.1", gone), tcp(2001, "169.254.169.254", 80), udp];
    let _subject = Subject::start(vec![relay.identity()], targets);
    let session = relay.session(0, 3).await;
    for sharing in BOTH {
        let refused = OpenFailed { code: Code::DialRefused, retriable: true };
        assert_eq!(failure(session.open(sharing, 1)).await, refused);
        assert_eq!(failure(session.open(sharing, 2)).await.code, Code::DialForbidden);
        assert_eq!(failure(session.open(sharing, 9)).await.code, Code::UnknownClaim);
    }
    assert_eq!(failure(session.open_as(Sharing::Shared, 3, None, true)).await.code, Code::DialForbidden);
}

#[tokio::test]
async fn an_app_that_breaks_off_is_no_end() {
    let relay = Relay::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = UpstreamAddr::Tcp { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
    let _subject = Subject::start(vec![relay.identity()], vec![Target::new(Claim::Tcp { port: 2000 }, Sink::Dial(to))]);
    let session = relay.session(0, 1).await;
    // The app resets: the visitor must not take it for the end of the answer.
    let mut stream = session.open(Sharing::Exclusive, 1);
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    socket.write_all(b"half an ans").await.unwrap();
    let mut half = [0; 11];
    stream.read_exact(&mut half).await.unwrap();
    socket2::SockRef::from(&socket).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(socket);
    assert!(stream.read_to_end(&mut Vec::new()).await.is_err());
    drop(stream);
    // The visitor resets: the app must not take it for the end of the upload.
    let mut stream = session.open(Sharing::Shared, 1);
    stream.write_all(b"half an upl").await.unwrap();
    stream.flush().await.unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    socket.read_exact(&mut half).await.unwrap();
    stream.reset(Code::StreamReset);
    assert!(socket.read_to_end(&mut Vec::new()).await.is_err());
}

#[tokio::test]
async fn datagrams_keep_their_bounds() {
    let relay = Relay::start().await;
    let app = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = app.local_addr().unwrap();
    let mut subject =
        Subject::start(vec![relay.identity()], vec![Target::new(Claim::Udp { port: 53 }, Sink::DialUdp(to))]);
    assert_eq!(subject.lent().await, "udp://53.tun.example.com:53");
    let session = relay.session(0, 1).await;
    let mut one = session.open_as(Sharing::Shared, 1, None, true);
    let mut other = session.open_as(Sharing::Shared, 1, None, true);
    let mut buffer = [0; 2000];
    let mut froms = Vec::new();
    for (stream, text) in [(&mut one, &b"one"[..]), (&mut other, b"other")] {
        stream.write_all(text).await.unwrap();
        stream.flush().await.unwrap();
        let (length, from) = app.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], text);
        app.send_to(&[text, b"!"].concat(), from).await.unwrap();
        app.send_to(b"again", from).await.unwrap();
        let length = stream.read(&mut buffer).await.unwrap();
        assert_eq!(buffer[..length], [text, b"!"].concat());
        let length = stream.read(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"again");
        froms.push(from);
    }
    assert_ne!(froms[0], froms[1]);
}

#[tokio::test]
async fn tls_can_end_at_the_agent() {
    let relay = Relay::start().await;
    let echo = Arc::new(Echo::default());
    let made = rcgen::generate_simple_self_signed(["shop.example.org".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let select = Arc::new(server_config(vec![made.cert.der().clone()], key).unwrap());
    let sink = Sink::ServeTls { select, handler: echo.clone() };
    let targets = vec![Target::new(Claim::Tls { name: "shop.example.org".into() }, sink)];
    let _subject = Subject::start(vec![relay.identity()], targets);
    let session = relay.session(0, 1).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = builder.with_root_certificates(roots).with_no_client_auth();
    let stream = session.open_as(Sharing::Exclusive, 1, None, false);
    let name = "shop.example.org".try_into().unwrap();
    let mut tls = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
    tls.write_all(b"secret").await.unwrap();
    let mut answer = [0; 6];
    tls.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"secret");
    let visitor = echo.visitors.lock()[0].clone();
    assert!(!visitor.relayed && visitor.peer == "203.0.113.9:4711".parse().unwrap());
    assert_eq!(visitor.tls.clone().unwrap().sni.as_deref(), Some("shop.example.org"));
}

#[tokio::test]
async fn a_refused_name_does_not_hinder_the_others() {
    let relay = Relay::start().await;
    relay.deny("shop", Code::NameTaken);
    let echo = Arc::new(Echo::default());
    let targets = ["shop", "blog"].map(|name| Target::new(http(name), Sink::Serve(echo.clone()))).to_vec();
    let mut subject = Subject::start(vec![relay.identity()], targets);
    let refused = |event| match event {
        doorstep_tunnel::AgentEvent::Refused { target, why } => Some((target, why.code)),
        _ => None,
    };
    assert_eq!(subject.event(refused).await, (0, Code::NameTaken));
    assert_eq!(subject.lent().await, "https://blog.tun.example.com");
    let session = relay.session(0, 1).await;
    assert_eq!(exchange(&mut session.open(Sharing::Shared, 2), b"still").await, b"still");
}
