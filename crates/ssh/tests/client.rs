//! Our agent at Debian's sshd.

mod fixtures;

use std::net::SocketAddr;
use std::sync::Arc;

use doorstep_model::UpstreamAddr;
use doorstep_net::{BoxFuture, Conn, Drain, Handler, Patience};
use doorstep_proto::tunnel::Claim;
use doorstep_ssh::client::{Builtin, ClientOptions, Fault, Handle, Key, KnownHosts, Program, Server, prepare, start};
use doorstep_tunnel::{AgentEvent, Sink, Target};
use fixtures::{Lab, Sshd, app, children_with, free_port, kill, program, soon, user};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

type Events = mpsc::UnboundedReceiver<AgentEvent>;

fn options(lab: &Lab, sshd: &Sshd, key: &str) -> ClientOptions {
    let server = Server { user: None, host: sshd.address.ip().to_string(), port: Some(sshd.address.port()) };
    ClientOptions {
        program: Program::System(program("ssh")),
        arguments: lab.arguments(key),
        ..ClientOptions::new(server)
    }
}

/// The built-in client logs in as whoever runs the tests, too.
fn builtin(lab: &Lab, sshd: &Sshd, key: &str) -> ClientOptions {
    let keys = Builtin { keys: vec![Key::File(lab.path(key))], known_hosts: KnownHosts::File(lab.path("known")) };
    let user = Some(user());
    let server = Server { user, host: sshd.address.ip().to_string(), port: Some(sshd.address.port()) };
    ClientOptions { program: Program::Builtin(keys), ..ClientOptions::new(server) }
}

fn tcp(app: SocketAddr) -> Target {
    let to = UpstreamAddr::Tcp { host: app.ip().to_string(), port: app.port() };
    Target::new(Claim::Tcp { port: 0 }, Sink::Dial(to))
}

fn begin(options: ClientOptions, targets: Vec<Target>) -> (Handle, Events) {
    let (events, heard) = mpsc::unbounded_channel();
    (start(options, targets, events), heard)
}

/// The public address of the next target that is lent.
async fn lent(events: &mut Events) -> SocketAddr {
    soon("a target is lent", async {
        loop {
            match events.recv().await.expect("the agent runs") {
                AgentEvent::Lent { address, .. } => return address.split("://").nth(1).unwrap().parse().unwrap(),
                AgentEvent::Stopped { why, fix } => panic!("{why}; {fix}"),
                _ => {}
            }
        }
    })
    .await
}

async fn stopped(events: &mut Events) -> (String, String) {
    soon("the agent stops", async {
        loop {
            match events.recv().await.expect("the agent says why it stops") {
                AgentEvent::Stopped { why, fix } => return (why, fix),
                AgentEvent::Lent { address, .. } => panic!("lent at {address}"),
                _ => {}
            }
        }
    })
    .await
}

async fn transfers(address: SocketAddr) {
    let connect = || async { TcpStream::connect(address).await.unwrap() };
    soon("downloads", app::download(&mut connect().await, 12 << 20)).await;
    soon("uploads", app::upload(&mut connect().await, 12 << 20)).await;
    soon("echoes", app::echo(&mut connect().await, "hello")).await;
}

/// Tells each visitor how it sees it.
struct Mirror;

impl Handler for Mirror {
    fn handle(&self, mut conn: Conn, _: Drain) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            use tokio::io::AsyncWriteExt;
            let words = format!("{} {}", conn.info.peer, conn.info.relayed);
            let _ = conn.io.write_all(words.as_bytes()).await;
        })
    }
}

async fn reflection(address: SocketAddr) -> (SocketAddr, String) {
    use tokio::io::AsyncReadExt;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut text = String::new();
    soon("the mirror answers", stream.read_to_string(&mut text)).await.unwrap();
    (stream.local_addr().unwrap(), text)
}

#[tokio::test]
async fn through_sshd_by_the_systems_ssh() {
    let lab = Lab::new();
    let sshd = Sshd::start(&lab, "127.0.0.1", "GatewayPorts clientspecified").await;
    let (handle, mut events) = begin(options(&lab, &sshd, "user"), vec![tcp(app::start().await)]);
    let address = lent(&mut events).await;
    assert!(handle.status().online);
    transfers(address).await;
    soon("leaving", handle.leave(Patience::Now)).await;
    fixtures::until("the port is free", || std::net::TcpStream::connect(address).is_err()).await;
}

#[tokio::test]
async fn through_sshd_by_the_built_in_client() {
    let lab = Lab::new();
    let sshd = Sshd::start(&lab, "127.0.0.1", "GatewayPorts clientspecified").await;
    let (_handle, mut events) = begin(builtin(&lab, &sshd, "user"), vec![tcp(app::start().await)]);
    transfers(lent(&mut events).await).await;
}

#[tokio::test]
async fn the_visitors_own_address_arrives() {
    let lab = Lab::new();
    let sshd = Sshd::start(&lab, "127.0.0.1", "GatewayPorts yes").await;
    for options in [options(&lab, &sshd, "user"), builtin(&lab, &sshd, "user")] {
        let claim = Claim::Http { name: "mirror".into(), label: String::new() };
        let (handle, mut events) = begin(options, vec![Target::new(claim, Sink::Serve(Arc::new(Mirror)))]);
        let address = lent(&mut events).await;
        for _ in 0..5 {
            let (own, text) = reflection(address).await;
            assert_eq!(text, format!("{own} false"));
        }
        soon("leaving", handle.leave(Patience::Now)).await;
    }
}

#[tokio::test]
async fn one_visitor_who_does_not_read_stops_no_other() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let lab = Lab::new();
    let sshd = Sshd::start(&lab, "127.0.0.1", "GatewayPorts clientspecified").await;
    for options in [options(&lab, &sshd, "user"), builtin(&lab, &sshd, "user")] {
        let (handle, mut events) = begin(options, vec![tcp(app::start().await)]);
        let address = lent(&mut events).await;
        let mut stalled = TcpStream::connect(address).await.unwrap();
        stalled.write_all(b"f").await.unwrap();
        assert_eq!(stalled.read_u8().await.unwrap(), b'x');
        let others: Vec<_> = (0..49)
            .map(|_| {
                tokio::spawn(async move {
                    app::download(&mut TcpStream::connect(address).await.unwrap(), 1 << 20).await;
                    app::upload(&mut TcpStream::connect(address).await.unwrap(), 1 << 20).await;
                })
            })
            .collect();
        for other in others {
            soon("the others go on", other).await.unwrap();
        }
        drop(stalled);
        soon("leaving", handle.leave(Patience::Now)).await;
    }
}

#[tokio::test]
async fn a_killed_ssh_comes_back_on_the_same_port() {
    let lab = Lab::new();
    let sshd = Sshd::start(&lab, "127.0.0.1", "GatewayPorts clientspecified").await;
    let (_handle, mut events) = begin(options(&lab, &sshd, "user"), vec![tcp(app::start().await)]);
    let address = lent(&mut events).await;
    let programs = children_with(&["ssh", &lab.folder.path().display().to_string(), "-R"]);
    assert_eq!(programs.len(), 1);
    kill(programs[0]);
    assert_eq!(lent(&mut events).await, address);
    transfers(address).await;
}

#[tokio::test]
async fn a_killed_sshd_is_found_again_on_the_same_port() {
    let lab = Lab::new();
    let mut sshd = Sshd::start(&lab, "127.0.0.1", "GatewayPorts clientspecified").await;
    for options in [options(&lab, &sshd, "user"), builtin(&lab, &sshd, "user")] {
        let (handle, mut events) = begin(options, vec![tcp(app::start().await)]);
        let address = lent(&mut events).await;
        sshd.kill();
        soon("the loss is noticed", async {
            while !matches!(events.recv().await, Some(AgentEvent::Offline { .. })) {}
        })
        .await;
        assert!(!handle.status().online);
        sshd.begin().await;
        assert_eq!(lent(&mut events).await, address);
        soon("echoes", app::echo(&mut TcpStream::connect(address).await.unwrap(), "again")).await;
        soon("leaving", handle.leave(Patience::Now)).await;
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_any_more_is_given_up() {
    let lab = Lab::new();
    let sshd = Sshd::start(&lab, "127.0.0.1", "GatewayPorts clientspecified").await;
    let mut agents: Vec<_> = [options(&lab, &sshd, "user"), builtin(&lab, &sshd, "user")]
        .into_iter()
        .zip([app::start().await, app::start().await])
        .map(|(options, app)| begin(options, vec![tcp(app)]))
        .collect();
    for (_, events) in &mut agents {
        lent(events).await;
    }
    sshd.freeze();
    for (_, events) in &mut agents {
        soon("the silence is noticed", async {
            while !matches!(events.recv().await, Some(AgentEvent::Offline { .. })) {}
        })
        .await;
    }
}

#[tokio::test]
async fn an_alias_and_a_jump_host_of_the_configuration_file() {
    let lab = Lab::new();
    let sshd = Sshd::start(&lab, "127.0.0.1", "GatewayPorts clientspecified").await;
    let (port, key, known) = (sshd.address.port(), lab.path("user"), lab.path("known"));
    let config = format!(
        "Host outer inner\n HostName 127.0.0.1\n Port {port}\n IdentityFile {}\n IdentityAgent none\n UserKnownHostsFile {}\n\
         Host inner\n ProxyJump outer\n RemoteForward 1 127.0.0.1:1\n",
        key.display(),
        known.display()
    );
    std::fs::write(lab.path("config"), config).unwrap();
    for alias in ["outer", "inner"] {
        let options = ClientOptions {
            program: Program::System(program("ssh")),
            arguments: vec!["-F".into(), lab.path("config").display().to_string()],
            ..ClientOptions::new(Server { user: None, host: alias.into(), port: None })
        };
        let (handle, mut events) = begin(options, vec![tcp(app::start().await)]);
        let address = lent(&mut events).await;
        soon("echoes", app::echo(&mut TcpStream::connect(address).await.unwrap(), alias)).await;
        soon("leaving", handle.leave(Patience::Now)).await;
    }
}

#[tokio::test]
async fn leaving_waits_for_visitors() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let lab = Lab::new();
    let sshd = Sshd::start(&lab, "127.0.0.1", "GatewayPorts clientspecified").await;
    let (handle, mut events) = begin(options(&lab, &sshd, "user"), vec![tcp(app::start().await)]);
    let address = lent(&mut events).await;
    let mut visitor = TcpStream::connect(address).await.unwrap();
    app::echo(&mut visitor, "before").await;
    let leaving = tokio::spawn(handle.leave(Patience::Gentle));
    visitor.write_all(b"after").await.unwrap();
    let mut back = [0; 5];
    soon("the visitor is served", visitor.read_exact(&mut back)).await.unwrap();
    assert!(!leaving.is_finished());
    drop(visitor);
    soon("leaving", leaving).await.unwrap();
}

#[tokio::test]
async fn a_wrong_key_is_refused() {
    let lab = Lab::new();
    let sshd = Sshd::start(&lab, "127.0.0.1", "").await;
    for options in [options(&lab, &sshd, "other"), builtin(&lab, &sshd, "other")] {
        let (_handle, mut events) = begin(options, vec![tcp(app::start().await)]);
        let (why, fix) = stopped(&mut events).await;
        assert!(why.contains("none of the keys"), "{why}");
        assert!(fix.contains("ssh-copy-id"), "{fix}");
    }
    assert!(matches!(prepare(&options(&lab, &sshd, "other"), false).await, Err(Fault::Denied(_))));
    assert_eq!(prepare(&options(&lab, &sshd, "user"), false).await, Ok(()));
}

#[tokio::test]
async fn an_unknown_or_changed_host_key_is_refused() {
    let lab = Lab::new();
    let sshd = Sshd::start(&lab, "127.0.0.1", "").await;
    let both = || [options(&lab, &sshd, "user"), builtin(&lab, &sshd, "user")];
    std::fs::write(lab.path("known"), "").unwrap();
    for options in both() {
        let (_handle, mut events) = begin(options, vec![tcp(app::start().await)]);
        let (why, fix) = stopped(&mut events).await;
        assert!(why.contains("not known"), "{why}");
        assert!(fix.contains(&format!("ssh -p {}", sshd.address.port())), "{fix}");
    }
    assert_eq!(prepare(&options(&lab, &sshd, "user"), false).await, Err(Fault::HostKeyUnknown));
    lab.know(sshd.address, &lab.public_line("other"));
    for options in both() {
        let (_handle, mut events) = begin(options, vec![tcp(app::start().await)]);
        let (why, _) = stopped(&mut events).await;
        assert!(why.contains("not the one"), "{why}");
    }
}

#[tokio::test]
async fn a_port_on_loopback_only_is_told_with_what_mends_it() {
    let lab = Lab::new();
    let sshd = Sshd::start(&lab, "127.0.0.2", "GatewayPorts no").await;
    let (handle, mut events) = begin(options(&lab, &sshd, "user"), vec![tcp(app::start().await)]);
    let text = soon("the agent tells", async {
        loop {
            match events.recv().await.unwrap() {
                AgentEvent::Notice { text, .. } => return text,
                AgentEvent::Lent { address, .. } => panic!("lent at {address}"),
                _ => {}
            }
        }
    })
    .await;
    assert!(text.contains("GatewayPorts clientspecified") && text.contains("ssh -L"), "{text}");
    assert!(handle.status().trouble.is_some());
}

#[tokio::test]
async fn a_port_that_somebody_wants_is_refused_and_not_replaced() {
    let lab = Lab::new();
    let sshd = Sshd::start(&lab, "127.0.0.1", "GatewayPorts clientspecified").await;
    // For both families: sshd is content with one of them.
    let bind = |ip: &str| std::net::TcpListener::bind((ip, free_port()));
    let taken = bind("::").or_else(|_| bind("0.0.0.0")).unwrap();
    let port = taken.local_addr().unwrap().port();
    let target = Target { claim: Claim::Tcp { port }, ..tcp(app::start().await) };
    let (_handle, mut events) = begin(options(&lab, &sshd, "user"), vec![target]);
    let why = soon("it is refused", async {
        loop {
            match events.recv().await.unwrap() {
                AgentEvent::Refused { why, .. } => return why.to_string(),
                AgentEvent::Lent { address, .. } => panic!("lent at {address}"),
                _ => {}
            }
        }
    })
    .await;
    assert!(why.contains(&port.to_string()), "{why}");
    drop(taken);
    assert_eq!(lent(&mut events).await.port(), port);
}
