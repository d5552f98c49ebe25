use doorstep_http::Interim;
use doorstep_model::{Finding, Upstream};
use doorstep_net::Connect;
use http::{HeaderMap, Method, StatusCode};
use tokio::time::timeout;

use super::{App, Framework, debug, debug_mode, recognise, refusal};
use crate::client::{Connection, Upload, UpstreamBody, exchange};
use crate::headers::host_of;
use crate::limits;

/// What could be found out about an app before it is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppInfo {
    /// For people: `Django development server`. Empty where it answers but is not known.
    pub name: String,
    pub version: Option<String>,
    /// Whether it shows debug pages to visitors.
    pub debug: bool,
    pub findings: Vec<Finding>,
}

/// A path that no app has, to see its page for that.
const NOWHERE: &str = "/doorstep-looks-for-a-debug-page";
/// A file of the Werkzeug debugger, served only while it is on.
const DEBUGGER_FILE: &str = "/?__debugger__=yes&cmd=resource&f=style.css";

/// Asks the app a few harmless questions; `None` if it does not answer with HTTP in time.
pub async fn probe(connect: &dyn Connect, upstream: &Upstream) -> Option<AppInfo> {
    let front = ask(connect, upstream, "/").await?;
    let mut app = recognise(&front.headers, &front.body);
    let framework = app.as_ref().map_or(Framework::Unknown, |app| app.framework);
    let mut findings = Vec::new();
    findings.extend(
        refusal(front.status, &front.body, framework, host_of(&upstream.authority), None)
            .map(|refusal| refusal.finding),
    );
    findings.extend(debug_mode(front.status, &front.body));
    match framework {
        Framework::Django | Framework::Wsgi if findings.is_empty() => {
            if let Some(missing) = ask(connect, upstream, NOWHERE).await {
                findings.extend(debug_mode(missing.status, &missing.body));
                // Without its usual middleware, Django is known by its page for what does not exist.
                let plain = missing.body.contains("The requested resource was not found on this server.");
                if framework == Framework::Wsgi && (plain || !findings.is_empty()) {
                    app = Some(App::django());
                }
            }
        }
        Framework::Werkzeug if findings.is_empty() => {
            if let Some(file) = ask(connect, upstream, DEBUGGER_FILE).await {
                let is_style =
                    file.headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/css"));
                findings.extend((file.status == StatusCode::OK && is_style).then(debug::werkzeug_debugger));
            }
        }
        Framework::Other if app.as_ref().is_some_and(|app| app.name == "Uvicorn") => {
            if let Some(missing) = ask(connect, upstream, NOWHERE).await
                && missing.body.trim() == r#"{"detail":"Not Found"}"#
            {
                app = app.map(|app| App { name: "FastAPI (Uvicorn)".to_owned(), version: None, ..app });
            }
        }
        _ => {}
    }
    let debug = findings.iter().any(|finding| matches!(finding.id, "django-debug" | "werkzeug-debugger"));
    let App { name, version, .. } =
        app.unwrap_or(App { framework: Framework::Unknown, name: String::new(), version: None });
    Some(AppInfo { name, version, debug, findings })
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    /// Its beginning.
    body: String,
}

async fn ask(connect: &dyn Connect, upstream: &Upstream, path: &str) -> Option<Reply> {
    timeout(limits::PROBE, async {
        let mut connection = Connection::new(connect.connect(upstream).await.ok()?);
        let head = format!(
            "GET {}{path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: doorstep/{}\r\nAccept: text/html,*/*\r\n\
             Connection: close\r\n\r\n",
            upstream.base_path,
            upstream.authority,
            env!("CARGO_PKG_VERSION"),
        );
        connection.out.extend_from_slice(head.as_bytes());
        let upload = Upload::none();
        let answer = exchange(connection, upload, &Method::GET, &Interim::default(), limits::PROBE).await.ok()?;
        let (status, headers) = (answer.head.status, answer.head.headers.clone());
        let body = beginning(UpstreamBody::new(answer, None, false, limits::PROBE, None)).await;
        Some(Reply { status, headers, body })
    })
    .await
    .ok()?
}

/// As much of a body as fits the bound and arrives in time.
async fn beginning(mut body: UpstreamBody) -> String {
    let mut seen = Vec::new();
    let reading = async {
        while let Some(Ok(frame)) =
            std::future::poll_fn(|cx| http_body::Body::poll_frame(std::pin::Pin::new(&mut body), cx)).await
        {
            if let Ok(data) = frame.into_data() {
                let room = limits::PROBE_BYTES - seen.len();
                seen.extend_from_slice(data.get(..data.len().min(room)).unwrap_or_default());
            }
            if seen.len() >= limits::PROBE_BYTES {
                break;
            }
        }
    };
    // An event stream has no end: what came so far is enough.
    let _ = timeout(limits::PROBE / 2, reading).await;
    String::from_utf8_lossy(&seen).into_owned()
}
