use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use doorstep_net::Io;
use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, ChannelId, ChannelOpenFailure, Names};
use tokio::sync::mpsc;

use super::Found;
use super::hosts::Hosts;
use crate::channel::{Backlog, ChannelStream, Pace};
use crate::client::Fault;
use crate::client::plan::{Plan, Wish};
use crate::client::said::Said;
use crate::client::urls::plain;
use crate::limits::CHANNELS;

/// What russh's session tells.
pub(super) struct Events {
    wishes: Vec<Wish>,
    /// The port that each wish got.
    ports: Arc<[AtomicU32]>,
    hosts: Hosts,
    pace: Arc<Pace>,
    said: mpsc::Sender<Said>,
    fault: Found,
    greeted: bool,
    channels: HashMap<ChannelId, Arc<Backlog>>,
}

impl Events {
    pub fn new(plan: &Plan, hosts: Hosts, pace: Arc<Pace>, said: mpsc::Sender<Said>, fault: Found) -> Self {
        let ports = plan.wishes.iter().map(|wish| AtomicU32::new(wish.port.into())).collect();
        let wishes = plan.wishes.clone();
        Self { wishes, ports, hosts, pace, said, fault, greeted: false, channels: HashMap::new() }
    }

    pub fn ports(&self) -> Arc<[AtomicU32]> {
        self.ports.clone()
    }

    fn target(&self, address: &str, port: u32) -> Option<usize> {
        let same_port = |(_, known): &(&Wish, &AtomicU32)| known.load(Ordering::Relaxed) == port;
        let candidates = || self.wishes.iter().zip(self.ports.iter()).filter(same_port);
        // Servers repeat the address as it was asked for, or name the one that they listen on.
        let (wish, _) = candidates().find(|(wish, _)| wish.host == address).or_else(|| candidates().next())?;
        Some(wish.target)
    }

    fn fails(&self, fault: Fault) {
        self.fault.lock().get_or_insert(fault);
    }
}

impl Handler for Events {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let checked = match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.hosts.check(key),
            // Certificates are not asked for: whom to believe stands in no file that is read here.
            PublicKeyOrCertificate::Certificate(_) => Err(Fault::HostKeyUnknown),
        };
        if let Err(fault) = &checked {
            self.fails(fault.clone());
        }
        Ok(checked.is_ok())
    }

    async fn kex_done(&mut self, _: Option<&[u8]>, _: &Names, session: &mut Session) -> Result<(), Self::Error> {
        if !std::mem::replace(&mut self.greeted, true) {
            let id = String::from_utf8_lossy(session.remote_sshid()).into_owned();
            let software = id.splitn(3, '-').nth(2).unwrap_or_default().to_owned();
            let _ = self.said.send(Said::Software(software)).await;
        }
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        connected_address: &str,
        connected_port: u32,
        originator_address: &str,
        originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(target) = self.target(connected_address, connected_port) else {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        };
        if self.channels.len() >= CHANNELS {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let peer = originator_address.parse::<IpAddr>().map_or_else(
            |_| SocketAddr::from(([0, 0, 0, 0], 0)),
            |ip| SocketAddr::new(ip.to_canonical(), u16::try_from(originator_port).unwrap_or(0)),
        );
        let backlog = Backlog::new(self.pace.clone());
        self.channels.insert(channel.id(), backlog.clone());
        // What arrives comes by `data`; russh's own queue would make the session wait.
        let (_, writer) = channel.split();
        let io = Io::Other(Box::new(ChannelStream::new(backlog, writer, ())));
        reply.accept().await;
        let _ = self.said.send(Said::Visitor { target, io, peer }).await;
        Ok(())
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        if let Some(backlog) = self.channels.get(&channel)
            && backlog.push(data).is_err()
        {
            session.close(channel)?;
            self.channels.remove(&channel);
        }
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        if let Some(backlog) = self.channels.get(&channel) {
            backlog.finish();
        }
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        if let Some(backlog) = self.channels.remove(&channel) {
            backlog.close();
        }
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Self::Error>) -> Result<(), Self::Error> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                self.fails(Fault::farewell(&plain(&info.message)));
                Ok(())
            }
            DisconnectReason::Error(error) => Err(error),
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        for backlog in self.channels.values() {
            backlog.close();
        }
    }
}
