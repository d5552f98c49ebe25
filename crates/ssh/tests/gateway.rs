//! Debian's ssh at our gateway.

mod fixtures;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use doorstep_model::{Secret, UpstreamAddr};
use doorstep_net::{DrainControl, Io, Patience};
use doorstep_proto::tunnel::{Claim, Code};
use doorstep_ssh::client::{Builtin, ClientOptions, Key, KnownHosts, Program, Server, start};
use doorstep_ssh::server::{Gateway, GatewayOptions, LogLines, Surroundings};
use doorstep_tunnel::registry::{Found, RegistryOptions};
use doorstep_tunnel::{AgentEvent, Registry, Sink, Target, Visitor};
use fixtures::{Lab, Running, app, free_port, program, soon, until};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const DOMAIN: &str = "tun.example.com";

/// A relay around the gateway, which remembers what it was told.
#[derive(Default)]
struct Relay {
    followed: Mutex<Vec<(String, LogLines)>>,
    strangers: Mutex<Vec<String>>,
}

impl Surroundings for Relay {
    fn follow(&self, host: &str, lines: LogLines) {
        self.followed.lock().push((host.to_owned(), lines));
    }

    fn stranger(&self, _: SocketAddr, key: &str) {
        self.strangers.lock().push(key.to_owned());
    }
}

/// A gateway that knows the lab's `user`, as the agent `studio`.
struct Site {
    lab: Lab,
    registry: Registry,
    relay: Arc<Relay>,
    address: SocketAddr,
    drain: DrainControl,
    app: SocketAddr,
}

impl Site {
    async fn start() -> Self {
        let lab = Lab::new();
        let port = free_port();
        let options = RegistryOptions {
            ports: port..=port.saturating_add(2),
            bind: vec!["127.0.0.1".parse().unwrap()],
            ..RegistryOptions::new(DOMAIN)
        };
        let registry = Registry::open(&lab.path("relay"), options).unwrap();
        registry.add_ssh_key("studio", &lab.public_line("user")).await.unwrap();
        let relay = Arc::new(Relay::default());
        let options = GatewayOptions {
            folder: lab.path("relay"),
            https: Some(443),
            http: 80,
            software: "doorstep_test".to_owned(),
            surroundings: relay.clone(),
        };
        let gateway = Gateway::new(registry.clone(), options).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (control, drain) = DrainControl::new();
        lab.know(address, &gateway.public_line());
        tokio::spawn(async move { gateway.accept(listener, drain).await });
        Self { lab, registry, relay, address, drain: control, app: app::start().await }
    }

    /// `ssh` with these arguments before the host; `APP` stands for the app's address.
    fn ssh(&self, key: &str, arguments: &[&str]) -> Command {
        let app = self.app.to_string();
        let arguments: Vec<String> = arguments.iter().map(|argument| argument.replace("APP", &app)).collect();
        self.lab.ssh(key, self.address, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn is_lent(&self, name: &str) -> bool {
        matches!(self.registry.find(&format!("{name}.{DOMAIN}")), Found::Lent(_))
    }

    async fn lends(&self, name: &str) {
        until(name, || self.is_lent(name)).await;
    }

    async fn try_visit(&self, name: &str) -> Result<Io, Code> {
        let Found::Lent(lent) = self.registry.find(&format!("{name}.{DOMAIN}")) else { panic!("{name} is not lent") };
        let visitor =
            Visitor { peer: "192.0.2.9:4711".parse().unwrap(), local: "192.0.2.1:443".parse().unwrap(), tls: None };
        soon("a stream opens", lent.open(visitor)).await.map_err(|error| error.code)
    }

    async fn visit(&self, name: &str) -> Io {
        self.try_visit(name).await.unwrap()
    }
}

/// Lines of a program's output, in a thread of their own.
fn lines(output: impl std::io::Read + Send + 'static) -> mpsc::UnboundedReceiver<String> {
    let (said, heard) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if said.send(line).is_err() {
                return;
            }
        }
    });
    heard
}

async fn line_with(lines: &mut mpsc::UnboundedReceiver<String>, part: &str) -> String {
    let mut before = Vec::new();
    soon(part, async {
        loop {
            match lines.recv().await {
                Some(line) if line.contains(part) => return line,
                Some(line) => before.push(line),
                None => panic!("no {part:?} in {before:#?}"),
            }
        }
    })
    .await
}

#[tokio::test]
async fn names_and_ports_without_a_terminal() {
    let site = Site::start().await;
    let mut ssh = site.ssh("user", &["-N", "-R", "Blog:80:APP", "-R", "80:APP", "-R", "0:APP"]);
    let mut ssh = Running::start(&mut ssh);
    let mut errors = lines(ssh.0.stderr.take().unwrap());
    let allocated = line_with(&mut errors, "Allocated port").await;
    let port: u16 = allocated.split(' ').nth(2).unwrap().parse().unwrap();
    site.lends("blog").await;
    app::echo(&mut site.visit("blog").await, "a name").await;
    soon("a download", app::download(&mut site.visit("blog").await, 12 << 20)).await;
    soon("an upload", app::upload(&mut site.visit("blog").await, 12 << 20)).await;
    let mut visitor = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    soon("a port", app::upload(&mut visitor, 1 << 20)).await;
    let names: Vec<String> = site.registry.names().into_iter().map(|name| name.name).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[tokio::test]
async fn a_terminal_shows_addresses_refusals_and_requests() {
    let site = Site::start().await;
    let mut ssh = site.ssh("user", &["-T", "-R", "blog:80:APP", "-R", "shop:8000:APP"]);
    let mut ssh = Running::start(&mut ssh);
    let mut output = lines(ssh.0.stdout.take().unwrap());
    let mut errors = lines(ssh.0.stderr.take().unwrap());
    line_with(&mut output, "studio").await;
    line_with(&mut output, "https://blog.tun.example.com").await;
    line_with(&mut errors, "names are for port 80").await;
    until("requests are followed", || !site.relay.followed.lock().is_empty()).await;
    let (host, log) = site.relay.followed.lock().pop().unwrap();
    assert_eq!(host, format!("blog.{DOMAIN}"));
    assert!(log.send("GET / 200"));
    line_with(&mut output, "GET / 200").await;
    drop(ssh);
    until("nobody looks", || log.is_closed()).await;
    assert!(!log.send("GET / 200"));
}

#[tokio::test]
async fn whoever_lends_a_port_does_not_see_requests_for_the_relays_own_name() {
    let site = Site::start().await;
    let mut ssh = site.ssh("user", &["-T", "-R", "0:APP", "-R", "blog:80:APP"]);
    let mut ssh = Running::start(&mut ssh);
    let mut output = lines(ssh.0.stdout.take().unwrap());
    line_with(&mut output, "tcp://tun.example.com").await;
    line_with(&mut output, "https://blog.tun.example.com").await;
    until("requests are followed", || !site.relay.followed.lock().is_empty()).await;
    let hosts: Vec<String> = site.relay.followed.lock().iter().map(|(host, _)| host.clone()).collect();
    assert_eq!(hosts, [format!("blog.{DOMAIN}")]);
}

#[tokio::test]
async fn control_c_ends_a_session() {
    use std::io::Write;
    let site = Site::start().await;
    let mut ssh = site.ssh("user", &["-tt", "-R", "blog:80:APP"]);
    let mut ssh = Running::start(&mut ssh);
    site.lends("blog").await;
    let mut output = lines(ssh.0.stdout.take().unwrap());
    line_with(&mut output, "https://blog.tun.example.com").await;
    ssh.0.stdin.as_mut().unwrap().write_all(&[3]).unwrap();
    ssh.0.stdin.as_mut().unwrap().flush().unwrap();
    until("it ends", || !site.is_lent("blog")).await;
    until("ssh ends", || ssh.0.try_wait().unwrap().is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_known_keys_and_nothing_but_lending() {
    let site = Site::start().await;
    let refused = |key: &str, arguments: &[&str]| {
        let output = site.ssh(key, arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let (other, forward) = tokio::task::block_in_place(|| {
        (refused("other", &["-N", "-R", "blog:80:APP"]), refused("user", &["-W", "127.0.0.1:22"]))
    });
    assert!(other.contains("Permission denied (publickey)"), "{other}");
    assert!(forward.contains("open failed"), "{forward}");
    let own = site.lab.public_line("other");
    let shown = site.relay.strangers.lock().clone();
    assert!(shown.iter().all(|key| own.starts_with(key)) && !shown.is_empty(), "{shown:?}");
    assert!(!site.is_lent("blog"));
}

#[tokio::test]
async fn a_key_of_another_kind() {
    let site = Site::start().await;
    site.lab.make_key("ecdsa", "ecdsa");
    site.registry.add_ssh_key("lab", &site.lab.public_line("ecdsa")).await.unwrap();
    let _ssh = Running::start(&mut site.ssh("ecdsa", &["-N", "-R", "lab:80:APP"]));
    site.lends("lab").await;
    app::echo(&mut site.visit("lab").await, "ecdsa").await;
}

#[tokio::test]
async fn a_taken_name_is_told_and_a_revoked_key_sent_away() {
    let site = Site::start().await;
    site.registry.add_ssh_key("rival", &site.lab.public_line("other")).await.unwrap();
    let mut first = Running::start(&mut site.ssh("user", &["-N", "-R", "blog:80:APP"]));
    site.lends("blog").await;
    let mut second = Running::start(&mut site.ssh("other", &["-T", "-R", "blog:80:APP"]));
    line_with(&mut lines(second.0.stderr.take().unwrap()), "belongs to somebody else").await;
    site.registry.revoke("studio").await.unwrap();
    line_with(&mut lines(first.0.stderr.take().unwrap()), "revoked").await;
    until("ssh ends", || first.0.try_wait().unwrap().is_some()).await;
}

#[tokio::test]
async fn a_new_session_takes_over_from_a_dead_one() {
    let site = Site::start().await;
    let mut first = Running::start(&mut site.ssh("user", &["-N", "-R", "blog:80:APP"]));
    site.lends("blog").await;
    let mut errors = lines(first.0.stderr.take().unwrap());
    let second = Running::start(&mut site.ssh("user", &["-N", "-R", "blog:80:APP"]));
    line_with(&mut errors, "newer session").await;
    site.lends("blog").await;
    app::echo(&mut site.visit("blog").await, "second").await;
    fixtures::kill(second.0.id());
    until("the loss is noticed", || !site.is_lent("blog")).await;
    let _third = Running::start(&mut site.ssh("user", &["-N", "-R", "blog:80:APP"]));
    site.lends("blog").await;
    app::echo(&mut site.visit("blog").await, "third").await;
}

#[tokio::test]
async fn an_app_that_is_down_is_told_from_one_that_is_up() {
    let site = Site::start().await;
    let nobody = format!("blog:80:127.0.0.1:{}", free_port());
    let _ssh = Running::start(&mut site.ssh("user", &["-N", "-R", &nobody]));
    site.lends("blog").await;
    assert_eq!(site.try_visit("blog").await.err(), Some(Code::DialRefused));
}

#[tokio::test]
async fn one_visitor_who_does_not_read_stops_none_of_49() {
    let site = Arc::new(Site::start().await);
    let _ssh = Running::start(&mut site.ssh("user", &["-N", "-R", "blog:80:APP"]));
    site.lends("blog").await;
    let mut stalled = site.visit("blog").await;
    stalled.write_all(b"f").await.unwrap();
    assert_eq!(stalled.read_u8().await.unwrap(), b'x');
    let others: Vec<_> = (0..49)
        .map(|_| {
            let site = site.clone();
            tokio::spawn(async move {
                app::download(&mut site.visit("blog").await, 1 << 20).await;
                app::upload(&mut site.visit("blog").await, 1 << 20).await;
            })
        })
        .collect();
    for other in others {
        soon("the others go on", other).await.unwrap();
    }
}

#[tokio::test]
async fn one_app_that_does_not_read_stops_no_other_visitor() {
    let site = Site::start().await;
    let _ssh = Running::start(&mut site.ssh("user", &["-N", "-R", "blog:80:APP"]));
    site.lends("blog").await;
    let mut stalled = site.visit("blog").await;
    stalled.write_all(b"n").await.unwrap();
    let (_reader, mut writer) = tokio::io::split(stalled);
    let pushing = tokio::spawn(async move { while writer.write_all(&[0; 64 * 1024]).await.is_ok() {} });
    for _ in 0..3 {
        soon("an upload", app::upload(&mut site.visit("blog").await, 4 << 20)).await;
    }
    assert!(!pushing.is_finished());
    pushing.abort();
    soon("it is over", pushing).await.unwrap_err();
}

#[tokio::test]
async fn a_client_that_says_nothing_any_more_is_given_up() {
    let site = Site::start().await;
    let ssh = Running::start(&mut site.ssh("user", &["-N", "-R", "blog:80:APP"]));
    site.lends("blog").await;
    fixtures::freeze(ssh.0.id());
    until("the silence is noticed", || !site.is_lent("blog")).await;
}

#[tokio::test]
async fn a_slow_reader_gets_more_than_may_ever_wait() {
    let site = Site::start().await;
    let _ssh = Running::start(&mut site.ssh("user", &["-N", "-R", "blog:80:APP"]));
    site.lends("blog").await;
    let length = 2 * doorstep_ssh::limits::BACKLOG as u64;
    let mut slow = site.visit("blog").await;
    slow.write_u8(b'd').await.unwrap();
    slow.write_u64(length).await.unwrap();
    // Others come and go while nothing is read.
    for _ in 0..5 {
        soon("another", app::echo(&mut site.visit("blog").await, "me too")).await;
    }
    assert_eq!(soon("all of it", app::drain(&mut slow)).await.unwrap(), app::expected(length));
}

#[tokio::test]
async fn many_slow_readers_get_everything_and_others_are_served() {
    let site = Site::start().await;
    let _ssh = Running::start(&mut site.ssh("user", &["-N", "-R", "blog:80:APP"]));
    site.lends("blog").await;
    let length = 4 << 20;
    let mut readers = Vec::new();
    for _ in 0..40 {
        let mut visitor = site.visit("blog").await;
        readers.push(tokio::spawn(async move {
            visitor.write_u8(b'd').await.unwrap();
            visitor.write_u64(length).await.unwrap();
            let (mut got, mut piece) = (0, [0; 16 * 1024]);
            while let count @ 1.. = visitor.read(&mut piece).await.unwrap() {
                got += count as u64;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            got
        }));
    }
    for _ in 0..20 {
        soon("another", app::echo(&mut site.visit("blog").await, "me too")).await;
    }
    for reader in readers {
        assert_eq!(soon("all of it", reader).await.unwrap(), length);
    }
}

#[tokio::test]
async fn keys_are_exchanged_anew_during_a_transfer() {
    let site = Site::start().await;
    let _ssh = Running::start(&mut site.ssh("user", &["-N", "-o", "RekeyLimit=1M", "-R", "blog:80:APP"]));
    site.lends("blog").await;
    soon("a download", app::download(&mut site.visit("blog").await, 12 << 20)).await;
    soon("an upload", app::upload(&mut site.visit("blog").await, 12 << 20)).await;
}

#[tokio::test]
async fn a_drain_waits_for_visitors_and_sends_the_client_away() {
    let site = Site::start().await;
    let mut ssh = Running::start(&mut site.ssh("user", &["-N", "-R", "blog:80:APP"]));
    site.lends("blog").await;
    let mut visitor = site.visit("blog").await;
    app::echo(&mut visitor, "before").await;
    site.drain.start(Patience::Gentle);
    visitor.write_all(b"after").await.unwrap();
    let mut back = [0; 5];
    soon("the visitor is served", visitor.read_exact(&mut back)).await.unwrap();
    visitor.shutdown().await.unwrap();
    drop(visitor);
    line_with(&mut lines(ssh.0.stderr.take().unwrap()), "restarted").await;
    until("ssh ends", || ssh.0.try_wait().unwrap().is_some()).await;
}

/// Our agent with the lab's key, by the system's `ssh` and by the built-in client.
fn both(site: &Site, key: &str) -> [ClientOptions; 2] {
    let server =
        |user: &str| Server { user: Some(user.to_owned()), host: "127.0.0.1".into(), port: Some(site.address.port()) };
    let system = ClientOptions {
        program: Program::System(program("ssh")),
        arguments: site.lab.arguments(key),
        ..ClientOptions::new(server("anybody"))
    };
    let read = |name: &str| std::fs::read_to_string(site.lab.path(name)).unwrap();
    let keys = Builtin { keys: vec![Key::Text(Secret::new(read(key)))], known_hosts: KnownHosts::Text(read("known")) };
    [system, ClientOptions { program: Program::Builtin(keys), ..ClientOptions::new(server("somebody")) }]
}

fn blog(site: &Site) -> Target {
    let to = UpstreamAddr::Tcp { host: "127.0.0.1".into(), port: site.app.port() };
    Target::new(Claim::Http { name: "blog".into(), label: String::new() }, Sink::Dial(to))
}

/// What the agent says until something is found in it.
async fn hear<T>(events: &mut mpsc::UnboundedReceiver<AgentEvent>, find: impl Fn(&AgentEvent) -> Option<T>) -> T {
    let mut before = Vec::new();
    let hearing = async {
        loop {
            let event = events.recv().await.unwrap_or_else(|| panic!("only {before:#?}"));
            if let Some(found) = find(&event) {
                return found;
            }
            before.push(event);
        }
    };
    soon("the agent says it", hearing).await
}

fn address(event: &AgentEvent) -> Option<String> {
    if let AgentEvent::Lent { address, .. } = event { Some(address.clone()) } else { None }
}

#[tokio::test]
async fn our_own_agent_learns_the_address_from_the_gateway() {
    let site = Site::start().await;
    for options in both(&site, "user") {
        let (events, mut heard) = mpsc::unbounded_channel();
        let handle = start(options, vec![blog(&site)], events);
        assert_eq!(hear(&mut heard, address).await, "https://blog.tun.example.com");
        soon("a download", app::download(&mut site.visit("blog").await, 4 << 20)).await;
        soon("an upload", app::upload(&mut site.visit("blog").await, 4 << 20)).await;
        soon("leaving", handle.leave(Patience::Now)).await;
        until("it is gone", || !site.is_lent("blog")).await;
    }
}

#[tokio::test]
async fn our_own_agent_passes_on_why_a_name_is_refused() {
    let site = Site::start().await;
    site.registry.add_ssh_key("rival", &site.lab.public_line("other")).await.unwrap();
    let _ssh = Running::start(&mut site.ssh("other", &["-N", "-R", "blog:80:APP"]));
    site.lends("blog").await;
    for options in both(&site, "user") {
        let (events, mut heard) = mpsc::unbounded_channel();
        let _handle = start(options, vec![blog(&site)], events);
        let words = |event: &AgentEvent| match event {
            AgentEvent::Notice { text, .. } => text.contains("somebody else").then_some(()),
            AgentEvent::Lent { address, .. } => panic!("lent at {address}"),
            _ => None,
        };
        hear(&mut heard, words).await;
    }
}

#[tokio::test]
async fn two_agents_do_not_take_a_name_from_each_other_for_ever() {
    let site = Site::start().await;
    for options in both(&site, "user") {
        let (events, mut heard) = mpsc::unbounded_channel();
        let _first = start(options.clone(), vec![blog(&site)], events);
        hear(&mut heard, address).await;
        let (events, mut newer) = mpsc::unbounded_channel();
        let _second = start(options, vec![blog(&site)], events);
        hear(&mut newer, address).await;
        hear(&mut heard, |event| matches!(event, AgentEvent::Stopped { .. }).then_some(())).await;
    }
}
