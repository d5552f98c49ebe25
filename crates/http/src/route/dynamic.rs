use std::sync::Arc;

use doorstep_model::HttpsPolicy;

use crate::Service;

/// Hosts that come and go without a new table: names that agents of a relay hold.
pub trait DynamicHosts: Send + Sync {
    /// How `host` (lower case, no port) is to be reached; `None` if it is not one of these. Where the request came by TLS
    /// (`secure`) only that matters. Called on the data plane: must not wait.
    fn policy(&self, host: &str, secure: bool) -> Option<HttpsPolicy>;

    /// What answers for all of them.
    fn service(&self) -> &dyn Service;

    /// What logs and metrics call them together.
    fn site(&self) -> &Arc<str>;
}
