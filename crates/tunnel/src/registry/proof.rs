use std::sync::OnceLock;

use doorstep_net::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use crate::limits::{CNAMES, PROOF};

/// Asks DNS about a domain that is not the relay's. Errors are for people; an answer that there is nothing is none.
pub trait DomainLookup: Send + Sync {
    /// Where the CNAME record at `name` leads, in lower case and without a dot at its end.
    fn cname<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, String>>;

    /// The texts at `name`.
    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, String>>;
}

/// The name servers of this computer.
#[derive(Default)]
pub struct SystemLookup(OnceLock<TokioResolver>);

impl SystemLookup {
    async fn ask(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, String> {
        let mut asked = Name::from_ascii(name).map_err(|error| error.to_string())?;
        asked.set_fqdn(true);
        match self.resolver()?.lookup(asked, kind).await {
            Ok(lookup) => Ok(lookup.answers().iter().map(|record| record.data.clone()).collect()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(NetError::NoConnections) => Err("the relay reaches no name server".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn resolver(&self) -> Result<&TokioResolver, String> {
        if let Some(resolver) = self.0.get() {
            return Ok(resolver);
        }
        let mut builder = TokioResolver::builder_tokio().map_err(|error| error.to_string())?;
        // Whoever has just made the record does not want to wait for a cache.
        builder.options_mut().cache_size = 0;
        builder.options_mut().timeout = PROOF / 2;
        let resolver = builder.build().map_err(|error| error.to_string())?;
        Ok(self.0.get_or_init(|| resolver))
    }
}

impl DomainLookup for SystemLookup {
    fn cname<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(async move {
            let found = self.ask(name, RecordType::CNAME).await?;
            Ok(found.into_iter().find_map(|data| match data {
                RData::CNAME(target) => Some(target.0.to_ascii().trim_end_matches('.').to_ascii_lowercase()),
                _ => None,
            }))
        })
    }

    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, String>> {
        Box::pin(async move {
            let found = self.ask(name, RecordType::TXT).await?;
            Ok(found
                .into_iter()
                .filter_map(|data| match data {
                    RData::TXT(txt) => Some(txt.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect()),
                    _ => None,
                })
                .collect())
        })
    }
}

/// What DNS says of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// It is theirs.
    Proven,
    /// It answered, and there is no record for them.
    Missing,
    /// It did not answer.
    Unknown(String),
}

/// Whether the owner of `host` says by DNS that it belongs to somebody: by a CNAME to a name that is `theirs`, or by a text
/// `doorstep=FINGERPRINT` at `_doorstep.HOST` with one of their `fingerprints`. Bounded in time.
pub(super) async fn prove(
    lookup: &dyn DomainLookup,
    host: &str,
    theirs: impl Fn(&str) -> bool,
    fingerprints: &[String],
) -> Proof {
    let record = format!("_doorstep.{host}");
    let both = async { tokio::join!(leads_to(lookup, host, theirs), lookup.texts(&record)) };
    let Ok((leads, texts)) = tokio::time::timeout(PROOF, both).await else {
        return Proof::Unknown(format!("DNS did not answer within {} s", PROOF.as_secs()));
    };
    let says = |text: &String| {
        text.trim().strip_prefix("doorstep=").is_some_and(|print| fingerprints.iter().any(|own| own == print.trim()))
    };
    match (leads, texts) {
        (Ok(true), _) => Proof::Proven,
        (_, Ok(texts)) if texts.iter().any(says) => Proof::Proven,
        (Ok(false), Ok(_)) => Proof::Missing,
        (Err(why), _) | (_, Err(why)) => Proof::Unknown(why),
    }
}

async fn leads_to(lookup: &dyn DomainLookup, host: &str, theirs: impl Fn(&str) -> bool) -> Result<bool, String> {
    let mut at = host.to_owned();
    for _ in 0..CNAMES {
        match lookup.cname(&at).await? {
            Some(next) if theirs(&next) => return Ok(true),
            Some(next) => at = next,
            None => return Ok(false),
        }
    }
    Ok(false)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashMap;

    use parking_lot::Mutex;

    use super::*;

    /// DNS as a test wants it. `Err` in the maps is a server that fails.
    #[derive(Default)]
    pub(crate) struct FakeLookup {
        pub cnames: Mutex<HashMap<String, String>>,
        pub texts: Mutex<HashMap<String, Vec<String>>>,
        pub fails: Mutex<bool>,
    }

    impl DomainLookup for FakeLookup {
        fn cname<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, String>> {
            let found =
                if *self.fails.lock() { Err("SERVFAIL".into()) } else { Ok(self.cnames.lock().get(name).cloned()) };
            Box::pin(async { found })
        }

        fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, String>> {
            let found = self.texts.lock().get(name).cloned().unwrap_or_default();
            Box::pin(async { Ok(found) })
        }
    }

    #[tokio::test]
    async fn by_cname_or_text_and_by_nothing_else() {
        let dns = FakeLookup::default();
        let ask = async |host: &str| prove(&dns, host, |name| name == "blog.tun.example.com", &["abc".into()]).await;
        assert_eq!(ask("a.example").await, Proof::Missing);
        dns.cnames.lock().insert("a.example".into(), "b.example".into());
        dns.cnames.lock().insert("b.example".into(), "other.tun.example.com".into());
        assert_eq!(ask("a.example").await, Proof::Missing);
        dns.cnames.lock().insert("b.example".into(), "blog.tun.example.com".into());
        assert_eq!(ask("a.example").await, Proof::Proven);
        // Around in a circle.
        dns.cnames.lock().insert("b.example".into(), "a.example".into());
        assert_eq!(ask("a.example").await, Proof::Missing);
        dns.texts.lock().insert("_doorstep.c.example".into(), vec!["v=spf1".into(), "doorstep=ab".into()]);
        assert_eq!(ask("c.example").await, Proof::Missing);
        dns.texts.lock().get_mut("_doorstep.c.example").unwrap().push("doorstep=abc".into());
        assert_eq!(ask("c.example").await, Proof::Proven);
        *dns.fails.lock() = true;
        assert_eq!(ask("c.example").await, Proof::Proven);
        assert_eq!(ask("d.example").await, Proof::Unknown("SERVFAIL".into()));
    }
}
