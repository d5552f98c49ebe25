//! docs/benchmarks.md: what was measured, on what, and where doorstep falls short.

use std::fmt::Write;
use std::fs;

use anyhow::Result;

use super::cases::{self, Goal};
use super::idle::{self, Idle};
use super::peers::Peer;
use super::spread::Spread;
use super::{Cell, Figures, footprint, reload, tunnel};
use crate::sh;

/// What stands below this line in docs/benchmarks.md is written by hand and kept.
const KEPT_BELOW: &str = "<!-- kept by `cargo xtask bench`: what stands below is written by hand -->";

/// `load` is the load average before the run: how busy the machine was with something else.
///
/// # Errors
/// When a peer does not tell its version.
pub fn page(load: f64, figures: &Figures) -> Result<String> {
    let Figures { cells, idle, spread, reloads, footprints, tunnels } = figures;
    let mut page = introduction()?;
    if load > 1.0 {
        let _ = writeln!(
            page,
            "\n**The machine had other work to do when this run began (load average {load:.1}): run it again when it is quiet.**"
        );
    }
    let mut short = Vec::new();
    if !cells.is_empty() {
        page += &cpu_table(cells, &mut short);
        page += &speed_table(cells);
    }
    if !idle.is_empty() {
        page += &idle_table(idle, &mut short);
    }
    if !spread.is_empty() {
        page += &spread_table(spread);
    }
    if !reloads.is_empty() {
        page += &reload::section(reloads);
    }
    if !footprints.is_empty() {
        page += &footprint::section(footprints);
    }
    if !tunnels.cells.is_empty() || !tunnels.idle.is_empty() {
        page += &tunnel::section(tunnels, &mut short);
    }
    page += "\n## Goals not reached\n\n";
    if short.is_empty() {
        page += "None: every case above is within its goal.\n";
    }
    for line in short {
        let _ = writeln!(page, "- {line}");
    }
    Ok(page)
}

/// Writes the page, and keeps what people wrote below it.
///
/// # Errors
/// When docs/ cannot be written.
pub fn write(page: &str) -> Result<()> {
    let file = sh::root().join("docs/benchmarks.md");
    let old = fs::read_to_string(&file).unwrap_or_default();
    let kept = old.split_once(KEPT_BELOW).map_or("\n", |(_, kept)| kept);
    fs::create_dir_all(sh::root().join("docs"))?;
    Ok(fs::write(file, format!("{page}\n{KEPT_BELOW}{kept}"))?)
}

fn introduction() -> Result<String> {
    let peers = [Peer::Doorstep, Peer::Nginx, Peer::Haproxy, Peer::Caddy];
    let versions = peers.map(Peer::version).into_iter().collect::<Result<Vec<_>>>()?.join(", ");
    let date = sh::read(sh::command("date").args(["-u", "+%F"]))?;
    Ok(format!(
        "# Benchmarks\n\n\
         Written by `cargo xtask bench`. {}; {}. {versions}.\n\n\
         Everything runs on one machine over loopback. Each server is pinned to one core and writes its access log to a file (doorstep and nginx\n\
         buffered, haproxy and caddy as they do by default), and doorstep has all its limits on; what makes the load (wrk, h2load, for handshakes\n\
         under many names a program in Python) and the app behind the proxies (nginx) share the other core. Cases that begin with `up` are\n\
         `doorstep up` with everything as it is by default, supervisor and worker counted together; the others are `doorstep share`. Medians of {} rounds, the servers taking turns in each round. The\n\
         figure that counts is **CPU time of the server per request**, user and system of all its processes, as a ratio to nginx in the same\n\
         run; gaps below a tenth are ties. A shared machine makes throughput and latency swing far more, so they are there for orientation only.\n",
        machine(),
        date.trim(),
        super::ROUNDS
    ))
}

/// The machine in words: cores, processor family, kernel, distribution.
fn machine() -> String {
    let first = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
        line.split_once([':', '=']).map(|(_, value)| value.trim().trim_matches('"').to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.trim().split('.').take(2).collect::<Vec<_>>().join(".");
    let virtual_machine = first("/proc/cpuinfo", "flags").contains("hypervisor");
    let kind = if virtual_machine { "virtual machine" } else { "machine" };
    let system = first("/etc/os-release", "PRETTY_NAME");
    format!("A {cores}-core {kind} ({}), Linux {kernel}, {system}", first("/proc/cpuinfo", "model name"))
}

fn cpu_table(cells: &[Cell], short: &mut Vec<String>) -> String {
    let mut table = "\n## CPU time per request\n\n\
        In µs, and in brackets the ratio to nginx.\n\n\
        | case | doorstep | goal | nginx | haproxy | caddy |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for case in cases::ALL {
        let of = |peer: Peer| cells.iter().find(|cell| cell.case.name == case.name && cell.peer == peer);
        let (Some(ours), Some(nginx)) = (of(Peer::Doorstep), of(Peer::Nginx)) else { continue };
        let micros = |cell: &Cell| format!("{} ({:.2})", figure(cell.cpu_micros), cell.cpu_micros / nginx.cpu_micros);
        let other = |peer: Peer| of(peer).map_or_else(|| "–".to_owned(), micros);
        let (limit, goal) = match case.goal {
            Goal::OfNginx(ratio) => (ratio, format!("≤ {ratio:.2} of nginx")),
            Goal::Haproxy => {
                let ratio = of(Peer::Haproxy).map_or(1.0, |haproxy| haproxy.cpu_micros / nginx.cpu_micros);
                (ratio, format!("≤ haproxy ({ratio:.2})"))
            }
        };
        let ratio = ours.cpu_micros / nginx.cpu_micros;
        if ratio > limit {
            short.push(format!("`{}` ({}): {ratio:.2} of nginx; the goal is {goal}.", case.name, case.title));
        }
        let mark = if ratio > limit { "" } else { "**" };
        let _ = writeln!(
            table,
            "| `{}` {} | {mark}{}{mark} | {goal} | {} | {} | {} |",
            case.name,
            case.title,
            micros(ours),
            figure(nginx.cpu_micros),
            other(Peer::Haproxy),
            other(Peer::Caddy)
        );
    }
    table + "\nBold: within the goal.\n"
}

fn speed_table(cells: &[Cell]) -> String {
    let mut table = "\n## Throughput and latency\n\n\
        Requests per second; p50 / p99 in ms. Load and app compete for one core, so the server is not always what limits.\n\n\
        | case | doorstep | nginx | haproxy | caddy |\n|---|---|---|---|---|\n"
        .to_owned();
    let mut errors = String::new();
    for case in cases::ALL {
        let mine: Vec<&Cell> = cells.iter().filter(|cell| cell.case.name == case.name).collect();
        if mine.is_empty() {
            continue;
        }
        let _ = write!(table, "| `{}` ", case.name);
        for peer in [Peer::Doorstep, Peer::Nginx, Peer::Haproxy, Peer::Caddy] {
            let cell = mine.iter().find(|cell| cell.peer == peer);
            let _ = match cell {
                Some(cell) => write!(
                    table,
                    "| {:.0}; {} / {} ",
                    cell.requests_per_second,
                    figure(cell.p50_ms),
                    figure(cell.p99_ms)
                ),
                None => write!(table, "| – "),
            };
        }
        table += "|\n";
        for cell in mine.iter().filter(|cell| cell.errors > 0) {
            let _ = writeln!(errors, "- `{}`: {} had {} errors.", case.name, cell.peer.name(), cell.errors);
        }
    }
    if errors.is_empty() { table + "\nNo server gave an error in any round.\n" } else { format!("{table}\n{errors}") }
}

fn idle_table(cells: &[Idle], short: &mut Vec<String>) -> String {
    let mut table = "\n## Memory per idle connection\n\n\
        Growth of resident memory per connection that has made one request and waits, in KB; in brackets the memory at rest, in MB.\n\n\
        | case | doorstep | goal | nginx | haproxy | caddy |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for case in idle::ALL {
        let of = |peer: Peer| cells.iter().find(|cell| cell.case == case.name && cell.peer == peer);
        let shown = |peer: Peer| {
            of(peer).map_or_else(
                || "–".to_owned(),
                |cell| format!("{:.1} ({:.1})", cell.per_connection / 1024.0, cell.base as f64 / 1e6),
            )
        };
        let Some(ours) = of(Peer::Doorstep) else { continue };
        let goal = format!("≤ {} KB", case.goal / 1024);
        let reached = ours.per_connection <= case.goal as f64;
        if !reached {
            short.push(format!(
                "`{}` ({}): {:.1} KB; the goal is {goal}.",
                case.name,
                case.title,
                ours.per_connection / 1024.0
            ));
        }
        let mark = if reached { "**" } else { "" };
        let _ = writeln!(
            table,
            "| `{}` {} | {mark}{}{mark} | {goal} | {} | {} | {} |",
            case.name,
            case.title,
            shown(Peer::Doorstep),
            shown(Peer::Nginx),
            shown(Peer::Haproxy),
            shown(Peer::Caddy)
        );
    }
    table
}

fn spread_table(cells: &[Spread]) -> String {
    let mut table = "\n## How two workers share new connections\n\n\
        Two workers, nothing pinned. The busier worker's part of the CPU time; 50 % is perfect.\n\n\
        | server | 64 connections that stay | a new connection per request | new connections per second |\n|---|---|---|---|\n"
        .to_owned();
    for cell in cells {
        let (name, kept, new) = (cell.peer.name(), cell.kept * 100.0, cell.new * 100.0);
        let _ = writeln!(table, "| {name} | {kept:.0} % | {new:.0} % | {:.0} |", cell.new_per_second);
    }
    table
}

/// Three digits are all that these measurements are good for.
pub fn figure(value: f64) -> String {
    match value {
        large if large >= 100.0 => format!("{large:.0}"),
        middle if middle >= 10.0 => format!("{middle:.1}"),
        small => format!("{small:.2}"),
    }
}
