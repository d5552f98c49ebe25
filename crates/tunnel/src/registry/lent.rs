use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use doorstep_net::{BoxFuture, Io};
use doorstep_proto::tunnel::{Claim, Code, SessionId};
use tokio::sync::Notify;

use super::agent::Agent;
use super::meter::StreamPass;
use super::metered::Metered;
use super::now;
use crate::carrier::{Carrier, OpenFailed, Visitor};

/// A name or port that an agent lends right now.
pub struct Lent {
    /// The whole host name, in lower case; for ports, the relay's own.
    pub host: Arc<str>,
    /// 0 for names.
    pub port: u16,
    pub agent: Agent,
    pub session: SessionId,
    /// The claim's number in the session.
    pub id: u32,
    pub claim: Claim,
    pub carrier: Arc<dyn Carrier>,
    pub(super) attached: OnceLock<Arc<dyn Any + Send + Sync>>,
    pub(super) place: Arc<Place>,
}

/// What is behind a name.
#[derive(Clone)]
pub enum Found {
    Lent(Arc<Lent>),
    /// It belongs to an agent that is not connected. `since` is not known where the relay was started later.
    Away {
        since: Option<SystemTime>,
    },
    /// The relay's owner switched it off.
    Stopped,
    /// Nobody's.
    Unknown,
}

impl Lent {
    /// A stream for `visitor`, within the agent's limits: counted while it is open, slowed down to the agent's rate, and cut
    /// when the name is switched off.
    pub fn open(self: &Arc<Self>, visitor: Visitor) -> BoxFuture<'static, Result<Io, OpenFailed>> {
        self.open_by(visitor, false)
    }

    /// The same for a flow of datagrams.
    pub fn open_datagrams(self: &Arc<Self>, visitor: Visitor) -> BoxFuture<'static, Result<Io, OpenFailed>> {
        self.open_by(visitor, true)
    }

    fn open_by(self: &Arc<Self>, visitor: Visitor, datagrams: bool) -> BoxFuture<'static, Result<Io, OpenFailed>> {
        let lent = self.clone();
        Box::pin(async move {
            let admission = Admission::of(&lent.agent, lent.place.clone())?;
            let io = match datagrams {
                false => lent.carrier.open(lent.id, visitor).await?,
                true => lent.carrier.open_datagrams(lent.id, visitor).await?,
            };
            Ok(admission.meter(io, datagrams))
        })
    }

    /// What whoever passes visitors on keeps with it, made when first asked for: gone when this is. Always of one type.
    ///
    /// # Panics
    /// If asked for another type than before.
    pub fn attached<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let attached = self.attached.get_or_init(|| Arc::new(make())).clone();
        attached.downcast().unwrap_or_else(|_| unreachable!("one thing is attached to what is lent"))
    }

    /// Counts a request.
    ///
    /// # Errors
    /// After how long the agent may have another one: for `Retry-After`.
    pub fn request(&self) -> Result<(), Duration> {
        self.agent.meter.request()
    }
}

/// Leave for one more of an agent's streams, which is counted until this, or the stream it was used for, is dropped.
pub struct Admission {
    pass: StreamPass,
    place: Arc<Place>,
}

impl Admission {
    pub(super) fn of(agent: &Agent, place: Arc<Place>) -> Result<Self, OpenFailed> {
        if place.is_stopped() {
            return Err(OpenFailed { code: Code::SwitchedOff, retriable: false });
        }
        // Sessions go on; what they lend does not.
        if agent.limits.until.is_some_and(|until| now() >= until) {
            return Err(OpenFailed { code: Code::RevokedKey, retriable: false });
        }
        let pass = agent.meter.stream().ok_or(OpenFailed { code: Code::TooManyStreams, retriable: true })?;
        Ok(Self { pass, place })
    }

    /// The stream, slowed down to the agent's rate, and cut when the name is switched off.
    pub fn meter(self, io: Io, datagrams: bool) -> Io {
        Io::Other(Box::new(Metered::new(io, self.pass, self.place, datagrams)))
    }
}

/// The place of a name or port: stays while it has an owner, whether or not it is lent.
pub(crate) struct Place {
    pub host: Arc<str>,
    lent: ArcSwapOption<Lent>,
    stopped: AtomicBool,
    /// Milliseconds since 1970; 0 where it is not known.
    away_since: AtomicU64,
    changed: Notify,
}

impl Place {
    pub fn new(host: Arc<str>) -> Self {
        Self {
            host,
            lent: ArcSwapOption::empty(),
            stopped: AtomicBool::new(false),
            away_since: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    pub fn found(&self) -> Found {
        if self.is_stopped() {
            return Found::Stopped;
        }
        match self.lent.load_full() {
            Some(lent) => Found::Lent(lent),
            None => {
                let since = self.away_since.load(Ordering::Relaxed);
                Found::Away { since: (since > 0).then(|| UNIX_EPOCH + Duration::from_millis(since)) }
            }
        }
    }

    pub fn lent(&self) -> Option<Arc<Lent>> {
        if self.is_stopped() { None } else { self.lent.load_full() }
    }

    pub fn lend(&self, lent: Arc<Lent>) {
        self.lent.store(Some(lent));
        self.changed.notify_waiters();
    }

    /// Not lent any more.
    pub fn leave(&self) {
        if self.lent.swap(None).is_some() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            self.away_since.store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        self.changed.notify_waiters();
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub fn set_stopped(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    /// Waits until it is anything but away.
    pub async fn returned(&self) -> Found {
        self.returned_if(|| true).await
    }

    /// The same, for as long as its agent may come back.
    pub async fn returned_if(&self, may: impl Fn() -> bool) -> Found {
        loop {
            let changed = self.changed.notified();
            match self.found() {
                Found::Away { .. } if may() => changed.await,
                found => return found,
            }
        }
    }
}
