//! Cloudflare (`developers.cloudflare.com/api`, "DNS Records for a Zone"): each record has a number of its own.

use reqwest::Method;
use serde_json::{Value, json};

use super::web::{Reply, Web};
use super::{Set, read};
use crate::Kind;
use crate::fault::DnsFault;
use crate::limits::CLOUDFLARE_TTL;
use crate::provider::http::quoted;
use crate::provider::library::Settings;

/// What it says to a token that is none, with status 400.
const NO_TOKEN: [u64; 4] = [6003, 6111, 9106, 9107];

pub(in crate::provider) struct Cloudflare(Web);

struct Record {
    id: String,
    value: String,
    ttl: u64,
    /// Visitors get addresses of Cloudflare's, which pass on to this one. It is the owner's choice, and stays.
    proxied: bool,
}

impl Cloudflare {
    pub fn new(settings: &Settings<'_>) -> Result<Self, DnsFault> {
        Ok(Self(Web::new("Cloudflare", "Bearer", "https://api.cloudflare.com", settings)?))
    }

    pub async fn values(&self, set: Set<'_>) -> Result<Vec<String>, DnsFault> {
        let records = self.zone(set.zone).await?;
        Ok(self.records(&records, set).await?.into_iter().map(|record| record.value).collect())
    }

    /// New records before old ones go: there is no moment without any.
    pub async fn put(&self, set: Set<'_>, values: &[String], ttl: u32) -> Result<(), DnsFault> {
        let ttl = ttl.max(CLOUDFLARE_TTL);
        let path = self.zone(set.zone).await?;
        let mut there = self.records(&path, set).await?;
        let mut missing = Vec::new();
        for value in values {
            let value = read(set.kind, value);
            match there.iter().position(|record| record.value == value) {
                Some(at) => {
                    let record = there.swap_remove(at);
                    if !record.proxied && record.ttl != u64::from(ttl) {
                        self.change(set, Method::PATCH, &format!("{path}/{}", record.id), &json!({ "ttl": ttl }))
                            .await?;
                    }
                }
                None => missing.push(value),
            }
        }
        for value in missing {
            let content = if set.kind == Kind::Txt { super::written(Kind::Txt, &value) } else { value };
            if let Some(record) = there.pop() {
                let mut body = json!({ "content": content });
                if !record.proxied {
                    body["ttl"] = json!(ttl);
                }
                self.change(set, Method::PATCH, &format!("{path}/{}", record.id), &body).await?;
            } else {
                let (kind, name) = (set.kind.name(), set.name.trim_end_matches('.'));
                let body = json!({ "type": kind, "name": name, "content": content, "ttl": ttl, "proxied": false });
                self.change(set, Method::POST, &path, &body).await?;
            }
        }
        for record in there {
            let reply = self.0.ask(Method::DELETE, &format!("{path}/{}", record.id), None).await?;
            if !reply.is_good() && reply.status != 404 {
                return Err(self.fault(set, &reply));
            }
        }
        Ok(())
    }

    /// The path of its records.
    async fn zone(&self, zone: &str) -> Result<String, DnsFault> {
        let reply = self.0.ask(Method::GET, &format!("/client/v4/zones?name={}", quoted(zone)), None).await?;
        if !reply.is_good() {
            return Err(self.fault(Set { zone, name: zone, kind: Kind::A }, &reply));
        }
        let mut zones = reply.body["result"].as_array().into_iter().flatten();
        let id = zones.find(|found| found["name"] == zone).and_then(|found| found["id"].as_str());
        let id = id.filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        id.map(|id| format!("/client/v4/zones/{id}/dns_records")).ok_or_else(|| self.0.not_ours(zone))
    }

    async fn records(&self, path: &str, set: Set<'_>) -> Result<Vec<Record>, DnsFault> {
        let query = format!("type={}&name={}&per_page=100", set.kind, quoted(set.name.trim_end_matches('.')));
        let reply = self.0.ask(Method::GET, &format!("{path}?{query}"), None).await?;
        let (true, Some(found)) = (reply.is_good(), reply.body["result"].as_array()) else {
            return Err(self.fault(set, &reply));
        };
        let record = |found: &Value| {
            Some(Record {
                id: found["id"].as_str()?.to_owned(),
                value: read(set.kind, found["content"].as_str()?),
                ttl: found["ttl"].as_u64().unwrap_or_default(),
                proxied: found["proxied"] == true,
            })
        };
        Ok(found.iter().filter_map(record).collect())
    }

    async fn change(&self, set: Set<'_>, method: Method, path: &str, body: &Value) -> Result<(), DnsFault> {
        let reply = self.0.ask(method, path, Some(body)).await?;
        if reply.is_good() && reply.body["success"] != false { Ok(()) } else { Err(self.fault(set, &reply)) }
    }

    fn fault(&self, set: Set<'_>, reply: &Reply) -> DnsFault {
        match reply.body["errors"][0]["code"].as_u64() {
            Some(code) if NO_TOKEN.contains(&code) => self.0.stranger(reply),
            _ => self.0.refused(set, reply),
        }
    }
}
