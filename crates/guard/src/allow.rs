use std::sync::Arc;

use doorstep_http::{BoxFuture, Request, Response, Service};
use http::StatusCode;
use ipnet::IpNet;

use crate::page;

/// Lets only some networks in.
///
/// This computer's own addresses have no privilege: behind a tunnel or a proxy on this computer every visitor comes
/// from 127.0.0.1, and an exception for it would let the whole internet in. `--allow 127.0.0.0/8` says so explicitly.
/// A check whether an address answers may take the 403 for an answer: it is one of ours.
pub(crate) struct AllowList {
    networks: Vec<IpNet>,
    inner: Arc<dyn Service>,
}

impl AllowList {
    pub(crate) fn new(networks: Vec<IpNet>, inner: Arc<dyn Service>) -> Self {
        Self { networks, inner }
    }
}

impl Service for AllowList {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        let peer = request.peer_ip();
        if self.networks.iter().any(|network| network.contains(&peer)) {
            return self.inner.call(request);
        }
        let text =
            format!("Your address, {peer}, is not one of those that may come in. Ask whoever shared this to add it.");
        Box::pin(std::future::ready(page::answer(&request, StatusCode::FORBIDDEN, "Not open to you", &text)))
    }
}
