//! The end of a tunnel that has apps: connects to a front-end, flies kites there, and is brought visitors.

use std::collections::VecDeque;
use std::time::Duration;

use super::arrival::answer;
use super::dice::Dice;
use super::error::PageKiteError;
use super::fields::{Fields, shown, split_block};
use super::limits::{HANDSHAKE_PATIENCE, MAX_KITES, MAX_TOKEN};
use super::sign::sign;
use super::tunnel::{Told, Tunnel, drive};
use super::{End, Kite, KiteSecret, Quota, Read, Sid, StreamEvent};

/// What a back-end wants.
#[derive(Clone, Debug)]
pub struct BackEndOptions {
    /// At most [`MAX_KITES`]; further ones are left out.
    pub kites: Vec<(Kite, KiteSecret)>,
    /// Whether frames are compressed, if the front-end does it as well.
    pub compress: bool,
    /// The session that this one takes the place of: [`Welcome::session`] of a tunnel that broke.
    pub replace: Option<String>,
    /// What to say of this program.
    pub version: String,
}

/// What the front-end says of itself, with its first answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Welcome {
    pub session: Option<String>,
    pub protocols: Vec<String>,
    pub ports: Vec<String>,
    /// `virtual`: reached with CONNECT on the other ports.
    pub raw_ports: Vec<String>,
    /// Lines for people.
    pub messages: Vec<String>,
    /// Domains for which the front-end ends TLS itself.
    pub tls: Vec<String>,
    pub quota: Option<Quota>,
}

/// What became of a kite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Flies,
    /// Another session flies it. The front-end finds out by itself whether that one still lives: try again later.
    Duplicate,
    /// In the front-end's words: `signature`, `unauthorized`, `quota`, `port`, `proto`; empty without any.
    Refused(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub kite: Kite,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackEndEvent {
    /// The tunnel is up; its `Answers` follow.
    Up(Welcome),
    Answers(Vec<Answer>),
    Stream(StreamEvent),
    Quota(Quota),
    Ended(End),
}

#[derive(Debug)]
struct Line {
    kite: Kite,
    secret: KiteSecret,
    salt: String,
    /// What the front-end wants to be signed.
    challenge: String,
}

/// One connection to a front-end.
#[derive(Debug)]
pub struct BackEnd {
    options: BackEndOptions,
    lines: Vec<Line>,
    dice: Dice,
    tunnel: Tunnel,
    events: VecDeque<BackEndEvent>,
    welcome: Welcome,
    welcomed: bool,
    handshake_until: Duration,
}

impl BackEnd {
    /// Begins a tunnel on a connection that was just made. `random` is not to be used for anything else.
    pub fn new(options: BackEndOptions, random: [u8; 32], now: Duration) -> Self {
        let mut dice = Dice::new(random);
        let kites = options.kites.iter().take(MAX_KITES).cloned();
        let line = |(kite, secret)| Line { kite, secret, salt: dice.salt(), challenge: String::new() };
        let lines = kites.map(line).collect();
        Self::begin(options, lines, dice, now)
    }

    /// After [`End::ConnectAgain`]: the same kites, their challenges answered, on a new connection.
    pub fn again(mut self, now: Duration) -> Self {
        self.options.replace = self.welcome.session.take().or(self.options.replace);
        Self::begin(self.options, self.lines, self.dice, now)
    }

    fn begin(options: BackEndOptions, lines: Vec<Line>, dice: Dice, now: Duration) -> Self {
        let mut own = Self {
            options,
            lines,
            dice,
            tunnel: Tunnel::new(false, now),
            events: VecDeque::new(),
            welcome: Welcome::default(),
            welcomed: false,
            handshake_until: now + HANDSHAKE_PATIENCE,
        };
        own.greet();
        own
    }

    fn greet(&mut self) {
        let compress = if self.options.compress { "X-PageKite-Features: ZChunks\r\n" } else { "" };
        let replace = self.options.replace.as_deref().map(shown).map(|id| format!("X-PageKite-Replace: {id}\r\n"));
        let head = format!(
            "CONNECT PageKite:1 HTTP/1.0\r\nX-PageKite-Features: AddKites\r\n{compress}X-PageKite-Version: {}\r\n{}{}\r\n",
            shown(&self.options.version),
            replace.unwrap_or_default(),
            self.signed(|_| true)
        );
        self.tunnel.out.extend_from_slice(head.as_bytes());
    }

    fn signed(&mut self, which: impl Fn(&Line) -> bool) -> String {
        let mut text = String::new();
        for Line { kite, secret, salt, challenge } in self.lines.iter().filter(|line| which(line)) {
            let signature = sign(secret, kite, salt, challenge, self.dice.four());
            text.push_str(&format!("X-PageKite: {kite}:{salt}:{challenge}:{signature}\r\n"));
        }
        text
    }

    /// Flies one more kite; an `Answers` event follows. `false` if there are too many, or the tunnel is not up.
    pub fn add(&mut self, kite: Kite, secret: KiteSecret) -> bool {
        if !self.welcomed || self.tunnel.has_ended() || self.lines.len() >= MAX_KITES {
            return false;
        }
        self.lines.retain(|line| line.kite != kite);
        self.lines.push(Line { kite: kite.clone(), secret, salt: self.dice.salt(), challenge: String::new() });
        let signed = self.signed(|line| line.kite == kite);
        self.tunnel.note(&signed);
        true
    }

    /// Brings bytes that came. See [`Self::wants_input`].
    pub fn receive(&mut self, bytes: &[u8]) {
        self.tunnel.take_in(bytes);
        if !self.tunnel.framed && !self.tunnel.has_ended() {
            match answer(&self.tunnel.held, "HTTP/1.1 200") {
                Ok(None) => return,
                Ok(Some(fields)) => self.answered(&fields),
                Err(error) => self.tunnel.end(End::Broken(error)),
            }
        }
        self.pump();
    }

    pub fn next_event(&mut self) -> Option<BackEndEvent> {
        self.pump();
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        Some(match self.tunnel.next_told()? {
            Told::Stream(event) => BackEndEvent::Stream(event),
            Told::Quota(quota) => BackEndEvent::Quota(quota),
            Told::Ended(end) => BackEndEvent::Ended(end),
        })
    }

    /// When [`Self::tick`] is to be called next, at the latest.
    pub fn deadline(&self) -> Option<Duration> {
        let handshake = (!self.welcomed && !self.tunnel.has_ended()).then_some(self.handshake_until);
        [handshake, self.tunnel.deadline()].into_iter().flatten().min()
    }

    /// Sends something that means nothing, so that a path that is dead is noticed and routers do not forget the connection.
    /// There is no answer to it.
    pub fn keep_alive(&mut self, now: Duration) {
        self.tunnel.ping(now);
    }

    /// The time is `now`: keeps the connection alive.
    pub fn tick(&mut self, now: Duration) {
        if !self.welcomed && self.handshake_until <= now {
            self.tunnel.end(End::Broken(PageKiteError::HandshakeTimeout));
        }
        self.tunnel.tick(now);
    }

    drive!();

    fn pump(&mut self) {
        while let Some(note) = self.tunnel.pump() {
            self.take_note(&note);
        }
    }

    fn answered(&mut self, fields: &Fields) {
        let (_, start) = split_block(&self.tunnel.held).unwrap_or_default();
        let _ = self.tunnel.held.split_to(start);
        let has = |feature: &str| fields.all("X-PageKite-Features").any(|own| own.eq_ignore_ascii_case(feature));
        self.welcome.protocols = fields.list("X-PageKite-Protos");
        self.welcome.ports = fields.list("X-PageKite-Ports");
        self.welcome.raw_ports = fields.list("X-PageKite-Raw-Ports");
        if has("ZChunks") && self.options.compress {
            self.tunnel.encoder.compress();
        }
        self.tunnel.framed = true;
        let wants_signatures = fields.first("X-PageKite-SignThis").is_some();
        if wants_signatures && !has("AddKites") {
            self.take_challenges(fields);
            self.welcome.session = fields.text("X-PageKite-SessionID");
            return self.tunnel.end(End::ConnectAgain);
        }
        self.take_note(fields);
    }

    /// Takes challenges and answers out of a head or a frame. A frame brings few events, and none without kites of ours.
    fn take_note(&mut self, fields: &Fields) {
        if self.take_challenges(fields) {
            let signed = self.signed(|line| !line.challenge.is_empty());
            self.lines.iter_mut().for_each(|line| line.challenge.clear());
            let version = shown(&self.options.version);
            self.tunnel.note(&format!("X-PageKite-Version: {version}\r\n{signed}"));
        }
        self.welcome.session = fields.text("X-PageKite-SessionID").or(self.welcome.session.take());
        let answers = self.answers(fields);
        if !answers.is_empty() && !self.welcomed {
            self.welcomed = true;
            let said = fields.all("X-PageKite-Misc").filter_map(|text| text.strip_prefix("motd="));
            self.welcome.messages = said.map(shown).filter(|text| !text.is_empty()).collect();
            self.welcome.quota = Quota::read(fields, "X-PageKite-");
            let tls = fields.all("X-PageKite-SSL-OK").map(|text| text.split(':').nth(1).unwrap_or(text));
            self.welcome.tls = tls.map(shown).collect();
            self.events.push_back(BackEndEvent::Up(self.welcome.clone()));
        } else if let Some(quota) = Quota::read(fields, "X-PageKite-") {
            self.events.push_back(BackEndEvent::Quota(quota));
        }
        if !answers.is_empty() {
            for Answer { kite, outcome } in &answers {
                self.tunnel.kites.retain(|flying| flying != kite);
                if *outcome == Outcome::Flies {
                    self.tunnel.kites.push(kite.clone());
                }
            }
            self.events.push_back(BackEndEvent::Answers(answers));
            if self.tunnel.kites.is_empty() {
                self.tunnel.end(End::Refused);
            }
        }
    }

    /// `X-PageKite-SignThis: proto:domain:salt:challenge`; only for what we asked with our own salt.
    fn take_challenges(&mut self, fields: &Fields) -> bool {
        let mut any = false;
        for text in fields.all("X-PageKite-SignThis") {
            let Some((named, challenge)) = text.rsplit_once(':') else { continue };
            let fine =
                (1..=MAX_TOKEN).contains(&challenge.len()) && challenge.bytes().all(|b| b.is_ascii_alphanumeric());
            let line = self.lines.iter_mut().find(|line| format!("{}:{}", line.kite, line.salt) == named);
            if let Some(line) = line.filter(|_| fine) {
                line.challenge = challenge.to_owned();
                any = true;
            }
        }
        any
    }

    fn answers(&self, fields: &Fields) -> Vec<Answer> {
        let lines = |name| {
            let of = move |text: &str| self.lines.iter().find(|line| text == format!("{}:{}", line.kite, line.salt));
            fields.all(name).filter_map(of).map(|line| line.kite.clone())
        };
        let why = |kite: &Kite| {
            let of = |text: &str| {
                let (named, why) = text.split_once(';')?;
                named.starts_with(&format!("{kite}:")).then(|| shown(why))
            };
            fields.all("X-PageKite-Invalid-Why").find_map(of).unwrap_or_default()
        };
        let flying = lines("X-PageKite-OK").map(|kite| Answer { kite, outcome: Outcome::Flies });
        let duplicate = lines("X-PageKite-Duplicate").map(|kite| Answer { kite, outcome: Outcome::Duplicate });
        let refused = lines("X-PageKite-Invalid").map(|kite| Answer { outcome: Outcome::Refused(why(&kite)), kite });
        flying.chain(duplicate).chain(refused).collect()
    }
}
