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

/// Names and addresses in one certificate.
pub(crate) const NAMES: usize = 64;

/// The first wait after a failed attempt to obtain a certificate; it doubles from there.
pub(crate) const RETRY_FIRST: Duration = Duration::from_secs(60);

/// The longest wait between two attempts.
pub(crate) const RETRY_MOST: Duration = Duration::from_secs(6 * 60 * 60);

/// The longest wait while only our own look at the name fails, which costs nobody anything.
pub(crate) const LOOK_AGAIN_MOST: Duration = Duration::from_secs(10 * 60);

/// The authority is asked at least this often for when to renew, whatever it says.
pub(crate) const RENEWAL_INFO_AT_LEAST: Duration = DAY;

/// What `ledger.json` remembers of one authority.
pub(crate) const LEDGER_ENTRIES: usize = 5_000;

/// Orders under way at once, over all authorities.
pub(crate) const ORDERS_AT_ONCE: usize = 8;

/// The longest that the manager sleeps, so that a clock that jumps is noticed.
pub(crate) const NAP: Duration = Duration::from_secs(60);

/// Between two looks whether another manager still works in the state folder.
pub(crate) const TURN_LOOK: Duration = Duration::from_millis(250);

/// How far the wall clock may run from the monotonic one between two naps before that is said.
pub(crate) const CLOCK_JUMP: Duration = Duration::from_secs(10 * 60);

/// How far our clock may be from the authority's before its certificates are not asked for.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(12 * 60 * 60);

/// An order that could not be finished in this long starts over.
pub(crate) const ORDER: Duration = Duration::from_secs(10 * 60);

/// How often a request that the authority rejects for its nonce is signed anew.
pub(crate) const NONCES: u32 = 150;

/// Between such requests, past the first ten.
pub(crate) const NONCE_PAUSE: Duration = Duration::from_millis(10);

/// What is read of one answer of an authority.
pub(crate) const ACME_ANSWER: usize = 1 << 20;

/// Addresses whose `Retry-After` is remembered.
pub(crate) const RETRY_AFTERS: usize = 1_000;

/// One request to an authority.
pub(crate) const ACME_REQUEST: Duration = Duration::from_secs(30);

/// First and longest wait between two looks at whether an authority is done.
pub(crate) const POLL_FIRST: Duration = Duration::from_millis(100);
pub(crate) const POLL_MOST: Duration = Duration::from_secs(5);

/// One attempt to reach our own name before an order, and one question to a name server.
pub(crate) const PRECHECK: Duration = Duration::from_secs(5);

/// What is read of an answer to our own request.
pub(crate) const PRECHECK_ANSWER: u64 = 4096;

/// How long a TXT record may take to be seen before the authority is asked to look all the same.
pub(crate) const TXT_SEEN: Duration = Duration::from_secs(120);

/// How long the certificates of our own authority are good for, and that authority itself.
pub(crate) const LEAF: Duration = Duration::from_secs(7 * DAY.as_secs());
pub(crate) const AUTHORITY: Duration = Duration::from_secs(3650 * DAY.as_secs());

/// How long after a question for a renewal window that nobody answered it is put again.
pub(crate) const SUGGESTION_RETRY: Duration = Duration::from_secs(60 * 60);
