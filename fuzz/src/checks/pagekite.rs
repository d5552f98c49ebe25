use std::time::Duration;

use doorstep_proto::pagekite::{
    BackEnd, BackEndEvent, BackEndOptions, ChallengeKey, FrontEnd, FrontEndEvent, FrontEndOptions, Kite, KiteSecret,
    Opening, Policy, Read, Sessions, StreamEvent, limits, parse_connect, parse_probe, parse_tls_answer, recognise,
};

const UNIX: u64 = 1_795_000_000;

/// What comes from a front-end, head and frames, to a back-end that answers whatever it can.
pub fn back_end(data: &[u8]) {
    let _ = parse_probe(data);
    if let Ok(Some(taken)) = parse_tls_answer(data) {
        assert!(taken <= data.len());
    }
    let Some((step, data)) = super::split_off_byte(data) else { return };
    let kites = ["http", "raw-22"].map(|protocol| (Kite::new(protocol, "a.lab.test").expect("a name"), secret()));
    let options = BackEndOptions { kites: kites.into(), compress: true, replace: None, version: "1".into() };
    let mut machine = BackEnd::new(options, [3; 32], Duration::ZERO);
    for bytes in data.chunks(step + 1) {
        if !machine.wants_input() {
            break;
        }
        machine.receive(bytes);
        while let Some(event) = machine.next_event() {
            let BackEndEvent::Stream(event) = event else { continue };
            match event {
                StreamEvent::Opened { sid, .. } => assert!(machine.send(&sid, b"hello") <= 5),
                StreamEvent::Readable(sid) => while let Read::Data(_) = machine.read(&sid) {},
                StreamEvent::Stopped(sid) => machine.finish(&sid),
                StreamEvent::Writable(_) | StreamEvent::Closed(_) => {}
            }
        }
        held(machine.output());
    }
    machine.tick(Duration::from_secs(1000));
    machine.hang_up();
}

/// What comes from a back-end, head and frames, to a front-end with one visitor.
pub fn front_end(data: &[u8]) {
    let _ = recognise(data);
    if let Ok(Some(asked)) = parse_connect(data) {
        assert!(asked.length <= data.len() && asked.port > 0);
    }
    let Some((step, data)) = super::split_off_byte(data) else { return };
    let options = FrontEndOptions {
        key: ChallengeKey::new([9; 32]),
        session: "one".into(),
        protocols: vec!["http".into()],
        ports: vec![80],
        raw_ports: Vec::new(),
        compress: true,
        message: None,
    };
    let mut machine = FrontEnd::new(options, [4; 32], Duration::ZERO);
    let mut sessions = Sessions::default();
    for bytes in data.chunks(step + 1) {
        if !machine.wants_input() {
            break;
        }
        machine.receive(bytes, UNIX);
        while let Some(event) = machine.next_event() {
            match event {
                FrontEndEvent::Claims(claims) => {
                    let judgement = sessions.judge("one", claims, &Everybody, UNIX);
                    machine.answer(&judgement.verdicts);
                    visit(&mut machine);
                }
                FrontEndEvent::Stream(StreamEvent::Readable(sid)) => while let Read::Data(_) = machine.read(&sid) {},
                FrontEndEvent::Stream(StreamEvent::Stopped(sid)) => machine.finish(&sid),
                FrontEndEvent::Stream(_) | FrontEndEvent::Ended(_) => {}
            }
        }
        held(machine.output());
    }
    machine.tick(Duration::from_secs(1000));
    machine.hang_up();
}

struct Everybody;

impl Policy for Everybody {
    fn secret(&self, _: &Kite) -> Option<KiteSecret> {
        Some(secret())
    }
}

fn secret() -> KiteSecret {
    KiteSecret::new("s3cr3t")
}

fn visit(machine: &mut FrontEnd) {
    let opening = Opening { protocol: "http".into(), host: "a.lab.test".into(), port: 80, visitor: None, tls: false };
    if let Some((_, taken)) = machine.open(&opening, b"GET / HTTP/1.1\r\n\r\n") {
        assert_eq!(taken, 18);
    }
}

fn held(output: &[u8]) {
    assert!(output.len() <= limits::MAX_OUTPUT + limits::MAX_ANSWERS + limits::MAX_FRAME);
}
