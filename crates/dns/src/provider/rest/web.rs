use doorstep_model::Blame;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method};
use serde_json::Value;

use super::Set;
use crate::fault::{Again, DnsFault};
use crate::provider::http::{client, send, shown};
use crate::provider::library::Settings;

/// A provider's API, and what makes us known there.
pub(super) struct Web {
    client: Client,
    pub provider: &'static str,
    pub server: String,
    authorization: HeaderValue,
}

/// What it answered, as far as it was not to be expected of every provider.
pub(super) struct Reply {
    pub status: u16,
    pub body: Value,
}

impl Reply {
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Why not, in the provider's words.
    pub fn said(&self) -> String {
        let known = [
            "/errors/0/message",
            "/errors/0/description",
            "/error/message",
            "/action/error/message",
            "/detail",
            "/message",
        ];
        let known = known.iter().find_map(|place| self.body.pointer(place)?.as_str());
        match known.or_else(|| first_text(&self.body)) {
            Some(text) => shown(text).trim_end_matches('.').to_owned(),
            None => format!("HTTP status {}", self.status),
        }
    }
}

impl Web {
    /// `scheme` is the word before the token; `usual` is where it is asked unless settings say otherwise.
    pub fn new(provider: &'static str, scheme: &str, usual: &str, settings: &Settings<'_>) -> Result<Self, DnsFault> {
        let token = settings.maybe("token").unwrap_or_default().trim();
        let mut authorization = HeaderValue::from_str(&format!("{scheme} {token}")).map_err(|_| {
            let what = format!("the token for {provider} has letters in it that no token has.");
            DnsFault::new("dns-login", Blame::Environment, what, "Copy it again.").again(Again::Never)
        })?;
        authorization.set_sensitive(true);
        let server = settings.maybe("server").unwrap_or(usual).trim_end_matches('/').to_owned();
        Ok(Self { client: client(provider)?, provider, server, authorization })
    }

    /// `path` is put behind the server's address.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, DnsFault> {
        self.ask_at(&self.server, method, path, body).await
    }

    pub async fn ask_at(
        &self,
        server: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, DnsFault> {
        let mut request = self.client.request(method, format!("{server}{path}"));
        request = request.header(AUTHORIZATION, self.authorization.clone());
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let answer = send(self.provider, request).await?;
        // Whatever is no JSON, a page of a proxy in between for one, is a text.
        let body = serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body));
        let reply = Reply { status: answer.status, body };
        match reply.status {
            401 | 403 => Err(self.stranger(&reply)),
            _ => Ok(reply),
        }
    }

    pub fn stranger(&self, reply: &Reply) -> DnsFault {
        let what = format!("{} does not let us in with this token: {}.", self.provider, reply.said());
        let fix = "Check the token in `dns`, and that it may change this zone.";
        DnsFault::new("dns-login", Blame::Environment, what, fix).again(Again::Never)
    }

    pub fn not_ours(&self, zone: &str) -> DnsFault {
        let what = format!("{} has no zone {zone} with this token.", self.provider);
        let fix = "Check that the zone is this account's own and that the token may see it.";
        DnsFault::new("dns-zone", Blame::Environment, what, fix).again(Again::Never)
    }

    pub fn refused(&self, set: Set<'_>, reply: &Reply) -> DnsFault {
        let Set { name, kind, zone } = set;
        let what =
            format!("{} did not take the {kind} record of {name} in the zone {zone}: {}.", self.provider, reply.said());
        DnsFault::new("dns-update", Blame::Environment, what, format!("See at {} what {name} has.", self.provider))
    }
}

fn first_text(body: &Value) -> Option<&str> {
    match body {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Array(values) => values.iter().find_map(first_text),
        Value::Object(values) => values.values().find_map(first_text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_provider_s_words_are_found() {
        let said = |body| Reply { status: 422, body }.said();
        assert_eq!(said(json!({"success": false, "errors": [{"code": 9041, "message": "No."}]})), "No");
        assert_eq!(said(json!({"error": {"code": "locked", "message": "wait"}})), "wait");
        assert_eq!(said(json!({"status": "error", "errors": [{"location": "body", "description": "bad"}]})), "bad");
        assert_eq!(said(json!([{"ttl": ["Ensure this value is greater."]}])), "Ensure this value is greater");
        assert_eq!(said(json!({"detail": "Not found."})), "Not found");
        assert_eq!(said(Value::Null), "HTTP status 422");
    }
}
