use std::path::PathBuf;

use doorstep_model::Blame;

use super::super::protocol::{CertificateError, Site, Worker};
use super::*;
use crate::screen::text::width;

const NOW: i64 = 1_800_000_000;

fn traffic(rate: f64, errors: u64) -> Traffic {
    Traffic {
        requests_per_second: rate,
        requests: 12_345,
        errors,
        p50_ms: Some(3.0),
        p99_ms: Some(45.2),
        bytes_in: 1000,
        bytes_out: 52_000_000,
        connections: 17,
    }
}

fn instance(id: &str, state: InstanceState) -> Instance {
    Instance {
        id: id.into(),
        state,
        pid: 4711,
        address: "unix:/run/doorstep/blog-1.sock".into(),
        uptime_seconds: 273_600,
        memory_bytes: 52_000_000,
        cpu_seconds: 12.0,
        cpu_percent: Some(1.4),
    }
}

pub(crate) fn sample() -> Status {
    let certificate = |name: &str, state, days| Certificate {
        name: name.into(),
        names: vec![name.into(), format!("www.{name}")],
        state,
        issuer: "Let's Encrypt E7".into(),
        not_after: Some(NOW + days * 86_400),
        days_left: Some(days),
        next_at: Some(NOW + 3600),
        ..Certificate::default()
    };
    let site = |name: &str, serves: &str, certificate: Option<&str>, errors| Site {
        name: name.into(),
        aliases: if certificate.is_some() { vec![format!("www.{name}")] } else { vec![] },
        serves: serves.into(),
        certificate: certificate.map(String::from),
        traffic: traffic(12.34, errors),
    };
    Status {
        version: "0.1.0".into(),
        pid: 812,
        config: PathBuf::from("/etc/doorstep/doorstep.toml"),
        uptime_seconds: 273_600,
        generation: 7,
        worker: Worker { pid: 813, restarts: 1, draining: 1, confined: true },
        traffic: traffic(1234.5, 3),
        sites: vec![
            site("blog.example.com", "app blog", Some("blog.example.com"), 3),
            site("files.example.com", "/srv/files", Some("files.example.com"), 0),
            site("printer.local", "1 upstream", None, 0),
        ],
        apps: vec![
            App {
                name: "blog".into(),
                wanted: 2,
                instances: vec![instance("blog-1", InstanceState::Ready), instance("blog-2", InstanceState::Ready)],
                ..App::default()
            },
            App {
                name: "shop".into(),
                wanted: 1,
                restarts: 12,
                crash_loop: true,
                last_failure: "exit code 1, last line: ModuleNotFoundError: No module named 'flask'".into(),
                ..App::default()
            },
        ],
        jobs: vec![Job {
            name: "backup".into(),
            next_at: Some(NOW + 5400),
            last_started_at: Some(NOW - 1800),
            last_result: Some("exit code 2".into()),
            ..Job::default()
        }],
        upstreams: vec![Upstream {
            site: "printer.local".into(),
            address: "10.0.0.5:3000".into(),
            state: UpstreamState::Unreachable,
            in_flight: 0,
            backup: false,
            last_error: "Connection refused".into(),
        }],
        certificates: vec![
            certificate("blog.example.com", CertificateState::Valid, 62),
            certificate("files.example.com", CertificateState::Expiring, 9),
        ],
        findings: vec![
            Found {
                severity: Severity::Note,
                blame: Blame::Environment,
                id: "no-ipv6".into(),
                what: "This computer has no IPv6.".into(),
                why: String::new(),
                fix: String::new(),
                seen_at: NOW - 60,
            },
            Found {
                severity: Severity::Warning,
                blame: Blame::Environment,
                id: "certificate-expiring".into(),
                what: "The certificate of files.example.com expires in 9 days, and no new one could be had.".into(),
                why: "Browsers refuse the site then.".into(),
                fix: "Let port 80 of this computer be reached from the internet.".into(),
                seen_at: NOW - 30,
            },
        ],
        ..Status::default()
    }
}

fn draw(columns: usize) -> String {
    render(&sample(), Look { color: false, columns, now: NOW })
}

#[test]
fn reads_from_what_needs_somebody_to_what_is_well() {
    let expected = "\
doorstep 0.1.0 up, and wants a look for 3 d 4 h  (process 812)
configuration 7 of /etc/doorstep/doorstep.toml, 1,235 requests/s, 17 connections, worker replaced once, 1 earlier worker still finishing

! The certificate of files.example.com expires in 9 days, and no new one could be had.
  Browsers refuse the site then.
  Let port 80 of this computer be reached from the internet.

· This computer has no IPv6.

SITE                    serves      certificate  requests/s    p99  errors   sent
blog.example.com (+1)   app blog    62 days            12.3  45 ms       3  52 MB
files.example.com (+1)  /srv/files  9 days             12.3  45 ms       0  52 MB
printer.local           1 upstream  http only          12.3  45 ms       0  52 MB

APP       state                                     up  restarts  memory  CPU   pid
blog      2 of 2 ready                                         0  104 MB  3 %
  blog-1  ready                                3 d 4 h             52 MB  1 %  4711
  blog-2  ready                                3 d 4 h             52 MB  1 %  4711
shop      0 of 1 ready, crashes again and again                 12
shop: exit code 1, last line: ModuleNotFoundError: No module named 'flask'

UPSTREAM       state        site           in flight  last error
10.0.0.5:3000  unreachable  printer.local          0  Connection refused

JOB     next               last  result
backup  in 1 h 30 min  30 min ago  exit code 2
";
    let text = draw(usize::MAX);
    // The width of a column is the table's; which words stand where is what matters here.
    let words =
        |text: &str| text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    assert_eq!(words(&text), words(expected), "{text}");
}

#[test]
fn tables_are_never_wider_than_the_terminal() {
    for columns in [40, 60, 80, 100, 200] {
        let text = draw(columns);
        for line in text.lines().skip(2) {
            assert!(width(line) <= columns, "{columns}: {line}");
        }
    }
    assert!(draw(60).contains("certificate") && !draw(60).contains("serves"));
}

#[test]
fn colours_and_strange_text() {
    let mut status = sample();
    status.sites[0].serves = "\x1b]0;evil\x07".into();
    status.findings[0].what = "\x1b[2J".into();
    let text = render(&status, Look { color: true, columns: 80, now: NOW });
    assert!(text.contains("\x1b[33m") && text.contains("\x1b[31m") && !text.contains("\x1b[2J"));
    assert!(!render(&status, Look { color: false, columns: 80, now: NOW }).contains('\x1b'));
}

#[test]
fn nothing_runs_yet() {
    let text =
        render(&Status { version: "0.1.0".into(), ..Status::default() }, Look { color: false, columns: 80, now: NOW });
    assert_eq!(text, "doorstep 0.1.0 up for 0 s  (process 0)\nconfiguration 0 of\n");
}

#[test]
fn certificates_in_a_list_and_in_full() {
    let mut all = sample().certificates;
    all[1].state = CertificateState::Pending;
    all[1].error = Some(CertificateError {
        what: "port 80 does not answer from outside".into(),
        fix: "Forward port 80 to this computer.".into(),
        at: NOW,
        times: 3,
    });
    let look = Look { color: false, columns: 100, now: NOW };
    let text = certificates(&all, look);
    assert!(text.contains("blog.example.com") && text.contains("in 1 h") && text.contains("Forward port 80"), "{text}");
    let text = certificate(&all[1], look);
    assert!(text.contains("names    files.example.com, www.files.example.com\n"), "{text}");
    assert!(text.contains("port 80 does not answer from outside (3 times)\n"), "{text}");
    assert_eq!(certificates(&[], look), "No site has a certificate.\n");
}

#[test]
fn times_are_short() {
    let ages: Vec<String> = [0, 59, 60, 3660, 86_400, 90_061].map(age).into();
    assert_eq!(ages, ["0 s", "59 s", "1 min", "1 h 1 min", "1 d", "1 d 1 h"]);
    assert_eq!((from_now(5, 0), from_now(-5, 0), from_now(0, 0)), ("in 5 s".into(), "5 s ago".into(), "now".into()));
}
