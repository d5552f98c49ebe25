use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use doorstep_model::{App, AppCommand, Exec, Finding};

use crate::event::StaticFiles;
use crate::output::{AppLog, Fifo};
use crate::process::{MARK, Unit};
use crate::{Identity, Spawn, Start, findings, limits, python, tmp};

/// How instances of one generation are started.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub command: Argv,
    /// On top of the app's own.
    pub env: Vec<(String, String)>,
    pub static_files: Option<StaticFiles>,
    /// The Python environment that it runs in; others of the app can go when nothing else runs.
    pub environment: Option<PathBuf>,
}

/// The command line of an instance.
#[derive(Clone, Debug)]
pub(crate) enum Argv {
    Shell(String),
    Server(python::Server),
}

/// What preparing an app needs.
pub(crate) struct Workshop {
    pub app: Arc<App>,
    pub identity: Identity,
    pub spawn: Arc<dyn Spawn>,
    pub log: Arc<AppLog>,
    /// The app's folder for sockets and pipes.
    pub run_dir: PathBuf,
    /// The app's folder for Python environments, its user's.
    pub python_dir: PathBuf,
    pub state_dir: PathBuf,
    /// Whole, for the environment; also names what runs here.
    pub mark: String,
    /// Instances of an earlier generation serve meanwhile: for words.
    pub old_goes_on: bool,
}

/// Why a step failed.
pub(crate) struct StepFailed {
    /// A clause: "`pip install` ended with exit code 1".
    pub what: String,
    pub said: Vec<String>,
    pub fix: String,
}

/// One command of the preparation.
pub(crate) struct Step<'a> {
    /// In words, for reports: "`pip install -r requirements.txt`".
    pub what: &'a str,
    pub argv: Vec<String>,
    pub env: Vec<(String, String)>,
    pub exec: Exec,
    pub writes: Vec<PathBuf>,
    pub timeout: Duration,
}

/// Makes the Python environment if there is one, and runs the pre-start commands (not `again`).
pub(crate) async fn prepare(workshop: &Workshop, again: bool) -> Result<Prepared, Finding> {
    let prepared = match &workshop.app.command {
        AppCommand::Run(command) => Ok(Prepared {
            command: Argv::Shell(command.clone()),
            env: Vec::new(),
            static_files: None,
            environment: None,
        }),
        AppCommand::Python(python) => python::prepare(workshop, python).await,
    };
    let done = match prepared {
        Ok(prepared) if !again => run_pre_start(workshop, &prepared).await.map(|()| prepared),
        other => other,
    };
    let name = &workshop.app.name.0;
    done.map_err(|failed| findings::preparation(name, &failed.what, &failed.said, workshop.old_goes_on, failed.fix))
}

async fn run_pre_start(workshop: &Workshop, prepared: &Prepared) -> Result<(), StepFailed> {
    for command in &workshop.app.pre_start {
        let step = Step {
            what: &format!("the pre-start command `{command}`"),
            argv: vec!["/bin/sh".into(), "-c".into(), command.clone()],
            env: prepared.env.clone(),
            exec: workshop.app.exec.clone(),
            writes: Vec::new(),
            timeout: limits::PREPARE_STEP,
        };
        workshop.run(step).await?;
    }
    Ok(())
}

impl Workshop {
    /// Runs one command to its end; its output goes to the app's log. Returns its last lines.
    ///
    /// # Errors
    /// It could not be started, failed, or took too long.
    pub async fn run(&self, step: Step<'_>) -> Result<Vec<String>, StepFailed> {
        let name = &self.app.name.0;
        let fix = format!("Read its output: `doorstep logs {name}`.");
        let fail = |what: String, said| StepFailed { what: format!("{} {what}", step.what), said, fix: fix.clone() };
        let not_started = |error: &dyn std::fmt::Display| fail(format!("could not be started: {error}"), Vec::new());
        // Its own name, since the mark of the log line tells this run's lines from those before it.
        let who = format!("prepare-{}", sequence());
        let path = self.run_dir.join(format!("{who}.out"));
        let fifo = Fifo::open(&path).map_err(|error| not_started(&error))?;
        let output = fifo.child_end().map_err(|error| not_started(&error))?;
        let reader = fifo.read_into(Arc::clone(&self.log), who.clone()).map_err(|error| not_started(&error))?;
        let mut env = base_env(&self.identity, &step.exec);
        merge(&mut env, &step.env);
        env.push((MARK.to_owned(), self.mark.clone()));
        let unit_name = format!("{name}.{who}");
        let start = Start {
            argv: step.argv.clone(),
            exec: step.exec.clone(),
            env,
            output,
            writes: step.writes.clone(),
            private_tmp: tmp::of(&self.state_dir, &step.exec, &unit_name),
            unit: unit_name.clone(),
        };
        let spawn = Arc::clone(&self.spawn);
        let spawned = tokio::task::spawn_blocking(move || spawn.spawn(start)).await;
        let cgroup = self.spawn.cgroup(&unit_name);
        let held = match spawned {
            Ok(Ok(spawned)) => Unit::hold(spawned.pid, self.mark.clone(), cgroup).map_err(|error| error.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let unit = match held {
            Ok(unit) => KillOnDrop(Some(unit)),
            Err(error) => {
                reader.finish().await;
                return Err(not_started(&error));
            }
        };
        let result = unit.end(step.timeout).await;
        reader.finish().await;
        tmp::release(Arc::clone(&self.spawn), self.state_dir.clone(), unit_name).await;
        let said = self.log.said(&who, limits::REPORT_LINES);
        match result {
            Some(exit) if exit.succeeded() => Ok(said),
            Some(exit) => Err(fail(exit.words(), said)),
            None => Err(fail(format!("was not done after {} s, and was ended", step.timeout.as_secs()), said)),
        }
    }
}

/// The environment of every program: small, clean, and the same whoever started doorstep.
pub(crate) fn base_env(identity: &Identity, exec: &Exec) -> Vec<(String, String)> {
    let ours = |name: &str, other: &str| std::env::var(name).unwrap_or_else(|_| other.to_owned());
    let mut env = vec![
        ("PATH".to_owned(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("HOME".to_owned(), identity.home.display().to_string()),
        ("USER".to_owned(), identity.name.clone()),
        ("LOGNAME".to_owned(), identity.name.clone()),
        ("SHELL".to_owned(), identity.shell.display().to_string()),
        ("LANG".to_owned(), ours("LANG", "C.UTF-8")),
        ("DOORSTEP".to_owned(), "1".to_owned()),
    ];
    // Whoever runs doorstep as themselves expects to find the programs that they have in their shell.
    if identity.uid == rustix::process::geteuid().as_raw() {
        env[0].1 = ours("PATH", &env[0].1);
    }
    if let Ok(zone) = std::env::var("TZ") {
        env.push(("TZ".to_owned(), zone));
    }
    let own: Vec<_> = exec.env.iter().map(|(name, value)| (name.clone(), value.reveal().clone())).collect();
    merge(&mut env, &own);
    env
}

/// Adds variables; those that are there already are replaced.
pub(crate) fn merge(env: &mut Vec<(String, String)>, more: &[(String, String)]) {
    for (name, value) in more {
        match env.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => old.clone_from(value),
            None => env.push((name.clone(), value.clone())),
        }
    }
}

/// Ends a step whose preparation was given up.
struct KillOnDrop(Option<Unit>);

impl KillOnDrop {
    async fn end(mut self, most: Duration) -> Option<crate::Exit> {
        let unit = self.0.clone()?;
        let exit = tokio::time::timeout(most, unit.ended()).await.ok();
        if exit.is_none() {
            unit.kill();
            unit.ended().await;
        }
        unit.finish(limits::LEFTOVER_GRACE).await;
        self.0 = None;
        exit
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(unit) = &self.0 {
            unit.kill();
        }
    }
}

fn sequence() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
