use std::time::SystemTime;

use instant_acme::{CertificateIdentifier, Error};

use super::account::Opened;
use crate::leaf::{Leaf, seconds};
use crate::plan::Suggestion;

/// Asks when `leaf` should be replaced (RFC 9773). `None` where the authority does not say such things.
pub(crate) async fn suggestion(opened: &Opened, leaf: &Leaf, now: SystemTime) -> Result<Option<Suggestion>, Error> {
    let Ok(id) = CertificateIdentifier::try_from(&leaf.der) else { return Ok(None) };
    match opened.account.renewal_info(&id).await {
        Ok((info, again)) => Ok(Some(Suggestion {
            start: info.suggested_window.start.unix_timestamp(),
            end: info.suggested_window.end.unix_timestamp(),
            ask_again: seconds(now + again),
        })),
        Err(Error::Unsupported(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
