use std::fmt;
use std::sync::Arc;

/// Ends the share gracefully, for a reason in words that the operator is shown.
#[derive(Clone)]
pub struct Stop(Arc<dyn Fn(&str) + Send + Sync>);

impl Stop {
    /// `act` is called from any thread and must not block.
    pub fn new(act: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(act))
    }

    pub(crate) fn call(&self, reason: &str) {
        (self.0)(reason);
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stop")
    }
}
