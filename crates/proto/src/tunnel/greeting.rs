//! The beginning of every connection: one frame from the agent, one answer.
//!
//! The agent's signature covers the TLS exporter, to which both sides of the TLS handshake contributed, so the proof is
//! fresh without a challenge and good for this connection only.

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};

use super::encode::{encode, put_purpose};
use super::limits::GREETING;
use super::message::{AgentKey, Exporter, Frame, Hello, Purpose, Signature, VERSION, Welcome};
use super::{Code, Decoded, Decoder, TunnelError};

/// What an agent signs: a context of its own (so that the key's signatures mean nothing elsewhere), versions, exporter,
/// key and purpose.
pub fn transcript(exporter: &Exporter, key: &AgentKey, purpose: &Purpose) -> Bytes {
    let mut out = BytesMut::from(&b"doorstep tunnel 1, agent's proof\0"[..]);
    out.put_u16(VERSION);
    out.put_u16(VERSION);
    out.put_slice(exporter);
    out.put_slice(key);
    put_purpose(&mut out, purpose);
    out.freeze()
}

/// The agent's side of a greeting.
#[derive(Debug)]
pub struct AgentGreeting {
    hello: Hello,
    deadline: Instant,
    decoder: Decoder,
    output: Option<AgentGreetingOutput>,
    over: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum AgentGreetingOutput {
    /// Sign this with the agent's key and hand in [`AgentGreeting::signed`].
    Sign(Bytes),
    Transmit(Bytes),
    /// The greeting is over; `rest` is the first input of the machine that comes next.
    Welcomed {
        welcome: Welcome,
        rest: Bytes,
    },
    /// It is over, and the connection with it.
    Failed(TunnelError),
}

impl AgentGreeting {
    pub fn new(now: Instant, exporter: Exporter, key: AgentKey, purpose: Purpose, software: &str) -> Self {
        let sign = AgentGreetingOutput::Sign(transcript(&exporter, &key, &purpose));
        let software = software.to_owned();
        let hello = Hello { versions: (VERSION, VERSION), exporter, key, signature: [0; 64], purpose, software };
        Self { hello, deadline: now + GREETING, decoder: Decoder::new(), output: Some(sign), over: false }
    }

    pub fn signed(&mut self, signature: Signature) {
        self.hello.signature = signature;
        let mut out = BytesMut::new();
        encode(&Frame::Hello(self.hello.clone()), &mut out);
        self.output = Some(AgentGreetingOutput::Transmit(out.freeze()));
    }

    /// Bytes from the relay.
    pub fn received(&mut self, bytes: Bytes) {
        self.decoder.feed(bytes);
        if self.over {
            return;
        }
        match self.decoder.decode() {
            Ok(None) => {}
            Ok(Some(Decoded::Frame(Frame::Welcome(welcome)))) if welcome.version == VERSION => {
                self.end(AgentGreetingOutput::Welcomed { welcome, rest: Bytes::new() });
            }
            Ok(Some(Decoded::Frame(Frame::Welcome(_)))) => self.fail(Code::UnknownVersion.into()),
            Ok(Some(Decoded::Frame(Frame::Close { code, detail }))) => {
                self.fail(TunnelError::new(Code::from_number(code), detail));
            }
            Ok(Some(_)) => self.fail(TunnelError::new(Code::Unexpected, "the relay did not answer the greeting")),
            Err(error) => self.fail(error),
        }
    }

    /// The connection ended.
    pub fn closed(&mut self) {
        self.fail(TunnelError::new(Code::Lost, "before the relay answered the greeting"));
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if now >= self.deadline {
            self.fail(Code::GreetingTimeout.into());
        }
    }

    pub fn poll_output(&mut self) -> Option<AgentGreetingOutput> {
        let mut output = self.output.take();
        // Only now, so that whatever was fed since is in it.
        if let Some(AgentGreetingOutput::Welcomed { rest, .. }) = &mut output {
            *rest = std::mem::take(&mut self.decoder).into_rest();
        }
        output
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.over).then_some(self.deadline)
    }

    fn fail(&mut self, error: TunnelError) {
        if !self.over {
            self.end(AgentGreetingOutput::Failed(error));
        }
    }

    fn end(&mut self, output: AgentGreetingOutput) {
        self.over = true;
        self.output = Some(output);
    }
}

/// What the relay's keeper of keys and sessions must judge: the signature over [`transcript`](Self::transcript), then
/// whether the key is known and not revoked, the session is the key's own, or the invitation good and unused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticate {
    pub key: AgentKey,
    pub signature: Signature,
    pub transcript: Bytes,
    pub purpose: Purpose,
    pub software: String,
}

/// The relay's side of a greeting.
#[derive(Debug)]
pub struct RelayGreeting {
    exporter: Exporter,
    deadline: Instant,
    decoder: Decoder,
    asked: bool,
    over: bool,
    outputs: std::collections::VecDeque<RelayGreetingOutput>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum RelayGreetingOutput {
    /// Judge, then call [`RelayGreeting::admit`] or [`RelayGreeting::refuse`].
    Authenticate(Authenticate),
    Transmit(Bytes),
    /// The greeting is over; `rest` is the first input of the machine that comes next.
    Admitted {
        rest: Bytes,
    },
    /// It is over: send what came before, then close the connection.
    Failed(TunnelError),
}

impl RelayGreeting {
    pub fn new(now: Instant, exporter: Exporter) -> Self {
        let deadline = now + GREETING;
        Self { exporter, deadline, decoder: Decoder::new(), asked: false, over: false, outputs: Default::default() }
    }

    /// Bytes from the agent. Do not read more than one buffer before the greeting is over: they are held.
    pub fn received(&mut self, bytes: Bytes) {
        self.decoder.feed(bytes);
        if self.asked || self.over {
            return;
        }
        match self.decoder.decode() {
            Ok(None) => {}
            Ok(Some(Decoded::Frame(Frame::Hello(hello)))) => self.hello(hello),
            Ok(Some(_)) => self.refuse(TunnelError::new(Code::Unexpected, "a connection begins with a greeting")),
            Err(error) => self.refuse(error),
        }
    }

    pub fn admit(&mut self, welcome: Welcome) {
        if self.over || !self.asked {
            return;
        }
        self.transmit(&Frame::Welcome(welcome));
        self.over = true;
        self.outputs.push_back(RelayGreetingOutput::Admitted { rest: Bytes::new() });
    }

    pub fn refuse(&mut self, error: TunnelError) {
        if self.over {
            return;
        }
        self.transmit(&Frame::Close { code: error.code.number(), detail: error.detail.clone() });
        self.over = true;
        self.outputs.push_back(RelayGreetingOutput::Failed(error));
    }

    /// The connection ended.
    pub fn closed(&mut self) {
        if !self.over {
            self.over = true;
            self.outputs.push_back(RelayGreetingOutput::Failed(Code::Lost.into()));
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if now >= self.deadline {
            self.refuse(Code::GreetingTimeout.into());
        }
    }

    pub fn poll_output(&mut self) -> Option<RelayGreetingOutput> {
        let mut output = self.outputs.pop_front();
        if let Some(RelayGreetingOutput::Admitted { rest }) = &mut output {
            *rest = std::mem::take(&mut self.decoder).into_rest();
        }
        output
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.over).then_some(self.deadline)
    }

    fn hello(&mut self, hello: Hello) {
        // The exporter is no secret to whoever ended this TLS connection, and tells a replay from a wrong key.
        if hello.exporter != self.exporter {
            return self.refuse(Code::Replayed.into());
        }
        self.asked = true;
        let transcript = transcript(&self.exporter, &hello.key, &hello.purpose);
        let Hello { key, signature, purpose, software, .. } = hello;
        let question = Authenticate { key, signature, transcript, purpose, software };
        self.outputs.push_back(RelayGreetingOutput::Authenticate(question));
    }

    fn transmit(&mut self, frame: &Frame) {
        let mut out = BytesMut::new();
        encode(frame, &mut out);
        self.outputs.push_back(RelayGreetingOutput::Transmit(out.freeze()));
    }
}
