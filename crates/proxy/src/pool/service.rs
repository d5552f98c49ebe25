use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use doorstep_http::{Body, BoxFuture, Observer, Request, Response, Service};
use doorstep_model::{Blame, Members, Pool};
use doorstep_net::{Connect, ConnectError};
use tokio::time::Instant;

use super::attempt::{Failed, Task};
use super::choose::{Choice, Wish};
use super::key::Keyed;
use super::member::{InFlight, Member, Trial};
use super::membership::Membership;
use super::queue::Queue;
use super::status::MemberStatus;
use crate::client::Upload;
use crate::headers::{came_from_us, offered_protocols};
use crate::idle::PoolKey;
use crate::relay::expects_continue;
use crate::{ProxyError, down};

/// Passes each request to a member of a pool, and to another if that fails and it is safe to do so.
pub struct PoolService {
    pub(super) pool: Pool,
    pub(super) membership: Membership,
    pub(super) connect: Arc<dyn Connect>,
    pub(super) observer: Arc<dyn Observer>,
    queue: Queue,
    down: AtomicBool,
}

impl PoolService {
    /// One service for all workers. `membership` says who is in the pool; [`Pool::members`] is not looked at for that.
    pub fn new(pool: &Pool, membership: Membership, connect: Arc<dyn Connect>, observer: Arc<dyn Observer>) -> Self {
        let (pool, queue) = (pool.clone(), Queue::new(pool.queue.clone()));
        Self { pool, membership, connect, observer, queue, down: AtomicBool::new(false) }
    }

    /// What [`Pool::name`] says.
    pub fn name(&self) -> &str {
        &self.pool.name
    }

    /// Who is in the pool, and how they are.
    pub fn status(&self) -> Vec<MemberStatus> {
        self.membership.entries().iter().map(|entry| MemberStatus::of(entry, self.pool.slow_start)).collect()
    }

    /// Requests that wait for a member to be ready.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    async fn answer(&self, mut request: Request) -> Response {
        let keyed = Keyed::of(&self.pool.balance, &request);
        let outcome = if came_from_us(&request.headers) {
            Err(ProxyError::Loop)
        } else {
            let body = request.body.take();
            self.pass(&request, body, keyed.key).await
        };
        match outcome {
            Ok(mut response) => {
                if self.down.load(Ordering::Relaxed) {
                    self.down.store(false, Ordering::Relaxed);
                }
                keyed.mark(&mut response);
                response
            }
            Err(error) => {
                if error.blame() != Blame::Client && !self.down.swap(true, Ordering::Relaxed) {
                    self.observer.found(down::pool_finding(&self.pool.name, &error));
                }
                down::answer(&request, None, &error)
            }
        }
    }

    async fn pass(&self, request: &Request, body: Body, key: Option<u64>) -> Result<Response, ProxyError> {
        let hold = expects_continue(request);
        let mut upload = Upload::prepare(body, hold).await?;
        let upgrade = offered_protocols(request);
        let task = Task {
            pool: &self.pool,
            membership: &self.membership,
            connect: self.connect.as_ref(),
            request,
            hold,
            upgrade: upgrade.as_deref(),
        };
        let mut deadline = None;
        let mut tried = Vec::new();
        let mut left = self.pool.retries.attempts;
        let may_try = request.method.is_idempotent() && upload.is_repeatable();
        let mut last = None;
        loop {
            let (lease, trial) = match self.choose(key, &tried, may_try, &mut deadline).await {
                Ok(chosen) => chosen,
                // What kept the request waiting tells more than that it waited.
                Err(error @ ProxyError::NotReady { .. }) => {
                    return Err(last.map_or(error, |last| ProxyError::Away(Box::new(last))));
                }
                Err(error) => return Err(error),
            };
            match task.attempt(lease, upload).await {
                Ok(response) => return Ok(response),
                Err(Failed { error, member, again }) => {
                    let missed = self.judge(&member, &error);
                    drop(trial);
                    match again {
                        // One that is not there costs nothing to find out, and the queue bounds how long it goes on.
                        Some(again) if missed || left > 0 => {
                            left -= u32::from(!missed);
                            upload = again;
                        }
                        _ => return Err(error),
                    }
                    tried.push(member.key);
                    last = Some(error);
                }
            }
        }
    }

    /// A member for the request, waited for if need be.
    async fn choose(
        &self,
        key: Option<u64>,
        tried: &[PoolKey],
        may_try: bool,
        deadline: &mut Option<Instant>,
    ) -> Result<(InFlight, Option<Trial>), ProxyError> {
        let wish = Wish { balance: &self.pool.balance, key, slow_start: self.pool.slow_start, tried, may_try };
        if let Choice::Use(lease, trial) = self.membership.choose(&wish) {
            return Ok((lease, trial));
        }
        // Subscribed first and looked at then, so that no change is missed.
        let mut changes = self.membership.changes();
        let place = self.queue.enter()?;
        // From the first wait on, however often there is another.
        let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.pool.queue.wait);
        // By the time that somebody is there, he may well be the one that failed before.
        let wish = Wish { tried: &[], ..wish };
        loop {
            match self.membership.choose(&wish) {
                Choice::Use(lease, trial) => return Ok((lease, trial)),
                Choice::Nobody { again } => place.wait(&mut changes, again, deadline).await?,
            }
        }
    }

    /// What a failure says of the member. `true` if nothing listens there.
    fn judge(&self, member: &Arc<Member>, error: &ProxyError) -> bool {
        if is_missing(error) {
            if member.missed(error.to_string()) {
                self.membership.refresh();
                // An app's instances come and go, and the supervisor tells of it.
                if matches!(self.pool.members, Members::Fixed(_)) {
                    self.observer.found(down::member_finding(&self.pool.name, &member.upstream, error));
                }
            } else {
                member.tell();
            }
            return true;
        }
        if error.blame() == Blame::Upstream {
            let passive = &self.pool.passive;
            if member.failed(error.to_string(), passive.max_fails, passive.rest) {
                self.membership.refresh();
                self.observer.found(down::member_finding(&self.pool.name, &member.upstream, error));
            }
        }
        false
    }
}

impl Service for PoolService {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(self.answer(request))
    }
}

/// Whether nobody listens, or the name is nobody's: the request was certainly not sent, and asking again soon costs nothing.
fn is_missing(error: &ProxyError) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    if matches!(error, ProxyError::Connect(ConnectError::Resolve { .. })) {
        return true;
    }
    matches!(error, ProxyError::Connect(ConnectError::Io { source, .. }) if [ConnectionRefused, NotFound].contains(&source.kind()))
}
