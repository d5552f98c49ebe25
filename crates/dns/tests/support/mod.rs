//! A real name server, services that are none, and a journal in memory.

pub mod knot;
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
