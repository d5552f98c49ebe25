//! `doorstep service`: start at boot, by systemd. And `doorstep undo`: take back what was changed on this computer.

mod mapping;
mod record;
mod steps;
mod undo;
mod unit;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use doorstep_config::{Privileges, Sources};
use doorstep_model::Daemon;
use doorstep_sandbox::users;
use doorstep_store::Journal;
use rustix::process::geteuid;

pub use undo::undo;

use self::steps::{Hands, Step, run_really};
use self::unit::Unit;
use crate::args::service::{InstallArgs, ServiceCommand, UninstallArgs};
use crate::dirs::Dirs;
use crate::exit::{Code, Failure, cause};

/// The unit's name.
const UNIT: &str = "doorstep.service";

/// # Errors
/// Why it could not be done; what was done so far is said and in the journal.
pub fn run(command: ServiceCommand) -> Result<ExitCode, Failure> {
    match command {
        ServiceCommand::Install(args) => install(&args),
        ServiceCommand::Uninstall(args) => uninstall(&args),
    }
}

fn install(args: &InstallArgs) -> Result<ExitCode, Failure> {
    allowed(args.user, args.dry_run)?;
    let config = configuration(args.config.as_deref())?;
    let daemon = checked(&config)?;
    let binary = std::env::current_exe()
        .and_then(|path| path.canonicalize())
        .map_err(|error| Failure::new(Code::Failed, "doorstep's own file cannot be found").because(cause(&error)))?;
    let state = daemon.state.as_deref();
    let unit = Unit { binary: &binary, config: &config, state };
    let mut steps = Vec::new();
    if !args.user && matches!(users::find(&daemon.user), Ok(None)) {
        steps.push(Step::MakeUser(daemon.user.clone()));
    }
    let path = unit_path(args.user)?;
    let text = if args.user { unit.user() } else { unit.system() };
    steps.push(Step::Write { path, text });
    steps.push(Step::Enable { unit: UNIT.to_owned(), of_user: args.user });
    let worries =
        if args.user { Vec::new() } else { [&binary, &config].into_iter().filter_map(|path| writable(path)).collect() };
    for worry in &worries {
        eprintln!("! {worry}");
    }
    do_or_show(&steps, &Dirs::of(state)?.state, args.dry_run)?;
    if !args.dry_run {
        say(&format!("doorstep is up, and starts with this computer.\n{}", next(args.user)));
    }
    Ok(ExitCode::SUCCESS)
}

fn uninstall(args: &UninstallArgs) -> Result<ExitCode, Failure> {
    allowed(args.user, args.dry_run)?;
    let path = unit_path(args.user)?;
    if !path.exists() {
        return Err(Failure::new(Code::Failed, "doorstep is not installed as a service")
            .because(format!("there is no {}", path.display())));
    }
    let reload = if args.user { "systemctl --user daemon-reload" } else { "systemctl daemon-reload" };
    let steps = [
        Step::Disable { unit: UNIT.to_owned(), of_user: args.user },
        Step::Remove(path),
        Step::Run(reload.split(' ').map(str::to_owned).collect()),
    ];
    let state = Dirs::of(args.state.as_deref())?.state;
    do_or_show(&steps, &state, args.dry_run)?;
    if !args.dry_run {
        say(&format!(
            "doorstep no longer starts with this computer. Certificates and logs stay in {}.",
            state.display()
        ));
        say("`doorstep undo` lists what else was changed, such as a user.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Does the steps, or only tells them.
fn do_or_show(steps: &[Step], state: &Path, dry_run: bool) -> Result<(), Failure> {
    if dry_run {
        say("Would do, in this order:");
        for step in steps {
            say(&format!("  {}", step.said()));
            if let Step::Write { text, .. } = step {
                text.lines().for_each(|line| say(&format!("    {line}")));
            }
        }
        return Ok(());
    }
    let mut journal = open_journal(state)?;
    let mut hands = Hands { run: &mut run_really, say: &mut |line| say(&format!("  {line}")) };
    steps.iter().try_for_each(|step| step.take(&mut journal, &mut hands))
}

fn open_journal(state: &Path) -> Result<Journal, Failure> {
    Journal::open(state).map_err(|error| {
        Failure::new(Code::Failed, format!("the journal in {} cannot be opened", state.display()))
            .because(cause(&error))
    })
}

/// Root for the computer's services, systemd for either.
fn allowed(user: bool, dry_run: bool) -> Result<(), Failure> {
    if dry_run {
        return Ok(());
    }
    // sd_booted(3).
    if !Path::new("/run/systemd/system").is_dir() {
        return Err(Failure::new(Code::Failed, "this computer was not started by systemd")
            .because("`doorstep service` knows no other way to start a program at boot.")
            .fix("Let what starts programs here run `doorstep up --config FILE`; it stays in the foreground, SIGTERM ends it\nand SIGHUP reloads. --dry-run shows what systemd would be given."));
    }
    match (user, geteuid().is_root()) {
        (false, false) => Err(Failure::new(Code::Failed, "only root can install a service of this computer")
            .fix("Put `sudo` in front, or make it your own with --user.")),
        (true, true) => Err(Failure::new(Code::Usage, "--user is for ordinary users").fix("As root, leave it out.")),
        _ => Ok(()),
    }
}

/// The configuration's absolute path.
fn configuration(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let candidates = match named {
        Some(path) => vec![path.to_owned()],
        None => vec!["doorstep.toml".into(), "/etc/doorstep/doorstep.toml".into()],
    };
    let found = candidates.iter().find_map(|path| path.canonicalize().ok());
    found.ok_or_else(|| {
        let names: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
        Failure::new(Code::Configuration, format!("there is no configuration: {}", names.join(", ")))
            .fix("Write one with `doorstep init`, or name it with --config FILE.")
    })
}

/// A service that cannot start is not installed.
fn checked(config: &Path) -> Result<Daemon, Failure> {
    let outcome = doorstep_config::parse(&Sources::gather(config), Privileges::of_this_process());
    outcome.spec.map(|spec| spec.daemon).ok_or_else(|| {
        Failure::new(Code::Configuration, format!("{} has errors", config.display()))
            .fix(format!("`doorstep check {}` shows all of them.", config.display()))
    })
}

fn unit_path(user: bool) -> Result<PathBuf, Failure> {
    if !user {
        return Ok(Path::new("/etc/systemd/system").join(UNIT));
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    let base =
        base.ok_or_else(|| Failure::new(Code::Failed, "there is no home to write a unit to").fix("Set HOME."))?;
    Ok(base.join("systemd/user").join(UNIT))
}

/// Root runs this file, or does what it says: whoever can change it can become root.
fn writable(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let open = |part: &Path| {
        let meta = std::fs::metadata(part).ok()?;
        // In a sticky folder such as /tmp, others cannot replace what is not theirs.
        let others = meta.mode() & 0o022 != 0 && meta.mode() & 0o1000 == 0;
        (meta.uid() != 0 || others).then(|| part.to_owned())
    };
    let part = path.ancestors().find_map(open)?;
    let fix = format!("install -o root -g root -m 755 {} /usr/local/bin/", path.display());
    let fix = if path.extension().is_some() {
        "Let root own it, and nobody else write it.".to_owned()
    } else {
        format!("`{fix}`")
    };
    Some(format!("Others than root can change {}, and so what root does: {}. {fix}", part.display(), path.display()))
}

fn next(user: bool) -> String {
    if user {
        "It ends when you log out, unless you `loginctl enable-linger`.\n`doorstep status` tells how it does."
            .to_owned()
    } else {
        "`doorstep status` tells how it does, `journalctl -u doorstep` what it said.".to_owned()
    }
}

fn say(text: &str) {
    // Somebody who does not listen is no reason to stop half-way.
    let _ = crate::print(format!("{text}\n").as_bytes());
}
