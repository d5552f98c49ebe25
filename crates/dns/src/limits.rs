//! Every bound of this crate.

use std::time::Duration;

/// How long a name server may take for one answer.
pub(crate) const LOOKUP: Duration = Duration::from_secs(5);

/// Addresses of a name that are looked at.
pub(crate) const ADDRESSES: usize = 8;

/// CNAME records that are followed.
pub(crate) const CNAMES: usize = 8;

/// Name servers of one zone that are asked.
pub(crate) const SERVERS: usize = 6;

/// How long one request to a provider may take.
pub(crate) const REQUEST: Duration = Duration::from_secs(30);

/// The longest answer of a provider that is read, in bytes.
pub(crate) const ANSWER: usize = 4096;

/// When a published value is looked for at the zone's own servers, one wait after the other.
pub(crate) const CHECKS: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// How often a value that stands is compared with what the zone's servers say.
pub(crate) const RECHECK: Duration = Duration::from_secs(3600);

/// The first and longest wait after a failure.
pub(crate) const RETRY_FIRST: Duration = Duration::from_secs(5);
pub(crate) const RETRY_MOST: Duration = Duration::from_secs(1800);

/// Addresses change several times while a network comes up: how long they must have stood.
pub(crate) const SETTLE: Duration = Duration::from_secs(2);

/// The least time between two updates of one name, whatever changes: deSEC allows one a minute.
pub(crate) const LEAST: Duration = Duration::from_secs(60);

/// What dyndns2 wants after `911` (its own trouble).
pub(crate) const TROUBLE: Duration = Duration::from_secs(1800);
