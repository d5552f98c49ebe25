use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use doorstep_proto::tunnel::AgentKey;
use doorstep_tunnel::registry::Agent;
use russh::keys::PublicKey;
use russh::keys::ssh_key::public::KeyData;
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session as Russh, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf, Disconnect, Error, Pty};

use super::admission::Pass;
use super::session::Session;
use crate::limits::TERMINALS;

/// What russh's session tells. Nothing here waits for a visitor.
pub(super) struct Events {
    session: Arc<Session>,
    pass: Pass,
    agent: Option<Agent>,
    /// Session channels on which no terminal was asked for yet, and whether it is to be a raw one.
    prepared: HashMap<ChannelId, (ChannelWriteHalf<Msg>, bool)>,
}

/// Ctrl-C and Ctrl-D, as a raw terminal sends them.
const ENDS: [u8; 2] = [3, 4];

impl Events {
    pub fn new(session: Arc<Session>, pass: Pass) -> Self {
        Self { session, pass, agent: None, prepared: HashMap::new() }
    }

    fn open_terminal(&mut self, id: ChannelId) -> bool {
        let Some((half, pty)) = self.prepared.remove(&id) else { return false };
        self.session.open_terminal(id, half, pty);
        true
    }
}

/// How the registry knows a key: Ed25519 as it is, others by the SHA-256 of their blob (RFC 4253 section 6.6).
fn agent_key(key: &PublicKey) -> Option<AgentKey> {
    if let KeyData::Ed25519(key) = key.key_data() {
        return Some(key.0);
    }
    digest(&SHA256, &key.to_bytes().ok()?).as_ref().try_into().ok()
}

impl Handler for Events {
    type Error = Error;

    async fn auth_publickey_offered(&mut self, _user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Error> {
        let gateway = self.session.gateway();
        let known = agent_key(offer.public_key).is_some_and(|key| gateway.registry.authenticate(&key).is_ok());
        if !known {
            let line = offer.public_key.to_openssh().unwrap_or_default();
            gateway.options.surroundings.stranger(self.session.peer(), &line);
            return Ok(Auth::reject());
        }
        Ok(Auth::Accept)
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        let registry = &self.session.gateway().registry;
        match agent_key(key.public_key).map(|key| registry.authenticate(&key)) {
            Some(Ok(agent)) => {
                self.agent = Some(agent);
                Ok(Auth::Accept)
            }
            _ => Ok(Auth::reject()),
        }
    }

    async fn auth_succeeded(&mut self, session: &mut Russh) -> Result<(), Error> {
        let Some(agent) = self.agent.take() else { return Err(Error::NotAuthenticated) };
        let software: String =
            String::from_utf8_lossy(session.remote_sshid()).chars().filter(|c| !c.is_control()).take(100).collect();
        if let Err(error) = self.session.begin(agent, &software, session.handle()) {
            session.disconnect(Disconnect::TooManyConnections, &error.to_string(), "")?;
        }
        self.pass.known();
        Ok(())
    }

    async fn tcpip_forward(&mut self, address: &str, port: &mut u32, _: &mut Russh) -> Result<bool, Error> {
        match self.session.lend(address, *port).await {
            Some(granted) => {
                *port = granted;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    async fn cancel_tcpip_forward(&mut self, address: &str, port: u32, _: &mut Russh) -> Result<bool, Error> {
        Ok(self.session.release(address, port))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Russh,
    ) -> Result<(), Error> {
        if self.prepared.len() >= TERMINALS || !self.session.has_room_for_terminal() {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let id = channel.id();
        let (_, half) = channel.split();
        self.prepared.insert(id, (half, false));
        reply.accept().await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Russh,
    ) -> Result<(), Error> {
        match self.prepared.get_mut(&channel) {
            Some((_, pty)) => {
                *pty = true;
                session.channel_success(channel)
            }
            None => session.channel_failure(channel),
        }
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Russh) -> Result<(), Error> {
        if !self.open_terminal(channel) {
            return session.channel_failure(channel);
        }
        session.channel_success(channel)
    }

    /// Whatever the command is: nothing is run here, and what there is to see is the same.
    async fn exec_request(&mut self, channel: ChannelId, _: &[u8], session: &mut Russh) -> Result<(), Error> {
        self.shell_request(channel, session).await
    }

    async fn subsystem_request(&mut self, channel: ChannelId, _: &str, session: &mut Russh) -> Result<(), Error> {
        session.channel_failure(channel)
    }

    async fn env_request(&mut self, channel: ChannelId, _: &str, _: &str, session: &mut Russh) -> Result<(), Error> {
        session.channel_failure(channel)
    }

    async fn channel_open_confirmation(
        &mut self,
        id: ChannelId,
        _most: u32,
        _window: u32,
        _: &mut Russh,
    ) -> Result<(), Error> {
        self.session.channels().opened(id);
        Ok(())
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], session: &mut Russh) -> Result<(), Error> {
        if let Some(backlog) = self.session.channels().backlog(channel) {
            if backlog.push(data).is_err() {
                session.close(channel)?;
                self.session.reset();
            }
        } else if self.session.is_terminal(channel) && data.iter().any(|byte| ENDS.contains(byte)) {
            session.disconnect(Disconnect::ByApplication, "you ended it", "")?;
        }
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, _: &mut Russh) -> Result<(), Error> {
        if let Some(backlog) = self.session.channels().backlog(channel) {
            backlog.finish();
        }
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Russh) -> Result<(), Error> {
        self.prepared.remove(&channel);
        self.session.close_terminal(channel);
        self.session.channels().closed(channel);
        Ok(())
    }
}
