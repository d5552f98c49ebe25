//! Duck DNS (`duckdns.org/spec.jsp`): one GET, answered by `OK` or `KO`.

use std::net::IpAddr;

use doorstep_model::Blame;
use reqwest::Client;

use super::http::{client, quoted, send, shown};
use super::library::Settings;
use crate::fault::{Again, DnsFault};

pub(super) struct DuckDns {
    client: Client,
    server: String,
    token: String,
}

impl DuckDns {
    pub fn new(settings: &Settings<'_>) -> Result<Self, DnsFault> {
        let server = settings.maybe("server").unwrap_or("https://www.duckdns.org").trim_end_matches('/').to_owned();
        let token = settings.maybe("token").unwrap_or_default().to_owned();
        Ok(Self { client: client("Duck DNS")?, server, token })
    }

    /// An address that is not sent stays as it was. One that is `gone` can only be cleared with the other one, which the
    /// name is without for the blink of an eye then.
    pub async fn set_addresses(&self, name: &str, ips: &[IpAddr], gone: bool) -> Result<(), DnsFault> {
        let of = |v4: bool| ips.iter().find(|ip| ip.is_ipv4() == v4).map(ToString::to_string);
        let (v4, v6) = (of(true), of(false));
        if gone && (v4.is_none() || v6.is_none()) {
            self.update(name, "&clear=true").await?;
        }
        let query = |key: &str, ip: Option<String>| ip.map_or_else(String::new, |ip| format!("&{key}={}", quoted(&ip)));
        match (v4, v6) {
            (None, None) => Ok(()),
            (v4, v6) => self.update(name, &format!("{}{}", query("ip", v4), query("ipv6", v6))).await,
        }
    }

    pub async fn set_text(&self, name: &str, text: Option<&str>) -> Result<(), DnsFault> {
        let query = match text {
            Some(text) => format!("&txt={}", quoted(text)),
            None => "&txt=&clear=true".to_owned(),
        };
        self.update(name, &query).await
    }

    async fn update(&self, name: &str, query: &str) -> Result<(), DnsFault> {
        let Self { client, server, token } = self;
        let domain = label(name);
        let url = format!("{server}/update?domains={}&token={}{query}", quoted(domain), quoted(token));
        let answer = send("Duck DNS", client.get(url)).await?;
        match answer.body.lines().next().unwrap_or_default().trim() {
            "OK" => Ok(()),
            "KO" => {
                let what = format!("Duck DNS does not know {name} with this token.");
                let fix = "Check the token, and that this name is one of yours there.";
                Err(DnsFault::new("dns-login", Blame::Environment, what, fix).again(Again::Never))
            }
            other => {
                let what = format!("Duck DNS answered {:?} (HTTP status {}).", shown(other), answer.status);
                Err(DnsFault::new(
                    "dns-update",
                    Blame::Upstream,
                    what,
                    "Check the address of the server, if you gave one.",
                ))
            }
        }
    }
}

/// `myapp` of `_acme-challenge.www.myapp.duckdns.org`: the service knows the one name only.
fn label(name: &str) -> &str {
    let name = name.trim_end_matches('.');
    let own = name.strip_suffix(".duckdns.org").unwrap_or_else(|| name.split('.').next().unwrap_or(name));
    own.rsplit('.').next().unwrap_or(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_knows_one_label() {
        for (name, known) in
            [("myapp.duckdns.org", "myapp"), ("_acme-challenge.www.myapp.duckdns.org.", "myapp"), ("myapp", "myapp")]
        {
            assert_eq!(label(name), known);
        }
    }
}
