//! The configuration: read with everything it names, and checked whole.

use std::path::Path;

use doorstep_config::{Privileges, Sources};
use doorstep_model::Spec;
use rustix::process::geteuid;

use crate::exit::{Code, Failure};
use crate::up::voice::Voice;

/// Reads and checks.
///
/// # Errors
/// Everything that is wrong, as it will be shown to a person.
pub fn load(path: &Path, voice: &Voice) -> Result<(Sources, Spec), Failure> {
    let sources = Sources::gather(path);
    let outcome = doorstep_config::parse(&sources, privileges());
    match outcome.spec {
        Some(spec) => {
            if outcome.diagnostics.iter().any(|diagnostic| !diagnostic.is_error()) {
                voice.say(&rendered(&outcome.diagnostics, &sources));
            }
            Ok((sources, spec))
        }
        None => Err(wrong(path, &rendered(&outcome.diagnostics, &sources))),
    }
}

/// Checks what was read before.
///
/// # Errors
/// Everything that is wrong.
pub fn parse(sources: &Sources) -> Result<Spec, Failure> {
    let outcome = doorstep_config::parse(sources, privileges());
    outcome.spec.ok_or_else(|| wrong(sources.root(), &rendered(&outcome.diagnostics, sources)))
}

/// Who asks decides about defaults, such as ports.
pub fn privileges() -> Privileges {
    if geteuid().is_root() { Privileges::Root } else { Privileges::User }
}

/// A configuration that could not be put in force.
pub fn refused(problem: &str) -> Failure {
    Failure::new(Code::Failed, "the new configuration could not be put in force").because(problem)
}

fn wrong(path: &Path, text: &str) -> Failure {
    Failure::new(Code::Target, format!("{} is not a configuration that can be used\n{text}", path.display()))
}

fn rendered(diagnostics: &[doorstep_config::Diagnostic], sources: &Sources) -> String {
    diagnostics.iter().map(|diagnostic| diagnostic.render(sources, false)).collect::<Vec<_>>().join("\n")
}
