use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use doorstep_net::{BoxFuture, Io};
use doorstep_proto::pagekite::limits::MAX_STREAMS;
use doorstep_proto::pagekite::{FrontEnd, Kite, Opening};
use doorstep_proto::tunnel::{Claim, Code, TunnelError};
use doorstep_tunnel::{Carrier, OpenFailed, Visitor};
use parking_lot::Mutex;

use super::lending::{Lending, LendingSession};
use crate::limits::MAX_CLAIMS;
use crate::link::Link;

/// A back-end's tunnel with the kites that are names of the relay; the relay knows each by a number.
pub(super) struct Flying {
    link: Link<FrontEnd>,
    from: SocketAddr,
    /// By its place; what could not be had stays empty.
    lent: Mutex<Vec<Option<Lent>>>,
    /// By the name of the configuration whose secret they have.
    sessions: Mutex<HashMap<String, Arc<dyn LendingSession>>>,
}

#[derive(Clone)]
struct Lent {
    domain: String,
    /// The visitors' own TLS goes through.
    tls: bool,
    http: bool,
    websocket: bool,
    port: Option<u16>,
}

impl Flying {
    pub fn new(link: Link<FrontEnd>, from: SocketAddr) -> Self {
        Self { link, from, lent: Mutex::default(), sessions: Mutex::default() }
    }

    /// What is to be claimed of the relay for one more kite, if anything: raw kites are found without, and the `http`
    /// and `websocket` kites of a domain are one name.
    ///
    /// # Errors
    /// [`Code::BadName`] where the domain is lent the other way, by its TLS or with the relay's, already.
    pub fn add(&self, kite: &Kite) -> Result<Option<(u32, Claim)>, TunnelError> {
        let protocol = kite.protocol();
        if protocol == "raw" {
            return Ok(None);
        }
        let tls = protocol == "https";
        let mut lent = self.lent.lock();
        if let Some(known) = lent.iter_mut().flatten().find(|lent| lent.domain == kite.domain()) {
            if known.tls != tls {
                return Err(TunnelError::new(Code::BadName, "either http or https under one name"));
            }
            known.http |= protocol == "http";
            known.websocket |= protocol == "websocket";
            return Ok(None);
        }
        let number = u32::try_from(lent.len()).map_err(|_| Code::TooManyNames)?;
        if lent.len() >= MAX_CLAIMS {
            return Err(TunnelError::new(Code::TooManyNames, "in one tunnel"));
        }
        let (http, websocket) = (protocol == "http", protocol == "websocket");
        lent.push(Some(Lent { domain: kite.domain().to_owned(), tls, http, websocket, port: kite.port() }));
        let name = kite.domain().to_owned();
        Ok(Some((number, if tls { Claim::Tls { name } } else { Claim::Http { name, label: String::new() } })))
    }

    /// It was not to be had.
    pub fn remove(&self, number: u32) {
        if let Some(lent) = usize::try_from(number).ok().and_then(|at| self.lent.lock().get_mut(at).map(Option::take)) {
            drop(lent);
        }
    }

    /// What this tunnel lends as `owner`.
    ///
    /// # Errors
    /// Those of [`Lending::begin`].
    pub fn session(&self, owner: &str, lending: &dyn Lending) -> Result<Arc<dyn LendingSession>, TunnelError> {
        let mut sessions = self.sessions.lock();
        if let Some(session) = sessions.get(owner) {
            return Ok(session.clone());
        }
        let session = lending.begin(owner, self.from)?;
        sessions.insert(owner.to_owned(), session.clone());
        Ok(session)
    }

    /// The tunnel is over.
    pub fn land(&self) {
        self.sessions.lock().clear();
    }
}

impl Carrier for Flying {
    fn one_request_each(&self) -> bool {
        true
    }

    fn open(&self, claim: u32, visitor: Visitor) -> BoxFuture<'_, Result<Io, OpenFailed>> {
        Box::pin(async move {
            let lent = usize::try_from(claim).ok().and_then(|at| self.lent.lock().get(at).cloned().flatten());
            let Some(lent) = lent else { return Err(OpenFailed { code: Code::UnknownClaim, retriable: true }) };
            if self.link.is_over() {
                return Err(OpenFailed { code: Code::Lost, retriable: true });
            }
            if self.link.streams() >= MAX_STREAMS {
                return Err(OpenFailed { code: Code::TooManyStreams, retriable: true });
            }
            let protocol = match (lent.tls, lent.http) {
                (true, _) => "https",
                (false, true) => "http",
                (false, false) => "websocket",
            };
            let opening = Opening {
                protocol: protocol.to_owned(),
                host: lent.domain,
                port: lent.port.unwrap_or(visitor.local.port()),
                visitor: Some(visitor.peer),
                tls: visitor.tls.is_some(),
            };
            let mut stream = self.link.visitor(opening);
            stream.websockets = lent.websocket;
            Ok(Io::Other(Box::new(stream)))
        })
    }
}
