use std::sync::Arc;

use doorstep_model::Matcher;

use super::RouteError;
use super::matcher::Compiled;
use crate::{BoxFuture, Captures, Request, Response, Service, pages};

/// Routes as a service: what stands in front of it, stands in front of them all, and a limit there counts them together.
pub struct Routes(Vec<(Compiled, Arc<dyn Service>)>);

impl Routes {
    /// First match in order; what none matches is a 404.
    ///
    /// # Errors
    /// A matcher that cannot be compiled.
    pub fn new(routes: Vec<(Matcher, Arc<dyn Service>)>) -> Result<Self, RouteError> {
        let compiled = routes.into_iter().map(|(matcher, service)| Ok((Compiled::new(&matcher)?, service)));
        compiled.collect::<Result<_, _>>().map(Self)
    }

    /// The service of the first match, whose captures are noted in the request.
    pub(super) fn find(&self, request: &mut Request) -> Option<&dyn Service> {
        let found = self.0.iter().find_map(|(matcher, service)| Some((matcher.find(request)?, service)));
        let (captures, service) =
            found.map_or((Captures::default(), None), |(captures, service)| (captures, Some(service)));
        request.captures = captures;
        service.map(|service| service.as_ref())
    }
}

impl Service for Routes {
    fn call<'a>(&'a self, mut request: Request) -> BoxFuture<'a, Response> {
        match self.find(&mut request) {
            Some(service) => service.call(request),
            None => Box::pin(std::future::ready(pages::nothing_here(&request))),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    struct Says(&'static str);

    impl Service for Says {
        fn call<'a>(&'a self, _: Request) -> BoxFuture<'a, Response> {
            Box::pin(std::future::ready(Response::text(StatusCode::OK, self.0)))
        }
    }

    #[tokio::test]
    async fn the_first_that_matches_answers() {
        let routes: Vec<(Matcher, Arc<dyn Service>)> =
            vec![(Matcher::prefix("/a/b"), Arc::new(Says("b"))), (Matcher::prefix("/a"), Arc::new(Says("a")))];
        let routes = Routes::new(routes).unwrap();
        for (path, expected) in [("/a/b/c", "b"), ("/a/c", "a")] {
            let body = routes.call(Request::get(path)).await.body.collect(99).await.unwrap();
            assert_eq!(body, expected, "{path}");
        }
        assert_eq!(routes.call(Request::get("/c")).await.status, StatusCode::NOT_FOUND);
    }
}
