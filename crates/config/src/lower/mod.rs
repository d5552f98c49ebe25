//! From the checked tree to the spec: what keys mean together.

mod action;
mod app;
mod daemon;
pub(crate) mod filters;
mod guards;
mod issuance;
mod order;
mod pool;
mod public;
mod relay;
mod route;
mod site;
mod tunnel;

use std::time::Duration;

use doorstep_model::{Spec, Template};
use ipnet::IpNet;

use crate::context::Context;
use crate::text::{address, quantity, template};
use crate::tree::{Node, Table};

/// Everything that the file says, and all that does not fit together in it.
pub(crate) fn spec(context: &mut Context<'_>, file: &Table) -> Spec {
    file.entry("include");
    let apps = app::apps(context, file);
    let jobs = app::jobs(context, file);
    order::check(context, file);
    let issuance = issuance::issuance(context, file);
    let sites = site::sites(context, file, &apps);
    issuance::check(context, file, &issuance, &sites);
    let relay = relay::relay(context, file);
    let mut listeners = daemon::listeners(context, file, &sites, relay.is_some());
    if let Some(relay) = &relay {
        relay::check(context, file, (relay, &issuance), &sites, &listeners);
    }
    public::map(context, file, &mut listeners);
    let dns = public::names(context, file, &issuance, &sites);
    let tunnel = tunnel::tunnel(context, file, &sites);
    let daemon = daemon::daemon(context, file);
    Spec { listeners, sites, apps, jobs, issuance, relay, daemon, tunnel, dns }
}

impl Table {
    fn duration(&self, key: &str) -> Option<Duration> {
        quantity::duration(self.text(key)?).ok()
    }

    fn size(&self, key: &str) -> Option<u64> {
        quantity::size(self.text(key)?).ok()
    }

    fn bandwidth(&self, key: &str) -> Option<u64> {
        quantity::bandwidth(self.text(key)?).ok()
    }

    /// A number that the shape bounds to what `T` can hold.
    fn number<T: TryFrom<i64>>(&self, key: &str) -> Option<T> {
        T::try_from(self.integer(key)?).ok()
    }

    fn networks(&self, key: &str) -> Vec<IpNet> {
        self.texts(key).iter().filter_map(|text| address::networks(text).ok()).flatten().collect()
    }

    /// Header fields or methods, in one case.
    fn lower_texts(&self, key: &str) -> Vec<String> {
        self.texts(key).iter().map(|text| text.to_ascii_lowercase()).collect()
    }
}

/// What a template may name: the number of captures, and their names.
type Captures = (usize, Vec<String>);

/// `node` as a template; reports what is wrong with it.
fn template(context: &mut Context<'_>, node: &Node, captures: &Captures) -> Option<Template> {
    let text = node.text()?;
    match template::check(text, captures.0, &captures.1) {
        Ok(()) => Some(Template(text.to_owned())),
        Err(_) if node.raw().contains("${") => {
            let message = format!("`{}` with its variables filled in has a `{{…}}` that is wrong", node.raw());
            context.error("bad-template", &node.place, message);
            None
        }
        Err(malformed) => {
            let known = template::PLACEHOLDERS.map(|name| format!("{{{name}}}")).join(", ");
            let draft = context.error("bad-template", &node.place, malformed.why);
            if malformed.unknown {
                draft.note(format!("there are {known}, and {{1}} … for captures of the path"));
            }
            draft.meant(malformed.meant.as_deref());
            None
        }
    }
}
