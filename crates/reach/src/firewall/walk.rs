//! How a packet travels through chains of rules, whatever program wrote them.
//!
//! Not everything a rule asks can be known beforehand: who the visitor will be, what a kernel set holds. So a match is
//! answered yes, no or maybe, and a walk follows every branch that may be taken. Only a packet that is dropped on all
//! of them counts as dropped: no verdict is better than a wrong one.

use std::collections::HashMap;

use ipnet::IpNet;

use crate::limits;

/// The packet that is asked about: the first one of a new TCP connection from a neighbour on the local network.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    /// The interface it comes in by.
    pub interface: String,
    /// The network it comes from; which address of it is not known.
    pub source: IpNet,
    /// This computer's address on that interface.
    pub destination: std::net::IpAddr,
    pub port: u16,
}

/// Whether a rule's condition holds for the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Yes,
    No,
    Maybe,
}

impl Match {
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Maybe,
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
        }
    }
}

impl From<bool> for Match {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// Whether a packet from somewhere in `source` comes from `network`.
pub(super) fn source_in(source: &IpNet, network: &IpNet) -> Match {
    if network.contains(source) {
        Match::Yes
    } else if source.contains(network) {
        Match::Maybe
    } else {
        Match::No
    }
}

/// What a rule does with a packet that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Accept,
    /// Dropped, or answered with a refusal.
    Drop,
    Return,
    Jump(String),
    Goto(String),
    /// Something that may end either way, such as handing the packet to a program.
    Unknown,
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub matches: Match,
    pub action: Action,
}

/// Chains by name, with every rule's condition answered for one packet already.
pub(super) type Chains = HashMap<String, Vec<Rule>>;

/// What may become of the packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    pub accepted: bool,
    pub dropped: bool,
}

/// Follows the packet through the base chain `start`, whose policy is `policy`.
pub(super) fn walk(chains: &Chains, start: &str, policy: Fate) -> Fate {
    let mut visits = 0;
    let flow = follow(chains, start, 0, &mut visits);
    let end = if flow.falls_through { policy } else { Fate::default() };
    Fate { accepted: flow.fate.accepted || end.accepted, dropped: flow.fate.dropped || end.dropped }
}

#[derive(Clone, Copy, Default)]
struct Flow {
    fate: Fate,
    /// The packet may leave the chain at its end, without verdict.
    falls_through: bool,
}

const ANYTHING: Flow = Flow { fate: Fate { accepted: true, dropped: true }, falls_through: true };

fn follow(chains: &Chains, name: &str, depth: usize, visits: &mut usize) -> Flow {
    let Some(rules) = chains.get(name).filter(|_| depth < limits::CHAIN_DEPTH) else { return ANYTHING };
    let mut flow = Flow::default();
    for rule in rules {
        *visits += 1;
        if *visits > limits::RULE_VISITS {
            return ANYTHING;
        }
        if rule.matches == Match::No {
            continue;
        }
        // Whether the rule may hand the packet on to the next one, though it matches.
        let mut hands_on = false;
        match &rule.action {
            Action::Accept => flow.fate.accepted = true,
            Action::Drop => flow.fate.dropped = true,
            Action::Return => flow.falls_through = true,
            Action::Unknown => flow = ANYTHING,
            Action::Jump(chain) | Action::Goto(chain) => {
                let inner = follow(chains, chain, depth + 1, visits);
                flow.fate.accepted |= inner.fate.accepted;
                flow.fate.dropped |= inner.fate.dropped;
                if matches!(rule.action, Action::Jump(_)) {
                    hands_on = inner.falls_through;
                } else {
                    flow.falls_through |= inner.falls_through;
                }
            }
        }
        if rule.matches == Match::Yes && !hands_on {
            return flow;
        }
    }
    flow.falls_through = true;
    flow
}

#[cfg(test)]
mod tests {
    use super::*;

    const DROP: Fate = Fate { accepted: false, dropped: true };
    const ACCEPT: Fate = Fate { accepted: true, dropped: false };
    const EITHER: Fate = Fate { accepted: true, dropped: true };

    type Rules<'a> = &'a [(Match, Action)];

    fn chains(all: &[(&str, Rules<'_>)]) -> Chains {
        let rules = |rules: Rules<'_>| {
            rules.iter().map(|(matches, action)| Rule { matches: *matches, action: action.clone() }).collect()
        };
        all.iter().map(|(name, list)| ((*name).to_owned(), rules(list))).collect()
    }

    #[test]
    fn the_first_certain_verdict_ends_the_walk() {
        use Action::*;
        use Match::*;
        let jump = || Jump("inner".into());
        let cases: [(Rules<'_>, Rules<'_>, Fate); 9] = [
            (&[], &[], DROP),
            (&[(Yes, Accept), (Yes, Drop)], &[], ACCEPT),
            (&[(No, Accept)], &[], DROP),
            (&[(Maybe, Accept)], &[], EITHER),
            (&[(Yes, jump())], &[(Yes, Accept)], ACCEPT),
            (&[(Yes, jump()), (Yes, Accept)], &[(Yes, Return), (Yes, Drop)], ACCEPT),
            (&[(Maybe, jump()), (Yes, Accept)], &[(Yes, Drop)], EITHER),
            (&[(Yes, Goto("inner".into())), (Yes, Accept)], &[(No, Accept)], DROP),
            (&[(Yes, Action::Unknown)], &[], EITHER),
        ];
        for (base, inner, fate) in cases {
            assert_eq!(walk(&chains(&[("base", base), ("inner", inner)]), "base", DROP), fate, "{base:?} {inner:?}");
        }
    }

    #[test]
    fn loops_and_missing_chains_end_without_verdict() {
        let looped = chains(&[("a", &[(Match::Yes, Action::Jump("a".into()))])]);
        assert_eq!(walk(&looped, "a", ACCEPT), EITHER);
        assert_eq!(walk(&Chains::new(), "nowhere", ACCEPT), EITHER);
    }
}
