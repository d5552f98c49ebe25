//! Many visitors, and an app that treats its connections badly: nobody may ever get another's answer.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use doorstep_http::Service;
use http::Method;
use support::{Origin, body, fed, get};

/// Answers with the request's path, each time in another manner; some are malformed, some break off, some are followed
/// by bytes that belong to no answer.
async fn rude_app() -> Origin {
    let turn = Arc::new(AtomicUsize::new(0));
    Origin::start(move |_, mut peer| {
        let turn = turn.clone();
        async move {
            while let Some(head) = peer.head().await {
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
                if let Some(length) = length {
                    peer.exactly(length.parse().unwrap()).await;
                }
                let length = path.len();
                let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
                match turn.fetch_add(1, Ordering::Relaxed) % 11 {
                    0 => {
                        peer.say(&format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{path}"
                        ))
                        .await
                    }
                    1 => peer.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{path}{evil}")).await,
                    2 => {
                        peer.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{path}")).await;
                        return;
                    }
                    3 => return,
                    5 => {
                        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf").await;
                        return;
                    }
                    6 => {
                        for piece in ["HTTP/1.1 200 OK\r\nTransfer-Enc", "oding: chunked\r\n\r\n"] {
                            peer.say(piece).await;
                            tokio::task::yield_now().await;
                        }
                        peer.say(&format!("{length:x}\r\n{path}\r\n0\r\n\r\n")).await;
                    }
                    7 => {
                        peer.say(&format!(
                            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{path}"
                        ))
                        .await
                    }
                    _ => peer.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{path}")).await,
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn every_answer_is_ones_own() {
    let origin = rude_app().await;
    let proxy = Arc::new(origin.proxy());
    let mut visitors = Vec::new();
    for visitor in 0..12 {
        let proxy = proxy.clone();
        visitors.push(tokio::spawn(async move {
            let mut right = 0;
            for number in 0..100 {
                let path = format!("/visitor-{visitor}/request-{number}");
                let mut request = get(&path);
                let (feeder, stream) = fed(Some(8));
                feeder.data("00000000");
                if number % 3 == 0 {
                    request.method = Method::POST;
                    request.body = if number % 2 == 0 { "11111111".into() } else { stream };
                }
                let response = proxy.call(request).await;
                let status = response.status.as_u16();
                match body(response).await {
                    Ok(answer) if status == 200 => {
                        assert_eq!(answer, path);
                        right += 1;
                    }
                    Ok(_) => assert_eq!(status, 502),
                    // Broken off, and the visitor was told so.
                    Err(_) => {}
                }
            }
            right
        }));
    }
    for visitor in visitors {
        assert!(visitor.await.unwrap() > 50, "most answers arrive");
    }
}
