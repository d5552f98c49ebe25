use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use doorstep_model::UpstreamAddr;
use serde::{Deserialize, Serialize};

const FILE: &str = "apps.json";
/// Where the kernel says which boot this is: process ids and start times mean nothing in another one.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What runs, on disk: written before each start and after it, so that whoever comes next finds every process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Journal {
    /// In the environment of all that we start, so that a process can be found which was started but not written down.
    pub token: String,
    pub boot: String,
    /// Written by a supervisor that replaces itself: what is listed goes on, and is still our child.
    pub handed_over: bool,
    pub entries: Vec<Entry>,
    /// The next number of an instance, by app.
    pub next: BTreeMap<String, u64>,
}

/// One instance of an app, or run of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub name: String,
    pub kind: Kind,
    pub number: u64,
    pub slot: usize,
    /// Of the definition it was started from.
    pub hash: String,
    /// `None`: about to be started.
    pub process: Option<Started>,
    pub addr: Addr,
    pub fifo: PathBuf,
    pub ready: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Instance,
    Job,
}

/// A process: the number alone may by now belong to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Started {
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`: clock ticks since boot.
    pub start_time: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Addr {
    Socket(PathBuf),
    Port(u16),
    /// A job listens nowhere.
    Nowhere,
}

impl Addr {
    pub fn upstream(&self) -> UpstreamAddr {
        match self {
            Self::Socket(path) => UpstreamAddr::Unix(path.clone()),
            Self::Port(port) => UpstreamAddr::Tcp { host: "127.0.0.1".into(), port: *port },
            Self::Nowhere => UpstreamAddr::Tcp { host: "127.0.0.1".into(), port: 0 },
        }
    }
}

impl Journal {
    /// What the supervisor before wrote; empty entries where it was in another boot. A file that cannot be understood is as none:
    /// it says nothing about what runs, and must not keep the apps from starting.
    ///
    /// # Errors
    /// The system's, except that there is no file.
    pub fn read(state_dir: &Path) -> io::Result<Self> {
        let boot = std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        let text = match doorstep_store::read_private(&state_dir.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let mut journal: Self = serde_json::from_str(&text).unwrap_or_default();
        if journal.boot != boot {
            journal.entries.clear();
            journal.handed_over = false;
            journal.boot = boot;
        }
        if journal.token.is_empty() {
            journal.token = random_token()?;
        }
        Ok(journal)
    }

    /// # Errors
    /// The system's; the file is then as before.
    pub fn write(&self, state_dir: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        doorstep_store::write_private(&state_dir.join(FILE), &text)
    }
}

fn random_token() -> io::Result<String> {
    let mut bytes = [0u8; 16];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_written_but_not_in_another_boot() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::read(dir.path()).unwrap();
        assert_eq!(journal.token.len(), 32);
        journal.entries.push(Entry {
            name: "blog".into(),
            kind: Kind::Instance,
            number: 7,
            slot: 1,
            hash: "h".into(),
            process: Some(Started { pid: 4, start_time: 99 }),
            addr: Addr::Port(4000),
            fifo: "/run/x".into(),
            ready: true,
        });
        journal.write(dir.path()).unwrap();
        let read = Journal::read(dir.path()).unwrap();
        assert_eq!((read.token.clone(), read.entries), (journal.token.clone(), journal.entries.clone()));
        journal.boot = "another".into();
        journal.write(dir.path()).unwrap();
        let read = Journal::read(dir.path()).unwrap();
        assert!(read.entries.is_empty() && read.token == journal.token);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_as_none() {
        let dir = tempfile::tempdir().unwrap();
        doorstep_store::write_private(&dir.path().join(FILE), b"{ half").unwrap();
        assert!(Journal::read(dir.path()).unwrap().entries.is_empty());
    }
}
