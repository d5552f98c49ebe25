//! Cross-origin resource sharing (Fetch standard, section "CORS protocol").

use doorstep_http::{Request, Response, pages};
use doorstep_model::CorsPolicy;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};

use crate::FilterError;
use crate::headers::add_vary;

/// A [`CorsPolicy`] made ready.
pub(crate) struct Cors {
    /// `None` is everybody.
    origins: Option<Vec<String>>,
    /// Never with everybody: any page could act in the visitor's name.
    credentials: bool,
    methods: Allowed,
    headers: Allowed,
    expose: Option<HeaderValue>,
    max_age: HeaderValue,
}

/// What a preflight is allowed.
enum Allowed {
    /// Whatever it asks for.
    All,
    These(HeaderValue),
}

/// What one request's `Origin` means.
pub(crate) enum Origin {
    /// There is none: not a request across origins, or not by a browser.
    Absent,
    Allowed(HeaderValue),
    Refused,
}

const POLICY_FIELDS: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

impl Cors {
    pub(crate) fn new(policy: &CorsPolicy) -> Result<Self, FilterError> {
        let everybody = policy.origins.iter().any(|origin| origin == "*");
        let origins = policy.origins.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect();
        let max_age = HeaderValue::from(policy.max_age.as_secs());
        Ok(Self {
            origins: (!everybody).then_some(origins),
            credentials: policy.credentials && !everybody,
            methods: Allowed::of(&policy.methods)?,
            headers: Allowed::of(&policy.headers)?,
            expose: list(&policy.expose)?,
            max_age,
        })
    }

    pub(crate) fn origin(&self, request: &Request) -> Origin {
        let Some(origin) = request.headers.get(header::ORIGIN) else { return Origin::Absent };
        let Some(origins) = &self.origins else { return Origin::Allowed(HeaderValue::from_static("*")) };
        let known = origin.to_str().is_ok_and(|text| origins.iter().any(|known| text.eq_ignore_ascii_case(known)));
        if known { Origin::Allowed(origin.clone()) } else { Origin::Refused }
    }

    /// The answer to a preflight, which is not for the app.
    pub(crate) fn preflight(&self, request: &Request, origin: &Origin) -> Option<Response> {
        let asked_method = request.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        if request.method != Method::OPTIONS || matches!(origin, Origin::Absent) {
            return None;
        }
        if matches!(origin, Origin::Refused) {
            return Some(pages::problem(request, StatusCode::FORBIDDEN, "This origin may not ask here."));
        }
        let asked_headers = request.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let mut response = Response::new(StatusCode::NO_CONTENT);
        let mut set = |name, allowed: &Allowed, asked: Option<&HeaderValue>| match (allowed, asked) {
            (Allowed::These(these), _) => drop(response.headers.insert(name, these.clone())),
            (Allowed::All, Some(asked)) => drop(response.headers.insert(name, asked.clone())),
            (Allowed::All, None) => {}
        };
        set(header::ACCESS_CONTROL_ALLOW_METHODS, &self.methods, Some(asked_method));
        set(header::ACCESS_CONTROL_ALLOW_HEADERS, &self.headers, asked_headers);
        response.headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        add_vary(&mut response.headers, "Access-Control-Request-Method, Access-Control-Request-Headers");
        Some(response)
    }

    /// Says on a response who may read it, in place of what the app says.
    pub(crate) fn finish(&self, headers: &mut HeaderMap, origin: &Origin, preflight: bool) {
        if !preflight {
            POLICY_FIELDS.iter().for_each(|name| drop(headers.remove(name)));
        }
        if self.origins.is_some() {
            add_vary(headers, "Origin");
        }
        let Origin::Allowed(origin) = origin else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(expose) = self.expose.as_ref().filter(|_| !preflight) {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }
}

impl Allowed {
    /// With credentials `*` would be a name like any other, so what is asked for is said back.
    fn of(names: &[String]) -> Result<Self, FilterError> {
        if names.iter().any(|name| name == "*") {
            return Ok(Self::All);
        }
        Ok(list(names)?.map_or(Self::These(HeaderValue::from_static("")), Self::These))
    }
}

fn list(names: &[String]) -> Result<Option<HeaderValue>, FilterError> {
    let joined = names.join(", ");
    let value = HeaderValue::from_str(&joined).map_err(|_| FilterError::Value(joined.clone()))?;
    Ok((!joined.is_empty()).then_some(value))
}
