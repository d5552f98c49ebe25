use std::io::ErrorKind;

use doorstep_proto::tunnel::limits::MAX_STREAMS;
use doorstep_proto::tunnel::{Code, OpenError, Sharing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{echo, over_memory, over_tls, pattern, read_all, to};

#[tokio::test]
async fn many_streams_at_once() {
    let mut pair = over_tls(Sharing::Shared).await;
    let visitors: Vec<_> = (0..100)
        .map(|number| {
            let stream = pair.relay.open(to(1)).unwrap();
            tokio::spawn(async move {
                let said = pattern(100_000 + number * 31, number as u32);
                let expected = said.clone();
                let (mut read, mut write) = tokio::io::split(stream);
                let writer = tokio::spawn(async move {
                    write.write_all(&said).await.unwrap();
                    write.shutdown().await.unwrap();
                });
                let mut got = Vec::new();
                read.read_to_end(&mut got).await.unwrap();
                writer.await.unwrap();
                assert!(got == expected, "stream {number}");
            })
        })
        .collect();
    for _ in 0..visitors.len() {
        tokio::spawn(echo(pair.opened.recv().await.unwrap().1));
    }
    for visitor in visitors {
        visitor.await.unwrap();
    }
    assert_eq!(pair.relay.streams(), 0);
}

#[tokio::test]
async fn a_reader_that_is_behind_stops_nobody_else() {
    let mut pair = over_tls(Sharing::Shared).await;
    let mut slow = pair.relay.open(to(1)).unwrap();
    slow.write_all(b"all of it").await.unwrap();
    let mut to_slow = pair.opened.recv().await.unwrap().1;
    let large = pattern(3_000_000, 5);
    let expected = large.clone();
    let writer = tokio::spawn(async move {
        to_slow.write_all(&large).await.unwrap();
        to_slow.shutdown().await.unwrap();
        // Held until everything was taken, so that nothing is cut short by its going.
        let mut rest = Vec::new();
        to_slow.read_to_end(&mut rest).await.unwrap();
    });
    for _ in 0..20 {
        let mut fast = pair.relay.open(to(1)).unwrap();
        let said = pattern(300_000, 9);
        let expected = said.clone();
        tokio::spawn(echo(pair.opened.recv().await.unwrap().1));
        let (mut read, mut write) = tokio::io::split(&mut fast);
        let mut got = Vec::new();
        let send = async {
            write.write_all(&said).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let (_, read) = tokio::join!(send, read.read_to_end(&mut got));
        read.unwrap();
        assert!(got == expected);
    }
    slow.shutdown().await.unwrap();
    assert!(read_all(&mut slow).await.unwrap() == expected);
    writer.await.unwrap();
}

#[tokio::test]
async fn who_drops_a_stream_resets_that_one_only() {
    let mut pair = over_tls(Sharing::Shared).await;
    let mut one = pair.relay.open(to(1)).unwrap();
    let two = pair.relay.open(to(1)).unwrap();
    let mut other_one = pair.opened.recv().await.unwrap().1;
    let mut other_two = pair.opened.recv().await.unwrap().1;
    drop(two);
    assert_eq!(read_all(&mut other_two).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    one.write_all(b"still here").await.unwrap();
    let mut ten = [0; 10];
    other_one.read_exact(&mut ten).await.unwrap();
    assert_eq!(&ten, b"still here");
    pair.agent_task.abort();
    assert!(read_all(&mut one).await.is_err());
    assert_eq!(pair.relay_task.await.unwrap().code, Code::Lost);
}

#[tokio::test]
async fn an_answer_outlives_who_gave_it() {
    let mut pair = over_memory(Sharing::Shared, 1000);
    let mut stream = pair.relay.open(to(1)).unwrap();
    let mut other = pair.opened.recv().await.unwrap().1;
    let answer = pattern(200_000, 2);
    let expected = answer.clone();
    tokio::spawn(async move {
        other.write_all(&answer).await.unwrap();
        other.shutdown().await.unwrap();
    });
    assert!(read_all(&mut stream).await.unwrap() == expected);
}

#[tokio::test]
async fn no_more_streams_than_there_may_be() {
    let mut pair = over_tls(Sharing::Shared).await;
    let streams: Vec<_> = (0..MAX_STREAMS).map(|_| pair.relay.open(to(1)).unwrap()).collect();
    assert_eq!(pair.relay.open(to(1)).err(), Some(OpenError::Busy));
    drop(streams);
    pair.freed.recv().await.unwrap();
    pair.relay.open(to(1)).unwrap();
}

#[tokio::test]
async fn datagrams_stay_whole_and_the_oldest_are_lost_first() {
    let mut pair = over_tls(Sharing::Shared).await;
    let mut flow = pair.relay.open(to(2)).unwrap();
    let mut other = pair.opened.recv().await.unwrap().1;
    let mut buf = vec![0; 65536];
    for size in [1, 1200, 1, 65_507] {
        let sent = pattern(size, size as u32);
        assert_eq!(flow.write(&sent).await.unwrap(), size);
        assert_eq!(other.read(&mut buf).await.unwrap(), size);
        assert!(buf[..size] == sent);
    }
    // What does not fit is cut, and the next one begins where it should.
    other.write_all(b"long").await.unwrap();
    other.write_all(b"short").await.unwrap();
    assert_eq!(flow.read(&mut buf[..2]).await.unwrap(), 2);
    assert_eq!(flow.read(&mut buf).await.unwrap(), 5);
    for number in 0..1000_u32 {
        other.write_all(&number.to_be_bytes()).await.unwrap();
    }
    other.shutdown().await.unwrap();
    let mut got = Vec::new();
    while let Ok(4) = flow.read(&mut buf).await {
        got.push(u32::from_be_bytes(buf[..4].try_into().unwrap()));
    }
    assert!(got.is_sorted());
    assert_eq!(got.last(), Some(&999));
}
