//! Small requests through a tunnel.

use anyhow::{Context, Result};

use super::super::lab::LOAD_CORE;
use super::super::load::{self, Load};
use super::super::peers::pinned;
use super::Sample;
use super::road::{Door, Tunnel};
use crate::sh;

/// How long one round is under load.
const SECONDS: u32 = 4;

/// # Errors
/// When the tool fails, or an end of the tunnel has ended.
pub fn requests(tunnel: &Tunnel, connections: u32, close: bool) -> Result<Sample> {
    run(&tunnel.door, connections, close, 1)?; // Not counted: connections are opened ahead, caches are filled.
    let before = tunnel.cpu_time()?;
    let load = run(&tunnel.door, connections, close, SECONDS)?;
    let cpu = tunnel.cpu_time()?.saturating_sub(before).as_secs_f64() * 1e6 / load.requests.max(1) as f64;
    Ok(Sample { rate: load.requests_per_second, cpu, p50_ms: load.p50_ms, p99_ms: load.p99_ms, errors: load.errors })
}

fn run(door: &Door, connections: u32, close: bool, seconds: u32) -> Result<Load> {
    let mut wrk = pinned(LOAD_CORE, "wrk");
    wrk.args(["-t", "1", "-c", &connections.to_string(), "-d", &format!("{seconds}s"), "--latency"]);
    wrk.args(["--timeout", "10s", "-H", &format!("Host: {}", door.host)]);
    if close {
        wrk.args(["-H", "Connection: close"]);
    }
    // wrk has no way to say where a name leads; whoever has one certificate only does not mind that it goes to the number.
    let scheme = if door.tls { "https" } else { "http" };
    let report = sh::read(wrk.arg(format!("{scheme}://127.0.0.1:{}/100b.bin", door.port)))?;
    load::parse_wrk(&report).with_context(|| format!("wrk's report cannot be read:\n{report}"))
}
