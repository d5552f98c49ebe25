//! Both machines against each other.

use std::time::Duration;

use super::*;

pub(super) const UNIX: u64 = 1_795_000_000;

pub(super) struct Everybody;

impl Policy for Everybody {
    fn secret(&self, kite: &Kite) -> Option<KiteSecret> {
        kite.domain().ends_with(".lab.test").then(|| KiteSecret::new("s3cr3t"))
    }

    fn verdict(&self, kite: &Kite) -> Verdict {
        match (kite.protocol(), kite.port()) {
            ("finger", _) => Verdict::Refused(Refusal::Protocol),
            (_, Some(25)) => Verdict::Refused(Refusal::Port),
            ("https", _) => Verdict::FliesWithTls,
            _ if kite.domain().starts_with("poor") => Verdict::Refused(Refusal::Quota),
            _ => Verdict::Flies,
        }
    }
}

fn kite(text: &str) -> Kite {
    let (protocol, domain) = text.split_once(':').unwrap();
    Kite::new(protocol, domain).unwrap()
}

fn back_end(kites: &[&str], secret: &str, compress: bool, replace: Option<&str>) -> BackEnd {
    let kites = kites.iter().map(|text| (kite(text), KiteSecret::new(secret))).collect();
    let replace = replace.map(str::to_owned);
    let options = BackEndOptions { kites, compress, replace, version: "1".into() };
    BackEnd::new(options, [3; 32], Duration::ZERO)
}

fn front_end(session: &str, compress: bool) -> FrontEnd {
    let options = FrontEndOptions {
        key: ChallengeKey::new([9; 32]),
        session: session.into(),
        protocols: ["http", "https", "raw", "websocket"].map(String::from).into(),
        ports: vec![80, 443],
        raw_ports: vec!["virtual".into()],
        compress,
        message: Some("hello".into()),
    };
    // Each front-end of a process has random bytes of its own.
    let random = std::array::from_fn(|at| session.as_bytes().get(at).copied().unwrap_or(0));
    FrontEnd::new(options, random, Duration::ZERO)
}

/// Carries all bytes that wait, in both directions, and lets claims be judged, until nothing moves.
fn settle(
    back: &mut BackEnd,
    front: &mut FrontEnd,
    sessions: &mut Sessions,
) -> (Vec<BackEndEvent>, Vec<FrontEndEvent>) {
    let (mut of_back, mut of_front) = (Vec::new(), Vec::new());
    loop {
        let bytes = back.output().to_vec();
        back.wrote(bytes.len());
        front.receive(&bytes, UNIX);
        while let Some(event) = front.next_event() {
            if let FrontEndEvent::Claims(claims) = event.clone() {
                let judgement = sessions.judge(front.session(), claims, &Everybody, UNIX);
                front.answer(&judgement.verdicts);
            }
            of_front.push(event);
        }
        let answer = front.output().to_vec();
        front.wrote(answer.len());
        back.receive(&answer);
        of_back.extend(std::iter::from_fn(|| back.next_event()));
        if bytes.is_empty() && answer.is_empty() {
            return (of_back, of_front);
        }
    }
}

fn outcomes(events: &[BackEndEvent]) -> Vec<(String, Outcome)> {
    let answers = events.iter().filter_map(|event| match event {
        BackEndEvent::Answers(answers) => Some(answers.clone()),
        _ => None,
    });
    answers.flatten().map(|Answer { kite, outcome }| (kite.to_string(), outcome)).collect()
}

pub(super) fn opening(protocol: &str) -> Opening {
    let visitor = Some("192.0.2.7:1234".parse().unwrap());
    Opening { protocol: protocol.into(), host: "a.lab.test".into(), port: 80, visitor, tls: false }
}

fn read_all(mut read: impl FnMut() -> Read) -> (Vec<u8>, Read) {
    let mut bytes = Vec::new();
    loop {
        match read() {
            Read::Data(data) => bytes.extend_from_slice(&data),
            end => return (bytes, end),
        }
    }
}

#[test]
fn kites_fly_or_are_told_why_not() {
    let kites = ["http:a.lab.test", "https:a.lab.test", "finger:a.lab.test", "raw-25:a.lab.test", "http:poor.lab.test"];
    let mut back = back_end(&[&kites[..], &["http:else.where"]].concat(), "s3cr3t", true, None);
    let mut front = front_end("one", true);
    let mut sessions = Sessions::default();
    let (events, _) = settle(&mut back, &mut front, &mut sessions);
    let BackEndEvent::Up(welcome) = &events[0] else { panic!("{events:?}") };
    assert_eq!((welcome.session.as_deref(), &welcome.messages[..]), (Some("one"), &["hello".to_owned()][..]));
    assert_eq!(
        (&welcome.tls[..], &welcome.ports[..]),
        (&["a.lab.test".to_owned()][..], &["80".to_owned(), "443".into()][..])
    );
    let refused = |why: &str| Outcome::Refused(why.into());
    let mut got = outcomes(&events);
    got.sort_by_key(|(kite, _)| kite.clone());
    let mut wanted = [Outcome::Flies, Outcome::Flies, refused("proto"), refused("port"), refused("quota")].to_vec();
    wanted.push(refused("unauthorized"));
    let names = [&kites[..], &["http:else.where"]].concat();
    let mut wanted: Vec<_> = names.into_iter().map(String::from).zip(wanted).collect();
    wanted.sort_by_key(|(kite, _)| kite.clone());
    assert_eq!(got, wanted);
    assert_eq!(sessions.find("websocket", "A.lab.test", 443), Some("one"));
    assert_eq!(sessions.find("raw", "a.lab.test", 25), None);

    assert!(back.add(kite("raw:a.lab.test"), KiteSecret::new("s3cr3t")));
    let (events, _) = settle(&mut back, &mut front, &mut sessions);
    assert_eq!(outcomes(&events), [("raw:a.lab.test".into(), Outcome::Flies)]);
    assert_eq!(sessions.find("raw", "a.lab.test", 22), Some("one"));

    front.set_quota(Quota { traffic: Some(5), days: None, connections: Some(2) });
    let (events, _) = settle(&mut back, &mut front, &mut sessions);
    assert_eq!(events, [BackEndEvent::Quota(Quota { traffic: Some(5), days: None, connections: Some(2) })]);
}

#[test]
fn a_wrong_secret_is_refused_and_a_taken_name_stays_with_its_session() {
    let mut sessions = Sessions::default();
    let (mut back, mut front) = (back_end(&["http:a.lab.test"], "wrong", false, None), front_end("zero", false));
    let (events, told) = settle(&mut back, &mut front, &mut sessions);
    assert_eq!(outcomes(&events), [("http:a.lab.test".into(), Outcome::Refused("signature".into()))]);
    assert_eq!(events.last(), Some(&BackEndEvent::Ended(End::Refused)));
    assert_eq!(told.last(), Some(&FrontEndEvent::Ended(End::Refused)));
    assert_eq!(sessions.domains().len(), 0);

    let (mut back, mut front) = (back_end(&["http:a.lab.test"], "s3cr3t", false, None), front_end("one", false));
    settle(&mut back, &mut front, &mut sessions);
    let (mut back, mut front) = (back_end(&["http:a.lab.test"], "s3cr3t", false, None), front_end("two", false));
    let (events, _) = settle(&mut back, &mut front, &mut sessions);
    assert_eq!(outcomes(&events), [("http:a.lab.test".into(), Outcome::Duplicate)]);
    assert_eq!(sessions.find("http", "a.lab.test", 80), Some("one"));

    // Whoever knows the session's name, and the secret, is its owner.
    let mut back = back_end(&["http:a.lab.test"], "s3cr3t", false, Some("one"));
    let (events, _) = settle(&mut back, &mut front_end("three", false), &mut sessions);
    assert_eq!(outcomes(&events), [("http:a.lab.test".into(), Outcome::Flies)]);
    assert_eq!(sessions.find("http", "a.lab.test", 80), Some("three"));
    let mut back = back_end(&["http:a.lab.test"], "wrong", false, Some("three"));
    settle(&mut back, &mut front_end("four", false), &mut sessions);
    assert_eq!(sessions.find("http", "a.lab.test", 80), Some("three"));
    sessions.leave("three");
    assert_eq!(sessions.find("http", "a.lab.test", 80), None);
}

#[test]
fn an_answer_to_a_challenge_counts_once() {
    let (mut back, mut front) = (back_end(&["http:a.lab.test"], "s3cr3t", false, None), front_end("one", false));
    let mut sessions = Sessions::default();
    front.receive(back.output(), UNIX);
    back.wrote(back.output().len());
    back.receive(front.output());
    front.wrote(front.output().len());
    let answer = back.output().to_vec();
    front.receive(&answer, UNIX);
    let Some(FrontEndEvent::Claims(claims)) = front.next_event() else { panic!() };
    let flies = sessions.judge("one", claims.clone(), &Everybody, UNIX);
    assert_eq!(flies.verdicts[0].1, Verdict::Flies);
    sessions.leave("one");
    let again = sessions.judge("two", claims.clone(), &Everybody, UNIX + 500);
    assert_eq!(again.verdicts[0].1, Verdict::Refused(Refusal::Signature));
    // Later its challenge is too old, so that it need not be remembered.
    let head =
        format!("CONNECT PageKite:1 HTTP/1.0\r\n{}\r\n", String::from_utf8_lossy(&answer).lines().nth(3).unwrap());
    let mut late = front_end("three", false);
    late.receive(format!("{head}\r\n").as_bytes(), UNIX + 1200);
    assert_eq!(late.next_event(), None);
    assert!(String::from_utf8_lossy(late.output()).contains("SignThis"));
}

#[test]
fn a_front_end_without_add_kites_is_answered_on_a_second_connection() {
    let mut back = back_end(&["http:a.lab.test"], "s3cr3t", false, None);
    let mut front = front_end("one", false);
    front.receive(back.output(), UNIX);
    let head = String::from_utf8_lossy(front.output()).replace("X-PageKite-Features: AddKites\r\n", "");
    back.receive(head.as_bytes());
    assert_eq!(back.next_event(), Some(BackEndEvent::Ended(End::ConnectAgain)));
    let mut back = back.again(Duration::ZERO);
    assert!(String::from_utf8_lossy(back.output()).contains("X-PageKite-Replace: one\r\n"));
    let (events, _) = settle(&mut back, &mut front_end("two", false), &mut Sessions::default());
    assert_eq!(outcomes(&events), [("http:a.lab.test".into(), Outcome::Flies)]);
}

pub(super) fn up(compress: bool) -> (BackEnd, FrontEnd, Sessions) {
    let (mut back, mut front) = (back_end(&["http:a.lab.test"], "s3cr3t", compress, None), front_end("one", compress));
    let mut sessions = Sessions::default();
    settle(&mut back, &mut front, &mut sessions);
    (back, front, sessions)
}

#[test]
fn a_request_and_its_response() {
    let (mut back, mut front, mut sessions) = up(false);
    let (sid, taken) = front.open(&opening("websocket"), b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(taken, 18);
    front.finish(&sid);
    let (events, _) = settle(&mut back, &mut front, &mut sessions);
    let opened = StreamEvent::Opened { sid: sid.clone(), kite: kite("http:a.lab.test"), opening: opening("websocket") };
    assert_eq!(events, [BackEndEvent::Stream(opened), BackEndEvent::Stream(StreamEvent::Readable(sid.clone()))]);
    assert_eq!(read_all(|| back.read(&sid)), (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Read::Finished));
    assert_eq!(back.send(&sid, b"HTTP/1.1 200 OK"), 15);
    back.finish(&sid);
    let (events, told) = settle(&mut back, &mut front, &mut sessions);
    assert_eq!(events, [BackEndEvent::Stream(StreamEvent::Closed(sid.clone()))]);
    assert_eq!(told, [FrontEndEvent::Stream(StreamEvent::Readable(sid.clone()))]);
    assert_eq!(read_all(|| front.read(&sid)), (b"HTTP/1.1 200 OK".to_vec(), Read::Finished));
    assert_eq!(front.next_event(), Some(FrontEndEvent::Stream(StreamEvent::Closed(sid.clone()))));
    assert_eq!((front.read(&sid), back.read(&sid)), (Read::Gone, Read::Gone));
}

#[test]
fn streams_for_what_does_not_fly_are_ended_without_a_word_to_anybody() {
    let (mut back, mut front, mut sessions) = up(false);
    let mut other = opening("raw");
    other.port = 22;
    let (sid, _) = front.open(&other, b"x").unwrap();
    let (events, told) = settle(&mut back, &mut front, &mut sessions);
    assert_eq!(events, []);
    assert!(told.contains(&FrontEndEvent::Stream(StreamEvent::Stopped(sid))));
}

#[test]
fn silence_after_a_ping_ends_a_tunnel_and_an_answer_does_not() {
    let (mut back, mut front, mut sessions) = up(false);
    let at = front.deadline().unwrap();
    assert_eq!(at, limits::PING_EVERY);
    front.tick(at);
    settle(&mut back, &mut front, &mut sessions);
    assert_eq!(front.deadline(), Some(at + limits::PING_EVERY));
    front.tick(at + limits::PING_EVERY);
    assert_eq!(front.deadline(), Some(at + limits::PING_EVERY + limits::PING_PATIENCE));
    front.tick(at + limits::PING_EVERY + limits::PING_PATIENCE);
    assert_eq!(front.next_event(), Some(FrontEndEvent::Ended(End::Broken(PageKiteError::Silent))));
    // Back-ends ask for no answer, so that none can be missing.
    for times in 1..5 {
        back.tick(limits::PING_EVERY * times);
        assert_eq!((back.deadline(), back.next_event()), (Some(limits::PING_EVERY * (times + 1)), None));
    }
    let mut back = back_end(&["http:a.lab.test"], "s3cr3t", false, None);
    back.tick(back.deadline().unwrap());
    assert_eq!(back.next_event(), Some(BackEndEvent::Ended(End::Broken(PageKiteError::HandshakeTimeout))));
}

#[test]
fn a_slow_reader_holds_up_its_own_stream_only() {
    let (mut back, mut front, mut sessions) = up(false);
    let (slow, _) = front.open(&opening("http"), b"slow").unwrap();
    let (fast, _) = front.open(&opening("http"), b"fast").unwrap();
    settle(&mut back, &mut front, &mut sessions);
    let data = vec![b'x'; 100_000];
    let mut sent = 0;
    for _ in 0..100 {
        sent += back.send(&slow, &data);
        settle(&mut back, &mut front, &mut sessions);
    }
    let most = limits::SEND_WINDOW + limits::ACK_AHEAD;
    assert!((limits::SEND_WINDOW..=most).contains(&(sent as u64)), "{sent}");
    assert!(front.wants_input());
    assert_eq!(back.send(&fast, &data), data.len());
    settle(&mut back, &mut front, &mut sessions);
    assert_eq!(read_all(|| front.read(&fast)).0.len(), data.len());
    assert_eq!(read_all(|| front.read(&slow)).0.len(), sent);
    let (events, _) = settle(&mut back, &mut front, &mut sessions);
    assert!(events.contains(&BackEndEvent::Stream(StreamEvent::Writable(slow))), "{events:?}");
}

#[test]
fn what_came_before_the_end_can_be_read() {
    let (mut back, mut front, mut sessions) = up(true);
    let (sid, _) = front.open(&opening("http"), b"hello").unwrap();
    settle(&mut back, &mut front, &mut sessions);
    back.send(&sid, b"part");
    settle(&mut back, &mut front, &mut sessions);
    back.close();
    let (_, told) = settle(&mut back, &mut front, &mut sessions);
    assert_eq!(told, [FrontEndEvent::Ended(End::Closed)]);
    assert_eq!(read_all(|| front.read(&sid)), (b"part".to_vec(), Read::Gone));
    assert_eq!(front.send(&sid, b"x"), 0);
}

/// A conversation of which each byte in turn is another: whatever becomes of it, nobody panics and all bounds hold.
#[test]
fn changed_bytes_are_judged() {
    let (mut back, mut front, mut sessions) = up(true);
    let (sid, _) = front.open(&opening("http"), &[b'x'; 200]).unwrap();
    front.set_quota(Quota { traffic: Some(1), ..Quota::default() });
    front.ping(Duration::ZERO);
    front.finish(&sid);
    let to_back = front.output().to_vec();
    settle(&mut back, &mut front, &mut sessions);
    back.send(&sid, &[b'y'; 200]);
    back.finish(&sid);
    let to_front = back.output().to_vec();
    let head = back_end(&["http:a.lab.test", "raw:a.lab.test"], "s3cr3t", true, Some("x")).output().to_vec();
    let mut asked = front_end("one", true);
    asked.receive(&head, UNIX);
    let answer = asked.output().to_vec();

    let changes = |bytes: &[u8]| {
        let bytes = bytes.to_vec();
        (0..bytes.len()).flat_map(move |at| {
            [b'0', b'\n', b':', 0xff].map(|byte| {
                let mut changed = bytes.clone();
                changed[at] = byte;
                changed
            })
        })
    };
    let of_back = |mut back: BackEnd, bytes: &[u8]| {
        back.receive(bytes);
        while let Some(event) = back.next_event() {
            if let BackEndEvent::Stream(event) = event {
                back.read(event.sid());
                back.send(event.sid(), b"answer");
            }
        }
        back.check();
    };
    let of_front = |mut front: FrontEnd, bytes: &[u8]| {
        front.receive(bytes, UNIX);
        while let Some(event) = front.next_event() {
            match event {
                FrontEndEvent::Claims(claims) => {
                    let judged = Sessions::default().judge("one", claims, &Everybody, UNIX);
                    front.answer(&judged.verdicts);
                }
                FrontEndEvent::Stream(event) => drop(front.read(event.sid())),
                FrontEndEvent::Ended(_) => {}
            }
        }
        front.check();
    };
    for bytes in changes(&head) {
        of_front(front_end("one", true), &bytes);
    }
    for bytes in changes(&answer) {
        of_back(back_end(&["http:a.lab.test", "raw:a.lab.test"], "s3cr3t", true, None), &bytes);
    }
    for bytes in changes(&to_back) {
        of_back(up(true).0, &bytes);
    }
    for bytes in changes(&to_front) {
        let (_, mut front, _) = up(true);
        front.open(&opening("http"), b"");
        of_front(front, &bytes);
    }
}

#[test]
fn nothing_is_lost_of_what_came_before_a_hang_up_and_reading_pauses_at_a_crowd() {
    let (mut back, mut front, mut sessions) = up(false);
    let (sid, _) = front.open(&opening("http"), b"hello").unwrap();
    settle(&mut back, &mut front, &mut sessions);
    // A back-end that heeds no acknowledgements.
    let frame = format!("{:x}\r\nSID: {sid}\r\n\r\n{}", 10 + 60_000, "x".repeat(60_000));
    let mut came = 0;
    while front.wants_input() {
        front.receive(frame.as_bytes(), UNIX);
        front.check();
        came += 60_000;
    }
    assert!((limits::MAX_STREAM_UNREAD..limits::MAX_STREAM_UNREAD + 100_000).contains(&came));
    front.receive(frame.as_bytes(), UNIX);
    front.receive(format!("17\r\nSID: {sid}\r\nEOF: 1R\r\n\r\nBye!").as_bytes(), UNIX);
    // Nobody can be told to be silent meanwhile.
    front.tick(limits::PING_EVERY);
    front.tick(limits::PING_EVERY + limits::PING_PATIENCE);
    front.hang_up();
    assert_eq!(front.next_event(), Some(FrontEndEvent::Stream(StreamEvent::Readable(sid.clone()))));
    let mut read = 0;
    let mut events = Vec::new();
    loop {
        match front.read(&sid) {
            Read::Data(data) => read += data.len(),
            Read::Finished => break,
            other => panic!("{other:?} after {read} bytes"),
        }
        events.extend(std::iter::from_fn(|| front.next_event()));
    }
    assert_eq!(read, came + 60_000);
    assert_eq!(events, [FrontEndEvent::Ended(End::Closed)]);
}
