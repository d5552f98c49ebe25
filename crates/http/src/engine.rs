use std::sync::Arc;

use doorstep_net::{BoxFuture, Conn, Drain, Handler};
use http::{Method, StatusCode};
use parking_lot::RwLock;

use crate::limits::Limits;
use crate::route::Routed;
use crate::{Observer, Request, Response, RouteTable, h1, h2, pages};

/// Turns connections into requests, finds their services, and turns responses into bytes. A handle; clones are the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

pub struct Shared {
    routes: RwLock<Arc<RouteTable>>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) limits: Limits,
}

impl Engine {
    pub fn new(routes: RouteTable, observer: Arc<dyn Observer>, limits: Limits) -> Self {
        Self(Arc::new(Shared { routes: RwLock::new(Arc::new(routes)), observer, limits }))
    }

    /// Replaces the route table. Requests under way finish on the old one.
    pub fn set_routes(&self, routes: RouteTable) {
        *self.routes.write() = Arc::new(routes);
    }

    pub(crate) async fn respond(&self, request: Request) -> Response {
        if request.method == Method::CONNECT {
            return pages::problem(&request, StatusCode::METHOD_NOT_ALLOWED, "This server is not a forward proxy.");
        }
        if request.target == "*" {
            return Response::new(StatusCode::NO_CONTENT);
        }
        let routes = self.routes.read().clone();
        match routes.find(&request) {
            Routed::Service(service) => service.call(request).await,
            Routed::Answer(response) => response,
        }
    }
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
