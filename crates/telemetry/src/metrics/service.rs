use std::sync::Arc;

use doorstep_http::{BoxFuture, Request, Response, Service};
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use crate::Telemetry;

/// Answers `/metrics`.
pub struct MetricsService(Arc<Telemetry>);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl MetricsService {
    pub fn new(telemetry: Arc<Telemetry>) -> Self {
        Self(telemetry)
    }

    fn answer(&self, request: &Request) -> Response {
        if request.path != "/metrics" {
            return Response::text(StatusCode::NOT_FOUND, "The metrics are at /metrics.\n");
        }
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return Response::text(StatusCode::METHOD_NOT_ALLOWED, "Metrics are only read.\n")
                .with(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        Response::text(StatusCode::OK, self.0.render())
            .with(header::CONTENT_TYPE, HeaderValue::from_static(OPENMETRICS))
            .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }
}

impl Service for MetricsService {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(std::future::ready(self.answer(&request)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sample, SampleKind};

    #[tokio::test]
    async fn serves_what_is_counted_and_what_others_add() {
        let telemetry = Telemetry::start(&[], std::path::Path::new("/")).unwrap();
        telemetry.add_samples(|| {
            let (name, help) = ("open_connections", "Connections open now");
            vec![Sample { name, help, kind: SampleKind::Gauge, labels: Vec::new(), value: 7.0 }]
        });
        let service = MetricsService::new(telemetry);
        let response = service.call(Request::get("/metrics")).await;
        assert_eq!(response.headers[header::CONTENT_TYPE], OPENMETRICS);
        let text = String::from_utf8(response.body.collect(1 << 20).await.unwrap().to_vec()).unwrap();
        assert!(text.contains("\ndoorstep_open_connections 7.0\n"), "{text}");
        assert!(text.contains("\ndoorstep_access_log_lost_total 0.0\n"), "{text}");
        assert_eq!(service.call(Request::get("/")).await.status, StatusCode::NOT_FOUND);
    }
}
