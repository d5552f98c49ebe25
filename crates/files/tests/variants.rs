//! Parts, preconditions and compression.

mod common;

use std::io::Read;
use std::time::{Duration, SystemTime};

use common::{Answer, Share};
use doorstep_http::Kind;
use http::{Method, StatusCode};

/// Files on both sides of the bound of what is kept in memory.
const SIZES: [usize; 2] = [1000, 200_000];

fn contents(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn one_range() {
    let share = Share::new();
    for size in SIZES {
        let contents = contents(size);
        share.file("a.bin", &contents);
        let last = size - 1;
        for (range, start, end) in [
            ("0-0".to_owned(), 0, 0),
            ("10-19".into(), 10, 19),
            ("-7".into(), size - 7, last),
            (format!("5-{size}9"), 5, last),
        ] {
            let answer = share.get_with("/a.bin", &[("range", &format!("bytes={range}"))]).await;
            assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{range}");
            assert_eq!(answer.kind, Kind::Partial);
            assert_eq!(answer.body, contents[start..=end], "{range}");
            assert_eq!(answer.length, Some((end - start + 1) as u64));
            assert_eq!(answer.header("content-range"), format!("bytes {start}-{end}/{size}"));
            assert_eq!(answer.header("content-type"), "application/octet-stream");
        }
        let whole = share.get_with("/a.bin", &[("range", "bytes=0-")]).await;
        assert_eq!((whole.status, whole.kind), (StatusCode::PARTIAL_CONTENT, Kind::Content));
        let beyond = share.get_with("/a.bin", &[("range", &format!("bytes={size}-"))]).await;
        assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(beyond.header("content-range"), format!("bytes */{size}"));
        let head = share.ask(Method::HEAD, "/a.bin", &[("range", "bytes=0-0")]).await.unwrap();
        assert_eq!(head.status, StatusCode::OK);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

#[tokio::test]
async fn several_ranges() {
    let share = Share::new();
    for size in SIZES {
        let contents = contents(size);
        share.file("a.txt", &contents);
        let answer = share.get_with("/a.txt", &[("range", "bytes=0-1,500-699, -3")]).await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(answer.length, Some(answer.body.len() as u64));
        let boundary = answer.header("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap();
        let mut expected = Vec::new();
        for (start, end) in [(0, 1), (500, 699), (size - 3, size - 1)] {
            expected.extend_from_slice(
                format!(
                    "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
                     Content-Range: bytes {start}-{end}/{size}\r\n\r\n"
                )
                .as_bytes(),
            );
            expected.extend_from_slice(&contents[start..=end]);
        }
        expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert_eq!(answer.body, expected);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

#[tokio::test]
async fn ranges_never_add_up_to_more_than_the_file() {
    let share = Share::new();
    share.file("a.bin", contents(100_000));
    let overlapping = share.get_with("/a.bin", &[("range", &format!("bytes={}", ["0-"; 60].join(",")))]).await;
    assert_eq!(overlapping.body.len(), 100_000);
    let many = (0..1000).map(|at| format!("{}-{}", at * 3, at * 3)).collect::<Vec<_>>().join(",");
    let many = share.get_with("/a.bin", &[("range", &format!("bytes={many}"))]).await;
    assert_eq!((many.status, many.body.len()), (StatusCode::OK, 100_000));
}

#[tokio::test]
async fn preconditions() {
    let share = Share::new();
    for size in SIZES {
        share.file("a.bin", contents(size));
        let plain = share.get("/a.bin").await;
        let (tag, date) = (plain.header("etag"), plain.header("last-modified"));
        for headers in [[("if-none-match", tag)], [("if-modified-since", date)]] {
            for method in [Method::GET, Method::HEAD] {
                let answer = share.ask(method, "/a.bin", &headers).await.unwrap();
                assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_MODIFIED, 0));
                assert_eq!((answer.header("etag"), answer.kind), (tag, Kind::Partial));
                assert_eq!(answer.header("content-type"), "");
            }
        }
        let failed = share.get_with("/a.bin", &[("if-match", "\"other\"")]).await;
        assert_eq!(failed.status, StatusCode::PRECONDITION_FAILED);
        for (condition, status) in [(tag, 206), (date, 206), ("\"other\"", 200), ("Sun, 06 Nov 1994 08:49:37 GMT", 200)]
        {
            let answer = share.get_with("/a.bin", &[("range", "bytes=0-0"), ("if-range", condition)]).await;
            assert_eq!(answer.status.as_u16(), status, "{condition}");
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

fn unpacked(answer: &Answer) -> Vec<u8> {
    let mut plain = Vec::new();
    let body = &answer.body[..];
    match answer.header("content-encoding") {
        "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut plain),
        "zstd" => zstd::stream::read::Decoder::new(body).unwrap().read_to_end(&mut plain),
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut plain),
        _ => (&mut &*body).read_to_end(&mut plain),
    }
    .unwrap();
    plain
}

#[tokio::test]
async fn text_is_compressed_on_the_way() {
    let share = Share::new();
    for size in [5_000, 500_000] {
        let text = "the same words again and again. ".repeat(size / 32).into_bytes();
        share.file("a.css", &text);
        let plain = share.get("/a.css").await;
        assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "accept-encoding"));
        let mut tags = vec![plain.header("etag").to_owned()];
        for coding in ["br", "zstd", "gzip"] {
            for _ in 0..2 {
                let answer = share.get_with("/a.css", &[("accept-encoding", coding)]).await;
                assert_eq!(answer.header("content-encoding"), coding);
                assert_eq!((answer.header("vary"), answer.kind), ("accept-encoding", Kind::Content));
                assert_eq!(answer.header("accept-ranges"), "");
                assert!(answer.body.len() < text.len() / 4, "{coding}: {}", answer.body.len());
                assert!(unpacked(&answer) == text, "{coding}");
                let tag = answer.header("etag").to_owned();
                let again = share.get_with("/a.css", &[("accept-encoding", coding), ("if-none-match", &tag)]).await;
                assert_eq!(again.status, StatusCode::NOT_MODIFIED);
                let head = share.ask(Method::HEAD, "/a.css", &[("accept-encoding", coding)]).await.unwrap();
                assert_eq!(head.headers, answer.headers);
                tags.push(tag);
            }
        }
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 4, "each coding has its own: {tags:?}");
        let part = share.get_with("/a.css", &[("accept-encoding", "gzip"), ("range", "bytes=0-9")]).await;
        assert_eq!((part.status, part.header("content-encoding")), (StatusCode::PARTIAL_CONTENT, ""));
        assert_eq!(part.body, text[..10]);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

#[tokio::test]
async fn what_gains_nothing_is_not_compressed() {
    let share = Share::new();
    share.file("small.css", "a{}").file("photo.jpg", vec![0; 5000]).file("movie.mp4", vec![0; 200_000]);
    for target in ["/small.css", "/photo.jpg", "/movie.mp4"] {
        let answer = share.get_with(target, &[("accept-encoding", "gzip, br, zstd")]).await;
        assert_eq!(answer.header("content-encoding"), "", "{target}");
    }
}

#[tokio::test]
async fn compressed_siblings_are_used_while_they_are_current() {
    let share = Share::new();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    for size in [2_000, 200_000] {
        let name = format!("a{size}.js");
        let target = format!("/{name}");
        let text = "x".repeat(size);
        share.file_at(&name, &text, hour_ago);
        share.file_at(&format!("{name}.gz"), "stands for gzip", hour_ago);
        share.file_at(&format!("{name}.br"), "stands for br", hour_ago + Duration::from_secs(1));
        share.file_at(&format!("{name}.zst"), "too old", hour_ago - Duration::from_secs(1));
        for (accepts, coding, body) in [
            ("gzip, br, zstd", "br", "stands for br"),
            ("gzip, br;q=0.5", "gzip", "stands for gzip"),
            ("gzip", "gzip", "stands for gzip"),
            ("br;q=0, gzip;q=0", "", text.as_str()),
        ] {
            let answer = share.get_with(&target, &[("accept-encoding", accepts)]).await;
            assert_eq!((answer.header("content-encoding"), answer.text()), (coding, body), "{accepts}");
            assert_eq!(answer.header("content-type"), "text/javascript; charset=utf-8");
            assert_eq!(answer.header("vary"), "accept-encoding");
        }
        let own = share.get_with(&target, &[("accept-encoding", "zstd")]).await;
        assert_eq!(own.header("content-encoding"), "zstd");
        assert_eq!(unpacked(&own), text.as_bytes());
        let headers = [("accept-encoding", "gzip"), ("range", "bytes=0-5")];
        let part = share.get_with(&target, &headers).await;
        assert_eq!((part.text(), part.header("content-encoding")), ("stands", "gzip"));
        tokio::time::sleep(Duration::from_millis(60)).await;
        share.file_at(&name, &text, hour_ago + Duration::from_secs(60));
        let newer = share.get_with(&target, &[("accept-encoding", "gzip, br")]).await;
        assert_eq!(unpacked(&newer), text.as_bytes(), "the siblings are older now");
    }
}
