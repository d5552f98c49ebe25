use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;
use doorstep_model::{Member as MemberSpec, Upstream};
use doorstep_net::upstream_address;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::member::Member;
use super::snapshot::{Entry, Snapshot};
use crate::limits;

/// Who is in a pool just now, and how they are. Cheap to clone; all clones are the same membership, shared by all
/// workers and kept when a new [`super::PoolService`] takes over at a reload.
#[derive(Clone)]
pub struct Membership(Arc<Inner>);

struct Inner {
    snapshot: ArcSwap<Snapshot>,
    entries: Mutex<Vec<Entry>>,
    /// Whose turn it is.
    turn: AtomicUsize,
    changed: Arc<watch::Sender<u64>>,
}

/// A member as it is to be from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveMember {
    /// Tells members apart; stable as long as it is the same process behind it.
    pub id: String,
    pub upstream: Upstream,
    /// Share of requests relative to others; at least 1.
    pub weight: u32,
    /// Used only while no other member is well.
    pub backup: bool,
    /// Gets no new requests; those in flight finish. See [`Membership::drained`].
    pub draining: bool,
}

impl LiveMember {
    /// A member of weight 1 that takes requests.
    pub fn new(id: &str, upstream: Upstream) -> Self {
        Self { id: id.to_owned(), upstream, weight: 1, backup: false, draining: false }
    }
}

impl Default for Membership {
    fn default() -> Self {
        Self::new()
    }
}

impl Membership {
    /// Nobody yet: requests wait in the pool's queue.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            snapshot: ArcSwap::default(),
            entries: Mutex::default(),
            turn: AtomicUsize::new(0),
            changed: Arc::new(watch::channel(0).0),
        }))
    }

    /// These, called by their addresses.
    pub fn fixed(members: &[MemberSpec]) -> Self {
        let mut live: Vec<LiveMember> = Vec::new();
        for member in members {
            let address = upstream_address(&member.upstream);
            let twins = live.iter().filter(|other| other.id.split('#').next() == Some(&address)).count();
            let id = if twins == 0 { address } else { format!("{address}#{}", twins + 1) };
            live.push(LiveMember {
                weight: member.weight,
                backup: member.backup,
                ..LiveMember::new(&id, member.upstream.clone())
            });
        }
        let membership = Self::new();
        membership.set(live);
        membership
    }

    /// Replaces the members from the next request on. One that stays (same id, same upstream) keeps its connections and
    /// what is known of its health, except that one on which nothing listened is looked at again; one that is gone, or draining, finishes what it has in flight, and its idle
    /// connections are closed.
    pub fn set(&self, members: Vec<LiveMember>) {
        let mut entries = self.0.entries.lock();
        let mut before = std::mem::take(&mut *entries);
        for live in members.into_iter().take(limits::POOL_MEMBERS) {
            let same = |entry: &Entry| *entry.member.id == *live.id && entry.member.upstream == live.upstream;
            let member = match before.iter().position(same) {
                Some(index) => before.swap_remove(index).member,
                None => Member::new(live.id, live.upstream, self.0.changed.clone()),
            };
            member.set(live.draining);
            entries.push(Entry { member, weight: live.weight, backup: live.backup });
        }
        before.iter().for_each(|gone| gone.member.set(true));
        // Those that are gone but not done are remembered, so that `drained` can tell.
        let gone = before.into_iter().filter(|gone| gone.member.in_flight() > 0);
        let gone: Vec<Entry> =
            gone.filter(|gone| entries.iter().all(|entry| entry.member.id != gone.member.id)).collect();
        entries.extend(gone);
        self.publish(&entries);
    }

    /// Requests and upgraded connections that the member has not finished with; 0 for one that is not known.
    pub fn in_flight(&self, id: &str) -> usize {
        self.0.entries.lock().iter().filter(|entry| *entry.member.id == *id).map(|entry| entry.member.in_flight()).sum()
    }

    /// Waits until a member that is draining or gone has nothing in flight any more; one that is not known is drained.
    /// Never ends while the member takes requests.
    pub async fn drained(&self, id: &str) {
        let mut changes = self.changes();
        let drained = || {
            let entries = self.0.entries.lock();
            let mut known = entries.iter().filter(|entry| *entry.member.id == *id);
            known.all(|entry| entry.member.is_leaving() && entry.member.in_flight() == 0)
        };
        while !drained() {
            // The sender lives as long as we do.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends each time the membership, or what is known of a member, has changed.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// What is known of a member changed.
    pub(super) fn refresh(&self) {
        let entries = self.0.entries.lock();
        self.publish(&entries);
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.0.entries.lock().clone()
    }

    pub(super) fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.0.snapshot.load()
    }

    pub(super) fn turn(&self) -> &AtomicUsize {
        &self.0.turn
    }

    fn publish(&self, entries: &[Entry]) {
        self.0.snapshot.store(Arc::new(Snapshot::of(entries)));
        self.0.changed.send_modify(|generation| *generation = generation.wrapping_add(1));
    }
}
