use std::time::Duration;

use doorstep_model::{Blame, Finding, Severity};

/// Why something about a name could not be found out or changed, in words, and when to try again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct DnsFault {
    pub id: &'static str,
    pub blame: Blame,
    pub what: String,
    pub fix: String,
    pub again: Again,
}

/// When the same may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Soon, with longer and longer waits.
    Soon,
    /// Not before: the provider said so.
    After(Duration),
    /// Not until somebody changes something.
    Never,
}

impl DnsFault {
    pub fn new(id: &'static str, blame: Blame, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { id, blame, what: what.into(), fix: fix.into(), again: Again::Soon }
    }

    #[must_use]
    pub fn again(self, again: Again) -> Self {
        Self { again, ..self }
    }

    pub fn finding(&self) -> Finding {
        let severity = if self.again == Again::Never { Severity::Error } else { Severity::Warning };
        let Self { id, blame, what, fix, .. } = self.clone();
        Finding { severity, blame, id, what, why: String::new(), fix }
    }
}
