use std::time::Duration;

use doorstep_model::RelaySpec;

/// What may change while a relay runs.
#[derive(Clone, Debug)]
pub struct Settings {
    pub noindex: bool,
    /// Whom to tell of abuse.
    pub abuse: Option<String>,
    /// How long requests wait for an agent that has just gone.
    pub hold: Duration,
}

impl From<&RelaySpec> for Settings {
    fn from(spec: &RelaySpec) -> Self {
        Self { noindex: spec.noindex, abuse: spec.abuse.clone(), hold: spec.hold }
    }
}
