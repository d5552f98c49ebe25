use std::time::Duration;

use bytes::Bytes;
use doorstep_net::{BoxIo, Io};
use doorstep_proto::tunnel::{Code, Role, Sharing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::Link;
use super::{over_memory, pattern, to};

/// The clock stands still while there is something to do, and goes on when there is not: nothing here takes its time.
#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_stays_alive() {
    for sharing in [Sharing::Exclusive, Sharing::Shared] {
        let mut pair = over_memory(sharing, 4096);
        let mut stream = pair.relay.open(to(1)).unwrap();
        stream.write_all(b"GET").await.unwrap();
        let mut other = pair.opened.recv().await.unwrap().1;
        let answer = pattern(500_000, 4);
        let expected = answer.clone();
        let writer = tokio::spawn(async move {
            other.write_all(&answer).await.unwrap();
            other.shutdown().await.unwrap();
            let mut rest = Vec::new();
            other.read_to_end(&mut rest).await.unwrap();
        });
        tokio::time::sleep(Duration::from_secs(300)).await;
        let mut got = vec![0; expected.len()];
        stream.read_exact(&mut got).await.unwrap();
        assert!(got == expected);
        stream.shutdown().await.unwrap();
        writer.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_and_an_idle_connection_stay_alive() {
    for sharing in [Sharing::Exclusive, Sharing::Shared] {
        let mut pair = over_memory(sharing, 4096);
        tokio::time::sleep(Duration::from_secs(300)).await;
        let mut stream = pair.relay.open(to(1)).unwrap();
        stream.write_all(b"GET").await.unwrap();
        let mut other = pair.opened.recv().await.unwrap().1;
        let mut three = [0; 3];
        other.read_exact(&mut three).await.unwrap();
        let reader = tokio::spawn(async move { stream.read_exact(&mut [0; 3]).await.map(|_| ()) });
        tokio::time::sleep(Duration::from_secs(300)).await;
        other.write_all(b"end").await.unwrap();
        other.flush().await.unwrap();
        reader.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_dead_within_10_seconds() {
    for sharing in [Sharing::Exclusive, Sharing::Shared] {
        let (relay, _black_hole) = tokio::io::duplex(1 << 20);
        let mut link = Link::new(Role::Relay, sharing, Io::Other(Box::new(relay) as BoxIo), Bytes::new());
        let mut stream = link.handle().open(to(1)).unwrap();
        let start = tokio::time::Instant::now();
        let reader = tokio::spawn(async move { stream.read(&mut [0; 9]).await });
        let error = loop {
            if let Err(error) = link.event().await {
                break error;
            }
        };
        assert_eq!(error.code, Code::Silent);
        assert!(start.elapsed() < Duration::from_secs(10));
        assert!(reader.await.unwrap().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn last_words_that_nobody_takes_are_not_waited_for_long() {
    let (relay, _unread) = tokio::io::duplex(64);
    let mut link = Link::new(Role::Relay, Sharing::Exclusive, Io::Other(Box::new(relay) as BoxIo), Bytes::new());
    let handle = link.handle();
    let mut stream = handle.open(to(1)).unwrap();
    let writer = tokio::spawn(async move { stream.write_all(&[0; 10_000]).await });
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        handle.close(Code::Done);
    });
    assert_eq!(link.event().await.map(|_| ()).unwrap_err().code, Code::Done);
    drop(link);
    let _ = writer.await.unwrap();
}
