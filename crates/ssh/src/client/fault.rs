use doorstep_model::Blame;
use doorstep_proto::tunnel::Code;

/// Why there is no session with the server, or none any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the server's key is not known to this computer")]
    HostKeyUnknown,
    #[error("the server's key is not the one that this computer knows: it was set up anew, or somebody stands between")]
    HostKeyChanged,
    #[error("the server takes none of the keys that it was shown ({0})")]
    Denied(String),
    #[error("the server takes a password only, which nobody could type after each break of the connection")]
    PasswordOnly,
    #[error("the key has a passphrase, which nobody could type after each break of the connection")]
    Passphrase,
    #[error("there is no key to show to the server")]
    NoKey,
    #[error("the name {0} leads nowhere")]
    UnknownName(String),
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    #[error("`ssh` cannot be started: {0}")]
    NoProgram(String),
    /// Two that take the name from each other would do so for ever.
    #[error("a newer session with the same key took over")]
    TakenOver,
    #[error("{0}")]
    Lost(String),
}

impl Fault {
    /// Trying again would end the same way: somebody has to do something first.
    pub fn lasts(&self) -> bool {
        match self {
            Self::UnknownName(_) | Self::Unreachable(_) | Self::Lost(_) => false,
            Self::HostKeyUnknown
            | Self::HostKeyChanged
            | Self::Denied(_)
            | Self::PasswordOnly
            | Self::Passphrase
            | Self::NoKey
            | Self::NoProgram(_)
            | Self::TakenOver => true,
        }
    }

    /// The same, where a session stood before: then it is mostly the server's passing trouble.
    pub(super) fn lasts_after_all(&self) -> bool {
        matches!(self, Self::HostKeyChanged | Self::TakenOver)
    }

    /// A server's farewell.
    pub(super) fn farewell(words: &str) -> Self {
        if words.contains(Code::Evicted.text()) {
            return Self::TakenOver;
        }
        Self::Lost(format!("the server ended it: {}", words.trim()))
    }

    pub fn blame(&self) -> Blame {
        match self {
            Self::UnknownName(_) | Self::Unreachable(_) | Self::NoProgram(_) => Blame::Environment,
            Self::HostKeyUnknown | Self::NoKey | Self::Passphrase | Self::TakenOver => Blame::Client,
            Self::HostKeyChanged | Self::Denied(_) | Self::PasswordOnly | Self::Lost(_) => Blame::Upstream,
        }
    }

    /// What to do. `command` is how a person connects by hand, such as `ssh -p 2222 me@example.com`.
    pub fn fix(&self, command: &str) -> String {
        match self {
            Self::HostKeyUnknown => format!("run `{command}` once, and answer yes if the fingerprint is the server's"),
            Self::HostKeyChanged => format!(
                "ask the server's owner whether its key changed; if it did, run `{command}` and do what it says about the old one"
            ),
            Self::Denied(_) | Self::PasswordOnly | Self::NoKey => format!(
                "put a key there: `{}`; make one with `ssh-keygen` if you have none",
                command.replacen("ssh", "ssh-copy-id", 1)
            ),
            Self::TakenOver => "end the other one, or give each a name of its own".to_owned(),
            Self::Passphrase => "give it to the agent once: `ssh-add`".to_owned(),
            Self::UnknownName(_) => {
                "look whether the name is written right, and whether this computer is online".to_owned()
            }
            Self::Unreachable(_) | Self::Lost(_) => format!("see whether `{command}` works"),
            Self::NoProgram(_) => "install OpenSSH's client: `sudo apt install openssh-client`".to_owned(),
        }
    }
}
