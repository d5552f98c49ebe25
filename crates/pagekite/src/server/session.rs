use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use doorstep_net::{BoxFuture, ConnInfo, Drain, Io, TlsInfo};
use doorstep_proto::pagekite::{
    Arrival, CONNECT_ANSWER, Claim, FrontEnd, FrontEndEvent, FrontEndOptions, Verdict, parse_connect, probe_answer,
    recognise,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::carrier::Flying;
use super::{Live, Server, raw};
use crate::limits::{DRAIN, FAREWELL, FIRST_BYTES, MAX_EARLY, PING_BACK_END, TLS_HANDSHAKE};
use crate::link::{Driver, Link, Prefixed, notice_silence, unix};

/// How often a drain looks whether visitors are gone.
const DRAIN_TURN: Duration = Duration::from_millis(100);

impl Server {
    pub(super) async fn arrive(self, mut io: Io, mut early: Vec<u8>, info: Arc<ConnInfo>, drain: Drain) {
        let Ok(Some(arrival)) = timeout(FIRST_BYTES, read_arrival(&mut io, &mut early)).await else { return };
        match arrival {
            Arrival::Probe => {
                let answer = probe_answer(&self.0.uuid, drain.is_draining());
                let _ = timeout(FAREWELL, say_and_go(&mut io, answer.as_bytes())).await;
            }
            Arrival::Tunnel => self.tunnel(io, early, info, drain).await,
            Arrival::Other => self.connect(io, early, info, drain).await,
        }
    }

    /// `CONNECT host:port`: to a kite, or to ourselves, for TLS.
    async fn connect(self, mut io: Io, early: Vec<u8>, info: Arc<ConnInfo>, drain: Drain) {
        let Ok(Some(asked)) = parse_connect(&early) else {
            let answer = raw::refusal("400 Bad Request", "CONNECT is for the name and port of a kite.");
            let _ = timeout(FAREWELL, say_and_go(&mut io, answer.as_bytes())).await;
            return;
        };
        let rest = early.get(asked.length..).unwrap_or_default().to_vec();
        let own = Some(&self.0.options.tls).filter(|_| asked.port == 443 && info.tls.is_none());
        if let Some(config) = own.and_then(|tls| tls(&asked.host)) {
            let begun = async {
                io.write_all(CONNECT_ANSWER).await?;
                io.flush().await?;
                TlsAcceptor::from(config).accept(Prefixed::put_back(io, rest)).await
            };
            let Ok(Ok(stream)) = timeout(TLS_HANDSHAKE, begun).await else { return };
            let tls = Some(TlsInfo { sni: Some(asked.host), ..TlsInfo::default() });
            let info = Arc::new(ConnInfo { tls, ..(*info).clone() });
            // Inside, there is no further TLS to be had, so this does not go on for ever.
            return self.serve(Io::Other(Box::new(stream)), Vec::new(), info, drain).await;
        }
        raw::visitor(&self, io, &asked, rest, &info, drain).await;
    }

    async fn tunnel(self, io: Io, early: Vec<u8>, info: Arc<ConnInfo>, drain: Drain) {
        let session = crate::random_name();
        let options = self.front_end_options(&session);
        let link = Link::new(|now| FrontEnd::new(options, crate::random(), now));
        link.with(|machine, _| machine.receive(&early, unix()));
        let flying = Arc::new(Flying::new(link.clone(), info.peer));
        let live = Live { link: link.clone(), flying: flying.clone(), peer: info.peer };
        self.0.table.lock().live.insert(session.clone(), live);
        let leaving = Leaving { server: self.clone(), session: session.clone(), flying: flying.clone() };
        notice_silence(&io);
        let mut driver = Driver::new(link.clone(), io);
        let mut pings = interval(PING_BACK_END);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut judging: Option<BoxFuture<'_, Vec<(Claim, Verdict)>>> = None;
        let (mut answered, mut ended) = (false, false);
        let mut draining = pending_drain(&drain, &link);
        loop {
            let judged = async {
                match &mut judging {
                    Some(judging) => judging.await,
                    None => pending().await,
                }
            };
            tokio::select! {
                event = driver.next() => match event {
                    None => break,
                    Some(FrontEndEvent::Claims(claims)) => {
                        judging = Some(Box::pin(self.judge(&session, claims, &flying)));
                    }
                    Some(FrontEndEvent::Ended(_)) => ended = true,
                    Some(FrontEndEvent::Stream(_)) => {}
                },
                verdicts = judged => {
                    judging = None;
                    answered = true;
                    link.with(|machine, _| machine.answer(&verdicts));
                }
                _ = pings.tick(), if answered => link.with(|machine, now| machine.ping(now)),
                () = &mut draining => {
                    draining = Box::pin(pending());
                    link.with(|machine, _| machine.close());
                }
            }
            if ended {
                break;
            }
        }
        drop(judging);
        // Its names are free before its last words are written.
        drop(leaving);
        let _ = timeout(FAREWELL, async { while driver.next().await.is_some() {} }).await;
    }

    fn front_end_options(&self, session: &str) -> FrontEndOptions {
        let options = &self.0.options;
        let protocols = ["http", "websocket", "raw"].into_iter().chain(options.end_to_end.then_some("https"));
        FrontEndOptions {
            key: self.0.key.clone(),
            session: session.to_owned(),
            protocols: protocols.map(str::to_owned).collect(),
            ports: options.ports.clone(),
            raw_ports: vec!["virtual".to_owned()],
            compress: true,
            message: options.message.clone(),
        }
    }
}

/// Ends when the tunnel is to be closed: once a drain has begun and its visitors are gone, or have had their time.
fn pending_drain<'a>(drain: &'a Drain, link: &'a Link<FrontEnd>) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        drain.started().await;
        let mut turn = interval(DRAIN_TURN);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let finished = async {
            while link.streams() > 0 {
                turn.tick().await;
            }
        };
        tokio::select! {
            () = finished => {}
            () = drain.hurried() => {}
            () = sleep(DRAIN) => {}
        }
    })
}

/// What is over with a session, however it ends.
struct Leaving {
    server: Server,
    session: String,
    flying: Arc<Flying>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        {
            let mut table = self.server.0.table.lock();
            table.sessions.leave(&self.session);
            table.live.remove(&self.session);
        }
        self.flying.land();
    }
}

/// Reads until it is clear what the connection is for: a whole head, where it is no tunnel.
async fn read_arrival(io: &mut Io, early: &mut Vec<u8>) -> Option<Arrival> {
    loop {
        match recognise(early) {
            Some(Arrival::Other) if matches!(parse_connect(early), Ok(None)) => {}
            Some(arrival) => return Some(arrival),
            None if early.len() > MAX_EARLY => return None,
            None => {}
        }
        if io.read_buf(early).await.ok()? == 0 {
            return None;
        }
    }
}

pub(super) async fn say_and_go(io: &mut Io, words: &[u8]) -> std::io::Result<()> {
    io.write_all(words).await?;
    io.shutdown().await?;
    // Bytes that nobody read would turn the end into a reset, and the words would be lost.
    let mut left = MAX_EARLY;
    let mut buffer = [0; 4096];
    loop {
        match io.read(&mut buffer).await? {
            0 => return Ok(()),
            read if read >= left => return Ok(()),
            read => left -= read,
        }
    }
}
