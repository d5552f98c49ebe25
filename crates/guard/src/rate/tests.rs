use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorstep_http::body::FileRange;
use doorstep_http::{Body, BodyError, BoxFuture, Request, Response, Service};
use doorstep_model::ByteRate;
use http::StatusCode;
use http_body::{Body as _, Frame};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::*;
use crate::limits::{MAX_PACED_CLIENTS, RATE_BURST, SLICE_TIME};

fn client(n: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + n).to_be_bytes())
}

fn gate(pacer: &Arc<Pacer>, n: u32) -> Gate {
    Gate::new(Arc::clone(pacer), client(n))
}

/// Reads a body for some time: when each frame came, and how long it was.
async fn read_for(mut body: Body, time: Duration) -> Vec<(Instant, usize)> {
    let (end, mut frames) = (Instant::now() + time, Vec::new());
    let next = async |body: &mut Body| std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_frame(cx)).await;
    while let Ok(Some(frame)) = tokio::time::timeout_at(end, next(&mut body)).await {
        frames.push((Instant::now(), frame.unwrap().into_data().unwrap().len()));
    }
    frames
}

fn bytes_of(frames: &[(Instant, usize)]) -> u64 {
    frames.iter().map(|frame| frame.1 as u64).sum()
}

/// Asserts that no stretch of time, wherever it begins, moved more than its rate; and the smallness of the slices.
fn assert_within(frames: &[(Instant, usize)], rate: u64) {
    let slack = RATE_BURST + SLICE_TIME + Duration::from_millis(2);
    // Stretches that begin at any of a thousand frames, evenly spread, say as much as all of them.
    for first in (0..frames.len()).step_by(frames.len() / 1000 + 1) {
        let start = &frames[first].0;
        let mut moved = 0;
        for (at, bytes) in &frames[first..] {
            moved += *bytes as u64;
            let allowed = (at.duration_since(*start) + slack).as_secs_f64() * rate as f64 + 1.0;
            assert!(moved as f64 <= allowed, "{moved} bytes in {:?} at {rate}/s", at.duration_since(*start));
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn one_body_never_exceeds_the_rate_and_reaches_it(rate in 1_000u64..50_000_000, frame in 1usize..400_000) {
        block_on(async {
            let pacer = Arc::new(Pacer::new(ByteRate { per_client: rate, total: u64::MAX }));
            let time = Duration::from_secs(2);
            let most = usize::try_from(rate * 3).unwrap();
            let frames = Frames { left: most, frame };
            let seen = read_for(paced(Body::stream(frames), gate(&pacer, 1)), time).await;
            assert_within(&seen, rate);
            let moved = bytes_of(&seen);
            // Frames that are much smaller than what a millisecond carries are bounded by the timer, which is fine.
            if frame as u64 * 500 > rate {
                assert!(moved >= rate * 2 * 9 / 10 , "{moved} of {}", rate * 2);
            }
        });
    }

    #[test]
    fn the_total_holds_and_is_shared_among_clients(
        total in 20_000u64..20_000_000, bodies in prop::collection::vec(1usize..8, 2..6),
    ) {
        block_on(async {
            let pacer = Arc::new(Pacer::new(ByteRate { per_client: u64::MAX, total }));
            let time = Duration::from_secs(8);
            let mut tasks = Vec::new();
            for (n, count) in bodies.iter().enumerate() {
                for _ in 0..*count {
                    let frames = Frames { left: usize::MAX, frame: 100_000 };
                    let body = paced(Body::stream(frames), gate(&pacer, n as u32));
                    tasks.push((n, tokio::spawn(read_for(body, time))));
                }
            }
            let mut all = Vec::new();
            let mut moved = vec![0; bodies.len()];
            for (n, task) in tasks {
                let frames = task.await.unwrap();
                moved[n] += bytes_of(&frames);
                all.extend(frames);
            }
            all.sort();
            assert_within(&all, total);
            let sum: u64 = moved.iter().sum();
            assert!(sum >= total * 8 * 9 / 10, "{sum} of {}", total * 8);
            let fair = sum / bodies.len() as u64;
            for share in &moved {
                assert!((fair / 2..fair * 2).contains(share), "{moved:?} with {bodies:?} bodies");
            }
        });
    }
}

/// Bytes that each of some clients gets in 10 s of a shared total, with so many connections each, client after client
/// beginning half a second apart.
async fn shares(total: u64, connections: &[usize]) -> Vec<u64> {
    let pacer = Arc::new(Pacer::new(ByteRate { per_client: u64::MAX, total }));
    let (start, mut tasks) = (Instant::now(), Vec::new());
    for (n, count) in connections.iter().enumerate() {
        for _ in 0..*count {
            let body = paced(Body::stream(Frames { left: usize::MAX, frame: 100_000 }), gate(&pacer, n as u32));
            tasks.push((n, tokio::spawn(read_for(body, Duration::from_secs(20)))));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (from, to) = (start + Duration::from_secs(5), start + Duration::from_secs(15));
    let mut moved = vec![0; connections.len()];
    for (n, task) in tasks {
        let frames = task.await.unwrap();
        moved[n] += bytes_of(&frames.into_iter().filter(|(at, _)| (from..to).contains(at)).collect::<Vec<_>>());
    }
    moved
}

#[tokio::test(start_paused = true)]
async fn many_connections_get_no_more_than_one() {
    for total in [100_000, 1_000_000, 50_000_000] {
        for connections in [&[50, 1][..], &[1, 50], &[50, 1, 1, 1], &[10, 50, 1]] {
            let moved = shares(total, connections).await;
            let fair = total * 10 / connections.len() as u64;
            for share in &moved {
                assert!((fair * 9 / 10..=fair * 11 / 10).contains(share), "{moved:?} with {connections:?} at {total}");
            }
        }
    }
}

/// An endless or long body in frames of one size.
struct Frames {
    left: usize,
    frame: usize,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let size = self.frame.min(self.left);
        self.left -= size;
        std::task::Poll::Ready((size > 0).then(|| Ok(Frame::data(Bytes::from(vec![b'x'; size])))))
    }
}

#[tokio::test(start_paused = true)]
async fn files_are_paced_whole_and_keep_their_length() {
    let content: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    let file = tempfile::tempfile().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &content, 0).unwrap();
    let range = FileRange { file: Arc::new(file), offset: 1000, len: 200_000 };
    let pacer = Arc::new(Pacer::new(ByteRate { per_client: 100_000, total: 100_000 }));
    let body = paced(Body::File(range.clone()), gate(&pacer, 1));
    assert_eq!(body.len(), Some(200_000));
    let start = Instant::now();
    assert_eq!(body.collect(1 << 20).await.unwrap(), &content[1000..201_000]);
    assert!(start.elapsed() >= Duration::from_millis(1900), "{:?}", start.elapsed());

    let beyond = FileRange { offset: 299_000, ..range };
    let error = paced(Body::File(beyond), gate(&pacer, 2)).collect(1 << 20).await.unwrap_err();
    assert!(matches!(error, BodyError::File(_)));
}

#[tokio::test(start_paused = true)]
async fn lengths_shrink_with_what_is_read() {
    let pacer = Arc::new(Pacer::new(ByteRate { per_client: 1000, total: 1000 }));
    let mut body = PacedBody::new(Body::from("x".repeat(50)), gate(&pacer, 1));
    assert_eq!(body.size_hint().exact(), Some(50));
    let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await.unwrap().unwrap();
    assert_eq!((frame.into_data().unwrap().len(), body.size_hint().exact()), (20, Some(30)));
    assert!(!body.is_end_stream());
    assert!(paced(Body::Empty, gate(&pacer, 1)).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_connection_is_paced_both_ways() {
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let pacer = || Arc::new(Pacer::new(ByteRate { per_client: 10_000, total: 10_000 }));
    let mut paced = PacedIo::new(Box::new(near), gate(&pacer(), 1), gate(&pacer(), 1));
    let start = Instant::now();
    paced.write_all(&[b'a'; 20_000]).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(1900), "{:?}", start.elapsed());
    far.write_all(&[b'b'; 20_000]).await.unwrap();
    let start = Instant::now();
    let mut back = vec![0; 20_000];
    paced.read_exact(&mut back).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(1900), "{:?}", start.elapsed());
    assert!(back.iter().all(|byte| *byte == b'b'));
    far.read_exact(&mut back).await.unwrap();
    assert!(back.iter().all(|byte| *byte == b'a'));
}

#[test]
fn the_table_of_clients_is_bounded() {
    block_on(async {
        let pacer = Pacer::new(ByteRate { per_client: 1000, total: u64::MAX });
        let now = Instant::now();
        let turns: Vec<_> = (0..MAX_PACED_CLIENTS as u32).map(|n| pacer.turn(client(n), 1000, now)).collect();
        assert!(turns.iter().all(|turn| turn.at <= now));
        // The rest share one clock, so the second of them waits for the first.
        let crowd = pacer.turn(client(1 << 20), 1000, now);
        assert!(crowd.at <= now);
        assert!(pacer.turn(client(1 << 21), 1000, now).at > now);
        // Who is done and idle makes room, who waits does not.
        let later = now + Duration::from_secs(60);
        pacer.done(turns[5]);
        assert!(pacer.turn(client(1 << 22), 1000, later).at <= later);
        assert!(pacer.turn(client(1 << 23), 1000, later).at <= later);
        assert!(pacer.turn(client(1 << 24), 1000, later).at > later);
    });
}

struct Echo;

impl Service for Echo {
    fn call<'a>(&'a self, mut request: Request) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let bytes = request.body.take().collect(1 << 20).await.unwrap();
            Response::new(StatusCode::OK).with_body(bytes)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn what_visitors_send_is_paced_too() {
    let limit = RateLimit::new(ByteRate { per_client: 10_000, total: 10_000 }, Arc::new(Echo));
    let mut request = Request::get("/");
    request.body = Body::from("x".repeat(20_000));
    let mut conn = (*request.conn).clone();
    conn.peer = SocketAddr::new(client(9), 1);
    request.conn = conn.into();
    let start = Instant::now();
    let response = limit.call(request).await;
    assert!(start.elapsed() >= Duration::from_millis(1900), "{:?}", start.elapsed());
    assert_eq!(response.body.collect(1 << 20).await.unwrap().len(), 20_000);
    assert!(start.elapsed() >= Duration::from_millis(3800), "{:?}", start.elapsed());
}
