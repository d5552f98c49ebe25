//! Guards that outlive a reload: whoever used up a limit, or is logged in, has and is so afterwards too.

use std::fmt::Write;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use doorstep_guard::Stop;
use doorstep_http::{BoxFuture, Request, Response, Service};
use doorstep_model::Guards;

use super::kept::Kept;

/// Guards by the place where they stand and what they ask for.
#[derive(Default)]
pub struct KeptGuards {
    kept: Kept<Guarded>,
    /// What each of the guards of the table made last is to guard once that is in force.
    behind: Vec<(Arc<Guarded>, Arc<dyn Service>)>,
}

/// Guards, and behind them a service that can be exchanged.
struct Guarded {
    guards: Arc<dyn Service>,
    behind: Arc<Behind>,
}

/// The service behind guards, as it is just now.
struct Behind(ArcSwap<Arc<dyn Service>>);

impl KeptGuards {
    /// Another table is begun.
    pub fn begin(&mut self) {
        self.kept.begin();
        self.behind.clear();
    }

    /// Puts `guards` around `service`: those that stand at `place` already, if they ask for the same. Until the table is
    /// in force (see [`Self::settle`]), these still lead to the service of the table before.
    pub fn around(
        &mut self,
        place: &str,
        guards: &Guards,
        service: Arc<dyn Service>,
        auth: Option<Arc<dyn Service>>,
    ) -> Arc<dyn Service> {
        if asks_for_nothing(guards) {
            return service;
        }
        // Two routes may look the same; each has guards of its own.
        let mut number = 0;
        let mut key = key_of(place, number, guards);
        while self.kept.has(&key) {
            number += 1;
            key = key_of(place, number, guards);
        }
        let guarded = self.kept.known(&key).unwrap_or_else(|| {
            let behind = Arc::new(Behind(ArcSwap::from_pointee(service.clone())));
            let guards = doorstep_guard::wrap(guards, behind.clone(), Stop::new(|_| {}), auth);
            Arc::new(Guarded { guards, behind })
        });
        self.kept.keep(&key, guarded.clone());
        let guards = guarded.guards.clone();
        self.behind.push((guarded, service));
        guards
    }

    /// The table made last is in force: guards that were kept lead to its services.
    pub fn settle(&mut self) {
        self.kept.settle();
        for (guarded, service) in self.behind.drain(..) {
            guarded.behind.0.store(Arc::new(service));
        }
    }
}

impl Service for Behind {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        let service = Arc::clone(&self.0.load());
        Box::pin(async move { service.call(request).await })
    }
}

/// Says the same for the same guards only, and nothing of the secrets in them.
fn key_of(place: &str, number: usize, guards: &Guards) -> String {
    let mut text = format!("{place:?} {number} {guards:?}");
    // As Debug shows them, all secrets are alike.
    if let Some(password) = &guards.password {
        let _ = write!(text, " {:?}", password.password.reveal());
    }
    for (_, hash) in guards.logins.iter().flat_map(|logins| &logins.users) {
        let _ = write!(text, " {:?}", hash.reveal());
    }
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn asks_for_nothing(guards: &Guards) -> bool {
    let Guards { password, logins, forward_auth, allow, deny, rate, requests, max_concurrent, expires, once } = guards;
    let nobody_asked = password.is_none() && logins.is_none() && forward_auth.is_none();
    let nothing_counted = rate.is_none() && requests.is_none() && max_concurrent.is_none();
    nobody_asked && nothing_counted && allow.is_empty() && deny.is_empty() && expires.is_none() && !once
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use doorstep_model::{Logins, RequestRate, Secret};
    use http::StatusCode;

    use super::*;

    struct Says(StatusCode);

    impl Service for Says {
        fn call<'a>(&'a self, _: Request) -> BoxFuture<'a, Response> {
            Box::pin(async { Response::new(self.0) })
        }
    }

    fn once_an_hour() -> Guards {
        let rate = RequestRate { requests: 1, per: Duration::from_secs(3600), burst: 1 };
        Guards { requests: Some(rate), ..Guards::default() }
    }

    fn table(kept: &mut KeptGuards, place: &str, guards: &Guards, status: u16) -> Arc<dyn Service> {
        kept.begin();
        let service = Arc::new(Says(StatusCode::from_u16(status).unwrap()));
        kept.around(place, guards, service, None)
    }

    async fn ask(service: &Arc<dyn Service>) -> u16 {
        service.call(Request::get("/")).await.status.as_u16()
    }

    #[tokio::test]
    async fn a_limit_that_is_used_up_stays_so() {
        let mut kept = KeptGuards::default();
        let first = table(&mut kept, "a", &once_an_hour(), 200);
        kept.settle();
        assert_eq!((ask(&first).await, ask(&first).await), (200, 429));
        let second = table(&mut kept, "a", &once_an_hour(), 201);
        kept.settle();
        assert_eq!(ask(&second).await, 429);
        // Elsewhere, and with another limit, it begins anew.
        let third = table(&mut kept, "b", &once_an_hour(), 202);
        kept.settle();
        assert_eq!(ask(&third).await, 202);
        let fourth = table(&mut kept, "b", &Guards { max_concurrent: Some(9), ..once_an_hour() }, 203);
        kept.settle();
        assert_eq!(ask(&fourth).await, 203);
    }

    #[tokio::test]
    async fn what_is_behind_changes_when_the_table_is_in_force() {
        let mut kept = KeptGuards::default();
        let guards = Guards { max_concurrent: Some(9), ..Guards::default() };
        let first = table(&mut kept, "a", &guards, 200);
        kept.settle();
        // One that comes to nothing.
        table(&mut kept, "a", &guards, 500);
        let second = table(&mut kept, "a", &guards, 201);
        assert_eq!(ask(&first).await, 200);
        kept.settle();
        assert_eq!((ask(&first).await, ask(&second).await), (201, 201));
    }

    #[tokio::test]
    async fn two_routes_that_look_the_same_are_two() {
        let mut kept = KeptGuards::default();
        kept.begin();
        let mut at = |status| {
            let service = Arc::new(Says(StatusCode::from_u16(status).unwrap()));
            kept.around("a", &once_an_hour(), service, None)
        };
        let (one, other) = (at(200), at(201));
        assert_eq!((ask(&one).await, ask(&other).await), (200, 201));
    }

    #[test]
    fn another_secret_is_another_key_and_cannot_be_read() {
        let logins = |hash: &str| Guards {
            logins: Some(Logins {
                realm: "r".to_owned(),
                users: vec![("ann".to_owned(), Secret::new(hash.to_owned()))],
            }),
            ..Guards::default()
        };
        assert_ne!(key_of("a", 0, &logins("one")), key_of("a", 0, &logins("two")));
        assert_eq!(key_of("a", 0, &logins("one")), key_of("a", 0, &logins("one")));
        assert!(!key_of("a", 0, &logins("one")).contains("one"));
    }
}
