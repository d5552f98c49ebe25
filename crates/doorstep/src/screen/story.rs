//! What a session of sharing has to tell, whichever way it is shown.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

use crate::lend::State;
use crate::screen::human;

/// Sharing has begun: every listener is open.
#[derive(Clone, Debug, Default)]
pub struct Sharing {
    /// As given on the command line.
    pub target: String,
    pub kind: Kind,
    /// What is shared, for a person: `./photos`, `http://127.0.0.1:8000`.
    pub title: String,
    /// More about it, such as a size; may be empty.
    pub detail: String,
    /// `http` or `https`.
    pub scheme: &'static str,
    pub port: u16,
    pub listen: Vec<SocketAddr>,
    /// User and password that let visitors in.
    pub credentials: Option<(String, String)>,
    /// SHA-256 of the certificate.
    pub fingerprint: Option<String>,
    pub expires: Option<Duration>,
    /// Nobody in the network can visit.
    pub local: bool,
    /// It has, or will have, an address of the internet by a tunnel.
    pub tunnel: bool,
}

impl Sharing {
    /// The address for this computer itself: `http://localhost:8080`, or a number where only that is listened on.
    pub fn url(&self) -> String {
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let is_local = |address: &SocketAddr| address.ip().is_unspecified() || loopback.contains(&address.ip());
        match self.listen.first() {
            Some(first) if !self.listen.iter().any(is_local) => {
                format!("{}://{}", self.scheme, SocketAddr::new(first.ip(), self.port))
            }
            _ => format!("{}://localhost:{}", self.scheme, self.port),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    #[default]
    Folder,
    File,
    Stdin,
    App,
    /// Connections as they are, through a tunnel only.
    Tcp,
    /// Datagrams, through a tunnel only.
    Udp,
}

impl Kind {
    /// Whether visitors speak HTTP with it.
    pub fn is_web(self) -> bool {
        !matches!(self, Self::Tcp | Self::Udp)
    }
}

/// An address that answered a request of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub url: String,
    pub scope: Scope,
    pub interface: Option<String>,
    /// What to call it instead of its scope: `VPN (wg0)`.
    pub label: Option<String>,
    /// The number rather than the name: what a phone without multicast DNS can use.
    pub numeric: bool,
}

impl Address {
    /// A name that works within `scope`.
    pub fn new(url: String, scope: Scope) -> Self {
        Self { url, scope, interface: None, label: None, numeric: false }
    }

    /// Whether a code for phones may say it.
    pub fn is_scannable(&self) -> bool {
        match self.scope {
            Scope::Tunnel => self.url.starts_with("http"),
            scope => scope.is_for_phones() && self.numeric && self.label.is_none(),
        }
    }

    /// What stands before it on the screen.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or_else(|| self.scope.label())
    }
}

/// A way from the internet to here, and how it fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Which of the ways, in the order of preference.
    pub way: usize,
    /// Whose address it is: `tun.example.com`, `ssh://vps`.
    pub via: String,
    /// `None`: it stands by, since one before it works.
    pub state: Option<State>,
}

/// What was found out about the app that is shared.
#[derive(Clone, Debug, Default)]
pub struct App {
    /// `Django development server`; empty where it is not known.
    pub name: String,
    pub version: Option<String>,
    /// Whether it shows debug pages to visitors.
    pub debug: bool,
}

impl App {
    /// `Django development server 5.2`
    pub fn title(&self) -> String {
        match &self.version {
            Some(version) if !self.name.is_empty() => format!("{} {version}", self.name),
            _ => self.name.clone(),
        }
    }
}

/// From where an address works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// By a tunnel, from everywhere.
    Tunnel,
    ThisComputer,
    Network,
    /// An IPv4 address of the internet: a server's, seldom a home computer's.
    Internet,
    InternetIpv6,
}

impl Scope {
    pub fn label(self) -> &'static str {
        match self {
            Self::Tunnel => "internet",
            Self::ThisComputer => "this computer",
            Self::Network => "your network",
            Self::Internet => "the internet",
            Self::InternetIpv6 => "by IPv6",
        }
    }
}

impl Scope {
    /// Whether a phone in the same room can use it.
    pub fn is_for_phones(self) -> bool {
        matches!(self, Self::Tunnel | Self::Network | Self::Internet)
    }
}

/// Why sharing ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    Interrupt,
    Terminate,
    Expired,
    Once,
}

/// The end, in figures.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    pub reason: Reason,
    pub visitors: usize,
    /// Whether there were more visitors than are counted.
    pub more_visitors: bool,
    pub requests: u64,
    pub sent: u64,
    pub received: u64,
    pub duration: Duration,
    pub unseen: u64,
    /// Connections that were still busy and were closed.
    pub cut: usize,
}

impl Summary {
    /// `3 visitors made 120 requests in 12 minutes and got 52 MB.`
    pub fn sentence(&self) -> String {
        let time = human::duration(self.duration);
        let cut = match self.cut {
            0 => String::new(),
            1 => " One transfer was cut off.".to_owned(),
            cut => format!(" {cut} transfers were cut off."),
        };
        if self.requests == 0 {
            let came = if self.cut == 0 { "Nobody came" } else { "No request was over" };
            return format!("{came} in {time}.{cut}");
        }
        let more = if self.more_visitors { "More than " } else { "" };
        let visitors = human::counted(self.visitors as u64, "visitor");
        let requests = human::counted(self.requests, "request");
        let got = human::bytes(self.sent);
        let gave = if self.received > 0 { format!(", sent {}", human::bytes(self.received)) } else { String::new() };
        format!("{more}{visitors} made {requests} in {time}, got {got}{gave}.{cut}")
    }
}

/// What is being done about visitors still there when sharing ends.
pub fn stopping_sentence(reason: Reason, open: usize) -> String {
    let why = match reason {
        Reason::Interrupt | Reason::Terminate => "Stopping",
        Reason::Expired => "The time is up. Stopping",
        Reason::Once => "The download is complete. Stopping",
    };
    match open {
        0 => format!("{why}."),
        1 => format!("{why}; one transfer may finish (Ctrl-C to cut it off):"),
        open => format!("{why}; {open} transfers may finish (Ctrl-C to cut them off):"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_this_computer_is_one_that_is_listened_on() {
        for (listen, url) in [
            (vec!["0.0.0.0:80", "[::]:80"], "http://localhost:80"),
            (vec!["192.168.1.23:80", "127.0.0.1:80"], "http://localhost:80"),
            (vec!["192.168.1.23:80"], "http://192.168.1.23:80"),
            (vec!["[fd00::1]:80"], "http://[fd00::1]:80"),
            (vec!["127.0.0.2:80"], "http://127.0.0.2:80"),
        ] {
            let listen = listen.into_iter().map(|address| address.parse().unwrap()).collect();
            let sharing = Sharing { scheme: "http", port: 80, listen, ..Sharing::default() };
            assert_eq!(sharing.url(), url);
        }
    }

    #[test]
    fn sums_up_in_a_sentence() {
        let mut summary = Summary {
            reason: Reason::Interrupt,
            visitors: 3,
            more_visitors: false,
            requests: 1200,
            sent: 52_000_000,
            received: 0,
            duration: Duration::from_secs(725),
            unseen: 0,
            cut: 0,
        };
        assert_eq!(summary.sentence(), "3 visitors made 1,200 requests in 12 minutes 5 seconds, got 52 MB.");
        summary.received = 1500;
        assert!(summary.sentence().ends_with("got 52 MB, sent 1.5 kB."));
        summary.cut = 2;
        assert!(summary.sentence().ends_with("sent 1.5 kB. 2 transfers were cut off."));
        summary.requests = 0;
        assert_eq!(summary.sentence(), "No request was over in 12 minutes 5 seconds. 2 transfers were cut off.");
        summary.cut = 0;
        assert_eq!(summary.sentence(), "Nobody came in 12 minutes 5 seconds.");
    }
}
