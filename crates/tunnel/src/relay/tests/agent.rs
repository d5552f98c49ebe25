//! A small agent, made of the machines.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use doorstep_proto::tunnel::{
    AgentGreeting, AgentGreetingOutput, AgentInput, AgentOutput, AgentSession, Claim, EXPORTER_LABEL, Exporter, Open,
    Purpose, Role, Sharing, TunnelError, Welcome,
};
use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsConnector;

use super::{export, socket};
use crate::identity::AgentKeyPair;
use crate::link::{Link, LinkEvent, LinkHandle, LinkStream, Transport, Wire, now};

/// A connection that was welcomed.
pub struct Dialed {
    pub welcome: Welcome,
    pub wire: Wire,
    pub rest: Bytes,
}

pub async fn tls(address: SocketAddr) -> (Transport, Exporter) {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let name = ServerName::try_from("tun.example.com").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, socket(address).await).await.unwrap();
    let exporter = export(|out| stream.get_ref().1.export_keying_material(out, EXPORTER_LABEL, None));
    (stream.into(), exporter)
}

pub async fn dial(address: SocketAddr, key: &AgentKeyPair, purpose: Purpose) -> Result<Dialed, TunnelError> {
    let (transport, exporter) = tls(address).await;
    let greeting = AgentGreeting::new(now(), exporter, key.public(), purpose, "test/1");
    greet(Wire::new(transport), greeting, key).await
}

/// `key` signs, whatever key the greeting shows.
pub async fn greet(mut wire: Wire, mut machine: AgentGreeting, key: &AgentKeyPair) -> Result<Dialed, TunnelError> {
    loop {
        while let Some(output) = machine.poll_output() {
            match output {
                AgentGreetingOutput::Sign(transcript) => machine.signed(key.sign(&transcript)),
                AgentGreetingOutput::Transmit(bytes) => wire.push(bytes),
                AgentGreetingOutput::Welcomed { welcome, rest } => return Ok(Dialed { welcome, wire, rest }),
                AgentGreetingOutput::Failed(error) => return Err(error),
            }
        }
        match wire.read().await {
            Some(bytes) => machine.received(bytes),
            None => machine.closed(),
        }
    }
}

/// A session with its data connections.
pub struct Agent {
    pub outputs: UnboundedReceiver<AgentOutput>,
    pub opened: UnboundedReceiver<(Open, LinkStream)>,
    pub shared: Arc<Shared>,
    /// Dropped, everything breaks without a word.
    _tasks: JoinSet<()>,
}

#[derive(Default)]
pub struct Shared {
    claims: Mutex<Vec<Claim>>,
    released: Mutex<Vec<u32>>,
    left: Mutex<bool>,
    changed: Notify,
    pub links: Mutex<Vec<(Sharing, LinkHandle, AbortHandle)>>,
}

impl Agent {
    pub async fn start(address: SocketAddr, key: &AgentKeyPair, claims: Vec<Claim>) -> Self {
        let dialed = dial(address, key, Purpose::Control).await.unwrap();
        let (output_sender, outputs) = unbounded_channel();
        let (open_sender, opened) = unbounded_channel();
        let shared = Arc::new(Shared { claims: Mutex::new(claims), ..Shared::default() });
        let mut tasks = JoinSet::new();
        tasks.spawn(control(dialed, address, key.clone(), shared.clone(), output_sender, open_sender));
        Self { outputs, opened, shared, _tasks: tasks }
    }

    pub fn claim(&self, claim: Claim) {
        self.shared.claims.lock().push(claim);
        self.shared.changed.notify_one();
    }

    pub fn release(&self, id: u32) {
        self.shared.released.lock().push(id);
        self.shared.changed.notify_one();
    }

    pub fn leave(&self) {
        *self.shared.left.lock() = true;
        self.shared.changed.notify_one();
    }

    /// How the session ended.
    pub async fn ended(&mut self) -> TunnelError {
        loop {
            if let AgentOutput::Closed(error) = self.outputs.recv().await.unwrap() {
                return error;
            }
        }
    }

    pub async fn granted(&mut self) -> String {
        loop {
            match self.outputs.recv().await.unwrap() {
                AgentOutput::Granted { grant, .. } => return grant.host,
                AgentOutput::Dial(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn denied(&mut self) -> TunnelError {
        loop {
            match self.outputs.recv().await.unwrap() {
                AgentOutput::Denied { error, .. } => return error,
                AgentOutput::Dial(_) | AgentOutput::Granted { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

async fn control(
    Dialed { welcome, mut wire, rest }: Dialed,
    address: SocketAddr,
    key: AgentKeyPair,
    shared: Arc<Shared>,
    outputs: UnboundedSender<AgentOutput>,
    opened: UnboundedSender<(Open, LinkStream)>,
) {
    let mut machine = AgentSession::new(now(), 1);
    machine.handle_input(now(), AgentInput::Received(rest));
    let mut links = JoinSet::new();
    let (report, mut reports) = unbounded_channel();
    loop {
        let claims = std::mem::take(&mut *shared.claims.lock());
        claims.into_iter().for_each(|claim| assert!(machine.claim(claim).is_some()));
        let released = std::mem::take(&mut *shared.released.lock());
        released.into_iter().for_each(|id| machine.release(id));
        if *shared.left.lock() {
            machine.leave();
        }
        let mut over = false;
        while let Some(output) = machine.poll_output() {
            match &output {
                AgentOutput::Dial(sharing) => {
                    let purpose = Purpose::Data { session: welcome.session, sharing: *sharing };
                    let (key, opened) = (key.clone(), opened.clone());
                    let (shared, report) = (shared.clone(), report.clone());
                    let (sharing, me) = (*sharing, Arc::new(Mutex::new(None::<AbortHandle>)));
                    let mine = me.clone();
                    let task = links.spawn(async move {
                        let report = Report(report, sharing);
                        let Ok(dialed) = dial(address, &key, purpose).await else { return };
                        let link = Link::over(Role::Agent, sharing, dialed.wire, dialed.rest);
                        (1..=9).for_each(|claim| link.handle().allow(claim, claim == 9));
                        let task = mine.lock().clone();
                        shared.links.lock().extend(task.map(|task| (sharing, link.handle(), task)));
                        serve(link, opened).await;
                        drop(report);
                    });
                    *me.lock() = Some(task);
                }
                AgentOutput::Closed(_) => over = true,
                _ => {}
            }
            let _ = outputs.send(output);
        }
        while let Some(bytes) = machine.poll_transmit() {
            wire.push(bytes);
        }
        if over {
            return wire.finish().await;
        }
        let deadline = machine.poll_timeout().unwrap_or_else(now);
        let input = tokio::select! {
            read = wire.read() => read.map_or(AgentInput::Closed, AgentInput::Received),
            Some(sharing) = reports.recv() => AgentInput::DataClosed(sharing),
            () = tokio::time::sleep_until(deadline.into()) => {
                machine.handle_timeout(now());
                continue;
            }
            () = shared.changed.notified() => continue,
        };
        machine.handle_input(now(), input);
    }
}

/// Tells that a data connection is gone, however it went.
struct Report(UnboundedSender<Sharing>, Sharing);

impl Drop for Report {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}

async fn serve(mut link: Link, opened: UnboundedSender<(Open, LinkStream)>) {
    loop {
        match link.event().await {
            Ok(LinkEvent::Opened(open, stream)) => drop(opened.send((open, stream))),
            Ok(LinkEvent::Free) => {}
            Err(_) => return,
        }
    }
}

/// Whoever it is: the relay's certificate is not what these tests are about.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
