//! Python web apps: a virtual environment beside the state, made anew when the requirements change; gunicorn or uvicorn in it.
//!
//! All of it runs as the app's user, in the folder `python/NAME` of the state, which is theirs: `HASH/` for each set of
//! requirements, `static/` for Django's collected files, `shim/` for the settings module that says where these are.

mod install;
mod requirements;
mod server;

use std::path::{Path, PathBuf};

use doorstep_model::Python;

use crate::event::StaticFiles;
use crate::limits;
use crate::prepare::{Argv, Prepared, Step, StepFailed, Workshop, base_env};
pub(crate) use server::Server;

/// Says whether the object is an ASGI or a WSGI app. Arguments: the entry.
const PROBE: &str = include_str!("probe.py");
/// Runs Django's `collectstatic` into a folder of ours. Arguments: the folder for the settings module, the folder for the files.
const COLLECT: &str = include_str!("collect.py");

/// Where gunicorn's processes tell each other that they live: never a disk, which may be slow, and writable under any `writes`.
const SHARED_MEMORY: &str = "/dev/shm";

/// The environment, the kind of app, its static files.
pub(crate) async fn prepare(workshop: &Workshop, python: &Python) -> Result<Prepared, StepFailed> {
    let environment = install::environment(workshop, python).await?;
    let env = environment_variables(workshop, &environment);
    let asgi = match python.asgi {
        Some(asgi) => asgi,
        None => probe(workshop, python, &environment, &env).await?,
    };
    let mut server = Server::new(workshop, python, &environment, asgi);
    server.options = install::server(workshop, &environment, server.package()).await?;
    if !asgi && Path::new(SHARED_MEMORY).is_dir() {
        server.options.extend(["--worker-tmp-dir".to_owned(), SHARED_MEMORY.to_owned()]);
    }
    let mut prepared =
        Prepared { command: Argv::Server(server), env, static_files: None, environment: Some(environment.clone()) };
    if let Some(path) = &python.collectstatic {
        let dir = workshop.python_dir.join("static");
        let settings = collect_static(workshop, &environment, &prepared.env, &dir).await?;
        prepared.env.extend(settings);
        prepared.static_files = Some(StaticFiles { path: path.clone(), dir });
    }
    Ok(prepared)
}

/// Removes what no instance uses any more.
pub(crate) fn remove_unused(python_dir: &Path, used: &Path) {
    let is_environment = |path: &Path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.len() == 32 && is_hex(name))
    };
    for entry in std::fs::read_dir(python_dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path != used && is_environment(&path) {
            // Does not follow links, whoever put them there. What cannot be removed now is tried the next time.
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

fn is_hex(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn environment_variables(workshop: &Workshop, environment: &Path) -> Vec<(String, String)> {
    let bin = environment.join("bin");
    vec![
        ("PATH".to_owned(), before(workshop, "PATH", &bin)),
        ("VIRTUAL_ENV".to_owned(), environment.display().to_string()),
        ("PYTHONUNBUFFERED".to_owned(), "1".to_owned()),
    ]
}

/// A folder in front of those that a variable names already.
fn before(workshop: &Workshop, variable: &str, folder: &Path) -> String {
    let env = base_env(&workshop.identity, &workshop.app.exec);
    let others = env.iter().find(|(name, _)| name == variable).map(|(_, value)| format!(":{value}"));
    format!("{}{}", folder.display(), others.unwrap_or_default())
}

async fn probe(
    workshop: &Workshop,
    python: &Python,
    environment: &Path,
    env: &[(String, String)],
) -> Result<bool, StepFailed> {
    let step = Step {
        what: &format!("the import of `{}`", python.entry),
        argv: script(environment, PROBE, &[&python.entry]),
        env: env.to_vec(),
        exec: workshop.app.exec.clone(),
        writes: vec![workshop.python_dir.clone()],
        timeout: limits::PROBE_STEP,
    };
    let said = workshop.run(step).await?;
    let kind = said.iter().rev().find_map(|line| line.strip_prefix("doorstep: this is an app for "));
    match kind {
        Some("ASGI") => Ok(true),
        Some("WSGI") => Ok(false),
        _ => Err(StepFailed {
            what: format!("whether `{}` is a WSGI or an ASGI app cannot be told", python.entry),
            said,
            fix: format!(
                "Say it: `python = {{ entry = \"{}\", interface = \"wsgi\" }}` in [app.{}], or \"asgi\".",
                python.entry, workshop.app.name
            ),
        }),
    }
}

/// Returns what the app itself needs in its environment, so that its settings know where the files are (manifests).
async fn collect_static(
    workshop: &Workshop,
    environment: &Path,
    env: &[(String, String)],
    dir: &Path,
) -> Result<Vec<(String, String)>, StepFailed> {
    let shim = workshop.python_dir.join("shim");
    let step = Step {
        what: "`manage.py collectstatic`",
        argv: script(environment, COLLECT, &[&shim.display().to_string(), &dir.display().to_string()]),
        env: env.to_vec(),
        // The worker serves the files, and is somebody else.
        exec: doorstep_model::Exec { umask: Some(0o022), ..workshop.app.exec.clone() },
        writes: vec![workshop.python_dir.clone()],
        timeout: limits::PREPARE_STEP,
    };
    let said = workshop.run(step).await?;
    let settings = said.iter().rev().find_map(|line| line.strip_prefix("doorstep: the settings are "));
    let Some(settings) = settings else {
        return Err(StepFailed {
            what: "`manage.py` does not say which settings it uses".to_owned(),
            said,
            fix: format!("Name them: DJANGO_SETTINGS_MODULE in [app.{}.env].", workshop.app.name),
        });
    };
    Ok(vec![
        ("PYTHONPATH".to_owned(), before(workshop, "PYTHONPATH", &shim)),
        ("DJANGO_SETTINGS_MODULE".to_owned(), "doorstep_settings".to_owned()),
        ("DOORSTEP_DJANGO_SETTINGS".to_owned(), settings.to_owned()),
        ("DOORSTEP_STATIC_ROOT".to_owned(), dir.display().to_string()),
    ])
}

/// The command line that runs a script of ours in an environment.
fn script(environment: &Path, text: &str, arguments: &[&str]) -> Vec<String> {
    let mut argv = vec![interpreter(environment).display().to_string(), "-c".to_owned(), text.to_owned()];
    argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    argv
}

fn interpreter(environment: &Path) -> PathBuf {
    environment.join("bin/python")
}
