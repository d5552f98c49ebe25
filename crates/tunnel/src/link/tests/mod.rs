mod exclusive;
mod shared;
mod silence;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use doorstep_net::{BoxIo, Io};
use doorstep_proto::tunnel::{Open, Role, Sharing, TunnelError};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::{Link, LinkEvent, LinkHandle, LinkStream, Transport};

/// Both ends of a connection, each polled by a task of its own.
struct Pair {
    relay: LinkHandle,
    agent: LinkHandle,
    opened: UnboundedReceiver<(Open, LinkStream)>,
    freed: UnboundedReceiver<()>,
    relay_task: JoinHandle<TunnelError>,
    agent_task: JoinHandle<TunnelError>,
}

async fn poll(mut link: Link, opened: UnboundedSender<(Open, LinkStream)>, freed: UnboundedSender<()>) -> TunnelError {
    loop {
        match link.event().await {
            Ok(LinkEvent::Opened(open, stream)) => drop(opened.send((open, stream))),
            Ok(LinkEvent::Free) => drop(freed.send(())),
            Err(error) => return error,
        }
    }
}

fn pair(sharing: Sharing, relay: Transport, agent: Transport) -> Pair {
    let relay = Link::new(Role::Relay, sharing, relay, Bytes::new());
    let agent = Link::new(Role::Agent, sharing, agent, Bytes::new());
    let (relay_handle, agent_handle) = (relay.handle(), agent.handle());
    agent_handle.allow(1, false);
    agent_handle.allow(2, true);
    let (open_sender, opened) = unbounded_channel();
    let (free_sender, freed) = unbounded_channel();
    let nobody = unbounded_channel();
    let relay_task = tokio::spawn(poll(relay, nobody.0, free_sender));
    let agent_task = tokio::spawn(poll(agent, open_sender, unbounded_channel().0));
    Pair { relay: relay_handle, agent: agent_handle, opened, freed, relay_task, agent_task }
}

/// Over TLS and the loopback interface.
async fn over_tls(sharing: Sharing) -> Pair {
    let (relay, agent) = tls().await;
    pair(sharing, relay, agent)
}

/// Over memory, for tests of what happens in the course of time; `buffer` bytes each way.
fn over_memory(sharing: Sharing, buffer: usize) -> Pair {
    let (relay, agent) = tokio::io::duplex(buffer);
    pair(sharing, Io::Other(Box::new(relay) as BoxIo).into(), Io::Other(Box::new(agent) as BoxIo).into())
}

async fn tls() -> (Transport, Transport) {
    let made = rcgen::generate_simple_self_signed(["relay.test".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let server = doorstep_net::server_config(vec![certificate.clone()], key).unwrap();
    let client = client_config(certificate);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dial = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let accepted = listener.accept().await.unwrap().0;
    let name = ServerName::try_from("relay.test").unwrap();
    let client = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, dial);
    let server = tokio_rustls::TlsAcceptor::from(server).accept(accepted);
    let (client, server) = tokio::try_join!(client, server).unwrap();
    (Io::Tls(Box::new(server)).into(), client.into())
}

fn client_config(certificate: CertificateDer<'static>) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn to(claim: u32) -> Open {
    let nobody = SocketAddr::from(([192, 0, 2, 1], 1234));
    Open { claim, visitor: nobody, local: nobody, tls: None, datagrams: claim == 2 }
}

/// Bytes in which a misplaced piece is seen.
fn pattern(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

async fn echo(stream: LinkStream) {
    stream.accept();
    let (mut read, mut write) = tokio::io::split(stream);
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

async fn read_all(stream: &mut LinkStream) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await?;
    Ok(all)
}
