//! Talking with certificate authorities (RFC 8555) by instant-acme.

mod account;
mod challenge;
mod http;
mod order;
mod renewal;

pub(crate) use account::Accounts;
pub(crate) use order::{Work, obtain};
pub(crate) use renewal::suggestion;

use instant_acme::Error;

/// Whether the request was rejected only for its nonce (RFC 8555 section 6.5), so that it is to be signed anew.
pub(crate) fn is_bad_nonce(error: &Error) -> bool {
    let Error::Api(problem) = error else { return false };
    problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:badNonce")
}

/// Repeats a request until its nonce is accepted. instant-acme itself tries three times with the nonces that come with the
/// rejections, and then gives up.
macro_rules! patient {
    ($request:expr) => {{
        let mut tries = 0;
        loop {
            match $request.await {
                Err(error) if $crate::acme::is_bad_nonce(&error) && tries < $crate::limits::NONCES => {
                    tries += 1;
                    if tries > 10 {
                        tokio::time::sleep($crate::limits::NONCE_PAUSE).await;
                    }
                }
                done => break done,
            }
        }
    }};
}
pub(crate) use patient;
