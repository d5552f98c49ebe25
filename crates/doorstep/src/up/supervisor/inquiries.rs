//! What is asked over the control socket.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use doorstep_supervise::{AppStatus, InstanceState, Supervisor as Apps};
use serde_json::Value;

use super::Supervisor;
use super::reload::Reloaded;
use crate::control::protocol::{Certificate, Request, Response};
use crate::control::server::{Inquiry, Replies};
use crate::exit::{Code, Failure};
use crate::limits::{APP_LOOK, LAST_WORDS, ROLLING_RESTART};
use crate::up::link::Question;

impl Supervisor {
    /// Answers; a code means that the daemon has come to its end.
    pub(super) async fn answer(&mut self, inquiry: Inquiry) -> Option<ExitCode> {
        let Inquiry { request, replies } = inquiry;
        match request {
            Request::Status => {
                let status = Box::new(self.status().await);
                tell(&replies, Response::Status { status });
            }
            Request::Reload => {
                let outcome = self.reload().await;
                tell(&replies, reloaded(outcome, self.generation));
            }
            Request::Upgrade { binary } => self.answer_upgrade(binary, &replies).await,
            Request::Stop => {
                tell(&replies, Response::Progress { text: "Stopping: what is in flight may finish.".to_owned() });
                let code = self.stop().await;
                tell(&replies, Response::done("Stopped."));
                tokio::time::sleep(LAST_WORDS).await;
                return Some(code);
            }
            Request::Restart { app } => {
                tokio::spawn(restart(self.apps.clone(), app, replies));
            }
            Request::Logs { app, lines, follow } => {
                let names =
                    self.spec.apps.iter().map(|app| &app.name).chain(self.spec.jobs.iter().map(|job| &job.name));
                let names: Vec<String> = names.map(ToString::to_string).collect();
                let dir = self.options.dirs.logs.clone();
                let names = match app {
                    Some(app) if names.contains(&app) || dir.join(format!("{app}.log")).exists() => vec![app],
                    Some(app) => {
                        let unknown = Failure::new(Code::Failed, format!("there is no app or job {app:?}"))
                            .fix("`doorstep status` lists the apps and jobs.");
                        tell(&replies, Response::from(&unknown));
                        return None;
                    }
                    None => names,
                };
                tokio::spawn(crate::control::logs::send(dir, names, lines, follow, replies));
            }
            Request::CertList => {
                let certificates = self.certificates().await;
                tell(&replies, Response::Certificates { certificates });
            }
            Request::CertShow { name } => {
                let certificates = self.certificates().await;
                let found: Vec<Certificate> = certificates
                    .into_iter()
                    .filter(|one| one.name == name || one.names.contains(&name) || one.sites.contains(&name))
                    .collect();
                tell(
                    &replies,
                    if found.is_empty() {
                        unknown_certificate(&name)
                    } else {
                        Response::Certificates { certificates: found }
                    },
                );
            }
            Request::CertRenew { name } => {
                let value = self.answer_of(Question::RenewCertificate(name.clone())).await;
                tell(&replies, renewed(&name, value.as_ref()));
            }
            Request::Relay { order } => {
                let value = self.answer_of(Question::Relay(order)).await;
                let answer = value.and_then(|value| serde_json::from_value(value).ok());
                let silent = || Response::from(&Failure::new(Code::Failed, "the worker did not answer"));
                tell(&replies, answer.unwrap_or_else(silent));
            }
        }
        None
    }

    async fn answer_upgrade(&mut self, binary: Option<PathBuf>, replies: &Replies) {
        let text = "Starting the new program's worker.".to_owned();
        tell(replies, Response::Progress { text });
        // On success this program is another one, and whoever asked learns it from the status.
        if let Err(failure) = self.upgrade(binary).await {
            tell(replies, Response::from(&failure));
        }
    }

    async fn certificates(&mut self) -> Vec<Certificate> {
        let value = self.answer_of(Question::Certificates).await;
        value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
    }
}

/// Never waits: whoever is slow to read their own answer does not hold up the daemon.
fn tell(replies: &Replies, response: Response) {
    let replies = replies.clone();
    tokio::spawn(async move { replies.send(response).await });
}

fn reloaded(outcome: Result<Reloaded, Failure>, generation: u64) -> Response {
    match outcome {
        Ok(Reloaded::Unchanged) => Response::done("Nothing changed."),
        Ok(Reloaded::InPlace) => Response::done(format!("Configuration {generation} is in force.")),
        Ok(Reloaded::NewWorker) => Response::done(format!(
            "Configuration {generation} is in force, in a new worker; the one before finishes what it began."
        )),
        Err(failure) => Response::from(&failure),
    }
}

fn unknown_certificate(name: &str) -> Response {
    Response::Failed {
        what: format!("there is no certificate for {name:?}"),
        why: String::new(),
        fix: "`doorstep cert list` names them.".to_owned(),
    }
}

fn renewed(name: &str, answer: Option<&Value>) -> Response {
    match answer {
        Some(answer) if answer["ok"] == true => {
            Response::done(format!("A new certificate for {name} is being asked for; see `doorstep cert show {name}`."))
        }
        Some(answer) => Response::Failed {
            what: format!("no new certificate for {name}"),
            why: answer["problem"].as_str().unwrap_or_default().to_owned(),
            fix: String::new(),
        },
        None => Response::from(&Failure::new(Code::Failed, "the worker did not answer")),
    }
}

/// Replaces the instances of an app one by one, and tells how far it is.
async fn restart(apps: Apps, app: String, replies: Replies) {
    let of = |status: Vec<AppStatus>| status.into_iter().find(|one| one.name.0 == app);
    let before = of(apps.status().await);
    let old: HashSet<String> =
        before.iter().flat_map(|status| &status.instances).map(|instance| instance.id.clone()).collect();
    let known = before.map(|status| status.last_failure).unwrap_or_default();
    if let Err(error) = apps.restart(&app).await {
        let failed = Response::Failed { what: error.to_string(), why: String::new(), fix: error.fix().to_owned() };
        replies.send(failed).await;
        return;
    }
    let deadline = Instant::now() + ROLLING_RESTART;
    let mut told = 0;
    while Instant::now() < deadline {
        tokio::time::sleep(APP_LOOK).await;
        let Some(status) = of(apps.status().await) else { break };
        let ready = |instance: &&doorstep_supervise::InstanceStatus| {
            instance.state == InstanceState::Ready && !old.contains(&instance.id)
        };
        let new = status.instances.iter().filter(ready).count();
        if new > told {
            told = new;
            let text = format!("App {app}: {new} of {} replaced.", status.wanted);
            if !replies.send(Response::Progress { text }).await {
                return;
            }
        }
        if new >= status.wanted as usize && status.instances.iter().all(|instance| !old.contains(&instance.id)) {
            replies.send(Response::done(format!("App {app}: restarted."))).await;
            return;
        }
        if status.last_failure != known && !status.last_failure.is_empty() {
            let failed = Response::Failed {
                what: format!("the new version of {app} does not start; the old one goes on"),
                why: status.last_failure,
                fix: format!("doorstep logs {app}"),
            };
            replies.send(failed).await;
            return;
        }
    }
    let minutes = ROLLING_RESTART.as_secs() / Duration::from_secs(60).as_secs();
    let what = format!("{app} was not replaced within {minutes} minutes");
    replies.send(Response::Failed { what, why: String::new(), fix: "doorstep status".to_owned() }).await;
}
