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
pub(crate) const ANSWER: usize = 256 * 1024;

/// How long the library may take for one change, its own waits when it is told to come back later included.
pub(crate) const LIBRARY: Duration = Duration::from_secs(300);

/// How long a provider is left alone that was asked too often and does not say for how long. Cloudflare means five minutes.
pub(crate) const LIMITED: Duration = Duration::from_secs(300);

/// The longest that a provider is left alone because it says so.
pub(crate) const WAIT_MOST: Duration = Duration::from_secs(12 * 3600);

/// The least times to live that providers take, in seconds.
pub(crate) const CLOUDFLARE_TTL: u32 = 60;
pub(crate) const GANDI_TTL: u32 = 300;
pub(crate) const HETZNER_TTL: u32 = 60;

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

/// Services that block whoever repeats himself are told the same again after this many seconds at the earliest.
pub(crate) const REPEAT: i64 = 24 * 3600;

/// How long all servers of a zone together may take to say what a name has.
pub(crate) const LOOK: Duration = Duration::from_secs(20);

/// When one's own name server is asked again that refused: its key may come, and this computer's clock may be set.
pub(crate) const REFUSED: Duration = Duration::from_secs(300);
