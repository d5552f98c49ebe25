//! A shared folder: files, folders, what is missing, and what changes.

mod common;

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Share, read};
use doorstep_http::{BodyError, Kind};
use doorstep_model::{FileOptions, UploadPolicy};
use http::{Method, StatusCode};

#[tokio::test]
async fn a_file_comes_with_its_type_and_validators() {
    let share = Share::new();
    let modified = UNIX_EPOCH + Duration::new(784_111_777, 123_456_789);
    share.file_at("a b/grüße.txt", "hello", modified);
    let answer = share.get("/a%20b/gr%C3%BC%C3%9Fe.txt").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.text(), "hello");
    assert_eq!(answer.kind, Kind::Content);
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("last-modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(answer.header("cache-control"), "no-cache");
    assert!(answer.header("etag").starts_with("\"5-"), "{}", answer.header("etag"));
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn large_and_small_files_answer_alike() {
    let share = Share::new();
    for size in [0, 1, 65_536, 65_537, 300_000] {
        let contents = vec![b'x'; size];
        let name = format!("{size}.bin");
        share.file(&name, &contents);
        for _ in 0..2 {
            let answer = share.get(&format!("/{name}")).await;
            assert_eq!(answer.length, Some(size as u64));
            assert_eq!(answer.body, contents);
            assert_eq!(answer.header("content-type"), "application/octet-stream");
            let head = share.response(Method::HEAD, &format!("/{name}"), &[]).await;
            assert_eq!(head.status, StatusCode::OK);
            assert_eq!(head.body.len(), Some(size as u64));
            for (header, value) in &answer.headers {
                assert_eq!(head.headers.get(header), Some(value), "{size} {header}");
            }
        }
    }
}

#[tokio::test]
async fn a_change_shows_at_the_next_look() {
    let share = Share::new();
    share.file("a.txt", "one");
    let first = share.get("/a.txt").await;
    assert_eq!(first.text(), "one");
    tokio::time::sleep(Duration::from_millis(60)).await;
    share.file_at("a.txt", "two", SystemTime::now() - Duration::from_secs(1800));
    let second = share.get("/a.txt").await;
    assert_eq!(second.text(), "two");
    assert_ne!(first.header("etag"), second.header("etag"));
    tokio::time::sleep(Duration::from_millis(60)).await;
    fs::remove_file(share.path("a.txt")).unwrap();
    assert_eq!(share.get("/a.txt").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn times_differ_by_nanoseconds() {
    let share = Share::new();
    let tag = async |nanoseconds| {
        share.file_at("a", "same", UNIX_EPOCH + Duration::new(1_000_000_000, nanoseconds));
        tokio::time::sleep(Duration::from_millis(60)).await;
        share.get("/a").await.header("etag").to_owned()
    };
    assert_ne!(tag(1).await, tag(2).await);
}

#[tokio::test]
async fn times_that_no_http_date_can_say_are_left_out() {
    let share = Share::new();
    share.file_at("old", "old", UNIX_EPOCH - Duration::from_secs(10));
    assert_eq!(share.get("/old").await.header("last-modified"), "");
    share.file_at("new", "new", SystemTime::now() + Duration::from_secs(86_400));
    let said = httpdate::parse_http_date(share.get("/new").await.header("last-modified")).unwrap();
    assert!(said <= SystemTime::now());
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_sent_breaks_the_response() {
    let share = Share::new();
    share.file("big.bin", vec![1; 500_000]);
    let response = share.response(Method::GET, "/big.bin", &[]).await;
    fs::File::options().write(true).open(share.path("big.bin")).unwrap().set_len(300_000).unwrap();
    assert_eq!(response.body.len(), Some(500_000));
    assert!(matches!(read(response).await, Err(BodyError::File(_))));
}

#[tokio::test]
async fn a_file_that_grows_while_it_is_sent_ends_where_it_was_promised_to() {
    let share = Share::new();
    share.file("big.bin", vec![1; 500_000]);
    let response = share.response(Method::GET, "/big.bin", &[]).await;
    fs::write(share.path("big.bin"), vec![1; 600_000]).unwrap();
    assert_eq!(read(response).await.unwrap().body.len(), 500_000);
}

/// A log that a program writes to without a pause: each answer is a beginning of it, whole lines or not.
#[tokio::test]
async fn a_file_that_never_holds_still_is_served() {
    let share = Share::new();
    share.file("app.log", "line\n");
    let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (seen, path) = (over.clone(), share.path("app.log"));
    let writer = std::thread::spawn(move || {
        use std::io::Write;
        let mut log = fs::File::options().append(true).open(path).unwrap();
        for _ in 0..10_000 {
            if seen.load(std::sync::atomic::Ordering::Relaxed) {
                break;
            }
            log.write_all(b"line\n").unwrap();
        }
    });
    let mut longest = 0;
    for _ in 0..100 {
        let answer = share.get("/app.log").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.length, Some(answer.body.len() as u64));
        assert!(answer.text().starts_with("line\n") && answer.body.len() >= longest);
        longest = answer.body.len();
    }
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
}

#[tokio::test]
async fn a_file_deleted_while_it_is_sent_arrives() {
    let share = Share::new();
    share.file("big.bin", vec![7; 500_000]);
    let response = share.response(Method::GET, "/big.bin", &[]).await;
    fs::remove_file(share.path("big.bin")).unwrap();
    assert_eq!(read(response).await.unwrap().body.len(), 500_000);
}

#[tokio::test]
async fn a_folder_gives_its_index_or_its_listing() {
    let share = Share::new();
    share.file("site/index.html", "<p>hi").file("plain/a.txt", "a");
    let index = share.get("/site/").await;
    assert_eq!((index.text(), index.kind), ("<p>hi", Kind::Content));
    assert_eq!(index.header("content-type"), "text/html; charset=utf-8");
    let listing = share.get("/plain/").await;
    assert_eq!((listing.status, listing.kind), (StatusCode::OK, Kind::Page));
    assert!(listing.text().contains("a.txt"));
    assert_eq!(share.get("/site/index.html/").await.status, StatusCode::NOT_FOUND);
    assert_eq!(share.get("/none/").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_index_that_goes_leaves_a_listing() {
    let share = Share::new();
    share.file("index.html", "<p>hi").file("a.txt", "a");
    assert_eq!(share.get("/").await.text(), "<p>hi");
    tokio::time::sleep(Duration::from_millis(60)).await;
    fs::remove_file(share.path("index.html")).unwrap();
    assert!(share.get("/").await.text().contains("a.txt"));
}

#[tokio::test]
async fn a_folder_is_sent_on_to_its_slash_and_never_to_another_host() {
    let share = Share::new();
    share.file("sub/a b/x", "x").file("\\evil.example/x", "x").file("evil.example/x", "x").file("ü?#/x", "x");
    for (target, location) in [
        ("/sub", "/sub/"),
        ("/sub?sort=size", "/sub/?sort=size"),
        ("/sub/a%20b", "/sub/a%20b/"),
        ("//evil.example", "/evil.example/"),
        ("/%5Cevil.example", "/%5Cevil%2Eexample/"),
        ("/%2Fevil.example", "/evil.example/"),
        ("/%C3%BC%3F%23", "/%C3%BC%3F%23/"),
    ] {
        let answer = share.get(target).await;
        assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT, "{target}");
        let decoded = percent_encoding::percent_decode_str(location).decode_utf8().unwrap();
        let said = percent_encoding::percent_decode_str(answer.header("location")).decode_utf8().unwrap();
        assert_eq!(said, decoded, "{target}");
        let said = answer.header("location");
        assert!(said.starts_with('/') && !said.starts_with("//") && !said.contains('\\'), "{said}");
    }
}

#[tokio::test]
async fn other_methods_are_refused_with_the_ones_that_work() {
    let share = Share::new();
    share.file("a.txt", "a");
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::TRACE] {
        let answer = share.ask(method, "/a.txt", &[]).await.unwrap();
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS");
    }
    let options = share.ask(Method::OPTIONS, "/a.txt", &[]).await.unwrap();
    assert_eq!((options.status, options.header("allow")), (StatusCode::NO_CONTENT, "GET, HEAD, OPTIONS"));
}

#[tokio::test]
async fn the_owners_404_page_is_used() {
    let share = Share::new();
    assert!(share.get("/none").await.text().contains("404"));
    share.file("404.html", "<p>lost?");
    let answer = share.get_with("/none", &[("range", "bytes=0-1"), ("if-none-match", "*")]).await;
    assert_eq!((answer.status, answer.text(), answer.kind), (StatusCode::NOT_FOUND, "<p>lost?", Kind::Page));
    for header in ["etag", "last-modified", "accept-ranges"] {
        assert_eq!(answer.header(header), "", "{header}");
    }
}

#[tokio::test]
async fn a_single_page_app_answers_navigations_only() {
    let share = Share::with(FileOptions { spa: true, ..FileOptions::default() });
    share.file("index.html", "<p>app").file("a.js", "1");
    let browser = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    for (target, headers, status) in [
        ("/users/7", &[browser][..], 200),
        ("/users/john.doe", &[browser], 200),
        ("/users/7/", &[browser], 200),
        ("/users/7", &[], 200),
        ("/users/7", &[("accept", "*/*")], 200),
        ("/gone.js", &[("accept", "*/*")], 404),
        ("/api/users", &[("accept", "application/json")], 404),
        ("/api/users", &[("accept", "*/*"), ("sec-fetch-mode", "cors")], 404),
        ("/users/7", &[browser, ("sec-fetch-mode", "navigate")], 200),
        ("/a.js", &[browser], 200),
    ] {
        let answer = share.get_with(target, headers).await;
        assert_eq!(answer.status.as_u16(), status, "{target} {headers:?}");
        if status == 200 && target != "/a.js" {
            assert_eq!(answer.text(), "<p>app");
        }
    }
    share.file("users/7", "a file now");
    assert_eq!(share.get_with("/users/7", &[browser]).await.text(), "a file now");
}

#[tokio::test]
async fn cors_is_for_every_answer() {
    let share = Share::with(FileOptions { cors: true, ..FileOptions::default() });
    share.file("a.txt", "a").file("dir/b", "b");
    for target in ["/a.txt", "/a.txt", "/none", "/dir", "/dir/"] {
        assert_eq!(share.get(target).await.header("access-control-allow-origin"), "*", "{target}");
    }
    let headers = [
        ("origin", "https://example.com"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "range"),
        ("access-control-request-private-network", "true"),
    ];
    let preflight = share.ask(Method::OPTIONS, "/a.txt", &headers).await.unwrap();
    assert_eq!(preflight.status, StatusCode::NO_CONTENT);
    assert_eq!(preflight.header("access-control-allow-methods"), "GET, HEAD, OPTIONS");
    assert_eq!(preflight.header("access-control-allow-headers"), "*, authorization");
    assert_eq!(preflight.header("access-control-allow-private-network"), "true");
}

#[tokio::test]
async fn pages_among_uploads_run_nothing() {
    let upload = UploadPolicy::Allowed { max_bytes: None };
    let share = Share::with(FileOptions { upload, ..FileOptions::default() });
    share.file("index.html", "<script>").file("a.svg", "<svg>").file("a.txt", "a").file("404.html", "<script>");
    for name in ["/index.html", "/a.svg"] {
        let answer = share.get(name).await;
        assert!(answer.header("content-security-policy").starts_with("sandbox"), "{name}");
        assert!(answer.header("content-disposition").starts_with("attachment"), "{name}");
    }
    assert_eq!(share.get("/a.txt").await.header("content-disposition"), "");
    assert!(share.get("/").await.text().contains("a.svg"), "a listing, not a visitor's index.html");
    assert!(!share.get("/none").await.text().contains("<script>"));
}

#[tokio::test]
async fn a_share_that_only_takes_files_shows_none() {
    let upload = UploadPolicy::Only { max_bytes: None };
    let share = Share::with(FileOptions { upload, ..FileOptions::default() });
    share.file("a.txt", "what others sent").file("sub/b.txt", "b");
    for target in ["/a.txt", "/sub/", "/sub", "/sub/b.txt", "/?zip", "/?json"] {
        let answer = share.get(target).await;
        assert!(!answer.text().contains("what others sent") && !answer.text().contains("b.txt"), "{target}");
        assert!(answer.status == StatusCode::NOT_FOUND || target.starts_with("/?"), "{target} {}", answer.status);
    }
}

#[tokio::test]
async fn the_pages_of_a_share_find_their_style() {
    for upload in [UploadPolicy::Off, UploadPolicy::Only { max_bytes: None }] {
        let share = Share::with(FileOptions { upload, ..FileOptions::default() });
        let page = share.get_with("/", &[("accept", "text/html")]).await;
        let (_, style) = page.text().split_once("rel=stylesheet href=\"").unwrap();
        let style = share.get(style.split_once('"').unwrap().0).await;
        assert_eq!((style.status, style.header("content-type")), (StatusCode::OK, "text/css; charset=utf-8"));
    }
}
