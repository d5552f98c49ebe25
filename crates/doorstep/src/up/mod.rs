//! `doorstep up`: everything in `doorstep.toml`, by two processes of this one program.
//!
//! The *supervisor* (`supervisor/`) binds ports, runs apps and keeps a *worker* (`worker/`) alive, which reads all that comes
//! from the network, confined and without privileges. They talk over a [`link`].

pub mod link;
mod notify;
mod shape;
pub mod signals;
pub mod supervisor;
mod voice;
mod worker;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use doorstep_sandbox::users;
use rustix::process::geteuid;
use time::UtcOffset;

use self::supervisor::configuration::Written;
use self::supervisor::handover::{Handover, VARIABLE};
use self::supervisor::{Begin, OURSELVES, Options};
use self::voice::Voice;
use crate::dirs::{self, Dirs};
use crate::exit::{Code, Failure, cause};

/// First argument of a worker; its second is the number of its link's descriptor.
pub const WORKER: &str = "__worker";

/// First argument of a program that is asked whether it could take over; its second is the descriptor of what is left to it.
pub const HANDOVER_CHECK: &str = "__handover-check";

pub const EXAMPLES: &str = "\
Examples:
  doorstep init && doorstep up             from a folder to a site
  doorstep up --config /srv/doorstep.toml  another file
  sudo doorstep up                         with ports 80 and 443, apps as their own users

It stays in the foreground until `doorstep stop` or Ctrl-C. Elsewhere: `doorstep status`, `doorstep logs -f`,
`doorstep reload` after a change of the file. To start it with the computer: `doorstep service install`.";

/// `doorstep up`'s command line.
#[derive(Clone, Debug, clap::Args)]
pub struct UpArgs {
    /// The configuration [default: doorstep.toml here, else /etc/doorstep/doorstep.toml]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Keep certificates, accounts and the journal in this folder
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// One JSON object a line instead of text, for programs
    #[arg(long)]
    pub json: bool,
}

/// Runs until it is told to stop.
///
/// # Errors
/// Why it could not start.
pub fn run(args: &UpArgs, zone: UtcOffset) -> Result<ExitCode, Failure> {
    let config = Written::File(find(args.config.as_deref())?);
    run_written(config, args.state.as_deref(), args.json, zone)
}

/// The same for a configuration that may be no file.
///
/// # Errors
/// Why it could not start.
pub fn run_written(config: Written, state: Option<&Path>, json: bool, zone: UtcOffset) -> Result<ExitCode, Failure> {
    // An order that comes before anybody listens is not lost, and does not end a start half way.
    signals::hold();
    let handover = Handover::found()
        .map_err(|error| Failure::new(Code::Failed, format!("nothing can be taken over: {}", cause(&error))))?;
    // SAFETY: there is one thread yet. Apps and workers must not take what was left to this program for theirs.
    unsafe { std::env::remove_var(VARIABLE) };
    let voice = Voice { json, zone };
    let begin = match handover {
        Some(handover) => Begin::take_over(handover)?,
        None => Begin::fresh(&config, &voice)?,
    };
    let daemon = &begin.spec().daemon;
    let dirs = Dirs::of(state.or(daemon.state.as_deref()))?;
    let worker_user = if geteuid().is_root() { Some(worker_user(&daemon.user, &dirs.state)?) } else { None };
    let options = Options { config, dirs, worker_user, binary: OURSELVES.into(), voice };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Failed, format!("no runtime: {}", cause(&error))))?;
    let ended = runtime.block_on(supervisor::run(options, begin));
    runtime.shutdown_background();
    voice::flush();
    ended
}

/// What the hidden first arguments ask for, if there is one of them.
pub fn hidden(arguments: &[OsString]) -> Option<ExitCode> {
    let number = || arguments.get(2)?.to_str()?.parse().ok();
    match arguments.get(1)?.to_str()? {
        WORKER => Some(number().map_or(ExitCode::FAILURE, worker::run)),
        HANDOVER_CHECK => Some(match number().map(Handover::read) {
            Some(Ok(handover)) => told(Begin::take_over(handover).map(drop)),
            Some(Err(error)) => told(Err(error)),
            None => ExitCode::FAILURE,
        }),
        _ => None,
    }
}

/// Success, or the reason on standard error.
fn told(outcome: Result<(), impl std::fmt::Display>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The configuration that is meant.
fn find(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let candidates = match named {
        Some(path) => vec![path.to_owned()],
        None => vec!["doorstep.toml".into(), "/etc/doorstep/doorstep.toml".into()],
    };
    if let Some(found) = candidates.iter().find(|path| path.exists()) {
        // Made absolute, for a program that takes over may be somewhere else.
        return Ok(std::path::absolute(found).unwrap_or_else(|_| found.clone()));
    }
    let names: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
    Err(Failure::new(Code::Configuration, format!("there is no configuration: {}", names.join(", ")))
        .fix("Write one with `doorstep init`, or name it with --config FILE."))
}

/// Who the worker becomes: the user of that name. Where nobody made the default one, a number that belongs to nobody, from
/// the range that systemd keeps for such users (`DynamicUser` in systemd.exec(5)).
fn worker_user(name: &str, state: &Path) -> Result<(u32, u32), Failure> {
    match users::find(name) {
        Ok(Some(user)) => Ok((user.uid, user.gid)),
        Ok(None) if name == doorstep_model::Daemon::default().user => {
            let number = 61_184 + u32::try_from(dirs::hash(state) % 4336).unwrap_or(0);
            Ok((number, number))
        }
        Ok(None) => Err(Failure::new(Code::Failed, format!("the user {name:?} of [daemon] does not exist"))
            .fix(format!("useradd --system --no-create-home --shell /usr/sbin/nologin {name}"))),
        Err(error) => Err(Failure::new(Code::Failed, format!("the user {name:?} cannot be looked up: {error}"))),
    }
}
