//! `doorstep check`: whether `doorstep.toml` makes sense, and everything that does not.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use doorstep_config::{Diagnostic, Outcome, Privileges, Sources};
use doorstep_model::{Lent, Severity, Spec, TlsPolicy, Via};
use serde_json::json;

use crate::exit::{Code, Failure};
use crate::lend::known;

/// The configuration file of a folder.
const FILE: &str = "doorstep.toml";

/// What `doorstep check` can be told.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The file, or the folder that it is in
    #[arg(default_value = FILE)]
    pub file: PathBuf,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

pub const EXAMPLES: &str = "\
Examples:
  doorstep check                           doorstep.toml in this folder
  doorstep check /etc/doorstep             another folder, or file
  doorstep check --json                    for programs

It starts nothing and changes nothing. Exit code 5: there are errors.";

/// # Errors
/// When standard output cannot be written. Errors in the file are printed, and are an exit code.
pub fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let path = if args.file.is_dir() { args.file.join(FILE) } else { args.file.clone() };
    let sources = Sources::gather(&path);
    let mut outcome = doorstep_config::parse(&sources, Privileges::of_this_process());
    look_at_identities(&mut outcome);
    if args.json {
        crate::print(format!("{:#}\n", as_json(&outcome)).as_bytes())?;
    } else {
        let text = said(&outcome, &path);
        if outcome.spec.is_some() {
            complain(&outcome);
            crate::print(text.as_bytes())?;
        } else {
            complain(&outcome);
            anstream::eprint!("{text}");
        }
    }
    Ok(if outcome.spec.is_some() { ExitCode::SUCCESS } else { Code::Configuration.into() })
}

/// What makes this computer known to relays is read here, not where the configuration is.
fn look_at_identities(outcome: &mut Outcome) {
    let Some(tunnel) = outcome.spec.as_ref().and_then(|spec| spec.tunnel.as_ref()) else { return };
    let wrong = tunnel.identities.iter().filter_map(|(via, file)| {
        let Via::Relay { host, .. } = via else { return None };
        let file = file.reveal();
        let why = known::parse(host, &file.text).err()?;
        Some(Diagnostic {
            severity: Severity::Error,
            id: "identity-unusable",
            message: format!("what makes this computer known to {via} cannot be used"),
            marks: Vec::new(),
            note: format!("{}, {why}", file.path.display()),
            help: "remove the file, and join again with a new invitation".to_owned(),
        })
    });
    let wrong: Vec<Diagnostic> = wrong.collect();
    if !wrong.is_empty() {
        outcome.diagnostics.extend(wrong);
        outcome.spec = None;
    }
}

/// What is wrong, to standard error; without colours where nobody could see them.
fn complain(outcome: &Outcome) {
    if !outcome.diagnostics.is_empty() {
        anstream::eprintln!("{}\n", outcome.render(true));
    }
}

/// The last lines: whether all is well.
fn said(outcome: &Outcome, path: &Path) -> String {
    let errors = counted(outcome.errors(), "error");
    let warnings = counted(outcome.warnings(), "warning");
    match &outcome.spec {
        None if outcome.warnings() == 0 => format!("{}: {errors}\n", path.display()),
        None => format!("{}: {errors}, {warnings}\n", path.display()),
        Some(spec) => {
            let but = if outcome.warnings() == 0 { String::new() } else { format!(", {warnings}") };
            format!("{}: ok{but}\n{}", path.display(), summary(spec))
        }
    }
}

fn summary(spec: &Spec) -> String {
    let sites = spec.sites.iter().map(|site| site.name.clone()).collect();
    let apps = spec.apps.iter().map(|app| match app.instances {
        1 => app.name.to_string(),
        more => format!("{} ({more} instances)", app.name),
    });
    let jobs = spec.jobs.iter().map(|job| job.name.to_string()).collect();
    let listeners = spec.listeners.iter().map(|listener| format!("{}://{}", scheme(&listener.tls), listener.address));
    let lent = spec.tunnel.iter().flat_map(|tunnel| &tunnel.lent).map(|lent| match lent {
        Lent::Web(web) if web.name.is_empty() => web.site.clone(),
        Lent::Web(web) => web.name.clone(),
        Lent::Tcp { .. } | Lent::Udp { .. } => crate::lend::called(lent),
    });
    [
        ("sites", sites),
        ("apps", apps.collect()),
        ("jobs", jobs),
        ("listens on", listeners.collect::<Vec<_>>()),
        ("lends", lent.collect()),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(title, names)| format!("  {title:<10}  {}\n", shortened(&names)))
    .collect()
}

/// The most names in one line of the summary.
const NAMES: usize = 8;

fn shortened(names: &[String]) -> String {
    match names.get(NAMES..) {
        Some(rest @ [_, ..]) => format!("{} and {} more", names[..NAMES].join(", "), rest.len()),
        _ => names.join(", "),
    }
}

fn as_json(outcome: &Outcome) -> serde_json::Value {
    let spec = outcome.spec.as_ref().map(|spec| {
        json!({
            "sites": spec.sites.iter().map(|site| &site.name).collect::<Vec<_>>(),
            "apps": spec.apps.iter().map(|app| json!({ "name": app.name.0, "instances": app.instances })).collect::<Vec<_>>(),
            "jobs": spec.jobs.iter().map(|job| &job.name.0).collect::<Vec<_>>(),
            "listeners": spec.listeners.iter().map(|listener| json!({
                "address": listener.address.to_string(),
                "scheme": scheme(&listener.tls),
            })).collect::<Vec<_>>(),
        })
    });
    json!({
        "ok": outcome.spec.is_some(),
        "errors": outcome.errors(),
        "warnings": outcome.warnings(),
        "diagnostics": outcome.diagnostics.iter().map(Diagnostic::to_json).collect::<Vec<_>>(),
        "summary": spec,
    })
}

fn scheme(tls: &TlsPolicy) -> &'static str {
    match tls {
        TlsPolicy::Plain => "http",
        TlsPolicy::LocalCertificate | TlsPolicy::Sites => "https",
    }
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str) -> Outcome {
        doorstep_config::parse(&Sources::from_text(Path::new("/x/doorstep.toml"), text), Privileges::default())
    }

    #[test]
    fn says_what_there_is() {
        let good = outcome("[app.a]\nrun = \"x\"\ninstances = 3\n[site.default]\napp = \"a\"\n");
        let said = said(&good, Path::new("doorstep.toml"));
        assert_eq!(
            said,
            "doorstep.toml: ok\n  sites       default\n  apps        a (3 instances)\n  \
             listens on  http://0.0.0.0:8080, http://[::]:8080\n"
        );
        assert_eq!(as_json(&good)["summary"]["apps"][0]["instances"], 3);
    }

    #[test]
    fn counts_what_is_wrong() {
        let bad = outcome("[site.default]\napp = \"b\"\n[app.a]\nrun = \"x\"\ndir = 1\n");
        assert_eq!(said(&bad, Path::new("f")), "f: 2 errors\n");
        let json = as_json(&bad);
        assert_eq!((&json["ok"], &json["diagnostics"][0]["line"]), (&json!(false), &json!(2)));
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..10).map(|number| number.to_string()).collect();
        assert_eq!(shortened(&names), "0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
    }
}
