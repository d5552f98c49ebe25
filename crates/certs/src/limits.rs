//! Every bound of this crate.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a local certificate is good for. Browsers refuse certificates for more than 398 days.
pub(crate) const VALIDITY: Duration = Duration::from_secs(397 * DAY.as_secs());

/// How far a certificate's life begins in the past, for visitors whose clock is behind.
pub(crate) const BACKDATED: Duration = DAY;

/// A certificate with less than this left is replaced: a third of its life.
pub(crate) const RENEW_BEFORE: Duration = Duration::from_secs(VALIDITY.as_secs() / 3);

/// Certificates kept, one for each set of names and addresses that this computer had. The oldest goes first.
pub(crate) const KEPT: usize = 16;

/// The largest state file read, in bytes; ours have about 1.2 kB.
pub(crate) const STATE_FILE: u64 = 64 * 1024;

/// Names and addresses in one certificate.
pub(crate) const NAMES: usize = 64;
