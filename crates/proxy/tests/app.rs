//! The app as a whole: not there, back again, recognised, refusing.

mod support;

use std::sync::Arc;

use doorstep_http::Service;
use doorstep_model::{Proxy, Upstream, UpstreamAddr};
use doorstep_net::Connector;
use doorstep_proxy::{ReverseProxy, framework};
use support::{Findings, Origin, data, get, proxy, text, upstream, with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

#[tokio::test]
async fn an_app_that_is_down_is_told_once_and_may_come_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let findings = Arc::new(Findings::default());
    let proxy = proxy(port, findings.clone());
    for _ in 0..2 {
        let (status, said) = text(&proxy, get("/")).await;
        assert_eq!((status, said), (502, format!("502 Nothing listens on 127.0.0.1:{port}. Is the app running?\n")));
    }
    assert_eq!(findings.ids(), ["app-down"]);
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
    });
    assert_eq!(text(&proxy, get("/")).await.0, 200);
    let page = proxy.call(with(get("/"), "accept", "text/html")).await;
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert_eq!(findings.ids(), ["app-down", "app-down"]);
}

#[tokio::test]
async fn unix_sockets_are_upstreams_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    });
    let upstream = Upstream { addr: UpstreamAddr::Unix(path), authority: "localhost".to_owned(), ..upstream(0) };
    let findings = Arc::new(Findings::default());
    let proxy = ReverseProxy::new(Proxy { upstream, keep_host: false }, Arc::new(Connector::new()), findings);
    for _ in 0..2 {
        assert_eq!(text(&proxy, get("/")).await, (200, "ok".to_owned()));
    }
}

#[tokio::test]
async fn refusals_are_found_while_their_pages_stream() {
    let origin = Origin::start(|_, mut peer| async move {
        peer.head().await;
        peer.say("HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n14\r\nBlocked request. Thi\r\n").await;
        peer.head().await;
    })
    .await;
    let mut response = proxy(origin.port, Arc::new(Findings::default())).call(get("/")).await;
    assert_eq!(data(&mut response.body).await, "Blocked request. Thi", "the first words do not wait for the rest");

    let findings = Arc::new(Findings::default());
    let origin = Origin::saying_once(
        "HTTP/1.1 400 Bad Request\r\n\r\n<title>DisallowedHost at /</title>You may need to add &#x27;a.local&#x27; to \
         ALLOWED_HOSTS.",
    )
    .await;
    text(&proxy(origin.port, findings.clone()), get("/")).await;
    assert_eq!(findings.ids(), ["django-disallowed-host"]);
    assert!(findings.0.lock().unwrap()[0].fix.contains("ALLOWED_HOSTS = [\"a.local\"]"));
}

#[tokio::test]
async fn rails_is_no_longer_told_a_host_that_it_refuses() {
    let origin = Origin::start(|_, mut peer| async move {
        while let Some(head) = peer.head().await {
            let (status, said) = if head.contains("X-Forwarded-Host: my-laptop.local:8080") {
                ("403 Forbidden", "<h1>Blocked hosts: my-laptop.local:8080</h1>")
            } else {
                ("200 OK", "welcome")
            };
            peer.say(&format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{said}", said.len())).await;
        }
    })
    .await;
    let findings = Arc::new(Findings::default());
    let proxy = proxy(origin.port, findings.clone());
    assert_eq!(text(&proxy, get("/")).await.0, 403);
    assert_eq!(findings.ids(), ["rails-blocked-host"]);
    assert_eq!(text(&proxy, get("/")).await, (200, "welcome".to_owned()));
}

#[tokio::test]
async fn rails_compares_the_origin_with_the_host_it_is_told() {
    let origin = Origin::start(|_, mut peer| async move {
        while let Some(head) = peer.head().await {
            let origin = head.lines().find_map(|line| line.strip_prefix("Origin: ")).unwrap_or_default();
            let length = origin.len();
            peer.say(&format!(
                "HTTP/1.1 200 OK\r\nX-Runtime: 0.1\r\nX-Request-Id: 7\r\nContent-Length: {length}\r\n\r\n{origin}"
            ))
            .await;
        }
    })
    .await;
    let proxy = origin.proxy();
    let post = || with(get("/"), "origin", "http://my-laptop.local:8080");
    assert_eq!(text(&proxy, post()).await.1, format!("http://localhost:{}", origin.port));
    assert_eq!(text(&proxy, post()).await.1, "http://my-laptop.local:8080", "now that it is known to be Rails");
}

async fn probe(origin: &Origin) -> framework::AppInfo {
    framework::probe(&Connector::new(), &upstream(origin.port)).await.expect("an answer")
}

#[tokio::test]
async fn probing_finds_debug_modes() {
    let django = Origin::start(|_, mut peer| async move {
        let head = peer.head().await.unwrap();
        assert!(head.starts_with("GET "), "{head}");
        let (status, said) = if head.starts_with("GET / ") {
            ("200 OK", "<p>hello")
        } else {
            ("404 Not Found", "<meta name=\"robots\" content=\"NONE,NOARCHIVE\">")
        };
        peer.say(&format!(
            "HTTP/1.1 {status}\r\nServer: WSGIServer/0.2 CPython/3.11.2\r\nX-Frame-Options: DENY\r\n\
             Content-Length: {}\r\n\r\n{said}",
            said.len()
        ))
        .await;
    })
    .await;
    let info = probe(&django).await;
    assert_eq!((info.name.as_str(), info.debug), ("Django development server", true));
    assert_eq!(info.findings[0].id, "django-debug");

    let werkzeug = Origin::start(|_, mut peer| async move {
        let head = peer.head().await.unwrap();
        let kind = if head.contains("__debugger__=yes&cmd=resource") { "text/css" } else { "text/html" };
        peer.say(&format!("HTTP/1.1 200 OK\r\nServer: Werkzeug/2.2.2 Python/3.11.2\r\nContent-Type: {kind}\r\n\r\n"))
            .await;
    })
    .await;
    let info = probe(&werkzeug).await;
    assert_eq!((info.version.as_deref(), info.debug), (Some("2.2.2"), true));
    assert_eq!(info.findings[0].id, "werkzeug-debugger");
}

#[tokio::test]
async fn probing_other_things() {
    let plain = Origin::saying_once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let info = probe(&plain).await;
    assert!(info.name.is_empty() && !info.debug && info.findings.is_empty());
    let events = Origin::start(|_, mut peer| async move {
        peer.head().await;
        peer.say("HTTP/1.1 200 OK\r\nX-Powered-By: Express\r\n\r\ndata: 1\n\n").await;
        peer.head().await;
    })
    .await;
    assert_eq!(probe(&events).await.name, "Express", "an answer without end is known by its beginning");
    let ssh = Origin::saying_once("SSH-2.0-OpenSSH_9.2\r\n").await;
    assert_eq!(framework::probe(&Connector::new(), &upstream(ssh.port)).await, None);
}
