//! What visitors read where no agent answers. Nothing in it says who else there is.

use std::sync::Arc;
use std::time::Duration;

use doorstep_http::{Request, Response, pages};
use doorstep_model::Hostname;
use doorstep_proto::tunnel::Code;
use doorstep_proxy::{Down, down_page};
use doorstep_tunnel::OpenFailed;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use super::settings::Settings;
use crate::limits::RELAY_RETRY_AFTER;

/// The relay's own words.
pub struct Pages<'d> {
    pub settings: Arc<Settings>,
    pub domain: &'d Hostname,
}

impl Pages<'_> {
    /// The name belongs to somebody who is not connected.
    pub fn away(&self, request: &Request) -> Response {
        self.own(down_page(
            request,
            &Down {
                status: StatusCode::SERVICE_UNAVAILABLE,
                heading: "Away just now",
                tried: None,
                what: "The computer behind this address is switched off, asleep, or without a network just now.",
                retry_after: Some(RELAY_RETRY_AFTER),
            },
        ))
    }

    /// The agent is there, or was a moment ago, and took no connection.
    pub fn not_opened(&self, request: &Request, failed: OpenFailed) -> Response {
        let (status, heading, what, retry_after) = match failed.code {
            Code::DialRefused | Code::DialTimeout => (
                StatusCode::BAD_GATEWAY,
                "The app behind this address does not answer",
                "The computer behind this address is there, but the app on it is not running; it may be starting.",
                None,
            ),
            Code::DialForbidden | Code::UnknownClaim => (
                StatusCode::BAD_GATEWAY,
                "There is no app behind this address",
                "The computer behind this address does not serve it any more.",
                None,
            ),
            Code::TooManyStreams => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many visitors",
                "More people want to see this at once than it can serve. It will be their turn soon, and yours.",
                Some(1),
            ),
            _ => return self.away(request),
        };
        self.own(down_page(request, &Down { status, heading, tried: None, what, retry_after }))
    }

    /// Nobody's name.
    pub fn unknown(&self, request: &Request) -> Response {
        self.problem(request, StatusCode::NOT_FOUND, "There is nothing at this address.")
    }

    /// The relay's owner has switched the name off.
    pub fn stopped(&self, request: &Request) -> Response {
        self.problem(request, StatusCode::GONE, "This address was switched off by whoever runs this server.")
    }

    /// The certificate for this name is with somebody else, and so must the connection be.
    pub fn elsewhere(&self, request: &Request) -> Response {
        self.problem(request, StatusCode::MISDIRECTED_REQUEST, "This address wants a connection of its own.")
    }

    pub fn too_many_requests(&self, request: &Request, wait: Duration) -> Response {
        let seconds = wait.as_secs_f64().ceil().max(1.0);
        let detail = "There are more requests for this address than it may have. Try again in a moment.";
        let mut response = self.problem(request, StatusCode::TOO_MANY_REQUESTS, detail);
        if let Ok(seconds) = HeaderValue::from_str(&format!("{seconds:.0}")) {
            response.headers.insert(header::RETRY_AFTER, seconds);
        }
        response
    }

    /// What the relay's own name shows: what this is, and whom to tell of abuse.
    pub fn front(&self, request: &Request) -> Response {
        let domain = pages::escape(self.domain.as_str());
        let mut body = format!(
            "<main><h1>{domain}</h1><p>This is a doorstep relay. Computers without a public address of their own are lent one here, beneath this name. \
             What they show is theirs, and not of whoever runs this server.</p>"
        );
        let mut text = format!("{domain}: a doorstep relay. What is lent a name beneath it is not its own.\n");
        if let Some(contact) = &self.settings.abuse {
            let contact = pages::escape(contact);
            let link = if contact.starts_with("https://") { contact.clone() } else { format!("mailto:{contact}") };
            body += &format!("<p>Does something beneath this name do harm? Tell <a href=\"{link}\">{contact}</a>.</p>");
            text += &format!("Abuse: {contact}\n");
        }
        body += "</main>";
        let mut response = if request.wants_html() {
            Response::html(StatusCode::OK, pages::document(self.domain.as_str(), "", &body))
        } else {
            Response::text(StatusCode::OK, text)
        };
        if request.method == Method::HEAD {
            response.body = doorstep_http::Body::Empty;
        }
        self.own(response)
    }

    pub fn problem(&self, request: &Request, status: StatusCode, detail: &str) -> Response {
        let detail = match &self.settings.abuse {
            Some(contact) if status == StatusCode::GONE => format!("{detail} Questions: {contact}"),
            _ => detail.to_owned(),
        };
        self.own(pages::problem(request, status, &detail))
    }

    /// No page of the relay's own belongs into a search engine.
    fn own(&self, response: Response) -> Response {
        response.with(header::HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"))
    }
}
