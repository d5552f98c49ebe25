//! Every bound of this crate.

use std::time::Duration;

/// When a datagram to a gateway is sent again, as often as there are waits (RFC 6886 section 3.1 doubles from 250 ms; a router
/// that has not answered within two seconds does not speak the protocol).
pub(crate) const RETRIES: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_millis(1000)];

/// How long answers to a search by multicast are collected. They may take the second that the search allows (`MX: 1`).
pub(crate) const SEARCH: Duration = Duration::from_millis(1600);

/// How long to go on listening once the gateway itself answered: it may answer for several services.
pub(crate) const SEARCH_FOUND: Duration = Duration::from_millis(300);

/// When the search is sent again, since multicast gets lost in Wi-Fi.
pub(crate) const SEARCH_AGAIN: Duration = Duration::from_millis(400);

/// Answers to a search that are looked at.
pub(crate) const ANSWERS: usize = 16;

/// How long a device may take to answer one request over HTTP. Some routers take seconds.
pub(crate) const REQUEST: Duration = Duration::from_secs(8);

/// The longest description or answer that is read, in bytes. Real ones are below 20 KB.
pub(crate) const BODY: usize = 256 << 10;

/// Elements of a description or answer that are looked at.
pub(crate) const ELEMENTS: u32 = 4096;

/// Services of one device that are tried.
pub(crate) const SERVICES: usize = 8;

/// Other ports that are tried when the wished one is taken.
pub(crate) const OTHER_PORTS: usize = 5;

/// How long a mapping is asked for. Whatever stays behind, because this computer has another address meanwhile for instance,
/// holds its port for so long.
pub(crate) const LEASE: Duration = Duration::from_secs(600);

/// The longest that routers grant which grant neither [`LEASE`] nor for good, in seconds (IGD:2, section 2.5.1).
pub(crate) const LONGEST_LEASE: u32 = 604_800;

/// How often a mapping is looked at. A router that was started anew has forgotten it, and visitors wait.
pub(crate) const VERIFY: Duration = Duration::from_secs(20);

/// The first and longest wait after a failure.
pub(crate) const RETRY_FIRST: Duration = Duration::from_secs(2);
pub(crate) const RETRY_MOST: Duration = Duration::from_secs(60);

/// The wait after a refusal that the router means.
pub(crate) const REFUSED: Duration = Duration::from_secs(45);

/// How long a port of this computer itself may take to be connected to.
pub(crate) const LOCAL: Duration = Duration::from_secs(1);
