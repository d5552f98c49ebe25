//! A real name server, services and providers that are none, and a journal in memory.

// Each test file uses its part.
#![allow(dead_code)]

pub mod api;
pub mod knot;
pub mod providers;
pub mod service;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorstep_dns::{Addresses, Memory, Names, News, Options};
use doorstep_model::{Change, DnsProvider, DynamicDns, Ledger, LedgerFuture, Secret};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

pub const PATIENCE: Duration = Duration::from_secs(20);

/// A journal, and the memory of names.
#[derive(Default)]
pub struct Notebook {
    pub changes: Mutex<Vec<Change>>,
    pub text: Mutex<Option<String>>,
    pub full: bool,
}

impl Ledger for Notebook {
    fn record(&self, change: Change) -> LedgerFuture<'_, u64> {
        Box::pin(async move {
            if self.full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let mut changes = self.changes.lock().unwrap();
            let of = |change: &Change| match change {
                Change::Record(record) => Some((record.name.clone(), record.record.clone())),
                _ => None,
            };
            // As the journal: what was there before the first change counts.
            if let Some(known) = changes.iter().position(|known| of(known) == of(&change)) {
                if let (Change::Record(known), Change::Record(new)) = (&mut changes[known], change) {
                    known.values = new.values;
                }
                return Ok(known as u64 + 1);
            }
            changes.push(change);
            Ok(changes.len() as u64)
        })
    }

    fn undone(&self, _: u64) -> LedgerFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

impl Memory for Notebook {
    fn load(&self) -> Option<String> {
        self.text.lock().unwrap().clone()
    }

    fn save(&self, text: &str) -> io::Result<()> {
        *self.text.lock().unwrap() = Some(text.to_owned());
        Ok(())
    }
}

pub fn provider(kind: &str, settings: &[(&str, &str)]) -> DnsProvider {
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), Secret::new((*value).to_owned())));
    DnsProvider { kind: kind.into(), settings: settings.collect::<BTreeMap<_, _>>() }
}

pub fn group(provider: DnsProvider, name: &str) -> DynamicDns {
    let names = vec![name.parse().unwrap()];
    DynamicDns { provider, names, ttl: Duration::from_secs(60), ipv4: true, ipv6: true }
}

pub fn addresses(v4: Option<&str>, v6: Option<&str>, alias: Option<(&str, &str)>) -> Addresses {
    Addresses {
        v4: v4.map(|ip| ip.parse().unwrap()),
        v6: v6.map(|ip| ip.parse().unwrap()),
        aliases: alias.map(|(name, to)| (name.parse().unwrap(), to.parse().unwrap())).into_iter().collect(),
    }
}

/// A name that is kept.
pub struct Kept {
    pub names: Names,
    pub addresses: watch::Sender<Addresses>,
    pub news: mpsc::UnboundedReceiver<News>,
}

impl Kept {
    pub fn start(
        group: DynamicDns,
        first: Addresses,
        notebook: Arc<Notebook>,
        resolver: Option<std::net::SocketAddr>,
    ) -> Self {
        let (addresses, told) = watch::channel(first);
        let (says, news) = mpsc::unbounded_channel();
        let options = Options { ledger: notebook.clone(), memory: notebook.clone(), resolver, config: None };
        Self { names: Names::start(vec![group], &told, &options, &says), addresses, news }
    }

    pub async fn next(&mut self) -> News {
        timeout(PATIENCE, self.news.recv()).await.expect("no news").expect("nobody keeps it")
    }

    /// Until the zone's servers answer with it.
    pub async fn seen(&mut self) {
        loop {
            match self.next().await {
                News::Seen { .. } => return,
                News::Published { .. } => {}
                News::Failed { fault, .. } => panic!("{fault:?}"),
            }
        }
    }

    pub async fn fault(&mut self) -> doorstep_dns::DnsFault {
        match self.next().await {
            News::Failed { fault, .. } => fault,
            news => panic!("{news:?}"),
        }
    }
}

/// A name server that refuses every question: what was sent is all there is to go by.
pub async fn nobody() -> Option<std::net::SocketAddr> {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            // An answer (QR) with the code REFUSED (RFC 1035 section 4.1.1).
            buffer[2] |= 0x80;
            buffer[3] = buffer[3] & 0xf0 | 5;
            let _ = socket.send_to(&buffer[..length], from).await;
        }
    });
    Some(address)
}
