//! `doorstep relay invite`, `agents`, `revoke` and their like: said to the relay that runs, over the control socket.

use std::io::{IsTerminal as _, stderr};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::args::relay::{InviteArgs, RelayCommand};
use crate::control::client::At;
use crate::control::commands::{ask_one, color, columns, print_json};
use crate::control::protocol::{Request, Response};
use crate::control::relay_orders::{Agent, Invite, Name, RelayOrder, Session};
use crate::control::table::{Cell, Column, left, paint, right, table};
use crate::exit::{Code, Failure};
use crate::screen::human::{bytes, duration, grouped};
use crate::screen::line::{BOLD, DIM, GOOD, PLAIN, WARN};

/// Says it to the relay, and shows what it answers.
///
/// # Errors
/// Why it could not be done, in the relay's words or ours.
pub fn run(command: RelayCommand) -> Result<ExitCode, Failure> {
    match command {
        RelayCommand::Invite(args) => invite(*args),
        RelayCommand::Agents { json, at } => match ask(&at, RelayOrder::Agents)? {
            Response::RelayAgents { agents } if json => print_json(&agents),
            Response::RelayAgents { agents } => crate::print(agents_text(&agents, columns(), color()).as_bytes()),
            other => Err(unexpected(&other)),
        },
        RelayCommand::Names { json, at } => match ask(&at, RelayOrder::Names)? {
            Response::RelayNames { names } if json => print_json(&names),
            Response::RelayNames { names } => crate::print(names_text(&names, columns(), color()).as_bytes()),
            other => Err(unexpected(&other)),
        },
        RelayCommand::Revoke { agent, at } => tell(&at, RelayOrder::Revoke { agent }),
        RelayCommand::Stop { name, at } => tell(&at, RelayOrder::Stop { name }),
        RelayCommand::Start { name, at } => tell(&at, RelayOrder::Start { name }),
        RelayCommand::Forget { name, at } => tell(&at, RelayOrder::Forget { name }),
        RelayCommand::AddKey { agent, key, at } => tell(&at, RelayOrder::AddKey { agent, key: key.join(" ") }),
    }
}

fn invite(args: InviteArgs) -> Result<ExitCode, Failure> {
    let InviteArgs { agent, names, most_names, ports, streams, rate, requests, expires, lasts, at } = args;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let until = lasts.map(|lasts| (now + lasts).as_secs());
    let asked = expires.map(|expires| expires.as_secs());
    let invite = Invite { agent, names, most_names, ports, streams, rate, requests, expires: asked, until };
    let line = match ask(&at, RelayOrder::Invite(Box::new(invite)))? {
        Response::Done { text } => text,
        other => return Err(unexpected(&other)),
    };
    if stderr().is_terminal() {
        let life = expires.unwrap_or(doorstep_tunnel::limits::INVITATION);
        eprintln!("On the computer that is to lend, once, within {}:\n", duration(life));
    }
    crate::print(format!("doorstep join {line}\n").as_bytes())
}

fn tell(at: &At, order: RelayOrder) -> Result<ExitCode, Failure> {
    match ask(at, order)? {
        Response::Done { text } => crate::print(format!("{text}\n").as_bytes()),
        other => Err(unexpected(&other)),
    }
}

/// Where nothing runs at all, what is missing is a relay.
fn ask(at: &At, order: RelayOrder) -> Result<Response, Failure> {
    ask_one(at, &Request::Relay { order }).map_err(|failure| match failure.what.as_str() {
        "no doorstep is up here" => Failure::new(Code::Failed, "no relay runs here").because(failure.why).fix(
            "Start it: `doorstep relay --domain tun.example.com`; or say which one is meant by --config or --state.",
        ),
        _ => failure,
    })
}

fn unexpected(_: &Response) -> Failure {
    Failure::new(Code::Failed, "the relay answered something else than what was asked")
        .fix("It may be of another version: `doorstep upgrade` makes it this one's.")
}

const AGENTS: [Column; 8] = [
    left("AGENT"),
    left("state"),
    Column { title: "from", right: false, goes: 4 },
    right("there and back", 3),
    left("lends"),
    right("requests", 2),
    right("sent", 5),
    Column { title: "keys", right: false, goes: 6 },
];

fn agents_text(agents: &[Agent], columns: usize, color: bool) -> String {
    if agents.is_empty() {
        return "No agents yet. `doorstep relay invite NAME` prints the line that lets one in.\n".to_owned();
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let rows: Vec<Vec<Cell>> = agents.iter().map(|agent| row(agent, now)).collect();
    lines(&AGENTS, &rows, columns, color)
}

fn row(agent: &Agent, now: u64) -> Vec<Cell> {
    let latest: Option<&Session> = agent.sessions.iter().max_by_key(|session| session.since);
    let since = latest.map(|session| duration(Duration::from_secs(now.saturating_sub(session.since))));
    let (state, style) = match (agent, since) {
        (Agent { revoked: true, .. }, _) => ("revoked".to_owned(), WARN),
        (_, Some(since)) => (format!("here for {since}"), GOOD),
        (_, None) => ("away".to_owned(), DIM),
    };
    let trip = latest.and_then(|session| session.round_trip_ms).map(|trip| format!("{trip:.0} ms"));
    let lends: Vec<&str> = agent.names.iter().chain(&agent.ports).map(String::as_str).collect();
    let keys = agent.keys.iter().filter(|key| !key.revoked).map(|key| key.fingerprint.as_str());
    vec![
        Cell::new(&agent.name, BOLD),
        Cell::new(state, style),
        Cell::new(latest.map(|session| session.from.as_str()).unwrap_or_default(), PLAIN),
        trip.unwrap_or_default().into(),
        if lends.is_empty() { Cell::new("nothing", DIM) } else { lends.join(" ").into() },
        grouped(agent.requests).into(),
        bytes(agent.bytes_out).into(),
        keys.collect::<Vec<_>>().join(" ").into(),
    ]
}

const NAMES: [Column; 3] = [left("NAME"), left("agent"), left("state")];

fn names_text(names: &[Name], columns: usize, color: bool) -> String {
    if names.is_empty() {
        return "No names yet: agents claim them by `doorstep share … --via`.\n".to_owned();
    }
    let row = |name: &Name| {
        let (state, style) = match name {
            Name { stopped: true, .. } => ("switched off", WARN),
            Name { lent: true, end_to_end: true, .. } => ("lent, end to end", GOOD),
            Name { lent: true, .. } => ("lent", GOOD),
            _ => ("away", DIM),
        };
        vec![Cell::new(&name.name, BOLD), Cell::new(&name.agent, PLAIN), Cell::new(state, style)]
    };
    lines(&NAMES, &names.iter().map(row).collect::<Vec<_>>(), columns, color)
}

fn lines(head: &[Column], rows: &[Vec<Cell>], columns: usize, color: bool) -> String {
    let mut text = String::new();
    for line in table(head, rows, columns) {
        text += &paint(&line, color);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn parse(line: &str) -> RelayCommand {
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Some(Command::Relay(relay)) => relay.command.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn invitations_as_people_write_them() {
        let line = "doorstep relay invite studio --names studio-*,blog --ports 3 --rate 10MB/s --expires 1h --for 7d";
        let RelayCommand::Invite(args) = parse(line) else { panic!() };
        assert_eq!(args.names.as_deref(), Some(&["studio-*".to_owned(), "blog".to_owned()][..]));
        assert_eq!((args.ports, args.rate, args.expires), (Some(3), Some(10_000_000), Some(Duration::from_secs(3600))));
        let RelayCommand::AddKey { agent, key, .. } = parse("doorstep relay add-key anna ssh-ed25519 AAAA anna@laptop")
        else {
            panic!()
        };
        assert_eq!((agent.as_str(), key.join(" ").as_str()), ("anna", "ssh-ed25519 AAAA anna@laptop"));
        assert!(Cli::try_parse_from(["doorstep", "relay", "invite"]).is_err());
    }

    #[test]
    fn tables_say_who_is_here_and_what_is_whose() {
        let here = Agent {
            name: "studio".to_owned(),
            names: vec!["blog.tun.example.com".to_owned()],
            ports: vec!["tcp/20000".to_owned()],
            sessions: vec![Session {
                from: "192.0.2.1:4711".to_owned(),
                round_trip_ms: Some(19.6),
                ..Session::default()
            }],
            ..Agent::default()
        };
        let gone = Agent { name: "old".to_owned(), revoked: true, ..Agent::default() };
        let text = agents_text(&[here, gone], 200, false);
        for words in ["studio", "here for ", "20 ms", "blog.tun.example.com tcp/20000", "revoked", "nothing"] {
            assert!(text.contains(words), "{words}:\n{text}");
        }
        assert!(agents_text(&[], 80, false).contains("doorstep relay invite NAME"));
        let off = Name { name: "a".to_owned(), agent: "b".to_owned(), lent: true, stopped: true, ..Name::default() };
        assert!(names_text(&[off], 80, false).contains("switched off"));
    }
}
