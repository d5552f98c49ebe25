//! doorstep turns this computer into a server.

mod addresses;
mod args;
mod check;
mod control;
mod dirs;
mod events;
mod exit;
mod hash_password;
mod init;
mod ip;
mod join;
mod lend;
mod lifecycle;
mod limits;
mod look;
mod outside;
mod password;
mod plane;
mod port;
mod relay;
mod schema;
mod screen;
mod service;
mod share;
mod target;
mod tls;
mod trust;
mod up;
mod wiring;

use std::ffi::OsString;
use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Parser;
use time::UtcOffset;

use args::{Cli, Command};
use exit::{Code, Failure};

fn main() -> ExitCode {
    // Before anything that would be inherited: this process is about to become another program.
    if doorstep_sandbox::launch_requested() {
        doorstep_sandbox::launch_main();
    }
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = up::hidden(&arguments) {
        return code;
    }
    // Local time can be found out safely only as long as there is one thread.
    let zone = UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC);
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return misread(&error, &arguments),
    };
    let mut json = false;
    let done = match cli.command {
        None => print(args::WELCOME.as_bytes()),
        Some(Command::Share(share)) => {
            json = share.json;
            share::run(*share, zone)
        }
        Some(Command::Up(up)) => {
            json = up.json;
            up::run(&up, zone)
        }
        Some(Command::Relay(relay)) => {
            json = relay.json;
            relay::command::run(*relay, zone)
        }
        Some(Command::Ip(ip)) => {
            json = ip.json;
            ip::run(&ip)
        }
        Some(Command::Join(join)) => join::run(&join),
        Some(Command::Init(init)) => init::run(init),
        Some(Command::Check(check)) => check::run(&check),
        Some(Command::Schema(schema)) => schema::run(&schema),
        Some(Command::HashPassword) => hash_password::run(),
        Some(Command::Trust(trust)) => trust::run(&trust),
        Some(Command::Service { command }) => service::run(command),
        Some(Command::Undo(undo)) => service::undo(&undo),
        Some(Command::Control(command)) => control::commands::run(command),
        Some(Command::Completions { shell }) => generated(|out| {
            args::completions(shell, out);
            Ok(())
        }),
        Some(Command::Man) => generated(|out| args::man(out)),
    };
    done.unwrap_or_else(|failure| {
        screen::complain(&failure, json);
        failure.code.into()
    })
}

/// Help that was asked for goes to standard output; everything else is an error of usage.
fn misread(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if args::shows_help(error) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    match args::explain(error, arguments) {
        Some(better) => screen::complain(&Failure::new(Code::Usage, better), false),
        None => {
            let _ = error.print();
        }
    }
    Code::Usage.into()
}

fn generated(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    write(&mut text).map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
    print(&text)
}

/// To standard output; a reader that has seen enough (`| head`) is no error.
fn print(text: &[u8]) -> Result<ExitCode, Failure> {
    match stdout().write_all(text).and_then(|()| stdout().flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Code::Failed, format!("standard output cannot be written: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
