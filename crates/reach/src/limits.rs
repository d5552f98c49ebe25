//! Every bound of this crate.

use std::time::Duration;

/// How long a program that tells about the firewall may take.
pub(crate) const COMMAND_TIME: Duration = Duration::from_secs(2);

/// The most output taken from such a program, in bytes. A rule set of 30,000 rules is about 5 MB.
pub(crate) const COMMAND_OUTPUT: u64 = 16 << 20;

/// Jumps from chain to chain, as in the kernel (nft: 16).
pub(crate) const CHAIN_DEPTH: usize = 16;

/// Rules looked at before a rule set counts as too large to judge.
pub(crate) const RULE_VISITS: usize = 1_000_000;

/// How long a name on the local network is asked for before it counts as free: long enough for a second query, since
/// a responder that multicast its answer a moment ago keeps silent for a second (RFC 6762 section 6).
pub(crate) const LOOKUP_TIME: Duration = Duration::from_millis(1300);

/// How long to go on listening after the first answer, for a second machine with the same name.
pub(crate) const LOOKUP_SETTLE: Duration = Duration::from_millis(200);

/// How long publishing a name may take, from registering it to hearing it answered: three probes 250 ms apart after a
/// wait of up to 250 ms (RFC 6762 section 8.1), then the announcement.
pub(crate) const PUBLISH_TIME: Duration = Duration::from_secs(6);

/// How many names are tried (`name`, `name-2`, …) before giving up.
pub(crate) const NAME_TRIES: u32 = 20;

/// How long after a failure a name is tried again.
pub(crate) const MDNS_RECHECK: Duration = Duration::from_secs(3);

/// How often the responder looks for new and vanished addresses, in seconds.
pub(crate) const MDNS_ADDRESS_CHECK: u32 = 2;

/// How often a published name is asked for again.
pub(crate) const MDNS_VERIFY: Duration = Duration::from_secs(60);

/// How long saying goodbye may take.
pub(crate) const GOODBYE_TIME: Duration = Duration::from_millis(500);

/// The longest command line kept of a process, in bytes.
pub(crate) const COMMAND_LINE: usize = 1024;
