//! The protocol that many services of dynamic DNS took over from DynDNS, called `dyndns2` (`help.dyn.com/remote-access-api`).

use std::net::IpAddr;

use doorstep_model::Blame;
use reqwest::Client;

use super::http::{client, quoted, send, shown};
use super::library::Settings;
use crate::fault::{Again, DnsFault};
use crate::limits::TROUBLE;

pub(super) struct Dyndns2 {
    client: Client,
    server: String,
    user: String,
    password: String,
}

impl Dyndns2 {
    pub fn new(settings: &Settings<'_>) -> Result<Self, DnsFault> {
        let text = |key| settings.maybe(key).unwrap_or_default().to_owned();
        let server = text("server");
        let server = if server.contains("://") { server } else { format!("https://{server}") };
        // Where it is not said, the path is the usual one.
        let has_path = server.split_once("://").is_some_and(|(_, rest)| rest.trim_end_matches('/').contains('/'));
        let server = server.trim_end_matches('/').to_owned();
        let server = if has_path { server } else { format!("{server}/nic/update") };
        Ok(Self {
            client: client("the service of dynamic DNS")?,
            server,
            user: text("user"),
            password: text("password"),
        })
    }

    pub async fn set_addresses(&self, name: &str, ips: &[IpAddr]) -> Result<(), DnsFault> {
        if ips.is_empty() {
            let what = format!("{} cannot let {name} have no address.", self.provider());
            let fix = format!("Remove the address of {name} there yourself.");
            return Err(DnsFault::new("dns-unsupported", Blame::Environment, what, fix).again(Again::Never));
        }
        let ips: Vec<String> = ips.iter().map(|ip| quoted(&ip.to_string())).collect();
        let url = format!("{}?hostname={}&myip={}", self.server, quoted(name), ips.join(","));
        let request = self.client.get(url).basic_auth(&self.user, Some(&self.password));
        let answer = send(self.provider(), request).await?;
        self.judge(name, answer.status, &answer.body)
    }

    fn provider(&self) -> &str {
        let host = self.server.split_once("://").map_or(self.server.as_str(), |(_, rest)| rest);
        host.split('/').next().unwrap_or(host)
    }

    fn judge(&self, name: &str, status: u16, body: &str) -> Result<(), DnsFault> {
        let word = body.split_ascii_whitespace().next().unwrap_or_default();
        let provider = self.provider();
        let never =
            |id, what: String, fix: &str| Err(DnsFault::new(id, Blame::Environment, what, fix).again(Again::Never));
        match word {
            "good" | "nochg" => Ok(()),
            "badauth" => {
                never("dns-login", format!("{provider} does not know this user and password."), "Correct them.")
            }
            "nohost" | "notfqdn" | "numhost" => never(
                "dns-name",
                format!("{provider} has no name {name} with this login."),
                "Make it there first, or correct it.",
            ),
            "!donator" | "!yours" => never(
                "dns-name",
                format!("{provider} does not do this for {name}: {}.", shown(word)),
                "See what your account there allows.",
            ),
            "abuse" => never(
                "dns-blocked",
                format!("{provider} has blocked {name} for too many updates."),
                "Ask them to unblock it; doorstep does not ask again by itself.",
            ),
            "badagent" => never("dns-blocked", format!("{provider} does not want doorstep."), "Use another provider."),
            "911" | "dnserr" => {
                let what = format!("{provider} is in trouble itself ({}).", shown(word));
                let fix = "Nothing: it is asked again in half an hour.";
                Err(DnsFault::new("dns-trouble", Blame::Upstream, what, fix).again(Again::After(TROUBLE)))
            }
            _ if status == 401 || status == 403 => {
                never("dns-login", format!("{provider} does not know this user and password."), "Correct them.")
            }
            _ => {
                let what = format!("{provider} answered {:?} (HTTP status {status}).", shown(body));
                Err(DnsFault::new("dns-update", Blame::Upstream, what, "Check the address of the server."))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use doorstep_model::{DnsProvider, Secret};

    use super::*;

    fn of(server: &str) -> Dyndns2 {
        let settings = [("server", server), ("user", "ada"), ("password", "s3cr3t")];
        let settings: BTreeMap<_, _> =
            settings.map(|(key, value)| (key.to_owned(), Secret::new(value.to_owned()))).into();
        Dyndns2::new(&Settings(&DnsProvider { kind: "dyndns2".into(), settings })).unwrap()
    }

    #[test]
    fn the_path_is_the_usual_one_unless_said() {
        assert_eq!(of("dynupdate.no-ip.com").server, "https://dynupdate.no-ip.com/nic/update");
        assert_eq!(of("http://127.0.0.1:81/v3/update/").server, "http://127.0.0.1:81/v3/update");
        assert_eq!(of("https://dyn.example.com/").provider(), "dyn.example.com");
    }

    #[test]
    fn each_word_has_its_consequence() {
        let service = of("dyn.example.com");
        let again = |status, body: &str| service.judge("a.example.com", status, body).err().map(|fault| fault.again);
        assert_eq!((again(200, "good 192.0.2.1"), again(200, "nochg")), (None, None));
        for body in ["badauth", "nohost", "abuse", "!donator", "notfqdn", "badagent"] {
            assert_eq!(again(200, body), Some(Again::Never), "{body}");
        }
        assert_eq!(again(200, "911"), Some(Again::After(TROUBLE)));
        assert_eq!(again(401, ""), Some(Again::Never));
        assert_eq!(again(200, "<html>"), Some(Again::Soon));
    }
}
