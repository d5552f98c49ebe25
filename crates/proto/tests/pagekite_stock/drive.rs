//! A thin blocking driver for either machine.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use doorstep_proto::pagekite::{
    Answer, BackEnd, BackEndEvent, BackEndOptions, ChallengeKey, FrontEnd, FrontEndEvent, FrontEndOptions, Kite,
    KiteSecret, Policy, Read, Sessions, Sid, StreamEvent, Verdict, Welcome,
};

use crate::stock::SECRET;

/// How long a read waits before the machines are looked at again.
const TURN: Duration = Duration::from_millis(20);
/// No test should take so long.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Backed {
    pub machine: BackEnd,
    pub events: VecDeque<BackEndEvent>,
    pub answers: Vec<Answer>,
    stream: TcpStream,
    started: Instant,
}

impl Backed {
    pub fn connect(port: u16, kites: &[(Kite, &str)], compress: bool, replace: Option<String>) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(TURN)).unwrap();
        let kites = kites.iter().map(|(kite, secret)| (kite.clone(), KiteSecret::new(secret))).collect();
        let options = BackEndOptions { kites, compress, replace, version: "doorstep test".into() };
        let machine = BackEnd::new(options, std::array::from_fn(|at| at as u8), Duration::ZERO);
        Self { machine, events: VecDeque::new(), answers: Vec::new(), stream, started: Instant::now() }
    }

    /// Writes what there is, reads what comes within a moment.
    pub fn turn(&mut self) {
        assert!(self.started.elapsed() < PATIENCE, "{:?}", self.events);
        self.machine.tick(self.started.elapsed());
        while !self.machine.output().is_empty() {
            let written = self.stream.write(self.machine.output()).unwrap();
            self.machine.wrote(written);
        }
        if self.machine.wants_input() {
            match read(&mut self.stream) {
                Some(bytes) if bytes.is_empty() => self.machine.hang_up(),
                Some(bytes) => self.machine.receive(&bytes),
                None => {}
            }
        }
        self.events.extend(std::iter::from_fn(|| self.machine.next_event()));
    }

    /// Until the front-end judged the kites.
    pub fn until_up(&mut self) -> Welcome {
        loop {
            self.turn();
            let answers = self.events.iter().find_map(|event| match event {
                BackEndEvent::Answers(answers) => Some(answers.clone()),
                _ => None,
            });
            if let Some(answers) = answers {
                self.answers = answers;
                let welcome = self.events.iter().find_map(|event| match event {
                    BackEndEvent::Up(welcome) => Some(welcome.clone()),
                    _ => None,
                });
                return welcome.expect("a welcome before the answers");
            }
            assert!(!self.events.iter().any(|event| matches!(event, BackEndEvent::Ended(_))), "{:?}", self.events);
        }
    }

    pub fn until_ended(&mut self) {
        while !self.events.iter().any(|event| matches!(event, BackEndEvent::Ended(_))) {
            self.turn();
        }
        self.turn();
    }

    pub fn send_all(&mut self, sid: &Sid, mut data: &[u8]) {
        while !data.is_empty() {
            let taken = self.machine.send(sid, data);
            data = &data[taken..];
            self.turn_quickly();
        }
    }

    fn turn_quickly(&mut self) {
        let events = std::mem::take(&mut self.events);
        self.stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        self.turn();
        self.stream.set_read_timeout(Some(TURN)).unwrap();
        let new = std::mem::replace(&mut self.events, events);
        self.events.extend(new);
    }
}

pub struct Fronted {
    pub machine: FrontEnd,
    pub events: VecDeque<FrontEndEvent>,
    stream: TcpStream,
    started: Instant,
}

struct OneSecret;

impl Policy for OneSecret {
    fn secret(&self, _: &Kite) -> Option<KiteSecret> {
        Some(KiteSecret::new(SECRET))
    }
}

impl Fronted {
    /// With the `first` bytes of the connection already read.
    pub fn new(stream: TcpStream, session: &str, compress: bool, first: &[u8]) -> Self {
        stream.set_read_timeout(Some(TURN)).unwrap();
        let options = FrontEndOptions {
            key: ChallengeKey::new([5; 32]),
            session: session.into(),
            protocols: vec!["http".into()],
            ports: vec![80],
            raw_ports: Vec::new(),
            compress,
            message: None,
        };
        let mut machine = FrontEnd::new(options, std::array::from_fn(|at| at as u8), Duration::ZERO);
        machine.receive(first, unix());
        Self { machine, events: VecDeque::new(), stream, started: Instant::now() }
    }

    pub fn turn(&mut self) {
        assert!(self.started.elapsed() < PATIENCE, "{:?}", self.events);
        self.machine.tick(self.started.elapsed());
        while !self.machine.output().is_empty() {
            let written = self.stream.write(self.machine.output()).unwrap();
            self.machine.wrote(written);
        }
        if self.machine.wants_input() {
            match read(&mut self.stream) {
                Some(bytes) if bytes.is_empty() => self.machine.hang_up(),
                Some(bytes) => self.machine.receive(&bytes, unix()),
                None => {}
            }
        }
        self.events.extend(std::iter::from_fn(|| self.machine.next_event()));
    }

    /// Until kites fly, or the tunnel ends.
    pub fn until_up(&mut self, sessions: &mut Sessions) -> bool {
        loop {
            self.events.extend(std::iter::from_fn(|| self.machine.next_event()));
            for event in &self.events {
                match event {
                    FrontEndEvent::Claims(claims) => {
                        let judgement = sessions.judge(self.machine.session(), claims.clone(), &OneSecret, unix());
                        assert_eq!(judgement.verdicts[0].1, Verdict::Flies);
                        self.machine.answer(&judgement.verdicts);
                        self.events.clear();
                        return true;
                    }
                    FrontEndEvent::Ended(_) => return false,
                    FrontEndEvent::Stream(_) => {}
                }
            }
            self.turn();
        }
    }

    /// Everything that comes in a stream, until its end.
    pub fn read_to_end(&mut self, sid: &Sid) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            self.turn();
            while let Some(event) = self.events.pop_front() {
                assert!(!matches!(event, FrontEndEvent::Ended(_)), "{event:?}");
                if event != FrontEndEvent::Stream(StreamEvent::Readable(sid.clone())) {
                    continue;
                }
                loop {
                    match self.machine.read(sid) {
                        Read::Data(data) => bytes.extend_from_slice(&data),
                        Read::Empty => break,
                        Read::Finished | Read::Gone => {
                            self.machine.finish(sid);
                            return bytes;
                        }
                    }
                }
            }
        }
    }
}

fn unix() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// What came; `None` if nothing did within a turn, and no bytes at the end.
fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 64 * 1024];
    match stream.read(&mut buffer) {
        Ok(read) => {
            buffer.truncate(read);
            Some(buffer)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Some(Vec::new()),
        Err(error) => panic!("{error}"),
    }
}
