//! The built-in client, for computers without `ssh`: keys of the agent and of `~/.ssh`, known_hosts checked strictly, no
//! `~/.ssh/config`.

mod hosts;
mod keys;
mod session;

use std::sync::Arc;

use doorstep_net::{ConnectError, connect_tcp};
use parking_lot::Mutex;
use russh::client::{self, Handle};
use russh::{ChannelMsg, Preferred, compression};
use tokio::io::BufReader;
use tokio::sync::mpsc;

use super::plan::Plan;
use super::said::Said;
use super::{Builtin, Fault, Server, Style};
use crate::channel::{Pace, Paced};
use crate::limits::{
    CHANNEL_MESSAGES, CONNECT, KEEP_ALIVE, KEEP_ALIVES_LOST, LINE, PACKET, READ_BUFFER, UNACKNOWLEDGED, WINDOW,
};
use crate::socket;
use session::Events;

/// One session. Tells what happens by `said`; is over when the connection is.
pub(super) async fn run(server: &Server, keys: &Builtin, plan: &Plan, said: &mpsc::Sender<Said>) -> Fault {
    let fault = Arc::new(Mutex::new(None));
    let ended = session(server, keys, plan, said, &fault).await;
    let found = fault.lock().take();
    found.or(ended.err()).unwrap_or_else(|| Fault::Lost("the connection broke".to_owned()))
}

type Found = Arc<Mutex<Option<Fault>>>;

async fn session(
    server: &Server,
    keys: &Builtin,
    plan: &Plan,
    said: &mpsc::Sender<Said>,
    fault: &Found,
) -> Result<(), Fault> {
    let port = server.port.unwrap_or(22);
    let opening = async {
        let socket = connect_tcp(&server.host, port, |_| true).await.map_err(|error| match error {
            ConnectError::Resolve { host, .. } => Fault::UnknownName(host),
            ConnectError::Io { source, .. } => Fault::Unreachable(source.to_string()),
            error => Fault::Unreachable(error.to_string()),
        })?;
        let address = socket.peer_addr().ok();
        socket::prepare(&socket, UNACKNOWLEDGED).map_err(|error| Fault::Unreachable(error.to_string()))?;
        let hosts = hosts::Hosts::new(&server.host, port, &keys.known_hosts);
        let config = Arc::new(config(&hosts));
        let pace = Arc::new(Pace::default());
        let paced = BufReader::with_capacity(READ_BUFFER, Paced::new(socket, pace.clone()));
        let ends = EndsWithThis(pace.clone());
        let events = Events::new(plan, hosts, pace, said.clone(), fault.clone());
        let ports = events.ports();
        let mut handle = client::connect_stream(config, paced, events).await.map_err(lost)?;
        keys::authenticate(&mut handle, server, &keys.keys).await?;
        Ok((handle, ports, address, ends))
    };
    let (handle, ports, address, _ends) = tokio::time::timeout(CONNECT, opening)
        .await
        .unwrap_or_else(|_| Err(Fault::Unreachable("it does not answer in time".to_owned())))?;
    let _ = said.send(Said::Authenticated(address)).await;
    for (wish, port) in plan.wishes.iter().zip(ports.iter()) {
        let target = wish.target;
        let answer = match handle.tcpip_forward(wish.host.as_str(), wish.port.into()).await {
            Ok(granted) => {
                // Zero is what stands for the port that was asked for.
                let granted = u16::try_from(granted).ok().filter(|granted| *granted != 0).unwrap_or(wish.port);
                port.store(granted.into(), std::sync::atomic::Ordering::Relaxed);
                Said::Granted { target, port: granted }
            }
            Err(russh::Error::RequestDenied) => Said::Refused { target },
            Err(error) => return Err(lost(error)),
        };
        let _ = said.send(answer).await;
    }
    if plan.style == Some(Style::Lender) {
        read_output(&handle, said).await?;
    }
    handle.await.map_err(lost)
}

/// russh's session runs in a task of its own, which lives as long as anybody holds one of its channels.
struct EndsWithThis(Arc<Pace>);

impl Drop for EndsWithThis {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn config(hosts: &hosts::Hosts) -> client::Config {
    let mut preferred =
        Preferred { compression: std::borrow::Cow::Borrowed(&[compression::NONE]), ..Preferred::DEFAULT };
    hosts.prefer(&mut preferred);
    client::Config {
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        channel_buffer_size: CHANNEL_MESSAGES,
        keepalive_interval: Some(KEEP_ALIVE),
        keepalive_max: KEEP_ALIVES_LOST,
        preferred,
        ..client::Config::default()
    }
}

/// Opens a session and passes on what the server prints there.
async fn read_output(handle: &Handle<Events>, said: &mpsc::Sender<Said>) -> Result<(), Fault> {
    let channel = handle.channel_open_session().await.map_err(lost)?;
    channel.request_shell(false).await.map_err(lost)?;
    let said = said.clone();
    let (mut reader, writer) = channel.split();
    tokio::spawn(async move {
        let mut line = Vec::new();
        while let Some(message) = reader.wait().await {
            let (ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. }) = message else { continue };
            for byte in data {
                if byte == b'\n' {
                    let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                    line.clear();
                    if said.send(Said::Line(text)).await.is_err() {
                        return;
                    }
                } else if line.len() < LINE {
                    line.push(byte);
                }
            }
        }
        // Kept until here: it would close the session when dropped.
        drop(writer);
    });
    Ok(())
}

fn lost(error: russh::Error) -> Fault {
    match error {
        russh::Error::UnknownKey => Fault::HostKeyUnknown,
        russh::Error::Disconnect | russh::Error::HUP => Fault::Lost("the connection broke".to_owned()),
        russh::Error::KeepaliveTimeout => Fault::Lost("the server does not answer any more".to_owned()),
        russh::Error::IO(error) => Fault::Unreachable(error.to_string()),
        error => Fault::Lost(error.to_string()),
    }
}
