use std::collections::{BTreeMap, HashMap};

use doorstep_proto::tunnel::{Claim, Code};
use parking_lot::Mutex;

use crate::link::LinkHandle;

/// A session's data connections, and the claims that visitors may come for on each of them.
#[derive(Default)]
pub(super) struct Links(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    open: HashMap<u64, LinkHandle>,
    /// The target of each claim.
    claims: BTreeMap<u32, Claimed>,
    over: bool,
}

#[derive(Clone, Copy)]
struct Claimed {
    target: usize,
    datagrams: bool,
}

impl Links {
    /// A data connection is open. `None`: the session is over already.
    pub fn add(&self, link: &LinkHandle) -> Option<u64> {
        let mut state = self.0.lock();
        if state.over {
            return None;
        }
        for (claim, claimed) in &state.claims {
            link.allow(*claim, claimed.datagrams);
        }
        state.next += 1;
        let number = state.next;
        state.open.insert(number, link.clone());
        Some(number)
    }

    pub fn remove(&self, number: u64) {
        self.0.lock().open.remove(&number);
    }

    /// Visitors may come for this claim, on connections that are open and that will be.
    pub fn allow(&self, id: u32, claim: &Claim, target: usize) {
        let datagrams = matches!(claim, Claim::Udp { .. });
        let mut state = self.0.lock();
        state.claims.insert(id, Claimed { target, datagrams });
        for link in state.open.values() {
            link.allow(id, datagrams);
        }
    }

    /// The target that the claim was for.
    pub fn forbid(&self, id: u32) -> Option<usize> {
        let mut state = self.0.lock();
        for link in state.open.values() {
            link.forbid(id);
        }
        state.claims.remove(&id).map(|claimed| claimed.target)
    }

    pub fn target(&self, id: u32) -> Option<usize> {
        self.0.lock().claims.get(&id).map(|claimed| claimed.target)
    }

    pub fn claims(&self) -> Vec<u32> {
        self.0.lock().claims.keys().copied().collect()
    }

    /// The session is over, and so are its data connections.
    pub fn close(&self) {
        let mut state = self.0.lock();
        state.over = true;
        state.open.values().for_each(|link| link.close(Code::Done));
    }
}
