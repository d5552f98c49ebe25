//! The part of docs/benchmarks.md about tunnels.

use std::fmt::Write;

use super::super::table::figure;
use super::road::Road;
use super::{ALL, Case, Cell, Figures, idle, peers};

/// The table; goals that were not reached are added to `short`.
pub fn section(figures: &Figures, short: &mut Vec<String>) -> String {
    let mut page = format!(
        "\n## Tunnels\n\n\
         {}. Both ends of a tunnel share one core, load and app (nginx) the other. CPU time is that of both ends together; doorstep's\n\
         bytes are always encrypted between them, those of rathole (plain) and bore never. In brackets the ratio to rathole (plain) in the same run.\n",
        peers::versions()
    );
    for case in ALL {
        let cells: Vec<&Cell> = figures.cells.iter().filter(|cell| cell.case == case).collect();
        if !cells.is_empty() {
            page += &table(case, &cells);
            goals(case, &cells, short);
        }
    }
    if !figures.idle.is_empty() {
        page += &idle::section(&figures.idle, short);
    }
    page
}

fn table(case: Case, cells: &[&Cell]) -> String {
    let (rate, cpu) = match case {
        Case::Requests | Case::Latency => ("requests/s", "CPU µs per request"),
        Case::New => ("connections/s", "CPU µs per connection"),
        Case::Download | Case::Four | Case::Encrypted => ("MB/s", "CPU s per GiB"),
    };
    let timed = matches!(case, Case::Requests | Case::New | Case::Latency);
    let mut table = format!("\n### {} (`{}`)\n\n| | {rate} | {cpu} |", case.title(), case.name());
    table += if timed { " p50 ms | p99 ms |\n|---|---|---|---|---|\n" } else { "\n|---|---|---|\n" };
    let base = of(cells, Road::Rathole);
    let direct = of(cells, Road::Direct);
    for cell in cells {
        let ratio = |own: f64, base: Option<f64>| base.map_or_else(String::new, |base| format!(" ({:.2})", own / base));
        let rate = format!("{:.0}{}", cell.rate, ratio(cell.rate, base.map(|base| base.rate)));
        let cpu = match cell.road {
            Road::Direct if case != Case::Encrypted => "–".to_owned(),
            _ => format!("{}{}", figure(cell.cpu), ratio(cell.cpu, base.map(|base| base.cpu))),
        };
        let _ = write!(table, "| {} | {rate} | {cpu} |", cell.road.name());
        if timed {
            let added = match (case, direct) {
                (Case::Latency, Some(direct)) if cell.road != Road::Direct => {
                    format!(" (+{:.0} µs)", (cell.p50_ms - direct.p50_ms) * 1e3)
                }
                _ => String::new(),
            };
            let _ = write!(table, " {:.3}{added} | {:.3} |", cell.p50_ms, cell.p99_ms);
        }
        table += "\n";
    }
    for cell in cells.iter().filter(|cell| cell.errors > 0) {
        let _ = writeln!(table, "\n{}: {} errors.", cell.road.name(), cell.errors);
    }
    if case == Case::Encrypted {
        table += "\nThe app's CPU time counts here: behind rathole and bore it does the TLS that doorstep's agent does itself.\n";
    }
    table
}

fn of<'a>(cells: &[&'a Cell], road: Road) -> Option<&'a Cell> {
    cells.iter().find(|cell| cell.road == road).copied()
}

/// What PERFORMANCE asks of tunnels, each as a ratio within this run.
fn goals(case: Case, cells: &[&Cell], short: &mut Vec<String>) {
    let mut least = |ours: Road, theirs: Road, least: f64| {
        if let (Some(ours), Some(theirs)) = (of(cells, ours), of(cells, theirs)) {
            let ratio = ours.rate / theirs.rate;
            if ratio < least {
                let (own, other) = (ours.road.name(), theirs.road.name());
                short.push(format!(
                    "`{}`: {own} has {ratio:.2} of the rate of {other}; the goal is ≥ {least:.1}.",
                    case.name()
                ));
            }
        }
    };
    match case {
        Case::New => {
            least(Road::Name, Road::Rathole, 1.5);
            least(Road::Port, Road::Rathole, 1.5);
        }
        Case::Download | Case::Four => {
            for road in [Road::Name, Road::Port] {
                least(road, Road::Rathole, 1.0);
                least(road, Road::Ssh, 1.5);
            }
        }
        Case::Encrypted => least(Road::EndToEnd, Road::Bore, 1.0),
        Case::Requests | Case::Latency => {}
    }
    let Some(ours) = of(cells, Road::Name) else { return };
    match (case, of(cells, Road::Rathole), of(cells, Road::Direct)) {
        (Case::Requests, Some(rathole), _) if ours.cpu > rathole.cpu => {
            let ratio = ours.cpu / rathole.cpu;
            short.push(format!("`{}`: {ratio:.2} of rathole's CPU time per request; the goal is ≤ 1.0.", case.name()));
        }
        (Case::Latency, _, Some(direct)) if ours.p50_ms - direct.p50_ms > 0.08 => {
            let added = (ours.p50_ms - direct.p50_ms) * 1e3;
            short.push(format!("`{}`: {added:.0} µs added; the goal is ≤ 80 µs.", case.name()));
        }
        _ => {}
    }
}
