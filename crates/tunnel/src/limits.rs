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
/// How long a session that another one took over from has to give its claims back, so that its streams may finish: a program
/// that takes over from another one may be faster than that one leaves.
pub const EVICTED: Duration = Duration::from_secs(1);
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
/// Those of them that one agent may have: name servers that never answer are its own matter.
pub const AGENT_PROOFS: usize = 4;
/// CNAME records that are followed from a domain to a name of the relay.
pub const CNAMES: usize = 8;
/// Leased ports that are tried when one that the agent left open turns out to be in use.
pub const PORTS_TRIED: usize = 32;
/// How long a leased port stays bound after its session broke, for the same key to come back to.
pub const PORT_GRACE: Duration = Duration::from_secs(60);
/// The same after its agent gave it back: a program that takes over from another one claims it in a moment.
pub const PORT_GIVEN_BACK: Duration = Duration::from_secs(1);
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
/// Bytes of them, likewise.
pub const FLOW_QUEUE_BYTES: usize = 256 * 1024;
/// The largest datagram, in bytes.
pub const DATAGRAM: usize = 65_535;
/// From the wish for a connection to a relay to TCP's being ready, a proxy's consent included.
pub const DIAL_RELAY: Duration = Duration::from_secs(10);
/// From then to the end of TLS, or of the HTTP Upgrade inside.
pub const RELAY_HANDSHAKE: Duration = Duration::from_secs(10);
/// What was sent to a relay and not acknowledged for so long ends the connection (TCP_USER_TIMEOUT in tcp(7)).
pub const DEAD_PATH: Duration = Duration::from_secs(10);
/// Bytes of a proxy's or relay's answer to CONNECT or Upgrade.
pub const RESPONSE_HEAD: usize = 8 * 1024;
/// First wait of an agent before it tries a relay again, and the longest.
pub const RECONNECT_FIRST: Duration = Duration::from_millis(200);
pub const RECONNECT_MOST: Duration = Duration::from_secs(30);
/// A session that lived so long shows that the relay is well: the next wait is the first one again.
pub const STABLE: Duration = Duration::from_secs(20);
/// How long a session has to answer after the network changed, before another one is opened beside it.
pub const PROBE: Duration = Duration::from_secs(3);
/// How often an agent that is not with its first relay looks whether that one is back.
pub const PREFERRED_AGAIN: Duration = Duration::from_secs(60);
/// How long a session that another one took over for may take to finish its streams.
pub const RETIRED: Duration = Duration::from_secs(3600);
/// It ends earlier when it had no streams for so long.
pub const RETIRED_IDLE: Duration = Duration::from_secs(5);
/// Sessions that finish their streams. When there are more, the oldest is ended.
pub const RETIRED_SESSIONS: usize = 4;
/// How long a relay may take to learn that the claims were given back.
pub const LEAVE_SETTLE: Duration = Duration::from_secs(2);
/// How long the last words of a session may take.
pub const LAST_WORDS: Duration = Duration::from_secs(2);
/// From the end of a session to the end of its data connections.
pub const CLOSE_LINK: Duration = Duration::from_secs(2);
/// First and longest wait before a name is claimed again that was refused for the moment.
pub const CLAIM_AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// The longest wait where the relay's owner switched the name off.
pub const SWITCHED_OFF_AGAIN: Duration = Duration::from_secs(10);
/// Bytes that are read from a control connection at a time.
pub const CONTROL_READ: usize = 2048;
/// Reports of data connections, and of sessions, that wait to be read.
pub const DATA_REPORTS: usize = 64;
pub const SESSION_REPORTS: usize = 64;
/// How often joining is tried when the connection breaks, and the first pause.
pub const JOIN_TRIES: u32 = 3;
pub const JOIN_PAUSE: Duration = Duration::from_millis(500);
/// How long a visitor waits for a connection to the agent when none is free.
pub const CONN_WAIT: Duration = Duration::from_secs(5);
/// What a relay has to tell and nobody heard yet; the oldest is lost first.
pub const RELAY_EVENTS: usize = 1024;
/// A relay that is about to stop ends sessions that had no streams for so long, and how often it looks.
pub const DRAINED_IDLE: Duration = Duration::from_secs(3);
pub const DRAINED_LOOK: Duration = Duration::from_millis(250);
/// How often a relay looks what a round trip to an agent takes.
pub const ROUND_TRIP: Duration = Duration::from_secs(10);
/// How long one look from outside may take, from the connection to the whole answer.
pub const PROBE_LOOK: Duration = Duration::from_secs(6);
/// Looks from outside at once, for all agents.
pub const PROBES: usize = 64;
/// Looks that one agent may ask for at once after a pause.
pub const AGENT_PROBES: u32 = 24;
/// How often it may ask for one more.
pub const AGENT_PROBE_EVERY: Duration = Duration::from_secs(5);
/// Agents whose looks are counted; beyond them, others have to wait.
pub const PROBERS: usize = 10_000;
/// Bytes of an answer that are read.
pub const PROBE_ANSWER: u64 = 4096;
/// How long an agent waits for all that it asked for.
pub const PROBED: Duration = Duration::from_secs(15);
