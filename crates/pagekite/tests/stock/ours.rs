//! Our front-end as a relay in small: names lead to carriers, and every connection is one request.

use std::sync::Arc;

use doorstep_net::{Accepting, BoxFuture, Conn, Drain, DrainControl, Handler, Quota, accept_loop};
use doorstep_pagekite::KiteSecret;
use doorstep_pagekite::server::{KiteNames, RegistryLending, Server, ServerOptions};
use doorstep_tunnel::Visitor;
use doorstep_tunnel::registry::{AgentLimits, Found, Lent, Registry, RegistryOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpListener;

use crate::program::{DOMAIN, SECRET};

pub struct Relay {
    pub server: Server,
    pub registry: Registry,
    _state: tempfile::TempDir,
    pub port: u16,
    pub drain: DrainControl,
}

impl Relay {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut ServerOptions)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut kites = KiteNames::default();
        kites.add(DOMAIN, KiteSecret::new(SECRET)).unwrap();
        kites.add(&format!("*.{DOMAIN}"), KiteSecret::new(SECRET)).unwrap();
        let mut options = ServerOptions {
            names: kites,
            tls: Arc::new(|_| None),
            https: false,
            end_to_end: true,
            ports: vec![80, 443, port],
            message: Some("hello from doorstep".to_owned()),
        };
        change(&mut options);
        let state = tempfile::tempdir().unwrap();
        let registry = Registry::open(state.path(), RegistryOptions::new("lab.test")).unwrap();
        let lending = RegistryLending::new(registry.clone(), AgentLimits::default());
        let server = Server::new(options, Arc::new(lending));
        let handler = server.in_front_of(Arc::new(Visitors(registry.clone())));
        let (drain, draining) = DrainControl::new();
        tokio::spawn(accept_loop(listener, Accepting::new(handler, Quota::new(1000)), draining));
        Self { server, registry, _state: state, port, drain }
    }

    pub fn find(&self, name: &str) -> Option<Arc<Lent>> {
        match self.registry.find(name) {
            Found::Lent(lent) => Some(lent),
            _ => None,
        }
    }

    /// Until `name` is lent.
    pub async fn until_flown(&self, name: &str) -> Arc<Lent> {
        loop {
            if let Some(lent) = self.find(name) {
                return lent;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    pub async fn until_gone(&self, name: &str) {
        while self.find(name).is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// Stands where the HTTP engine is.
struct Visitors(Registry);

impl Handler for Visitors {
    fn handle(&self, mut conn: Conn, _: Drain) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut head = Vec::new();
            while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                if conn.io.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            let text = String::from_utf8_lossy(&head).into_owned();
            let host = text.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap_or_default();
            let Found::Lent(lent) = self.0.find(host) else {
                let _ = conn.io.write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nno such name").await;
                return;
            };
            assert!(lent.carrier.one_request_each());
            let visitor = Visitor { peer: "192.0.2.7:1234".parse().unwrap(), local: conn.info.local, tls: None };
            let Ok(mut stream) = lent.open(visitor).await else { return };
            if stream.write_all(&head).await.is_ok() {
                let _ = copy_bidirectional(&mut conn.io, &mut stream).await;
            }
        })
    }
}
