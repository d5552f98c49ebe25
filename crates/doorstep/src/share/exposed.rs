//! What somebody should think of whose share is on the internet now.

use doorstep_model::{Action, Blame, Finding, Severity, UploadPolicy};

use crate::args::ShareArgs;
use crate::screen::Kind;
use crate::target::Target;

/// Warnings about a share that the whole world can open.
pub fn of(args: &ShareArgs, target: &Target) -> Vec<Finding> {
    if args.password.is_some() || !args.allow.is_empty() {
        return Vec::new();
    }
    let title = &target.title;
    let mut findings = Vec::new();
    if let Action::Folder { options, .. } = &target.action {
        if options.upload != UploadPolicy::Off {
            findings.push(finding(
                "public-upload",
                format!("Anybody on the internet can put files into {title}."),
                "Such places are found within hours, and filled with what you do not want to be asked about.",
            ));
        }
        if options.hidden {
            findings.push(finding(
                "public-hidden",
                format!("Everything in {title} is on the internet, dotfiles and keys too (--hidden)."),
                "",
            ));
        }
    }
    if findings.is_empty() && matches!(target.kind, Kind::Folder) {
        findings.push(Finding {
            severity: Severity::Note,
            ..finding(
                "public-folder",
                format!("Whoever finds the address can read {title}."),
                "Names with a certificate stand in public lists, so programs come by within minutes.",
            )
        });
    }
    findings
}

/// The app shows its insides to visitors, and visitors are the world now.
pub fn debug(app: &str) -> Finding {
    let app = if app.is_empty() { "The app" } else { app };
    finding(
        "public-debug",
        format!("{app} shows debug pages, and the whole internet can open them now."),
        "They hold settings, source code and often passwords; some of them run what a visitor types.",
    )
}

/// A port as it is has no guard of ours in front.
pub fn raw(title: &str) -> Finding {
    Finding {
        severity: Severity::Note,
        fix: String::new(),
        ..finding(
            "public-port",
            format!("Anybody on the internet can connect to {title}."),
            "Only its own passwords and keys keep them out.",
        )
    }
}

fn finding(id: &'static str, what: String, why: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        blame: Blame::Environment,
        id,
        what,
        why: why.to_owned(),
        fix: "For people you know: --password.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};
    use crate::target;

    fn ids(line: &str) -> Vec<&'static str> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        let cli = Cli::try_parse_from(format!("doorstep share {path} {line}").split(' ')).unwrap();
        let Some(Command::Share(args)) = cli.command else { panic!() };
        let target = target::resolve(&args).unwrap();
        of(&args, &target).into_iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn an_open_door_is_told_of_and_a_shut_one_is_not() {
        assert_eq!(ids("--via a.example"), ["public-folder"]);
        assert_eq!(ids("--via a.example --upload --hidden"), ["public-upload", "public-hidden"]);
        assert_eq!(ids("--via a.example --upload --password"), [""; 0]);
        assert_eq!(ids("--via a.example --upload --allow 10.0.0.0/8"), [""; 0]);
    }
}
