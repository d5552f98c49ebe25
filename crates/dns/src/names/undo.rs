use doorstep_model::{Blame, DnsProvider, RecordChange};

use crate::fault::{Again, DnsFault};
use crate::{Kind, Provider};

/// How long others may remember what was there before, in seconds.
const TTL: u32 = 300;

/// Puts back what was there before a record was changed, or removes it where nothing was. May be done again.
///
/// # Errors
/// The provider's settings are of another provider, or it refuses.
pub async fn undo(change: &RecordChange, settings: &DnsProvider) -> Result<(), DnsFault> {
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
        // These know a name's addresses as a whole.
        Kind::A | Kind::Aaaa if !provider.can_alias() => {
            let before = change.before.iter().filter_map(|ip| ip.parse().ok()).collect::<Vec<_>>();
            provider.set_addresses(&change.zone, &change.name, &before, TTL).await
        }
        Kind::Txt => match change.values.first() {
            Some(text) => provider.remove_text(&change.zone, &change.name, text).await,
            None => Ok(()),
        },
        kind => provider.set(&change.zone, &change.name, kind, change.before.clone(), TTL).await,
    }
}
