//! Who the instances of each app are, as the supervisor says.

use std::collections::{BTreeMap, HashSet};

use doorstep_model::{AppName, Upstream, UpstreamAddr};
use doorstep_proxy::{LiveMember, Membership};

use super::Says;
use crate::up::link::{FromWorker, Instance};

/// The membership of each app, also of one that has no instance yet.
#[derive(Default)]
pub struct AppMembers {
    apps: BTreeMap<AppName, Membership>,
    /// Draining instances whose end is waited for.
    awaited: HashSet<(AppName, String)>,
}

impl AppMembers {
    /// The membership of `app`, the same one each time.
    pub fn of(&mut self, app: &AppName) -> Membership {
        self.apps.entry(app.clone()).or_default().clone()
    }

    /// Takes the list of instances over, and tells when those that drain have nothing in flight any more.
    pub fn set(&mut self, app: AppName, instances: Vec<Instance>, says: &Says) {
        let membership = self.of(&app);
        self.awaited.retain(|(of, id)| *of != app || instances.iter().any(|one| one.id == *id));
        let draining: Vec<String> = instances.iter().filter(|one| one.draining).map(|one| one.id.clone()).collect();
        membership.set(instances.into_iter().map(live).collect());
        for instance in draining {
            if self.awaited.insert((app.clone(), instance.clone())) {
                let (membership, says, app) = (membership.clone(), says.clone(), app.0.clone());
                tokio::spawn(async move {
                    membership.drained(&instance).await;
                    let _ = says.send(FromWorker::Drained { app, instance });
                });
            }
        }
    }

    /// Forgets apps that nobody asks for any more.
    pub fn retain(&mut self, apps: &[AppName]) {
        self.apps.retain(|app, _| apps.contains(app));
    }
}

fn live(instance: Instance) -> LiveMember {
    let addr: UpstreamAddr = instance.addr.into();
    let upstream = Upstream::plain(addr, "localhost");
    LiveMember { draining: instance.draining, ..LiveMember::new(&instance.id, upstream) }
}
