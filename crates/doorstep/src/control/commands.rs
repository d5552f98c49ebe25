//! The commands that talk to a daemon.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anstyle::Style;

use super::client::{Answers, At, ask_daemon};
use super::protocol::{Certificate, Request, Response, Status};
use super::status::{self as table, Look};
use crate::args::control::{CertCommand, ControlCommand, LogsArgs};
use crate::exit::{Code, Failure, cause};
use crate::limits::{CONTROL_AGAIN, TAKE_OVER};
use crate::screen::line::DIM;
use crate::screen::text::visible;
use crate::screen::tty;

/// Asks the daemon, and shows what it says.
///
/// # Errors
/// Why it could not be done, in the daemon's words or ours.
pub fn run(command: ControlCommand) -> Result<ExitCode, Failure> {
    match command {
        ControlCommand::Status { json, at } => show_status(&at, json),
        ControlCommand::Logs(args) => logs(&args),
        ControlCommand::Reload { at } => follow(ask_daemon(&at, &Request::Reload)?),
        ControlCommand::Restart { app, at } => follow(ask_daemon(&at, &Request::Restart { app })?),
        ControlCommand::Stop { at } => follow(ask_daemon(&at, &Request::Stop)?),
        ControlCommand::Upgrade { binary, at } => {
            // The daemon stands in another folder.
            let binary = binary.map(|path| std::path::absolute(&path).unwrap_or(path));
            upgrade(&at, binary)
        }
        ControlCommand::Cert { command } => certificates(command),
    }
}

/// The daemon that took the request is not the one that could answer it: whether the next one is there is asked of it.
fn upgrade(at: &At, binary: Option<PathBuf>) -> Result<ExitCode, Failure> {
    let before = status(at)?.upgrades;
    for answer in ask_daemon(at, &Request::Upgrade { binary })? {
        match answer {
            Ok(Response::Progress { text }) => eprintln!("{}", visible(&text)),
            Ok(Response::Failed { what, why, fix }) => {
                return Err(Failure::new(Code::Failed, what).because(why).fix(fix));
            }
            _ => break,
        }
    }
    let deadline = Instant::now() + TAKE_OVER;
    while Instant::now() < deadline {
        if let Ok(status) = status(at)
            && status.upgrades > before
        {
            return crate::print(format!("doorstep {} took over.\n", status.version).as_bytes());
        }
        std::thread::sleep(CONTROL_AGAIN);
    }
    Err(Failure::new(Code::Failed, "the new program did not take over within its time")
        .fix("`doorstep status` tells which one runs."))
}

fn status(at: &At) -> Result<Status, Failure> {
    match last(ask_daemon(at, &Request::Status)?)? {
        Response::Status { status } => Ok(*status),
        other => Err(unexpected(&other)),
    }
}

fn show_status(at: &At, json: bool) -> Result<ExitCode, Failure> {
    match last(ask_daemon(at, &Request::Status)?)? {
        Response::Status { status } if json => print_json(&*status),
        Response::Status { status } => crate::print(table::render(&status, look()).as_bytes()),
        other => Err(unexpected(&other)),
    }
}

fn certificates(command: CertCommand) -> Result<ExitCode, Failure> {
    let (at, json, request) = match command {
        CertCommand::List { json, at } => (at, json, Request::CertList),
        CertCommand::Show { name, json, at } => (at, json, Request::CertShow { name }),
        CertCommand::Renew { name, at } => return follow(ask_daemon(&at, &Request::CertRenew { name })?),
    };
    let list = matches!(request, Request::CertList);
    let all: Vec<Certificate> = match last(ask_daemon(&at, &request)?)? {
        Response::Certificates { certificates } => certificates,
        other => return Err(unexpected(&other)),
    };
    if json {
        return print_json(&all);
    }
    let text = match list {
        true => table::certificates(&all, look()),
        false => all.iter().map(|one| table::certificate(one, look())).collect::<Vec<_>>().join("\n"),
    };
    crate::print(text.as_bytes())
}

fn logs(args: &LogsArgs) -> Result<ExitCode, Failure> {
    let request = Request::Logs { app: args.app.clone(), lines: args.lines, follow: args.follow };
    let color = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut out = stdout().lock();
    for answer in ask_daemon(&args.at, &request)? {
        let (app, text) = match answer.map_err(|error| lost(&error))? {
            Response::Line { app, text } => (app, text),
            Response::Done { .. } => return Ok(ExitCode::SUCCESS),
            Response::Progress { .. } => continue,
            other => return Err(unexpected(&other)),
        };
        // With one app, every line would begin with the same word. On a terminal, an app's output cannot command it.
        let name = if args.app.is_some() { String::new() } else { format!("{} ", paint(&app, DIM, color)) };
        let text = if stdout().is_terminal() { visible(&text).into_owned() } else { text };
        match writeln!(out, "{name}{text}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            Err(error) => {
                return Err(Failure::new(Code::Failed, format!("the output cannot be written: {}", cause(&error))));
            }
            Ok(()) => {}
        }
    }
    if args.follow { Err(hung_up()) } else { Ok(ExitCode::SUCCESS) }
}

/// Asks, and gives the answer that matters.
///
/// # Errors
/// Why there is none, or why what was asked cannot be done.
pub fn ask_one(at: &At, request: &Request) -> Result<Response, Failure> {
    last(ask_daemon(at, request)?)
}

/// How wide a table may be.
pub fn columns() -> usize {
    look().columns
}

/// Whether it may have colours.
pub fn color() -> bool {
    look().color
}

/// Tells what is being done, and how it ended.
fn follow(answers: Answers) -> Result<ExitCode, Failure> {
    match last(answers)? {
        Response::Done { text } if text.is_empty() => Ok(ExitCode::SUCCESS),
        Response::Done { text } => crate::print(format!("{}\n", visible(&text)).as_bytes()),
        other => Err(unexpected(&other)),
    }
}

/// The answer that matters; progress is shown on the way to it, refusals are failures.
fn last(answers: Answers) -> Result<Response, Failure> {
    for answer in answers {
        match answer.map_err(|error| lost(&error))? {
            Response::Progress { text } => eprintln!("{}", visible(&text)),
            Response::Failed { what, why, fix } => return Err(Failure::new(Code::Failed, what).because(why).fix(fix)),
            other => return Ok(other),
        }
    }
    Err(hung_up())
}

pub fn print_json(value: &impl serde::Serialize) -> Result<ExitCode, Failure> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
    text.push(b'\n');
    crate::print(&text)
}

fn look() -> Look {
    let terminal = stdout().is_terminal();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Look {
        color: terminal && std::env::var_os("NO_COLOR").is_none(),
        // In a pipe or a file, nothing has to fit.
        columns: if terminal { tty::size().0 } else { usize::MAX },
        now: i64::try_from(now).unwrap_or(i64::MAX),
    }
}

fn paint(text: &str, style: Style, color: bool) -> String {
    let text = visible(text);
    if color { format!("{}{text}{}", style.render(), style.render_reset()) } else { text.into_owned() }
}

fn lost(error: &std::io::Error) -> Failure {
    Failure::new(Code::Failed, "the daemon cannot be understood").because(cause(error))
}

fn hung_up() -> Failure {
    Failure::new(Code::Failed, "the daemon hung up without an answer")
        .because("It ended meanwhile, or is busy with too many such commands.")
        .fix("`doorstep status` tells whether it is up.")
}

fn unexpected(answer: &Response) -> Failure {
    match answer {
        Response::Failed { what, why, fix } => Failure::new(Code::Failed, what).because(why).fix(fix),
        _ => Failure::new(Code::Failed, "the daemon answered something else than what was asked")
            .fix("It may be of another version: `doorstep upgrade` makes it this one's."),
    }
}
