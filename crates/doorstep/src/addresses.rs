//! Which addresses lead here. Each is asked first, with a word that only this run of doorstep knows, and told when it answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use doorstep_model::{Blame, Finding, Severity, Upstream, UpstreamAddr, UpstreamProtocol};
use doorstep_net::{Connect, Connector, NetworkChanges};
use doorstep_reach::interfaces::{self, ShareAddress};
use doorstep_reach::mdns::{Announcement, Publisher, Status, host_name};
use doorstep_reach::{firewall, mdns};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::limits;
use crate::screen::{Address, Message, Scope, Screen};

const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// What is listened on, and the word that proves it.
#[derive(Clone, Debug)]
pub struct Listening {
    pub addresses: Vec<SocketAddr>,
    pub port: u16,
    pub tls: bool,
    pub nonce: String,
    /// How the service is called in the network: `photos on my-laptop`.
    pub service: String,
    /// Whether not everybody who gets here may come in.
    pub guarded: bool,
    /// Whether visitors on this computer may come in (`--allow`).
    pub here_allowed: bool,
}

impl Listening {
    fn url(&self, host: &str) -> String {
        let (scheme, usual) = if self.tls { ("https", 443) } else { ("http", 80) };
        if self.port == usual { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{}", self.port) }
    }

    /// Whether a connection to `ip` arrives at a socket of ours.
    fn covers(&self, ip: IpAddr) -> bool {
        self.addresses
            .iter()
            .any(|address| address.ip() == ip || (address.ip().is_unspecified() && address.is_ipv4() == ip.is_ipv4()))
    }

    fn beyond_this_computer(&self) -> bool {
        self.addresses.iter().any(|address| !address.ip().is_loopback())
    }

    /// Addresses that are listened on by their number, and would not be told otherwise: whoever asks for a container's
    /// network with `--bind` wants to hear of it.
    fn asked_for(&self, shared: &[ShareAddress]) -> Vec<IpAddr> {
        let ips = self.addresses.iter().map(SocketAddr::ip);
        ips.filter(|ip| !ip.is_unspecified() && !LOOPBACK.contains(ip) && shared.iter().all(|one| one.ip != *ip))
            .collect()
    }

    /// Asks at `ip`, under the name `host`.
    async fn answers(&self, connector: &Connector, ip: IpAddr, host: &str) -> bool {
        for attempt in 0..limits::PROOF_TRIES {
            sleep(limits::PROOF_TIME / 8 * attempt).await;
            if timeout(limits::PROOF_TIME, self.ask(connector, ip, host)).await.is_ok_and(|proof| proof.is_some()) {
                return true;
            }
        }
        false
    }

    async fn ask(&self, connector: &Connector, ip: IpAddr, host: &str) -> Option<()> {
        let upstream = Upstream {
            addr: UpstreamAddr::Tcp { host: ip.to_string(), port: self.port },
            tls: self.tls,
            // Whose certificate it is does not matter here: the nonce proves that it is us.
            insecure: true,
            authority: format!("{host}:{}", self.port),
            base_path: String::new(),
            protocol: UpstreamProtocol::Http1,
            server_name: None,
            roots: None,
        };
        let mut io = connector.connect(&upstream).await.ok()?;
        let request = format!(
            "GET /.doorstep/ping/{} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.nonce, upstream.authority
        );
        io.write_all(request.as_bytes()).await.ok()?;
        io.flush().await.ok()?;
        let mut answer = Vec::new();
        // An end without TLS's goodbye is an error, and the answer is complete all the same.
        let _ = io.take(4096).read_to_end(&mut answer).await;
        (answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(self.nonce.as_bytes())).then_some(())
    }
}

/// Tells `screen` every address that answers, and what stands in the way of others. The name in the network is kept
/// up by the [`Publisher`] that is returned: it follows the network for as long as it lives.
pub async fn tell(listening: Listening, screen: Screen) -> Option<Publisher> {
    let listening = Arc::new(listening);
    let connector = Arc::new(Connector::new());
    let mut proofs = JoinSet::new();
    if let Some(ip) = LOOPBACK.into_iter().find(|ip| listening.here_allowed && listening.covers(*ip)) {
        let (listening, connector, screen) = (listening.clone(), connector.clone(), screen.clone());
        proofs.spawn(async move {
            if listening.answers(&connector, ip, "localhost").await {
                let url = listening.url("localhost");
                screen.tell(Message::Address(Address::new(url, Scope::ThisComputer)));
            }
        });
    }
    let known = tokio::task::spawn_blocking(interfaces::list).await.unwrap_or_default();
    let shared: Vec<ShareAddress> =
        interfaces::share_addresses(&known).into_iter().filter(|address| listening.covers(address.ip)).collect();
    for ip in listening.asked_for(&shared) {
        let (listening, connector, screen) = (listening.clone(), connector.clone(), screen.clone());
        proofs.spawn(async move {
            let host = numeric(ip);
            if listening.answers(&connector, ip, &host).await {
                let scope = if ip.is_loopback() { Scope::ThisComputer } else { Scope::Network };
                screen.tell(Message::Address(Address { numeric: true, ..Address::new(listening.url(&host), scope) }));
            }
        });
    }
    if !listening.beyond_this_computer() {
        proofs.join_all().await;
        screen.tell(Message::Settled);
        return None;
    }
    let first = shared.iter().map(|address| address.ip).find(|ip| !ip.is_loopback());
    if shared.is_empty() && listening.asked_for(&shared).is_empty() {
        screen.tell(Message::Finding(no_network()));
    }
    for address in &shared {
        proofs.spawn(prove(address.clone(), listening.clone(), connector.clone(), screen.clone()));
    }
    tokio::spawn(follow_numbers(shared, listening.clone(), connector.clone(), screen.clone()));
    let publisher = first.map(|ip| {
        let publisher = Publisher::start(Announcement {
            host_name: host_name(),
            service_name: listening.service.clone(),
            port: listening.port,
            tls: listening.tls,
            bind: listening.addresses.iter().map(SocketAddr::ip).collect(),
        });
        tokio::spawn(follow_name(publisher.status(), ip, listening.clone(), connector.clone(), screen.clone()));
        publisher
    });
    let (port, wall) = (listening.port, screen.clone());
    tokio::spawn(async move {
        if let Some(finding) = firewall::check(port, &known).await.finding(port) {
            wall.tell(Message::Finding(finding));
        }
    });
    tokio::spawn(async move {
        proofs.join_all().await;
        screen.tell(Message::Settled);
    });
    publisher
}

/// Tells an address by its number, if it answers.
async fn prove(address: ShareAddress, listening: Arc<Listening>, connector: Arc<Connector>, screen: Screen) {
    let host = numeric(address.ip);
    if !listening.answers(&connector, address.ip, &host).await {
        return;
    }
    let told = told(&address, listening.url(&host));
    let exposed = told.scope == Scope::Internet && !listening.guarded;
    screen.tell(Message::Address(told));
    if exposed {
        screen.tell(Message::Finding(on_the_internet(address.ip)));
    }
}

/// Tells addresses that come with another network, and takes back those that went with the one before.
async fn follow_numbers(
    mut known: Vec<ShareAddress>,
    listening: Arc<Listening>,
    connector: Arc<Connector>,
    screen: Screen,
) {
    let mut changes = NetworkChanges::watch();
    loop {
        changes.next().await;
        let Ok(interfaces) = tokio::task::spawn_blocking(interfaces::list).await else { continue };
        let mut now = interfaces::share_addresses(&interfaces);
        now.retain(|address| listening.covers(address.ip));
        for gone in known.iter().filter(|known| now.iter().all(|address| address.ip != known.ip)) {
            screen.tell(Message::Gone(listening.url(&numeric(gone.ip))));
        }
        for new in now.iter().filter(|address| known.iter().all(|known| known.ip != address.ip)) {
            tokio::spawn(prove(new.clone(), listening.clone(), connector.clone(), screen.clone()));
        }
        known = now;
    }
}

/// Tells the name when it is published and answers.
async fn follow_name(
    mut status: tokio::sync::watch::Receiver<Status>,
    ip: IpAddr,
    listening: Arc<Listening>,
    connector: Arc<Connector>,
    screen: Screen,
) {
    loop {
        let now = status.borrow_and_update().clone();
        if let Status::Published { name, taken } = now
            && listening.answers(&connector, ip, &name).await
        {
            screen.tell(Message::Address(Address::new(listening.url(&name), Scope::Network)));
            if let Some(taken) = taken {
                screen.tell(Message::Finding(name_taken(&taken, &name)));
            }
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

fn told(address: &ShareAddress, url: String) -> Address {
    let lasting_or_not = matches!(address.scope, interfaces::Scope::Global | interfaces::Scope::Temporary);
    let scope = match address.ip {
        IpAddr::V6(_) if lasting_or_not => Scope::InternetIpv6,
        // Ranges for documentation and benchmarks are global by number only; laboratories use them.
        IpAddr::V4(ip) if lasting_or_not && !ip.is_documentation() && !is_benchmark(ip) => Scope::Internet,
        _ => Scope::Network,
    };
    Address {
        interface: Some(address.interface.clone()),
        label: address.label.clone(),
        numeric: true,
        ..Address::new(url, scope)
    }
}

fn on_the_internet(ip: IpAddr) -> Finding {
    Finding {
        severity: Severity::Warning,
        blame: Blame::Environment,
        id: "public-address",
        what: format!("{ip} is an address of the internet."),
        why: "Unless a firewall in between forbids it, the whole world can open this share.".to_owned(),
        fix: "For people you know: --password. For yourself: --local.".to_owned(),
    }
}

/// 198.18.0.0/15 (RFC 2544).
fn is_benchmark(ip: Ipv4Addr) -> bool {
    matches!(ip.octets(), [198, 18 | 19, ..])
}

fn numeric(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn name_taken(taken: &mdns::Taken, name: &str) -> Finding {
    let by = taken.by.map_or_else(String::new, |ip| format!(" ({ip})"));
    Finding {
        severity: Severity::Note,
        blame: Blame::Environment,
        id: "name-taken",
        what: format!("Another computer in your network{by} is called {}; this one is {name}.", taken.name),
        why: String::new(),
        fix: String::new(),
    }
}

fn no_network() -> Finding {
    Finding {
        severity: Severity::Warning,
        blame: Blame::Environment,
        id: "no-network",
        what: "This computer is not connected to a network.".to_owned(),
        why: "Other devices cannot reach it.".to_owned(),
        fix: "Connect to the Wi-Fi or cable the others are on. Its address appears here by itself.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn listening(addresses: &[&str], port: u16, tls: bool) -> Listening {
        let addresses = addresses.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect();
        Listening {
            addresses,
            port,
            tls,
            nonce: "cafe".to_owned(),
            service: String::new(),
            guarded: false,
            here_allowed: true,
        }
    }

    #[test]
    fn urls_leave_out_the_usual_port() {
        assert_eq!(listening(&[], 8080, false).url("localhost"), "http://localhost:8080");
        assert_eq!(listening(&[], 80, false).url("[::1]"), "http://[::1]");
        assert_eq!(listening(&[], 443, true).url("a.local"), "https://a.local");
    }

    #[test]
    fn only_what_is_bound_is_asked() {
        let all_v4 = listening(&["0.0.0.0"], 80, false);
        assert!(all_v4.covers("10.0.0.1".parse().unwrap()) && !all_v4.covers("::1".parse().unwrap()));
        let local = listening(&["127.0.0.1", "::1"], 80, false);
        assert!(!local.beyond_this_computer() && all_v4.beyond_this_computer());
    }

    #[test]
    fn a_server_s_address_is_told_as_one_of_the_internet() {
        let scope_of = |ip: &str, scope| {
            let address = ShareAddress {
                ip: ip.parse().unwrap(),
                scope,
                interface: "eth0".to_owned(),
                kind: interfaces::Kind::Lan,
                label: None,
            };
            told(&address, String::new()).scope
        };
        assert_eq!(scope_of("8.8.4.4", interfaces::Scope::Global), Scope::Internet);
        assert_eq!(scope_of("192.0.2.2", interfaces::Scope::Global), Scope::Network);
        assert_eq!(scope_of("192.168.1.23", interfaces::Scope::Private), Scope::Network);
        assert_eq!(scope_of("2001:db8::1", interfaces::Scope::Global), Scope::InternetIpv6);
    }

    #[test]
    fn what_was_asked_for_is_told_too() {
        let bound = listening(&["127.0.0.1", "127.0.0.2", "172.17.0.1", "0.0.0.0"], 80, false);
        assert_eq!(
            bound.asked_for(&[]).iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["127.0.0.2", "172.17.0.1"]
        );
    }

    #[tokio::test]
    async fn an_address_is_believed_only_with_the_right_word() {
        for (word, believed) in [("cafe", true), ("decaf", false)] {
            let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = server.local_addr().unwrap().port();
            let serving = tokio::spawn(async move {
                loop {
                    let (mut conn, _) = server.accept().await.unwrap();
                    let _ = conn.read(&mut [0; 1024]).await;
                    let _ = conn.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{word}").as_bytes()).await;
                }
            });
            let listening = listening(&["127.0.0.1"], port, false);
            let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
            assert_eq!(listening.ask(&Connector::new(), ip, "localhost").await.is_some(), believed);
            serving.abort();
        }
    }
}
