use std::path::{Path, PathBuf};

use doorstep_model::{Exec, Python, ResourceLimits};

use super::requirements::{self, Source};
use super::{interpreter, script};
use crate::definition::fingerprint;
use crate::limits;
use crate::prepare::{Step, StepFailed, Workshop};

/// Writes what pip should install for a `pyproject.toml`. Argument: the environment.
const PYPROJECT: &str = include_str!("pyproject.py");
/// Says whether a server is installed, and which options it wants. Argument: its module.
const LOOK: &str = include_str!("look.py");
/// In an environment that is whole. Without it, an installation was broken off.
const COMPLETE: &str = ".complete";

/// The environment for what the project needs now: one that is there, or a new one.
///
/// # Errors
/// An installation that failed. Other environments are untouched.
pub(super) async fn environment(workshop: &Workshop, python: &Python) -> Result<PathBuf, StepFailed> {
    let version = interpreter_version(workshop, python).await?;
    let dir = workshop.app.exec.dir.clone();
    let look = tokio::task::spawn_blocking(move || requirements::look(&dir)).await;
    let (source, text) = look.unwrap_or((Source::Nothing, Vec::new()));
    let hash = fingerprint(&[python.interpreter.as_bytes(), version.as_bytes(), &text]);
    let environment = workshop.python_dir.join(hash);
    if environment.join(COMPLETE).exists() {
        return Ok(environment);
    }
    let broken = environment.clone();
    let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(broken)).await;
    create(workshop, python, &environment).await?;
    install(workshop, &environment, source).await?;
    let mark =
        script(&environment, "import sys; open(sys.argv[1], 'w').close()", &[&text_of(&environment.join(COMPLETE))]);
    workshop.run(step(workshop, "the last step of the installation", mark)).await?;
    Ok(environment)
}

/// Installs gunicorn or uvicorn, unless the project brought it. Returns the options that this version has and that it needs.
///
/// # Errors
/// An installation that failed.
pub(super) async fn server(
    workshop: &Workshop,
    environment: &Path,
    (module, package): (&str, &str),
) -> Result<Vec<String>, StepFailed> {
    let look = || step(workshop, "a look at what is installed", script(environment, LOOK, &[module]));
    let mut said = workshop.run(look()).await?;
    if said.iter().any(|line| *line == format!("doorstep: {module} is not installed yet")) {
        let argv = pip(environment, &[package]);
        workshop.run(step(workshop, &format!("`pip install {package}`"), argv)).await?;
        said = workshop.run(look()).await?;
    }
    let options = said.iter().filter_map(|line| line.strip_prefix("doorstep: wants "));
    Ok(options.map(str::to_owned).collect())
}

async fn interpreter_version(workshop: &Workshop, python: &Python) -> Result<String, StepFailed> {
    let argv = vec![python.interpreter.clone(), "-c".into(), "import sys; print(sys.version.split()[0])".into()];
    let what = format!("the interpreter `{}`", python.interpreter);
    match workshop.run(step(workshop, &what, argv)).await {
        Ok(said) => Ok(said.concat()),
        Err(failed) => Err(StepFailed {
            fix: format!(
                "Install it, or name another one: `python = {{ entry = …, interpreter = \"python3.12\" }}` in [app.{}].",
                workshop.app.name
            ),
            ..failed
        }),
    }
}

async fn create(workshop: &Workshop, python: &Python, environment: &Path) -> Result<(), StepFailed> {
    // By the app's user, in the app's folder: we make nothing there ourselves.
    let text = "umask 022; mkdir -p \"$1/tmp\" \"$1/cache\" && exec \"$0\" -m venv --clear \"$2\"";
    let arguments = [&python.interpreter, &text_of(&workshop.python_dir), &text_of(environment)];
    let mut argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()];
    argv.extend(arguments.into_iter().cloned());
    let what = format!("`{} -m venv`", python.interpreter);
    match workshop.run(step(workshop, &what, argv)).await {
        Ok(_) => Ok(()),
        Err(failed) if failed.said.iter().any(|line| line.contains("ensurepip")) => Err(StepFailed {
            fix: "Install the module that makes environments: `apt install python3-venv`.".to_owned(),
            ..failed
        }),
        Err(failed) => Err(failed),
    }
}

async fn install(workshop: &Workshop, environment: &Path, source: Source) -> Result<(), StepFailed> {
    let list = match source {
        Source::Nothing => return Ok(()),
        Source::Requirements => "requirements.txt".to_owned(),
        Source::Pyproject => {
            let argv = script(environment, PYPROJECT, &[&text_of(environment)]);
            workshop.run(step(workshop, "reading `pyproject.toml`", argv)).await?;
            text_of(&environment.join("requirements.txt"))
        }
    };
    let what = match source {
        Source::Pyproject => "installing what `pyproject.toml` names",
        _ => "`pip install -r requirements.txt`",
    };
    workshop.run(step(workshop, what, pip(environment, &["-r", &list]))).await.map(drop)
}

fn pip(environment: &Path, arguments: &[&str]) -> Vec<String> {
    let fixed =
        ["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-warn-script-location", "-q"];
    let mut argv = vec![text_of(&interpreter(environment))];
    argv.extend(fixed.iter().chain(arguments).map(|argument| (*argument).to_owned()));
    argv
}

/// A step of the installation: as the app's user, but an installer needs more memory than the app may have.
fn step<'a>(workshop: &Workshop, what: &'a str, argv: Vec<String>) -> Step<'a> {
    let own = |name: &str| text_of(&workshop.python_dir.join(name));
    let mut env = vec![("PIP_CACHE_DIR".to_owned(), own("cache")), ("PYTHONUNBUFFERED".to_owned(), "1".to_owned())];
    // There from the second step on; until then nothing needs it.
    if workshop.python_dir.join("tmp").exists() {
        env.push(("TMPDIR".to_owned(), own("tmp")));
    }
    // How this computer reaches a package registry is known to whoever started doorstep.
    let passed = |name: &str| {
        let upper = name.to_ascii_uppercase();
        (name.starts_with("PIP_") && name != "PIP_CACHE_DIR") || upper.ends_with("_PROXY") || upper == "SSL_CERT_FILE"
    };
    env.extend(std::env::vars().filter(|(name, _)| passed(name)));
    let own_env = &workshop.app.exec.env;
    env.retain(|(name, _)| !own_env.iter().any(|(other, _)| other == name));
    Step {
        what,
        argv,
        env,
        exec: Exec { limits: ResourceLimits::default(), ..workshop.app.exec.clone() },
        writes: vec![workshop.python_dir.clone()],
        timeout: limits::PREPARE_STEP,
    }
}

fn text_of(path: &Path) -> String {
    path.display().to_string()
}
