//! The built-in client and keys of an agent. Alone in its file: the agent is found by the environment of the process.

mod fixtures;

use doorstep_model::UpstreamAddr;
use doorstep_proto::tunnel::Claim;
use doorstep_ssh::client::{Builtin, ClientOptions, KnownHosts, Program, Server, start};
use doorstep_tunnel::{AgentEvent, Sink, Target};
use fixtures::{Lab, Running, Sshd, app, program, soon, until, user};
use tokio::sync::mpsc;

#[test]
fn keys_of_the_agent() {
    let lab = Lab::new();
    let socket = lab.path("agent");
    let mut agent = std::process::Command::new(program("ssh-agent"));
    let _agent = Running::start(agent.arg("-D").arg("-a").arg(&socket).stdout(std::process::Stdio::null()));
    // SAFETY: nobody else reads the environment: the test is the only one of its process, and has no threads yet.
    unsafe { std::env::set_var("SSH_AUTH_SOCK", &socket) };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        until("the agent listens", || socket.exists()).await;
        for key in ["other", "user"] {
            let mut add = std::process::Command::new(program("ssh-add"));
            assert!(add.arg("-q").arg(lab.path(key)).status().unwrap().success());
        }
        let sshd = Sshd::start(&lab, "127.0.0.1", "GatewayPorts yes").await;
        let server = Server { user: Some(user()), host: "127.0.0.1".into(), port: Some(sshd.address.port()) };
        let builtin = Builtin { known_hosts: KnownHosts::File(lab.path("known")), ..Builtin::default() };
        let options = ClientOptions { program: Program::Builtin(builtin), ..ClientOptions::new(server) };
        let app = app::start().await;
        let to = UpstreamAddr::Tcp { host: app.ip().to_string(), port: app.port() };
        let (events, mut heard) = mpsc::unbounded_channel();
        let _handle = start(options, vec![Target::new(Claim::Tcp { port: 0 }, Sink::Dial(to))], events);
        soon("it is lent", async {
            loop {
                match heard.recv().await.unwrap() {
                    AgentEvent::Lent { .. } => return,
                    AgentEvent::Stopped { why, .. } => panic!("{why}"),
                    _ => {}
                }
            }
        })
        .await;
    });
}
