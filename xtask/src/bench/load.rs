//! What makes the load (wrk, h2load, a program of our own), and what their reports say.

use std::fs;

use anyhow::{Context, Result};

use super::lab::{LOAD_CORE, Lab};
use super::{median, peers::pinned};
use crate::sh;

/// How long one cell is under load.
const SECONDS: u32 = 4;

/// What load to make.
pub struct LoadKind {
    pub tool: Tool,
    pub path: &'static str,
    pub connections: u32,
    pub tls: bool,
    /// A new connection for each request.
    pub close: bool,
}

pub enum Tool {
    Wrk,
    /// Requests to this many sites in turn, whatever the connection.
    WrkOverSites(usize),
    H2load {
        streams: u32,
    },
    /// A handshake per request, under the names of this many sites in turn: `wrk` has one name only.
    Handshakes(usize),
}

/// What came of it.
#[derive(Debug, PartialEq)]
pub struct Load {
    pub requests: u64,
    pub requests_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub errors: u64,
}

impl LoadKind {
    /// A second of the same, not counted: connections to the app are open and caches are filled afterwards.
    ///
    /// # Errors
    /// When the tool fails.
    pub fn warm_up(&self, port: u16, lab: &Lab) -> Result<()> {
        self.run_for(1, port, lab).map(drop)
    }

    /// # Errors
    /// When the tool fails, or its report cannot be read.
    pub fn run(&self, port: u16, lab: &Lab) -> Result<Load> {
        self.run_for(SECONDS, port, lab)
    }

    fn run_for(&self, seconds: u32, port: u16, lab: &Lab) -> Result<Load> {
        let url = format!("{}://127.0.0.1:{port}/{}", if self.tls { "https" } else { "http" }, self.path);
        let connections = self.connections.to_string();
        match self.tool {
            Tool::Wrk | Tool::WrkOverSites(_) => {
                let mut wrk = pinned(LOAD_CORE, "wrk");
                wrk.args([
                    "-t",
                    "1",
                    "-c",
                    &connections,
                    "-d",
                    &format!("{seconds}s"),
                    "--latency",
                    "--timeout",
                    "10s",
                ]);
                if self.close {
                    wrk.args(["-H", "Connection: close"]);
                }
                if let Tool::WrkOverSites(count) = self.tool {
                    let script = lab.folder.join("hosts.lua");
                    fs::write(&script, over_sites(count))?;
                    wrk.arg("-s").arg(script);
                }
                let report = sh::read(wrk.arg(url))?;
                parse_wrk(&report).with_context(|| format!("wrk's report cannot be read:\n{report}"))
            }
            Tool::H2load { streams } => {
                let log = lab.folder.join("h2load.log");
                let _ = fs::remove_file(&log);
                let mut h2load = pinned(LOAD_CORE, "h2load");
                h2load.args(["-t", "1", "-c", &connections, "-m", &streams.to_string(), "-D", &seconds.to_string()]);
                let report = sh::read(h2load.arg("--log-file").arg(&log).arg(url))?;
                let times = fs::read_to_string(&log)?;
                parse_h2load(&report, &times).with_context(|| format!("h2load's report cannot be read:\n{report}"))
            }
            Tool::Handshakes(count) => {
                let mut python = pinned(LOAD_CORE, "python3");
                python.args(["-c", include_str!("handshakes.py"), &port.to_string(), &seconds.to_string()]);
                python.args([&connections, &count.to_string(), self.path]);
                let report = sh::read(&mut python)?;
                parse_handshakes(&report, seconds).with_context(|| format!("odd report: {report}"))
            }
        }
    }
}

/// A script for wrk (its SCRIPTING file): each request goes to the next site.
fn over_sites(count: usize) -> String {
    format!(
        "local requests, turn = {{}}, 0
         init = function()
           for number = 0, {count} - 1 do
             requests[number] = wrk.format('GET', wrk.path, {{ Host = 's' .. number .. '.example.com' }})
           end
         end
         request = function()
           turn = (turn + 1) % {count}
           return requests[turn]
         end"
    )
}

fn parse_handshakes(report: &str, seconds: u32) -> Option<Load> {
    let figures: Vec<f64> = report.split_whitespace().map_while(|figure| figure.parse().ok()).collect();
    let &[requests, errors, p50_ms, p99_ms] = figures.as_slice() else { return None };
    let requests_per_second = requests / f64::from(seconds);
    Some(Load { requests: requests as u64, requests_per_second, p50_ms, p99_ms, errors: errors as u64 })
}

pub fn parse_wrk(report: &str) -> Option<Load> {
    let after = |start: &str| report.lines().find_map(|line| line.trim().strip_prefix(start));
    let requests =
        report.lines().find(|line| line.contains(" requests in "))?.split_whitespace().next()?.parse().ok()?;
    let socket_errors: u64 = after("Socket errors:").map_or(0, |list| {
        list.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<u64>().ok()).sum()
    });
    let refused: u64 = after("Non-2xx or 3xx responses:").map_or(Some(0), |number| number.trim().parse().ok())?;
    Some(Load {
        requests,
        requests_per_second: after("Requests/sec:")?.trim().parse().ok()?,
        p50_ms: milliseconds(after("50%")?)?,
        p99_ms: milliseconds(after("99%")?)?,
        errors: socket_errors + refused,
    })
}

fn milliseconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 6e4)];
    let (number, unit) = units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    Some(number.parse::<f64>().ok()? * unit)
}

/// `times` has one line per request: start, status, microseconds.
fn parse_h2load(report: &str, times: &str) -> Option<Load> {
    let line = |start: &str| report.lines().find(|line| line.starts_with(start));
    let per_second = line("finished in")?.split(", ").nth(1)?.strip_suffix(" req/s")?.parse().ok()?;
    let counted = |what: &str| -> Option<u64> {
        let count = line("requests:")?.trim_start_matches("requests:").split(", ").find(|part| part.ends_with(what))?;
        count.split_whitespace().next()?.parse().ok()
    };
    let (succeeded, done) = (counted(" succeeded")?, counted(" done")?);
    let mut micros: Vec<f64> = times.lines().filter_map(|line| line.split('\t').nth(2)?.parse().ok()).collect();
    micros.sort_by(f64::total_cmp);
    let p99 = micros.get(micros.len() * 99 / 100).copied().unwrap_or_default();
    Some(Load {
        requests: done,
        requests_per_second: per_second,
        p50_ms: median(micros) / 1e3,
        p99_ms: p99 / 1e3,
        errors: done - succeeded.min(done) + counted(" errored")? + counted(" timeout")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_reports() {
        let report = "  Latency Distribution\n     50%  900.00us\n     75%    1.00ms\n     99%    4.50ms\n  \
                      202000 requests in 4.00s, 30.00MB read\n  Socket errors: connect 1, read 2, write 0, timeout 3\n  \
                      Non-2xx or 3xx responses: 5\nRequests/sec:  50500.25\nTransfer/sec: 7MB\n";
        let expected = Load { requests: 202_000, requests_per_second: 50500.25, p50_ms: 0.9, p99_ms: 4.5, errors: 11 };
        assert_eq!(parse_wrk(report).unwrap(), expected);
        assert_eq!(parse_wrk("nothing"), None);
    }

    #[test]
    fn h2load_reports() {
        let report = "finished in 4.00s, 30000.50 req/s, 3.50MB/s\n\
                      requests: 120000 total, 120256 started, 120002 done, 120000 succeeded, 2 failed, 1 errored, 0 timeout\n";
        let times = "1\t200\t1000\n2\t200\t3000\n3\t200\t2000\n";
        let expected = Load { requests: 120_002, requests_per_second: 30000.5, p50_ms: 2.0, p99_ms: 3.0, errors: 3 };
        assert_eq!(parse_h2load(report, times).unwrap(), expected);
    }
}
