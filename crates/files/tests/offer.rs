//! One shared file and the page that offers it.

mod common;

use std::fs;
use std::path::Path;

use common::{Answer, read, request};
use doorstep_files::{FileService, FilesError};
use doorstep_http::{Kind, Service};
use doorstep_model::FileOptions;
use http::{Method, StatusCode};

const BROWSER: (&str, &str) = ("accept", "text/html,*/*;q=0.8");

async fn get(service: &FileService, target: &str, headers: &[(&str, &str)]) -> Answer {
    read(service.call(request(Method::GET, target, headers)).await).await.unwrap()
}

fn shared(name: &str, contents: impl AsRef<[u8]>) -> (tempfile::TempDir, FileService) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), contents).unwrap();
    let service = FileService::open(&dir.path().join(name), &FileOptions::default()).unwrap();
    (dir, service)
}

#[tokio::test]
async fn the_page_offers_the_file() {
    let (_dir, service) = shared("tür & <b>.png", vec![0; 1_234_567]);
    let page = get(&service, "/", &[BROWSER]).await;
    assert_eq!((page.status, page.kind), (StatusCode::OK, Kind::Page));
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    for part in ["t\u{fc}r &amp; &lt;b&gt;.png", "1.2 MB", "PNG picture", "changed ", "<img src=\"/t%C3%BCr"] {
        assert!(page.text().contains(part), "{part}\n{}", page.text());
    }
    assert!(page.text().contains("/t%C3%BCr%20%26%20%3Cb%3E.png?download\" download>Download"));
    let words = get(&service, "/", &[]).await;
    assert!(words.text().contains("curl -O http://localhost/t%C3%BCr"), "{}", words.text());
}

#[tokio::test]
async fn the_file_comes_under_its_name() {
    let (_dir, service) = shared("tür.bin", b"0123456789");
    let inline = get(&service, "/t%C3%BCr.bin", &[]).await;
    assert_eq!((inline.text(), inline.kind), ("0123456789", Kind::Content));
    assert_eq!(inline.header("content-disposition"), "");
    let saved = get(&service, "/t%C3%BCr.bin?download", &[BROWSER]).await;
    assert_eq!(saved.text(), "0123456789");
    assert!(saved.header("content-disposition").starts_with("attachment; "));
    assert!(saved.header("content-disposition").ends_with("filename*=UTF-8''t%C3%BCr.bin"));
    let look = get(&service, "/t%C3%BCr.bin?preview", &[BROWSER]).await;
    assert_eq!((look.text(), look.kind), ("0123456789", Kind::Partial));
    let part = get(&service, "/t%C3%BCr.bin", &[("range", "bytes=3-4")]).await;
    assert_eq!((part.status, part.text()), (StatusCode::PARTIAL_CONTENT, "34"));
    let tag = inline.header("etag").to_owned();
    let again = get(&service, "/t%C3%BCr.bin", &[("if-none-match", &tag)]).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn nothing_else_beside_it_is_shared() {
    let (dir, service) = shared("a.txt", "a");
    fs::write(dir.path().join("b.txt"), "the other").unwrap();
    for target in ["/b.txt", "/a.txt/", "/x/a.txt", "/./b.txt", "/%2e%2e/b.txt", "/*"] {
        let answer = get(&service, target, &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{target}");
    }
    let post = read(service.call(request(Method::POST, "/a.txt", &[])).await).await.unwrap();
    assert_eq!((post.status, post.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD, OPTIONS"));
}

#[tokio::test]
async fn a_text_can_be_read_on_the_page_and_runs_nothing() {
    let (_dir, service) = shared("notes.md", "# Notes <script>alert(1)</script> ä");
    let page = get(&service, "/", &[BROWSER]).await;
    assert!(page.text().contains("# Notes &lt;script&gt;"));
    assert!(!page.text().contains("<script"));
    let (_dir, service) = shared("long.txt", "ä".repeat(100_000));
    let page = get(&service, "/", &[BROWSER]).await;
    assert!(page.text().contains("The file goes on") && page.body.len() < 100_000);
    let (_dir, service) = shared("binary.txt", b"\xff\xfe\0");
    assert!(!get(&service, "/", &[BROWSER]).await.text().contains("<pre"));
    let (_dir, service) = shared("empty.txt", "");
    assert!(get(&service, "/", &[BROWSER]).await.text().contains("0 bytes"));
}

#[tokio::test]
async fn a_file_that_was_replaced_is_the_new_one_and_one_that_is_gone_is_said_to_be() {
    let (dir, service) = shared("a.txt", "old");
    let path = dir.path().join("a.txt");
    fs::write(dir.path().join("new"), "new!").unwrap();
    fs::rename(dir.path().join("new"), &path).unwrap();
    assert_eq!(get(&service, "/a.txt", &[]).await.text(), "new!");
    fs::remove_file(path).unwrap();
    for target in ["/", "/a.txt"] {
        let answer = get(&service, target, &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert!(answer.text().contains("gone"));
    }
}

#[tokio::test]
async fn a_spool_is_served_under_another_name_after_its_own_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    fs::write(&spool, "what came in").unwrap();
    let service = FileService::named(&spool, "stdin.txt").unwrap();
    fs::remove_file(spool).unwrap();
    assert_eq!(service.name(), "stdin.txt");
    assert_eq!(get(&service, "/stdin.txt", &[]).await.text(), "what came in");
    assert!(get(&service, "/", &[BROWSER]).await.text().contains("what came in"));
}

#[tokio::test]
async fn a_shared_link_is_the_file_it_leads_to_under_the_links_name() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("elsewhere")).unwrap();
    fs::write(dir.path().join("elsewhere/real.txt"), "real").unwrap();
    std::os::unix::fs::symlink("elsewhere/real.txt", dir.path().join("link.txt")).unwrap();
    let service = FileService::open(&dir.path().join("link.txt"), &FileOptions::default()).unwrap();
    assert_eq!(get(&service, "/link.txt", &[]).await.text(), "real");
}

#[test]
fn what_is_no_file_is_refused_at_the_start() {
    let open = |path: &Path| FileService::open(path, &FileOptions::default()).err().unwrap();
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(open(dir.path()), FilesError::NotAFile { .. }));
    assert!(matches!(open(Path::new("/dev/null")), FilesError::NotAFile { .. }));
    assert!(matches!(open(Path::new("/")), FilesError::NotAFile { .. }));
    assert!(matches!(open(&dir.path().join("none")), FilesError::Missing { .. }));
}
