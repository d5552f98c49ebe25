use doorstep_dns::Provider;
use doorstep_model::DnsProvider;
use tokio::time::Instant;

use super::Lookup;
use crate::fault::Fault;
use crate::limits::{POLL_FIRST, POLL_MOST, TXT_SEEN};

/// A TXT record that answers dns-01 (RFC 8555 section 8.4), put where `_acme-challenge` of the name leads to.
pub(crate) struct Record {
    provider: Provider,
    zone: String,
    name: String,
    text: String,
}

impl Record {
    /// Puts `text` there and waits until it can be seen, within bounds: the authority looks for itself anyway.
    pub async fn put(lookup: &Lookup, provider: &DnsProvider, base: &str, text: String) -> Result<Self, Fault> {
        let name = lookup.canonical(&format!("_acme-challenge.{base}")).await?;
        let zone = match provider.settings.get("zone").map(|zone| zone.reveal().trim_end_matches('.').to_owned()) {
            Some(zone) if name == zone || name.ends_with(&format!(".{zone}")) => zone,
            _ => lookup.zone(&name).await?,
        };
        let record = Self { provider: Provider::new(provider)?, zone, name, text };
        record.provider.add_text(&record.zone, &record.name, &record.text).await?;
        record.wait_until_seen(lookup).await;
        Ok(record)
    }

    async fn wait_until_seen(&self, lookup: &Lookup) {
        let deadline = Instant::now() + TXT_SEEN;
        let mut pause = POLL_FIRST;
        while Instant::now() < deadline {
            if lookup.texts(&self.name).await.is_ok_and(|texts| texts.contains(&self.text)) {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(POLL_MOST);
        }
    }

    /// Takes it away again. One that stays does no harm.
    pub async fn remove(self) {
        let _ = self.provider.remove_text(&self.zone, &self.name, &self.text).await;
    }
}
