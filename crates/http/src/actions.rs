//! Services that answer by themselves: elsewhere, a fixed text, not now.

use bytes::Bytes;
use doorstep_model::spec;
use http::StatusCode;
use http::header::{self, HeaderValue};

use crate::{Body, BoxFuture, Place, Request, Response, RouteError, Service, Template, pages};

/// Sends the client elsewhere.
pub struct Redirect {
    status: StatusCode,
    to: Template,
}

/// A fixed answer.
pub struct Respond {
    status: StatusCode,
    content_type: Option<HeaderValue>,
    body: Bytes,
}

/// Says when the site is back.
pub struct Maintenance {
    message: String,
    retry_after: HeaderValue,
}

impl Redirect {
    /// # Errors
    /// A template that is none; a status that is no redirect.
    pub fn new(redirect: &spec::Redirect) -> Result<Self, RouteError> {
        let status = StatusCode::from_u16(redirect.status).ok().filter(|status| status.is_redirection());
        Ok(Self { status: status.ok_or(RouteError::Status(redirect.status))?, to: Template::compile(&redirect.to)? })
    }
}

impl Service for Redirect {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        let to = self.to.fill(&request, Place::Url);
        let response = pages::elsewhere(&request, self.status, &to);
        Box::pin(std::future::ready(response))
    }
}

impl Respond {
    /// # Errors
    /// A status that is no final one; a content type that may not stand in a header field.
    pub fn new(respond: &spec::Respond) -> Result<Self, RouteError> {
        let status = StatusCode::from_u16(respond.status).ok().filter(|status| !status.is_informational());
        let content_type = HeaderValue::from_str(&respond.content_type)
            .map_err(|_| RouteError::Field(respond.content_type.clone()))?;
        Ok(Self {
            status: status.ok_or(RouteError::Status(respond.status))?,
            content_type: (!content_type.is_empty()).then_some(content_type),
            body: Bytes::from(respond.body.clone()),
        })
    }
}

impl Service for Respond {
    fn call<'a>(&'a self, _: Request) -> BoxFuture<'a, Response> {
        let mut response = Response::new(self.status).with_body(Body::Full(self.body.clone()));
        if let Some(content_type) = &self.content_type {
            response.headers.insert(header::CONTENT_TYPE, content_type.clone());
        }
        Box::pin(std::future::ready(response))
    }
}

impl Maintenance {
    pub fn new(maintenance: &spec::Maintenance) -> Self {
        let message = match maintenance.message.trim() {
            "" => "This site is being worked on and will be back soon.",
            message => message,
        };
        Self { message: message.to_owned(), retry_after: HeaderValue::from(maintenance.retry_after.as_secs().max(1)) }
    }
}

impl Service for Maintenance {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        let response = pages::problem(&request, StatusCode::SERVICE_UNAVAILABLE, &self.message);
        let response = response.with(header::RETRY_AFTER, self.retry_after.clone());
        Box::pin(std::future::ready(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn redirects_with_captures() {
        let redirect = |status, to: &str| spec::Redirect { status, to: spec::Template(to.to_owned()) };
        let service = Redirect::new(&redirect(302, "https://cdn.example.com{path}{?query}")).unwrap();
        let response = service.call(Request::get("/hot%20one.jpg?v=2")).await;
        let location = &response.headers[header::LOCATION];
        assert_eq!(
            (response.status.as_u16(), location.to_str().unwrap()),
            (302, "https://cdn.example.com/hot%20one.jpg?v=2")
        );
        assert!(Redirect::new(&redirect(200, "/")).is_err() && Redirect::new(&redirect(301, "{")).is_err());
    }

    #[tokio::test]
    async fn fixed_answers_and_maintenance() {
        let respond = spec::Respond { status: 410, content_type: "text/plain".to_owned(), body: "gone".to_owned() };
        let response = Respond::new(&respond).unwrap().call(Request::get("/")).await;
        assert_eq!(response.status, StatusCode::GONE);
        assert_eq!(response.body.collect(99).await.unwrap(), "gone");
        assert!(Respond::new(&spec::Respond { status: 101, ..respond.clone() }).is_err());
        assert!(Respond::new(&spec::Respond { content_type: "a\nb".to_owned(), ..respond }).is_err());

        let minutes = std::time::Duration::from_secs(300);
        let closed = spec::Maintenance { message: "Back <at> noon.".to_owned(), retry_after: minutes };
        let mut request = Request::get("/");
        request.headers.insert(header::ACCEPT, HeaderValue::from_static("text/html"));
        let response = Maintenance::new(&closed).call(request).await;
        assert_eq!((response.status.as_u16(), &response.headers[header::RETRY_AFTER]), (503, &HeaderValue::from(300)));
        let page = response.body.collect(99_999).await.unwrap();
        assert!(String::from_utf8_lossy(&page).contains("Back &lt;at&gt; noon."));
    }
}
