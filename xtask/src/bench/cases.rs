//! What is measured under load, and how low doorstep's CPU time per request is meant to be.

use super::load::{LoadKind, Tool};
use super::peers::{Peer, Setup};
use super::sites::{Serve, Sites, UNDER_LOAD};

/// One row of the table.
pub struct Case {
    pub name: &'static str,
    pub title: &'static str,
    pub setup: Setup,
    pub load: LoadKind,
    pub peers: &'static [Peer],
    pub goal: Goal,
}

/// The most CPU time per request that doorstep may take.
#[derive(Clone, Copy)]
pub enum Goal {
    /// This many times nginx's, in the same run.
    OfNginx(f64),
    /// No more than haproxy's, in the same run.
    Haproxy,
}

const EVERYBODY: &[Peer] = &[Peer::Doorstep, Peer::Nginx, Peer::Haproxy, Peer::Caddy];
/// haproxy serves no files.
const FILE_SERVERS: &[Peer] = &[Peer::Doorstep, Peer::Nginx, Peer::Caddy];

pub const ALL: &[Case] = &[
    proxy("proxy-100b", "100 B, 64 connections", "100b.bin", 64, 0.95),
    proxy("proxy-10k", "10 kB, 64 connections", "10k.bin", 64, 0.85),
    proxy("proxy-1m", "1 MB, 16 connections", "1m.bin", 16, 0.45),
    Case {
        load: wrk("100b.bin", 64, false, true),
        ..proxy("proxy-new", "100 B, a new connection per request", "", 0, 0.95)
    },
    Case {
        setup: Setup::Proxy { tls: true },
        load: wrk("100b.bin", 64, true, false),
        ..proxy("tls-keepalive", "100 B over TLS 1.3, 64 connections", "", 0, 0.75)
    },
    Case {
        setup: Setup::Proxy { tls: true },
        load: wrk("100b.bin", 32, true, true),
        ..proxy("tls-new", "100 B, a full TLS 1.3 handshake per request", "", 0, 0.65)
    },
    Case {
        setup: Setup::Proxy { tls: true },
        load: LoadKind {
            tool: Tool::H2load { streams: 32 },
            path: "100b.bin",
            connections: 8,
            tls: true,
            close: false,
        },
        goal: Goal::Haproxy,
        ..proxy("http2", "100 B over HTTP/2 and TLS, 8 connections of 32 streams", "", 0, 0.0)
    },
    files("static-100b", "a file of 100 B, 64 connections", "100b.bin", 64, 0.6),
    files("static-10k", "a file of 10 kB, 64 connections", "10k.bin", 64, 0.7),
    files("static-1m", "a file of 1 MB, 16 connections", "1m.bin", 16, 0.6),
    many("up-static", "100 sites, each a folder: 100 B, 64 connections", Serve::Files, 0.6),
    many("up-proxy", "100 sites in front of an app: 100 B, 64 connections", Serve::App, 0.95),
    Case {
        setup: Setup::Sites(Sites::under_load(Serve::App, true)),
        load: LoadKind {
            tool: Tool::Handshakes(UNDER_LOAD),
            path: "100b.bin",
            connections: 16,
            tls: true,
            close: true,
        },
        ..many(
            "up-tls",
            "100 sites with a certificate each: 100 B, a full TLS 1.3 handshake per request",
            Serve::App,
            0.65,
        )
    },
];

const fn proxy(name: &'static str, title: &'static str, path: &'static str, connections: u32, goal: f64) -> Case {
    Case {
        name,
        title,
        setup: Setup::Proxy { tls: false },
        load: wrk(path, connections, false, false),
        peers: EVERYBODY,
        goal: Goal::OfNginx(goal),
    }
}

const fn files(name: &'static str, title: &'static str, path: &'static str, connections: u32, goal: f64) -> Case {
    Case {
        name,
        title,
        setup: Setup::Files,
        load: wrk(path, connections, false, false),
        peers: FILE_SERVERS,
        goal: Goal::OfNginx(goal),
    }
}

/// `doorstep up` with all its defaults.
const fn many(name: &'static str, title: &'static str, serve: Serve, goal: f64) -> Case {
    let tool = Tool::WrkOverSites(UNDER_LOAD);
    Case {
        name,
        title,
        setup: Setup::Sites(Sites::under_load(serve, false)),
        load: LoadKind { tool, path: "100b.bin", connections: 64, tls: false, close: false },
        // haproxy has no sites.
        peers: FILE_SERVERS,
        goal: Goal::OfNginx(goal),
    }
}

const fn wrk(path: &'static str, connections: u32, tls: bool, close: bool) -> LoadKind {
    LoadKind { tool: Tool::Wrk, path, connections, tls, close }
}
