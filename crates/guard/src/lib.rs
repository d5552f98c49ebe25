//! Guards around a service: who may come in, how fast they may take, and when it is over.
//!
//! [`wrap`] puts the layers that [`Guards`] asks for around a service, outermost first: expiry, allow-list, password,
//! rate, one download. Each is a [`Service`] that either answers itself or passes the request on, so what is not
//! asked for costs nothing.

mod allow;
mod client;
mod expiry;
pub mod limits;
mod once;
mod page;
mod password;
mod rate;
mod stop;

use std::sync::Arc;

use doorstep_http::Service;
use doorstep_model::Guards;

pub use stop::{Ended, Stop};

/// Puts the guards that are asked for around `service`; without any, this is `service` itself.
///
/// `stop` is called at most once by each guard that ends the share: when the time is over, and after the one download.
///
/// # Panics
/// If the system has no random bytes to give (with a password) or no thread (with an expiry): both at start-up only.
pub fn wrap(guards: &Guards, service: Arc<dyn Service>, stop: Stop) -> Arc<dyn Service> {
    let mut service = service;
    if guards.once {
        service = Arc::new(once::Once::new(service, stop.clone()));
    }
    if let Some(rate) = guards.rate {
        service = Arc::new(rate::RateLimit::new(rate, service));
    }
    if let Some(password) = &guards.password {
        service = Arc::new(password::PasswordGuard::new(password, service));
    }
    if !guards.allow.is_empty() {
        service = Arc::new(allow::AllowList::new(guards.allow.clone(), service));
    }
    if let Some(lifetime) = guards.expires {
        service = Arc::new(expiry::Expiry::new(lifetime, service, stop));
    }
    service
}
