//! Bounds of tunnels. Those of the protocol itself are in `doorstep_proto::tunnel::limits`.

use std::time::Duration;

/// From a visitor's coming to the app's having taken the connection.
pub const DIAL_APP: Duration = Duration::from_secs(10);
/// The TLS handshake of a visitor whose TLS ends at the agent.
pub const VISITOR_HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes that are passed on between visitor and app at a time. A thread has one such buffer each way, not a connection.
pub const COPY: usize = 128 * 1024;
/// The same while whoever is to take them is behind: they wait in memory then.
pub const COPY_SLOW: usize = 16 * 1024;
/// A flow of datagrams is over when nothing went either way for so long.
pub const UDP_IDLE: Duration = Duration::from_secs(120);
/// Flows of datagrams at once, of all targets of this process; each is a socket.
pub const UDP_FLOWS: usize = 512;

/// How long a claim is granted before the agent has to renew it.
pub const LEASE: Duration = Duration::from_secs(120);
/// How long an invitation is good, where nobody says otherwise.
pub const INVITATION: Duration = Duration::from_secs(3600);
/// The longest that an invitation may be good.
pub const MAX_INVITATION: Duration = Duration::from_secs(30 * 24 * 3600);
/// Names of one agent, where its invitation does not say otherwise.
pub const AGENT_NAMES: usize = 100;
/// Leased ports of one agent, where its invitation does not say otherwise.
pub const AGENT_PORTS: usize = 3;
/// Streams of one agent that are open at once, where its invitation does not say otherwise.
pub const AGENT_STREAMS: usize = 2048;
/// Sessions of one agent at once: its programs, and what is left of those that lost their connection.
pub const AGENT_SESSIONS: usize = 64;
/// Keys of one agent.
pub const AGENT_KEYS: usize = 32;
/// Agents of one relay, and invitations that are remembered.
pub const AGENTS: usize = 100_000;
/// Bytes of an agent's name.
pub const AGENT_NAME: usize = 64;
/// How much of a rate may be used at once after a pause.
pub const RATE_BURST: Duration = Duration::from_millis(250);
/// Bytes that one stream of an agent with a rate moves before it is another one's turn.
pub const RATE_TURN: usize = 16 * 1024;
/// Requests per second may come at once for so long.
pub const REQUEST_BURST: Duration = Duration::from_secs(2);
/// Events that wait for a slow listener. Then it is told that it missed some.
pub const EVENTS: usize = 4096;
/// How long a claim waits until the memory of it is on the disk.
pub const WRITTEN: Duration = Duration::from_secs(15);
/// How often a relay that takes over looks whether the one before has let go of the memory.
pub const LOCK_AGAIN: Duration = Duration::from_millis(50);
/// The largest file of the memory that is read, in bytes: some 300,000 names.
pub const MEMORY_FILE: u64 = 64 << 20;
/// How long DNS may take to prove that a domain is an agent's own.
pub const PROOF: Duration = Duration::from_secs(6);
/// How long a proof is believed before DNS is asked again.
pub const PROVEN: Duration = Duration::from_secs(3600);
/// Questions to DNS at once, for all agents.
pub const PROOFS: usize = 64;
/// CNAME records that are followed from a domain to a name of the relay.
pub const CNAMES: usize = 8;
/// Leased ports that are tried when one that the agent left open turns out to be in use.
pub const PORTS_TRIED: usize = 32;
/// How long a leased port stays bound after its session ended, for the same key to come back to.
pub const PORT_GRACE: Duration = Duration::from_secs(60);
/// How long a connection to a leased port waits for an agent that is just connecting again.
pub const PORT_HOLD: Duration = Duration::from_secs(10);
/// Connections to one leased port that wait so.
pub const PORT_HELD: usize = 64;
/// Connections that the kernel queues before they are accepted.
pub const PORT_BACKLOG: i32 = 1024;
/// Bytes of a connection to a leased port that the kernel holds and has not sent yet (TCP_NOTSENT_LOWAT in tcp(7)).
pub const PORT_UNSENT: u32 = 256 * 1024;
/// After how long without traffic a visitor of a leased TCP port is asked whether it is still there, and how often.
pub const KEEPALIVE: Duration = Duration::from_secs(60);
/// Bytes of datagrams that the kernel holds for a leased UDP port until they are read.
pub const UDP_BUFFER: usize = 1 << 20;
/// Pause after a connection that could not be accepted.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a copied connection that are held each way.
pub const COPY_BUFFER: usize = 64 * 1024;
/// Flows of one leased UDP port: visitors' addresses.
pub const FLOWS: usize = 1024;
/// A flow in which nothing came for so long is over.
pub const FLOW_IDLE: Duration = Duration::from_secs(60);
/// Datagrams of one visitor that wait for the agent; the oldest are dropped.
pub const FLOW_QUEUE: usize = 64;
/// The largest datagram, in bytes.
pub const DATAGRAM: usize = 65_535;
