use std::net::{Ipv4Addr, TcpListener as StdListener, UdpSocket as StdUdp};
use std::ops::RangeInclusive;

use tokio::net::{TcpStream, UdpSocket};

use super::*;

/// Ports that were free a moment ago, on loopback.
fn registry(dir: &Path, ports: RangeInclusive<u16>) -> Registry {
    let options = RegistryOptions { ports, bind: vec![Ipv4Addr::LOCALHOST.into()], ..options() };
    Registry::open(dir, options).unwrap()
}

fn free_port() -> u16 {
    StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

async fn exchange_tcp(port: u16, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let (mut read, mut write) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?.into_split();
    let mut back = Vec::new();
    let writing = async {
        write.write_all(bytes).await?;
        write.shutdown().await
    };
    tokio::try_join!(writing, read.read_to_end(&mut back))?;
    Ok(back)
}

#[tokio::test]
async fn tcp_both_ways_with_halves_closed() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let registry = registry(dir.path(), port..=port);
    let agent = joined_as(&registry, "studio").await;
    let own = session(&registry, &agent);
    let granted = claim(&registry, own, 1, &agent, &Claim::Tcp { port: 0 }).await.unwrap();
    assert_eq!((granted.grant.host.as_str(), granted.grant.port), (DOMAIN, port));
    let bytes: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
    assert!(exchange_tcp(port, &bytes).await.unwrap() == bytes);
    // Its agent blinks, and comes back to a port that is still bound.
    registry.end_session(own);
    let held = tokio::spawn(exchange_tcp(port, b"held"));
    tokio::task::yield_now().await;
    let again = session(&registry, &agent);
    claim(&registry, again, 1, &agent, &Claim::Tcp { port }).await.unwrap();
    assert_eq!(held.await.unwrap().unwrap(), b"held");
    let report = &registry.agents()[0];
    assert_eq!(report.ports, [format!("tcp/{port}")]);
    registry.forget(&format!("tcp/{port}")).await.unwrap();
    assert!(registry.agents()[0].ports.is_empty());
    // The listeners close in their own time.
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn their_connections_count_among_all_others() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let registry = registry(dir.path(), port..=port);
    let quota = Quota::new(1);
    registry.count_in(quota.clone());
    let agent = joined_as(&registry, "studio").await;
    let own = session(&registry, &agent);
    claim(&registry, own, 1, &agent, &Claim::Tcp { port }).await.unwrap();
    let mut first = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    first.write_all(b"x").await.unwrap();
    first.read_exact(&mut [0]).await.unwrap();
    let mut second = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    assert!(matches!(second.read(&mut [0]).await, Ok(0) | Err(_)));
    drop(first);
    while quota.open() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(exchange_tcp(port, b"x").await.unwrap(), b"x");
}

#[tokio::test]
async fn a_port_that_is_given_back_is_closed_and_visitors_do_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let registry = registry(dir.path(), port..=port);
    let agent = joined_as(&registry, "studio").await;
    let own = session(&registry, &agent);
    claim(&registry, own, 1, &agent, &Claim::Tcp { port }).await.unwrap();
    assert_eq!(exchange_tcp(port, b"x").await.unwrap(), b"x");
    registry.release(own, 1);
    let late = tokio::spawn(exchange_tcp(port, b"late"));
    tokio::task::yield_now().await;
    // Another program would have it now.
    let theirs = loop {
        match StdListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(theirs) => break theirs,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    };
    assert_ne!(late.await.unwrap().ok(), Some(b"late".to_vec()));
    drop(theirs);
    assert_eq!(registry.agents()[0].ports, [format!("tcp/{port}")], "it stays its own");
    claim(&registry, own, 2, &agent, &Claim::Tcp { port }).await.unwrap();
    assert_eq!(exchange_tcp(port, b"x").await.unwrap(), b"x");
    registry.revoke("studio").await.unwrap();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn several_runtimes_accept() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let registry = registry(dir.path(), port..=port);
    let threads: Vec<_> = (0..2)
        .map(|_| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap())
        .collect();
    for runtime in &threads {
        registry.add_runtime(runtime.handle().clone());
    }
    let agent = joined_as(&registry, "studio").await;
    let own = session(&registry, &agent);
    claim(&registry, own, 1, &agent, &Claim::Tcp { port }).await.unwrap();
    for _ in 0..20 {
        assert_eq!(exchange_tcp(port, b"x").await.unwrap(), b"x");
    }
    threads.into_iter().for_each(tokio::runtime::Runtime::shutdown_background);
}

#[tokio::test]
async fn what_breaks_at_the_agent_does_not_look_like_an_end() {
    struct Broken;
    impl Carrier for Broken {
        fn open(&self, _: u32, _: Visitor) -> BoxFuture<'_, Result<Io, OpenFailed>> {
            Box::pin(async { Err(OpenFailed { code: Code::DialRefused, retriable: true }) })
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let registry = registry(dir.path(), port..=port);
    let agent = joined_as(&registry, "studio").await;
    let own = session(&registry, &agent);
    registry.claim(own, 1, &agent, &Claim::Tcp { port }, Arc::new(Broken)).await.unwrap();
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    assert_eq!(socket.read(&mut [0]).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn ports_in_use_by_others_are_passed_over_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    // Two in a row, of which the first is taken.
    let (first, _taken) = (0..)
        .find_map(|_| {
            let taken = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = taken.local_addr().unwrap().port();
            let next = StdListener::bind((Ipv4Addr::LOCALHOST, port.checked_add(1)?)).ok();
            next.map(|_| (port, taken))
        })
        .unwrap();
    let registry = registry(dir.path(), first..=first + 1);
    let agent = joined_as(&registry, "studio").await;
    let own = session(&registry, &agent);
    assert_eq!(refused(claim(&registry, own, 1, &agent, &Claim::Tcp { port: first }).await), Code::PortTaken);
    let granted = claim(&registry, own, 2, &agent, &Claim::Tcp { port: 0 }).await.unwrap();
    assert_eq!(granted.grant.port, first + 1);
    assert_eq!(refused(claim(&registry, own, 3, &agent, &Claim::Tcp { port: 0 }).await), Code::TooManyPorts);
    assert_eq!(refused(claim(&registry, own, 4, &agent, &Claim::Tcp { port: 1 }).await), Code::PortNotAllowed);
    // What could not be had is nobody's.
    assert_eq!(registry.agents()[0].ports, [format!("tcp/{}", first + 1)]);
    drop(registry);
    assert_eq!(open(dir.path()).names().len(), 1);
}

#[tokio::test]
async fn datagrams_of_each_visitor_come_back_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let port = StdUdp::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let registry = registry(dir.path(), port..=port);
    let agent = joined_as(&registry, "studio").await;
    let own = session(&registry, &agent);
    claim(&registry, own, 1, &agent, &Claim::Udp { port: 0 }).await.unwrap();
    let visitors = [
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
    ];
    for round in 0..3_u8 {
        for (number, visitor) in visitors.iter().enumerate() {
            let sent = [round, number as u8, 7];
            visitor.send_to(&sent, (Ipv4Addr::LOCALHOST, port)).await.unwrap();
            let mut back = [0; 16];
            let (length, from) = visitor.recv_from(&mut back).await.unwrap();
            assert_eq!((&back[..length], from.port()), (&sent[..], port));
        }
    }
    assert_eq!(registry.agents()[0].usage.streams, 2);
}
