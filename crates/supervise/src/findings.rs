//! What a person should hear of, in words.

use doorstep_model::{Blame, Finding, Severity};

use crate::Exit;

/// What is known about the instance that a finding is about.
pub(crate) struct Case<'a> {
    pub app: &'a str,
    pub id: &'a str,
    /// How it ended; in words where it could not even be started.
    pub how: &'a str,
    pub exit: Option<Exit>,
    /// What to do, where whoever tried to start it knows; may be empty.
    pub fix: &'a str,
    /// The last lines of its output.
    pub said: &'a [String],
}

impl Case<'_> {
    pub fn exited(&self) -> Finding {
        let what = format!("The app {} ({}) {}.{}", self.app, self.id, self.how, self.quote());
        self.finding(Severity::Warning, "app-exited", what, "It is started again.".to_owned())
    }

    pub fn crash_loop(&self) -> Finding {
        let what = format!(
            "The app {} ends soon after each start; {} times now. The last one {}.{}",
            self.app,
            crate::limits::CRASH_LOOP,
            self.how,
            self.quote()
        );
        let why = "It does not answer. doorstep goes on trying, about once a minute.".to_owned();
        self.finding(Severity::Error, "app-crash-loop", what, why)
    }

    pub fn not_ready(&self, seconds: u64, path: Option<&str>) -> Finding {
        let missing = match path {
            Some(path) => format!("did not answer {path} with 2xx or 3xx"),
            None => "did not listen".to_owned(),
        };
        let what =
            format!("The app {} ({}) {missing} within {seconds} s of its start.{}", self.app, self.id, self.quote());
        let mut finding =
            self.finding(Severity::Error, "app-not-ready", what, "It is ended and started again.".to_owned());
        finding.fix = match path {
            Some(path) => {
                format!("See that it serves {path}, or give it more time: `ready.timeout` in [app.{}].", self.app)
            }
            None => "It must listen on the socket in $SOCKET, or, with `listen = \"port\"`, on the port in $PORT."
                .to_owned(),
        };
        finding
    }

    pub fn replacement_failed(&self) -> Finding {
        let what = format!("The new version of {} does not become ready: it {}.{}", self.app, self.how, self.quote());
        let why = "The version before goes on serving; the new one is tried again from time to time.".to_owned();
        self.finding(Severity::Error, "app-replacement-failed", what, why)
    }

    fn finding(&self, severity: Severity, id: &'static str, what: String, why: String) -> Finding {
        let blame = if self.exit.is_some_and(|exit| exit.out_of_memory) { Blame::Environment } else { Blame::Upstream };
        let fix = match self.exit {
            _ if !self.fix.is_empty() => self.fix.to_owned(),
            Some(Exit { out_of_memory: true, .. }) => format!("Give it more: `limits.memory` in [app.{}].", self.app),
            Some(Exit { code: Some(127), .. }) => {
                format!("See that the command in [app.{}] exists: its PATH is not that of your shell.", self.app)
            }
            _ => format!("Read its output: `doorstep logs {}`.", self.app),
        };
        Finding { severity, blame, id, what, why, fix }
    }

    fn quote(&self) -> String {
        quote(self.said)
    }
}

/// Preparing an app failed: an installation or a pre-start command.
pub(crate) fn preparation(app: &str, what: &str, said: &[String], old_goes_on: bool, fix: String) -> Finding {
    let why = if old_goes_on {
        "The version before goes on serving; this is tried again from time to time."
    } else {
        "The app cannot be started; this is tried again from time to time."
    };
    Finding {
        severity: Severity::Error,
        blame: Blame::Upstream,
        id: "app-preparation-failed",
        what: format!("The app {app} could not be prepared: {what}.{}", quote(said)),
        why: why.to_owned(),
        fix,
    }
}

/// A job did not do its work.
pub(crate) fn job_failed(job: &str, how: &str, said: &[String]) -> Finding {
    Finding {
        severity: Severity::Warning,
        blame: Blame::Upstream,
        id: "job-failed",
        what: format!("The job {job} {how}.{}", quote(said)),
        why: "It runs again at its next time.".to_owned(),
        fix: format!("Read its output: `doorstep logs {job}`."),
    }
}

pub(crate) fn job_skipped(job: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        blame: Blame::Upstream,
        id: "job-skipped",
        what: format!("It was time for the job {job}, but its last run is not over: this run is left out."),
        why: String::new(),
        fix: format!("Give it a longer interval, or a `timeout`, in [job.{job}]."),
    }
}

/// The system did not do what is needed.
pub(crate) fn environment(id: &'static str, what: String, why: &str, fix: &str) -> Finding {
    let (severity, blame) = (Severity::Error, Blame::Environment);
    Finding { severity, blame, id, what, why: why.to_owned(), fix: fix.to_owned() }
}

pub(crate) fn orphans_ended(count: usize) -> Finding {
    let (severity, blame) = (Severity::Note, Blame::Environment);
    Finding {
        severity,
        blame,
        id: "orphans-ended",
        what: format!("{count} processes of apps that a doorstep before this one left behind were ended."),
        why: String::new(),
        fix: "To keep them serving instead: `orphans = \"adopt\"` in the app's section.".to_owned(),
    }
}

fn quote(said: &[String]) -> String {
    if said.is_empty() {
        return " It said nothing.".to_owned();
    }
    let lines: Vec<String> = said.iter().map(|line| format!("\n    {line}")).collect();
    format!(" Its last words:{}", lines.concat())
}
