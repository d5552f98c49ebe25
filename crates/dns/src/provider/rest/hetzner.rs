//! Hetzner (`docs.hetzner.cloud`, "Zone RRSets"): what changes a set is an action, which may fail later.

use reqwest::Method;
use serde_json::{Value, json};

use super::web::Web;
use super::{Set, read, written};
use crate::fault::DnsFault;
use crate::limits::HETZNER_TTL;
use crate::provider::library::Settings;

pub(in crate::provider) struct Hetzner(Web);

impl Hetzner {
    pub fn new(settings: &Settings<'_>) -> Result<Self, DnsFault> {
        Ok(Self(Web::new("Hetzner", "Bearer", "https://api.hetzner.cloud", settings)?))
    }

    pub async fn values(&self, set: Set<'_>) -> Result<Vec<String>, DnsFault> {
        Ok(self.there(set).await?.map(|(values, _)| values).unwrap_or_default())
    }

    pub async fn put(&self, set: Set<'_>, values: &[String], ttl: u32) -> Result<(), DnsFault> {
        let ttl = ttl.max(HETZNER_TTL);
        if values.is_empty() {
            let reply = self.0.ask(Method::DELETE, &path(set), None).await?;
            return if reply.is_good() || reply.status == 404 { Ok(()) } else { Err(self.0.refused(set, &reply)) };
        }
        let records: Vec<Value> = values.iter().map(|value| json!({ "value": written(set.kind, value) })).collect();
        match self.there(set).await? {
            None => {
                let body = json!({ "name": set.label("@"), "type": set.kind.name(), "ttl": ttl, "records": records });
                self.change(set, &format!("/v1/zones/{}/rrsets", set.zone), &body).await
            }
            Some((_, old)) => {
                self.change(set, &format!("{}/actions/set_records", path(set)), &json!({ "records": records })).await?;
                if old == Some(u64::from(ttl)) {
                    return Ok(());
                }
                self.change(set, &format!("{}/actions/change_ttl", path(set)), &json!({ "ttl": ttl })).await
            }
        }
    }

    /// Its values and its time to live; `None` if there is no such set, or no such zone.
    async fn there(&self, set: Set<'_>) -> Result<Option<(Vec<String>, Option<u64>)>, DnsFault> {
        let reply = self.0.ask(Method::GET, &path(set), None).await?;
        let found = &reply.body["rrset"];
        match (reply.status, found["records"].as_array()) {
            (404, _) => Ok(None),
            (200, Some(records)) => {
                let values = records.iter().filter_map(|record| record["value"].as_str());
                Ok(Some((values.map(|value| read(set.kind, value)).collect(), found["ttl"].as_u64())))
            }
            _ => Err(self.0.refused(set, &reply)),
        }
    }

    async fn change(&self, set: Set<'_>, path: &str, body: &Value) -> Result<(), DnsFault> {
        let reply = self.0.ask(Method::POST, path, Some(body)).await?;
        match reply.status {
            404 => Err(self.0.not_ours(set.zone)),
            _ if reply.is_good() && reply.body["action"]["status"] != "error" => Ok(()),
            _ => Err(self.0.refused(set, &reply)),
        }
    }
}

fn path(set: Set<'_>) -> String {
    format!("/v1/zones/{}/rrsets/{}/{}", set.zone, set.label("@"), set.kind)
}
