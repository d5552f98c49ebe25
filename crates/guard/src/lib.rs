//! Guards around a service: who may come in, how fast they may take, and when it is over.
//!
//! [`wrap`] puts the layers that [`Guards`] asks for around a service, outermost first: expiry, allowed and denied
//! networks, request rate, requests at once, password, logins, forward auth, bandwidth, one download. What costs least is
//! asked first. Each is a [`Service`] that either answers itself or passes the request on, so what is not
//! asked for costs nothing.

mod basic;
mod client;
mod concurrent;
mod digest;
mod expiry;
mod forward_auth;
pub mod limits;
mod logins;
mod networks;
mod once;
mod page;
mod password;
mod rate;
mod requests;
mod stop;
mod throttle;

use std::sync::Arc;

use doorstep_http::Service;
use doorstep_model::Guards;

pub use rate::Uplink;
pub use stop::{Ended, Stop};

/// Puts the guards that are asked for around `service`; without any, this is `service` itself.
///
/// `stop` is called at most once by each guard that ends the share: when the time is over, and after the one download.
///
/// `auth` is asked by the forward auth guard, if there is one: a service that passes requests to
/// [`doorstep_model::ForwardAuth::upstream`]. Without it that guard lets nobody in.
///
/// # Panics
/// If the system has no random bytes to give (with a password) or no thread (with an expiry): both at start-up only.
pub fn wrap(
    guards: &Guards,
    service: Arc<dyn Service>,
    stop: Stop,
    auth: Option<Arc<dyn Service>>,
) -> Arc<dyn Service> {
    let mut service = service;
    if guards.once {
        service = Arc::new(once::Once::new(service, stop.clone()));
    }
    if let Some(rate) = guards.rate {
        service = Arc::new(rate::RateLimit::new(rate, service));
    }
    if let Some(spec) = &guards.forward_auth {
        service = Arc::new(forward_auth::ForwardAuthGuard::new(spec, auth, service));
    }
    if let Some(logins) = &guards.logins {
        service = Arc::new(logins::LoginGuard::new(logins, service));
    }
    if let Some(password) = &guards.password {
        service = Arc::new(password::PasswordGuard::new(password, service));
    }
    if let Some(most) = guards.max_concurrent {
        service = Arc::new(concurrent::ConcurrentLimit::new(most, service));
    }
    if let Some(rate) = guards.requests {
        service = Arc::new(requests::RequestLimit::new(rate, service));
    }
    if !guards.allow.is_empty() || !guards.deny.is_empty() {
        service = Arc::new(networks::Networks::new(&guards.allow, &guards.deny, service));
    }
    if let Some(lifetime) = guards.expires {
        service = Arc::new(expiry::Expiry::new(lifetime, service, stop));
    }
    service
}
