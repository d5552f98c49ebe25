use std::io::{ErrorKind, IoSlice};

use doorstep_proto::tunnel::{Code, OpenError, Sharing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{echo, over_memory, over_tls, pattern, read_all, to};
use crate::OpenFailed;

#[tokio::test]
async fn one_stream_after_the_other() {
    let mut pair = over_tls(Sharing::Exclusive).await;
    for round in 0..50 {
        let mut stream = pair.relay.open(to(1)).unwrap();
        assert_eq!(pair.relay.open(to(1)).err(), Some(OpenError::Busy));
        let said = pattern(round * 997, round as u32);
        stream.write_all(&said).await.unwrap();
        stream.shutdown().await.unwrap();
        let (open, other) = pair.opened.recv().await.unwrap();
        assert_eq!(open, to(1));
        tokio::spawn(echo(other));
        assert!(read_all(&mut stream).await.unwrap() == said);
        drop(stream);
        pair.freed.recv().await.unwrap();
        assert_eq!(pair.relay.streams(), 0);
    }
    assert_eq!(pair.relay.traffic().streams, 50);
    assert_eq!(pair.relay.traffic().sent, pair.agent.traffic().received);
}

#[tokio::test]
async fn megabytes_both_ways_at_once() {
    let mut pair = over_tls(Sharing::Exclusive).await;
    let stream = pair.relay.open(to(1)).unwrap();
    let said = pattern(9_000_001, 7);
    let expected = said.clone();
    let (mut read, mut write) = tokio::io::split(stream);
    let writer = tokio::spawn(async move {
        for piece in said.chunks(100_003) {
            write.write_all(piece).await.unwrap();
        }
        write.shutdown().await.unwrap();
        write
    });
    tokio::spawn(echo(pair.opened.recv().await.unwrap().1));
    let mut got = Vec::new();
    read.read_to_end(&mut got).await.unwrap();
    assert!(got == expected);
    writer.await.unwrap();
}

#[tokio::test]
async fn each_direction_ends_for_itself() {
    let mut pair = over_tls(Sharing::Exclusive).await;
    let mut stream = pair.relay.open(to(1)).unwrap();
    stream.shutdown().await.unwrap();
    let mut other = pair.opened.recv().await.unwrap().1;
    other.accept();
    assert_eq!(read_all(&mut other).await.unwrap(), b"");
    other.write_all(b"first").await.unwrap();
    other.flush().await.unwrap();
    let mut five = [0; 5];
    stream.read_exact(&mut five).await.unwrap();
    assert_eq!(stream.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    other.write_all(b" second").await.unwrap();
    other.shutdown().await.unwrap();
    drop(other);
    assert_eq!(read_all(&mut stream).await.unwrap(), b" second");
    pair.freed.recv().await.unwrap();
}

#[tokio::test]
async fn a_server_may_speak_first() {
    let mut pair = over_tls(Sharing::Exclusive).await;
    let mut stream = pair.relay.open(to(1)).unwrap();
    let mut other = pair.opened.recv().await.unwrap().1;
    other.accept();
    other.write_all(b"220 hello").await.unwrap();
    other.flush().await.unwrap();
    stream.accepted().await.unwrap();
    let mut nine = [0; 9];
    stream.read_exact(&mut nine).await.unwrap();
    assert_eq!(&nine, b"220 hello");
}

#[tokio::test]
async fn who_drops_a_stream_resets_it_and_the_next_one_comes() {
    let mut pair = over_tls(Sharing::Exclusive).await;
    let mut stream = pair.relay.open(to(1)).unwrap();
    stream.write_all(b"half a req").await.unwrap();
    let mut other = pair.opened.recv().await.unwrap().1;
    drop(stream);
    pair.freed.recv().await.unwrap();
    assert_eq!(read_all(&mut other).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(other.write(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    // The old handle is still there, and in nobody's way.
    let mut stream = pair.relay.open(to(1)).unwrap();
    stream.write_all(b"again").await.unwrap();
    let mut next = pair.opened.recv().await.unwrap().1;
    let mut five = [0; 5];
    next.read_exact(&mut five).await.unwrap();
    drop(other);
    drop(next);
    assert_eq!(stream.read(&mut five).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    pair.freed.recv().await.unwrap();
}

#[tokio::test]
async fn an_end_that_was_said_is_not_taken_back_by_who_drops_then() {
    let mut pair = over_tls(Sharing::Exclusive).await;
    let mut stream = pair.relay.open(to(1)).unwrap();
    stream.write_all(b"GET").await.unwrap();
    let mut other = pair.opened.recv().await.unwrap().1;
    let answer = pattern(40_000, 3);
    other.write_all(&answer).await.unwrap();
    other.shutdown().await.unwrap();
    drop(other);
    assert!(read_all(&mut stream).await.unwrap() == answer);
}

#[tokio::test]
async fn an_app_that_is_not_there_is_told_as_such() {
    let mut pair = over_tls(Sharing::Exclusive).await;
    for code in [Code::DialRefused, Code::DialTimeout] {
        let mut stream = pair.relay.open(to(1)).unwrap();
        stream.write_all(b"GET").await.unwrap();
        pair.opened.recv().await.unwrap().1.reset(code);
        let error = stream.read(&mut [0; 9]).await.unwrap_err();
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<OpenFailed>());
        assert_eq!(inner, Some(&OpenFailed { code, retriable: true }));
        drop(stream);
        pair.freed.recv().await.unwrap();
    }
    // A claim that this agent did not make is refused without a question.
    let stream = pair.relay.open(to(77)).unwrap();
    let error = stream.accepted().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    // Once the app was reached, a reset is something else.
    drop(stream);
    pair.freed.recv().await.unwrap();
    let mut stream = pair.relay.open(to(1)).unwrap();
    let other = pair.opened.recv();
    stream.flush().await.unwrap();
    let other = other.await.unwrap().1;
    other.accept();
    other.reset(Code::DialRefused);
    assert_eq!(stream.read(&mut [0; 9]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_connection_that_breaks_ends_its_stream_on_both_sides() {
    let mut pair = over_tls(Sharing::Exclusive).await;
    let mut stream = pair.relay.open(to(1)).unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut other = pair.opened.recv().await.unwrap().1;
    pair.agent_task.abort();
    assert!(read_all(&mut stream).await.is_err());
    assert!(read_all(&mut other).await.is_err());
    assert_eq!(pair.relay_task.await.unwrap().code, Code::Lost);
    assert_eq!(pair.relay.open(to(1)).err(), Some(OpenError::Over));
}

#[tokio::test]
async fn closing_tells_the_other_side_why() {
    let mut pair = over_tls(Sharing::Exclusive).await;
    let mut stream = pair.relay.open(to(1)).unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut other = pair.opened.recv().await.unwrap().1;
    pair.relay.close(Code::RevokedKey);
    assert_eq!(read_all(&mut stream).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut five = [0; 5];
    other.read_exact(&mut five).await.unwrap();
    assert_eq!(other.read(&mut five).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(pair.relay_task.await.unwrap().code, Code::RevokedKey);
    assert_eq!(pair.agent_task.await.unwrap().code, Code::RevokedKey);
}

#[tokio::test]
async fn a_connection_whose_agent_may_be_stuck_is_not_used_again() {
    let mut pair = over_memory(Sharing::Exclusive, 1 << 20);
    let mut stream = pair.relay.open(to(1)).unwrap();
    stream.write_all(&pattern(100_000, 1)).await.unwrap();
    let _other = pair.opened.recv().await.unwrap().1;
    drop(stream);
    assert_eq!(pair.relay_task.await.unwrap().code, Code::Stalled);
}

#[tokio::test]
async fn pieces_that_are_written_together_stay_together() {
    for (sharing, most) in [(Sharing::Exclusive, 65_536), (Sharing::Shared, 131_080)] {
        let mut pair = over_tls(sharing).await;
        let mut stream = pair.relay.open(to(1)).unwrap();
        let (one, two) = (pattern(40, 1), pattern(131_040, 2));
        let pieces = [IoSlice::new(&one), IoSlice::new(&[]), IoSlice::new(&two)];
        assert_eq!(stream.write_vectored(&pieces).await.unwrap(), most);
        let mut other = pair.opened.recv().await.unwrap().1;
        let all = [one, two].concat();
        let (ended, got) = tokio::join!(stream.shutdown(), read_all(&mut other));
        ended.unwrap();
        assert!(got.unwrap() == all[..most]);
    }
}
