//! What is done to this computer, one step after the other, each said and written down.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use doorstep_store::{Change, Journal};

use super::unit::MARK;
use crate::exit::{Code, Failure, cause};

/// One change of this computer, or of what we changed before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A user for the worker.
    MakeUser(String),
    /// A file of ours, in place of an earlier one of ours.
    Write {
        path: PathBuf,
        text: String,
    },
    /// A file of ours goes.
    Remove(PathBuf),
    /// A command that changes nothing that would have to be undone.
    Run(Vec<String>),
    /// Enable and start a unit.
    Enable {
        unit: String,
        of_user: bool,
    },
    Disable {
        unit: String,
        of_user: bool,
    },
    RemoveUser(String),
}

/// How steps reach the world: really, or in tests.
pub struct Hands<'a> {
    /// Runs a command; its standard error is the reason of a failure.
    pub run: &'a mut dyn FnMut(&[String]) -> io::Result<()>,
    /// Tells the person a line.
    pub say: &'a mut dyn FnMut(&str),
}

/// Runs commands of this computer.
///
/// # Errors
/// That it could not be started, or what it said when it failed.
pub fn run_really(argv: &[String]) -> io::Result<()> {
    let [program, arguments @ ..] = argv else { return Ok(()) };
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let reason = said.trim();
    Err(io::Error::other(if reason.is_empty() { format!("it failed ({})", output.status) } else { reason.to_owned() }))
}

impl Step {
    /// As a command or in words, for `--dry-run` and for telling what is done.
    pub fn said(&self) -> String {
        match self {
            Self::Write { path, text } => format!("write {} ({} lines)", path.display(), text.lines().count()),
            Self::Remove(path) => format!("remove {}", path.display()),
            _ => self.commands().iter().map(|argv| argv.join(" ")).collect::<Vec<_>>().join("; "),
        }
    }

    /// Does it, tells it, and writes it down where it changes this computer.
    ///
    /// # Errors
    /// What could not be done; what was done before stays done, and is in the journal.
    pub fn take(&self, journal: &mut Journal, hands: &mut Hands<'_>) -> Result<(), Failure> {
        if let Some(change) = self.change() {
            let known = journal.standing().into_iter().any(|entry| entry.change == change);
            let recorded = match known {
                true => None,
                false => Some(journal.record(change).map_err(|error| no_journal(&error))?),
            };
            self.act(hands).inspect_err(|_| {
                // These happen as a whole or not at all. Enabling may have stopped half-way, and is left to be undone.
                if let Some(id) = recorded.filter(|_| !matches!(self, Self::Enable { .. })) {
                    let _ = journal.undone(id);
                }
            })?;
        } else {
            self.act(hands)?;
        }
        (hands.say)(&self.said());
        for entry in journal.standing().iter().filter(|entry| self.undoes(&entry.change)) {
            journal.undone(entry.id).map_err(|error| no_journal(&error))?;
        }
        Ok(())
    }

    fn act(&self, hands: &mut Hands<'_>) -> Result<(), Failure> {
        match self {
            Self::Write { path, text } => write(path, text),
            Self::Remove(path) => remove(path),
            // After a crash between the journal and the deed there may be no such user.
            Self::RemoveUser(name) => (hands.run)(&self.commands().concat()).or_else(|error| {
                let gone = error.to_string().contains("does not exist");
                let failed = Failure::new(Code::Failed, format!("the user {name} cannot be removed"));
                if gone { Ok(()) } else { Err(failed.because(cause(&error))) }
            }),
            _ => self.commands().iter().try_for_each(|argv| {
                (hands.run)(argv).map_err(|error| {
                    Failure::new(Code::Failed, format!("`{}` failed", argv.join(" "))).because(cause(&error))
                })
            }),
        }
    }

    fn commands(&self) -> Vec<Vec<String>> {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let systemctl =
            |of_user: &bool, rest: &str| words(&format!("systemctl {}{rest}", if *of_user { "--user " } else { "" }));
        match self {
            Self::MakeUser(name) => vec![words(&format!(
                "useradd --system --user-group --no-create-home --home-dir /var/lib/doorstep --shell /usr/sbin/nologin {name}"
            ))],
            Self::RemoveUser(name) => vec![words(&format!("userdel {name}"))],
            Self::Enable { unit, of_user } => {
                vec![systemctl(of_user, "daemon-reload"), systemctl(of_user, &format!("enable --now {unit}"))]
            }
            Self::Disable { unit, of_user } => vec![systemctl(of_user, &format!("disable --now {unit}"))],
            Self::Run(argv) => vec![argv.clone()],
            Self::Write { .. } | Self::Remove(_) => Vec::new(),
        }
    }

    fn change(&self) -> Option<Change> {
        match self {
            Self::MakeUser(name) => Some(Change::User { name: name.clone() }),
            Self::Write { path, text } => Some(Change::File { path: path.clone(), text: text.clone() }),
            Self::Enable { unit, of_user } => Some(Change::Unit { name: unit.clone(), of_user: *of_user }),
            Self::Remove(_) | Self::Run(_) | Self::Disable { .. } | Self::RemoveUser(_) => None,
        }
    }

    /// Whether a change of the journal is no more after this step.
    fn undoes(&self, change: &Change) -> bool {
        match (self, change) {
            (Self::Remove(gone), Change::File { path, .. }) => gone == path,
            // An earlier text of the same file.
            (Self::Write { path, text }, Change::File { path: other, text: before }) => path == other && text != before,
            (Self::Disable { unit, of_user }, Change::Unit { name, of_user: user }) => unit == name && of_user == user,
            (Self::RemoveUser(gone), Change::User { name }) => gone == name,
            _ => false,
        }
    }

    /// What takes a change back.
    pub fn undoing(change: &Change) -> Vec<Self> {
        match change {
            Change::File { path, .. } if path.extension().is_some_and(|kind| kind == "service") => {
                let user = if path.starts_with("/etc") { "" } else { "--user " };
                let reload = format!("systemctl {user}daemon-reload");
                vec![Self::Remove(path.clone()), Self::Run(reload.split(' ').map(str::to_owned).collect())]
            }
            Change::File { path, .. } => vec![Self::Remove(path.clone())],
            Change::User { name } => vec![Self::RemoveUser(name.clone())],
            Change::Unit { name, of_user } => vec![Self::Disable { unit: name.clone(), of_user: *of_user }],
            // Undone by talking to a gateway or a provider, not by a step on this computer.
            Change::Mapping(_) | Change::Record(_) => Vec::new(),
        }
    }
}

/// Never over what somebody else wrote.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let fail = |error: io::Error| {
        Failure::new(Code::Failed, format!("{} cannot be written", path.display())).because(cause(&error))
    };
    if let Ok(there) = std::fs::read_to_string(path)
        && !there.starts_with(MARK)
    {
        return Err(foreign(path));
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    doorstep_store::write_public(path, text.as_bytes()).map_err(fail)
}

fn remove(path: &Path) -> Result<(), Failure> {
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(Failure::new(Code::Failed, format!("{} cannot be removed", path.display())).because(cause(&error))),
    };
    match std::fs::read_to_string(path) {
        Ok(text) if !text.starts_with(MARK) => Err(foreign(path)),
        Ok(_) => std::fs::remove_file(path).or_else(gone),
        Err(error) => gone(error),
    }
}

fn foreign(path: &Path) -> Failure {
    Failure::new(Code::Failed, format!("{} was not written by doorstep", path.display()))
        .because("It does not begin as doorstep's do, so somebody may still need it.")
        .fix("Move it away first, if it is in the way.")
}

fn no_journal(error: &io::Error) -> Failure {
    Failure::new(Code::Failed, "the journal of changes cannot be written, so nothing more was changed")
        .because(cause(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(steps: &[Step], state: &Path, refuse: &str) -> (Vec<String>, Result<(), Failure>) {
        let mut ran = Vec::new();
        let mut journal = Journal::open(state).unwrap();
        let mut run = |argv: &[String]| {
            ran.push(argv.join(" "));
            if !refuse.is_empty() && ran[ran.len() - 1].contains(refuse) { Err(io::Error::other("no")) } else { Ok(()) }
        };
        let mut hands = Hands { run: &mut run, say: &mut |_| {} };
        let done = steps.iter().try_for_each(|step| step.take(&mut journal, &mut hands));
        (ran, done)
    }

    fn standing(state: &Path) -> Vec<Change> {
        Journal::open(state).unwrap().standing().into_iter().map(|entry| entry.change).collect()
    }

    #[test]
    fn each_change_is_written_down_and_can_be_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let path = dir.path().join("etc/doorstep.service");
        let text = |end: &str| format!("{MARK}\n{end}\n");
        let write = |end: &str| Step::Write { path: path.clone(), text: text(end) };
        let enable = Step::Enable { unit: "doorstep.service".into(), of_user: false };
        let (ran, done) = take(&[Step::MakeUser("doorstep".into()), write("one"), enable.clone()], &state, "");
        assert_eq!(done, Ok(()));
        assert!(ran[0].starts_with("useradd --system ") && ran[0].ends_with(" doorstep"));
        assert_eq!(ran[1..], ["systemctl daemon-reload", "systemctl enable --now doorstep.service"]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text("one"));
        // A second time: the newer text is what stands.
        assert_eq!(take(&[write("two"), enable], &state, "").1, Ok(()));
        let file = Change::File { path: path.clone(), text: text("two") };
        let unit = Change::Unit { name: "doorstep.service".into(), of_user: false };
        assert_eq!(standing(&state), [file, unit, Change::User { name: "doorstep".into() }]);
        let back: Vec<Step> = standing(&state).iter().flat_map(Step::undoing).collect();
        let (ran, done) = take(&back, &state, "");
        let commands =
            ["systemctl --user daemon-reload", "systemctl disable --now doorstep.service", "userdel doorstep"];
        assert_eq!((ran, done), (commands.map(String::from).to_vec(), Ok(())));
        assert!(!path.exists() && standing(&state).is_empty());
    }

    #[test]
    fn what_others_wrote_stays_and_a_failure_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let path = dir.path().join("doorstep.service");
        std::fs::write(&path, "[Unit]\n").unwrap();
        for step in [Step::Write { path: path.clone(), text: MARK.into() }, Step::Remove(path.clone())] {
            let failure = take(&[step], &state, "").1.unwrap_err();
            assert!(failure.what.ends_with("was not written by doorstep"), "{failure}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[Unit]\n");
        let (ran, done) = take(&[Step::MakeUser("a".into()), Step::MakeUser("b".into())], &state, "useradd");
        assert_eq!((ran.len(), done.unwrap_err().why.as_str()), (1, "no"));
        assert!(standing(&state).is_empty());
    }
}
