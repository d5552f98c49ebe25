use doorstep_net::{BoxFuture, Io};
use doorstep_proto::pagekite::limits::MAX_STREAMS;
use doorstep_proto::pagekite::{FrontEnd, Kite, Opening};
use doorstep_proto::tunnel::{Claim, Code};
use doorstep_tunnel::{Carrier, OpenFailed, Visitor};
use parking_lot::Mutex;

use crate::link::Link;

/// A back-end's tunnel with the kites that are names of the relay; the relay knows each by its place here.
pub(super) struct Flying {
    link: Link<FrontEnd>,
    lent: Mutex<Vec<Lent>>,
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
    pub fn new(link: Link<FrontEnd>) -> Self {
        Self { link, lent: Mutex::default() }
    }

    /// What is to be claimed of the relay for one more kite, if anything: raw kites are found without, and the `http`
    /// and `websocket` kites of a domain are one name.
    pub fn add(&self, kite: &Kite) -> Option<(u32, Claim)> {
        let protocol = kite.protocol();
        if protocol == "raw" {
            return None;
        }
        let tls = protocol == "https";
        let mut lent = self.lent.lock();
        let known = lent.iter_mut().find(|lent| lent.domain == kite.domain() && lent.tls == tls);
        let is_new = known.is_none();
        let own = match known {
            Some(known) => known,
            None => {
                let domain = kite.domain().to_owned();
                lent.push(Lent { domain, tls, http: false, websocket: false, port: kite.port() });
                lent.last_mut()?
            }
        };
        own.http |= protocol == "http";
        own.websocket |= protocol == "websocket";
        let name = kite.domain().to_owned();
        let claim = if tls { Claim::Tls { name } } else { Claim::Http { name, label: String::new() } };
        let number = u32::try_from(lent.len()).ok()?.checked_sub(1)?;
        is_new.then_some((number, claim))
    }
}

impl Carrier for Flying {
    fn one_request_each(&self) -> bool {
        true
    }

    fn open(&self, claim: u32, visitor: Visitor) -> BoxFuture<'_, Result<Io, OpenFailed>> {
        Box::pin(async move {
            let lent = usize::try_from(claim).ok().and_then(|claim| self.lent.lock().get(claim).cloned());
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
