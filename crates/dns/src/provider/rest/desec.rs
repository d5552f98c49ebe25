//! deSEC (`desec.readthedocs.io`): sets by its REST API, whose records last an hour at least, and addresses by its API for
//! dynamic DNS, whose records last a minute and which takes both families at once.

use std::net::IpAddr;

use doorstep_model::Blame;
use reqwest::Method;
use serde_json::json;

use super::web::Web;
use super::{Set, read, written};
use crate::fault::DnsFault;
use crate::provider::http::quoted;
use crate::provider::library::Settings;

const REST: &str = "https://desec.io";
const UPDATE: &str = "https://update.dedyn.io";

pub(in crate::provider) struct Desec {
    web: Web,
    update: String,
}

impl Desec {
    pub fn new(settings: &Settings<'_>) -> Result<Self, DnsFault> {
        let web = Web::new("deSEC", "Token", REST, settings)?;
        let update = if web.server == REST { UPDATE.to_owned() } else { web.server.clone() };
        Ok(Self { web, update })
    }

    pub async fn values(&self, set: Set<'_>) -> Result<Vec<String>, DnsFault> {
        let path = format!("/api/v1/domains/{}/rrsets/{}/{}/", set.zone, set.label("@"), set.kind);
        let reply = self.web.ask(Method::GET, &path, None).await?;
        match (reply.status, reply.body["records"].as_array()) {
            (404, _) => Ok(Vec::new()),
            (200, Some(values)) => {
                Ok(values.iter().filter_map(|value| value.as_str()).map(|value| read(set.kind, value)).collect())
            }
            _ => Err(self.web.refused(set, &reply)),
        }
    }

    pub async fn put(&self, set: Set<'_>, values: &[String], ttl: u32) -> Result<(), DnsFault> {
        let domain = format!("/api/v1/domains/{}/", set.zone);
        let reply = self.web.ask(Method::GET, &domain, None).await?;
        if reply.status == 404 {
            return Err(self.web.not_ours(set.zone));
        }
        let least = reply.body["minimum_ttl"].as_u64().and_then(|least| u32::try_from(least).ok());
        let values: Vec<String> = values.iter().map(|value| written(set.kind, value)).collect();
        // Without values it is removed, and that is no fault where there is none.
        let body = json!([{
            "subname": set.label(""),
            "type": set.kind.name(),
            "ttl": ttl.max(least.unwrap_or(3600)),
            "records": values,
        }]);
        let reply = self.web.ask(Method::PUT, &format!("{domain}rrsets/"), Some(&body)).await?;
        if reply.is_good() { Ok(()) } else { Err(self.web.refused(set, &reply)) }
    }

    /// A family that is sent empty is deleted. One that is not sent would be guessed from the connection.
    pub async fn put_both(&self, name: &str, ips: &[IpAddr]) -> Result<(), DnsFault> {
        let of = |v4: bool| {
            let ips = ips.iter().filter(|ip| ip.is_ipv4() == v4).map(|ip| quoted(&ip.to_string()));
            ips.collect::<Vec<_>>().join(",")
        };
        let name = name.trim_end_matches('.');
        let path = format!("/update?hostname={}&myipv4={}&myipv6={}", quoted(name), of(true), of(false));
        let reply = self.web.ask_at(&self.update, Method::GET, &path, None).await?;
        match reply.status {
            404 => Err(self.web.not_ours(name)),
            200 if reply.body.as_str().is_some_and(|text| text.starts_with("good")) => Ok(()),
            _ => {
                let what = format!("deSEC did not take the addresses of {name}: {}.", reply.said());
                Err(DnsFault::new("dns-update", Blame::Environment, what, "See at deSEC what this name has."))
            }
        }
    }
}
