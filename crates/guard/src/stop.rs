use std::fmt;
use std::sync::Arc;

/// Ends the share gracefully. Given by whoever runs it, called by the guards for which it is over.
#[derive(Clone)]
pub struct Stop(Arc<dyn Fn(Ended) + Send + Sync>);

/// Why a share ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its time is over.
    Expired,
    /// The one download was made.
    Downloaded,
}

impl Stop {
    /// `act` is called from any thread and must not block.
    pub fn new(act: impl Fn(Ended) + Send + Sync + 'static) -> Self {
        Self(Arc::new(act))
    }

    pub(crate) fn call(&self, ended: Ended) {
        (self.0)(ended);
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stop")
    }
}
