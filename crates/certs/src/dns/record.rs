use dns_update::{DnsRecord, DnsRecordType, DnsUpdater};
use doorstep_model::{Blame, DnsProvider};
use tokio::time::Instant;

use super::Lookup;
use super::provider::updater;
use crate::fault::Fault;
use crate::limits::{POLL_FIRST, POLL_MOST, TXT_SEEN};

/// A TXT record that answers dns-01 (RFC 8555 section 8.4), put where `_acme-challenge` of the name leads to.
pub(crate) struct Record {
    updater: DnsUpdater,
    zone: String,
    name: String,
    text: String,
}

impl Record {
    /// Puts `text` there and waits until it can be seen, within bounds: the authority looks for itself anyway.
    pub async fn put(lookup: &Lookup, provider: &DnsProvider, base: &str, text: String) -> Result<Self, Fault> {
        let updater = updater(provider)?;
        let name = lookup.canonical(&format!("_acme-challenge.{base}")).await?;
        let zone = match provider.settings.get("zone").map(|zone| zone.reveal().trim_end_matches('.').to_owned()) {
            Some(zone) if name == zone || name.ends_with(&format!(".{zone}")) => zone,
            _ => lookup.zone(&name).await?,
        };
        let record = Self { updater, zone, name, text };
        let wanted = vec![DnsRecord::TXT(record.text.clone())];
        let put = record.updater.add_to_rrset(&record.name, DnsRecordType::TXT, 60, wanted, &record.zone).await;
        put.map_err(|error| {
            let what = format!(
                "{} did not take the record {} in the zone {}: {error}.",
                provider.kind, record.name, record.zone
            );
            Fault::new(
                "dns-update",
                Blame::Environment,
                what,
                "Check the settings in `dns`, and that they may change this zone.",
            )
        })?;
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
        let records = vec![DnsRecord::TXT(self.text)];
        let _ = self.updater.remove_from_rrset(&self.name, DnsRecordType::TXT, records, &self.zone).await;
    }
}
