//! The end of a tunnel that has visitors: lets back-ends fly kites, and brings them streams.

use std::collections::VecDeque;
use std::time::Duration;

use super::dice::Dice;
use super::error::PageKiteError;
use super::fields::{Fields, shown, split_block};
use super::limits::{HANDSHAKE_PATIENCE, MAX_CHALLENGES, MAX_HEAD, MAX_KITES, MAX_TOKEN};
use super::sign::{ChallengeKey, is_signed};
use super::tunnel::{Told, Tunnel, drive};
use super::{End, Kite, KiteSecret, Opening, Quota, Read, Sid, StreamEvent};

/// What a front-end says of itself.
#[derive(Clone, Debug)]
pub struct FrontEndOptions {
    /// One for the whole process: a challenge may be answered on another connection.
    pub key: ChallengeKey,
    /// This tunnel's name, which nobody can guess: who knows it may put another tunnel in its place.
    pub session: String,
    pub protocols: Vec<String>,
    pub ports: Vec<u16>,
    /// Ports of raw kites, or `virtual`.
    pub raw_ports: Vec<String>,
    /// Whether frames are compressed, if the back-end does it as well.
    pub compress: bool,
    /// A line for people.
    pub message: Option<String>,
}

/// A kite that a back-end wants to fly, with the right answer to a challenge of ours; whose secret it was made with is
/// still to be found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub kite: Kite,
    salt: String,
    challenge: String,
    signature: String,
}

impl Claim {
    /// Whether it was signed with `secret`. In constant time.
    pub fn is_signed_with(&self, secret: &KiteSecret) -> bool {
        is_signed(secret, &self.kite, &self.salt, &self.challenge, &self.signature)
    }

    /// What may be accepted only once.
    pub(super) fn challenge(&self) -> &str {
        &self.challenge
    }
}

/// To be judged, and answered with [`FrontEnd::answer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub claims: Vec<Claim>,
    /// The session whose place this one wants.
    pub replaces: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Flies,
    /// It flies, and TLS for its domain is ended by the front-end.
    FliesWithTls,
    /// Another session flies it.
    Duplicate,
    Refused(Refusal),
}

/// Why a kite may not fly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The secret is a wrong one.
    Signature,
    /// Nobody may fly it here.
    Unauthorized,
    Quota,
    /// The port is not open here.
    Port,
    /// The protocol is not spoken here.
    Protocol,
}

impl Refusal {
    /// The word that stock back-ends know.
    pub fn word(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Unauthorized => "unauthorized",
            Self::Quota => "quota",
            Self::Port => "port",
            Self::Protocol => "proto",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrontEndEvent {
    Claims(Claims),
    Stream(StreamEvent),
    Ended(End),
}

/// One connection of a back-end.
#[derive(Debug)]
pub struct FrontEnd {
    options: FrontEndOptions,
    dice: Dice,
    tunnel: Tunnel,
    events: VecDeque<FrontEndEvent>,
    /// The head was answered.
    greeted: bool,
    /// Claims that wait for their verdicts; nothing that comes after them is looked at until then.
    judging: bool,
    /// Kites that fly.
    flying: usize,
    stale: usize,
    replaces: Option<String>,
    handshake_until: Duration,
    unix: u64,
}

impl FrontEnd {
    /// On a connection whose first bytes, all still to come, are those of a tunnel ([`super::recognise`]).
    pub fn new(options: FrontEndOptions, random: [u8; 32], now: Duration) -> Self {
        Self {
            options,
            dice: Dice::new(random),
            tunnel: Tunnel::new(true, now),
            events: VecDeque::new(),
            greeted: false,
            judging: false,
            flying: 0,
            stale: 0,
            replaces: None,
            handshake_until: now + HANDSHAKE_PATIENCE,
            unix: 0,
        }
    }

    pub fn session(&self) -> &str {
        &self.options.session
    }

    /// Brings bytes that came at `unix` seconds. See [`Self::wants_input`].
    pub fn receive(&mut self, bytes: &[u8], unix: u64) {
        self.unix = unix;
        self.tunnel.take_in(bytes);
        if !self.greeted
            && !self.judging
            && !self.tunnel.has_ended()
            && let Err(error) = self.take_head()
        {
            self.tunnel.end(End::Broken(error));
        }
        self.pump();
    }

    pub fn next_event(&mut self) -> Option<FrontEndEvent> {
        self.pump();
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        loop {
            return Some(match self.tunnel.next_told()? {
                Told::Stream(event) => FrontEndEvent::Stream(event),
                Told::Ended(end) => FrontEndEvent::Ended(end),
                // Back-ends have no quota to tell of.
                Told::Quota(_) => continue,
            });
        }
    }

    /// When [`Self::tick`] is to be called next, at the latest.
    pub fn deadline(&self) -> Option<Duration> {
        let handshake = (self.flying == 0 && !self.tunnel.has_ended()).then_some(self.handshake_until);
        [handshake, self.tunnel.deadline()].into_iter().flatten().min()
    }

    /// Asks whether the back-end still lives, ahead of time.
    pub fn ping(&mut self, now: Duration) {
        self.tunnel.ping(now);
    }

    /// The time is `now`: pings, and notices silence.
    pub fn tick(&mut self, now: Duration) {
        if self.flying == 0 && self.handshake_until <= now {
            self.tunnel.end(End::Broken(PageKiteError::HandshakeTimeout));
        }
        self.tunnel.tick(now);
    }

    /// Brings a visitor, with the first bytes of what they sent. Gives the stream, and how many of the bytes went with it;
    /// the rest is for [`Self::send`]. `None` while there is no room: too many streams, or too much output not yet written.
    pub fn open(&mut self, opening: &Opening, data: &[u8]) -> Option<(Sid, usize)> {
        if self.flying == 0 {
            return None;
        }
        self.tunnel.open(opening, data)
    }

    /// What is left to the back-end; told now, and in each answer to a ping.
    pub fn set_quota(&mut self, quota: Quota) {
        if self.greeted && !self.tunnel.has_ended() {
            self.tunnel.note(&quota.lines(""));
        }
        self.tunnel.quota = Some(quota);
    }

    /// Answers claims. If no kite flies after that, the tunnel ends.
    pub fn answer(&mut self, verdicts: &[(Claim, Verdict)]) {
        if !std::mem::take(&mut self.judging) || self.tunnel.has_ended() {
            return;
        }
        let mut lines = String::new();
        for (Claim { kite, salt, .. }, verdict) in verdicts {
            let mut line = |name: &str| lines.push_str(&format!("X-PageKite-{name}: {kite}:{salt}\r\n"));
            match verdict {
                Verdict::Flies => line("OK"),
                Verdict::FliesWithTls => {
                    line("OK");
                    line("SSL-OK");
                }
                Verdict::Duplicate => line("Duplicate"),
                Verdict::Refused(refusal) => {
                    line("Invalid");
                    lines.push_str(&format!("X-PageKite-Invalid-Why: {kite}:{salt};{}\r\n", refusal.word()));
                }
            }
        }
        let flies = |verdict: &Verdict| matches!(verdict, Verdict::Flies | Verdict::FliesWithTls);
        self.flying += verdicts.iter().filter(|(_, verdict)| flies(verdict)).count();
        self.say(lines);
        if self.flying == 0 {
            self.tunnel.end(End::Refused);
        }
        self.pump();
    }

    drive!();

    fn pump(&mut self) {
        while self.greeted && !self.judging {
            let Some(note) = self.tunnel.pump() else { return };
            if note.first("X-PageKite").is_some()
                && let Err(error) = self.take_kites(&note)
            {
                self.tunnel.end(End::Broken(error));
            }
        }
    }

    fn take_head(&mut self) -> Result<(), PageKiteError> {
        let held = &self.tunnel.held;
        let Some((end, start)) = split_block(held) else {
            return if held.len() > MAX_HEAD { Err(PageKiteError::HeadTooLarge) } else { Ok(()) };
        };
        if end > MAX_HEAD {
            return Err(PageKiteError::HeadTooLarge);
        }
        let head = held.get(..end).unwrap_or_default();
        let line_end = memchr::memchr(b'\n', head).unwrap_or(head.len());
        let line = String::from_utf8_lossy(head.get(..line_end).unwrap_or_default());
        if !matches!(line.trim_end(), "CONNECT PageKite:1 HTTP/1.0" | "CONNECT PageKite:1 HTTP/1.1") {
            return Err(PageKiteError::NotBackEnd(shown(&line)));
        }
        let fields = Fields::parse(head.get(line_end..).unwrap_or_default())?;
        let _ = self.tunnel.held.split_to(start);
        self.tunnel.framed = true;
        let compresses = fields.all("X-PageKite-Features").any(|feature| feature.eq_ignore_ascii_case("ZChunks"));
        if compresses && self.options.compress {
            self.tunnel.encoder.compress();
        }
        self.replaces = fields.first("X-PageKite-Replace").filter(|id| id.len() <= MAX_TOKEN).map(shown);
        self.take_kites(&fields)
    }

    /// Lines of `proto:domain:salt:challenge:signature`: those that answer a challenge of ours are claims, the others get
    /// a challenge.
    fn take_kites(&mut self, fields: &Fields) -> Result<(), PageKiteError> {
        let mut claims = Vec::new();
        let mut challenges = String::new();
        let mut stale = false;
        for (number, line) in fields.all("X-PageKite").enumerate() {
            if number == MAX_KITES {
                return Err(PageKiteError::TooManyKites);
            }
            let claim = parse_line(line)?;
            if self.options.key.is_ours(&claim.kite, &claim.salt, &claim.challenge, self.unix) {
                claims.push(claim);
                continue;
            }
            stale |= !claim.challenge.is_empty();
            let Claim { kite, salt, .. } = claim;
            let challenge = self.options.key.challenge(&kite, &salt, self.unix, self.dice.four());
            challenges.push_str(&format!("X-PageKite-SignThis: {kite}:{salt}:{challenge}\r\n"));
        }
        self.stale += usize::from(stale);
        if self.stale > MAX_CHALLENGES {
            return Err(PageKiteError::StaleChallenges);
        }
        if claims.is_empty() && challenges.is_empty() {
            return Err(PageKiteError::Handshake("no kites"));
        }
        if !challenges.is_empty() {
            self.say(challenges);
        }
        if !claims.is_empty() {
            self.judging = true;
            self.events.push_back(FrontEndEvent::Claims(Claims { claims, replaces: self.replaces.clone() }));
        }
        Ok(())
    }

    /// In the answer's head if that is still to come, else in a frame.
    fn say(&mut self, lines: String) {
        let session = format!("X-PageKite-SessionID: {}\r\n", self.options.session);
        let message = shown(self.options.message.as_deref().unwrap_or_default());
        let quota = self.tunnel.quota.as_ref().map(|quota| quota.lines("X-PageKite-")).unwrap_or_default();
        let lines = format!("{lines}{session}X-PageKite-Misc: motd={message}\r\n{quota}");
        if std::mem::replace(&mut self.greeted, true) {
            return self.tunnel.note(&lines);
        }
        let compress = if self.options.compress { "X-PageKite-Features: ZChunks\r\n" } else { "" };
        let ports: Vec<String> = self.options.ports.iter().map(u16::to_string).collect();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n\
             Connection: close\r\nTransfer-Encoding: chunked\r\n{compress}X-PageKite-Features: WebSockets\r\n\
             X-PageKite-Features: AddKites\r\nX-PageKite-Protos: {}\r\nX-PageKite-Ports: {}\r\n\
             X-PageKite-Raw-Ports: {}\r\n{lines}\r\n",
            self.options.protocols.join(", "),
            ports.join(", "),
            self.options.raw_ports.join(", "),
        );
        self.tunnel.out.extend_from_slice(head.as_bytes());
    }
}

fn parse_line(line: &str) -> Result<Claim, PageKiteError> {
    let malformed = PageKiteError::Handshake("a kite is proto:domain:salt:challenge:signature");
    let parts: Vec<&str> = line.split(':').collect();
    let (protocol, domain, salt, challenge, signature) = match *parts.as_slice() {
        [protocol, domain, salt] => (protocol, domain, salt, "", ""),
        [protocol, domain, salt, challenge, signature] => (protocol, domain, salt, challenge, signature),
        _ => return Err(malformed),
    };
    let fine = |text: &&str| text.len() <= MAX_TOKEN && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if ![salt, challenge, signature].iter().all(fine) {
        return Err(malformed);
    }
    let kite = Kite::new(protocol, domain).map_err(|_| PageKiteError::Handshake("a kite's name"))?;
    let owned = str::to_owned;
    Ok(Claim { kite, salt: owned(salt), challenge: owned(challenge), signature: owned(signature) })
}
