//! How evenly two workers share the work: the busier one's part of it, where half is perfect.

use std::time::Duration;

use anyhow::Result;

use super::lab::Lab;
use super::load::{LoadKind, Tool};
use super::peers::{Cores, Peer, Server, Setup};
use super::process;

pub const NAME: &str = "spread";

/// One server's figures, each the busier worker's share of both workers' CPU time.
pub struct Spread {
    pub peer: Peer,
    /// 64 connections that stay open.
    pub kept: f64,
    /// A new connection for each request.
    pub new: f64,
    /// Requests per second with a new connection for each.
    pub new_per_second: f64,
}

/// Caddy is left out: its threads are the Go scheduler's and say nothing about connections.
///
/// # Errors
/// When a server does not start, or the load fails.
pub fn measure(lab: &Lab) -> Result<Vec<Spread>> {
    println!("\n━━ {NAME}: two workers, the busier one's share");
    [Peer::Doorstep, Peer::Nginx, Peer::Haproxy].into_iter().map(|peer| one(peer, lab)).collect()
}

fn one(peer: Peer, lab: &Lab) -> Result<Spread> {
    let server = Server::start(peer, Setup::Proxy { tls: false }, lab, Cores::Two)?;
    let load = |close| LoadKind { tool: Tool::Wrk, path: "100b.bin", connections: 64, tls: false, close };
    load(false).warm_up(server.port, lab)?;
    let kept = busier(&server, || load(false).run(server.port, lab))?.0;
    let (new, made) = busier(&server, || load(true).run(server.port, lab))?;
    println!("{:<9} {:.0} % of kept connections' work, {:.0} % of new ones'", peer.name(), kept * 100.0, new * 100.0);
    Ok(Spread { peer, kept, new, new_per_second: made.requests_per_second })
}

fn busier<T>(server: &Server, work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let before = process::threads(server.pid())?;
    let made = work()?;
    let after = process::threads(server.pid())?;
    let spent = |(thread, time): (&u32, &Duration)| *time - before.get(thread).copied().unwrap_or_default();
    let mut times: Vec<f64> = after.iter().map(spent).map(|time| time.as_secs_f64()).collect();
    times.sort_by(|a, b| b.total_cmp(a));
    let (first, second) = (times.first().copied().unwrap_or(0.0), times.get(1).copied().unwrap_or(0.0));
    Ok((first / (first + second).max(0.01), made))
}
