//! Gandi LiveDNS (`api.gandi.net/docs/livedns`): a set is put as a whole.

use reqwest::Method;
use serde_json::json;

use super::web::Web;
use super::{Set, read, written};
use crate::fault::DnsFault;
use crate::limits::GANDI_TTL;
use crate::provider::library::Settings;

pub(in crate::provider) struct Gandi(Web);

impl Gandi {
    pub fn new(settings: &Settings<'_>) -> Result<Self, DnsFault> {
        Ok(Self(Web::new("Gandi", "Bearer", "https://api.gandi.net", settings)?))
    }

    pub async fn values(&self, set: Set<'_>) -> Result<Vec<String>, DnsFault> {
        let reply = self.0.ask(Method::GET, &path(set), None).await?;
        match (reply.status, reply.body["rrset_values"].as_array()) {
            (404, _) => Ok(Vec::new()),
            (200, Some(values)) => {
                Ok(values.iter().filter_map(|value| value.as_str()).map(|value| read(set.kind, value)).collect())
            }
            _ => Err(self.0.refused(set, &reply)),
        }
    }

    pub async fn put(&self, set: Set<'_>, values: &[String], ttl: u32) -> Result<(), DnsFault> {
        let reply = if values.is_empty() {
            self.0.ask(Method::DELETE, &path(set), None).await?
        } else {
            let values: Vec<String> = values.iter().map(|value| written(set.kind, value)).collect();
            let body = json!({ "rrset_ttl": ttl.max(GANDI_TTL), "rrset_values": values });
            self.0.ask(Method::PUT, &path(set), Some(&body)).await?
        };
        match reply.status {
            _ if reply.is_good() => Ok(()),
            404 if values.is_empty() => Ok(()),
            404 => Err(self.0.not_ours(set.zone)),
            _ => Err(self.0.refused(set, &reply)),
        }
    }
}

fn path(set: Set<'_>) -> String {
    format!("/v5/livedns/domains/{}/records/{}/{}", set.zone, set.label("@"), set.kind)
}
