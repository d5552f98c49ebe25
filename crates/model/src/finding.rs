use serde::{Deserialize, Serialize};

/// Whose side a fault is on. Every error of every crate can answer this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// Whoever opened the connection: malformed bytes, went away, too slow.
    Client,
    /// The app or server behind doorstep.
    Upstream,
    /// This computer, its network, its disk.
    Environment,
    /// doorstep itself: a bug.
    Doorstep,
}

/// How much a [`Finding`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Works, but somebody should act.
    Warning,
    /// Does not work.
    Error,
}

/// A conclusion about the world, in words for a person: what is so, why it matters, what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    pub blame: Blame,
    /// Stable identifier for programs, in kebab-case: `django-debug`, `firewall-drops-port`.
    pub id: &'static str,
    /// One sentence: what was found.
    pub what: String,
    /// One sentence: why it matters. May be empty.
    pub why: String,
    /// The one thing to do next, as a command or an exact line where there is one. May be empty.
    pub fix: String,
}
