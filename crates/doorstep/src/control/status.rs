//! `doorstep status` as a person reads it: what needs somebody first, then sites, apps, upstreams, jobs.

use std::time::Duration;

use anstyle::Style;
use doorstep_model::Severity;

use super::protocol::{
    App, Certificate, CertificateSource, CertificateState, Found, Instance, InstanceState, Job, Status, Traffic,
    Upstream, UpstreamState,
};
use super::table::{Cell, Column, left, paint, right, table};
use super::{public_status, relay_status, tunnel_status};
use crate::screen::human::{bytes, counted, grouped, took};
use crate::screen::line::{BAD, BOLD, DIM, GOOD, PLAIN, WARN};
use crate::screen::text::{visible, wrap};

/// How it is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub color: bool,
    pub columns: usize,
    /// Seconds since 1970.
    pub now: i64,
}

/// All of it, with a line end after each line.
pub fn render(status: &Status, look: Look) -> String {
    let mut page = Page { look, text: String::new() };
    page.line(&headline(status));
    page.line(&[Cell::new(summary(status), DIM)]);
    if let Some(relay) = &status.relay {
        page.line(&[Cell::new(relay_status::summary(relay), DIM)]);
        for one in &relay.refusals {
            let ago = i64::try_from(one.seen_at).map_or_else(|_| String::new(), |at| from_now(at, look.now));
            page.line(&[Cell::new(format!("  {} ({ago})", one.what), DIM)]);
        }
    }
    page.findings(&status.findings);
    page.section(&SITES, &status.sites.iter().map(|site| site_row(site, status)).collect::<Vec<_>>());
    page.section(&APPS, &status.apps.iter().flat_map(app_rows).collect::<Vec<_>>());
    for app in &status.apps {
        page.app_words(app);
    }
    page.section(&public_status::PORTS, &status.ports.iter().map(public_status::port).collect::<Vec<_>>());
    page.section(&public_status::NAMES, &status.names.iter().map(public_status::name).collect::<Vec<_>>());
    page.section(&tunnel_status::TUNNELS, &status.tunnels.iter().flat_map(tunnel_status::rows).collect::<Vec<_>>());
    let agents = status.relay.iter().flat_map(|relay| &relay.agents);
    page.section(&relay_status::AGENTS, &agents.map(relay_status::row).collect::<Vec<_>>());
    page.section(&UPSTREAMS, &status.upstreams.iter().map(upstream_row).collect::<Vec<_>>());
    page.section(&JOBS, &status.jobs.iter().map(|job| job_row(job, look.now)).collect::<Vec<_>>());
    page.text
}

/// `doorstep cert list`.
pub fn certificates(all: &[Certificate], look: Look) -> String {
    let mut page = Page { look, text: String::new() };
    if all.is_empty() {
        page.line(&["No site has a certificate.".into()]);
    }
    let rows: Vec<_> = all.iter().map(|one| certificate_row(one, look.now)).collect();
    if !rows.is_empty() {
        page.rows(&CERTIFICATES, &rows);
    }
    for one in all {
        if let Some(error) = &one.error {
            page.blank();
            page.words(&one.name, WARN, &error.what);
            page.words("", PLAIN, &error.fix);
        }
    }
    page.text
}

/// `doorstep cert show NAME`.
pub fn certificate(one: &Certificate, look: Look) -> String {
    let mut page = Page { look, text: String::new() };
    let day = |at: Option<i64>| at.map(|at| format!("{} ({})", date(at), from_now(at, look.now))).unwrap_or_default();
    let facts = [
        ("name", one.name.clone()),
        ("names", one.names.join(", ")),
        ("sites", one.sites.join(", ")),
        ("state", state_words(one).0.to_owned()),
        ("issuer", issuer(one)),
        ("from", day(one.not_before)),
        ("until", day(one.not_after)),
        ("next", day(one.next_at)),
        ("serial", one.serial.clone()),
        ("SHA-256", one.fingerprint.clone()),
        ("files", one.path.display().to_string()),
    ];
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        page.line(&[Cell::new(format!("{name:<9}"), DIM), value.as_str().into()]);
    }
    if let Some(error) = &one.error {
        page.words("problem", BAD, &format!("{} ({})", error.what, counted(error.times.into(), "time")));
        page.words("", PLAIN, &error.fix);
    }
    page.text
}

const SITES: [Column; 7] = [
    left("SITE"),
    Column { title: "serves", right: false, goes: 5 },
    left("certificate"),
    right("requests/s", 2),
    right("p99", 3),
    right("errors", 1),
    right("sent", 6),
];

const APPS: [Column; 7] = [
    left("APP"),
    left("state"),
    right("up", 1),
    right("restarts", 2),
    right("memory", 3),
    right("CPU", 4),
    right("pid", 5),
];

const UPSTREAMS: [Column; 5] = [
    left("UPSTREAM"),
    left("state"),
    Column { title: "site", right: false, goes: 2 },
    right("in flight", 1),
    Column { title: "last error", right: false, goes: 3 },
];

const JOBS: [Column; 4] =
    [left("JOB"), left("next"), right("last", 1), Column { title: "result", right: false, goes: 2 }];

const CERTIFICATES: [Column; 5] = [
    left("CERTIFICATE"),
    left("state"),
    right("days left", 0),
    Column { title: "issuer", right: false, goes: 1 },
    Column { title: "next", right: false, goes: 2 },
];

struct Page {
    look: Look,
    text: String,
}

impl Page {
    fn line(&mut self, cells: &[Cell]) {
        self.text += &paint(cells, self.look.color);
        self.blank();
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn rows(&mut self, head: &[Column], rows: &[Vec<Cell>]) {
        for line in table(head, rows, self.look.columns) {
            self.line(&line);
        }
    }

    fn section(&mut self, head: &[Column], rows: &[Vec<Cell>]) {
        if !rows.is_empty() {
            self.blank();
            self.rows(head, rows);
        }
    }

    /// The worst first.
    fn findings(&mut self, findings: &[Found]) {
        let mut findings: Vec<&Found> = findings.iter().collect();
        findings.sort_by(|a, b| b.severity.cmp(&a.severity).then(b.seen_at.cmp(&a.seen_at)));
        for found in findings {
            let (mark, style) = match found.severity {
                Severity::Error => ("✗", BAD),
                Severity::Warning => ("!", WARN),
                Severity::Note => ("·", DIM),
            };
            self.blank();
            self.words(mark, style, &found.what);
            self.words("", DIM, &found.why);
            self.words("", BOLD, &found.fix);
        }
    }

    fn app_words(&mut self, app: &App) {
        let worry = if app.crash_loop { BAD } else { WARN };
        if !app.last_failure.is_empty() && (app.crash_loop || ready(app) < app.wanted as usize) {
            self.words(&format!("{}:", app.name), worry, &app.last_failure);
        }
    }

    /// A mark and a paragraph beside it.
    fn words(&mut self, mark: &str, style: Style, text: &str) {
        const INDENT: usize = 2;
        if text.is_empty() {
            return;
        }
        let lead = if mark.is_empty() { " ".repeat(INDENT) } else { format!("{} ", visible(mark)) };
        let safe: Vec<String> = text.lines().map(|line| visible(line).into_owned()).collect();
        let indent = crate::screen::text::width(&lead);
        for (number, line) in wrap(&safe.join("\n"), self.look.columns.saturating_sub(indent)).into_iter().enumerate() {
            let before = if number == 0 { Cell::new(&lead, style) } else { " ".repeat(indent).into() };
            let words = if mark.is_empty() { style } else { PLAIN };
            self.line(&[before, Cell::new(line, words)]);
        }
    }
}

fn headline(status: &Status) -> Vec<Cell> {
    let worst = status.findings.iter().map(|found| found.severity).max();
    let (word, style) = match worst {
        Some(Severity::Error) => ("in trouble", BAD),
        Some(Severity::Warning) => ("up, and wants a look", WARN),
        _ => ("up", GOOD),
    };
    let up = age(status.uptime_seconds);
    vec![
        Cell::new("doorstep ", BOLD),
        Cell::new(format!("{} ", status.version), PLAIN),
        Cell::new(word, style),
        Cell::new(format!(" for {up}  (process {})", status.pid), PLAIN),
    ]
}

fn summary(status: &Status) -> String {
    let mut parts = vec![format!("configuration {} of {}", status.generation, status.config.display())];
    if status.traffic.requests > 0 {
        parts.push(format!("{} requests/s", rate(status.traffic.requests_per_second)));
        parts.push(counted(status.traffic.connections, "connection"));
    }
    if status.worker.restarts > 0 {
        parts.push(format!("worker replaced {}", times(status.worker.restarts)));
    }
    if status.worker.draining > 0 {
        parts.push(format!("{} still finishing", counted(status.worker.draining, "earlier worker")));
    }
    if status.worker.pid > 0 && !status.worker.confined {
        parts.push("worker not confined".to_owned());
    }
    parts.join(", ")
}

fn site_row(site: &super::protocol::Site, status: &Status) -> Vec<Cell> {
    let name = match site.aliases.len() {
        0 => site.name.clone(),
        more => format!("{} (+{more})", site.name),
    };
    let found = site.certificate.as_ref().and_then(|name| status.certificates.iter().find(|one| one.name == *name));
    let certificate = match found {
        Some(one) => certificate_cell(one),
        None => Cell::new(if site.certificate.is_some() { "unknown" } else { "http only" }, DIM),
    };
    let Traffic { requests, requests_per_second, errors, p99_ms, bytes_out, .. } = &site.traffic;
    let errors = if *errors == 0 { Cell::new("0", DIM) } else { Cell::new(grouped(*errors), BAD) };
    let p99 = p99_ms.map(|ms| took(Duration::from_secs_f64(ms.max(0.0) / 1000.0))).unwrap_or_default();
    let sent = if *requests == 0 { String::new() } else { bytes(*bytes_out) };
    vec![
        Cell::new(name, BOLD),
        site.serves.as_str().into(),
        certificate,
        rate(*requests_per_second).into(),
        p99.into(),
        errors,
        sent.into(),
    ]
}

fn certificate_cell(one: &Certificate) -> Cell {
    let (words, style) = state_words(one);
    match (one.state, one.days_left) {
        (CertificateState::Valid | CertificateState::Expiring, Some(days)) => {
            Cell::new(format!("{days} {}", if days == 1 { "day" } else { "days" }), style)
        }
        _ => Cell::new(words, style),
    }
}

fn state_words(one: &Certificate) -> (&'static str, Style) {
    match one.state {
        CertificateState::Pending if one.error.is_some() => ("none yet: see below", BAD),
        CertificateState::Pending => ("on its way", WARN),
        CertificateState::Valid => ("valid", GOOD),
        CertificateState::Expiring => ("expires soon", WARN),
        CertificateState::Expired => ("expired", BAD),
    }
}

fn issuer(one: &Certificate) -> String {
    match one.source {
        CertificateSource::Acme => one.issuer.clone(),
        CertificateSource::Local => "this computer".to_owned(),
        CertificateSource::Files => format!("{} (own files)", one.issuer),
    }
}

fn certificate_row(one: &Certificate, now: i64) -> Vec<Cell> {
    let (words, style) = state_words(one);
    let days = one.days_left.map(|days| days.to_string()).unwrap_or_default();
    let next = one.next_at.map(|at| from_now(at, now)).unwrap_or_default();
    vec![Cell::new(&one.name, BOLD), Cell::new(words, style), Cell::new(days, style), issuer(one).into(), next.into()]
}

fn ready(app: &App) -> usize {
    app.instances.iter().filter(|one| one.state == InstanceState::Ready).count()
}

/// The app, and its instances below it.
fn app_rows(app: &App) -> Vec<Vec<Cell>> {
    let count = ready(app);
    let style = match count {
        0 if app.wanted > 0 => BAD,
        count if count < app.wanted as usize || app.crash_loop => WARN,
        _ => GOOD,
    };
    let mut state = format!("{count} of {} ready", app.wanted);
    if app.crash_loop {
        state += ", crashes again and again";
    }
    if !app.note.is_empty() {
        state += &format!(", {}", app.note);
    }
    let memory = app.instances.iter().map(|one| one.memory_bytes).sum();
    let used: Vec<f64> = app.instances.iter().filter_map(|one| one.cpu_percent).collect();
    let restarts = if app.restarts == 0 { Cell::new("0", DIM) } else { Cell::new(grouped(app.restarts), WARN) };
    let memory = if app.instances.is_empty() { String::new() } else { bytes(memory) };
    let cpu = if used.is_empty() { String::new() } else { percent(used.iter().sum()) };
    let all = vec![
        Cell::new(&app.name, BOLD),
        Cell::new(state, style),
        "".into(),
        restarts,
        memory.into(),
        cpu.into(),
        "".into(),
    ];
    std::iter::once(all).chain(app.instances.iter().map(instance_row)).collect()
}

fn instance_row(one: &Instance) -> Vec<Cell> {
    let (word, style) = match one.state {
        InstanceState::Starting => ("starting", WARN),
        InstanceState::Ready => ("ready", PLAIN),
        InstanceState::Draining => ("finishing", DIM),
        InstanceState::Stopping => ("stopping", DIM),
    };
    vec![
        format!("  {}", one.id).into(),
        Cell::new(word, style),
        age(one.uptime_seconds).into(),
        "".into(),
        bytes(one.memory_bytes).into(),
        one.cpu_percent.map(percent).unwrap_or_default().into(),
        one.pid.to_string().into(),
    ]
}

fn upstream_row(one: &Upstream) -> Vec<Cell> {
    let (word, style) = match one.state {
        UpstreamState::Ready => ("ready", GOOD),
        UpstreamState::Warming => ("warming up", GOOD),
        UpstreamState::Unwell => ("fails its health check", BAD),
        UpstreamState::Resting => ("failed, is tried again", WARN),
        UpstreamState::Unreachable => ("unreachable", BAD),
        UpstreamState::Draining => ("finishing", DIM),
    };
    let word = if one.backup { format!("{word} (backup)") } else { word.to_owned() };
    let error = if one.state == UpstreamState::Ready { String::new() } else { one.last_error.clone() };
    vec![
        Cell::new(&one.address, BOLD),
        Cell::new(word, style),
        one.site.as_str().into(),
        grouped(one.in_flight).into(),
        error.into(),
    ]
}

fn job_row(job: &Job, now: i64) -> Vec<Cell> {
    let next = match job.next_at {
        _ if job.running => "running now".to_owned(),
        Some(at) => from_now(at, now),
        None => "never".to_owned(),
    };
    let well = job.last_result.as_deref().is_none_or(|words| words == "done");
    let style = if well { PLAIN } else { BAD };
    vec![
        Cell::new(&job.name, BOLD),
        next.into(),
        job.last_started_at.map(|at| from_now(at, now)).unwrap_or_default().into(),
        Cell::new(job.last_result.clone().unwrap_or_default(), style),
    ]
}

/// `3 d 4 h`: two units, of which the second goes when it is nothing.
fn age(seconds: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let Some(at) = units.iter().position(|(size, _)| seconds >= *size) else { return "0 s".to_owned() };
    let (size, unit) = units[at];
    let first = format!("{} {unit}", seconds / size);
    match units.get(at + 1) {
        Some((smaller, name)) if seconds % size / smaller > 0 => format!("{first} {} {name}", seconds % size / smaller),
        _ => first,
    }
}

fn from_now(at: i64, now: i64) -> String {
    match at - now {
        0 => "now".to_owned(),
        later @ 1.. => format!("in {}", age(later.unsigned_abs())),
        before => format!("{} ago", age(before.unsigned_abs())),
    }
}

fn date(at: i64) -> String {
    time::OffsetDateTime::from_unix_timestamp(at).map(|time| time.date().to_string()).unwrap_or_default()
}

fn rate(per_second: f64) -> String {
    if per_second >= 100.0 { grouped(per_second.round() as u64) } else { format!("{per_second:.1}") }
}

fn percent(value: f64) -> String {
    format!("{value:.0} %")
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { counted(count, "time") }
}

#[cfg(test)]
mod tests;
