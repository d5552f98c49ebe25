use std::net::{IpAddr, SocketAddr};

use doorstep_model::{Blame, DnsProvider, RecordChange};

use crate::fault::{Again, DnsFault};
use crate::{Kind, Lookup, Provider};

/// How long others may remember what was there before, in seconds.
const TTL: u32 = 300;

/// Puts back what was there before a record was changed, or removes it where nothing was. May be done again. `resolver` is
/// asked for names instead of the system's servers.
///
/// # Errors
/// The provider's settings are of another provider, or it refuses.
pub async fn undo(change: &RecordChange, settings: &DnsProvider, resolver: Option<SocketAddr>) -> Result<(), DnsFault> {
    let provider = Provider::new(settings)?;
    if provider.name() != change.provider {
        let what = format!(
            "{} was changed at {}, and these settings are for {}.",
            change.name,
            change.provider,
            provider.name()
        );
        return Err(DnsFault::new("dns-provider", Blame::Environment, what, "").again(Again::Never));
    }
    let Some(kind) = Kind::named(&change.record) else {
        let what = format!("the journal has a record of the unknown type {}.", change.record);
        return Err(DnsFault::new("dns-journal", Blame::Doorstep, what, "").again(Again::Never));
    };
    match kind {
        Kind::A | Kind::Aaaa if !provider.can_alias() => {
            let mut ips: Vec<IpAddr> = change.before.iter().filter_map(|ip| ip.parse().ok()).collect();
            // These clear both families or none, so that the other one is put again with it.
            let gone = ips.is_empty();
            if gone && provider.can_remove() {
                ips = other(change, kind, resolver).await;
            }
            provider.set_addresses(&change.zone, &change.name, &ips, TTL, gone).await
        }
        Kind::Txt => match change.values.first() {
            Some(text) => provider.remove_text(&change.zone, &change.name, text).await,
            None => Ok(()),
        },
        kind => provider.set(&change.zone, &change.name, kind, change.before.clone(), TTL).await,
    }
}

/// What the name has of the other family.
async fn other(change: &RecordChange, kind: Kind, resolver: Option<SocketAddr>) -> Vec<IpAddr> {
    let Ok(lookup) = Lookup::new(resolver) else { return Vec::new() };
    let found = match lookup.authorities(&change.zone).await.unwrap_or_default().first() {
        Some((_, server)) => server.addresses(&change.name).await,
        None => lookup.addresses(&change.name).await,
    };
    found.unwrap_or_default().into_iter().filter(|ip| ip.is_ipv4() != (kind == Kind::A)).collect()
}
