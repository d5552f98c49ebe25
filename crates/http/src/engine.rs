use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use doorstep_net::{BoxFuture, Conn, Drain, Handler};
use http::{Method, StatusCode};

use crate::limits::Limits;
use crate::record::Record;
use crate::request_id::X_REQUEST_ID;
use crate::{Destination, Observer, Request, RequestId, Response, RouteTable, h1, h2, pages};

/// Turns connections into requests, finds their services, and turns responses into bytes. A handle; clones are the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

pub struct Shared {
    routes: ArcSwap<RouteTable>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) limits: Limits,
}

impl Engine {
    pub fn new(routes: RouteTable, observer: Arc<dyn Observer>, limits: Limits) -> Self {
        Self(Arc::new(Shared { routes: ArcSwap::from_pointee(routes), observer, limits }))
    }

    /// Replaces the route table. Requests under way finish on the old one.
    pub fn set_routes(&self, routes: RouteTable) {
        self.routes.store(Arc::new(routes));
    }

    /// The table for one request. Held only until its response is made.
    pub(crate) fn routes(&self) -> Guard<Arc<RouteTable>> {
        self.routes.load()
    }
}

/// Answers a request by the table that it was received with.
pub(crate) async fn respond(routes: &RouteTable, mut request: Request, record: &mut Record<'_>) -> Response {
    if request.method == Method::CONNECT {
        return pages::problem(&request, StatusCode::METHOD_NOT_ALLOWED, "This server is not a forward proxy.");
    }
    if request.target == "*" {
        return Response::new(StatusCode::NO_CONTENT);
    }
    let id = request.id.clone();
    let service = match find(routes, &mut request, record) {
        Destination::Service(service) => service,
        Destination::Answer(response) => return named(response, id),
    };
    let mut response = service.call(request).await;
    record.answered_by(response.upstream.take());
    named(response, id)
}

fn find<'a>(routes: &'a RouteTable, request: &mut Request, record: &mut Record<'_>) -> Destination<'a> {
    let routed = routes.find(request);
    record.at_site(routed.site);
    routed.to
}

/// The response with the name of its request.
fn named(mut response: Response, id: Option<RequestId>) -> Response {
    if let Some(id) = id {
        response.headers.insert(X_REQUEST_ID, id.value().clone());
    }
    response
}

impl std::ops::Deref for Engine {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Handler for Engine {
    fn handle(&self, conn: Conn, drain: Drain) -> BoxFuture<'_, ()> {
        if conn.info.tls.as_ref().is_some_and(|tls| tls.h2) {
            Box::pin(h2::serve(self, conn, drain))
        } else {
            Box::pin(h1::serve(self, conn, drain))
        }
    }
}
