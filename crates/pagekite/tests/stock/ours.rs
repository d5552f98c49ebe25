//! Our front-end as a relay in small: names lead to carriers, and every connection is one request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use doorstep_net::{Accepting, BoxFuture, Conn, Drain, DrainControl, Handler, Quota, accept_loop};
use doorstep_pagekite::KiteSecret;
use doorstep_pagekite::server::{KiteNames, Lending, Server, ServerOptions};
use doorstep_proto::tunnel::{Claim, SessionId, TunnelError};
use doorstep_tunnel::{Carrier, Visitor};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpListener;

use crate::program::{DOMAIN, SECRET};

type Held = (SessionId, u32, Arc<dyn Carrier>);

/// Names, and who holds them now; `tls:` in front of those that are passed on.
#[derive(Default)]
pub struct Names(Mutex<HashMap<String, Held>>);

impl Names {
    pub fn find(&self, name: &str) -> Option<Held> {
        self.0.lock().unwrap().get(name).cloned()
    }
}

impl Lending for Names {
    fn claim<'a>(
        &'a self,
        session: SessionId,
        id: u32,
        domain: &'a str,
        claim: Claim,
        carrier: Arc<dyn Carrier>,
    ) -> BoxFuture<'a, Result<Option<SessionId>, TunnelError>> {
        Box::pin(async move {
            let name = match claim {
                Claim::Http { name, .. } => name,
                Claim::Tls { name } => format!("tls:{name}"),
                other => panic!("{other:?}"),
            };
            assert!(name.ends_with(domain));
            let before = self.0.lock().unwrap().insert(name, (session, id, carrier));
            Ok(before.map(|(other, ..)| other).filter(|other| *other != session))
        })
    }

    fn end_session(&self, session: SessionId) {
        self.0.lock().unwrap().retain(|_, (other, ..)| *other != session);
    }
}

pub struct Relay {
    pub server: Server,
    pub names: Arc<Names>,
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
            hosts: Vec::new(),
            tls: None,
            https: false,
            end_to_end: true,
            ports: vec![80, 443, port],
            message: Some("hello from doorstep".to_owned()),
        };
        change(&mut options);
        let names = Arc::new(Names::default());
        let server = Server::new(options, names.clone());
        let handler = server.in_front_of(Arc::new(Visitors(names.clone())));
        let (drain, draining) = DrainControl::new();
        tokio::spawn(accept_loop(listener, Accepting::new(handler, Quota::new(1000)), draining));
        Self { server, names, port, drain }
    }

    /// Until `name` is held.
    pub async fn until_flown(&self, name: &str) -> Held {
        loop {
            if let Some(held) = self.names.find(name) {
                return held;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    pub async fn until_gone(&self, name: &str) {
        while self.names.find(name).is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// Stands where the HTTP engine is.
struct Visitors(Arc<Names>);

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
            let Some((_, id, carrier)) = self.0.find(host) else {
                let _ = conn.io.write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nno such name").await;
                return;
            };
            assert!(carrier.one_request_each());
            let visitor = Visitor { peer: "192.0.2.7:1234".parse().unwrap(), local: conn.info.local, tls: None };
            let Ok(mut stream) = carrier.open(id, visitor).await else { return };
            if stream.write_all(&head).await.is_ok() {
                let _ = copy_bidirectional(&mut conn.io, &mut stream).await;
            }
        })
    }
}
