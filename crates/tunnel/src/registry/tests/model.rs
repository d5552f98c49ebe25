//! Everything in any order, against a model that is simple enough to be right.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// A new session of an agent.
    Begin(usize),
    /// Of a session, modulo how many there are.
    End(usize),
    Claim {
        session: usize,
        name: usize,
        tls: bool,
    },
    Release {
        session: usize,
        claim: usize,
    },
    Forget(usize),
    Stop(usize),
    Start(usize),
    Invite,
    /// With the invitation of that number, by a new key.
    Join(usize),
    Restart,
    /// Goes on with a copy of what was on the disk, as after kill -9.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let index = 0..8_usize;
    prop_oneof![
        2 => (0..3_usize).prop_map(Step::Begin),
        1 => index.clone().prop_map(Step::End),
        6 => (index.clone(), 0..4_usize, any::<bool>()).prop_map(|(session, name, tls)| Step::Claim { session, name, tls }),
        2 => (index.clone(), index.clone()).prop_map(|(session, claim)| Step::Release { session, claim }),
        1 => (0..4_usize).prop_map(Step::Forget),
        1 => (0..4_usize).prop_map(Step::Stop),
        1 => (0..4_usize).prop_map(Step::Start),
        1 => Just(Step::Invite),
        2 => index.prop_map(Step::Join),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ]
}

fn host(name: usize) -> String {
    format!("n{name}.{DOMAIN}")
}

struct Model {
    dir: tempfile::TempDir,
    registry: Registry,
    agents: Vec<Agent>,
    sessions: Vec<(SessionId, usize, u32)>,
    /// Name to agent, and the session and claim that lend it.
    names: HashMap<usize, (usize, Option<(SessionId, u32)>)>,
    stopped: Vec<usize>,
    invitations: Vec<(Vec<u8>, bool)>,
}

impl Model {
    async fn run(&mut self, step: Step) {
        let count = self.sessions.len();
        match step {
            Step::Begin(agent) => {
                let id = session(&self.registry, &self.agents[agent]);
                self.sessions.push((id, agent, 0));
            }
            Step::End(at) if count > 0 => {
                let (id, ..) = self.sessions.remove(at % count);
                self.registry.end_session(id);
                self.ended(id);
            }
            Step::Claim { session, name, tls } if count > 0 => self.claim(session % count, name, tls).await,
            Step::Release { session, claim } if count > 0 => {
                let (id, _, claims) = self.sessions[session % count];
                let claim = claim as u32 % (claims + 1);
                self.registry.release(id, claim);
                for (_, lent) in self.names.values_mut() {
                    *lent = lent.filter(|lent| *lent != (id, claim));
                }
            }
            Step::Forget(name) => {
                let known = self.names.remove(&name).is_some();
                self.stopped.retain(|other| !known || *other != name);
                assert_eq!(self.registry.forget(&host(name)).await.is_ok(), known);
            }
            Step::Stop(name) => {
                let known = self.names.get_mut(&name).map(|(_, lent)| *lent = None).is_some();
                assert_eq!(self.registry.stop_name(&host(name)).await.is_ok(), known);
                if known && !self.stopped.contains(&name) {
                    self.stopped.push(name);
                }
            }
            Step::Start(name) => {
                let off = self.stopped.contains(&name);
                self.stopped.retain(|other| *other != name);
                assert_eq!(self.registry.start_name(&host(name)).await.is_ok(), off);
            }
            Step::Invite => {
                let options = InviteOptions { agent: "guest".into(), ..InviteOptions::default() };
                self.invitations.push((invite(&self.registry, options).await, false));
            }
            Step::Join(at) if !self.invitations.is_empty() => {
                let at = at % self.invitations.len();
                let (invitation, used) = &mut self.invitations[at];
                match self.registry.join(invitation, key()).await {
                    Ok(_) => assert!(!std::mem::replace(used, true), "used twice"),
                    Err(error) => assert!(*used && error.code == Code::InvitationUsed, "{error}"),
                }
            }
            Step::Restart => self.reopen(false),
            Step::Crash => self.reopen(true),
            Step::End(_) | Step::Claim { .. } | Step::Release { .. } | Step::Join(_) => {}
        }
    }

    async fn claim(&mut self, at: usize, name: usize, tls: bool) {
        let (id, agent, claims) = &mut self.sessions[at];
        *claims += 1;
        let (id, agent, number) = (*id, *agent, *claims);
        let host = host(name);
        let wish = if tls { Claim::Tls { name: host } } else { http(&host) };
        let granted = claim(&self.registry, id, number, &self.agents[agent], &wish).await;
        let old = self.names.get(&name).copied();
        match (old, granted) {
            (Some((owner, _)), Err(error)) if owner != agent => {
                let expected = if self.stopped.contains(&name) { Code::SwitchedOff } else { Code::NameTaken };
                assert_eq!(error.code, expected);
            }
            (_, Err(error)) if self.stopped.contains(&name) => assert_eq!(error.code, Code::SwitchedOff),
            (Some((_, Some((other, _)))), Err(error)) if other == id => assert_eq!(error.code, Code::NameTaken),
            (old, Ok(granted)) => {
                assert!(old.is_none_or(|(owner, _)| owner == agent), "another's name");
                assert_eq!(granted.evicts, old.and_then(|(_, lent)| lent).map(|(other, _)| other));
                if let Some(evicted) = granted.evicts {
                    assert_ne!(evicted, id);
                    self.sessions.retain(|(other, ..)| *other != evicted);
                    self.ended(evicted);
                }
                self.names.insert(name, (agent, Some((id, number))));
            }
            (old, Err(error)) => panic!("{old:?}: {error}"),
        }
    }

    fn ended(&mut self, session: SessionId) {
        for (_, lent) in self.names.values_mut() {
            *lent = lent.filter(|(other, _)| *other != session);
        }
    }

    fn reopen(&mut self, crash: bool) {
        let (old, scratch) = (self.registry.clone(), tempfile::tempdir().unwrap());
        // Something must stand in for it until it is opened again.
        self.registry = open(scratch.path());
        if crash {
            self.dir = copy_of(self.dir.path());
        }
        drop(old);
        self.registry = open(self.dir.path());
        self.sessions.clear();
        self.names.values_mut().for_each(|(_, lent)| *lent = None);
    }

    fn check(&self) {
        for name in 0..4 {
            match (self.registry.find(&host(name)), self.names.get(&name)) {
                (Found::Stopped, Some(_)) => assert!(self.stopped.contains(&name)),
                (Found::Unknown, None) => {}
                (Found::Away { .. }, Some((_, None))) => {}
                (Found::Lent(lent), Some((agent, Some(serving)))) => {
                    assert_eq!((&(lent.session, lent.id), &lent.agent.name), (serving, &self.agents[*agent].name));
                }
                (_, expected) => panic!("{name}: expected {expected:?}"),
            }
        }
        let owners = self.registry.names();
        assert_eq!(owners.len(), self.names.len());
        for (name, (agent, lent)) in &self.names {
            let report = owners.iter().find(|report| report.name == host(*name)).unwrap();
            assert_eq!((&report.agent, report.lent), (&self.agents[*agent].name, lent.is_some()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn no_two_agents_have_one_name_and_nothing_promised_is_lost(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let registry = open(dir.path());
            let mut agents = Vec::new();
            for name in ["a", "b", "c"] {
                agents.push(joined_as(&registry, name).await);
            }
            let mut model = Model {
                dir, registry, agents, sessions: vec![], names: HashMap::new(), stopped: vec![], invitations: vec![],
            };
            for step in steps {
                model.run(step).await;
                model.check();
            }
        });
    }
}
